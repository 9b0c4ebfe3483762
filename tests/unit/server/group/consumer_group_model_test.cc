// Proves that a partition of a consumer group never has two owners, and that a group left alone
// comes to rest with everything assigned: members that join, leave, die, lose answers and dawdle
// with what they give back, topics that grow, coordinators that restart, in random order from a
// printed seed.
#include "lib/base/prng.h"

#include <chrono>

#include "consumer_world.h"

namespace qtool::test {

namespace {

class Model {
public:
    explicit Model(uint64_t seed) : random_(seed) {
        for (size_t t = 0; t < 3; t++) {
            world_.add_topic(topic_name(t), 1 + random_.below(6));
        }
    }
    void run(int steps) {
        for (int i = 0; i < steps; i++) {
            step();
            check_owners();
        }
        settle();
    }

private:
    static std::string topic_name(size_t n) { return "t" + std::to_string(n); }

    Consumer& any() {
        auto it = members_.begin();
        std::advance(it, static_cast<std::ptrdiff_t>(random_.below(members_.size())));
        return it->second;
    }

    void step() {
        world_.wait(std::chrono::milliseconds(random_.below(700)));
        const uint64_t what = random_.below(100);
        if (members_.empty() || (what < 6 && members_.size() < 8)) {
            Consumer member{.id = "m" + std::to_string(next_id_++)};
            member.topics.clear();
            for (size_t t = 0; t < 3; t++) {
                if (t == 0 || random_.below(3) > 0) {
                    member.topics.push_back(topic_name(t));
                }
            }
            beat(members_.emplace(member.id, member).first->second);
        } else if (what < 9) {
            Consumer& member = any();
            world_.leave_consumer(member);
            members_.erase(std::string(member.id));
        } else if (what < 11) {
            world_.restart();
        } else if (what < 13) {
            const size_t t = random_.below(3);
            auto topic =
                std::make_shared<metadata::TopicImage>(*world_.host.image_now.topic(topic_name(t)));
            topic->partitions.resize(topic->partitions.size() + 1);
            world_.host.image_now.topics_by_name[topic->name] = topic;
            world_.host.image_now.topics_by_id[topic->id] = topic;
            metadata::Delta delta;
            delta.topics_changed.push_back(topic->id);
            world_.shard->on_image(delta, world_.host);
        } else if (what < 16) {
            world_.wait(std::chrono::seconds(random_.below(50))); // sessions and revocations end
        } else if (what < 60) {
            beat(any());
        } else if (Consumer& member = any(); !member.has_lost_answer) {
            ConsumerWorld::apply(member);
        }
    }

    // The answer is lost now and then: then the member says everything again, and takes nothing up
    // before it was heard. (One that had been told of a partition but said it does not
    // own it yet may lose it at once, as in Kafka; that is what the lost answer may have said.)
    void beat(Consumer& member) {
        Consumer before = member;
        const auto response = world_.beat(member);
        if (response.error_code != 0) {
            // Fenced or forgotten: it stops working on everything and begins anew.
            member.epoch = 0;
            member.owned.clear();
            member.assigned.clear();
            member.has_lost_answer = false;
            return;
        }
        if (random_.below(10) == 0) {
            member = before;
            member.has_lost_answer = true;
        }
    }

    // Who works on a partition although somebody else does breaks the promise of the group. A
    // member that the broker has given up on does not know yet; it is not counted.
    void check_owners() {
        if (world_.find("g") == nullptr) {
            return;
        }
        const group::ConsumerGroup& group = world_.consumer_group();
        std::map<PartitionKey, std::string> owners;
        for (const auto& [id, member] : members_) {
            if (group.member(id) == nullptr || member.epoch == 0) {
                continue;
            }
            group::for_each_partition(member.owned, [&, name = id](const PartitionKey& key) {
                const auto [it, is_new] = owners.emplace(key, name);
                REQUIRE_MESSAGE(is_new,
                                "partition with two owners: " << it->second << ", " << name);
            });
        }
    }

    void settle() {
        std::vector<Consumer*> all;
        for (auto& [id, member] : members_) {
            all.push_back(&member);
            if (world_.find("g") == nullptr || world_.consumer_group().member(id) == nullptr) {
                member.epoch = 0;
            }
            const auto response = world_.beat(member);
            if (response.error_code != 0) {
                member.epoch = 0;
                member.owned.clear();
                REQUIRE(world_.beat(member).error_code == 0);
            }
            ConsumerWorld::apply(member);
            member.has_reported = false;
        }
        if (all.empty()) {
            return;
        }
        world_.settle(all);
        check_owners();
        size_t owned = 0;
        std::set<std::string> subscribed;
        for (Consumer* member : all) {
            owned += group::partition_count(member->owned);
            subscribed.insert(member->topics.begin(), member->topics.end());
        }
        size_t expected = 0;
        for (const std::string& name : subscribed) {
            expected += world_.host.image_now.topic(name)->partitions.size();
        }
        REQUIRE(owned == expected);
    }

    ConsumerWorld world_;
    Prng random_;
    std::map<std::string, Consumer> members_;
    int next_id_ = 0;
};

} // namespace

TEST_CASE("consumer group: one owner at any time, whatever happens") {
    const auto base =
        static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
    for (uint64_t seed = base; seed < base + 100; seed++) {
        INFO("seed " << seed);
        Model(seed).run(200);
    }
}

} // namespace qtool::test
