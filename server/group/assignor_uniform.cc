// Two ways to the same goal. When all members subscribe to the same topics the sizes are known in
// advance: members keep up to their share, and what is left goes where shares are not filled; racks
// come before keeping, since a partition that is far costs traffic for as long as it is. When
// subscriptions differ, members keep what they have, free partitions go to the least loaded
// subscriber, and then single partitions move from more to less loaded subscribers of their topic
// until no move narrows a gap. Each move lowers the sum of the squared loads, so that ends.
#include "lib/base/assert.h"
#include "server/group/assignor.h"

#include <algorithm>

namespace qtool::group {
namespace {

constexpr size_t kNobody = SIZE_MAX;

struct Topic {
    TopicId id;
    const AssignorTopic* topic = nullptr;
    std::vector<size_t> subscribers; // indexes of members, ascending
    std::vector<size_t> owners;      // by partition; kNobody: free
};

class Uniform {
public:
    explicit Uniform(const AssignorInput& input) : input_(input), loads_(input.members.size(), 0) {
        std::map<TopicId, size_t> positions;
        for (size_t m = 0; m < input.members.size(); m++) {
            for (const TopicId& id : *input.members[m].topics) {
                const auto it = input.topics.find(id);
                if (it == input.topics.end() || it->second.partition_count == 0) {
                    continue;
                }
                const auto [position, is_new] = positions.emplace(id, topics_.size());
                if (is_new) {
                    topics_.push_back(Topic{id, &it->second, {}, {}});
                    topics_.back().owners.assign(static_cast<size_t>(it->second.partition_count),
                                                 kNobody);
                }
                topics_[position->second].subscribers.push_back(m);
            }
        }
        std::sort(topics_.begin(), topics_.end(),
                  [](const Topic& a, const Topic& b) { return a.id < b.id; });
    }

    std::vector<Assignment> run() {
        const bool is_same_for_all =
            std::all_of(topics_.begin(), topics_.end(), [&](const Topic& topic) {
                return topic.subscribers.size() == input_.members.size();
            });
        is_same_for_all ? run_same() : run_mixed();
        return take_targets();
    }

private:
    void run_same() {
        size_t total = 0;
        for (const Topic& topic : topics_) {
            total += topic.owners.size();
        }
        const size_t member_count = input_.members.size();
        if (member_count == 0) {
            return;
        }
        const size_t share = total / member_count;
        size_t extras = total % member_count; // members that may have one more
        // Whoever holds more than the share keeps one of the extras first: nothing moves that need
        // not.
        std::vector<size_t> limits(member_count, share);
        for (size_t m = 0; m < member_count && extras > 0; m++) {
            if (held_count(m) > share) {
                limits[m]++;
                extras--;
            }
        }
        for (size_t m = 0; m < member_count && extras > 0; m++) {
            if (limits[m] == share) {
                limits[m]++;
                extras--;
            }
        }
        // A partition moves to be near, as long as that ends: each time more are, or none moves.
        keep_current(limits, true);
        place_in_rack(limits, hungry_members(limits));
        keep_current(limits, false);
        std::vector<size_t> hungry = hungry_members(limits);
        for (Topic& topic : topics_) {
            for (size_t& owner : topic.owners) {
                if (owner != kNobody) {
                    continue;
                }
                while (loads_[hungry.back()] >= limits[hungry.back()]) {
                    hungry.pop_back();
                }
                owner = hungry.back();
                loads_[owner]++;
            }
        }
    }

    // Who may have more; the last is served first.
    [[nodiscard]] std::vector<size_t> hungry_members(const std::vector<size_t>& limits) const {
        std::vector<size_t> hungry;
        for (size_t m = limits.size(); m-- > 0;) {
            if (loads_[m] < limits[m]) {
                hungry.push_back(m);
            }
        }
        return hungry;
    }

    // Free partitions with a replica in the rack of a member that has room.
    void place_in_rack(const std::vector<size_t>& limits, const std::vector<size_t>& hungry) {
        std::map<std::string_view, std::vector<size_t>> by_rack;
        for (const size_t m : hungry) {
            if (!input_.members[m].rack.empty()) {
                by_rack[input_.members[m].rack].push_back(m);
            }
        }
        if (by_rack.empty()) {
            return;
        }
        for (Topic& topic : topics_) {
            for (size_t p = 0; p < topic.owners.size() && p < topic.topic->racks.size(); p++) {
                if (topic.owners[p] != kNobody) {
                    continue;
                }
                for (const std::string& rack : topic.topic->racks[p]) {
                    const auto it = by_rack.find(rack);
                    if (it == by_rack.end()) {
                        continue;
                    }
                    std::vector<size_t>& members = it->second;
                    while (!members.empty() && loads_[members.back()] >= limits[members.back()]) {
                        members.pop_back();
                    }
                    if (!members.empty()) {
                        topic.owners[p] = members.back();
                        loads_[members.back()]++;
                        break;
                    }
                }
            }
        }
    }

    void run_mixed() {
        const std::vector<size_t> no_limits(input_.members.size(), SIZE_MAX);
        keep_current(no_limits, true);
        keep_current(no_limits, false);
        // Topics with few subscribers first: they have the least choice.
        std::vector<Topic*> order;
        for (Topic& topic : topics_) {
            order.push_back(&topic);
        }
        std::stable_sort(order.begin(), order.end(), [](const Topic* a, const Topic* b) {
            return a->subscribers.size() < b->subscribers.size();
        });
        for (Topic* topic : order) {
            place_free(*topic);
        }
        bool has_moved = true;
        while (has_moved) {
            has_moved = false;
            for (Topic* topic : order) {
                has_moved = level(*topic) || has_moved;
            }
        }
    }

