// Decision on ISRs: what leaders propose for their partitions (KIP-497, AlterPartition), written by
// the leader itself; and that a replica's copy is damaged, which that replica writes. Lives on the
// core that has the partition (see operation.h).
//
// For the leader: its high watermark may pass only what every member of the ISR it last saw in an
// image, and of the ISR it has proposed since, holds; and it stands still while the ISR is smaller
// than min_isr() or there is an ELR (the first can be lowered at run time, the second cannot).
#pragma once

#include "server/metadata/operation.h"

#include <cstdint>
#include <vector>

namespace qtool::metadata {

/// Partitions of one decision: with a guard each, and one a broker that is added, they fit a
/// transaction of any store (etcd: 128).
inline constexpr size_t kIsrProposalsMax = 64;

struct IsrMember {
    BrokerId broker;
    /// Broker epoch its fetches carried: who starts anew in between has another one, and maybe
    /// another log (KIP-903). Looked at for members that are added only.
    Revision epoch{0};
};

struct IsrProposal {
    PartitionKey partition;
    LeaderEpoch leader_epoch;    // the proposer's
    int32_t partition_epoch = 0; // of the image it looked at
    /// Wanted. Without the leader: its log is broken, and another member is to lead; the others
    /// stay as they are.
    std::vector<IsrMember> isr;
    /// Instead, by any replica: what it holds is damaged. It counts for nothing from then on, and a
    /// new leader epoch makes void what the leader knows of it, fetches on their way with it.
    bool is_copy_lost = false;
    /// An earlier proposal of this partition epoch may be on its way to the store yet. What is
    /// refused begins a newer partition epoch instead, in which that one is void.
    bool is_settling = false;
};

enum class IsrOutcome : uint8_t {
    unfinished, // the transaction failed; it may be committed all the same
    committed,  // in the image: the proposed ISR, or at least a newer partition epoch (settling)
    unchanged,  // the ISR was so already
    fenced,     // another leader, leader epoch or partition epoch: look at the image again
    ineligible, // a broker to add is not live in that epoch, or no replica; nobody else can lead
};

/// At most kIsrProposalsMax, distinct partitions.
class ChangeIsr final : public Operation {
public:
    /// `self` is the broker that leads them, or whose copy is lost.
    ChangeIsr(BrokerId self, std::vector<IsrProposal> proposals);

    port::StoreTransaction decide(const Image& image, port::Random& random) override;
    void finish(Result<void> result) override;
    /// One for each proposal, in that order. Valid after finish.
    [[nodiscard]] const std::vector<IsrOutcome>& results() const { return results_; }

private:
    BrokerId self_;
    std::vector<IsrProposal> proposals_;
    std::vector<IsrOutcome> results_;
};

} // namespace qtool::metadata
