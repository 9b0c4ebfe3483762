// Process: one life of the broker: the production Broker on simulated ports, from exec to exit or
// kill. All its threads are one here: each event of a core is run by the World, and turns end a
// little later, so that several events may share a turn.
#pragma once

#include "server/broker/broker.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_store.h"

#include <deque>
#include <map>
#include <memory>
#include <vector>

namespace qtool::sim {

class Process final : public broker::BrokerEvents {
public:
    struct Setup {
        config::BrokerConfig config;
        uint16_t core_count = 1; // data cores
        World* world = nullptr;
        Device* device = nullptr;
        StoreTruth* store = nullptr;
        Network* network = nullptr;
        HostId host = 0;                       // of the network
        const Duration* wall_offset = nullptr; // of the machine's clock
    };
    enum class Life : uint8_t { starting, serving, ended, dead };

    explicit Process(Setup setup);
    ~Process() override;
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    /// What main does. An error: the process ended at once.
    Result<void> start();
    void begin_stop();
    /// SIGSTOP and SIGCONT: what happens meanwhile reaches it when it goes on. Timers and clocks do
    /// not stand still.
    void pause();
    void resume();
    /// From now on no event reaches it and nothing it does has an effect. Safe from within its
    /// turn; the object is destroyed later, from outside.
    void die();

    [[nodiscard]] Life life() const { return life_; }
    [[nodiscard]] const Result<void>& outcome() const { return outcome_; } // when ended

    // broker::BrokerEvents
    void on_serving(const std::vector<port::SocketAddress>& listeners,
                    const std::vector<port::SocketAddress>& admin_listeners) override;
    void on_ended(Result<void> result) override;

private:
    class Clock;
    class Timer;
    class Mailbox;
    class Random;
    struct CoreSide;

    using Action = std::function<void(port::CoreEvents&)>;
    /// What `action` refers to must live as long as the process: it may have to wait for resume.
    void deliver(CoreId core, Action action);
    void end_turn(CoreId core);

    Setup setup_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    Life life_ = Life::starting;
    Result<void> outcome_;
    ServerSide server_;
    std::deque<std::pair<CoreId, Action>> held_;   // while it is paused
    std::vector<std::unique_ptr<CoreSide>> cores_; // the metadata core is the last
    std::unique_ptr<broker::Broker> broker_;
};

} // namespace qtool::sim
