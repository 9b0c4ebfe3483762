// The pending requests of a core, and what they may ask of it (request::Services).
#include "lib/base/assert.h"
#include "lib/protocol/kafka_error.h"
#include "server/broker/core.h"
#include "server/broker/core_host.h"
#include "server/broker/internal_requests.h"
#include "server/broker/log_dir_views.h"
#include "server/kafka/api_table.h"
#include "server/metrics/prometheus.h"
#include "server/peer/remote_op.h"

#include <algorithm>
#include <utility>

namespace qtool::broker {

namespace {
constexpr size_t kDeadlinesKeptMax = 1024; // of finished requests, before they are swept
} // namespace

void Core::add_pending(ConnectionSlot& connection, std::unique_ptr<request::Pending> pending,
                       uint64_t slot) {
    request::Pending& object = *pending;
    const Token token = pending_.emplace(PendingSlot{std::move(pending), connection.token, slot});
    connection.pending.push_back(token);
    counters_.requests_pending.set(pending_.size());
    object.start(token, *this);
}

void Core::add_internal(std::unique_ptr<request::Pending> pending) {
    request::Pending& object = *pending;
    const Token token = pending_.emplace(PendingSlot{std::move(pending), Token{}, 0, true});
    counters_.requests_pending.set(pending_.size());
    object.start(token, *this);
}

std::optional<ProducerId> Core::take_producer_id() {
    if (producer_ids_.next < producer_ids_.end) {
        return ProducerId(producer_ids_.next++);
    }
    if (!std::exchange(is_refilling_producer_ids_, true)) {
        add_internal(
            std::make_unique<ProducerIdRefill>([this] { is_refilling_producer_ids_ = false; }));
    }
    return std::nullopt;
}

std::unique_ptr<request::Pending> Core::take_pending(Token request) {
    PendingSlot* slot = pending_.find(request);
    QT_ASSERT(slot != nullptr);
    std::unique_ptr<request::Pending> pending = std::move(slot->pending);
    if (ConnectionSlot* connection = connections_.find(slot->connection)) {
        std::erase(connection->pending, request);
    }
    pending_.erase(request);
    counters_.requests_pending.set(pending_.size());
    return pending;
}

void Core::submit(std::vector<replica::PartitionRequest> requests) {
    ConnectionSlot* connection = nullptr;
    if (const PendingSlot* slot = requests.empty() ? nullptr : pending_.find(requests[0].request)) {
        connection = connections_.find(slot->connection);
    }
    for (replica::PartitionRequest& request : requests) {
        const CoreId owner = shared_.owner(request.key);
        if (connection != nullptr) {
            connection->home.on_asked(owner);
        }
        if (owner == ports_.id) {
            local_requests_.push_back(std::move(request));
        } else {
            requests_to(owner).requests.push_back(std::move(request));
        }
    }
}

void Core::submit_to_leaders(std::vector<replica::PartitionRequest> requests) {
    std::vector<replica::PartitionRequest> here;
    for (replica::PartitionRequest& request : requests) {
        const metadata::PartitionImage* partition = image_->partition(request.key);
        if (partition == nullptr || partition->leader == broker_id() ||
            !image_->is_live(partition->leader) || !peer::is_remote_op(request.op)) {
            here.push_back(std::move(request)); // also to hear what is wrong
            continue;
        }
        const metadata::TopicImage& topic = *image_->topic(request.key.topic_id);
        peers_.call(peer::make_call(std::move(request), topic, partition->leader, now()), now());
    }
    submit(std::move(here));
}

void Core::cancel_watches(Token request, const std::vector<PartitionKey>& partitions) {
    for (const PartitionKey& key : partitions) {
        const CoreId owner = shared_.owner(key);
        if (owner == ports_.id) {
            local_cancels_.push_back({request, key}); // behind the reads that may arm them
            continue;
        }
        mail_to(cancel_mails_, owner).items.push_back({request, key});
    }
}

void Core::change(Token request, metadata::Operation& operation, MonoTime deadline) {
    changes_.start(request, operation, deadline, *image_, *ports_.random);
}

void Core::call_peer(Token request, peer::Call call) {
    call.purpose = peer::Purpose::calls;
    call.token = request;
    peers_.call(std::move(call), now());
}

void Core::set_deadline(Token request, MonoTime due) {
    deadlines_.push(due, request);
    // Requests usually end before their deadline; what they leave here must not pile up.
    if (deadlines_.size() > 2 * pending_.size() + kDeadlinesKeptMax) {
        deadlines_.erase_if([this](const Token& token) { return pending_.find(token) == nullptr; });
    }
}

void Core::finish(Token request, std::vector<port::Piece> pieces) {
    PendingSlot* slot = pending_.find(request);
    QT_ASSERT(slot != nullptr);
    const Token token = slot->connection;
    const uint64_t reply_slot = slot->slot;
    graveyard_.push_back(take_pending(request)); // it may be the caller
    ConnectionSlot* connection = connections_.find(token);
    if (connection == nullptr) {
        return;
    }
    connection->last_active = now();
    if (!connection->closing) {
        Host host(*this, *connection);
        connection->door->on_answer(reply_slot, std::move(pieces), host);
        refresh_.push_back(token);
    }
    if (connection->pending.empty() && connection->in.unread().empty()) {
        connection->home.on_idle(ports_.id);
    }
}

size_t Core::survey(Token request, uint32_t offsets_max) {
    for (uint16_t core = 0; core < shared_.core_count; core++) {
        replica::PartitionRequest asked;
        asked.request = request;
        asked.index = core;
        asked.op = replica::SurveyOp{offsets_max};
        if (CoreId(core) == ports_.id) {
            local_requests_.push_back(std::move(asked));
        } else {
            requests_to(CoreId(core)).requests.push_back(std::move(asked));
        }
    }
    return shared_.core_count;
}

std::string Core::metrics_text(const metrics::Survey& survey) const {
    std::vector<const metrics::CoreCounters*> all;
    for (const auto& counters : shared_.counters) {
        all.push_back(counters.get());
    }
    std::vector<metrics::LogDirGauges> dirs;
    for (replica::LogDirView& dir : view_log_dirs(*shared_.log_dirs, *ports_.disk, now())) {
        dirs.push_back({std::move(dir.path), dir.failure.has_value(), dir.is_low, dir.free_bytes,
                        dir.total_bytes, dir.reserve_bytes, dir.partition_count});
    }
    return metrics::render_prometheus(
        {std::move(all), std::move(dirs), &survey, [](size_t key) { return kafka::api_name(key); },
         [](int16_t code) { return protocol::to_string(protocol::kafka_error_of(code)); },
         shared_.started_at, shared_.store_counters});
}

std::vector<replica::LogDirView> Core::log_dirs() {
    return view_log_dirs(*shared_.log_dirs, *ports_.disk, now());
}

void Core::finish_and_close(Token request) {
    PendingSlot* slot = pending_.find(request);
    QT_ASSERT(slot != nullptr);
    const Token token = slot->connection;
    graveyard_.push_back(take_pending(request));
    close_connection(token, "the request failed and its client asked for no answer (acks=0)");
}

} // namespace qtool::broker
