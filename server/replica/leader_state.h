// LeaderState: what the leader of a partition knows of the other replicas, and what follows from
// it: up to where the partition is replicated, and which ISR to ask the metadata for. One leader
// epoch of one partition; a machine without clock or log, part of its Partition.
//
// Of an ISR change:   none  --propose-->  in flight  --image of a newer partition epoch-->  none
//                     in flight  --refused-->  none (not again before kProposalRest)
//                     in flight  --nobody knows (store away)-->  uncertain  --propose-->  in flight
// Only an image ends what was uncertain once: the proposal after it is settling, and brings one of
// a newer partition epoch whatever it finds. Who may have become a member counts as one (the
// "maximal ISR" of KIP-497) until the metadata says otherwise; who leaves counts until then, too.
#pragma once

#include "lib/base/ids.h"
#include "lib/base/result.h"
#include "lib/base/time.h"
#include "server/metadata/image.h"

#include <optional>
#include <string>
#include <vector>

namespace qtool::replica {

/// Another replica as the leader sees it.
struct FollowerProgress {
    BrokerId id;
    bool is_in_sync = false;  // member of the ISR as committed
    bool is_joining = false;  // an ISR that has it was asked for, and may be committed
    Revision joining_epoch{}; // ... with this broker epoch
    bool is_elr = false;      // eligible leader replica (KIP-966): may lead when the ISR is gone
    bool is_live = false;     // its broker is, as the image says
    Revision live_epoch{};    // of that broker
    Revision epoch{};         // the broker epoch it fetched with last; 0: it did not say
    /// Everything below is on its disk; kNoOffset: it has not fetched from this leader.
    Offset end = kNoOffset;
    Offset log_start = kNoOffset;
    /// When it had all that was in the leader's log at that time.
    MonoTime caught_up_at{};
    bool was_caught_up = false;             // caught_up_at means something
    MonoTime fetched_at{};                  // its last fetch, and
    Offset leader_end_at_fetch = kNoOffset; // where the leader's log ended then
    Offset told_high_watermark = kNoOffset; // in the last answer
};

/// An ISR to be asked for.
struct IsrProposal {
    struct Member {
        BrokerId id;
        Revision broker_epoch{}; // of one that joins: the epoch it fetched with (KIP-903)
    };
    PartitionKey key;
    LeaderEpoch leader_epoch;
    int32_t partition_epoch = 0;
    std::vector<Member> isr; // in the order of the assignment
    bool is_expansion = false;
    bool is_shrink = false;
    /// One of this partition epoch may be on its way to the store yet. Where this one is refused,
    /// it is to begin a newer partition epoch all the same, so that the other is void.
    bool is_settling = false;
    /// Instead of an ISR, by a replica that leads or not: its log is damaged (copy_loss.h).
    bool is_copy_lost = false;
};

/// "1,2,3", for logs.
std::string describe(const IsrProposal& proposal);

class LeaderState {
public:
    /// After an ISR that was refused.
    static constexpr Duration kProposalRest = 100ms;

    /// `epoch_start` is where the log ended when the epoch began. Members of the ISR are given
    /// `now` as the time they were caught up.
    LeaderState(BrokerId self, const metadata::PartitionImage& image, Offset epoch_start,
                MonoTime now);

    /// A newer image of the same leader epoch.
    void apply(const metadata::PartitionImage& image, MonoTime now);
    /// What the image says of a replica's broker.
    void set_broker(BrokerId id, bool is_live, Revision epoch);

    struct Fetch {
        BrokerId replica;
        Revision broker_epoch{}; // 0: it did not say
        Offset offset;           // its log end, on its disk
        Offset log_start = kNoOffset;
    };
    /// Errors (nothing is recorded): unknown_leader_epoch, of a broker that is no replica;
    /// not_leader, when its broker epoch is older than one it was seen with.
    [[nodiscard]] Result<void> check_fetch(const Fetch& fetch) const;
    /// REQUIRES: check_fetch passed. `log_end` is the leader's.
    void on_fetch(const Fetch& fetch, Offset log_end, MonoTime now);

    /// What the high watermark may rise to, given the leader's own end on disk (written end with
    /// write caching); nothing: it has to stay, because the ISR is below `min_insync`, or there are
    /// eligible leader replicas, which hold all that is committed only while it stays (KIP-966).
    /// Every member of the maximal ISR has everything below; and so have those who are about to
    /// join, or a leader under load would run away from them.
    [[nodiscard]] std::optional<Offset> committed_end(Offset own_end, int32_t min_insync,
                                                      MonoTime now, Duration lag_max) const;

    /// The ISR to ask for, if it should change and no change is in flight: without those that were
    /// not caught up within `lag_max`, with those that have everything below the high watermark and
    /// this epoch's start, and have deleted what is below the log start: one that led would bring
    /// deleted records back. It is in flight then.
    std::optional<IsrProposal> propose(Offset log_start, Offset log_end, Offset high_watermark,
                                       MonoTime now, Duration lag_max);
    /// Below it are no records on any replica that lives or may come to lead (KIP-107); kNoOffset:
    /// one of them has not said where its log starts.
    [[nodiscard]] Offset low_watermark(Offset own_log_start) const;
    /// The same for a leader whose log is broken: the ISR without it, if that has a member.
    std::optional<IsrProposal> propose_to_resign(MonoTime now);
    /// The metadata said no or that there is nothing to change: success. Any error: nobody knows.
    /// The answer may be late, and not that to the last proposal: `partition_epoch` is of the one
    /// it is for.
    void on_proposal_ended(int32_t partition_epoch, const Result<void>& result, MonoTime now);

    [[nodiscard]] Offset epoch_start() const { return epoch_start_; }
    [[nodiscard]] uint32_t isr_size() const { return isr_size_; }
    [[nodiscard]] uint32_t replica_count() const {
        return static_cast<uint32_t>(followers_.size()) + 1;
    }
    [[nodiscard]] const std::vector<FollowerProgress>& followers() const { return followers_; }
    /// nullptr: no replica, or the leader itself.
    [[nodiscard]] FollowerProgress* find(BrokerId id);
    [[nodiscard]] const FollowerProgress* find(BrokerId id) const;

private:
    enum class Change : uint8_t { none, in_flight, uncertain };

    void begin(IsrProposal& proposal);
    [[nodiscard]] static bool is_caught_up(const FollowerProgress& follower, MonoTime now,
                                           Duration lag_max) {
        return follower.was_caught_up && now - follower.caught_up_at <= lag_max;
    }
    /// May it be asked for: its broker lives, and is the one that fetched.
    [[nodiscard]] static bool is_eligible(const FollowerProgress& follower) {
        return follower.is_live &&
               (follower.epoch == Revision{0} || follower.epoch == follower.live_epoch);
    }

    BrokerId self_;
    LeaderEpoch leader_epoch_;
    int32_t partition_epoch_;
    Offset epoch_start_;
    uint32_t isr_size_ = 0; // as committed, the leader with it
    bool has_elr_ = false;
    std::vector<FollowerProgress> followers_;
    std::vector<BrokerId> order_; // of the assignment, the leader with it
    Change change_ = Change::none;
    MonoTime propose_at_{}; // not before
};

} // namespace qtool::replica
