#include "server/metadata/rebalance.h"

#include "server/metadata/partition_change.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace qtool::metadata {

namespace {

struct Piece {
    const TopicImage* topic = nullptr;
    int32_t index = 0;
    std::vector<BrokerId> replicas; // as planned so far
};

// The cluster as it would be after the moves planned so far.
class Planner {
public:
    explicit Planner(const Image& image) : image_(image) {
        for (const auto& [id, broker] : image.brokers) {
            if (broker.is_live() && !broker.is_cordoned) {
                load_[id] = 0;
                leads_[id] = 0;
            }
        }
        for (const auto& [name, topic] : image.topics_by_name) {
            for (size_t i = 0; i < topic->partitions.size(); i++) {
                const PartitionImage& partition = topic->partitions[i];
                for (const BrokerId broker : partition.replicas) {
                    count(load_, broker, contains(partition.removing_replicas, broker) ? 0 : 1);
                }
                count(leads_, partition.replicas.front(), 1);
                // Without a leader nothing can be copied.
                if (!partition.is_reassigning() && image.is_live(partition.leader)) {
                    pieces_.push_back({topic.get(), static_cast<int32_t>(i), partition.replicas});
                }
            }
        }
    }

    std::vector<Piece>& pieces() { return pieces_; }
    void close(BrokerId broker) { load_.erase(broker); }

    [[nodiscard]] std::set<std::string_view> racks(const std::vector<BrokerId>& replicas) const {
        std::set<std::string_view> racks;
        for (const BrokerId replica : replicas) {
            if (const BrokerImage* broker = image_.find_broker(replica)) {
                racks.insert(broker->rack);
            }
        }
        return racks;
    }

    // The emptiest broker that can stand in for replicas[at]; new racks first.
    [[nodiscard]] std::optional<BrokerId> stand_in(const Piece& piece, size_t at) const {
        std::vector<BrokerId> others = piece.replicas;
        others.erase(others.begin() + static_cast<ptrdiff_t>(at));
        const std::set<std::string_view> used = racks(others);
        std::optional<BrokerId> best;
        std::pair<bool, int64_t> best_cost;
        for (const auto& [id, load] : load_) {
            if (contains(piece.replicas, id)) {
                continue;
            }
            const std::pair<bool, int64_t> cost(used.contains(image_.find_broker(id)->rack), load);
            if (!best || cost < best_cost) {
                best = id;
                best_cost = cost;
            }
        }
        return best;
    }

    void replace(Piece& piece, size_t at, BrokerId by) {
        count(load_, piece.replicas[at], -1);
        count(load_, by, 1);
        if (at == 0) {
            count(leads_, piece.replicas[at], -1);
            count(leads_, by, 1);
        }
        piece.replicas[at] = by;
    }

    // Moves one replica from the fullest broker that can give one to a much emptier one. False:
    // nothing is to be gained any more.
    bool even_out_replicas() {
        std::vector<std::pair<int64_t, BrokerId>> order;
        for (const auto& [id, load] : load_) {
            order.emplace_back(load, id);
        }
        std::sort(order.begin(), order.end());
        for (auto full = order.rbegin(); full != order.rend(); ++full) {
            for (const auto& empty : order) {
                if (full->first - empty.first < 2) {
                    break;
                }
                if (give(full->second, empty.second)) {
                    return true;
                }
            }
        }
        return false;
    }

    // The same for preferred leaders: one partition's replicas change places.
    bool even_out_leaders() {
        for (Piece& piece : pieces_) {
            const auto lead = leads_.find(piece.replicas.front());
            if (lead == leads_.end()) {
                continue;
            }
            for (size_t at = 1; at < piece.replicas.size(); at++) {
                const auto other = leads_.find(piece.replicas[at]);
                if (other != leads_.end() && lead->second - other->second >= 2) {
                    lead->second--;
                    other->second++;
                    std::swap(piece.replicas[0], piece.replicas[at]);
                    return true;
                }
            }
        }
        return false;
    }

    [[nodiscard]] std::vector<PlannedMove> moves() const {
        std::vector<PlannedMove> moves;
        for (const Piece& piece : pieces_) {
            const std::vector<BrokerId>& from =
                piece.topic->partitions[static_cast<size_t>(piece.index)].replicas;
            if (from != piece.replicas) {
                moves.push_back({piece.topic->name, piece.index, from, piece.replicas});
            }
        }
        return moves;
    }

private:
    static void count(std::map<BrokerId, int64_t>& counts, BrokerId broker, int64_t change) {
        if (const auto at = counts.find(broker); at != counts.end()) {
            at->second += change;
        }
    }

    bool give(BrokerId from, BrokerId to) {
        for (Piece& piece : pieces_) {
            const auto at = std::find(piece.replicas.begin(), piece.replicas.end(), from);
            if (at == piece.replicas.end() || contains(piece.replicas, to)) {
                continue;
            }
            std::vector<BrokerId> after = piece.replicas;
            after[static_cast<size_t>(at - piece.replicas.begin())] = to;
            if (racks(after).size() >= racks(piece.replicas).size()) {
                replace(piece, static_cast<size_t>(at - piece.replicas.begin()), to);
                return true;
            }
        }
        return false;
    }

    const Image& image_;
    std::map<BrokerId, int64_t> load_;  // replicas, of brokers that may get more
    std::map<BrokerId, int64_t> leads_; // partitions that prefer it
    std::vector<Piece> pieces_;
};

} // namespace

Result<Plan> plan_drain(const Image& image, BrokerId broker) {
    if (image.find_broker(broker) == nullptr) {
        return Error(Code::resource_not_found,
                     "broker " + std::to_string(broker.value()) + " is not registered");
    }
    Planner planner(image);
    planner.close(broker);
    Plan plan;
    for (Piece& piece : planner.pieces()) {
        const auto at = std::find(piece.replicas.begin(), piece.replicas.end(), broker);
        if (at == piece.replicas.end()) {
            continue;
        }
        const auto place = static_cast<size_t>(at - piece.replicas.begin());
        if (const std::optional<BrokerId> by = planner.stand_in(piece, place)) {
            planner.replace(piece, place, *by);
        } else {
            plan.stuck.push_back(piece.topic->name + "-" + std::to_string(piece.index));
        }
    }
    for (const auto& [name, topic] : image.topics_by_name) {
        for (size_t i = 0; i < topic->partitions.size(); i++) {
            const PartitionImage& partition = topic->partitions[i];
            if (contains(partition.replicas, broker) && !image.is_live(partition.leader)) {
                plan.stuck.push_back(name + "-" + std::to_string(i));
            }
        }
    }
    plan.moves = planner.moves();
    return plan;
}

Plan plan_rebalance(const Image& image) {
    Planner planner(image);
    while (planner.even_out_replicas()) {
    }
    while (planner.even_out_leaders()) {
    }
    return Plan{planner.moves(), {}};
}

} // namespace qtool::metadata
