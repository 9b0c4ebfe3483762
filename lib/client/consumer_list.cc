// The consumer's questions about offsets, split by leader and asked again until answered.
#include "lib/client/broker_error.h"
#include "lib/client/consumer.h"

#include <algorithm>

namespace qtool::client {

using protocol::KafkaError;
using protocol::ListOffsetsRequest;
using protocol::ListOffsetsResponse;

namespace {

enum : uint8_t { kToAsk, kAsked, kAnswered };

} // namespace

Result<void> Consumer::list_offsets(const std::string& topic,
                                    const std::vector<int32_t>& partitions, int64_t timestamp_ms) {
    QT_TRY_ASSIGN(list_topic_, want_topic(topic));
    list_timestamp_ = timestamp_ms;
    listed_.assign(partitions.size(), ListedOffset{});
    for (size_t i = 0; i < partitions.size(); i++) {
        listed_[i].partition = partitions[i];
    }
    list_state_.assign(partitions.size(), kToAsk);
    list_left_ = partitions.size();
    list_in_flight_.clear();
    list_retry_at_ = MonoTime::min();
    return {};
}

void Consumer::send_lists(MonoTime now, Outbox& out) {
    if (list_left_ == 0 || now < list_retry_at_) {
        return;
    }
    std::map<int32_t, std::vector<size_t>> by_leader;
    const TopicInfo& info = *topics_[list_topic_].info;
    for (size_t i = 0; i < listed_.size(); i++) {
        if (list_state_[i] != kToAsk || info.partitions.empty()) {
            continue;
        }
        const PartitionInfo* leader = leader_of({list_topic_, listed_[i].partition});
        if (leader == nullptr) {
            listed_[i].result =
                Error(Code::unknown_partition,
                      name_of({list_topic_, listed_[i].partition}) + " does not exist");
            list_state_[i] = kAnswered;
            list_left_--;
        } else if (leader->leader_id < 0) {
            cluster_.metadata().refresh_soon(now);
        } else {
            by_leader[leader->leader_id].push_back(i);
        }
    }
    // The maximum timestamp came with version 7; older brokers would take it for a time.
    const int16_t lowest = list_timestamp_ == kMaxTimestampOffset ? 7 : 1;
    for (auto& [node_id, indexes] : by_leader) {
        if (!cluster_.ready(node_id, now, out)) {
            continue;
        }
        const auto version = cluster_.pick_version(node_id, ListOffsetsRequest::kApiKey, lowest,
                                                   ListOffsetsRequest::kVersionMax);
        if (!version) {
            for (const size_t i : indexes) {
                listed_[i].result =
                    Error(Code::unsupported_version, "the broker cannot list this kind of offset");
                list_state_[i] = kAnswered;
                list_left_--;
            }
            continue;
        }
        ListOffsetsRequest request;
        request.replica_id = protocol::kConsumerReplicaId;
        request.isolation_level = static_cast<int8_t>(config_.isolation_level);
        request.timeout_ms = config_.request_timeout_ms;
        request.topics.emplace_back();
        request.topics.back().name = topics_[list_topic_].name;
        for (const size_t i : indexes) {
            const PartitionInfo& leader = *leader_of({list_topic_, listed_[i].partition});
            request.topics.back().partitions.push_back(
                {listed_[i].partition, leader.leader_epoch, list_timestamp_});
            list_state_[i] = kAsked;
        }
        const uint64_t tag = next_id_++;
        cluster_.send(node_id, request, *version, tag, now, true, {}, out);
        list_in_flight_.emplace(tag, std::move(indexes));
    }
}

void Consumer::on_list_reply(Reply& reply, MonoTime now) {
    const auto found = list_in_flight_.find(reply.tag);
    if (found == list_in_flight_.end()) {
        return; // of a question given up
    }
    const std::vector<size_t> indexes = std::move(found->second);
    list_in_flight_.erase(found);
    if (reply.result) {
        const auto response = ListOffsetsResponse::decode(reply.body(), reply.version);
        if (response && !response->topics.empty()) {
            for (const auto& answer : response->topics.front().partitions) {
                for (const size_t i : indexes) {
                    ListedOffset& listed = listed_[i];
                    const KafkaError error = protocol::kafka_error_of(answer.error_code);
                    if (listed.partition != answer.partition_index || list_state_[i] != kAsked ||
                        protocol::is_retriable(error) || wants_metadata(error)) {
                        continue;
                    }
                    listed.offset = answer.offset;
                    listed.timestamp_ms = answer.timestamp;
                    listed.leader_epoch = answer.leader_epoch;
                    if (error != KafkaError::none) {
                        listed.result =
                            error_of_broker(error, name_of({list_topic_, listed.partition}));
                    }
                    list_state_[i] = kAnswered;
                    list_left_--;
                }
            }
        }
    }
    for (const size_t i : indexes) {
        if (list_state_[i] == kAsked) {
            list_state_[i] = kToAsk;
            list_retry_at_ =
                now + Backoff{config_.retry_backoff_ms, config_.retry_backoff_max_ms}.delay(
                          ++list_failures_, prng_);
            cluster_.metadata().refresh_soon(now);
        }
    }
    if (list_left_ == 0) {
        list_failures_ = 0;
    }
}

} // namespace qtool::client
