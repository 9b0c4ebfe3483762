// Machine: what the broker process runs on: a device, the store behind it, a clock, and somebody
// who starts the process again after it ended. Faults of the machine are called here.
#pragma once

#include "tests/sim/sim_process.h"

#include <memory>

namespace qtool::sim {

class Machine {
public:
    Machine(World& world, config::BrokerConfig config, uint16_t core_count, Plant plant);
    ~Machine();

    void start();
    /// The process ends now, or within its next turns after so many changes on disk.
    void kill();
    void kill_within(uint64_t disk_operations);
    void lose_power();
    void lose_power_within(uint64_t disk_operations);
    /// SIGTERM; the process is started again when it ended.
    void stop_gracefully();
    void jump_clock();
    /// How far the wall clock is ahead of simulated time.
    [[nodiscard]] Duration wall_offset() const { return wall_offset_; }
    /// No more of it: the device works, pending halts are forgotten.
    void heal();

    [[nodiscard]] bool is_serving() const;
    [[nodiscard]] bool has_stopped_cleanly() const { return stopped_cleanly_; }
    Device& device() { return device_; }
    Network& network() { return network_; }
    [[nodiscard]] const std::vector<std::string>& log_dirs() const { return config_.log_dirs; }

private:
    void watch();
    void end_process(bool power);
    void start_later(Duration delay);
    void on_halt(bool power);

    World& world_;
    config::BrokerConfig config_;
    uint16_t core_count_;
    Device device_;
    StoreImage store_;
    Network network_;
    Duration wall_offset_{};
    std::unique_ptr<Process> process_;
    bool start_due_ = false;
    bool stopping_ = false;
    bool stopped_cleanly_ = false; // the last process did
    uint32_t failed_starts_ = 0;
};

} // namespace qtool::sim
