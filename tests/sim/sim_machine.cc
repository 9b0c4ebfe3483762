#include "tests/sim/sim_machine.h"

#include "lib/base/assert.h"

namespace qtool::sim {

namespace {

constexpr Duration kWatchInterval = 20ms; // how soon an exit is seen

} // namespace

Machine::Machine(World& world, config::BrokerConfig config, uint16_t core_count, Plant plant)
    : world_(world),
      config_(std::move(config)),
      core_count_(core_count),
      device_(world),
      network_(world) {
    config_.log_dirs = {"/var/qbroker"};
    if (world.chance_percent(50)) {
        config_.log_dirs.emplace_back("/var/qbroker-2");
    }
    // The parent is there before qbroker is: made by whoever installed the machine.
    QT_ASSERT(device_.make_directory("/var").has_value());
    QT_ASSERT(device_.sync_directory("/").has_value());
    device_.set_plant(plant);
    watch();
}

Machine::~Machine() = default;

void Machine::start() {
    start_due_ = false;
    if (process_) {
        return;
    }
    device_.resume();
    Process::Setup setup;
    setup.config = config_;
    setup.core_count = core_count_;
    setup.world = &world_;
    setup.device = &device_;
    setup.store = &store_;
    setup.network = &network_;
    setup.wall_offset = &wall_offset_;
    stopping_ = false;
    world_.trace("start");
    process_ = std::make_unique<Process>(std::move(setup));
    static_cast<void>(process_->start()); // an end is seen by watch
}

// An operator's loop: what ended is started again.
void Machine::watch() {
    world_.after(kWatchInterval, [this] {
        if (process_ && process_->life() == Process::Life::ended) {
            const bool clean = process_->outcome().has_value();
            world_.trace("exit", clean ? 1 : 0);
            if (stopping_ && clean) {
                world_.hit(Fault::clean_stop);
            }
            stopped_cleanly_ = clean;
            process_.reset();
            network_.drop_server(false);
            start_later(world_.between(1ms, clean ? 300ms : 1s));
        }
        watch();
    });
}

void Machine::start_later(Duration delay) {
    if (!start_due_) {
        start_due_ = true;
        world_.after(delay, [this] { start(); });
    }
}

// From the world, never from within the process.
void Machine::end_process(bool power) {
    stopped_cleanly_ = false;
    if (process_) {
        if (process_->life() == Process::Life::starting) {
            world_.hit(Fault::start_interrupted);
        }
        if (stopping_) {
            world_.hit(Fault::stop_interrupted);
        }
        process_->die();
        process_.reset();
    }
    network_.drop_server(power && world_.chance_percent(60));
    device_.cancel_halt();
    if (power) {
        device_.power_loss();
    }
    start_later(world_.between(1ms, 500ms));
}

void Machine::kill() {
    if (process_) {
        world_.hit(Fault::kill);
        end_process(false);
    }
}

void Machine::lose_power() {
    world_.hit(Fault::power_loss);
    end_process(true);
}

void Machine::on_halt(bool power) {
    world_.hit(power ? Fault::power_within_turn : Fault::kill_within_turn);
    if (process_) {
        if (process_->life() == Process::Life::starting) {
            world_.hit(Fault::start_interrupted);
        }
        process_->die();
    }
    world_.after(0us, [this, power] { end_process(power); });
}

void Machine::kill_within(uint64_t disk_operations) {
    device_.halt_after(disk_operations, [this] { on_halt(false); });
}

void Machine::lose_power_within(uint64_t disk_operations) {
    device_.halt_after(disk_operations, [this] { on_halt(true); });
}

void Machine::stop_gracefully() {
    if (process_ && process_->life() == Process::Life::serving) {
        stopping_ = true;
        process_->begin_stop();
    }
}

void Machine::jump_clock() {
    world_.hit(Fault::clock_jump);
    wall_offset_ += world_.between(-20s, 20s);
}

void Machine::heal() {
    device_.cancel_halt();
    device_.set_full(false);
    device_.fail_syncs(0);
}

bool Machine::is_serving() const {
    return process_ && process_->life() == Process::Life::serving;
}

} // namespace qtool::sim
