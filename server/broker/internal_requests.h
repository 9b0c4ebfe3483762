// Requests the broker makes of itself: no connection waits for them. They are pending requests like
// any other, so that partitions and metadata need no second way to answer. Live on one core.
#pragma once

#include "server/coordinator/runtime.h"
#include "server/metadata/decide_ids.h"
#include "server/metadata/decide_isr.h"
#include "server/request/services.h"

#include <functional>

namespace qtool::broker {

/// Writes a transaction marker for a coordinator of this core.
class MarkerWrite final : public request::Pending {
public:
    using Done = std::function<void(const coordinator::Runtime::Marker&, Result<void>)>;
    MarkerWrite(const coordinator::Runtime::Marker& marker, Done done)
        : marker_(marker),
          done_(std::move(done)) {}

    void start(Token self, request::Services& services) override;
    void on_partition_reply(replica::PartitionReply reply, request::Services& services) override;

private:
    coordinator::Runtime::Marker marker_;
    Done done_;
    Token self_;
};

/// Refills the core's block of producer ids.
class ProducerIdRefill final : public request::Pending {
public:
    using Done = std::function<void()>;
    explicit ProducerIdRefill(Done done) : done_(std::move(done)) {}

    void start(Token self, request::Services& services) override;
    void on_changed(request::Services& services) override;

private:
    metadata::AllocateProducerIds operation_;
    Done done_;
    Token self_;
};

/// Asks for ISRs that leaders of this core want.
class IsrChange final : public request::Pending {
public:
    /// Once a proposal. Errors: store_conflict, when a lost copy was not taken note of; timed_out,
    /// when nobody knows whether it is committed.
    using Done = std::function<void(const metadata::IsrProposal&, const Result<void>&)>;
    IsrChange(BrokerId self, std::vector<metadata::IsrProposal> proposals, Done done)
        : proposals_(proposals),
          operation_(self, std::move(proposals)),
          done_(std::move(done)) {}

    void start(Token self, request::Services& services) override;
    void on_changed(request::Services& services) override;

private:
    std::vector<metadata::IsrProposal> proposals_;
    metadata::ChangeIsr operation_;
    Done done_;
    Token self_;
};

} // namespace qtool::broker
