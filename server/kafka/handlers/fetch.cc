// Fetch (key 1): reads every partition of the request or session, and waits for more when there is
// too little: each partition wakes the request when more is readable.
//
//   reading --enough, an error, or no time--> answered
//      |  ^
//      |  +--wake: that partition is read again
//      +--too little--> waiting --deadline--> answered
//
// A broker that fetches for its replicas comes here, too: it reads to the log end, what it asks for
// is what it has (replica::ReadOp), and no quota of clients holds for it.
#include "lib/protocol/msg/fetch.h"

#include "lib/base/units.h"
#include "server/kafka/error_map.h"
#include "server/kafka/handlers/handlers.h"
#include "server/kafka/leader_hint.h"
#include "server/kafka/throttle.h"

#include <algorithm>

namespace qtool::kafka {

namespace {

using protocol::FetchRequest;
using protocol::FetchResponse;

constexpr int16_t kSessionsVersionMin = 7;   // KIP-227
constexpr int16_t kTopicIdsVersionMin = 13;  // KIP-516
constexpr int16_t kEndpointsVersionMin = 16; // KIP-951
constexpr int16_t kFollowersVersionMin = 11; // KIP-392
constexpr int16_t kReplicaStateVersionMin = 15;
constexpr int32_t kWaitMaxMs = 5 * 60 * 1000;
// Of one answer, whose frame has an int32 length; the rest is room for the partitions' headers.
constexpr uint64_t kRecordsBytesMax = INT32_MAX - 256 * MiB;

// Right after a change of leaders a follower has other partitions to ask for in a moment.
constexpr Duration kChangeSettlesMax = 1s;
constexpr int32_t kFollowerWaitAfterChangeMs = 20;

constexpr int32_t kFinalEpoch = -1;  // session epoch: no session, or close the one named
constexpr int32_t kInitialEpoch = 0; // session epoch: open one

class FetchPending final : public request::Pending {
public:
    FetchPending(const Context& context, FetchRequest request)
        : head_(context.head),
          chunk_(context.chunk),
          counters_(context.counters),
          sessions_(context.sessions),
          throttle_(context.throttle),
          client_id_(context.client_id),
          request_(std::move(request)) {
        const bool has_state = head_.api_version >= kReplicaStateVersionMin;
        const int32_t id = has_state ? request_.replica_state.replica_id : request_.replica_id;
        if (id >= 0) {
            const int64_t epoch = has_state ? request_.replica_state.replica_epoch : -1;
            replica_.emplace();
            replica_->id = BrokerId(id);
            replica_->broker_epoch = Revision(std::max<int64_t>(epoch, 0));
        }
    }

    void start(Token self, request::Services& services) override {
        self_ = self;
        image_ = services.image();
        const bool is_overdrawn =
            !replica_ &&
            throttle_.is_overdrawn(quota::Kind::fetch, client_id_, services, counters_);
        if (is_overdrawn && request_.session_epoch <= kInitialEpoch) {
            sessions_.close(request_.session_id); // no new one for an empty answer
            answer_nothing(services);
            return;
        }
        if (Result<void> opened = open_session(services); !opened) {
            answer_error(opened.error(), services);
            return;
        }
        if (is_overdrawn) { // the session's epoch has advanced all the same
            answer_nothing(services);
            return;
        }
        auto wait_ms = std::clamp(request_.max_wait_ms, 0, kWaitMaxMs);
        if (replica_ && services.now() - services.partitions_changed_at() < kChangeSettlesMax) {
            wait_ms = std::min(wait_ms, kFollowerWaitAfterChangeMs);
        }
        may_wait_ = wait_ms > 0 && request_.min_bytes > 0 && !reads_.empty();
        resolve(services.config());
        deadline_ = services.now() + std::chrono::milliseconds(wait_ms);
        std::vector<uint32_t> all;
        for (uint32_t index = 0; index < reads_.size(); index++) {
            if (!reads_[index].failed) {
                all.push_back(index);
            }
        }
        read(all, services);
    }

    void on_partition_reply(replica::PartitionReply reply, request::Services& services) override {
        QT_ASSERT(reply.index < reads_.size() && outstanding_ > 0);
        Read& read = reads_[reply.index];
        if (reply.result) {
            read.result = std::get<replica::ReadResult>(*std::move(reply.result));
            read.is_watched = read.is_watched && read.result.range.size < watch_below();
        } else {
            read.is_watched = false;
            fail(read, std::move(reply.result).error());
        }
        outstanding_--;
        settle(services);
    }

