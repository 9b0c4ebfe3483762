// Decisions a broker takes at its start: that the cluster has an id, and that the broker is listed.
// Live on the metadata core (see operation.h).
#pragma once

#include "server/metadata/operation.h"

namespace qtool::metadata {

/// Gives the cluster an id when it has none yet. Brokers that start together agree: one wins, the
/// others meet a conflict and find the id.
class EnsureCluster final : public Operation {
public:
    port::StoreTransaction decide(const Image& image, port::Random& random) override;
    void finish(Result<void> result) override { outcome_ = std::move(result); }
    /// Valid after finish; on success the image has the id.
    [[nodiscard]] Result<void> outcome() const { return outcome_; }

private:
    Result<void> outcome_ = Error(Code::internal, "the change is not finished");
};

/// Writes where this broker is to be found; nothing when the image says so already. Not guarded:
/// the data directory's lock sees to it that one process has this broker id.
class RegisterBroker final : public Operation {
public:
    explicit RegisterBroker(BrokerImage broker) : broker_(std::move(broker)) {}

    port::StoreTransaction decide(const Image& image, port::Random& random) override;
    void finish(Result<void> result) override { outcome_ = std::move(result); }
    /// Valid after finish.
    [[nodiscard]] Result<void> outcome() const { return outcome_; }

private:
    BrokerImage broker_;
    Result<void> outcome_ = Error(Code::internal, "the change is not finished");
};

} // namespace qtool::metadata
