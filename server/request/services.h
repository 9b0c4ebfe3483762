// Services: what a request handler of either door (Kafka, HTTP) sees of the core it runs on.
// Implemented by broker::Core. Nothing in here calls back from within.
#pragma once

#include "lib/base/time.h"
#include "lib/config/broker_config.h"
#include "server/metadata/image.h"
#include "server/metadata/operation.h"
#include "server/metrics/survey.h"
#include "server/peer/call.h"
#include "server/port/net.h"
#include "server/quota/meter.h"
#include "server/replica/log_dir_view.h"
#include "server/replica/requests.h"
#include "server/request/pending.h"

#include <atomic>
#include <memory>
#include <string>
#include <vector>

namespace qtool::request {

/// A block of producer ids this core may hand out; refilled by AllocateProducerIds.
struct ProducerIdBlock {
    int64_t next = 0;
    int64_t end = 0; // one past the last
};

class Services {
public:
    virtual ~Services() = default;

    /// The newest image this core has applied. Keep the reference for as long as views are used.
    [[nodiscard]] virtual const metadata::ImageRef& image() const = 0;
    /// When an image came last that changed leaders or replicas.
    [[nodiscard]] virtual MonoTime partitions_changed_at() const = 0;
    /// In force now, options set at run time included. Valid as long as image() stays the same.
    [[nodiscard]] virtual const config::BrokerConfig& config() const = 0;
    [[nodiscard]] virtual BrokerId broker_id() const = 0;
    [[nodiscard]] virtual CoreId core_id() const = 0;
    [[nodiscard]] virtual MonoTime now() const = 0;
    [[nodiscard]] virtual WallTime wall_now() const = 0;
    virtual port::Random& random() = 0;
    [[nodiscard]] virtual WallTime started_at() const = 0; // of the broker
    [[nodiscard]] virtual bool is_serving() const = 0;     // started, and not yet stopping
    /// The counters of all cores and a survey of them in Prometheus text.
    [[nodiscard]] virtual std::string metrics_text(const metrics::Survey& survey) const = 0;
    /// Asks every core for a metrics::CoreSurvey with at most `offsets_max` committed offsets; each
    /// answers by Pending::on_partition_reply. Returns how many answers will come.
    virtual size_t survey(Token request, uint32_t offsets_max) = 0;
    /// The log directories of this broker in the order of log.dirs, their space at most a second
    /// old.
    [[nodiscard]] virtual std::vector<replica::LogDirView> log_dirs() = 0;
    virtual ProducerIdBlock& producer_ids() = 0;
    /// Client quotas and what was used of them, of all cores together.
    virtual quota::Meter& quotas() = 0;
    /// Fetch sessions open on all cores together. Shared, since the sessions of a connection
    /// between two cores may end after the broker.
    virtual const std::shared_ptr<std::atomic<uint32_t>>& fetch_session_count() = 0;

    /// Sends each request to the core that owns its partition, in this order per core; every one is
    /// answered by Pending::on_partition_reply, in no promised order.
    virtual void submit(std::vector<replica::PartitionRequest> requests) = 0;
    /// As submit; but a partition that another live broker leads is asked there (peer/remote_op.h),
    /// as far as that is possible for the operation. Answered in the same way; errors are also
    /// those of peer::Answer.
    virtual void submit_to_leaders(std::vector<replica::PartitionRequest> requests) = 0;
    /// Forgets watches that reads of this request armed; wakes already under way find no token.
    virtual void cancel_watches(Token request, const std::vector<PartitionKey>& partitions) = 0;
    /// Decides, commits, retries on conflict, waits until all cores of this broker applied it,
    /// calls operation.finish and then Pending::on_changed. `operation` is owned by the pending
    /// request and outlives it there; times out with timed_out at `deadline`.
    virtual void change(Token request, metadata::Operation& operation, MonoTime deadline) = 0;
    /// Asks another broker; `call.token` is set here. Answered once by Pending::on_peer_answer, at
    /// call.deadline at the latest, in no promised order.
    virtual void call_peer(Token request, peer::Call call) = 0;
    /// Pending::on_deadline at `due` unless the request is finished by then. One per request.
    virtual void set_deadline(Token request, MonoTime due) = 0;

    /// Answers the request (pieces as its door sends them) and destroys the pending object: the
    /// caller returns at once and touches nothing of itself. Empty pieces: no answer is owed.
    virtual void finish(Token request, std::vector<port::Piece> pieces) = 0;
    /// Closes the connection of this request without an answer (acks=0 failures). Same rule.
    virtual void finish_and_close(Token request) = 0;
};

} // namespace qtool::request