    void on_partition_wake(uint32_t index, request::Services& services) override {
        QT_ASSERT(index < reads_.size());
        reads_[index].is_watched = false; // a watch fires once
        read({index}, services);
    }

    void on_deadline(request::Services& services) override {
        may_wait_ = false;
        settle(services);
    }
    void on_draining(request::Services& services) override { on_deadline(services); }
    void on_partitions_changed(request::Services& services) override {
        if (replica_) {
            on_deadline(services);
        }
    }
    void on_abandoned(request::Services& services) override { cancel_watches(services); }

private:
    // One partition of this fetch, in the order it is served.
    struct Read {
        FetchItem item;
        PartitionKey key;
        std::vector<BrokerId> near; // replicas in the consumer's rack
        bool failed = false;
        bool is_watched = false;
        bool was_read = false;
        Error error;
        replica::ReadResult result;
    };

    static void fail(Read& read, Error error) {
        read.failed = true;
        read.error = std::move(error);
        read.result = replica::ReadResult{};
    }

    [[nodiscard]] bool by_id() const { return head_.api_version >= kTopicIdsVersionMin; }

    // ---- session ----------------------------------------------------------------------------

    // Decides which partitions are read: those of the request, or those of the session.
    Result<void> open_session(request::Services& services) {
        const int32_t id = request_.session_id;
        const int32_t epoch = request_.session_epoch;
        if (epoch == kFinalEpoch || epoch == kInitialEpoch) {
            if (id != 0) {
                sessions_.close(id);
            }
            FetchSession* session = epoch == kInitialEpoch ? create_session(services) : nullptr;
            for (FetchItem& item : requested_items()) {
                if (session != nullptr) {
                    session->put(item);
                }
                reads_.emplace_back().item = std::move(item);
            }
            return {};
        }
        FetchSession* session = sessions_.find(id);
        if (session == nullptr) {
            return Error(Code::fetch_session_not_found);
        }
        if (session->by_id() != by_id()) {
            return Error(Code::fetch_session_topic_id);
        }
        if (epoch != session->next_epoch()) {
            return Error(Code::invalid_fetch_session_epoch);
        }
        session->advance_epoch();
        for (FetchItem& item : requested_items()) {
            session->put(std::move(item));
        }
        for (const auto& topic : request_.forgotten_topics_data) {
            for (const int32_t partition : topic.partitions) {
                session->forget(make_key(topic.topic, topic.topic_id, partition));
            }
        }
        if (session->items().empty()) {
            sessions_.close(id); // nothing left to fetch: answered without a session
            return {};
        }
        session_id_ = session->id();
        is_incremental_ = true;
        for (const FetchItem& item : session->items()) {
            reads_.emplace_back().item = item;
        }
        return {};
    }

    // nullptr: none is made, and the client goes on with full fetches.
    FetchSession* create_session(request::Services& services) {
        if (request_.topics.empty() || head_.api_version < kSessionsVersionMin) {
            return nullptr;
        }
        int32_t id = 0;
        while (id == 0 || sessions_.find(id) != nullptr) {
            id = static_cast<int32_t>(services.random().next() & 0x7fffffff);
        }
        FetchSession* session =
            sessions_.open(id, by_id(), services.fetch_session_count(),
                           static_cast<uint32_t>(services.config().fetch_session_slots_max));
        if (session == nullptr) {
            counters_.fetch_sessions_refused.add();
            return nullptr;
        }
        session_id_ = id;
        return session;
    }

    [[nodiscard]] FetchKey make_key(std::string_view topic, const TopicId& id,
                                    int32_t partition) const {
        return by_id() ? FetchKey{id, {}, partition}
                       : FetchKey{TopicId{}, std::string(topic), partition};
    }

    [[nodiscard]] std::vector<FetchItem> requested_items() const {
        std::vector<FetchItem> items;
        for (const auto& topic : request_.topics) {
            for (const auto& partition : topic.partitions) {
                FetchItem& item = items.emplace_back();
                item.key = make_key(topic.topic, topic.topic_id, partition.partition);
                item.fetch_offset = partition.fetch_offset;
                item.bytes_max = partition.partition_max_bytes;
                item.current_leader_epoch = partition.current_leader_epoch;
                item.last_fetched_epoch = partition.last_fetched_epoch;
                item.log_start_offset = partition.log_start_offset;
            }
        }
        return items;
    }

