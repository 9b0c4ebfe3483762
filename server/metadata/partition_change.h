// PartitionChange: what may become of the ISR, the leader and the replicas of one partition. Every
// decision that touches a partition goes through it, so that the rules hold wherever it comes from.
//
//   ISR   its last member stays, alive or not; empty only when the last copy of what is committed
//         is lost, so that nobody starts from nothing unless somebody asks for it
//   ELR   (KIP-966) who leaves the ISR while it is, or falls, under min.insync.replicas, since the
//         high watermark then stands still; cleared when the ISR is large enough again
//   leader a live member of the ISR, in assignment order; else a live one of the ELR, which then is
//         the ISR; else none, ISR and ELR kept; else, where the topic allows to lose records, any
//         live replica
//
// Each change of leader raises the leader epoch by one, and so do replicas that leave: no fetch of
// theirs is then of this epoch. Each change at all raises the partition epoch by one.
// Pure; for any thread. Source: Kafka's PartitionChangeBuilder; KIP-966, KIP-455.
#pragma once

#include "server/metadata/image.h"

#include <functional>
#include <optional>
#include <vector>

namespace qtool::metadata {

/// Partitions one transaction changes at most: with a guard each and a few more they fit any store
/// (etcd: 120).
inline constexpr size_t kBatchPartitionsMax = 100;

/// min.insync.replicas as it holds for a partition: at least 1, at most its replicas, those that
/// are being added apart.
size_t min_isr(const TopicImage& topic, const PartitionImage& partition);

/// Whether the broker is one of them.
bool contains(const std::vector<BrokerId>& brokers, BrokerId broker);

class PartitionChange {
public:
    using IsLive = std::function<bool(BrokerId)>;

    /// `topic` must outlive the change.
    PartitionChange(const TopicImage& topic, const PartitionImage& before);

    [[nodiscard]] const PartitionImage& now() const { return now_; }

    /// Not empty; replicas only.
    void set_isr(std::vector<BrokerId> isr);
    /// Clears the ELR when the ISR is large enough: min.insync.replicas may have been lowered.
    void clear_elr_if_idle();
    /// Takes brokers out of the ISR, but never the last one. Where all would go, all stay: each
    /// of them holds what is committed.
    void leave_isr(const IsLive& stays);
    /// Its copy is gone, or not what it was: out of ISR and ELR. False: it was the last one that
    /// held what is committed; the ISR is empty now. elect follows.
    bool lose_copy(BrokerId broker);

    /// Keeps a live leader of the ISR; else elects as above.
    void elect(const IsLive& is_live);
    /// As elect, whatever the topic says of losing records: not, or where nobody else is found.
    void elect_clean(const IsLive& is_live);
    void elect_unclean(const IsLive& is_live);
    /// Makes the broker leader, which must be a member of the ISR.
    void set_leader(BrokerId broker);
    /// A new term of the leader there is.
    void renew_leader();
    /// A new partition epoch, though nothing else changes: what was decided in this one is void.
    void renew() { is_renewed_ = true; }

    /// Wants these replicas in the end, in this order: not empty, each once. As before: cancels
    /// what is under way.
    void reassign(const std::vector<BrokerId>& target);
    /// Back to the replicas before; without effect on the leader: elect follows. False when
    /// nothing is under way, or only new replicas hold what is committed.
    bool cancel_reassignment();
    /// Those removing go when all that are adding are in the ISR; elect follows. True when it
    /// finished something.
    bool finish_reassignment();

    /// The partition to write; nothing when it is as before.
    [[nodiscard]] std::optional<PartitionImage> result() const;

private:
    void elect_one(const IsLive& is_live, bool unclean);
    /// They are replicas no more, and nothing is reassigned.
    void end_reassignment(std::vector<BrokerId> leaving);
    void set_elr(const std::vector<BrokerId>& candidates);

    const TopicImage* topic_;
    PartitionImage before_;
    PartitionImage now_;
    bool is_new_term_ = false;
    bool is_renewed_ = false;
};

} // namespace qtool::metadata
