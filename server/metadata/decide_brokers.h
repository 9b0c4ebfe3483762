// Decisions on brokers: that the cluster has an id, how a broker registers, takes over what it led,
// leaves, is fenced, cordoned and forgotten. See operation.h.
//
// A broker that starts never acts in a leader epoch it led before (its process of then may have
// acknowledged what this one's log lacks, or the other way round): before it writes `live/<id>` it
// gives its leaderships to others, or renews them.
#pragma once

#include "server/metadata/operation.h"

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace qtool::metadata {

/// An operation whose result is all that anybody wants to know.
class PlainOperation : public Operation {
public:
    void finish(Result<void> result) override {
        outcome_ = std::move(result);
        is_finished_ = true;
    }
    [[nodiscard]] bool is_finished() const { return is_finished_; }
    /// Valid after finish.
    [[nodiscard]] const Result<void>& outcome() const { return outcome_; }

private:
    Result<void> outcome_ = Error(Code::internal, "the change is not finished");
    bool is_finished_ = false;
};

/// Goes through all partitions in parts of at most kBatchPartitionsMax changes.
class PartitionSweep : public PlainOperation {
public:
    port::StoreTransaction decide(const Image& image, port::Random& random) final;
    bool advance(Revision /*committed*/) final {
        begin_ = end_;
        return begin_.has_value();
    }

private:
    /// What becomes of a partition; nothing: it stays.
    virtual std::optional<PartitionImage> change(const Image& image, const TopicImage& topic,
                                                 size_t index) = 0;

    std::optional<PartitionKey> begin_ = PartitionKey{}; // of the next part
    std::optional<PartitionKey> end_; // of the last part; nothing: it was the last of all
};

/// Gives the cluster an id when it has none yet. Brokers that start together agree: one wins, the
/// others meet a conflict and find the id. On success the image has the id. Metadata core.
class EnsureCluster final : public PlainOperation {
public:
    port::StoreTransaction decide(const Image& image, port::Random& random) override;
};

/// Writes who this process is and where it is to be found, that it is live in its session of now,
/// and that it is controller where there is none: all in one. Metadata core.
class RegisterBroker final : public PlainOperation {
public:
    /// Of `broker` what is to be remembered of this process: id, addresses, rack, incarnation,
    /// directory ids, start count; the cordon of before stays.
    RegisterBroker(BrokerImage broker, const Uuid& incarnation)
        : broker_(std::move(broker)),
          incarnation_(incarnation) {}

    port::StoreTransaction decide(const Image& image, port::Random& random) override;
    /// The last decision claimed the controller's key. Valid after finish.
    [[nodiscard]] bool claimed_controller() const { return claimed_controller_; }

private:
    BrokerImage broker_;
    Uuid incarnation_;
    bool claimed_controller_ = false;
};

/// Deletes `live/<id>` if it is still the one of that epoch, and the controller's key if it is that
/// broker's. By any broker that knows the process to be gone. Metadata core.
class FenceBroker final : public PlainOperation {
public:
    FenceBroker(BrokerId id, Revision epoch) : id_(id), epoch_(epoch) {}
    port::StoreTransaction decide(const Image& image, port::Random& random) override;

private:
    BrokerId id_;
    Revision epoch_;
};

/// Before a process becomes live: its replicas leave the leadership they had in an earlier life,
/// and those whose files are lost leave ISR and ELR. Metadata core.
class RetakeReplicas final : public PartitionSweep {
public:
    /// `is_lost`: the files of that partition are gone, or older than they should be.
    RetakeReplicas(BrokerId self, std::function<bool(const TopicImage&, PartitionIndex)> is_lost)
        : self_(self),
          is_lost_(std::move(is_lost)) {}

    /// "orders-3": partitions whose last copy was lost, of the runs so far; some may come twice.
    [[nodiscard]] const std::vector<std::string>& last_copies() const { return last_copies_; }

private:
    std::optional<PartitionImage> change(const Image& image, const TopicImage& topic,
                                         size_t index) override;

    BrokerId self_;
    std::function<bool(const TopicImage&, PartitionIndex)> is_lost_;
    std::vector<std::string> last_copies_;
};

/// Before a process ends: its replicas leave ISRs and leaderships where somebody else can go on.
/// Metadata core.
class ResignReplicas final : public PartitionSweep {
public:
    explicit ResignReplicas(BrokerId self) : self_(self) {}

private:
    std::optional<PartitionImage> change(const Image& image, const TopicImage& topic,
                                         size_t index) override;

    BrokerId self_;
};

/// Sets or clears that a broker gets no new replicas. Error: unknown_broker_id. Any core.
class CordonBroker final : public PlainOperation {
public:
    CordonBroker(BrokerId id, bool is_cordoned) : id_(id), is_cordoned_(is_cordoned) {}
    port::StoreTransaction decide(const Image& image, port::Random& random) override;
    void finish(Result<void> result) override;

private:
    BrokerId id_;
    bool is_cordoned_;
    std::optional<Error> error_;
};

/// Forgets a broker that is not live (KIP-833, UnregisterBroker). Its replicas stay assigned.
/// Errors: unknown_broker_id; invalid_request (it is live). Any core.
class UnregisterBroker final : public PlainOperation {
public:
    explicit UnregisterBroker(BrokerId id) : id_(id) {}
    port::StoreTransaction decide(const Image& image, port::Random& random) override;
    void finish(Result<void> result) override;

private:
    BrokerId id_;
    std::optional<Error> error_;
};

} // namespace qtool::metadata
