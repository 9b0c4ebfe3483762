#include "tests/sim/sim_process.h"

#include "lib/base/assert.h"

#include <algorithm>
#include <utility>

namespace qtool::sim {

namespace {

constexpr int64_t kWallStartMs = 1'790'000'000'000; // some day of 2026

} // namespace

class Process::Clock final : public port::Clock {
public:
    Clock(const World& world, const Duration& offset) : world_(world), offset_(offset) {}
    [[nodiscard]] MonoTime mono() const override { return world_.now(); }
    [[nodiscard]] WallTime wall() const override {
        const Duration since_start = world_.now().time_since_epoch() + offset_;
        return WallTime(std::chrono::milliseconds(kWallStartMs) +
                        duration_cast<std::chrono::milliseconds>(since_start));
    }

private:
    const World& world_;
    const Duration& offset_;
};

class Process::Random final : public port::Random {
public:
    explicit Random(uint64_t seed) : prng_(seed) {}
    uint64_t next() override { return prng_.next(); }

private:
    Prng prng_;
};

class Process::Timer final : public port::Timer {
public:
    Timer(Process& process, CoreId core) : process_(process), core_(core) {}
    void set_alarm(MonoTime due) override {
        const uint64_t alarm = ++alarm_;
        if (due == kMonoNever) {
            return;
        }
        World& world = *process_.setup_.world;
        // An alarm rings a little late, never early.
        const MonoTime at = std::max(due, world.now()) + world.between(0us, 200us);
        world.at(at, [this, alive = process_.alive_, alarm] {
            if (*alive && alarm == alarm_) {
                process_.deliver(core_, [](port::CoreEvents& core) { core.on_timer(); });
            }
        });
    }

private:
    Process& process_;
    CoreId core_;
    uint64_t alarm_ = 0;
};

// In order between each pair of cores, each mail in its own time.
class Process::Mailbox final : public port::Mailbox {
public:
    Mailbox(Process& process, CoreId core) : process_(process), core_(core) {}
    void post(CoreId to, std::unique_ptr<port::Mail> mail) override {
        if (!*process_.alive_) {
            return;
        }
        World& world = *process_.setup_.world;
        Lane& lane = lanes_[to.value()];
        lane.mails.push_back(std::move(mail));
        lane.order = std::max(lane.order, world.now() + world.between(1us, 60us));
        world.trace("mail", core_.value(), to.value());
        world.at(lane.order, [this, alive = process_.alive_, to] {
            if (*alive) {
                process_.deliver(to, [this, to](port::CoreEvents& core) {
                    std::deque<std::unique_ptr<port::Mail>>& mails = lanes_[to.value()].mails;
                    std::unique_ptr<port::Mail> first = std::move(mails.front());
                    mails.pop_front();
                    core.on_mail(std::move(first));
                });
            }
        });
    }

private:
    struct Lane {
        std::deque<std::unique_ptr<port::Mail>> mails;
        MonoTime order{};
    };
    Process& process_;
    CoreId core_;
    std::map<uint16_t, Lane> lanes_;
};

struct Process::CoreSide {
    CoreSide(Process& process, CoreId core)
        : id(core),
          clock(*process.setup_.world, *process.setup_.wall_offset),
          timer(process, core),
          mailbox(process, core),
          random(process.setup_.world->random().next()),
          disk(
              *process.setup_.world, *process.setup_.device, process.alive_,
              [&process, core](Token token, Result<void> result) {
                  process.deliver(core, [&process, core, token,
                                         result = std::move(result)](port::CoreEvents& events) {
                      process.setup_.world->trace("synced", core.value(), result ? 1 : 0);
                      events.on_synced(token, result);
                  });
              },
              [&process, core](Token token, Result<void> result) {
                  process.deliver(core, [&process, core, token,
                                         result = std::move(result)](port::CoreEvents& events) {
                      process.setup_.world->trace("read in", core.value(), result ? 1 : 0);
                      events.on_read_in(token, result);
                  });
              }),
          net(*process.setup_.network, process.server_, core) {}

    [[nodiscard]] port::CorePorts ports() {
        port::CorePorts ports;
        ports.id = id;
        ports.clock = &clock;
        ports.timer = &timer;
        ports.disk = &disk;
        ports.net = &net;
        ports.mailbox = &mailbox;
        ports.random = &random;
        return ports;
    }

