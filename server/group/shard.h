// GroupShard: the groups and committed offsets whose log is one partition of __consumer_offsets.
// Lives on the core of that partition, driven by coordinator::Runtime.
//
// What is in the log and what is not: committed offsets, and of a group what its record says
// (generation, protocol, members and their assignments), change in replay alone. A classic group's
// rebalance in between (who joined, who waits, the generation it will have) is in memory only, as
// in Kafka: after a restart the members are as of the last completed sync and join again.
#pragma once

#include "server/coordinator/machine.h"
#include "server/group/shard_state.h"

namespace qtool::group {

class GroupShard final : public coordinator::Machine {
public:
    Result<void> replay(const coordinator::Record& record) override;
    void replay_marker(const protocol::TransactionMarker& marker) override;
    void on_loaded(coordinator::Host& host) override;
    void on_request(const coordinator::Request& request, coordinator::Host& host) override;
    void on_image(const metadata::Delta& delta, coordinator::Host& host) override;
    [[nodiscard]] MonoTime next_due() const override { return state_.timers.next_due(); }
    void on_time(coordinator::Host& host) override;
    void survey(metrics::CoreSurvey& survey, uint32_t offsets_max) const override;

    /// For tests: what there is now.
    [[nodiscard]] const ShardState& state() const { return state_; }

private:
    ShardState state_;
};

} // namespace qtool::group
