#include "server/metadata/decide_brokers.h"

#include "server/metadata/partition_change.h"
#include "server/metadata/record_codec.h"

#include <algorithm>

namespace qtool::metadata {

namespace {

std::string name_of(BrokerId id) {
    return "broker " + std::to_string(id.value());
}

Error unknown_broker(BrokerId id) {
    return {Code::resource_not_found, name_of(id) + " is not registered"};
}

Revision live_revision(const Image& image, BrokerId id) {
    const auto at = image.live.find(id);
    return at == image.live.end() ? Revision{0} : at->second.revision;
}

} // namespace

port::StoreTransaction EnsureCluster::decide(const Image& image, port::Random& random) {
    port::StoreTransaction transaction;
    if (image.cluster_id.empty()) {
        const uint64_t high = random.next();
        const uint64_t low = random.next();
        transaction.guards.push_back({cluster_key(), Revision{0}});
        transaction.writes.push_back(
            {cluster_key(), encode_cluster(to_string(make_uuid(high, low)))});
    }
    return transaction;
}

// ---- life of a broker ---------------------------------------------------------------------------

port::StoreTransaction RegisterBroker::decide(const Image& image, port::Random&) {
    port::StoreTransaction transaction;
    const BrokerId id = broker_.id;
    const BrokerImage* known = image.find_broker(id);
    broker_.is_cordoned = known != nullptr && known->is_cordoned;
    const std::string value = encode_broker(broker_);
    const bool is_written = known != nullptr && encode_broker(*known) == value;
    claimed_controller_ = image.controller.revision == Revision{0} || image.controller.id == id;
    transaction.guards.push_back({live_key(id), live_revision(image, id)});
    if (!is_written) {
        transaction.guards.push_back(
            {broker_key(id), known != nullptr ? known->mod_revision : Revision{0}});
        transaction.writes.push_back({broker_key(id), value});
    }
    transaction.writes.push_back({live_key(id), encode_live(incarnation_), /*ephemeral=*/true});
    if (claimed_controller_) {
        // Also where an earlier process of this broker left it: that process is gone.
        transaction.guards.push_back({controller_key(), image.controller.revision});
        transaction.writes.push_back({controller_key(), encode_controller(id), /*ephemeral=*/true});
    }
    return transaction;
}

port::StoreTransaction FenceBroker::decide(const Image& image, port::Random&) {
    port::StoreTransaction transaction;
    if (epoch_ != Revision{0} && live_revision(image, id_) == epoch_) {
        transaction.guards.push_back({live_key(id_), epoch_});
        transaction.writes.push_back({live_key(id_), std::nullopt});
        if (image.controller.id == id_) {
            // Else nobody could act on its death before its session is over.
            transaction.guards.push_back({controller_key(), image.controller.revision});
            transaction.writes.push_back({controller_key(), std::nullopt});
        }
    }
    return transaction;
}

// ---- sweeps -------------------------------------------------------------------------------------

port::StoreTransaction PartitionSweep::decide(const Image& image, port::Random&) {
    port::StoreTransaction transaction;
    end_.reset();
    auto topic = image.topics_by_id.lower_bound(begin_->topic_id);
    for (; topic != image.topics_by_id.end(); ++topic) {
        const bool is_begun = topic->first == begin_->topic_id;
        size_t i = is_begun ? static_cast<size_t>(begin_->index.value()) : 0;
        for (; i < topic->second->partitions.size(); i++) {
            const auto index = static_cast<int32_t>(i);
            if (transaction.writes.size() == kBatchPartitionsMax) {
                end_ = PartitionKey{topic->first, PartitionIndex(index)};
                return transaction;
            }
            const std::optional<PartitionImage> next = change(image, *topic->second, i);
            if (next) {
                const std::string key = partition_key(topic->first, index);
                transaction.guards.push_back({key, topic->second->partitions[i].mod_revision});
                transaction.writes.push_back({key, encode_partition(*next)});
            }
        }
    }
    return transaction;
}

std::optional<PartitionImage> RetakeReplicas::change(const Image& image, const TopicImage& topic,
                                                     size_t index) {
    const PartitionImage& partition = topic.partitions[index];
    if (!contains(partition.replicas, self_)) {
        return std::nullopt;
    }
    const auto is_live = [&](BrokerId broker) { return broker != self_ && image.is_live(broker); };
    PartitionChange change(topic, partition);
    if (is_lost_(topic, PartitionIndex(static_cast<int32_t>(index)))) {
        if (!change.lose_copy(self_)) {
            last_copies_.push_back(topic.name + "-" + std::to_string(index));
        }
        change.elect(is_live);
    } else if (partition.leader == self_ && partition.replicas.size() > 1) {
        change.elect_clean(is_live);
        if (change.now().leader == kNoBroker) {
            change = PartitionChange(topic, partition);
            change.renew_leader();
        }
    }
    return change.result();
}

std::optional<PartitionImage> ResignReplicas::change(const Image& image, const TopicImage& topic,
                                                     size_t index) {
    const PartitionImage& partition = topic.partitions[index];
    const auto goes_on = [&](BrokerId broker) { return broker != self_ && image.is_live(broker); };
    if (!contains(partition.isr, self_) ||
        std::none_of(partition.isr.begin(), partition.isr.end(), goes_on)) {
        return std::nullopt;
    }
    PartitionChange change(topic, partition);
    change.leave_isr([&](BrokerId broker) { return broker != self_; });
    change.elect_clean(goes_on);
    return change.result();
}

// ---- wishes of operators ------------------------------------------------------------------------

port::StoreTransaction CordonBroker::decide(const Image& image, port::Random&) {
    port::StoreTransaction transaction;
    error_.reset();
    const BrokerImage* known = image.find_broker(id_);
    if (known == nullptr) {
        error_ = unknown_broker(id_);
    } else if (known->is_cordoned != is_cordoned_) {
        BrokerImage next = *known;
        next.is_cordoned = is_cordoned_;
        transaction.guards.push_back({broker_key(id_), known->mod_revision});
        transaction.writes.push_back({broker_key(id_), encode_broker(next)});
    }
    return transaction;
}

void CordonBroker::finish(Result<void> result) {
    PlainOperation::finish(error_ ? Result<void>(*error_) : std::move(result));
}

port::StoreTransaction UnregisterBroker::decide(const Image& image, port::Random&) {
    port::StoreTransaction transaction;
    error_.reset();
    const BrokerImage* known = image.find_broker(id_);
    if (known == nullptr) {
        error_ = unknown_broker(id_);
    } else if (known->is_live()) {
        error_ = Error(Code::invalid_request, name_of(id_) + " is live; stop it first");
    } else {
        transaction.guards.push_back({broker_key(id_), known->mod_revision});
        transaction.guards.push_back({live_key(id_), live_revision(image, id_)});
        transaction.writes.push_back({broker_key(id_), std::nullopt});
    }
    return transaction;
}

void UnregisterBroker::finish(Result<void> result) {
    PlainOperation::finish(error_ ? Result<void>(*error_) : std::move(result));
}

} // namespace qtool::metadata
