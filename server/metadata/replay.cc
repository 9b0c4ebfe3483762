#include "server/metadata/replay.h"

#include "lib/base/assert.h"
#include "lib/config/dynamic_config.h"
#include "server/metadata/effective_config.h"
#include "server/metadata/record_codec.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

namespace qtool::metadata {

namespace {

Error damaged(const std::string& what) {
    return {Code::storage_damaged, "metadata: " + what};
}

// Revisions apart: a key written again with the same value is no news for a partition.
bool says_the_same(const TopicImage& a, const TopicImage& b) {
    return &a == &b || (a.name == b.name && a.partitions == b.partitions &&
                        a.configs == b.configs && a.effective == b.effective);
}

void add_partitions_changed(const TopicImage& before, const TopicImage& after, Delta& delta) {
    for (size_t i = 0; i < after.partitions.size(); i++) {
        if (i >= before.partitions.size() || before.partitions[i] != after.partitions[i]) {
            delta.partitions_changed.push_back({after.id, PartitionIndex(static_cast<int32_t>(i))});
        }
    }
}

std::vector<BrokerId> brokers_changed(const Image& before, const Image& after) {
    std::vector<BrokerId> changed;
    for (const auto& [id, broker] : after.brokers) {
        const BrokerImage* old = before.find_broker(id);
        if (old == nullptr || *old != broker) {
            changed.push_back(id);
        }
    }
    for (const auto& entry : before.brokers) {
        if (after.find_broker(entry.first) == nullptr) {
            changed.push_back(entry.first);
        }
    }
    std::sort(changed.begin(), changed.end());
    return changed;
}

Delta make_delta(const Image& before, const Image& after) {
    Delta delta;
    delta.revision = after.revision;
    delta.brokers_changed = brokers_changed(before, after);
    delta.controller_changed = before.controller != after.controller;
    auto old = before.topics_by_id.begin();
    auto now = after.topics_by_id.begin();
    while (old != before.topics_by_id.end() || now != after.topics_by_id.end()) {
        const bool is_gone = now == after.topics_by_id.end() ||
                             (old != before.topics_by_id.end() && old->first < now->first);
        const bool is_new =
            !is_gone && (old == before.topics_by_id.end() || now->first < old->first);
        if (is_gone) {
            delta.topics_deleted.push_back((old++)->first);
        } else if (is_new) {
            delta.topics_created.push_back((now++)->first);
        } else {
            if (!says_the_same(*old->second, *now->second)) {
                delta.topics_changed.push_back(now->first);
                add_partitions_changed(*old->second, *now->second, delta);
            }
            ++old;
            ++now;
        }
    }
    return delta;
}

} // namespace

// The next image under construction: writes are collected, then each topic they touch is made anew.
class Replay::Builder {
public:
    Builder(const config::BrokerConfig& start, Image image, Asides aside)
        : start_(start),
          image_(std::make_shared<Image>(std::move(image))),
          aside_(std::move(aside)) {}

    /// `value` absent: the key was deleted. `revision` is the key's mod_revision.
    Result<void> write(const std::string& key, const std::optional<std::string>& value,
                       Revision revision);
    Result<void> finish(Revision revision);

    ImageRef image() { return image_; }
    Asides take_aside() { return std::move(aside_); }

private:
    struct TopicKey {
        std::string name;
        int32_t partition_count = 0;
        Revision revision;
    };
    struct Configs {
        std::map<std::string, std::string> options;
        Revision revision; // 0: deleted
    };
    /// What was written about one topic id.
    struct Draft {
        std::optional<TopicKey> key;
        bool key_lost = false;
        std::map<int32_t, std::optional<PartitionImage>> partitions; // empty: deleted
        std::optional<Configs> configs;
    };

    Result<void> write_topic(const Key& key, const std::string& text,
                             const std::optional<std::string>& value, Revision revision);
    Result<void> finish_broker();
    Result<config::TopicConfig> effective_of(const std::string& topic,
                                             const config::TopicOverrides& overrides);
    Result<void> finish_topic(const TopicId& id, Draft& draft);
    Result<void> show(const TopicId& id, TopicKey key, const TopicImage* old, Aside pieces);

