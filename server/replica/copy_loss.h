// CopyLoss: what a replica with a damaged log does about it, before it may begin anew. A machine
// without clock or log, part of its Partition.
//
//   none  --propose-->  in flight  --committed-->  noted  --image behind it-->  settled
//         <--refused, or nobody knows--
//
// Settled: the metadata count this replica for nothing, neither in the ISR nor in the ELR, in a
// leader epoch in which it has not fetched; so nothing that it had and drops is relied on.
#pragma once

#include "server/replica/leader_state.h"

#include <optional>

namespace qtool::replica {

class CopyLoss {
public:
    /// After an answer other than yes: nobody else may have had all that is committed.
    static constexpr Duration kRest = 500ms;

    /// What to ask for, unless that is under way or done.
    std::optional<IsrProposal> propose(LeaderEpoch leader_epoch, int32_t partition_epoch,
                                       MonoTime now) {
        if (state_ != State::none || now < propose_at_) {
            return std::nullopt;
        }
        state_ = State::in_flight;
        asked_in_ = partition_epoch;
        IsrProposal proposal;
        proposal.leader_epoch = leader_epoch;
        proposal.partition_epoch = partition_epoch;
        proposal.is_copy_lost = true;
        return proposal;
    }
    /// Success: it is committed.
    void on_ended(const Result<void>& result, MonoTime now) {
        if (state_ == State::in_flight) {
            state_ = result ? State::noted : State::none;
            propose_at_ = now + kRest;
        }
    }
    [[nodiscard]] bool is_settled(int32_t partition_epoch) const {
        return state_ == State::noted && partition_epoch > asked_in_;
    }
    void reset() { state_ = State::none; }

private:
    enum class State : uint8_t { none, in_flight, noted };

    State state_ = State::none;
    int32_t asked_in_ = 0; // partition epoch
    MonoTime propose_at_{};
};

} // namespace qtool::replica