    // ---- reading ----------------------------------------------------------------------------

    void resolve(const config::BrokerConfig& config) {
        const bool is_near_wanted = !replica_ && config.is_replica_selector_rack_aware &&
                                    head_.api_version >= kFollowersVersionMin &&
                                    !request_.rack_id.empty();
        for (Read& read : reads_) {
            const FetchKey& key = read.item.key;
            const metadata::TopicImage* topic =
                by_id() ? image_->topic(key.topic_id) : image_->topic(key.topic);
            if (topic == nullptr) {
                fail(read, Error(by_id() ? Code::unknown_topic_id : Code::unknown_topic));
            } else if (key.partition < 0 ||
                       static_cast<size_t>(key.partition) >= topic->partitions.size()) {
                fail(read, Error(Code::unknown_partition));
            } else {
                read.key = PartitionKey{topic->id, PartitionIndex(key.partition)};
                if (is_near_wanted) {
                    const auto index = static_cast<size_t>(key.partition);
                    read.near = near(topic->partitions[index]);
                }
            }
        }
    }

    [[nodiscard]] std::vector<BrokerId> near(const metadata::PartitionImage& partition) const {
        std::vector<BrokerId> found;
        for (const BrokerId id : partition.replicas) {
            const metadata::BrokerImage* broker = image_->find_broker(id);
            if (broker != nullptr && broker->is_live() && broker->rack == request_.rack_id) {
                found.push_back(id);
            }
        }
        return found;
    }

    [[nodiscard]] uint32_t watch_below() const {
        return static_cast<uint32_t>(std::max(request_.min_bytes, 1));
    }

    void read(const std::vector<uint32_t>& indexes, request::Services& services) {
        std::vector<replica::PartitionRequest> out;
        for (const uint32_t index : indexes) {
            const FetchItem& item = reads_[index].item;
            replica::PartitionRequest& ask = out.emplace_back();
            ask.request = self_;
            ask.index = index;
            ask.key = reads_[index].key;
            ask.current_leader_epoch = LeaderEpoch(item.current_leader_epoch);
            replica::ReadOp op;
            op.fetch_offset = Offset(item.fetch_offset);
            op.bytes_max = static_cast<uint32_t>(
                std::clamp(item.bytes_max, 0, services.config().fetch_bytes_max));
            op.isolation = request_.isolation_level == 0 ? replica::Isolation::read_uncommitted
                                                         : replica::Isolation::read_committed;
            op.last_fetched_epoch = LeaderEpoch(item.last_fetched_epoch);
            op.watch_below_bytes = may_wait_ ? watch_below() : 0;
            op.may_ask_follower = !replica_ && head_.api_version >= kFollowersVersionMin;
            op.near = reads_[index].near;
            if (replica_) {
                op.isolation = replica::Isolation::read_uncommitted;
                op.replica = replica_;
                op.replica->log_start = Offset(item.log_start_offset);
                op.replica->is_progress = !std::exchange(reads_[index].was_read, true);
                // Without a session nothing is remembered, and nothing is news.
                op.replica->told_high_watermark =
                    Offset(session_id_ != 0 ? item.told_high_watermark : INT64_MAX);
            }
            // Set before the answer: whoever gives up meanwhile must cancel what is being armed.
            reads_[index].is_watched = may_wait_;
            ask.op = op;
        }
        outstanding_ += out.size();
        if (out.empty()) {
            settle(services);
        } else {
            services.submit(std::move(out));
        }
    }

    // Answers when nothing is outstanding and there is a reason not to wait (longer).
    void settle(request::Services& services) {
        if (outstanding_ > 0) {
            return;
        }
        uint64_t readable = 0;
        bool urgent = !may_wait_;
        for (const Read& read : reads_) {
            urgent = urgent || read.failed || read.result.diverging ||
                     read.result.is_out_of_range || read.result.preferred_replica != kNoBroker;
            // Its high watermark should not wait for the next records.
            urgent =
                urgent || (replica_ && session_id_ != 0 &&
                           (read.result.high_watermark.value() > read.item.told_high_watermark ||
                            read.result.log_start_offset.value() > read.item.told_log_start));
            readable += std::min<uint64_t>(read.result.range.size,
                                           static_cast<uint64_t>(std::max(read.item.bytes_max, 1)));
        }
        if (urgent || readable >= watch_below()) {
            answer(services);
        } else if (!deadline_is_set_) {
            deadline_is_set_ = true;
            waiting_since_ = services.now();
            services.set_deadline(self_, deadline_);
        }
    }