    void place_free(Topic& topic) {
        if (std::find(topic.owners.begin(), topic.owners.end(), kNobody) == topic.owners.end()) {
            return;
        }
        std::set<std::pair<size_t, size_t>> by_load; // load, member
        for (const size_t m : topic.subscribers) {
            by_load.emplace(loads_[m], m);
        }
        for (size_t p = 0; p < topic.owners.size(); p++) {
            if (topic.owners[p] != kNobody) {
                continue;
            }
            auto chosen = by_load.begin();
            if (p < topic.topic->racks.size()) { // of the least loaded, one in the rack
                const size_t load = chosen->first;
                for (auto it = by_load.begin(); it != by_load.end() && it->first == load; ++it) {
                    if (is_near(topic, p, it->second)) {
                        chosen = it;
                        break;
                    }
                }
            }
            const size_t m = chosen->second;
            by_load.erase(chosen);
            topic.owners[p] = m;
            by_load.emplace(++loads_[m], m);
        }
    }

    // Moves partitions of one topic while that narrows a gap of two or more. True: some moved.
    bool level(Topic& topic) {
        size_t load_most = 0;
        for (const size_t owner : topic.owners) {
            load_most = std::max(load_most, loads_[owner]);
        }
        size_t load_least = SIZE_MAX;
        for (const size_t m : topic.subscribers) {
            load_least = std::min(load_least, loads_[m]);
        }
        if (load_most < load_least + 2) {
            return false;
        }
        std::map<size_t, std::vector<size_t>> held; // member -> its partitions of the topic
        for (size_t p = 0; p < topic.owners.size(); p++) {
            held[topic.owners[p]].push_back(p);
        }
        for (auto& [member, partitions] : held) { // the last ones are given first
            std::stable_partition(partitions.begin(), partitions.end(),
                                  [&, m = member](size_t p) { return is_near(topic, p, m); });
        }
        std::set<std::pair<size_t, size_t>> takers; // load, member
        std::set<std::pair<size_t, size_t>> givers; // of those, who has a partition to give
        for (const size_t m : topic.subscribers) {
            takers.emplace(loads_[m], m);
            if (held.contains(m)) {
                givers.emplace(loads_[m], m);
            }
        }
        bool has_moved = false;
        while (!givers.empty()) {
            const auto [giver_load, giver] = *givers.rbegin();
            const auto [taker_load, taker] = *takers.begin();
            if (giver_load < taker_load + 2) {
                break;
            }
            const size_t p = held[giver].back();
            held[giver].pop_back();
            held[taker].push_back(p);
            topic.owners[p] = taker;
            for (const size_t m : {giver, taker}) {
                takers.erase({loads_[m], m});
                givers.erase({loads_[m], m});
            }
            loads_[giver]--;
            loads_[taker]++;
            for (const size_t m : {giver, taker}) {
                takers.emplace(loads_[m], m);
                if (!held[m].empty()) {
                    givers.emplace(loads_[m], m);
                }
            }
            has_moved = true;
        }
        return has_moved;
    }

    Topic* find(const TopicId& id) {
        const auto it =
            std::lower_bound(topics_.begin(), topics_.end(), id,
                             [](const Topic& topic, const TopicId& key) { return topic.id < key; });
        return it == topics_.end() || it->id != id ? nullptr : &*it;
    }

    // Partitions of its last target that exist and that it still subscribes to.
    size_t held_count(size_t m) {
        size_t count = 0;
        if (input_.members[m].current == nullptr) {
            return 0;
        }
        for (const auto& [id, partitions] : *input_.members[m].current) {
            const Topic* topic = find(id);
            if (topic == nullptr || !input_.members[m].topics->contains(id)) {
                continue;
            }
            for (const int32_t p : partitions) {
                count += p >= 0 && static_cast<size_t>(p) < topic->owners.size() ? 1 : 0;
            }
        }
        return count;
    }

    // A replica of the partition is in the member's rack.
    [[nodiscard]] bool is_near(const Topic& topic, size_t p, size_t m) const {
        return p < topic.topic->racks.size() &&
               topic.topic->racks[p].contains(input_.members[m].rack);
    }

    // What its members have and may keep, of what is near or of what is not.
    void keep_current(const std::vector<size_t>& limits, bool near) {
        for (size_t m = 0; m < input_.members.size(); m++) {
            keep_current(m, limits[m], near);
        }
    }

    void keep_current(size_t m, size_t limit, bool near) {
        if (input_.members[m].current == nullptr) {
            return;
        }
        for (const auto& [id, partitions] : *input_.members[m].current) {
            Topic* topic = find(id);
            if (topic == nullptr || !input_.members[m].topics->contains(id)) {
                continue;
            }
            for (const int32_t partition : partitions) {
                const auto p = static_cast<size_t>(partition);
                if (partition < 0 || p >= topic->owners.size() || topic->owners[p] != kNobody ||
                    is_near(*topic, p, m) != near) {
                    continue;
                }
                if (loads_[m] >= limit) {
                    return;
                }
                topic->owners[p] = m;
                loads_[m]++;
            }
        }
    }

    std::vector<Assignment> take_targets() {
        std::vector<Assignment> targets(input_.members.size());
        for (const Topic& topic : topics_) {
            for (size_t p = 0; p < topic.owners.size(); p++) {
                QT_ASSERT(topic.owners[p] != kNobody);
                targets[topic.owners[p]][topic.id].push_back(static_cast<int32_t>(p));
            }
        }
        return targets;
    }

    const AssignorInput& input_;
    std::vector<Topic> topics_; // by id
    std::vector<size_t> loads_; // partitions, by member
};

} // namespace

std::vector<Assignment> assign_uniform(const AssignorInput& input) {
    return Uniform(input).run();
}

} // namespace qtool::group
