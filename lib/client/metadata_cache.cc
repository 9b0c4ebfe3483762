#include "lib/client/metadata_cache.h"

#include <algorithm>
#include <utility>

namespace qtool::client {

using protocol::KafkaError;
using protocol::MetadataRequest;
using protocol::MetadataResponse;

MetadataCache::MetadataCache(MetadataOptions options, uint64_t seed)
    : options_(options),
      prng_(seed) {}

Result<void> MetadataCache::want(std::string_view topic) {
    if (topics_.find(topic) != topics_.end()) {
        return {};
    }
    if (topics_.size() >= kTopicsMax) {
        return Error(Code::overloaded,
                     "one client uses at most " + std::to_string(kTopicsMax) + " topics");
    }
    topics_.emplace(topic, TopicInfo{});
    due_ = MonoTime::min();
    news_wanted_ = true;
    return {};
}

void MetadataCache::refresh_soon(MonoTime now) {
    // Several partitions report one leader change: the first report decides the time.
    const MonoTime soonest = last_answer_ == MonoTime::min()
                                 ? now
                                 : last_answer_ + options_.backoff.delay(failures_, prng_);
    due_ = std::min(due_, std::max(now, soonest));
}

MonoTime MetadataCache::next_due() const {
    return in_flight_ ? kMonoNever : due_;
}

MetadataRequest MetadataCache::make_request() {
    in_flight_ = true;
    news_wanted_ = false;
    MetadataRequest request;
    request.allow_auto_topic_creation = options_.create_topics;
    request.topics.emplace();
    request.topics->reserve(topics_.size());
    for (const auto& [name, topic] : topics_) {
        MetadataRequest::MetadataRequestTopic wanted;
        wanted.name = name;
        request.topics->push_back(wanted);
    }
    return request;
}

void MetadataCache::on_reply(const MetadataResponse& response, MonoTime now) {
    in_flight_ = false;
    revision_++;
    last_answer_ = now;
    if (!response.brokers.empty()) {
        brokers_.clear();
        for (const auto& broker : response.brokers) {
            brokers_[broker.node_id] = {std::string(broker.host),
                                        static_cast<uint16_t>(broker.port)};
        }
    }
    for (const auto& answer : response.topics) {
        take_topic(answer, now);
    }
    const bool incomplete = std::any_of(topics_.begin(), topics_.end(), [](const auto& entry) {
        const TopicInfo& topic = entry.second;
        return topic.error != KafkaError::none ||
               std::any_of(topic.partitions.begin(), topic.partitions.end(),
                           [](const PartitionInfo& p) { return p.leader_id < 0; });
    });
    failures_ = incomplete ? failures_ + 1 : 0;
    due_ = news_wanted_ ? now
           : incomplete ? now + options_.backoff.delay(failures_, prng_)
                        : now + options_.age_max;
}

void MetadataCache::take_topic(const MetadataResponse::MetadataResponseTopic& answer,
                               MonoTime now) {
    if (!answer.name) {
        return;
    }
    const auto found = topics_.find(*answer.name);
    if (found == topics_.end()) {
        return; // not asked for
    }
    TopicInfo& topic = found->second;
    topic.answered = true;
    topic.error = protocol::kafka_error_of(answer.error_code);
    if (topic.error == KafkaError::none && answer.partitions.empty()) {
        topic.error = KafkaError::leader_not_available; // being created
    }
    if (topic.error != KafkaError::none) {
        if (!topic.failing_since) {
            topic.failing_since = now;
        }
        topic.failed_at = now;
        return; // what was known before may still serve, until the owner gives up
    }
    topic.failing_since.reset();
    const bool same_topic = topic.id == answer.topic_id;
    topic.id = answer.topic_id;
    std::vector<PartitionInfo> partitions;
    for (const auto& part : answer.partitions) {
        // Indexes are dense; a hole or a wild index must not make us reserve memory.
        const auto index = static_cast<size_t>(part.partition_index);
        if (part.partition_index < 0 || index >= answer.partitions.size()) {
            continue;
        }
        partitions.resize(std::max(partitions.size(), index + 1));
        partitions[index] = {part.leader_id, part.leader_epoch};
        // A broker that lags behind must not lead us back to a deposed leader (KIP-320).
        if (same_topic && index < topic.partitions.size() &&
            topic.partitions[index].leader_epoch > part.leader_epoch && part.leader_epoch >= 0) {
            partitions[index] = topic.partitions[index];
        }
    }
    topic.partitions = std::move(partitions);
}

void MetadataCache::on_failure(MonoTime now) {
    in_flight_ = false;
    failures_++;
    due_ = now + options_.backoff.delay(failures_, prng_);
}

const TopicInfo* MetadataCache::find(std::string_view topic) const {
    const auto found = topics_.find(topic);
    return found == topics_.end() ? nullptr : &found->second;
}

const BrokerInfo* MetadataCache::find_broker(int32_t id) const {
    const auto found = brokers_.find(id);
    return found == brokers_.end() ? nullptr : &found->second;
}

} // namespace qtool::client
