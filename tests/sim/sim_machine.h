// Machine: what the broker process runs on: a device, the store behind it, a clock, and somebody
// who starts the process again after it ended. Faults of the machine are called here.
#pragma once

#include "tests/sim/sim_process.h"

#include <memory>
#include <string>

namespace qtool::sim {

class Machine {
public:
    struct Setup {
        config::BrokerConfig config;
        uint16_t core_count = 1; // data cores
        Plant plant = Plant::none;
        Network* network = nullptr;
        StoreTruth* store = nullptr;
        std::string address; // in the network
    };
    Machine(World& world, Setup setup);
    ~Machine();

    void start();
    /// The process ends now, or within its next turns after so many changes on disk.
    void kill();
    void kill_within(uint64_t disk_operations);
    void lose_power();
    void lose_power_within(uint64_t disk_operations);
    /// ... after a file was cut shorter next, unless the machine went before.
    void lose_power_after_cut(uint64_t disk_operations);
    /// SIGTERM; the process is started again when it ended.
    void stop_gracefully();
    void jump_clock();
    /// The process stands still for so long.
    void pause(Duration duration);
    /// The machine comes back with an empty disk.
    void wipe();
    /// What is on the medium now, and the machine's coming back with that.
    void take_backup();
    /// One that a process before this one left: what brokers can tell from their own disk.
    [[nodiscard]] bool has_old_backup() const {
        return device_.has_backup() && backup_life_ < lives_;
    }
    void restore_backup();
    /// How far the wall clock is ahead of simulated time.
    [[nodiscard]] Duration wall_offset() const { return wall_offset_; }
    /// No more of it: the device works, pending halts are forgotten.
    void heal();

    [[nodiscard]] bool is_serving() const;
    /// A graceful stop has begun; until its end the process serves, and is in ISRs for a while.
    [[nodiscard]] bool is_stopping() const { return process_ && stopping_; }
    [[nodiscard]] bool has_stopped_cleanly() const { return stopped_cleanly_; }
    Device& device() { return device_; }
    [[nodiscard]] HostId host() const { return host_; }
    [[nodiscard]] const std::string& address() const { return address_; }
    [[nodiscard]] bool has_process() const { return process_ != nullptr; }
    /// How the last process that ended by itself did.
    [[nodiscard]] const Result<void>& last_outcome() const { return last_outcome_; }
    [[nodiscard]] const std::vector<std::string>& log_dirs() const { return config_.log_dirs; }

private:
    void install();
    void watch();
    void end_process(bool power);
    void start_later(Duration delay);
    void on_halt(bool power);

    World& world_;
    config::BrokerConfig config_;
    uint16_t core_count_;
    Device device_;
    StoreTruth& store_;
    Network& network_;
    std::string address_;
    HostId host_;
    Duration wall_offset_{};
    std::unique_ptr<Process> process_;
    bool start_due_ = false;
    bool stopping_ = false;
    bool stopped_cleanly_ = false; // the last process did
    Result<void> last_outcome_;
    uint64_t pauses_ = 0;
    uint64_t lives_ = 0;       // processes so far
    uint64_t backup_life_ = 0; // when the backup was taken
};

} // namespace qtool::sim
