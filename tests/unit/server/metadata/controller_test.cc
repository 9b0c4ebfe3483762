// Proves what the controller does by itself: fail-over, return, reassignments, internal topics, the
// guard of its key, batches; and by random deaths, returns, ISR changes and late images of several
// brokers that would be controller, that nothing committed is ever without a copy that may lead.
#include "lib/base/log.h"
#include "server/metadata/controller.h"
#include "server/metadata/decide_isr.h"
#include "server/metadata/partition_change.h"
#include "tests/unit/server/metadata/acting_controller.h"

#include <deque>
#include <memory>
#include <set>

using namespace qtool;
using namespace qtool::metadata;
using namespace qtool::test;

TEST_CASE("controller: leaders move from a broker that dies, and it leaves the ISRs") {
    Acting world;
    world.add_topic("t", {{2, 1, 3}, {1, 2, 3}, {3, 2, 1}, {2}});
    world.die(2);
    CHECK(world.partition("t", 0).leader == BrokerId(1));
    CHECK(world.partition("t", 0).isr == ids({1, 3}));
    CHECK(world.partition("t", 1).leader == BrokerId(1));
    CHECK(world.partition("t", 1).isr == ids({1, 3}));
    CHECK(world.partition("t", 2).leader == BrokerId(3));
    CHECK(world.partition("t", 3).leader == kNoBroker);
    CHECK(world.partition("t", 3).isr == ids({2}));
    world.live(2);
    CHECK(world.partition("t", 3).leader == BrokerId(2));
    CHECK(world.partition("t", 3).leader_epoch == LeaderEpoch(2));
    CHECK(world.partition("t", 0).leader == BrokerId(1));
}

TEST_CASE("controller: a broker that died before it was there is found") {
    Acting world;
    world.controller.set_willing(false, world.now); // nobody acts
    world.put({{controller_key(), std::nullopt}});
    world.add_topic("t", {{2, 1, 3}});
    world.die(2);
    CHECK(world.partition("t", 0).leader == BrokerId(2));
    world.controller.set_willing(true, world.now);
    world.settle();
    CHECK(world.partition("t", 0).leader == BrokerId(1));
}

TEST_CASE("controller: another one's key is respected, and ends one's own work") {
    Acting world;
    world.add_topic("t", {{2, 1, 3}});
    world.put({{controller_key(), encode_controller(BrokerId(3))}});
    CHECK_FALSE(world.controller.is_active());
    world.die(2);
    CHECK(world.partition("t", 0).leader == BrokerId(2));
    world.put({{controller_key(), std::nullopt}});
    CHECK(world.controller.is_active());
    CHECK(world.partition("t", 0).leader == BrokerId(1));
}

TEST_CASE("controller: a late answer about an older claim changes nothing") {
    ClusterWorld world(3);
    Controller controller{BrokerId(1)};
    const MonoTime now{1s};
    const auto tell = [&] { controller.on_image(world.image, world.delta, now); };
    controller.set_willing(true, now);
    tell();
    const std::vector<Controller::Commit> commits = controller.take_commits();
    REQUIRE(commits.size() == 1);
    const Result<port::StoreChange> claimed = world.store.commit(commits[0].transaction);
    REQUIRE(claimed);
    world.apply(*claimed);
    tell();
    // The session ends, and the next registration claims the key again.
    world.write({{controller_key(), std::nullopt}});
    tell();
    controller.set_willing(false, now);
    world.write({{controller_key(), encode_controller(BrokerId(1))}});
    tell();
    controller.set_willing(true, now);
    controller.set_claim(world.image->controller.revision, now);
    REQUIRE(controller.is_active());
    controller.on_committed(commits[0].batch, claimed->revision, now);
    CHECK(controller.is_active());
}

TEST_CASE("controller: what it decided is not written once its key is gone") {
    Acting world;
    world.add_topic("t", {{2, 1, 3}});
    world.write({{live_key(BrokerId(2)), std::nullopt}});
    world.tell();
    const std::vector<Controller::Commit> commits = world.controller.take_commits();
    REQUIRE(commits.size() == 1);
    world.write({{controller_key(), encode_controller(BrokerId(3))}});
    CHECK(world.store.commit(commits[0].transaction).error().code == Code::store_conflict);
}

