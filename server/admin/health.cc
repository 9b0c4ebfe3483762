#include "server/admin/health.h"

#include "server/metadata/partition_change.h"

#include <map>
#include <set>

namespace qtool::admin {

namespace {

constexpr size_t kNamedMax = 5; // partitions named in one sentence

/// Partitions that share a trouble.
class Troubled {
public:
    void add(const metadata::TopicImage& topic, size_t partition) {
        if (count_++ < kNamedMax) {
            names_ += (names_.empty() ? "" : ", ") + topic.name + "-" + std::to_string(partition);
        }
    }
    [[nodiscard]] uint32_t count() const { return static_cast<uint32_t>(count_); }
    /// "3 partitions <what>: a-0, a-1, b-4"
    [[nodiscard]] std::string sentence(const std::string& one, const std::string& many) const {
        return std::to_string(count_) +
               (count_ == 1 ? " partition " + one : " partitions " + many) + ": " + names_ +
               (count_ > kNamedMax ? ", ..." : "");
    }

private:
    size_t count_ = 0;
    std::string names_;
};

} // namespace

Health find_health(const metadata::Image& image, BrokerId self) {
    const auto is_live = [&](BrokerId id) { return id == self || image.is_live(id); };
    Troubled offline;
    Troubled under_min_isr;
    Troubled under_replicated;
    std::map<BrokerId, size_t> replicas; // of each broker
    for (const auto& [name, topic] : image.topics_by_name) {
        for (size_t i = 0; i < topic->partitions.size(); i++) {
            const metadata::PartitionImage& partition = topic->partitions[i];
            if (partition.leader == kNoBroker || !is_live(partition.leader)) {
                offline.add(*topic, i);
            } else if (partition.isr.size() < metadata::min_isr(*topic, partition)) {
                under_min_isr.add(*topic, i);
            } else if (partition.isr.size() < partition.replicas.size()) {
                under_replicated.add(*topic, i);
            }
            for (const BrokerId id : partition.replicas) {
                replicas[id]++;
            }
        }
    }
    Health health;
    health.offline_partitions = offline.count();
    health.under_min_isr_partitions = under_min_isr.count();
    // Counted as Kafka counts them: those above are so, too, if they miss a replica.
    for (const auto& [name, topic] : image.topics_by_name) {
        for (const metadata::PartitionImage& partition : topic->partitions) {
            health.under_replicated_partitions +=
                partition.isr.size() < partition.replicas.size() ? 1 : 0;
        }
    }
    std::vector<std::string>& problems = health.problems;
    if (offline.count() > 0) {
        problems.push_back(offline.sentence("has no leader and cannot be used",
                                            "have no leader and cannot be used"));
    }
    if (image.controller.revision == Revision{0} || !is_live(image.controller.id)) {
        problems.emplace_back("there is no controller: no leader is moved and no topic changes");
    }
    for (const auto& [id, count] : replicas) {
        if (is_live(id)) {
            continue;
        }
        const metadata::BrokerImage* broker = image.find_broker(id);
        problems.push_back(
            "broker " + std::to_string(id.value()) +
            (broker == nullptr
                 ? " is not known"
                 : " (" + broker->host + ":" + std::to_string(broker->port) + ") is not there") +
            " and has " + std::to_string(count) + (count == 1 ? " replica" : " replicas"));
    }
    if (under_min_isr.count() > 0) {
        problems.push_back(under_min_isr.sentence(
            "has fewer in-sync replicas than min.insync.replicas, so acks=all is refused",
            "have fewer in-sync replicas than min.insync.replicas, so acks=all is refused"));
    }
    if (under_replicated.count() > 0) {
        problems.push_back(
            under_replicated.sentence("is under-replicated: a replica is not in sync",
                                      "are under-replicated: a replica is not in "
                                      "sync"));
    }
    return health;
}

} // namespace qtool::admin
