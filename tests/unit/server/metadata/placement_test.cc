// Proves that replicas are spread over brokers and racks, and what topic names are allowed.
#include "server/metadata/placement.h"
#include "server/metadata/topic_name.h"
#include "tests/unit/server/metadata/metadata_world.h"

#include <doctest/doctest.h>

#include <set>

using namespace qtool;
using namespace qtool::metadata;
using namespace qtool::test;

namespace {

std::map<BrokerId, BrokerImage> brokers(const std::vector<std::string>& racks) {
    std::map<BrokerId, BrokerImage> brokers;
    for (size_t i = 0; i < racks.size(); i++) {
        BrokerImage broker;
        broker.id = BrokerId(static_cast<int32_t>(i + 1));
        broker.rack = racks[i];
        broker.epoch = Revision(1);
        brokers[broker.id] = broker;
    }
    return brokers;
}

} // namespace

TEST_CASE("placement: one broker holds everything") {
    SeededRandom random(1);
    const auto placed = place_replicas(brokers({""}), 3, 1, random);
    REQUIRE(placed);
    CHECK(*placed == std::vector<std::vector<BrokerId>>(3, {BrokerId(1)}));
    CHECK(place_replicas(brokers({""}), 1, 2, random).error().code ==
          Code::invalid_replication_factor);
    CHECK(place_replicas({}, 1, 1, random).error().code == Code::invalid_replication_factor);
}

TEST_CASE("placement: only live brokers that are not cordoned get replicas") {
    SeededRandom random(1);
    auto cluster = brokers({"a", "b", "c", "d"});
    cluster[BrokerId(2)].epoch = Revision(0);
    cluster[BrokerId(3)].is_cordoned = true;
    CHECK(usable_brokers(cluster) == 2);
    const auto placed = place_replicas(cluster, 8, 2, random);
    REQUIRE(placed);
    for (const std::vector<BrokerId>& replicas : *placed) {
        CHECK(std::set<BrokerId>(replicas.begin(), replicas.end()) ==
              std::set<BrokerId>{BrokerId(1), BrokerId(4)});
    }
    const Error error = place_replicas(cluster, 1, 3, random).error();
    CHECK(error.code == Code::invalid_replication_factor);
    CHECK(error.detail == "replication factor 3 is larger than the number of brokers, 2 (4 are "
                          "registered, the others are not live or cordoned)");
}

TEST_CASE("placement: more replicas come from new racks first, taking turns") {
    const auto cluster = brokers({"a", "a", "b", "b"});
    for (size_t turn = 0; turn < 8; turn++) {
        const auto more = more_replicas(cluster, {BrokerId(1)}, 2, turn);
        REQUIRE(more.size() == 2);
        CHECK(more[0] == BrokerId(1));
        CHECK(more[1] >= BrokerId(3)); // rack b
    }
    CHECK(more_replicas(cluster, {BrokerId(1)}, 2, 1) !=
          more_replicas(cluster, {BrokerId(1)}, 2, 3));
    CHECK(more_replicas(cluster, {BrokerId(1)}, 9, 0).size() == 4);
    CHECK(more_replicas({}, {BrokerId(1)}, 3, 0) == std::vector<BrokerId>{BrokerId(1)});
}

TEST_CASE("placement: distinct replicas, even leaders, all racks, for any shape of cluster") {
    const std::vector<std::vector<std::string>> shapes = {
        {"", "", ""},         {"a", "b", "c"},           {"a", "a", "b"},
        {"a", "b", "a", "b"}, {"a", "a", "a", "b", "c"}, {"a", "b", "", "", "c", "c", "c"}};
    for (const auto& racks : shapes) {
        const auto cluster = brokers(racks);
        const size_t rack_count = std::set<std::string>(racks.begin(), racks.end()).size();
        for (int32_t factor = 1; factor <= static_cast<int32_t>(racks.size()); factor++) {
            CAPTURE(racks.size());
            CAPTURE(factor);
            SeededRandom random(static_cast<uint64_t>(factor));
            const int32_t count = static_cast<int32_t>(racks.size()) * 4;
            const auto placed = place_replicas(cluster, count, factor, random);
            REQUIRE(placed);
            REQUIRE(placed->size() == static_cast<size_t>(count));
            std::map<BrokerId, int> leaders;
            for (const std::vector<BrokerId>& replicas : *placed) {
                CHECK(replicas.size() == static_cast<size_t>(factor));
                CHECK(check_replicas(cluster, 0, replicas));
                std::set<std::string> used;
                for (const BrokerId broker : replicas) {
                    used.insert(cluster.at(broker).rack);
                }
                CHECK(used.size() == std::min(rack_count, replicas.size()));
                leaders[replicas[0]]++;
            }
            for (const auto& entry : cluster) {
                CHECK(leaders[entry.first] == 4);
            }
        }
    }
}

TEST_CASE("placement: the followers of one broker's leaders vary") {
    SeededRandom random(3);
    const auto placed = place_replicas(brokers({"", "", "", ""}), 12, 2, random);
    std::map<BrokerId, std::set<BrokerId>> followers;
    for (const std::vector<BrokerId>& replicas : *placed) {
        followers[replicas[0]].insert(replicas[1]);
    }
    for (const auto& entry : followers) {
        CHECK(entry.second.size() == 3);
    }
}

TEST_CASE("topic name: Kafka's rules") {
    for (const std::string& name :
         {std::string("a"), std::string("A.b_c-9"), std::string("..."), std::string(".a"),
          std::string("-"), std::string("__consumer_offsets"), std::string(249, 'x')}) {
        CAPTURE(name);
        CHECK(check_topic_name(name));
    }
    for (const std::string& name :
         {std::string(), std::string("."), std::string(".."), std::string(250, 'x'),
          std::string("a b"), std::string("a/b"), std::string("ü"), std::string("a\0b", 3),
          std::string("a\n"), std::string("a:b")}) {
        CAPTURE(name);
        CHECK(check_topic_name(name).error().code == Code::invalid_topic_name);
    }
    CHECK(fold_topic_name("a.b") == fold_topic_name("a_b"));
    CHECK(can_collide("a.b"));
    CHECK_FALSE(can_collide("ab-c"));
}
