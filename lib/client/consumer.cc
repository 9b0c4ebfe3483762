#include "lib/client/consumer.h"

#include "lib/client/broker_error.h"

#include <algorithm>
#include <set>
#include <utility>

namespace qtool::client {

using protocol::FetchRequest;
using protocol::FetchResponse;
using protocol::KafkaError;

namespace {

constexpr size_t kRecordsPerPollMax = 4096;
constexpr uint32_t kChunksWaitingMax = 2; // of one partition: the one being read and the next

} // namespace

Consumer::Consumer(const config::ClientConfig& config, uint64_t seed)
    : config_(config),
      prng_(seed),
      cluster_(config_, false, prng_.next()) {}

std::optional<size_t> Consumer::find_topic(const std::string& name) const {
    for (size_t i = 0; i < topics_.size(); i++) {
        if (topics_[i].name == name) {
            return i;
        }
    }
    return std::nullopt;
}

Result<size_t> Consumer::want_topic(const std::string& name) {
    if (const auto found = find_topic(name); found) {
        return *found;
    }
    QT_TRY(cluster_.metadata().want(name));
    topics_.push_back({name, cluster_.metadata().find(name)});
    return topics_.size() - 1;
}

std::string Consumer::name_of(const Key& key) const {
    return topics_[key.first].name + "-" + std::to_string(key.second);
}

const PartitionInfo* Consumer::leader_of(const Key& key) const {
    const auto& partitions = topics_[key.first].info->partitions;
    const auto at = static_cast<size_t>(key.second);
    return key.second >= 0 && at < partitions.size() ? &partitions[at] : nullptr;
}

void Consumer::restart(Partition& partition, int64_t position) {
    partition.position = position;
    partition.fetch_offset = position;
    partition.generation = next_id_++;
    partition.waiting = 0;
    partition.in_flight = false;
    partition.failed = false;
}

void Consumer::assign(const std::vector<PartitionOffset>& positions) {
    const std::map<Key, Partition> before = std::exchange(partitions_, {});
    failures_.clear();
    for (const PartitionOffset& wanted : positions) {
        const auto topic = want_topic(wanted.topic);
        if (!topic) {
            failures_.push_back({{0, -1}, topic.error()});
            continue;
        }
        const Key key{*topic, wanted.partition};
        Partition& partition = partitions_[key];
        const auto known = before.find(key);
        if (known != before.end() && !known->second.failed && !known->second.paused &&
            known->second.position == wanted.offset) {
            partition = known->second;
            continue;
        }
        partition.bytes_max = config_.max_partition_fetch_bytes;
        restart(partition, wanted.offset);
    }
}

Result<void> Consumer::seek(const std::string& topic, int32_t partition, int64_t offset) {
    const auto index = find_topic(topic);
    const auto found = index ? partitions_.find({*index, partition}) : partitions_.end();
    if (found == partitions_.end() || offset < 0) {
        return Error(Code::invalid_argument,
                     "cannot seek " + topic + "-" + std::to_string(partition) + " to " +
                         std::to_string(offset) + ": not assigned, or a negative offset");
    }
    found->second.failed = false;
    std::erase_if(failures_, [&](const Failure& failure) { return failure.key == found->first; });
    restart(found->second, offset);
    return {};
}

void Consumer::set_paused(const std::string& topic, int32_t partition, bool paused) {
    const auto index = find_topic(topic);
    const auto found = index ? partitions_.find({*index, partition}) : partitions_.end();
    if (found == partitions_.end() || found->second.paused == paused) {
        return;
    }
    found->second.paused = paused;
    if (paused) {
        // What was fetched is dropped: kept, it could hold a large frame for ever.
        restart(found->second, found->second.position);
    }
}

void Consumer::fail(const Key& key, Error error) {
    partitions_.at(key).failed = true;
    failures_.push_back({key, std::move(error)});
}

void Consumer::back_off(Partition& partition, MonoTime now) {
    partition.failures++;
    partition.retry_at =
        now + Backoff{config_.retry_backoff_ms, config_.retry_backoff_max_ms}.delay(
                  partition.failures, prng_);
}

void Consumer::check_topics() {
    for (auto& [key, partition] : partitions_) {
        const TopicInfo& info = *topics_[key.first].info;
        if (partition.failed || info.error == KafkaError::none) {
            if (!partition.failed && !info.partitions.empty() && leader_of(key) == nullptr) {
                fail(key, Error(Code::unknown_partition, name_of(key) + " does not exist"));
            }
            continue;
        }
        if (!protocol::is_retriable(info.error) ||
            (info.error == KafkaError::unknown_topic_or_partition &&
             info.failing_for() > kUnknownTopicPatience)) {
            fail(key, error_of_broker(info.error, name_of(key)));
        }
    }
}

void Consumer::send_fetches(MonoTime now, Outbox& out) {
    std::map<int32_t, FetchSession::Wanted> by_leader;
    std::set<int32_t> held;
    for (auto& [key, partition] : partitions_) {
        if (partition.paused || partition.failed || partition.in_flight ||
            partition.retry_at > now) {
            continue;
        }
        const PartitionInfo* info = leader_of(key);
        if (info == nullptr || info->leader_id < 0) {
            cluster_.metadata().refresh_soon(now);
            continue;
        }
        // A fetch without this partition could wait at the broker for the others while this one is
        // read, and hold its next records back for fetch.max.wait.ms.
        if (partition.waiting >= kChunksWaitingMax) {
            held.insert(info->leader_id);
            continue;
        }
        by_leader[info->leader_id][key] = {partition.fetch_offset, info->leader_epoch,
                                           partition.bytes_max};
    }
    uint64_t used = fetched_bytes_;
    for (const auto& [id, leader] : leaders_) {
        used += leader.reserved_bytes;
    }
    const auto limit = static_cast<uint64_t>(config_.fetch_max_bytes);
    for (const auto& [node_id, wanted] : by_leader) {
        Leader& leader = leaders_[node_id];
        if (leader.tag != 0 || leader.retry_at > now || used >= limit || held.contains(node_id)) {
            continue;
        }
        if (!cluster_.ready(node_id, now, out)) {
            if (cluster_.metadata().find_broker(node_id) == nullptr) {
                cluster_.metadata().refresh_soon(now);
            }
            continue;
        }
        uint64_t asked = 0;
        for (const auto& [key, partition] : wanted) {
            asked += static_cast<uint64_t>(partition.bytes_max);
        }
        asked = std::min(asked, limit - used);
        send_fetch(node_id, leader, wanted, asked, now, out);
        used += leader.reserved_bytes;
    }
}

void Consumer::send_fetch(int32_t node_id, Leader& leader, const FetchSession::Wanted& wanted,
                          uint64_t bytes_max, MonoTime now, Outbox& out) {
    const bool has_ids = std::none_of(wanted.begin(), wanted.end(), [&](const auto& entry) {
        return topics_[entry.first.first].info->id.is_zero();
    });
    const auto version = cluster_.pick_version(node_id, FetchRequest::kApiKey, 4,
                                               has_ids ? FetchRequest::kVersionMax : int16_t{12});
    if (!version) {
        for (const auto& [key, partition] : wanted) {
            fail(key, Error(Code::unsupported_version, "the broker has no Fetch that we speak"));
        }
        return;
    }
    const FetchSession::Plan plan = leader.session.plan(wanted);
    FetchRequest request;
    request.max_wait_ms = config_.fetch_max_wait_ms;
    request.min_bytes = config_.fetch_min_bytes;
    request.max_bytes = static_cast<int32_t>(bytes_max);
    request.isolation_level = static_cast<int8_t>(config_.isolation_level);
    request.session_id = plan.session_id;
    request.session_epoch = plan.session_epoch;
    const Topic* last = nullptr;
    for (const auto& [key, partition] : plan.named) {
        const Topic& topic = topics_[key.first];
        if (&topic != last) {
            request.topics.emplace_back();
            request.topics.back().topic = topic.name;
            request.topics.back().topic_id = topic.info->id;
            last = &topic;
        }
        FetchRequest::FetchPartition part;
        part.partition = key.second;
        part.current_leader_epoch = partition.leader_epoch;
        part.fetch_offset = partition.fetch_offset;
        part.partition_max_bytes = partition.bytes_max;
        request.topics.back().partitions.push_back(part);
    }
    for (const Key& key : plan.forgotten) {
        FetchRequest::ForgottenTopic gone;
        gone.topic = topics_[key.first].name;
        gone.topic_id = topics_[key.first].info->id;
        gone.partitions.push_back(key.second);
        request.forgotten_topics_data.push_back(std::move(gone));
    }
    leader.tag = next_id_++;
    leader.reserved_bytes = bytes_max;
    leader.asked.clear();
    for (const auto& [key, partition] : wanted) {
        Partition& own = partitions_.at(key);
        own.in_flight = true;
        leader.asked[key] = {own.generation, own.fetch_offset};
    }
    cluster_.send(node_id, request, *version, leader.tag, now, true, {}, out);
}

void Consumer::on_fetch_reply(int32_t, Leader& leader, Reply& reply, MonoTime now) {
    leader.tag = 0;
    leader.reserved_bytes = 0;
    const std::map<Key, Asked> asked = std::exchange(leader.asked, {});
    for (const auto& [key, one] : asked) {
        const auto found = partitions_.find(key);
        if (found != partitions_.end() && found->second.generation == one.generation) {
            found->second.in_flight = false;
        }
    }
    const Backoff backoff{config_.retry_backoff_ms, config_.retry_backoff_max_ms};
    Result<FetchResponse> response = Error(Code::internal);
    if (reply.result) {
        response = FetchResponse::decode(reply.body(), reply.version);
    }
    if (!response || response->error_code != 0) {
        // What no retry mends is told: the request as a whole is refused, or the answer is
        // nonsense.
        const KafkaError error =
            response ? protocol::kafka_error_of(response->error_code) : KafkaError::none;
        if (response ? !protocol::is_retriable(error) : reply.result.has_value()) {
            const Error why = response ? error_of_broker(error, "Fetch") : response.error();
            for (const auto& [key, one] : asked) {
                const auto found = partitions_.find(key);
                if (found != partitions_.end() && found->second.generation == one.generation) {
                    fail(key, why);
                }
            }
        }
        leader.session.reset();
        leader.failures++;
        // A lost session is not a failure of the broker: the next fetch opens another at once.
        if (!response || leader.failures > 1) {
            leader.retry_at = now + backoff.delay(leader.failures, prng_);
        }
        cluster_.metadata().refresh_soon(now);
        return;
    }
    leader.failures = 0;
    leader.session.on_answer(response->session_id);
    const uint64_t fetched_id = next_id_++;
    Fetched& fetched = fetched_[fetched_id];
    fetched.frame = std::move(reply.frame);
    for (auto& topic : response->responses) {
        for (auto& data : topic.partitions) {
            for (const auto& [key, one] : asked) {
                const Topic& its = topics_[key.first];
                const bool same =
                    reply.version >= 13 ? its.info->id == topic.topic_id : its.name == topic.topic;
                const auto found = partitions_.find(key);
                if (same && key.second == data.partition_index && found != partitions_.end() &&
                    found->second.generation == one.generation) {
                    on_partition(key, found->second, one, data, fetched_id, now);
                }
            }
        }
    }
    if (fetched.chunk_count == 0) {
        fetched_.erase(fetched_id);
    } else {
        fetched_bytes_ += fetched.frame.size;
    }
}

void Consumer::on_partition(const Key& key, Partition& partition, const Asked& asked,
                            FetchResponse::PartitionData& data, uint64_t fetched_id, MonoTime now) {
    const KafkaError error = protocol::kafka_error_of(data.error_code);
    if (error != KafkaError::none) {
        if (error == KafkaError::corrupt_message) {
            fail(key, Error(Code::storage_damaged,
                            error_of_broker(error, name_of(key) + " at offset " +
                                                       std::to_string(asked.fetch_offset))
                                .detail));
        } else if (error != KafkaError::offset_out_of_range &&
                   (protocol::is_retriable(error) || wants_metadata(error))) {
            cluster_.metadata().refresh_soon(now);
            back_off(partition, now);
        } else {
            fail(key, error_of_broker(error, name_of(key) + " at offset " +
                                                 std::to_string(asked.fetch_offset)));
        }
        return;
    }
    partition.failures = 0;
    const bool committed = config_.isolation_level == config::IsolationLevel::read_committed;
    partition.end_offset = committed ? data.last_stable_offset : data.high_watermark;
    if (!data.records || data.records->empty()) {
        return;
    }
    // The next fetch begins behind the last whole batch; the batches themselves are read later.
    protocol::BatchWalker walker(*data.records);
    int64_t next_offset = asked.fetch_offset;
    for (;;) {
        const auto batch = walker.next();
        if (!batch || *batch == nullptr) {
            break; // a broken header is reported when reading comes to it
        }
        next_offset = std::max(next_offset, (*batch)->header.next_offset().value());
    }
    if (walker.used() == 0 && walker.cut_batch_size() > 0) {
        if (walker.cut_batch_size() > static_cast<size_t>(INT32_MAX)) {
            fail(key, Error(Code::too_large, name_of(key) + ": a batch that cannot be fetched"));
        } else {
            partition.bytes_max =
                std::max(partition.bytes_max, static_cast<int32_t>(walker.cut_batch_size()));
        }
        return;
    }
    std::vector<AbortedTransaction> aborted;
    if (committed && data.aborted_transactions) {
        for (const auto& one : *data.aborted_transactions) {
            aborted.push_back({one.producer_id, one.first_offset});
        }
    }
    partition.fetch_offset = next_offset;
    partition.waiting++;
    fetched_.at(fetched_id).chunk_count++;
    chunks_.push_back({key, partition.generation, fetched_id,
                       Fetcher(*data.records, asked.fetch_offset, std::move(aborted))});
}

void Consumer::drop_chunk() {
    const Chunk& chunk = chunks_.front();
    const auto found = partitions_.find(chunk.key);
    if (found != partitions_.end() && found->second.generation == chunk.generation) {
        found->second.waiting--;
        found->second.position = std::max(found->second.position, chunk.fetcher.position());
    }
    const auto fetched = fetched_.find(chunk.fetched_id);
    if (--fetched->second.chunk_count == 0) {
        fetched_bytes_ -= fetched->second.frame.size;
        fetched_.erase(fetched);
    }
    chunks_.pop_front();
    batch_open_ = false;
}

Result<void> Consumer::take_records(std::vector<ConsumerRecord>& records) {
    for (ConsumerRecord& record : records) {
        if (record.headers.capacity() > 0 && spare_headers_.size() < kRecordsPerPollMax) {
            record.headers.clear();
            spare_headers_.push_back(std::move(record.headers));
        }
    }
    records.clear();
    if (!failures_.empty()) {
        Error error = std::move(failures_.front().error);
        failures_.pop_front();
        return error;
    }
    while (!chunks_.empty()) {
        Chunk& chunk = chunks_.front();
        const auto found = partitions_.find(chunk.key);
        if (found == partitions_.end() || found->second.generation != chunk.generation ||
            found->second.failed) {
            drop_chunk();
            continue;
        }
        Partition& partition = found->second;
        Result<void> result;
        if (!batch_open_) {
            const auto opened = chunk.fetcher.open();
            if (!opened) {
                result = opened.error();
            } else if (!*opened) {
                drop_chunk();
                continue;
            }
            batch_open_ = opened.has_value();
        }
        while (result && batch_open_ && records.size() < kRecordsPerPollMax) {
            const auto next = chunk.fetcher.next();
            if (!next) {
                result = next.error();
                break;
            }
            if (*next == nullptr) {
                batch_open_ = false;
                break;
            }
            const protocol::ConsumedRecord& from = **next;
            ConsumerRecord& to = records.emplace_back();
            to.topic = topics_[chunk.key.first].name;
            to.partition = chunk.key.second;
            to.offset = from.offset.value();
            to.timestamp_ms = from.timestamp;
            to.append_time = from.timestamp_type == protocol::TimestampType::log_append_time;
            if (from.record.key) {
                to.key = as_text(*from.record.key);
            }
            if (from.record.value) {
                to.value = as_text(*from.record.value);
            }
            if (from.record.header_count > 0) {
                if (!spare_headers_.empty()) {
                    to.headers = std::move(spare_headers_.back());
                    spare_headers_.pop_back();
                }
                protocol::HeaderIterator walk = from.record.headers();
                while (const protocol::HeaderView* header = walk.next()) {
                    to.headers.push_back({header->key, std::nullopt});
                    if (header->value) {
                        to.headers.back().value = as_text(*header->value);
                    }
                }
            }
        }
        partition.position = std::max(partition.position, chunk.fetcher.position());
        if (!result) {
            partition.failed = true;
            Error error = result.error();
            error.detail = name_of(chunk.key) + " at offset " + std::to_string(partition.position) +
                           ": " + error.detail;
            if (error.code == Code::corrupt) {
                error.code = Code::malformed;
            }
            if (records.empty()) {
                drop_chunk();
                return error;
            }
            failures_.push_back({chunk.key, std::move(error)}); // after the records before it
            return {};
        }
        if (!records.empty()) {
            return {};
        }
    }
    return {};
}

bool Consumer::has_ready() const {
    return !failures_.empty() || std::any_of(chunks_.begin(), chunks_.end(), [&](const Chunk& c) {
        const auto found = partitions_.find(c.key);
        return found != partitions_.end() && found->second.generation == c.generation;
    });
}

int64_t Consumer::position(const std::string& topic, int32_t partition) const {
    const auto index = find_topic(topic);
    const auto found = index ? partitions_.find({*index, partition}) : partitions_.end();
    return found == partitions_.end() ? -1 : found->second.position;
}

int64_t Consumer::end_offset(const std::string& topic, int32_t partition) const {
    const auto index = find_topic(topic);
    const auto found = index ? partitions_.find({*index, partition}) : partitions_.end();
    return found == partitions_.end() ? -1 : found->second.end_offset;
}

Result<std::optional<int32_t>> Consumer::partition_count(const std::string& topic) {
    QT_TRY_ASSIGN(const size_t index, want_topic(topic));
    const TopicInfo& info = *topics_[index].info;
    if (info.error != KafkaError::none &&
        (!protocol::is_retriable(info.error) || info.failing_for() > kUnknownTopicPatience)) {
        return error_of_broker(info.error, topic);
    }
    if (info.partitions.empty() || info.error != KafkaError::none) {
        return std::optional<int32_t>();
    }
    return std::optional(static_cast<int32_t>(info.partitions.size()));
}

void Consumer::step(MonoTime now, Outbox& out) {
    cluster_.step(now, out);
    for (Reply& reply : cluster_.take_replies()) {
        if (reply.api_key == FetchRequest::kApiKey) {
            for (auto& [node_id, leader] : leaders_) {
                if (leader.tag == reply.tag) {
                    on_fetch_reply(node_id, leader, reply, now);
                    break;
                }
            }
        } else if (reply.api_key == protocol::ListOffsetsRequest::kApiKey) {
            on_list_reply(reply, now);
        } else {
            other_replies_.push_back(std::move(reply));
        }
    }
    check_topics();
    send_lists(now, out);
    send_fetches(now, out);
}

MonoTime Consumer::next_due(MonoTime now) const {
    MonoTime due = cluster_.next_due(now);
    const auto consider = [&](MonoTime at) {
        if (at > now) {
            due = std::min(due, at);
        }
    };
    for (const auto& [key, partition] : partitions_) {
        consider(partition.retry_at);
    }
    for (const auto& [id, leader] : leaders_) {
        consider(leader.retry_at);
    }
    consider(list_retry_at_);
    return due;
}

} // namespace qtool::client