    const config::BrokerConfig& start_;
    std::shared_ptr<Image> image_;
    Asides aside_;
    bool broker_changed_ = false;
    std::set<BrokerId> live_changed_; // whose two keys are to be brought together
    std::map<TopicId, Draft> drafts_;
};

Result<void> Replay::Builder::write(const std::string& text,
                                    const std::optional<std::string>& value, Revision revision) {
    QT_TRY_ASSIGN(const Key key, parse_key(text));
    Image& image = *image_;
    switch (key.kind) {
    case KeyKind::cluster:
        image.cluster_id.clear();
        if (value) {
            QT_TRY_ASSIGN(image.cluster_id, decode_cluster(text, *value));
        }
        return {};
    case KeyKind::broker:
        image.brokers.erase(key.broker);
        if (value) {
            QT_TRY_ASSIGN(BrokerImage broker, decode_broker(text, key.broker, *value));
            broker.mod_revision = revision;
            image.brokers.emplace(key.broker, std::move(broker));
        }
        live_changed_.insert(key.broker);
        return {};
    case KeyKind::live:
        image.live.erase(key.broker);
        if (value) {
            LiveImage& live = image.live[key.broker];
            live.revision = revision;
            QT_TRY_ASSIGN(live.incarnation, decode_live(text, *value));
        }
        live_changed_.insert(key.broker);
        return {};
    case KeyKind::controller:
        image.controller = {};
        if (value) {
            QT_TRY_ASSIGN(image.controller.id, decode_controller(text, *value));
            image.controller.revision = revision;
        }
        return {};
    case KeyKind::topic:
        return write_topic(key, text, value, revision);
    case KeyKind::partition: {
        std::optional<PartitionImage>& partition = drafts_[key.topic_id].partitions[key.partition];
        partition.reset();
        if (value) {
            QT_TRY_ASSIGN(partition, decode_partition(text, *value));
            partition->mod_revision = revision;
        }
        return {};
    }
    case KeyKind::topic_configs: {
        Configs& configs = drafts_[key.topic_id].configs.emplace();
        if (value) {
            QT_TRY_ASSIGN(configs.options, decode_configs(text, *value));
            configs.revision = revision;
        }
        return {};
    }
    case KeyKind::producer_ids:
        image.next_producer_id = 0;
        image.producer_ids_revision = Revision{0};
        if (value) {
            QT_TRY_ASSIGN(image.next_producer_id, decode_producer_ids(text, *value));
            image.producer_ids_revision = revision;
        }
        return {};
    case KeyKind::trash:
        image.trash.erase(key.topic_id);
        if (value) {
            QT_TRY_ASSIGN(image.trash[key.topic_id], decode_trash(text, *value));
        }
        return {};
    case KeyKind::broker_configs:
        broker_changed_ = true;
        image.broker_configs.erase(key.broker);
        if (value) {
            ConfigsImage& configs = image.broker_configs[key.broker];
            configs.revision = revision;
            QT_TRY_ASSIGN(configs.options, decode_configs(text, *value));
        }
        return {};
    case KeyKind::group_configs:
        image.group_configs.erase(key.group);
        if (value) {
            ConfigsImage& configs = image.group_configs[key.group];
            configs.revision = revision;
            QT_TRY_ASSIGN(configs.options, decode_configs(text, *value));
        }
        return {};
    case KeyKind::quotas:
        image.quotas.erase(key.entity);
        if (value) {
            QuotaImage& quotas = image.quotas[key.entity];
            quotas.revision = revision;
            QT_TRY_ASSIGN(quotas.values, decode_quotas(text, *value));
        }
        return {};
    }
    QT_UNREACHABLE();
}

Result<void> Replay::Builder::write_topic(const Key& key, const std::string& text,
                                          const std::optional<std::string>& value,
                                          Revision revision) {
    const TopicImage* old = image_->topic(key.topic_name);
    if (!value) {
        if (old != nullptr) {
            drafts_[old->id].key_lost = true;
        }
        return {};
    }
    QT_TRY_ASSIGN(const TopicRecord record, decode_topic(text, *value));
    if (old != nullptr && old->id != record.id) {
        drafts_[old->id].key_lost = true;
    }
    Draft& draft = drafts_[record.id];
    const TopicImage* same_id = image_->topic(record.id);
    const std::string* other = draft.key            ? &draft.key->name
                               : same_id != nullptr ? &same_id->name
                                                    : nullptr;
    if (other != nullptr && *other != key.topic_name) {
        return damaged("topics '" + *other + "' and '" + key.topic_name + "' have the same id " +
                       to_string(record.id));
    }
    draft.key = TopicKey{key.topic_name, record.partition_count, revision};
    return {};
}

Result<void> Replay::Builder::finish(Revision revision) {
    for (const BrokerId id : live_changed_) {
        const auto broker = image_->brokers.find(id);
        if (broker != image_->brokers.end()) {
            const auto live = image_->live.find(id);
            const LiveImage now = live == image_->live.end() ? LiveImage{} : live->second;
            broker->second.epoch = now.revision;
            broker->second.live_incarnation = now.incarnation;
        }
    }
    if (broker_changed_ || !image_->broker) {
        QT_TRY(finish_broker());
    }
    // Names that go make room before names that come: a topic may be replaced in one change.
    for (const auto& [id, draft] : drafts_) {
        const TopicImage* old = draft.key_lost ? image_->topic(id) : nullptr;
        if (old != nullptr) {
            image_->topics_by_name.erase(old->name);
        }
    }
    for (auto& [id, draft] : drafts_) {
        QT_TRY(finish_topic(id, draft));
    }
    image_->revision = revision;
    return {};
}

// Makes this broker's options anew, and every topic's that hang on them.
Result<void> Replay::Builder::finish_broker() {
    const auto options_of = [this](BrokerId id) {
        const auto at = image_->broker_configs.find(id);
        return at == image_->broker_configs.end() ? config::Overrides() : at->second.options;
    };
    Result<config::BrokerConfig> broker =
        config::with_dynamic(start_, options_of(kNoBroker), options_of(BrokerId(start_.node_id)));
    if (!broker) {
        Error error = std::move(broker).error();
        error.detail = "metadata: options of this broker: " + error.detail;
        return error;
    }
    if (image_->broker && *image_->broker == *broker) {
        return {};
    }
    image_->broker = std::make_shared<const config::BrokerConfig>(*std::move(broker));
    for (auto& [id, old] : image_->topics_by_id) {
        QT_TRY_ASSIGN(const config::TopicConfig effective, effective_of(old->name, old->configs));
        if (effective != old->effective) {
            auto topic = std::make_shared<TopicImage>(*old);
            topic->effective = effective;
            image_->topics_by_name[topic->name] = topic;
            old = std::move(topic);
        }
    }
    return {};
}

Result<config::TopicConfig> Replay::Builder::effective_of(const std::string& topic,
                                                          const config::TopicOverrides& overrides) {
    Result<config::TopicConfig> effective = effective_config(overrides, *image_->broker);
    if (!effective) {
        Error error = std::move(effective).error();
        error.detail = "metadata: topic '" + topic + "': " + error.detail;
        return error;
    }
    return effective;
}

Result<void> Replay::Builder::finish_topic(const TopicId& id, Draft& draft) {
    std::shared_ptr<const TopicImage> old; // keeps the old one alive while it is replaced
    if (const auto at = image_->topics_by_id.find(id); at != image_->topics_by_id.end()) {
        old = at->second;
    }
    std::optional<TopicKey> key = std::move(draft.key);
    if (!key && old && !draft.key_lost) {
        key = TopicKey{old->name, static_cast<int32_t>(old->partitions.size()), old->mod_revision};
    }

    // All pieces that the topic would be without the key's say: aside, shown, and just written.
    Aside pieces;
    if (auto node = aside_.extract(id)) {
        pieces = std::move(node.mapped());
    }
    if (old && !key) {
        for (size_t i = 0; i < old->partitions.size(); i++) {
            pieces.partitions.emplace(static_cast<int32_t>(i), old->partitions[i]);
        }
    }
    if (old) {
        pieces.configs = old->configs;
        pieces.configs_revision = old->configs_revision;
    }
    if (draft.configs) {
        pieces.configs = std::move(draft.configs->options);
        pieces.configs_revision = draft.configs->revision;
    }
    for (auto& [index, partition] : draft.partitions) {
        if (partition) {
            pieces.partitions[index] = *std::move(partition);
        } else if (key && index < key->partition_count) {
            return damaged("partition " + std::to_string(index) + " of topic '" + key->name +
                           "' is missing");
        } else {
            pieces.partitions.erase(index);
        }
    }
    if (key) {
        return show(id, *std::move(key), old.get(), std::move(pieces));
    }
    image_->topics_by_id.erase(id);
    if (!pieces.partitions.empty() || pieces.configs_revision != Revision{0}) {
        aside_.emplace(id, std::move(pieces));
    }
    return {};
}

// Puts the topic into the image; pieces beyond the partition count stay aside.
Result<void> Replay::Builder::show(const TopicId& id, TopicKey key, const TopicImage* old,
                                   Aside pieces) {
    auto topic = std::make_shared<TopicImage>();
    topic->id = id;
    topic->name = std::move(key.name);
    topic->mod_revision = key.revision;
    const auto count = static_cast<size_t>(key.partition_count);
    if (old != nullptr) {
        topic->partitions = old->partitions;
        if (topic->partitions.size() > count) {
            return damaged("the partition count of topic '" + topic->name + "' fell from " +
                           std::to_string(topic->partitions.size()) + " to " +
                           std::to_string(count));
        }
    }
    auto piece = pieces.partitions.begin();
    for (; piece != pieces.partitions.end() && piece->first < key.partition_count; ++piece) {
        const auto index = static_cast<size_t>(piece->first);
        if (index < topic->partitions.size()) {
            topic->partitions[index] = std::move(piece->second);
        } else if (index == topic->partitions.size()) {
            topic->partitions.push_back(std::move(piece->second));
        } else {
            break; // a gap
        }
    }
    if (topic->partitions.size() != count) {
        return damaged("partition " + std::to_string(topic->partitions.size()) + " of topic '" +
                       topic->name + "' is missing");
    }
    pieces.partitions.erase(pieces.partitions.begin(), piece);

    topic->configs = std::move(pieces.configs);
    topic->configs_revision = pieces.configs_revision;
    QT_TRY_ASSIGN(topic->effective, effective_of(topic->name, topic->configs));
    if (!pieces.partitions.empty()) {
        aside_.emplace(id, Aside{std::move(pieces.partitions), {}, {}});
    }
    image_->topics_by_name[topic->name] = topic;
    image_->topics_by_id[id] = std::move(topic);
    return {};
}

Result<Replay::Step> Replay::load(const port::StoreSnapshot& snapshot) {
    Builder builder(start_, Image{}, {});
    for (const port::StoreEntry& entry : snapshot.entries) {
        QT_TRY(builder.write(entry.key, entry.value, entry.mod_revision));
    }
    QT_TRY(builder.finish(snapshot.revision));
    Step step{builder.image(), make_delta(*image_, *builder.image())};
    image_ = step.image;
    aside_ = builder.take_aside();
    return step;
}

Result<Replay::Step> Replay::apply(const port::StoreChange& change) {
    QT_ASSERT(change.revision > image_->revision);
    Builder builder(start_, *image_, aside_);
    for (const port::StoreWrite& write : change.writes) {
        QT_TRY(builder.write(write.key, write.value, change.revision));
    }
    QT_TRY(builder.finish(change.revision));
    Step step{builder.image(), make_delta(*image_, *builder.image())};
    image_ = step.image;
    aside_ = builder.take_aside();
    return step;
}

std::vector<port::StoreGuard> Replay::set_aside() const {
    std::vector<port::StoreGuard> keys;
    for (const auto& [id, aside] : aside_) {
        for (const auto& [index, partition] : aside.partitions) {
            keys.push_back({partition_key(id, index), partition.mod_revision});
        }
        if (aside.configs_revision != Revision{0}) {
            keys.push_back({topic_configs_key(id), aside.configs_revision});
        }
    }
    return keys;
}

} // namespace qtool::metadata
