// Proves the server-side assignors: every partition has one owner that subscribes to its topic,
// uniform balances within one and moves no more than it must, range keeps topics side by side.
// Random groups from a printed seed, and cases by hand.
#include "lib/base/prng.h"
#include "server/group/assignor.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <string>

namespace qtool::group {
namespace {

TopicId topic_id(uint8_t n) {
    TopicId id;
    id.bytes[0] = n;
    id.bytes[15] = 1;
    return id;
}

std::string member_name(size_t n) {
    const std::string digits = std::to_string(n);
    return "m" + std::string(5 - digits.size(), '0') + digits;
}

// Owns what an AssignorInput points to.
struct Group {
    std::deque<std::string> names;
    std::deque<std::set<TopicId>> subscriptions;
    std::deque<Assignment> currents;
    AssignorInput input;

    void add(std::set<TopicId> topics, Assignment current = {}, std::string_view rack = {},
             std::optional<std::string_view> instance = {}) {
        names.push_back(member_name(names.size()));
        subscriptions.push_back(std::move(topics));
        currents.push_back(std::move(current));
        input.members.push_back(
            AssignorMember{names.back(), instance, rack, &subscriptions.back(), &currents.back()});
    }
    void take(const std::vector<Assignment>& targets) {
        for (size_t m = 0; m < targets.size(); m++) {
            currents[m] = targets[m];
        }
    }
};

void check_whole(const AssignorInput& input, const std::vector<Assignment>& targets) {
    REQUIRE(targets.size() == input.members.size());
    std::map<PartitionKey, size_t> owners;
    std::set<TopicId> subscribed;
    for (size_t m = 0; m < targets.size(); m++) {
        REQUIRE(normalized(targets[m]) == targets[m]);
        subscribed.insert(input.members[m].topics->begin(), input.members[m].topics->end());
        for_each_partition(targets[m], [&](const PartitionKey& key) {
            REQUIRE(input.members[m].topics->contains(key.topic_id));
            REQUIRE(owners.emplace(key, m).second);
            REQUIRE(key.index.value() < input.topics.at(key.topic_id).partition_count);
        });
    }
    size_t expected = 0;
    for (const auto& [id, topic] : input.topics) {
        expected += subscribed.contains(id) ? static_cast<size_t>(topic.partition_count) : 0;
    }
    REQUIRE(owners.size() == expected);
}

// No partition could go to a subscriber that has two less.
void check_balanced(const AssignorInput& input, const std::vector<Assignment>& targets) {
    for (size_t giver = 0; giver < targets.size(); giver++) {
        for (const auto& [topic, partitions] : targets[giver]) {
            for (size_t taker = 0; taker < targets.size(); taker++) {
                if (input.members[taker].topics->contains(topic)) {
                    REQUIRE(partition_count(targets[giver]) <= partition_count(targets[taker]) + 1);
                }
            }
        }
    }
}

size_t kept_count(const Group& group, const std::vector<Assignment>& targets) {
    size_t kept = 0;
    for (size_t m = 0; m < targets.size(); m++) {
        kept += partition_count(intersection(group.currents[m], targets[m]));
    }
    return kept;
}

} // namespace

TEST_CASE("uniform: equal subscriptions are balanced within one and nothing moves without need") {
    Group group;
    group.input.topics[topic_id(1)].partition_count = 7;
    group.input.topics[topic_id(2)].partition_count = 5;
    for (size_t m = 0; m < 5; m++) {
        group.add({topic_id(1), topic_id(2)});
    }
    const std::vector<Assignment> first = assign_uniform(group.input);
    check_whole(group.input, first);
    check_balanced(group.input, first);
    group.take(first);
    CHECK(assign_uniform(group.input) == first);

    // A sixth member: shares fall from 3,3,2,2,2 to 2 each, so exactly two partitions move.
    group.add({topic_id(1), topic_id(2)});
    const std::vector<Assignment> second = assign_uniform(group.input);
    check_whole(group.input, second);
    check_balanced(group.input, second);
    CHECK(kept_count(group, second) == 10);
}

TEST_CASE("uniform: a member that left spreads over the others, who keep all they had") {
    Group group;
    group.input.topics[topic_id(1)].partition_count = 12;
    for (size_t m = 0; m < 3; m++) {
        group.add({topic_id(1)});
    }
    group.take(assign_uniform(group.input));
    Group after;
    after.input.topics = group.input.topics;
    after.add({topic_id(1)}, group.currents[0]);
    after.add({topic_id(1)}, group.currents[2]);
    const std::vector<Assignment> targets = assign_uniform(after.input);
    check_whole(after.input, targets);
    check_balanced(after.input, targets);
    CHECK(kept_count(after, targets) == 8);
}

TEST_CASE("uniform: free partitions go to a member in a replica's rack") {
    Group group;
    AssignorTopic& topic = group.input.topics[topic_id(1)];
    topic.partition_count = 6;
    topic.racks = {{"a"}, {"b"}, {"c"}, {"a"}, {"b"}, {"c"}};
    group.add({topic_id(1)}, {}, "c");
    group.add({topic_id(1)}, {}, "a");
    group.add({topic_id(1)}, {}, "b");
    const std::vector<Assignment> targets = assign_uniform(group.input);
    CHECK(targets[0] == Assignment{{topic_id(1), {2, 5}}});
    CHECK(targets[1] == Assignment{{topic_id(1), {0, 3}}});
    CHECK(targets[2] == Assignment{{topic_id(1), {1, 4}}});
}

TEST_CASE("uniform: a member that has too many keeps those in its rack") {
    Group group;
    AssignorTopic& topic = group.input.topics[topic_id(1)];
    topic.partition_count = 6;
    topic.racks = {{"b"}, {"a"}, {"c"}, {"b"}, {"a"}, {"c"}};
    for (const std::string_view rack : {"a", "b", "c"}) { // they join one after the other
        group.add({topic_id(1)}, {}, rack);
        group.take(assign_uniform(group.input));
    }
    CHECK(group.currents[0] == Assignment{{topic_id(1), {1, 4}}});
    CHECK(group.currents[1] == Assignment{{topic_id(1), {0, 3}}});
    CHECK(group.currents[2] == Assignment{{topic_id(1), {2, 5}}});
}

TEST_CASE("uniform: more members than partitions, topics that do not exist, no members") {
    Group group;
    CHECK(assign_uniform(group.input).empty());
    CHECK(assign_range(group.input).empty());
    group.input.topics[topic_id(1)].partition_count = 2;
    for (size_t m = 0; m < 4; m++) {
        group.add({topic_id(1), topic_id(9)}, {{topic_id(9), {0, 1}}, {topic_id(1), {1, 7}}});
    }
    const std::vector<Assignment> targets = assign_uniform(group.input);
    check_whole(group.input, targets);
    check_balanced(group.input, targets);
    check_whole(group.input, assign_range(group.input));
}

TEST_CASE("assignors: random groups that change keep whole, balanced, and calm") {
    const uint64_t seed =
        static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
    INFO("seed " << seed);
    Prng random(seed);
    for (int round = 0; round < 300; round++) {
        Group group;
        const auto topic_count = static_cast<uint8_t>(random.between(1, 6));
        for (uint8_t t = 1; t <= topic_count; t++) {
            group.input.topics[topic_id(t)].partition_count =
                static_cast<int32_t>(random.between(0, 20));
        }
        const bool is_mixed = random.below(2) == 0;
        const size_t member_count = random.below(12);
        for (size_t m = 0; m < member_count; m++) {
            std::set<TopicId> topics;
            for (uint8_t t = 1; t <= topic_count; t++) {
                if (!is_mixed || random.below(2) == 0) {
                    topics.insert(topic_id(t));
                }
            }
            group.add(topics);
        }
        for (int step = 0; step < 4; step++) {
            const std::vector<Assignment> targets = assign_uniform(group.input);
            check_whole(group.input, targets);
            check_balanced(group.input, targets);
            check_whole(group.input, assign_range(group.input));
            group.take(targets);
            REQUIRE(assign_uniform(group.input) == targets);
            group.input.topics[topic_id(1)].partition_count +=
                static_cast<int32_t>(random.below(3));
            group.add(group.subscriptions.empty() ? std::set<TopicId>{topic_id(1)}
                                                  : group.subscriptions[0]);
        }
    }
}

TEST_CASE("range: topics with equal counts are split alike, the first members take what is over") {
    Group group;
    group.input.topics[topic_id(1)].partition_count = 7;
    group.input.topics[topic_id(2)].partition_count = 7;
    for (size_t m = 0; m < 3; m++) {
        group.add({topic_id(1), topic_id(2)});
    }
    const std::vector<Assignment> targets = assign_range(group.input);
    check_whole(group.input, targets);
    CHECK(targets[0] == Assignment{{topic_id(1), {0, 1, 2}}, {topic_id(2), {0, 1, 2}}});
    CHECK(targets[1] == Assignment{{topic_id(1), {3, 4}}, {topic_id(2), {3, 4}}});
    CHECK(targets[2] == Assignment{{topic_id(1), {5, 6}}, {topic_id(2), {5, 6}}});
}

TEST_CASE("range: static members stand in front, in the order of their instance ids") {
    Group group;
    group.input.topics[topic_id(1)].partition_count = 3;
    group.add({topic_id(1)});
    group.add({topic_id(1)}, {}, {}, "z");
    group.add({topic_id(1)}, {}, {}, "a");
    const std::vector<Assignment> targets = assign_range(group.input);
    CHECK(targets[2] == Assignment{{topic_id(1), {0}}});
    CHECK(targets[1] == Assignment{{topic_id(1), {1}}});
    CHECK(targets[0] == Assignment{{topic_id(1), {2}}});
}

TEST_CASE(
    "uniform: 1,000 members and 1,000 topics with different subscriptions, again after one left") {
    Group group;
    std::set<TopicId> all;
    for (int t = 0; t < 1000; t++) {
        TopicId id = topic_id(static_cast<uint8_t>(t % 250));
        id.bytes[1] = static_cast<uint8_t>(t / 250);
        group.input.topics[id].partition_count = 3;
        all.insert(id);
    }
    for (size_t m = 0; m < 1000; m++) {
        std::set<TopicId> topics = all;
        if (m % 2 == 0) {
            topics.erase(topics.begin());
        }
        group.add(topics);
    }
    const auto started = std::chrono::steady_clock::now();
    const std::vector<Assignment> targets = assign_uniform(group.input);
    check_whole(group.input, targets);
    group.take(targets);
    group.input.members.pop_back();
    check_whole(group.input, assign_uniform(group.input));
    MESSAGE("ms: " << std::chrono::duration_cast<std::chrono::milliseconds>(
                          std::chrono::steady_clock::now() - started)
                          .count());
}

} // namespace qtool::group