TEST_CASE("controller: many partitions go in batches, leaderless ones first") {
    Acting world;
    std::vector<std::vector<int32_t>> assignments;
    for (int i = 0; i < 1000; i++) {
        assignments.push_back(i % 10 == 9 ? std::vector<int32_t>{2, 1}
                                          : std::vector<int32_t>{1, 2});
    }
    world.add_topic("t", assignments);
    world.transactions = 0;
    world.ClusterWorld::die(2);
    world.tell();
    std::vector<Controller::Commit> first = world.controller.take_commits();
    CHECK(first.size() == kBatchesInFlightMax);
    CHECK(first[0].transaction.writes.size() == 100);
    for (Controller::Commit& commit : first) {
        Result<port::StoreChange> change = world.store.commit(commit.transaction);
        REQUIRE(change);
        world.apply(*change);
        world.tell();
        world.controller.on_committed(commit.batch, change->revision, world.now);
    }
    world.settle();
    CHECK(world.largest == kBatchPartitionsMax);
    for (int32_t i = 0; i < 1000; i++) {
        REQUIRE(world.partition("t", i).leader == BrokerId(1));
        REQUIRE(world.partition("t", i).isr == ids({1}));
    }
}

TEST_CASE("controller: a conflict is decided again") {
    Acting world;
    world.add_topic("t", {{2, 1, 3}, {2, 3, 1}});
    world.write({{live_key(BrokerId(2)), std::nullopt}});
    world.tell();
    // The leader's own change came first.
    world.write({{partition_key(world.topic("t").id, 0), [&] {
                      PartitionImage p = world.partition("t", 0);
                      p.isr = ids({2, 3});
                      p.partition_epoch++;
                      return encode_partition(p);
                  }()}});
    const std::vector<Controller::Commit> commits = world.controller.take_commits();
    REQUIRE(commits.size() == 1);
    const Result<port::StoreChange> answer = world.store.commit(commits[0].transaction);
    CHECK(answer.error().code == Code::store_conflict);
    world.controller.on_committed(commits[0].batch, answer.error(), world.now);
    world.tell();
    world.settle();
    CHECK(world.partition("t", 0).leader == BrokerId(3));
    CHECK(world.partition("t", 1).leader == BrokerId(3));
}

TEST_CASE("controller: preferred leaders get their leaderships back in time, when in sync") {
    Acting world;
    world.add_topic("t", {{2, 1, 3}, {2, 3, 1}});
    world.die(2);
    world.live(2);
    world.set_isr("t", 0, {1, 2, 3});
    CHECK(world.partition("t", 0).leader == BrokerId(1));
    world.now = world.controller.next_due();
    world.controller.on_time(world.now);
    world.settle();
    CHECK(world.partition("t", 0).leader == BrokerId(2));
    CHECK(world.partition("t", 1).leader == BrokerId(3)); // 2 is not in sync
    CHECK(world.controller.next_due() == world.now + 300s);

    config::BrokerConfig never;
    never.auto_leader_rebalance_enable = false;
    CHECK(Acting(3, never).controller.next_due() >= MonoTime{kAsideAfter});
}

TEST_CASE("controller: it ends reassignments") {
    Acting world;
    world.add_topic("t", {{1, 2}});
    world.put_changed("t", 0, [](PartitionImage& p) {
        p.replicas = ids({3, 4, 1, 2});
        p.adding_replicas = ids({3, 4});
        p.removing_replicas = ids({1, 2});
    });
    CHECK(world.partition("t", 0).is_reassigning());
    world.set_isr("t", 0, {1, 2, 3});
    CHECK(world.partition("t", 0).is_reassigning());
    world.set_isr("t", 0, {1, 2, 3, 4});
    CHECK(world.partition("t", 0).replicas == ids({3, 4}));
    CHECK(world.partition("t", 0).isr == ids({3, 4}));
    CHECK(world.partition("t", 0).leader == BrokerId(3));
}

