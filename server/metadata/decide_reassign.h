// Decisions on replicas and leaders that operators ask for: AlterReassignments (KIP-455) and
// ElectLeaders (KIP-460). Both only write the wish: the controller ends reassignments. Large
// requests are written in several transactions. Live on the core that asked (see operation.h).
#pragma once

#include "server/metadata/item_operation.h"
#include "server/metadata/operation.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace qtool::metadata {

/// Partitions of one request.
inline constexpr size_t kReassignmentsMax = 10'000;

struct Reassignment {
    std::string topic;
    int32_t partition = 0;
    std::optional<std::vector<BrokerId>> replicas; // nothing: cancel what is under way
};

/// Per-item errors: unknown_topic, unknown_partition, invalid_replica_assignment (not a list of
/// registered brokers, each once; or only new replicas hold the records),
/// invalid_replication_factor (another number of replicas, where that is not allowed),
/// resource_not_found (nothing to cancel), invalid_request (a partition twice), policy_violation
/// (too many).
class AlterReassignments final : public ItemOperation {
public:
    AlterReassignments(std::vector<Reassignment> wishes, bool may_change_factor);

    port::StoreTransaction decide(const Image& image, port::Random& random) override;
    bool advance(Revision committed) override;
    void finish(Result<void> result) override;

private:
    std::vector<Reassignment> wishes_;
    bool may_change_factor_;
    size_t begin_ = 0; // wishes before it are written
    size_t end_ = 0;   // of the last decision
};

enum class ElectionKind : uint8_t { preferred, unclean };

struct ElectionWish {
    std::string topic;
    int32_t partition = 0;
};

enum class ElectOutcome : uint8_t {
    unfinished, // see ElectLeaders::error
    elected,
    not_needed,
    unknown_partition,
    preferred_not_available, // the first replica is not live, or not in the ISR
    none_eligible,           // unclean: no replica is live
};

class ElectLeaders final : public Operation {
public:
    /// `wishes` absent: all partitions for which it is needed.
    ElectLeaders(ElectionKind kind, std::optional<std::vector<ElectionWish>> wishes);

    port::StoreTransaction decide(const Image& image, port::Random& random) override;
    bool advance(Revision committed) override;
    void finish(Result<void> result) override;

    struct Outcome {
        std::string topic;
        int32_t partition = 0;
        ElectOutcome what = ElectOutcome::unfinished;
    };
    /// One for each wish, in that order; for all partitions: those that were elected. Valid after
    /// finish.
    [[nodiscard]] const std::vector<Outcome>& results() const { return results_; }
    /// Why some are unfinished.
    [[nodiscard]] const std::optional<Error>& error() const { return error_; }

private:
    void collect(const Image& image);
    ElectOutcome elect(const Image& image, const Outcome& item,
                       port::StoreTransaction& transaction) const;

    ElectionKind kind_;
    std::optional<std::vector<ElectionWish>> wishes_;
    bool is_collected_ = false;
    std::vector<Outcome> results_;
    size_t begin_ = 0;
    size_t end_ = 0;
    std::optional<Error> error_;
};

/// The leader a partition has when nothing is wrong: its first replica that is not being removed.
BrokerId preferred_leader(const PartitionImage& partition);

} // namespace qtool::metadata
