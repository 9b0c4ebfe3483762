// The cluster's truth as one immutable value: brokers, topics, partitions, configs, ids. Made by
// replay on the metadata core, shared by pointer with every core, never changed after publication.
// Topics are shared pieces, so that a change copies one topic and the maps of pointers, not all.
#pragma once

#include "lib/base/ids.h"
#include "lib/config/topic_config.h"
#include "server/metadata/quota_entity.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::metadata {

/// Internal topics: the logs of the group and the transaction coordinators, written by them alone.
inline constexpr std::string_view kGroupTopic = "__consumer_offsets";
inline constexpr std::string_view kTransactionTopic = "__transaction_state";

constexpr bool is_internal_topic(std::string_view name) {
    return name == kGroupTopic || name == kTransactionTopic;
}

struct PartitionImage {
    std::vector<BrokerId> replicas; // assignment order; the first is the preferred leader
    std::vector<BrokerId> isr;      // empty: the last copy of what is committed is lost
    BrokerId leader = kNoBroker;
    LeaderEpoch leader_epoch{0};
    int32_t partition_epoch = 0; // rises with every change of this partition
    /// Eligible leader replicas (KIP-966): not in the ISR, but known to hold all that is committed.
    /// While there is one the high watermark stands still, which is what keeps this true.
    std::vector<BrokerId> elr;
    BrokerId last_known_leader = kNoBroker; // while there is no leader: who was it last
    /// A reassignment under way: `replicas` holds old and new ones; when all that are adding are in
    /// the ISR, those removing go.
    std::vector<BrokerId> adding_replicas;
    std::vector<BrokerId> removing_replicas;
    Revision mod_revision{0}; // of its key, for guards

    [[nodiscard]] bool is_reassigning() const {
        return !adding_replicas.empty() || !removing_replicas.empty();
    }

    /// Revisions apart: a key written again with the same value is no news.
    bool operator==(const PartitionImage& other) const {
        return replicas == other.replicas && isr == other.isr && leader == other.leader &&
               leader_epoch == other.leader_epoch && partition_epoch == other.partition_epoch &&
               elr == other.elr && last_known_leader == other.last_known_leader &&
               adding_replicas == other.adding_replicas &&
               removing_replicas == other.removing_replicas;
    }
};

struct TopicImage {
    TopicId id;
    std::string name;
    Revision mod_revision;                      // of the topic's own key, for guards
    std::vector<PartitionImage> partitions;     // by partition index
    std::map<std::string, std::string> configs; // overrides as set by the user
    config::TopicConfig effective;              // overrides over the broker's defaults
    Revision configs_revision;                  // of its configs key; 0 when there is none

    [[nodiscard]] bool is_internal() const { return is_internal_topic(name); }
};

struct BrokerImage {
    BrokerId id;
    std::string host; // advertised
    uint16_t port = 0;
    std::string rack;       // empty: none
    std::string admin_host; // where its JSON door is; empty: the same host and port
    uint16_t admin_port = 0;
    bool is_cordoned = false;        // gets no new replicas
    Uuid incarnation;                // of the process that registered last
    std::vector<Uuid> directory_ids; // of its log directories, sorted
    int64_t start_count = 0;         // of its first log directory, when it registered last
    Revision mod_revision{0};        // of its key, for guards

    /// From `live/<id>`, which goes with the session of the process that wrote it: the revision it
    /// was written at, 0 without the key.
    Revision epoch{0};
    Uuid live_incarnation; // of that process

    [[nodiscard]] bool is_live() const { return epoch != Revision{0}; }

    bool operator==(const BrokerImage&) const = default;
};

/// What `live/<id>` says; in BrokerImage too, for a broker that is registered.
struct LiveImage {
    Uuid incarnation;
    Revision revision{0};
};

/// The broker that may act as controller: it wrote `controller`, which goes with its session.
struct ControllerImage {
    BrokerId id = kNoBroker;
    Revision revision{0}; // of the key, guards all that the controller writes; 0: there is none

    bool operator==(const ControllerImage&) const = default;
};

/// Options set at run time on a resource that is no topic.
struct ConfigsImage {
    config::Overrides options; // as set by the user
    Revision revision;         // of the key
};

/// Limits of one entity: each of kQuotaKeys at most once, above 0.
struct QuotaImage {
    std::map<std::string, double> values;
    Revision revision; // of the key
};

struct Image {
    Revision revision; // of the last change applied
    std::string cluster_id;
    std::map<BrokerId, BrokerImage> brokers; // registered, live or not
    std::map<BrokerId, LiveImage> live;
    ControllerImage controller;
    std::map<std::string, std::shared_ptr<const TopicImage>, std::less<>> topics_by_name;
    std::map<TopicId, std::shared_ptr<const TopicImage>> topics_by_id;
    std::map<TopicId, std::string> trash; // deleted topics whose files may go: id -> name
    int64_t next_producer_id = 0;         // first id not handed out in a block yet
    Revision producer_ids_revision;       // of the ids/producer key; 0 when absent
    std::map<BrokerId, ConfigsImage> broker_configs; // of kNoBroker: the cluster's defaults
    std::map<std::string, ConfigsImage, std::less<>> group_configs;
    std::map<QuotaEntity, QuotaImage> quotas;
    /// Options of this broker in force: those of its start, and broker_configs over them. nullptr
    /// only in an image that no replay made.
    std::shared_ptr<const config::BrokerConfig> broker;

    /// nullptr when there is no such topic. Valid as long as the image.
    [[nodiscard]] const TopicImage* topic(std::string_view name) const {
        const auto it = topics_by_name.find(name);
        return it == topics_by_name.end() ? nullptr : it->second.get();
    }
    [[nodiscard]] const TopicImage* topic(const TopicId& id) const {
        const auto it = topics_by_id.find(id);
        return it == topics_by_id.end() ? nullptr : it->second.get();
    }
    [[nodiscard]] const PartitionImage* partition(const PartitionKey& key) const {
        const TopicImage* found = topic(key.topic_id);
        const auto index = static_cast<size_t>(key.index.value());
        return found != nullptr && key.index.value() >= 0 && index < found->partitions.size()
                   ? &found->partitions[index]
                   : nullptr;
    }
    [[nodiscard]] const BrokerImage* find_broker(BrokerId id) const {
        const auto it = brokers.find(id);
        return it == brokers.end() ? nullptr : &it->second;
    }
    [[nodiscard]] bool is_live(BrokerId id) const {
        const BrokerImage* found = find_broker(id);
        return found != nullptr && found->is_live();
    }

    /// What is set on the group itself, for config::effective_group_config. Valid as long as the
    /// image.
    [[nodiscard]] const config::Overrides& group_overrides(std::string_view name) const {
        static const config::Overrides kNone;
        const auto it = group_configs.find(name);
        return it == group_configs.end() ? kNone : it->second.options;
    }
};
using ImageRef = std::shared_ptr<const Image>;

/// What one published image changed against the one before: what cores must open, change, delete.
struct Delta {
    Revision revision;
    std::vector<TopicId> topics_created;
    std::vector<TopicId> topics_changed; // partitions added or changed, or configs changed
    std::vector<TopicId> topics_deleted;
    /// Of topics_changed: partitions that are new or differ, revisions apart.
    std::vector<PartitionKey> partitions_changed;
    /// Registered, gone, come alive, no longer live, or written otherwise.
    std::vector<BrokerId> brokers_changed;
    bool controller_changed = false;
};

} // namespace qtool::metadata
