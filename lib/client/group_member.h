// GroupMember: the machine of one member of a consumer group (KIP-848): finds the coordinator,
// joins under an id of its own making, keeps alive, and follows what the coordinator assigns. Sans
// I/O; shares the Cluster of a Consumer, which hands it the replies that are not its own.
//
//   joining (epoch 0) --heartbeat answered--> member (epoch > 0) --leave()--> left (epoch -1)
//   member --fenced or unknown--> joining; all partitions are lost
//   any --an error that does not pass--> failed
//
// The assignment is reached in steps, each told by a GroupChange: first what must go (the caller
// commits and calls give_back(), and only then the coordinator hears of it and may give it to
// another member), then what comes, with its committed offsets.
#pragma once

#include "lib/client/blocking.h"
#include "lib/client/cluster.h"

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace qtool::client {

class GroupMember {
public:
    /// `cluster` outlives this.
    GroupMember(Cluster& cluster, const config::ClientConfig& config, GroupOptions options,
                uint64_t seed);

    /// `replies`: those of FindCoordinator, ConsumerGroupHeartbeat, OffsetFetch and OffsetCommit.
    void step(std::vector<Reply> replies, MonoTime now, Outbox& out);
    [[nodiscard]] MonoTime next_due(MonoTime now) const;

    [[nodiscard]] bool has_joined() const { return epoch_ > 0; }
    [[nodiscard]] bool has_change() const { return !changes_.empty(); }
    /// The oldest change not taken yet.
    std::optional<GroupChange> take_change();
    /// What the last change revoked is not read any more and is committed.
    void give_back();

    /// Commits these as soon as possible; a later offset of a partition replaces an earlier one.
    /// Offsets of partitions that do not exist any more are dropped in silence.
    void commit(const std::vector<PartitionOffset>& offsets);
    [[nodiscard]] bool is_committed() const { return commits_.empty() && committing_.empty(); }
    /// What went wrong with commits since the last call. Errors: cancelled (the member was fenced
    /// before they were made), not_authorized, internal.
    Result<void> take_commit_result() { return std::exchange(commit_result_, {}); }

    /// Nothing is joined or kept alive any more. Commits that wait are still made before.
    void leave() { leaving_ = true; }
    [[nodiscard]] bool has_left() const { return left_ || failure_; }
    /// Why the group cannot be joined or stayed in, for good.
    [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }

private:
    using Key = std::pair<Uuid, int32_t>;
    using Offsets = std::map<std::pair<std::string, int32_t>, int64_t>;
    /// A kind of request; at most one of each is out.
    struct Call {
        uint64_t tag = 0; // 0: none is out
        uint32_t failures = 0;
        MonoTime retry_at = MonoTime::min();

        [[nodiscard]] bool may_send(MonoTime now) const { return tag == 0 && retry_at <= now; }
    };

    void find_coordinator(MonoTime now, Outbox& out);
    void heartbeat(MonoTime now, Outbox& out);
    void fetch_offsets(MonoTime now, Outbox& out);
    void send_commits(MonoTime now, Outbox& out);
    bool coordinator_ready(MonoTime now, Outbox& out);
    std::optional<int16_t> version_of(int16_t api_key, int16_t lowest, int16_t highest);

    void on_coordinator(const Reply& reply, MonoTime now);
    void on_heartbeat(const Reply& reply, MonoTime now);
    void on_offsets(const Reply& reply, MonoTime now);
    void on_commit(const Reply& reply, MonoTime now);
    enum class Verdict : uint8_t { pass, retry, rejoin, fatal };
    Verdict judge(Call& call, protocol::KafkaError error, MonoTime now);
    void retry(Call& call, MonoTime now);
    void lose_coordinator(MonoTime now);
    void rejoin();
    void fail(protocol::KafkaError error, std::string_view broker_says);

    void reconcile(MonoTime now);
    [[nodiscard]] const std::string* topic_of(const Key& key) const;
    [[nodiscard]] bool is_owned_news() const { return owned_revision_ != told_revision_; }

    Cluster& cluster_;
    const Backoff backoff_;
    const GroupOptions options_;
    Prng prng_;
    const std::string member_id_;
    uint64_t next_tag_ = 1;

    int32_t coordinator_ = -1;                     // node; -1: to be found
    MonoTime coordinator_asked_ = MonoTime::min(); // in vain since then; min: not in vain
    Call find_;

    Call beat_;
    int32_t epoch_ = 0;
    bool full_ = true;       // the next heartbeat says everything
    bool was_heard_ = false; // a heartbeat was sent, ever
    uint32_t first_beats_left_;
    MonoTime beat_at_ = MonoTime::min();
    bool leaving_ = false;
    bool leave_sent_ = false;
    bool left_ = false;
    std::optional<Error> failure_;

    std::set<Key> target_;     // what we may own, as last heard
    bool target_open_ = false; // not reached yet
    std::set<Key> owned_;
    uint64_t owned_revision_ = 0;
    uint64_t sent_revision_ = 0;
    uint64_t told_revision_ = 0;        // of owned_, known to the coordinator
    std::map<Uuid, std::string> names_; // of what was ever assigned
    std::set<Key> revoking_;            // told to the caller, not given back yet
    std::set<Key> adding_;              // their offsets are being fetched
    Call fetch_;
    std::deque<GroupChange> changes_;

    Call commit_;
    Offsets commits_;                       // to be sent
    Offsets committing_;                    // out
    std::optional<MonoTime> unknown_since_; // commits meet topics the coordinator does not know
    Result<void> commit_result_;
};

} // namespace qtool::client
