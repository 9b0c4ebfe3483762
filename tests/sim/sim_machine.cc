#include "tests/sim/sim_machine.h"

#include "lib/base/assert.h"

namespace qtool::sim {

namespace {

constexpr Duration kWatchInterval = 20ms; // how soon an exit is seen

} // namespace

Machine::Machine(World& world, Setup setup)
    : world_(world),
      config_(std::move(setup.config)),
      core_count_(setup.core_count),
      device_(world),
      store_(*setup.store),
      network_(*setup.network),
      address_(std::move(setup.address)),
      host_(network_.add_host(address_)) {
    config_.log_dirs = {"/var/qbroker"};
    if (world.chance_percent(50)) {
        config_.log_dirs.emplace_back("/var/qbroker-2");
    }
    install();
    device_.set_plant(setup.plant);
    watch();
}

// The parent is there before qbroker is: made by whoever installed the machine.
void Machine::install() {
    QT_ASSERT(device_.make_directory("/var").has_value());
    QT_ASSERT(device_.sync_directory("/").has_value());
}

Machine::~Machine() = default;

void Machine::start() {
    start_due_ = false;
    if (process_) {
        return;
    }
    device_.resume();
    network_.set_up(host_, true);
    Process::Setup setup;
    setup.config = config_;
    setup.core_count = core_count_;
    setup.world = &world_;
    setup.device = &device_;
    setup.store = &store_;
    setup.network = &network_;
    setup.host = host_;
    setup.wall_offset = &wall_offset_;
    stopping_ = false;
    lives_++;
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
            last_outcome_ = process_->outcome();
            process_.reset();
            network_.drop_server(host_, false);
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
    network_.drop_server(host_, power && (store_.is_shared() || world_.chance_percent(60)));
    network_.set_up(host_, !power || !store_.is_shared());
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

void Machine::lose_power_after_cut(uint64_t disk_operations) {
    device_.halt_after_cut(disk_operations, [this] { on_halt(true); });
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

void Machine::pause(Duration duration) {
    if (!process_) {
        return;
    }
    world_.hit(Fault::pause);
    process_->pause();
    world_.after(duration, [this, pause = ++pauses_, process = process_.get()] {
        if (pause == pauses_ && process == process_.get()) {
            process_->resume();
        }
    });
}

void Machine::wipe() {
    world_.hit(Fault::disk_wiped);
    end_process(true);
    device_.wipe();
    install();
}

void Machine::take_backup() {
    device_.take_backup();
    backup_life_ = lives_;
}

void Machine::restore_backup() {
    world_.hit(Fault::backup_restored);
    end_process(true);
    device_.restore_backup();
}

void Machine::heal() {
    device_.cancel_halt();
    device_.set_full(false);
    device_.fail_syncs(0);
    device_.set_sync_delay({});
    if (process_) {
        pauses_++;
        process_->resume();
    }
}

bool Machine::is_serving() const {
    return process_ && process_->life() == Process::Life::serving;
}

} // namespace qtool::sim
