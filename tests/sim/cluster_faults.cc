#include "tests/sim/cluster_faults.h"

#include "server/metadata/record_codec.h"

#include <algorithm>
#include <utility>

namespace qtool::sim {

namespace {

using Kind = PlannedFault::Kind;

// How long an operator waits for the cluster before a disk is put back, or the next broker
// restarted.
constexpr Duration kSettleMax = 10s;
// Several leaders of a partition write what no other has, before the ISR shrinks (KIP-279).
constexpr Duration kFlap = 900ms;
// ... and the first of them is back when the last one's session ends: it is eligible (KIP-966).
constexpr Duration kFlapBack = 2500ms;
constexpr Duration kFlapBackStep = 400ms;
// A leader writes alone for so long, stops, and is back.
constexpr Duration kAlone = 400ms;
constexpr Duration kAloneUntil = 2s;
constexpr Duration kCutWithin = 2s; // of its return

} // namespace

ClusterFaults::ClusterFaults(Setup setup)
    : world_(*setup.world),
      network_(*setup.network),
      store_(*setup.store),
      checker_(*setup.checker),
      machines_(*setup.machines),
      is_settled_(std::move(setup.is_settled)),
      is_settled_but_(std::move(setup.is_settled_but)),
      is_replicated_(std::move(setup.is_replicated)),
      rot_(std::move(setup.rot)),
      on_replaced_(std::move(setup.on_replaced)),
      leader_of_(std::move(setup.leader_of)) {}

// A disk that is gone is the one failure that a partition with min.insync.replicas=1 survives, and
// only while the store does not take the others for dead and the one without its records for alive:
// until that broker is back and has said so, nobody else may go.
bool ClusterFaults::may_begin(PlannedFault::Kind kind) const {
    if (may_anybody_go()) {
        return true;
    }
    switch (kind) {
    case Kind::clock:
    case Kind::full:
    case Kind::slow:
    case Kind::delay:
    case Kind::reset:
    case Kind::stall:
    case Kind::clients_cut:
        return true;
    default:
        return false;
    }
}

bool ClusterFaults::may_anybody_go() const {
    return replaced_ == nullptr || replaced_->is_serving();
}

void ClusterFaults::begin(const PlannedFault& fault) {
    if (!may_begin(fault.kind)) {
        return;
    }
    world_.print("fault " + to_text(fault));
    Machine& machine = *machines_[fault.broker];
    const HostId host = machine.host();
    const HostId other = machines_[fault.other]->host();
    switch (fault.kind) {
    case Kind::kill:
        machine.kill();
        return;
    case Kind::kill_within:
        machine.kill_within(fault.amount);
        return;
    case Kind::power:
        machine.lose_power();
        return;
    case Kind::power_within:
        machine.lose_power_within(fault.amount);
        return;
    case Kind::power_many:
    case Kind::power_all:
        for (size_t i = 0; i < machines_.size(); i++) {
            if (fault.kind == Kind::power_all || (fault.amount >> i & 1) != 0) {
                machines_[i]->lose_power();
            }
        }
        return;
    case Kind::pause:
        machine.pause(fault.length);
        note_lasting(fault.length);
        return;
    case Kind::wipe:
        if (fault.amount % 2 == 0) {
            static_cast<void>(replace_disk(machine, true));
        } else {
            replace_as_it_joins(fault.broker);
        }
        return;
    case Kind::backup:
        // Told from what it was by the count of starts, so it starts once more in between.
        machine.take_backup();
        machine.kill();
        restore_backup(machine, world_.now() + kSettleMax);
        return;
    case Kind::clock:
        machine.jump_clock();
        checker_.on_clock(machine.wall_offset());
        return;
    case Kind::sync_error:
        break_sync(machine);
        return;
    case Kind::full:
        machine.device().set_full(true);
        world_.after(fault.length, [&machine] { machine.device().set_full(false); });
        return;
    case Kind::slow:
    case Kind::stuck:
        world_.hit(Fault::disk_slow);
        machine.device().set_sync_delay(fault.kind == Kind::stuck ? fault.length
                                                                  : fault.length / 20);
        world_.after(fault.length, [&machine] { machine.device().set_sync_delay({}); });
        return;
    case Kind::cut_one_way:
        cut({{host, other}}, fault.length);
        return;
    case Kind::cut:
        cut({{host, other}, {other, host}}, fault.length);
        return;
    case Kind::isolate:
        cut(around(host, false), fault.length);
        return;
    case Kind::isolate_all:
        cut(around(host, true), fault.length);
        cut_store(host, fault.length);
        return;
    case Kind::split:
        cut(between_halves(fault.amount), fault.length);
        return;
    case Kind::clients_cut:
        cut({{host, kClientHost}, {kClientHost, host}}, fault.length);
        return;
    case Kind::delay:
        world_.hit(Fault::link_slow);
        network_.set_delay(host, other, fault.length / 20);
        world_.after(fault.length, [this, host, other] { network_.set_delay(host, other, {}); });
        return;
    case Kind::reset:
        network_.reset_some();
        return;
    case Kind::stall:
        network_.stall_clients(fault.length);
        return;
    case Kind::store_cut:
        cut_store(host, fault.length);
        return;
    case Kind::store_down:
        world_.hit(Fault::store_down);
        store_.set_down(true);
        note_lasting(fault.length);
        world_.after(fault.length, [this] { store_.set_down(false); });
        return;
    case Kind::session_revoked:
        static_cast<void>(store_.end_some_session());
        return;
    case Kind::stop:
        machine.stop_gracefully();
        return;
    case Kind::stop_kill:
        machine.stop_gracefully();
        machine.kill_within(1 + fault.amount % 12);
        return;
    case Kind::rolling:
        roll(0);
        return;
    case Kind::flap:
        cut(between_all(), kFlap);
        for (Duration after = kFlap / 6; after < kFlap; after += kFlap / 6) {
            world_.after(after, [this] { static_cast<void>(store_.end_some_session()); });
        }
        return;
    case Kind::rot:
        machine.stop_gracefully();
        rot(machine, world_.now() + kSettleMax);
        return;
    case Kind::flap_back:
        flap_back(fault.amount);
        return;
    case Kind::power_at_cut:
        lose_power_at_cut(machine, fault.amount);
        return;
    }
}

// A link that two faults cut heals with the first of them: more is not needed.
void ClusterFaults::cut(const LinkList& links, Duration length) {
    world_.hit(Fault::link_cut);
    note_lasting(length);
    for (const auto& [from, to] : links) {
        network_.set_link(from, to, true);
    }
    world_.after(length, [this, links] {
        for (const auto& [from, to] : links) {
            network_.set_link(from, to, false);
        }
    });
}

ClusterFaults::LinkList ClusterFaults::around(HostId host, bool clients_too) {
    LinkList links;
    for (const auto& machine : machines_) {
        if (machine->host() != host) {
            links.emplace_back(host, machine->host());
            links.emplace_back(machine->host(), host);
        }
    }
    if (clients_too) {
        links.emplace_back(host, kClientHost);
        links.emplace_back(kClientHost, host);
    }
    return links;
}

ClusterFaults::LinkList ClusterFaults::between_all() {
    LinkList links;
    for (const auto& one : machines_) {
        for (const auto& other : machines_) {
            if (one != other) {
                links.emplace_back(one->host(), other->host());
            }
        }
    }
    return links;
}

ClusterFaults::LinkList ClusterFaults::between_halves(uint32_t bits) {
    LinkList links;
    for (size_t i = 0; i < machines_.size(); i++) {
        for (size_t j = 0; j < machines_.size(); j++) {
            if ((bits >> i & 1) != (bits >> j & 1)) {
                links.emplace_back(machines_[i]->host(), machines_[j]->host());
            }
        }
    }
    return links;
}

void ClusterFaults::cut_store(HostId host, Duration length) {
    world_.hit(Fault::store_cut);
    store_.set_reachable(host, false);
    note_lasting(length);
    world_.after(length, [this, host] { store_.set_reachable(host, true); });
}

// The log goes offline; an operator restarts the broker after a while, on a new boot.
void ClusterFaults::break_sync(Machine& machine) {
    constexpr Duration kRestartMax = 2s;
    machine.device().fail_syncs(1);
    note_lasting(kRestartMax);
    world_.after(world_.between(100ms, kRestartMax), [&machine] {
        if (!machine.device().fails_syncs()) {
            machine.lose_power();
        }
    });
}

void ClusterFaults::note_lasting(Duration length) {
    lasting_++;
    world_.after(length, [this] { lasting_--; });
}

bool ClusterFaults::is_quiet() const {
    return is_settled_() && lasting_ == 0 && !will_somebody_go();
}

// Every other replica of the partition is in the ISR then, and no disk is replaced from then on: it
// might be the last one with good bytes.
void ClusterFaults::rot(Machine& machine, MonoTime limit) {
    world_.after(world_.between(50ms, 300ms), [this, &machine, limit] {
        if (world_.now() >= limit) {
            return;
        }
        if (!is_quiet() || !may_begin(Kind::rot)) {
            rot(machine, limit);
        } else if (rot_(machine)) {
            has_rotten_ = true;
        }
    });
}

// Nobody replaces a disk while it may hold what no other has: all others of each partition must
// be in the ISR and about to stay there, and the one that had its disk replaced last must be back.
bool ClusterFaults::replace_disk(Machine& machine, bool is_empty) {
    if (!is_quiet() || !is_replicated_() || has_rotten_) {
        return false;
    }
    replaced_ = &machine;
    on_replaced_(machine);
    if (is_empty) {
        machine.wipe();
    } else {
        machine.restore_backup();
    }
    if (world_.chance_percent(50)) {
        kill_others_when_back(machine, world_.now() + kSettleMax);
    }
    return true;
}

bool ClusterFaults::will_somebody_go(const Machine* except) const {
    return std::any_of(machines_.begin(), machines_.end(), [&](const auto& other) {
        return other.get() != except && (other->device().will_halt() || other->is_stopping());
    });
}

// KIP-903: the leader asks for the process that had all, and meanwhile another one has its id.
void ClusterFaults::replace_as_it_joins(uint16_t broker) {
    if (!is_quiet() || !is_replicated_() || has_rotten_) {
        return;
    }
    machines_[broker]->stop_gracefully(); // it leaves every ISR, and is to join them again
    const MonoTime limit = world_.now() + kSettleMax;
    store_.hold_join(metadata::live_key(BrokerId(broker + 1)), [this, broker, limit] {
        return world_.now() < limit && replace_joining(broker);
    });
}

bool ClusterFaults::replace_joining(uint16_t broker) {
    Machine& machine = *machines_[broker];
    const BrokerId id(broker + 1);
    // It may be on its way out still: until then it fetches, and is asked for again.
    if (!is_settled_but_(id) || !is_replicated_() || lasting_ > 0 || has_rotten_ ||
        will_somebody_go(&machine)) {
        return false;
    }
    replaced_ = &machine;
    cut(around(machine.host(), false), 2s); // it fetches nothing until it is asked for
    world_.after(0us, [this, &machine, id] {
        on_replaced_(machine); // not before: the process that still runs has all
        machine.wipe();
        store_.end_session_of(metadata::live_key(id));
    });
    return true;
}

// Whoever is back without its records must not lead, though it is the only one there.
void ClusterFaults::kill_others_when_back(Machine& machine, MonoTime limit) {
    world_.after(1ms, [this, &machine, limit] {
        if (world_.now() >= limit) {
            return;
        }
        if (!machine.is_serving()) {
            kill_others_when_back(machine, limit);
            return;
        }
        for (const auto& other : machines_) {
            if (other.get() != &machine && other->is_serving()) {
                other->kill();
            }
        }
    });
}

void ClusterFaults::restore_backup(Machine& machine, MonoTime limit) {
    world_.after(world_.between(100ms, 1s), [this, &machine, limit] {
        if (world_.now() < limit && !(machine.has_old_backup() && replace_disk(machine, false))) {
            restore_backup(machine, limit);
        }
    });
}

// Each leader in turn writes what nobody fetches, until its session ends. Who leads once more has
// its own records where the one before has others, of a later epoch.
void ClusterFaults::flap_back(uint32_t number) {
    cut(between_all(), kFlapBack);
    for (Duration after = kFlapBackStep; after < kFlapBack; after += kFlapBackStep) {
        world_.after(after, [this, number] {
            if (const BrokerId leader = leader_of_(number); leader != kNoBroker) {
                world_.hit(Fault::session_revoked);
                store_.end_session_of(metadata::live_key(leader));
            }
        });
    }
}

// It notes all that it has as synced when it stops, and what no other has is cut off when it is
// back: the notes must not count any more when the power goes before as much is synced again.
void ClusterFaults::lose_power_at_cut(Machine& machine, uint32_t amount) {
    cut(around(machine.host(), false), kAloneUntil);
    world_.after(kAlone, [&machine] { machine.stop_gracefully(); });
    world_.after(kAloneUntil - 1ms, [this, &machine, amount] {
        if (!machine.is_serving() || machine.is_stopping() || machine.device().will_halt()) {
            return;
        }
        machine.lose_power_after_cut(1 + amount % 8);
        note_lasting(kCutWithin);
        world_.after(kCutWithin, [&machine] { machine.device().cancel_halt(); });
    });
}

void ClusterFaults::roll(size_t index) {
    if (index == machines_.size()) {
        return;
    }
    Machine& machine = *machines_[index];
    machine.stop_gracefully();
    roll_on(index, world_.now() + kSettleMax);
}

void ClusterFaults::roll_on(size_t index, MonoTime limit) {
    world_.after(200ms, [this, index, limit] {
        if (world_.now() < limit && !(is_settled_() && may_begin(Kind::stop))) {
            roll_on(index, limit);
        } else if (may_begin(Kind::stop)) { // else the operator leaves it at that
            roll(index + 1);
        }
    });
}

} // namespace qtool::sim
