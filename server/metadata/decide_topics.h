// Decisions on topics: create, delete, more partitions. Each item of a request succeeds or fails on
// its own; the items that succeed go into one store transaction, or, where a store takes no such
// large one, into several with the topics' keys last; so a topic is there whole or not.
// Lives on the core of the connection that asked (see operation.h).
#pragma once

#include "lib/config/broker_config.h"
#include "server/metadata/item_operation.h"
#include "server/metadata/operation.h"
#include "server/metadata/write_parts.h"

#include <optional>
#include <string>
#include <vector>

namespace qtool::metadata {

/// New partitions one request may ask for, over all its topics: Kafka's own bound of a batch.
inline constexpr int32_t kPartitionsPerRequestMax = 10'000;
/// Partitions of the cluster: as many as fit the checkpoint a broker writes at a clean stop.
inline constexpr int64_t kPartitionsMax = 100'000;
/// Deleted topics remembered in trash/. Beyond, entries of old deletions go: files that are still
/// there after a crash are then put aside at start instead of being deleted.
inline constexpr size_t kTrashedTopicsMax = 1000;

struct ReplicaAssignment {
    int32_t partition = 0;
    std::vector<BrokerId> replicas; // the first is the preferred leader
};

struct NewTopic {
    std::string name;
    int32_t partition_count = -1;               // -1: num.partitions
    int16_t replication_factor = -1;            // -1: default.replication.factor
    std::vector<ReplicaAssignment> assignments; // not empty: instead of the two numbers
    std::vector<config::RequestedOption> configs;
};

struct CreatedTopic {
    std::optional<Error> error; // else the rest holds
    TopicId id;
    int32_t partition_count = 0;
    int16_t replication_factor = 0;
    config::TopicOverrides configs; // normalized
};

/// Per-item errors: invalid_request (a name twice; assignments and numbers together),
/// invalid_topic_name, topic_exists, invalid_config, invalid_partitions,
/// invalid_replication_factor, invalid_replica_assignment, policy_violation (a bound above).
class CreateTopics final : public Operation {
public:
    /// `broker` is in force where the image has no options of its own (made by no replay); must
    /// outlive the operation then.
    CreateTopics(std::vector<NewTopic> topics, bool validate_only,
                 const config::BrokerConfig& broker);

    port::StoreTransaction decide(const Image& image, port::Random& random) override;
    bool advance(Revision committed) override;
    void finish(Result<void> result) override;
    /// One for each topic asked for, in that order. Valid after finish.
    [[nodiscard]] const std::vector<CreatedTopic>& results() const { return results_; }

private:
    std::vector<NewTopic> topics_;
    WriteParts parts_;
    WriteParts leftovers_;       // deletes what an earlier decision wrote and nobody will know
    bool is_cleaning_ = false;   // what is under way is a part of leftovers_
    bool is_continuing_ = false; // the next decision is the next part
    bool validate_only_;
    const config::BrokerConfig* broker_;
    std::vector<CreatedTopic> results_;
};

struct TopicToDelete {
    std::string name;
    TopicId id; // not zero: deleted by id, and name does not matter
};

struct DeletedTopic {
    std::optional<Error> error;
    std::string name; // as asked, or of the id; empty when nobody knows the id
    TopicId id;       // as asked, or of the name; zero when nobody knows the name
};

/// Per-item errors: unknown_topic, unknown_topic_id, invalid_request (a topic twice).
class DeleteTopics final : public Operation {
public:
    explicit DeleteTopics(std::vector<TopicToDelete> topics);

    port::StoreTransaction decide(const Image& image, port::Random& random) override;
    bool advance(Revision committed) override;
    void finish(Result<void> result) override;
    /// One for each topic asked for, in that order. Valid after finish.
    [[nodiscard]] const std::vector<DeletedTopic>& results() const { return results_; }

private:
    port::StoreTransaction delete_rest();

    std::vector<TopicToDelete> topics_;
    std::vector<size_t> deciding_;       // topics whose keys the last decision deletes
    std::vector<bool> done_;             // by topic: its key is gone
    std::vector<port::StoreWrite> rest_; // deletes of their partitions, still to be written
    std::vector<port::StoreWrite> rest_deciding_; // of deciding_
    size_t rest_taken_ = 0;                       // of rest_, by the last decision
    std::vector<DeletedTopic> results_;
};

struct MorePartitions {
    std::string name;
    int32_t count = 0; // in all, after the change
    /// Replicas of the new partitions, in their order; absent: the broker places them.
    std::optional<std::vector<std::vector<BrokerId>>> assignments;
};

/// Per-item errors: unknown_topic, invalid_request (a topic twice), invalid_partitions (the count
/// does not rise), invalid_replication_factor, invalid_replica_assignment, policy_violation.
class CreatePartitions final : public ItemOperation {
public:
    CreatePartitions(std::vector<MorePartitions> topics, bool validate_only);

    port::StoreTransaction decide(const Image& image, port::Random& random) override;
    bool advance(Revision committed) override;

private:
    std::vector<MorePartitions> topics_;
    WriteParts parts_;
    bool is_continuing_ = false; // the next decision is the next part
    bool validate_only_;
};

} // namespace qtool::metadata
