#include "server/replica/fetcher.h"

#include "lib/base/assert.h"
#include "lib/base/byte_writer.h"
#include "lib/base/log.h"
#include "lib/protocol/kafka_error.h"
#include "lib/protocol/msg/fetch.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace qtool::replica {

namespace {

using protocol::FetchRequest;
using protocol::FetchResponse;
using protocol::KafkaError;

// After a change of leaders the first tries come a moment before the image there; then it is
// doubled up to replica.fetch.backoff.ms.
constexpr Duration kBackoffMin = 20ms;

Duration next_backoff(Duration last, const FetcherOptions& options) {
    return last == Duration{} ? std::min(kBackoffMin, options.backoff_max)
                              : std::min(last * 2, options.backoff_max);
}

int32_t to_ms(Duration duration) {
    return static_cast<int32_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

} // namespace

void Fetcher::follow(const PartitionKey& key, LeaderEpoch epoch) {
    Item& item = items_[key];
    item.epoch = epoch;
    item.backoff = Duration{};
    item.not_before = MonoTime{};
    resting_.erase(key);
    item.is_in_session = forgotten_.erase(key) > 0 || item.is_in_session;
    dirty_.insert(key);
}

void Fetcher::drop(const PartitionKey& key) {
    const auto at = items_.find(key);
    if (at == items_.end()) {
        return;
    }
    if (at->second.is_in_session) {
        forgotten_.insert(key);
    }
    items_.erase(at);
    dirty_.erase(key);
    resting_.erase(key);
}

void Fetcher::end_session() {
    session_id_ = 0;
    session_epoch_ = 0;
    forgotten_.clear();
    for (auto& [key, item] : items_) {
        item.is_in_session = false;
        if (!resting_.contains(key)) {
            dirty_.insert(key);
        }
    }
}

void Fetcher::pause(MonoTime now, const FetcherOptions& options) {
    pause_ = next_backoff(pause_, options);
    paused_until_ = now + pause_;
}

void Fetcher::rest(const PartitionKey& key, Item& item, MonoTime now,
                   const FetcherOptions& options) {
    counters_.replica_fetch_errors.add();
    item.backoff = next_backoff(item.backoff, options);
    item.not_before = now + item.backoff;
    if (item.is_in_session) {
        item.is_in_session = false;
        forgotten_.insert(key);
    }
    dirty_.erase(key);
    resting_.insert(key);
}

bool Fetcher::wake_resting(MonoTime now) {
    bool is_still_in_session = false; // one that failed
    for (auto at = resting_.begin(); at != resting_.end();) {
        Item& item = items_.at(*at);
        if (item.not_before > now) {
            ++at;
            continue;
        }
        is_still_in_session = forgotten_.contains(*at) || is_still_in_session;
        dirty_.insert(*at);
        at = resting_.erase(at);
    }
    // The leader has not heard that it was left out, and would not tell again what it told once in
    // the session, as where its log starts.
    if (is_still_in_session) {
        end_session();
    }
    return items_.size() > resting_.size();
}

MonoTime Fetcher::next_due() const {
    if (is_asking_ || items_.empty()) {
        return kMonoNever;
    }
    MonoTime due = kMonoNever;
    for (const PartitionKey& key : resting_) {
        due = std::min(due, items_.at(key).not_before);
    }
    if (items_.size() > resting_.size() && paused_until_ != MonoTime{}) {
        due = std::min(due, paused_until_);
    }
    return due == kMonoNever ? due : std::max(due, paused_until_);
}

std::optional<std::vector<std::byte>> Fetcher::next(const FetcherOptions& options,
                                                    Revision broker_epoch, MonoTime now,
                                                    FollowerLogs& logs) {
    if (is_asking_ || items_.empty() || now < paused_until_ || !wake_resting(now)) {
        return std::nullopt;
    }
    FetchRequest request;
    std::vector<std::pair<PartitionKey, Partition::FetchPosition>> asked;
    for (const PartitionKey& key : dirty_) {
        const std::optional<Partition::FetchPosition> position = logs.position(key);
        if (!position) {
            return std::nullopt; // its flush is under way
        }
        asked.emplace_back(key, *position);
    }
    bool is_throttled = false;
    const PartitionKey* last = nullptr;
    for (const auto& [key, position] : asked) {
        Item& item = items_.at(key);
        if (logs.is_throttled(key)) {
            is_throttled = true;
            if (std::exchange(item.is_in_session, false)) {
                forgotten_.insert(key);
            }
            item.not_before = now + kBackoffMin;
            resting_.insert(key);
            dirty_.erase(key);
            continue;
        }
        if (last == nullptr || last->topic_id != key.topic_id) {
            request.topics.emplace_back().topic_id = key.topic_id;
        }
        last = &key;
        auto& partition = request.topics.back().partitions.emplace_back();
        partition.partition = key.index.value();
        partition.current_leader_epoch = item.epoch.value();
        partition.fetch_offset = position.offset.value();
        partition.last_fetched_epoch = position.last_epoch.value();
        partition.log_start_offset = position.log_start.value();
        partition.partition_max_bytes = options.partition_bytes_max;
        item.asked_epoch = item.epoch;
        item.asked_offset = position.offset;
        item.asked_log_start = position.log_start;
        item.is_in_session = true;
        dirty_.erase(key);
    }
    if (is_throttled) {
        counters_.replica_throttled.add();
    }
    if (items_.size() == resting_.size()) {
        return std::nullopt; // what is to be forgotten waits for the next request
    }
    for (const PartitionKey& key : std::exchange(forgotten_, {})) {
        if (session_epoch_ == 0) {
            continue;
        }
        if (request.forgotten_topics_data.empty() ||
            request.forgotten_topics_data.back().topic_id != key.topic_id) {
            request.forgotten_topics_data.emplace_back().topic_id = key.topic_id;
        }
        request.forgotten_topics_data.back().partitions.push_back(key.index.value());
    }
    request.replica_state.replica_id = self_.value();
    request.replica_state.replica_epoch = broker_epoch == Revision{0} ? -1 : broker_epoch.value();
    request.max_wait_ms = to_ms(options.wait_max);
    request.min_bytes = options.bytes_min;
    request.max_bytes = options.response_bytes_max;
    request.session_id = session_id_;
    request.session_epoch = session_epoch_;
    ByteWriter writer;
    request.encode(writer, kReplicaFetchVersion);
    is_asking_ = true;
    counters_.replica_fetches.add();
    return writer.take();
}

void Fetcher::on_answer(const Result<ByteView>& body, const FetcherOptions& options, MonoTime now,
                        FollowerLogs& logs) {
    QT_ASSERT(is_asking_);
    is_asking_ = false;
    const Result<FetchResponse> response = [&]() -> Result<FetchResponse> {
        if (!body) {
            return body.error();
        }
        return FetchResponse::decode(*body, kReplicaFetchVersion);
    }();
    if (!response || response->error_code != 0) {
        counters_.replica_fetch_errors.add();
        log_line(LogLevel::debug, "replica_fetch_failed",
                 {{"leader", leader_.value()},
                  {"error", response ? std::string(protocol::to_string(
                                           static_cast<KafkaError>(response->error_code)))
                                     : to_string(response.error())}});
        end_session();
        pause(now, options);
        return;
    }
    pause_ = Duration{};
    paused_until_ = MonoTime{};
    for (const auto& topic : response->responses) {
        for (const auto& partition : topic.partitions) {
            take(PartitionKey{topic.topic_id, PartitionIndex(partition.partition_index)}, partition,
                 options, now, logs);
        }
    }
    if (response->session_id == 0) {
        end_session(); // the leader keeps none: the next request names all again
    } else {
        session_id_ = response->session_id;
        session_epoch_ = session_epoch_ == INT32_MAX ? 1 : session_epoch_ + 1;
    }
}

template <class Data>
void Fetcher::take(const PartitionKey& key, const Data& data, const FetcherOptions& options,
                   MonoTime now, FollowerLogs& logs) {
    const auto at = items_.find(key);
    if (at == items_.end() || at->second.epoch != at->second.asked_epoch) {
        return; // dropped or in a new epoch since it was asked for
    }
    const LeaderEpoch epoch = at->second.asked_epoch;
    const auto error = static_cast<KafkaError>(data.error_code);
    bool has_moved = false;
    Result<void> done;
    if (error == KafkaError::none) {
        Partition::Fetched fetched;
        fetched.leader_epoch = epoch;
        fetched.fetch_offset = at->second.asked_offset;
        fetched.high_watermark = Offset(data.high_watermark);
        fetched.log_start = Offset(data.log_start_offset);
        if (data.diverging_epoch.epoch >= 0 || data.diverging_epoch.end_offset >= 0) {
            fetched.diverging.emplace(LeaderEpoch(data.diverging_epoch.epoch),
                                      Offset(data.diverging_epoch.end_offset));
        }
        if (data.records) {
            fetched.records = data.records->bytes;
        }
        done = logs.on_fetched(key, fetched);
        has_moved = fetched.diverging || !fetched.records.empty();
    } else if (error == KafkaError::offset_out_of_range) {
        done = logs.on_out_of_range(key, epoch, Offset(data.log_start_offset));
        has_moved = true;
    } else {
        done = Error(Code::not_leader, std::string(protocol::to_string(error)));
    }
    const auto after = items_.find(key);
    if (after == items_.end()) {
        return; // its log broke, and it was dropped
    }
    Item& item = after->second;
    // The leader waits for the log start of all when records are deleted (KIP-107): for one, maybe,
    // that a flush is about to bring.
    const std::optional<Partition::FetchPosition> position = logs.position(key);
    has_moved = has_moved || !position || position->log_start != item.asked_log_start;
    if (has_moved) {
        dirty_.insert(key);
    }
    if (done) {
        item.backoff = Duration{};
        return;
    }
    // Often: the leader has not heard yet that it leads, or this broker not that it does not.
    const bool is_expected = done.error().code == Code::not_leader;
    log_line(is_expected ? LogLevel::debug : LogLevel::warn, "replica_fetch_error",
             {{"leader", leader_.value()},
              {"topic_id", to_string(key.topic_id)},
              {"partition", key.index.value()},
              {"epoch", item.epoch.value()},
              {"error", to_string(done.error())}});
    rest(key, item, now, options);
}

} // namespace qtool::replica
