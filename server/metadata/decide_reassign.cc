#include "server/metadata/decide_reassign.h"

#include "server/metadata/partition_change.h"
#include "server/metadata/placement.h"
#include "server/metadata/record_codec.h"

#include <algorithm>
#include <map>
#include <utility>

namespace qtool::metadata {

namespace {

std::string name_of(const std::string& topic, int32_t partition) {
    return topic + "-" + std::to_string(partition);
}

void write_partition(const TopicImage& topic, int32_t index, const PartitionImage& next,
                     port::StoreTransaction& transaction) {
    const std::string key = partition_key(topic.id, index);
    transaction.guards.push_back({key, topic.partitions[static_cast<size_t>(index)].mod_revision});
    transaction.writes.push_back({key, encode_partition(next)});
}

const PartitionImage* find(const TopicImage& topic, int32_t index) {
    return index >= 0 && static_cast<size_t>(index) < topic.partitions.size()
               ? &topic.partitions[static_cast<size_t>(index)]
               : nullptr;
}

} // namespace

BrokerId preferred_leader(const PartitionImage& partition) {
    for (const BrokerId broker : partition.replicas) {
        if (!contains(partition.removing_replicas, broker)) {
            return broker;
        }
    }
    return kNoBroker;
}

// ---- reassignments ------------------------------------------------------------------------------

AlterReassignments::AlterReassignments(std::vector<Reassignment> wishes, bool may_change_factor)
    : wishes_(std::move(wishes)),
      may_change_factor_(may_change_factor) {
    results_.resize(wishes_.size());
    std::map<std::pair<std::string_view, int32_t>, size_t> times;
    for (const Reassignment& wish : wishes_) {
        times[{wish.topic, wish.partition}]++;
    }
    for (size_t i = 0; i < wishes_.size(); i++) {
        if (wishes_.size() > kReassignmentsMax) {
            results_[i] =
                Error(Code::policy_violation, "more than " + std::to_string(kReassignmentsMax) +
                                                  " partitions in one request");
        } else if (times[{wishes_[i].topic, wishes_[i].partition}] > 1) {
            results_[i] = Error(Code::invalid_request,
                                "partition " + name_of(wishes_[i].topic, wishes_[i].partition) +
                                    " is in the request more than once");
        }
    }
}

port::StoreTransaction AlterReassignments::decide(const Image& image, port::Random&) {
    port::StoreTransaction transaction;
    const auto is_live = [&](BrokerId broker) { return image.is_live(broker); };

    const auto decide_one = [&](const Reassignment& wish) -> Result<void> {
        const TopicImage* topic = image.topic(wish.topic);
        if (topic == nullptr) {
            return Error(Code::unknown_topic, "topic '" + wish.topic + "' does not exist");
        }
        const PartitionImage* partition = find(*topic, wish.partition);
        if (partition == nullptr) {
            return Error(Code::unknown_partition, "topic '" + wish.topic + "' has no partition " +
                                                      std::to_string(wish.partition));
        }
        PartitionChange change(*topic, *partition);
        if (!wish.replicas) {
            if (!partition->is_reassigning()) {
                return Error(Code::resource_not_found, "no reassignment is in progress for " +
                                                           name_of(wish.topic, wish.partition));
            }
            if (!change.cancel_reassignment()) {
                return Error(Code::invalid_replica_assignment,
                             name_of(wish.topic, wish.partition) +
                                 ": only replicas that are being added are in sync, so the "
                                 "reassignment cannot be cancelled");
            }
        } else {
            QT_TRY(check_replicas(image.brokers, wish.partition, *wish.replicas));
            const size_t factor = partition->replicas.size() - partition->adding_replicas.size();
            if (!may_change_factor_ && wish.replicas->size() != factor) {
                return Error(Code::invalid_replication_factor,
                             name_of(wish.topic, wish.partition) + " has " +
                                 std::to_string(factor) + " replicas, " +
                                 std::to_string(wish.replicas->size()) +
                                 " are asked for, and a change is not allowed");
            }
            change.reassign(*wish.replicas);
            change.finish_reassignment(); // at once where only the order differs, or replicas go
        }
        change.elect(is_live);
        if (const std::optional<PartitionImage> next = change.result()) {
            write_partition(*topic, wish.partition, *next, transaction);
        }
        return {};
    };
    for (end_ = begin_; end_ < wishes_.size(); end_++) {
        if (transaction.writes.size() == kBatchPartitionsMax) {
            break;
        }
        const bool is_refused = results_[end_] && (results_[end_]->code == Code::invalid_request ||
                                                   results_[end_]->code == Code::policy_violation);
        if (!is_refused) {
            results_[end_].reset();
            if (Result<void> result = decide_one(wishes_[end_]); !result) {
                results_[end_] = std::move(result).error();
            }
        }
    }
    return transaction;
}

bool AlterReassignments::advance(Revision /*committed*/) {
    begin_ = end_;
    return begin_ < wishes_.size();
}

void AlterReassignments::finish(Result<void> result) {
    if (!result) {
        fail_items(result.error(), begin_);
    }
}

// ---- elections ----------------------------------------------------------------------------------

ElectLeaders::ElectLeaders(ElectionKind kind, std::optional<std::vector<ElectionWish>> wishes)
    : kind_(kind),
      wishes_(std::move(wishes)) {
    if (wishes_) {
        is_collected_ = true;
        for (const ElectionWish& wish : *wishes_) {
            results_.push_back({wish.topic, wish.partition, ElectOutcome::unfinished});
        }
    }
}

// All partitions for which it is needed.
void ElectLeaders::collect(const Image& image) {
    is_collected_ = true;
    for (const auto& [name, topic] : image.topics_by_name) {
        for (size_t i = 0; i < topic->partitions.size(); i++) {
            const PartitionImage& partition = topic->partitions[i];
            const BrokerId preferred = preferred_leader(partition);
            const bool is_needed = kind_ == ElectionKind::unclean
                                       ? !image.is_live(partition.leader)
                                       : partition.leader != preferred &&
                                             contains(partition.isr, preferred) &&
                                             image.is_live(preferred);
            if (is_needed) {
                results_.push_back({name, static_cast<int32_t>(i), ElectOutcome::unfinished});
            }
        }
    }
}

ElectOutcome ElectLeaders::elect(const Image& image, const Outcome& item,
                                 port::StoreTransaction& transaction) const {
    const TopicImage* topic = image.topic(item.topic);
    const PartitionImage* partition = topic != nullptr ? find(*topic, item.partition) : nullptr;
    if (partition == nullptr) {
        return ElectOutcome::unknown_partition;
    }
    PartitionChange change(*topic, *partition);
    if (kind_ == ElectionKind::unclean) {
        if (image.is_live(partition->leader)) {
            return ElectOutcome::not_needed;
        }
        change.elect_unclean([&](BrokerId broker) { return image.is_live(broker); });
        if (change.now().leader == kNoBroker) {
            return ElectOutcome::none_eligible;
        }
    } else {
        const BrokerId preferred = preferred_leader(*partition);
        if (partition->leader == preferred && image.is_live(preferred)) {
            return ElectOutcome::not_needed;
        }
        if (!contains(partition->isr, preferred) || !image.is_live(preferred)) {
            return ElectOutcome::preferred_not_available;
        }
        change.set_leader(preferred);
    }
    const std::optional<PartitionImage> next = change.result();
    if (!next) {
        return ElectOutcome::not_needed;
    }
    write_partition(*topic, item.partition, *next, transaction);
    return ElectOutcome::elected;
}

port::StoreTransaction ElectLeaders::decide(const Image& image, port::Random&) {
    port::StoreTransaction transaction;
    if (!is_collected_) {
        collect(image);
    }
    for (end_ = begin_; end_ < results_.size(); end_++) {
        if (transaction.writes.size() == kBatchPartitionsMax) {
            break;
        }
        results_[end_].what = elect(image, results_[end_], transaction);
    }
    return transaction;
}

bool ElectLeaders::advance(Revision /*committed*/) {
    begin_ = end_;
    return begin_ < results_.size();
}

void ElectLeaders::finish(Result<void> result) {
    if (!result) {
        error_ = std::move(result).error();
        for (size_t i = begin_; i < results_.size(); i++) {
            if (results_[i].what == ElectOutcome::elected) {
                results_[i].what = ElectOutcome::unfinished;
            }
        }
    }
}

} // namespace qtool::metadata