    CoreId id;
    Clock clock;
    Timer timer;
    Mailbox mailbox;
    Random random;
    SimDisk disk;
    SimNet net;
    bool turn_due = false;
};

Process::Process(Setup setup) : setup_(std::move(setup)) {
    server_.alive = alive_;
    server_.host = setup_.host;
    server_.core_count = setup_.core_count;
    server_.deliver = [this](CoreId core, Action action) { deliver(core, std::move(action)); };
    for (uint16_t i = 0; i <= setup_.core_count; i++) {
        cores_.push_back(std::make_unique<CoreSide>(*this, CoreId(i)));
    }
}

Process::~Process() {
    die();
    broker_.reset(); // before the ports it stands on
}

void Process::die() {
    *alive_ = false;
    if (life_ != Life::ended) {
        life_ = Life::dead;
    }
}

Result<void> Process::start() {
    const CoreId metadata(setup_.core_count);
    CoreSide& last = *cores_.back();
    broker::Broker::Setup setup;
    storage::LogDirs::Setup dirs;
    dirs.paths = setup_.config.log_dirs;
    dirs.self = BrokerId(setup_.config.node_id);
    dirs.reserve_bytes = setup_.config.log_dir_reserve_bytes;
    dirs.new_id = [&last] { return make_uuid(last.random.next(), last.random.next()); };
    Result<std::unique_ptr<storage::LogDirs>> log_dirs = storage::LogDirs::open(last.disk, dirs);
    if (!log_dirs) {
        outcome_ = std::move(log_dirs).error();
        life_ = *alive_ ? Life::ended : Life::dead;
        return outcome_;
    }
    setup.log_dirs = *std::move(log_dirs);
    setup.store = std::make_unique<SimStore>(
        *setup_.world, *setup_.store, setup_.host, alive_,
        [this, metadata](std::function<void()> action) {
            deliver(metadata, [action = std::move(action)](port::CoreEvents&) { action(); });
        });
    setup.config = setup_.config;
    setup.events = this;
    for (const auto& core : cores_) {
        setup.ports.push_back(core->ports());
    }
    broker_ = std::make_unique<broker::Broker>(std::move(setup));
    for (const auto& core : cores_) {
        setup_.world->after(setup_.world->between(1us, 2ms), [this, alive = alive_, id = core->id] {
            if (*alive) {
                deliver(id, [this, id](port::CoreEvents&) { broker_->start(id); });
            }
        });
    }
    return {};
}

void Process::begin_stop() {
    if (broker_ && *alive_) {
        deliver(CoreId(setup_.core_count), [this](port::CoreEvents&) { broker_->begin_stop(); });
    }
}

void Process::pause() {
    server_.is_paused = true;
}

void Process::resume() {
    if (!std::exchange(server_.is_paused, false)) {
        return;
    }
    for (auto& [core, action] : std::exchange(held_, {})) {
        deliver(core, std::move(action));
    }
    for (const auto& core : cores_) {
        if (core->turn_due && *alive_) {
            end_turn(core->id);
        }
    }
    if (*alive_) {
        setup_.network->wake(server_);
    }
}

void Process::deliver(CoreId core, Action action) {
    if (!*alive_) {
        return;
    }
    if (server_.is_paused) {
        held_.emplace_back(core, std::move(action));
        return;
    }
    action(broker_->events_of(core));
    CoreSide& side = *cores_.at(core.value());
    if (!side.turn_due && *alive_) {
        side.turn_due = true;
        World& world = *setup_.world;
        world.after(world.chance_percent(70) ? Duration(0) : world.between(0us, 30us),
                    [this, alive = alive_, core] {
                        if (*alive && !server_.is_paused) {
                            end_turn(core);
                        }
                    });
    }
}

void Process::end_turn(CoreId core) {
    if (!std::exchange(cores_.at(core.value())->turn_due, false)) {
        return; // a pause came between
    }
    setup_.world->trace("turn", core.value());
    broker_->events_of(core).on_turn_end();
}

void Process::on_serving(const std::vector<port::SocketAddress>&,
                         const std::vector<port::SocketAddress>&) {
    if (*alive_) {
        setup_.world->trace("serving");
        life_ = Life::serving;
    }
}

void Process::on_ended(Result<void> result) {
    if (*alive_) {
        setup_.world->trace("ended", result ? 1 : 0);
        outcome_ = std::move(result);
        life_ = Life::ended;
    }
}

} // namespace qtool::sim
