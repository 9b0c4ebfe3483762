#include "server/metadata/decide_topics.h"

#include "server/metadata/placement.h"
#include "server/metadata/record_codec.h"
#include "server/metadata/topic_name.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <utility>

namespace qtool::metadata {

namespace {

using Placed = std::vector<std::vector<BrokerId>>;

// A version-4 UUID whose text does not start with '-', which command lines would take for a flag;
// Kafka avoids those too. One in 64 does, so a few tries are enough.
TopicId make_topic_id(port::Random& random) {
    TopicId id;
    for (int i = 0; i < 16; i++) {
        const uint64_t high = random.next();
        const uint64_t low = random.next();
        id = make_uuid(high, low);
        if (!to_string(id).starts_with('-')) {
            break;
        }
    }
    return id;
}

int64_t partition_count(const Image& image) {
    int64_t count = 0;
    for (const auto& entry : image.topics_by_id) {
        count += static_cast<int64_t>(entry.second->partitions.size());
    }
    return count;
}

Error twice_in_request(const std::string& name) {
    return {Code::invalid_request, "topic '" + name + "' is in the request more than once"};
}

// What is left of the bounds for partitions while a request is decided item by item.
class PartitionBudget {
public:
    explicit PartitionBudget(const Image& image) : total_(partition_count(image)) {}

    /// Does not take yet: an item may still fail for another reason.
    [[nodiscard]] Result<void> check(int64_t count) const {
        if (asked_ + count > kPartitionsPerRequestMax) {
            return Error(Code::policy_violation, "more than " +
                                                     std::to_string(kPartitionsPerRequestMax) +
                                                     " new partitions in one request");
        }
        if (total_ + asked_ + count > kPartitionsMax) {
            return Error(Code::policy_violation,
                         "the cluster has " + std::to_string(total_) + " partitions, " +
                             std::to_string(kPartitionsMax) + " are the most it may have");
        }
        return {};
    }
    void take(int64_t count) { asked_ += count; }

private:
    int64_t total_;
    int64_t asked_ = 0;
};

// Names by fold, of the topics there are and those this request makes.
class NameFolds {
public:
    explicit NameFolds(const Image& image) : image_(image) {}