    void cancel_watches(request::Services& services) {
        std::vector<PartitionKey> watched;
        for (const Read& read : reads_) {
            if (read.is_watched) {
                watched.push_back(read.key);
            }
        }
        if (!watched.empty()) {
            services.cancel_watches(self_, watched);
        }
    }

    // ---- answer -----------------------------------------------------------------------------

    void answer_error(const Error& error, request::Services& services) {
        FetchResponse response;
        response.error_code = error_code(error.code);
        services.finish(self_, make_answer(head_, response));
    }

    // A throttled fetch: no partition at all. The connection adds for how long.
    void answer_nothing(request::Services& services) {
        FetchResponse response;
        response.session_id = session_id_;
        services.finish(self_, make_answer(head_, response));
    }

    // How many bytes of a read fit: partitions are served in order within the limit of the whole
    // answer, and the first one with data gives at least one whole batch (KIP-74).
    static uint64_t fit(const replica::ReadResult& result, uint64_t left, bool is_first) {
        if (result.range.size == 0) {
            return 0;
        }
        if (result.first_batch_size > left) {
            return is_first ? result.first_batch_size : 0;
        }
        return std::min(result.range.size, left);
    }

    [[nodiscard]] static bool is_news(const Read& read) {
        return read.failed || read.result.range.size > 0 || read.result.diverging ||
               read.result.is_out_of_range || read.result.preferred_replica != kNoBroker ||
               read.result.high_watermark.value() != read.item.told_high_watermark ||
               read.result.log_start_offset.value() != read.item.told_log_start;
    }

    void answer(request::Services& services) {
        cancel_watches(services);
        if (deadline_is_set_ && !replica_) {
            counters_.stage(metrics::Stage::fetch_wait).observe(services.now() - waiting_since_);
        }
        FetchResponse response;
        // A later request of the same connection may have closed the session meanwhile.
        FetchSession* session = sessions_.find(session_id_);
        response.session_id = session != nullptr ? session_id_ : 0;
        LeaderHints hints(*image_);
        uint64_t left = std::min(
            kRecordsBytesMax, static_cast<uint64_t>(std::clamp(request_.max_bytes, 0,
                                                               services.config().fetch_bytes_max)));
        if (!replica_) {
            // Else one answer would be years of a small quota.
            left = std::min(
                left, throttle_.allowance(quota::Kind::fetch, client_id_, services).value_or(left));
        }
        uint64_t served = 0;
        bool is_first = true;
        std::vector<port::FileRange> ranges; // in the order of their records in the answer
        for (Read& read : reads_) {
            if (read.result.first_batch_size > kRecordsBytesMax) {
                fail(read, Error(Code::message_too_large)); // no frame can carry it
            }
            const uint64_t size = fit(read.result, left, is_first);
            left -= std::min(left, size);
            served += size;
            is_first = is_first && size == 0;
            read.result.range.size = size;
            const bool news = is_news(read);
            if (session != nullptr) {
                remember(*session, read);
            }
            if (!is_incremental_ || news) {
                encode_partition(topic_of(response, read.item.key), read, hints);
                if (size > 0) {
                    ranges.push_back(std::move(read.result.range));
                }
            }
        }
        if (head_.api_version >= kEndpointsVersionMin) {
            hints.fill_endpoints(response.node_endpoints);
        }
        if (!replica_) {
            throttle_.take(quota::Kind::fetch, client_id_, static_cast<double>(served), services);
        }
        services.finish(self_, make_pieces(response, std::move(ranges)));
    }

    static void remember(FetchSession& session, const Read& read) {
        FetchItem* item = session.find(read.item.key);
        if (item == nullptr) {
            return; // forgotten by a later request of the same connection
        }
        // After an error -1, so that the partition is in the next answer whatever it holds.
        const bool is_error = read.failed || read.result.is_out_of_range;
        item->told_high_watermark = is_error ? -1 : read.result.high_watermark.value();
        item->told_log_start = is_error ? -1 : read.result.log_start_offset.value();
        if (read.result.range.size > 0) {
            session.move_to_end(read.item.key);
        }
    }