TEST_CASE("controller: internal topics get more replicas as brokers join") {
    Acting world(1);
    world.add_topic(std::string(kGroupTopic), {{1}, {1}, {1}});
    world.add_topic("t", {{1}});
    CHECK(world.partition(kGroupTopic, 0).replicas == ids({1}));
    BrokerImage broker;
    for (int32_t id = 2; id <= 5; id++) {
        broker.id = BrokerId(id);
        broker.host = "h";
        world.put({{broker_key(broker.id), encode_broker(broker)}});
        world.live(id);
        for (int32_t p = 0; p < 3; p++) { // the new replicas catch up
            const PartitionImage now = world.partition(kGroupTopic, p);
            world.put_changed(kGroupTopic, p,
                              [&](PartitionImage& next) { next.isr = now.replicas; });
        }
    }
    for (int32_t p = 0; p < 3; p++) {
        CHECK(world.partition(kGroupTopic, p).replicas.size() == 3);
        CHECK_FALSE(world.partition(kGroupTopic, p).is_reassigning());
    }
    CHECK(world.partition("t", 0).replicas == ids({1}));
}

TEST_CASE(
    "controller: a lowered min.insync.replicas ends eligibility, and unclean election starts") {
    Acting world;
    world.add_topic("t", {{1, 2, 3}}, {{"min.insync.replicas", "2"}});
    world.put_changed("t", 0, [](PartitionImage& p) {
        p.isr = ids({3});
        p.elr = ids({2});
        p.leader = BrokerId(3);
    });
    const std::string configs = topic_configs_key(world.topic("t").id);
    world.put({{configs, encode_configs({{"min.insync.replicas", "1"}})}});
    CHECK(world.partition("t", 0).elr.empty());
    world.die(3);
    CHECK(world.partition("t", 0).leader == kNoBroker);
    world.put({{configs, encode_configs({{"unclean.leader.election.enable", "true"}})}});
    CHECK(world.partition("t", 0).leader == BrokerId(1));
}

// ---- random -------------------------------------------------------------------------------------

namespace {

// Each broker sees the changes in order, at its own pace.
struct Node {
    Node(const config::BrokerConfig& config, int32_t number)
        : id(number),
          replay(config),
          controller(id) {}

    BrokerId id;
    Replay replay;
    ImageRef image = std::make_shared<Image>();
    Controller controller;
    size_t seen = 0;
    struct Waiting {
        Token batch;
        Result<Revision> result;
    };
    std::deque<Controller::Commit> unsent;
    std::vector<Waiting> unanswered;
};

// What is committed, and who holds it. A leader that sees its ISR large enough commits.
struct Data {
    int64_t committed = 0;
    std::map<BrokerId, int64_t> held;
};

class RandomCluster {
public:
    explicit RandomCluster(uint64_t seed) : prng_(seed) {
        for (int32_t id = 1; id <= 4; id++) {
            nodes_.push_back(std::make_unique<Node>(world_.config, id));
        }
        world_.add_topic("a", {{1, 2, 3}, {2, 3, 4}, {3, 4, 1}, {4, 1}, {2, 1}, {3}});
        world_.add_topic("b", {{4, 3, 2}, {1, 2, 4}, {1, 3}}, {{"min.insync.replicas", "2"}});
        for (const auto& node : nodes_) {
            const Result<Replay::Step> step = node->replay.load(world_.store.snapshot());
            REQUIRE(step);
            node->image = step->image;
            node->controller.set_willing(true, now_);
            node->controller.on_image(step->image, step->delta, now_);
        }
    }