    /// The first call looks at all topics, so it is left out for names that cannot collide.
    /// Two brokers that create colliding names at the same time may both succeed: the rule protects
    /// metric names only, and is not worth a key of its own in the store.
    [[nodiscard]] Result<void> claim(const std::string& name) {
        if (!can_collide(name)) {
            return {};
        }
        if (!loaded_) {
            loaded_ = true;
            for (const auto& entry : image_.topics_by_name) {
                if (can_collide(entry.first)) {
                    names_.emplace(fold_topic_name(entry.first), entry.first);
                }
            }
        }
        const auto [at, is_new] = names_.emplace(fold_topic_name(name), name);
        if (!is_new && at->second != name) {
            return Error(Code::invalid_topic_name,
                         "topic '" + name + "' collides with topic '" + at->second +
                             "': '.' and '_' count as the same character");
        }
        return {};
    }

private:
    const Image& image_;
    std::map<std::string, std::string> names_;
    bool loaded_ = false;
};

// Somebody must lead a new partition.
Result<void> check_some_live(const Image& image, int32_t partition,
                             const std::vector<BrokerId>& replicas) {
    if (std::any_of(replicas.begin(), replicas.end(),
                    [&](BrokerId broker) { return image.is_live(broker); })) {
        return {};
    }
    return Error(Code::invalid_replica_assignment, "partition " + std::to_string(partition) +
                                                       ": none of the assigned brokers is live");
}

Result<Placed> assigned_replicas(const NewTopic& topic, const Image& image) {
    if (topic.partition_count != -1 || topic.replication_factor != -1) {
        return Error(Code::invalid_request,
                     "topic '" + topic.name +
                         "': with replica assignments, partition count and replication factor "
                         "must both be -1");
    }
    Placed placed(topic.assignments.size());
    for (const ReplicaAssignment& assignment : topic.assignments) {
        const auto index = static_cast<size_t>(assignment.partition);
        if (assignment.partition < 0 || index >= placed.size() || !placed[index].empty()) {
            return Error(Code::invalid_replica_assignment,
                         "the assignments of topic '" + topic.name +
                             "' are not for partitions 0 to " + std::to_string(placed.size() - 1) +
                             ", each once");
        }
        QT_TRY(check_replicas(image.brokers, assignment.partition, assignment.replicas));
        QT_TRY(check_some_live(image, assignment.partition, assignment.replicas));
        placed[index] = assignment.replicas;
    }
    for (const std::vector<BrokerId>& replicas : placed) {
        if (replicas.size() != placed[0].size()) {
            return Error(Code::invalid_replica_assignment,
                         "the partitions of topic '" + topic.name +
                             "' are assigned different numbers of replicas");
        }
    }
    return placed;
}

// Numbers from the request, -1 replaced by the broker's defaults.
Result<std::pair<int32_t, int32_t>> wanted_size(const NewTopic& topic,
                                                const config::BrokerConfig& broker) {
    if (topic.partition_count == 0 || topic.partition_count < -1) {
        return Error(Code::invalid_partitions,
                     "partition count " + std::to_string(topic.partition_count) + " of topic '" +
                         topic.name + "' is not at least 1, or -1 for the default");
    }
    if (topic.replication_factor == 0 || topic.replication_factor < -1) {
        return Error(Code::invalid_replication_factor,
                     "replication factor " + std::to_string(topic.replication_factor) +
                         " of topic '" + topic.name + "' is not at least 1, or -1 for the default");
    }
    return std::pair(topic.partition_count == -1 ? broker.num_partitions : topic.partition_count,
                     topic.replication_factor == -1 ? broker.default_replication_factor
                                                    : int32_t{topic.replication_factor});
}

// Replicas of every partition of a new topic, within the bounds.
Result<Placed> replicas_of(const NewTopic& topic, const Image& image,
                           const config::BrokerConfig& broker, const PartitionBudget& budget,
                           port::Random& random) {
    if (!topic.assignments.empty()) {
        QT_TRY(budget.check(static_cast<int64_t>(topic.assignments.size())));
        return assigned_replicas(topic, image);
    }
    QT_TRY_ASSIGN(const auto wanted, wanted_size(topic, broker));
    QT_TRY(budget.check(wanted.first)); // before memory is taken for them
    return place_replicas(image.brokers, wanted.first, wanted.second, random);
}

PartitionImage new_partition(const Image& image, const std::vector<BrokerId>& replicas) {
    PartitionImage partition;
    partition.replicas = replicas;
    std::copy_if(replicas.begin(), replicas.end(), std::back_inserter(partition.isr),
                 [&](BrokerId broker) { return image.is_live(broker); });
    partition.leader = partition.isr.front();
    return partition;
}

void write_partitions(const Image& image, const TopicId& id, int32_t first, const Placed& placed,
                      WriteUnit& unit) {
    int32_t index = first;
    for (const std::vector<BrokerId>& replicas : placed) {
        unit.first.push_back(
            {partition_key(id, index), encode_partition(new_partition(image, replicas))});
        index++;
    }
}

template <class Item>
std::map<std::string_view, size_t> count_names(const std::vector<Item>& items) {
    std::map<std::string_view, size_t> times;
    for (const Item& item : items) {
        times[item.name]++;
    }
    return times;
}

} // namespace

// ---- create -------------------------------------------------------------------------------------

CreateTopics::CreateTopics(std::vector<NewTopic> topics, bool validate_only,
                           const config::BrokerConfig& broker)
    : topics_(std::move(topics)),
      validate_only_(validate_only),
      broker_(&broker) {}

port::StoreTransaction CreateTopics::decide(const Image& image, port::Random& random) {
    if (std::exchange(is_continuing_, false)) {
        return is_cleaning_ ? leftovers_.current() : parts_.current();
    }
    // Somebody was faster between two parts. The ids are ours alone, so nobody else counts on
    // these.
    WriteUnit gone;
    for (std::string& key : std::exchange(parts_, {}).half_made()) {
        gone.first.push_back({std::move(key), std::nullopt});
    }
    if (!gone.first.empty()) {
        leftovers_ = WriteParts({std::move(gone)}, writes_max());
        is_cleaning_ = true;
        return leftovers_.current();
    }
    std::vector<WriteUnit> units;
    const config::BrokerConfig& broker = image.broker ? *image.broker : *broker_;
    results_.assign(topics_.size(), {});
    std::map<std::string_view, size_t> times = count_names(topics_);
    PartitionBudget budget(image);
    NameFolds folds(image);

    const auto create = [&](const NewTopic& topic, CreatedTopic& created) -> Result<void> {
        if (times[topic.name] > 1) {
            return twice_in_request(topic.name);
        }
        QT_TRY(check_topic_name(topic.name));
        if (const TopicImage* there = image.topic(topic.name)) {
            units.push_back({{{topic_key(topic.name), there->mod_revision}}, {}, {}});
            return Error(Code::topic_exists, "topic '" + topic.name + "' already exists");
        }
        QT_TRY_ASSIGN(created.configs, config::make_topic_overrides(topic.configs));
        QT_TRY(config::make_topic_config(created.configs, broker));
        QT_TRY_ASSIGN(const Placed placed, replicas_of(topic, image, broker, budget, random));
        QT_TRY(folds.claim(topic.name));
        budget.take(static_cast<int64_t>(placed.size()));

        created.id = make_topic_id(random);
        created.partition_count = static_cast<int32_t>(placed.size());
        created.replication_factor = static_cast<int16_t>(placed[0].size());
        if (validate_only_) {
            return {};
        }
        WriteUnit& unit = units.emplace_back();
        unit.guards.push_back({topic_key(topic.name), Revision{0}});
        write_partitions(image, created.id, 0, placed, unit);
        if (!created.configs.empty()) {
            unit.last.push_back({topic_configs_key(created.id), encode_configs(created.configs)});
        }
        unit.last.push_back(
            {topic_key(topic.name), encode_topic({created.id, created.partition_count})});
        return {};
    };
    for (size_t i = 0; i < topics_.size(); i++) {
        if (Result<void> result = create(topics_[i], results_[i]); !result) {
            results_[i] = {};
            results_[i].error = std::move(result).error();
        }
    }
    parts_ = WriteParts(std::move(units), writes_max());
    return parts_.current();
}

bool CreateTopics::advance(Revision committed) {
    if (is_cleaning_) {
        is_cleaning_ = is_continuing_ = leftovers_.advance(committed);
        return true; // behind the last one it is decided what is to be made
    }
    is_continuing_ = parts_.advance(committed);
    return is_continuing_;
}

void CreateTopics::finish(Result<void> result) {
    if (result) {
        return;
    }
    for (CreatedTopic& item : results_) {
        // Whether a topic exists was to be confirmed, too.
        if (!item.error || item.error->code == Code::topic_exists) {
            item = {};
            item.error = result.error();
        }
    }
}

// ---- delete -------------------------------------------------------------------------------------

DeleteTopics::DeleteTopics(std::vector<TopicToDelete> topics)
    : topics_(std::move(topics)),
      done_(topics_.size()) {}

port::StoreTransaction DeleteTopics::decide(const Image& image, port::Random&) {
    port::StoreTransaction transaction;
    deciding_.clear();
    rest_deciding_.clear();
    rest_taken_ = 0;
    results_.resize(topics_.size());
    std::vector<const TopicImage*> found(topics_.size());
    std::map<TopicId, size_t> times;
    for (size_t i = 0; i < topics_.size(); i++) {
        if (done_[i]) {
            continue;
        }
        const TopicToDelete& asked = topics_[i];
        const bool by_id = !asked.id.is_zero();
        const TopicImage* topic = by_id ? image.topic(asked.id) : image.topic(asked.name);
        DeletedTopic& result = results_[i];
        result = {};
        result.name = topic != nullptr ? topic->name : by_id ? std::string() : asked.name;
        result.id = topic != nullptr ? topic->id : asked.id;
        if (topic != nullptr) {
            times[topic->id]++;
        } else if (by_id) {
            result.error =
                Error(Code::unknown_topic_id, "no topic has the id " + to_string(asked.id));
        } else {
            result.error = Error(Code::unknown_topic, "topic '" + asked.name + "' does not exist");
            if (transaction.guards.size() < writes_max() / 2) {
                transaction.guards.push_back({topic_key(asked.name), Revision{0}});
            }
        }
        found[i] = topic;
    }

    size_t trashed = image.trash.size();
    for (size_t i = 0; i < found.size(); i++) {
        const TopicImage* topic = found[i];
        if (topic == nullptr) {
            continue;
        }
        if (times[topic->id] > 1) {
            results_[i].error = twice_in_request(topic->name);
            continue;
        }
        // Keys of the topic, and one entry of the trash that makes room for it.
        constexpr size_t kWritesMax = 4;
        if (writes_max() - kWritesMax < transaction.writes.size() ||
            writes_max() - kWritesMax < transaction.guards.size()) {
            break; // the others in the next part
        }
        deciding_.push_back(i);
        // Configs may come and go without the topic's key; a new partition rewrites it.
        const std::string configs = topic_configs_key(topic->id);
        transaction.guards.push_back({topic_key(topic->name), topic->mod_revision});
        transaction.guards.push_back({configs, topic->configs_revision});
        transaction.writes.push_back({trash_key(topic->id), encode_trash(topic->name)});
        transaction.writes.push_back({topic_key(topic->name), std::nullopt});
        if (topic->configs_revision != Revision{0}) {
            transaction.writes.push_back({configs, std::nullopt});
        }
        for (size_t p = 0; p < topic->partitions.size(); p++) {
            rest_deciding_.push_back(
                {partition_key(topic->id, static_cast<int32_t>(p)), std::nullopt});
        }
        trashed++;
    }
    for (const auto& entry : image.trash) {
        if (transaction.writes.empty() || trashed <= kTrashedTopicsMax ||
            transaction.writes.size() >= writes_max()) {
            break;
        }
        transaction.writes.push_back({trash_key(entry.first), std::nullopt});
        trashed--;
    }
    if (deciding_.empty()) {
        return rest_.empty() ? transaction : delete_rest();
    }
    if (transaction.writes.size() + rest_deciding_.size() <= writes_max()) {
        transaction.writes.insert(transaction.writes.end(), rest_deciding_.begin(),
                                  rest_deciding_.end());
        rest_deciding_.clear();
    }
    return transaction;
}

// Partitions of topics whose keys are gone belong to nobody: no guard is needed.
port::StoreTransaction DeleteTopics::delete_rest() {
    port::StoreTransaction transaction;
    rest_taken_ = std::min(rest_.size(), writes_max());
    transaction.writes.assign(rest_.end() - static_cast<ptrdiff_t>(rest_taken_), rest_.end());
    return transaction;
}

bool DeleteTopics::advance(Revision /*committed*/) {
    for (const size_t i : deciding_) {
        done_[i] = true;
    }
    rest_.resize(rest_.size() - rest_taken_);
    rest_.insert(rest_.end(), rest_deciding_.begin(), rest_deciding_.end());
    bool are_left = !rest_.empty();
    for (size_t i = 0; i < topics_.size(); i++) {
        are_left = are_left || (!done_[i] && !results_[i].error);
    }
    return are_left;
}

void DeleteTopics::finish(Result<void> result) {
    if (result) {
        return;
    }
    for (size_t i = 0; i < results_.size(); i++) {
        const bool is_open = !results_[i].error || results_[i].error->code == Code::unknown_topic;
        if (is_open && !done_[i]) {
            results_[i].error = result.error();
        }
    }
}

// ---- more partitions ----------------------------------------------------------------------------

CreatePartitions::CreatePartitions(std::vector<MorePartitions> topics, bool validate_only)
    : topics_(std::move(topics)),
      validate_only_(validate_only) {}

namespace {

// Replicas of the partitions to add.
Result<Placed> added_replicas(const MorePartitions& more, const TopicImage& topic,
                              const Image& image, const PartitionBudget& budget,
                              port::Random& random) {
    const auto count = static_cast<int32_t>(topic.partitions.size());
    if (more.count <= count) {
        return Error(Code::invalid_partitions,
                     "topic '" + more.name + "' has " + std::to_string(count) +
                         " partitions already; the count can only rise, " +
                         std::to_string(more.count) + " was asked for");
    }
    const int32_t added = more.count - count;
    const size_t factor = topic.partitions.front().replicas.size();
    QT_TRY(budget.check(added));
    if (!more.assignments) {
        return place_replicas(image.brokers, added, static_cast<int32_t>(factor), random);
    }
    if (more.assignments->size() != static_cast<size_t>(added)) {
        return Error(Code::invalid_replica_assignment,
                     "topic '" + more.name + "' gets " + std::to_string(added) +
                         " partitions, but " + std::to_string(more.assignments->size()) +
                         " assignments are given");
    }
    int32_t index = count;
    for (const std::vector<BrokerId>& replicas : *more.assignments) {
        QT_TRY(check_replicas(image.brokers, index, replicas));
        QT_TRY(check_some_live(image, index, replicas));
        if (replicas.size() != factor) {
            return Error(Code::invalid_replica_assignment,
                         "partition " + std::to_string(index) + ": " +
                             std::to_string(replicas.size()) +
                             " replicas are assigned, the topic's partitions have " +
                             std::to_string(factor));
        }
        index++;
    }
    return *more.assignments;
}

} // namespace

port::StoreTransaction CreatePartitions::decide(const Image& image, port::Random& random) {
    if (std::exchange(is_continuing_, false)) {
        return parts_.current();
    }
    std::vector<WriteUnit> units;
    results_.assign(topics_.size(), std::nullopt);
    std::map<std::string_view, size_t> times = count_names(topics_);
    PartitionBudget budget(image);

    const auto add = [&](const MorePartitions& more) -> Result<void> {
        if (times[more.name] > 1) {
            return twice_in_request(more.name);
        }
        const TopicImage* topic = image.topic(more.name);
        if (topic == nullptr) {
            return Error(Code::unknown_topic, "topic '" + more.name + "' does not exist");
        }
        QT_TRY_ASSIGN(const Placed placed, added_replicas(more, *topic, image, budget, random));
        budget.take(static_cast<int64_t>(placed.size()));
        if (validate_only_) {
            return {};
        }
        WriteUnit& unit = units.emplace_back();
        unit.guards.push_back({topic_key(topic->name), topic->mod_revision});
        write_partitions(image, topic->id, static_cast<int32_t>(topic->partitions.size()), placed,
                         unit);
        unit.last.push_back({topic_key(topic->name), encode_topic({topic->id, more.count})});
        return {};
    };
    for (size_t i = 0; i < topics_.size(); i++) {
        if (Result<void> result = add(topics_[i]); !result) {
            results_[i] = std::move(result).error();
        }
    }
    parts_ = WriteParts(std::move(units), writes_max());
    return parts_.current();
}

bool CreatePartitions::advance(Revision committed) {
    is_continuing_ = parts_.advance(committed);
    return is_continuing_;
}

} // namespace qtool::metadata