    // Partitions of one topic that follow each other share its entry.
    FetchResponse::FetchableTopicResponse& topic_of(FetchResponse& response, const FetchKey& key) {
        if (!response.responses.empty()) {
            auto& last = response.responses.back();
            if (last.topic_id == key.topic_id && last.topic == key.topic) {
                return last;
            }
        }
        auto& topic = response.responses.emplace_back();
        topic.topic = key.topic;
        topic.topic_id = key.topic_id;
        return topic;
    }

    void encode_partition(FetchResponse::FetchableTopicResponse& topic, const Read& read,
                          LeaderHints& hints) const {
        auto& out = topic.partitions.emplace_back();
        out.partition_index = read.item.key.partition;
        out.records.emplace();
        if (read.failed) {
            out.error_code = error_code(read.error.code);
            out.high_watermark = -1;
            // Null, as of any read that was tried; of what does not exist the list is empty.
            if (read.error.code != Code::unknown_topic &&
                read.error.code != Code::unknown_topic_id &&
                read.error.code != Code::unknown_partition) {
                out.aborted_transactions.reset();
            }
            const bool is_moved =
                read.error.code == Code::not_leader || read.error.code == Code::fenced_leader_epoch;
            if (head_.api_version >= kEndpointsVersionMin && is_moved) {
                hints.fill_leader(read.key, out.current_leader);
            }
            return;
        }
        if (read.result.is_out_of_range) {
            out.error_code = error_code(Code::offset_out_of_range);
            out.high_watermark = -1;
            out.log_start_offset = read.result.log_start_offset.value(); // for a replica: see there
            return;
        }
        out.preferred_read_replica = read.result.preferred_replica.value();
        out.high_watermark = read.result.high_watermark.value();
        out.last_stable_offset = read.result.last_stable_offset.value();
        out.log_start_offset = read.result.log_start_offset.value();
        if (request_.isolation_level == 0) {
            out.aborted_transactions.reset(); // null
        } else {
            // The client leaves out a producer's records from there to its abort marker.
            out.aborted_transactions.emplace();
            for (const replica::ReadResult::Aborted& aborted : read.result.aborted) {
                auto& entry = out.aborted_transactions->emplace_back();
                entry.producer_id = aborted.producer_id.value();
                entry.first_offset = aborted.first_offset.value();
            }
        }
        if (read.result.diverging) {
            out.diverging_epoch.epoch = read.result.diverging->first.value();
            out.diverging_epoch.end_offset = read.result.diverging->second.value();
        }
        out.records->external_size = read.result.range.size;
    }

    std::vector<port::Piece> make_pieces(const FetchResponse& response,
                                         std::vector<port::FileRange> ranges) const {
        if (head_.counters != nullptr) {
            count_errors(*head_.counters, response);
        }
        ByteWriter writer = begin_answer(head_);
        std::vector<protocol::RecordsSplit> splits;
        response.encode(writer, head_.api_version, &splits);
        return end_answer(std::move(writer), splits, std::move(ranges));
    }

    ReplyHead head_;
    ChunkRef chunk_; // the names in request_ are views of it
    metrics::CoreCounters& counters_;
    FetchSessions& sessions_;
    Throttle& throttle_;
    std::string_view client_id_; // in the chunk
    FetchRequest request_;
    Token self_;
    metadata::ImageRef image_;
    std::optional<replica::ReplicaReader> replica_; // nothing: a consumer
    int32_t session_id_ = 0;                        // 0: without a session
    bool is_incremental_ = false;
    bool may_wait_ = false;
    MonoTime deadline_{};
    bool deadline_is_set_ = false;
    MonoTime waiting_since_{}; // for more to read
    std::vector<Read> reads_;
    size_t outstanding_ = 0;
};

} // namespace

Outcome handle_fetch(const Context& context) {
    KAFKA_DECODE(FetchRequest, request, context);
    if (request.isolation_level != 0 && request.isolation_level != 1) {
        FetchResponse response;
        response.error_code = error_code(Code::invalid_request);
        return Answer{make_answer(context.head, response)};
    }
    return std::make_unique<FetchPending>(context, std::move(request));
}

} // namespace qtool::kafka