    void step() {
        now_ = now_ + 1ms;
        Node& node = *nodes_[prng_.below(nodes_.size())];
        switch (prng_.below(12)) {
        case 0:
            if (prng_.below(4) == 0) {
                toggle(node);
            }
            return;
        case 1:
            return reassign();
        case 2:
        case 3:
        case 4:
            return change_isr(node);
        case 5:
        case 6:
            return commit_data();
        case 7:
            return alter_min();
        case 8:
            node.controller.on_time(now_);
            return pump(node);
        default:
            deliver(node);
            return pump(node);
        }
    }
    /// Everybody lives and sees everything, until nothing changes any more.
    void heal() {
        for (const auto& node : nodes_) {
            if (!world_.image->is_live(node->id)) {
                toggle(*node);
            }
        }
        for (int i = 0; i < 2000; i++) {
            now_ = now_ + 30ms;
            for (const auto& node : nodes_) {
                while (node->seen < changes_.size()) {
                    deliver(*node);
                }
                node->controller.on_time(now_);
                pump(*node);
                while (!node->unsent.empty()) {
                    pump(*node);
                }
                deliver(*node);
            }
        }
        CHECK(std::count_if(nodes_.begin(), nodes_.end(),
                            [](const auto& node) { return node->controller.is_active(); }) == 1);
        for (const auto& entry : world_.image->topics_by_id) {
            for (const PartitionImage& partition : entry.second->partitions) {
                CHECK(partition.leader != kNoBroker);
            }
        }
    }
    uint64_t elections = 0;
    uint64_t elections_from_elr = 0;

private:
    void put(const port::StoreTransaction& transaction, Result<Revision>* answer = nullptr) {
        Result<port::StoreChange> change = world_.store.commit(transaction);
        if (answer != nullptr) {
            *answer =
                change ? Result<Revision>(change->revision) : Result<Revision>(change.error());
        }
        if (!change) {
            return;
        }
        const ImageRef before = world_.image;
        world_.apply(*change);
        changes_.push_back(*std::move(change));
        check(*before);
    }

    // A process ends and another one begins: all that it had under way is forgotten.
    void toggle(Node& node) {
        const bool is_live = world_.image->is_live(node.id);
        if (is_live) {
            port::StoreTransaction end;
            end.writes.push_back({live_key(node.id), std::nullopt});
            if (world_.image->controller.id == node.id) {
                end.writes.push_back({controller_key(), std::nullopt});
            }
            put(end);
            node.controller.set_willing(false, now_);
            return;
        }
        port::StoreTransaction begin;
        begin.writes.push_back({live_key(node.id), encode_live(topic_id(next_incarnation_++))});
        put(begin);
        node.controller.set_willing(true, now_);
    }

    void deliver(Node& node) {
        if (node.seen < changes_.size()) {
            Result<Replay::Step> step = node.replay.apply(changes_[node.seen++]);
            REQUIRE(step);
            node.image = step->image;
            node.controller.on_image(step->image, step->delta, now_);
        }
        for (Node::Waiting& waiting : std::exchange(node.unanswered, {})) {
            if (!waiting.result || *waiting.result <= node.image->revision) {
                node.controller.on_committed(waiting.batch, waiting.result, now_);
            } else {
                node.unanswered.push_back(waiting);
            }
        }
    }

    void pump(Node& node) {
        for (Controller::Commit& commit : node.controller.take_commits()) {
            node.unsent.push_back(std::move(commit));
        }
        if (!node.unsent.empty()) {
            const Controller::Commit commit = std::move(node.unsent.front());
            node.unsent.pop_front();
            Node::Waiting waiting{commit.batch, Revision{0}};
            put(commit.transaction, &waiting.result);
            node.unanswered.push_back(std::move(waiting));
        }
    }

    const TopicImage& random_topic(const Image& image) {
        return *image.topic(prng_.below(2) == 0 ? "a" : "b");
    }

    // A leader, as it sees the world, proposes any ISR; who is new holds all that is committed.
    void change_isr(Node& node) {
        const TopicImage& topic = random_topic(*node.image);
        const size_t index = prng_.below(topic.partitions.size());
        const PartitionImage& seen = topic.partitions[index];
        const PartitionKey key{topic.id, PartitionIndex(static_cast<int32_t>(index))};
        IsrProposal proposal{key, seen.leader_epoch, seen.partition_epoch, {}};
        for (const BrokerId broker : seen.replicas) {
            if (broker == node.id || prng_.below(3) != 0) {
                const BrokerImage* member = node.image->find_broker(broker);
                proposal.isr.push_back({broker, member->epoch});
            }
        }
        ChangeIsr change(node.id, {proposal});
        const port::StoreTransaction transaction = change.decide(*node.image, world_.random);
        if (transaction.writes.empty()) {
            return;
        }
        // They fetched before they were proposed; while they are, the leader counts them.
        Data& data = data_[key];
        Data caught_up = data;
        for (const IsrMember& member : proposal.isr) {
            caught_up.held[member.broker] = data.committed;
        }
        if (world_.image->partition(key)->mod_revision == seen.mod_revision) {
            data = caught_up;
        }
        put(transaction);
    }

