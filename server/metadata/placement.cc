#include "server/metadata/placement.h"

#include "lib/base/assert.h"

#include <algorithm>
#include <set>
#include <string>

namespace qtool::metadata {

namespace {

bool is_usable(const BrokerImage& broker) {
    return broker.is_live() && !broker.is_cordoned;
}

// Usable brokers in an order in which neighbours are on different racks as far as the racks go
// round: racks a: 1 2 3, b: 4, none: 5  ->  5 1 4 2 3. Brokers without a rack count as one rack.
std::vector<const BrokerImage*> rack_alternated(const std::map<BrokerId, BrokerImage>& brokers) {
    std::map<std::string, std::vector<const BrokerImage*>> racks;
    size_t count = 0;
    for (const auto& entry : brokers) {
        if (is_usable(entry.second)) {
            racks[entry.second.rack].push_back(&entry.second);
            count++;
        }
    }
    std::vector<const BrokerImage*> order;
    for (size_t round = 0; order.size() < count; round++) {
        for (const auto& rack : racks) {
            if (round < rack.second.size()) {
                order.push_back(rack.second[round]);
            }
        }
    }
    return order;
}

// The leader is order[leader]; the others follow in the ring, `shift` places further, first those
// on racks the partition is not in yet.
std::vector<BrokerId> place_one(const std::vector<const BrokerImage*>& order, size_t leader,
                                size_t shift, size_t factor) {
    std::vector<BrokerId> replicas{order[leader]->id};
    std::vector<bool> used(order.size(), false);
    used[leader] = true;
    std::set<std::string_view> racks{order[leader]->rack};
    for (const bool new_racks_only : {true, false}) {
        for (size_t i = 0; i + 1 < order.size() && replicas.size() < factor; i++) {
            const size_t at = (leader + 1 + (shift + i) % (order.size() - 1)) % order.size();
            if (used[at] || (new_racks_only && racks.contains(order[at]->rack))) {
                continue;
            }
            used[at] = true;
            racks.insert(order[at]->rack);
            replicas.push_back(order[at]->id);
        }
    }
    QT_ASSERT(replicas.size() == factor);
    return replicas;
}

} // namespace

size_t usable_brokers(const std::map<BrokerId, BrokerImage>& brokers) {
    return static_cast<size_t>(std::count_if(
        brokers.begin(), brokers.end(), [](const auto& entry) { return is_usable(entry.second); }));
}

std::vector<BrokerId> more_replicas(const std::map<BrokerId, BrokerImage>& brokers,
                                    const std::vector<BrokerId>& replicas, size_t wanted,
                                    size_t turn) {
    const std::vector<const BrokerImage*> order = rack_alternated(brokers);
    std::vector<BrokerId> more = replicas;
    std::set<std::string_view> racks;
    for (const BrokerId replica : replicas) {
        if (const auto at = brokers.find(replica); at != brokers.end()) {
            racks.insert(at->second.rack);
        }
    }
    for (const bool new_racks_only : {true, false}) {
        for (size_t i = 0; i < order.size() && more.size() < wanted; i++) {
            const BrokerImage& broker = *order[(turn + i) % order.size()];
            if (std::find(more.begin(), more.end(), broker.id) == more.end() &&
                !(new_racks_only && racks.contains(broker.rack))) {
                more.push_back(broker.id);
                racks.insert(broker.rack);
            }
        }
    }
    return more;
}

Result<std::vector<std::vector<BrokerId>>>
place_replicas(const std::map<BrokerId, BrokerImage>& brokers, int32_t partition_count,
               int32_t replication_factor, port::Random& random) {
    QT_ASSERT(partition_count >= 1);
    QT_ASSERT(replication_factor >= 1);
    const auto factor = static_cast<size_t>(replication_factor);
    const std::vector<const BrokerImage*> order = rack_alternated(brokers);
    if (factor > order.size()) {
        std::string why = "replication factor " + std::to_string(replication_factor) +
                          " is larger than the number of brokers, " + std::to_string(order.size());
        if (order.size() != brokers.size()) {
            why += " (" + std::to_string(brokers.size()) +
                   " are registered, the others are not live or cordoned)";
        }
        return Error(Code::invalid_replication_factor, why);
    }
    const size_t start = static_cast<size_t>(random.next() % order.size());
    std::vector<std::vector<BrokerId>> placed;
    placed.reserve(static_cast<size_t>(partition_count));
    for (size_t i = 0; i < static_cast<size_t>(partition_count); i++) {
        // The shift grows with each round, so that a broker's leaders do not all share followers.
        placed.push_back(
            place_one(order, (start + i) % order.size(), start + i / order.size(), factor));
    }
    return placed;
}

Result<void> check_replicas(const std::map<BrokerId, BrokerImage>& brokers, int32_t partition,
                            const std::vector<BrokerId>& replicas) {
    const std::string where = "partition " + std::to_string(partition) + ": ";
    if (replicas.empty()) {
        return Error(Code::invalid_replica_assignment, where + "no replicas are assigned");
    }
    std::set<BrokerId> once;
    for (const BrokerId broker : replicas) {
        if (!once.insert(broker).second) {
            return Error(Code::invalid_replica_assignment,
                         where + "broker " + std::to_string(broker.value()) + " is assigned twice");
        }
        if (!brokers.contains(broker)) {
            return Error(Code::invalid_replica_assignment,
                         where + "broker " + std::to_string(broker.value()) + " is not known");
        }
    }
    return {};
}

} // namespace qtool::metadata
