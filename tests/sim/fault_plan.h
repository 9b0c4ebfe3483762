// FaultPlan: what goes wrong in a run of the cluster simulator, and when: drawn from the seed alone
// before anything happens, so that a fault can be left out without changing the others. That is how
// a failing seed is shrunk to a short plan.
#pragma once

#include "lib/base/prng.h"
#include "lib/base/time.h"

#include <cstdint>
#include <string>
#include <vector>

namespace qtool::sim {

struct PlannedFault {
    enum class Kind : uint8_t {
        kill,            // of a process
        kill_within,     // ... between two disk operations
        power,           // of a machine
        power_within,    // ... between two disk operations
        power_many,      // of several machines at once
        power_all,       // of all
        pause,           // of a process
        wipe,            // a machine comes back with an empty disk
        backup,          // a machine comes back with an old disk
        clock,           // a wall clock jumps
        sync_error,      // an fdatasync fails
        full,            // a disk is full
        slow,            // a disk is slow
        stuck,           // a disk does nothing for a while
        cut_one_way,     // one machine does not reach another
        cut,             // two machines do not reach each other
        isolate,         // a machine reaches no other broker, nor they it; clients do
        isolate_all,     // ... and neither the store nor the clients
        split,           // the brokers fall into two halves
        clients_cut,     // the clients do not reach a machine
        delay,           // a link is slow
        reset,           // streams are reset
        stall,           // clients do not read
        store_cut,       // a machine does not reach the store
        store_down,      // nobody does
        session_revoked, // the store ends a session that was renewed
        stop,            // a graceful stop
        stop_kill,       // ... that a kill ends
        rolling,         // a graceful restart of all, one by one
        flap,            // one leader after the other loses its session; nothing is replicated
        rot,             // a bit of what is stored flips, after a graceful restart
        flap_back,       // a leader leads again that meanwhile fetched nothing (KIP-279)
        power_at_cut,    // power loss as a log is cut whose end was noted as synced
    };
    static constexpr size_t kKindCount = 30; // but for the last ones, which are drawn apart

    Kind kind = Kind::kill;
    Duration when{};     // since the clients began
    uint16_t broker = 0; // index
    uint16_t other = 0;  // another one, when there is one
    Duration length{};   // of what lasts
    uint32_t amount = 0; // disk operations, or which brokers
};

using FaultPlan = std::vector<PlannedFault>;

[[nodiscard]] bool has_kind(const FaultPlan& plan, PlannedFault::Kind kind);

/// `horizon`: how long faults may begin.
FaultPlan make_fault_plan(uint64_t seed, uint16_t brokers, Duration session_timeout,
                          Duration horizon);

/// One line of a story: "2.310 s: broker 2: kill".
std::string to_text(const PlannedFault& fault);

} // namespace qtool::sim