    void commit_data() {
        const TopicImage& topic = random_topic(*world_.image);
        const size_t index = prng_.below(topic.partitions.size());
        const PartitionImage& partition = topic.partitions[index];
        if (!world_.image->is_live(partition.leader) || !partition.elr.empty() ||
            partition.isr.size() < min_isr(topic, partition)) {
            return; // the high watermark stands still
        }
        Data& data = data_[{topic.id, PartitionIndex(static_cast<int32_t>(index))}];
        data.committed++;
        for (const BrokerId broker : partition.isr) {
            data.held[broker] = data.committed;
        }
    }

    void alter_min() {
        if (prng_.below(10) != 0) {
            return;
        }
        put({{},
             {{topic_configs_key(world_.topic("b").id),
               encode_configs({{"min.insync.replicas", std::to_string(1 + prng_.below(3))}})}}});
    }

    void reassign() {
        const TopicImage& topic = random_topic(*world_.image);
        const size_t index = prng_.below(topic.partitions.size());
        const auto is_live = [&](BrokerId id) { return world_.image->is_live(id); };
        PartitionChange change(topic, topic.partitions[index]);
        if (prng_.below(4) == 0) {
            change.cancel_reassignment();
        } else {
            std::vector<BrokerId> target;
            for (int32_t id = 1; id <= 4; id++) {
                if (prng_.below(2) == 0) {
                    target.emplace_back(id);
                }
            }
            if (target.empty()) {
                return;
            }
            change.reassign(target);
        }
        change.elect(is_live);
        if (const auto next = change.result()) {
            const std::string key = partition_key(topic.id, static_cast<int32_t>(index));
            put({{{key, topic.partitions[index].mod_revision}}, {{key, encode_partition(*next)}}});
        }
    }

    void check(const Image& before) {
        for (const PartitionKey& key : world_.delta.partitions_changed) {
            const PartitionImage& was = *before.partition(key);
            const PartitionImage& is = *world_.image->partition(key);
            CHECK_FALSE(is.isr.empty());
            CHECK(is.partition_epoch == was.partition_epoch + 1);
            const bool is_new_term =
                is.leader != was.leader || is.replicas.size() < was.replicas.size();
            CHECK(is.leader_epoch >= was.leader_epoch);
            CHECK(is.leader_epoch.value() <= was.leader_epoch.value() + 1);
            CHECK((!is_new_term || is.leader_epoch > was.leader_epoch));
            for (const BrokerId broker : is.elr) {
                CHECK_FALSE(contains(is.isr, broker));
            }
            if (is.leader == kNoBroker) {
                continue;
            }
            CHECK(contains(is.isr, is.leader));
            if (is.leader != was.leader) {
                elections++;
                CHECK((contains(was.isr, is.leader) || contains(was.elr, is.leader)));
                elections_from_elr += contains(was.isr, is.leader) ? 0 : 1;
            }
            const Data& data = data_[key];
            for (const std::vector<BrokerId>& holders : {is.isr, is.elr}) {
                for (const BrokerId broker : holders) {
                    const auto held = data.held.find(broker);
                    CHECK((held == data.held.end() ? 0 : held->second) == data.committed);
                }
            }
        }
    }

    Prng prng_;
    ClusterWorld world_;
    std::vector<std::unique_ptr<Node>> nodes_;
    std::vector<port::StoreChange> changes_;
    std::map<PartitionKey, Data> data_;
    uint8_t next_incarnation_ = 10;
    MonoTime now_{1s};
};

} // namespace

TEST_CASE("controller: whatever dies and returns, who leads holds what is committed") {
    set_log_level(LogLevel::error);
    uint64_t elections = 0;
    uint64_t elections_from_elr = 0;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        CAPTURE(seed);
        RandomCluster cluster(seed);
        for (int i = 0; i < 3000; i++) {
            cluster.step();
        }
        cluster.heal();
        elections += cluster.elections;
        elections_from_elr += cluster.elections_from_elr;
    }
    set_log_level(LogLevel::info);
    MESSAGE("elections ", elections, ", from the ELR ", elections_from_elr);
    CHECK(elections > 1000);
    CHECK(elections_from_elr > 5);
}
