// Proves what the manager of a core does for replication around its partitions: it fetches for
// followers from brokers that live and stops when they do not, asks for ISRs, takes partitions away
// that were reassigned, and confirms nothing when the session with the metadata store is over.
#include "lib/protocol/msg/fetch.h"
#include "tests/unit/server/replica/manager_world.h"

using namespace qtool;
using namespace qtool::replica;
using namespace qtool::replica::test;
using storage::test::make_batch;

namespace {

constexpr CoreId kCore{0};

struct Fixture : ManagerWorld {
    MonoTime session_end = kMonoNever;

    Fixture() : ManagerWorld(2) {
        reserve_bytes = -1;
        for (const int id : {1, 2}) { // one partition is led, one followed
            metadata::PartitionImage& partition = topic.partitions[static_cast<size_t>(id - 1)];
            partition.replicas = partition.isr = {BrokerId(1), BrokerId(2)};
            partition.leader = BrokerId(id);
            metadata::BrokerImage broker;
            broker.id = BrokerId(id);
            broker.epoch = Revision(100 + id);
            image.brokers[broker.id] = broker;
        }
        Manager::Setup setup;
        setup.ports.id = kCore;
        setup.is_known = [this](const PartitionKey& key) {
            return key.topic_id == topic.id && key.index.value() < 2;
        };
        setup.session_valid_until = [this] { return session_end; };
        start(std::move(setup));
    }

    void publish_topic() {
        metadata::Delta delta;
        delta.topics_changed = {topic.id};
        publish(delta);
    }
    void publish_brokers() {
        metadata::Delta delta;
        delta.brokers_changed = {BrokerId(2)};
        publish(delta);
    }
    void ask(int index, PartitionOp op) {
        PartitionRequest request;
        request.key = key(index);
        request.op = std::move(op);
        manager->handle(request, kCore, out);
    }
    std::string last_answer() {
        if (out.answers.empty()) {
            return "none";
        }
        const auto& result = out.answers.back().reply.result;
        std::string text = result ? "ok" : std::string(to_string(result.error().code));
        out.answers.clear();
        return text;
    }
    std::string produce(int index) {
        std::vector<std::byte> batch = make_batch();
        ask(index, AppendOp{batch, -1, clock.mono() + 10s, 0, 0});
        return last_answer();
    }
    void fetched_by_2(int64_t offset) {
        ReadOp op;
        op.fetch_offset = Offset(offset);
        op.replica.emplace();
        op.replica->id = BrokerId(2);
        op.replica->broker_epoch = Revision(102);
        ask(0, op);
        out.answers.pop_back();
    }
};

} // namespace

TEST_CASE_FIXTURE(Fixture, "manager: it fetches what a live broker leads, with its own epoch") {
    auto fetches = manager->take_replica_fetches();
    REQUIRE(fetches.size() == 1);
    CHECK(fetches[0].leader == BrokerId(2));
    const auto request = protocol::FetchRequest::decode(fetches[0].body, kReplicaFetchVersion);
    REQUIRE(request);
    CHECK(request->replica_state.replica_id == 1);
    CHECK(request->replica_state.replica_epoch == 101);
    REQUIRE(request->topics.size() == 1);
    REQUIRE(request->topics[0].partitions.size() == 1);
    CHECK(request->topics[0].partitions[0].partition == 1);
    CHECK(manager->take_replica_fetches().empty());
    manager->on_replica_fetch_answer(BrokerId(2), Error(Code::connection_failed), out);
    CHECK(manager->next_due() <= clock.mono() + 20ms);
    clock.passed += 20ms;

    image.brokers[BrokerId(2)].epoch = Revision(0);
    publish_brokers();
    CHECK(manager->take_replica_fetches().empty());
    image.brokers[BrokerId(2)].epoch = Revision(200);
    publish_brokers();
    CHECK(manager->take_replica_fetches().size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "manager: a follower goes on when its full disk has room again") {
    memory.free_space = {0, 1 << 30};
    clock.passed += 2s;
    CHECK(produce(0) == "storage_full");
    topic.partitions[0].leader = BrokerId(2); // and nobody produces here any more
    topic.partitions[0].leader_epoch = LeaderEpoch(1);
    topic.partitions[0].partition_epoch = 1;
    publish_topic();
    const std::vector<std::byte> batch = make_batch();
    const auto fetched = [&] {
        REQUIRE(manager->take_replica_fetches().size() == 1);
        protocol::FetchResponse response;
        auto& answered = response.responses.emplace_back();
        answered.topic_id = topic.id;
        auto& partition = answered.partitions.emplace_back();
        partition.partition_index = 0;
        partition.high_watermark = 0;
        partition.log_start_offset = 0;
        partition.records = protocol::RecordsRef{batch, 0};
        ByteWriter writer;
        response.encode(writer, kReplicaFetchVersion);
        manager->on_replica_fetch_answer(BrokerId(2), writer.view(), out);
        clock.passed += 2s;
        return manager->find(key(0))->log_end();
    };
    CHECK(fetched() == Offset(0));
    memory.free_space = {1 << 30, 1 << 30};
    CHECK(fetched() == Offset(1));
}

TEST_CASE_FIXTURE(Fixture, "manager: a partition that is led here now is fetched no longer") {
    REQUIRE(manager->take_replica_fetches().size() == 1);
    topic.partitions[1].leader = BrokerId(1);
    topic.partitions[1].leader_epoch = LeaderEpoch(1);
    topic.partitions[1].partition_epoch = 1;
    publish_topic();
    manager->on_replica_fetch_answer(BrokerId(2), Error(Code::connection_failed), out);
    clock.passed += 1s;
    CHECK(manager->take_replica_fetches().empty());
    CHECK(produce(1) == "none"); // parked
}

TEST_CASE_FIXTURE(Fixture, "manager: ISRs are asked for after fetches and by time") {
    CHECK(manager->take_isr_proposals().empty());
    CHECK(produce(0) == "none");
    clock.passed += 31s;
    CHECK(manager->next_due() <= clock.mono());
    manager->on_time(out);
    auto proposals = manager->take_isr_proposals();
    REQUIRE(proposals.size() == 1);
    CHECK(proposals[0].key == key(0));
    CHECK(describe(proposals[0]) == "1");
    manager->on_isr_proposal_ended(key(0), LeaderEpoch(0), 0, {}, out);
    topic.partitions[0].isr = {BrokerId(1)};
    topic.partitions[0].partition_epoch = 1;
    publish_topic();
    fetched_by_2(1);
    proposals = manager->take_isr_proposals();
    REQUIRE(proposals.size() == 1);
    CHECK(describe(proposals[0]) == "1,2");
    CHECK(proposals[0].isr[1].broker_epoch == Revision(102));
    CHECK(counters.isr_shrinks.value() == 1);
    CHECK(counters.isr_expands.value() == 1);
}

TEST_CASE_FIXTURE(Fixture, "manager: without a session nothing is confirmed, and reads go on") {
    CHECK(produce(0) == "none");
    session_end = clock.mono();
    CHECK(produce(0) == "not_leader");
    clock.passed += 100ms;
    manager->on_time(out);
    CHECK(last_answer() == "not_leader"); // what was parked
    ask(0, ReadOp{Offset(0), 1000, Isolation::read_uncommitted});
    CHECK(last_answer() == "ok");
    ask(0, ReadOp{Offset(50), 1000, Isolation::read_uncommitted});
    CHECK(last_answer() == "not_leader"); // another leader may have that offset by now
    CHECK(manager->take_isr_proposals().empty());
    session_end = clock.mono() + 10s;
    CHECK(produce(0) == "none");
}

TEST_CASE_FIXTURE(Fixture, "manager: a partition that is elsewhere is not led here, its files go") {
    CHECK(produce(0) == "none");
    CHECK(memory.has("/data/t-0"));
    topic.partitions[0].replicas = topic.partitions[0].isr = {BrokerId(2)};
    topic.partitions[0].leader = BrokerId(2);
    topic.partitions[0].leader_epoch = LeaderEpoch(1);
    topic.partitions[0].partition_epoch = 1;
    publish_topic();
    CHECK(last_answer() == "not_leader"); // what was parked
    CHECK_FALSE(memory.has("/data/t-0"));
    CHECK(produce(0) == "not_leader");
    CHECK(produce(7) == "unknown_partition");
    CHECK(manager->find(key(0)) == nullptr);
    CHECK(manager->take_replica_fetches().size() == 1); // the other one
}

TEST_CASE_FIXTURE(Fixture, "manager: a leader whose log breaks wants somebody else to lead") {
    CHECK(produce(0) == "none");
    manager->find(key(0))->log()->fail(Error(Code::storage_io, "broken"));
    CHECK(produce(0) == "storage_offline");
    CHECK(manager->find(key(0))->is_offline());
    const auto proposals = manager->take_isr_proposals();
    REQUIRE(proposals.size() == 1);
    CHECK(describe(proposals[0]) == "2");
}

TEST_CASE_FIXTURE(Fixture,
                  "manager: damage is found by reading again, and the replica begins anew") {
    CHECK(produce(0) == "none");
    storage::Log& log = *manager->find(key(0))->log();
    const auto work = log.begin_flush();
    REQUIRE(work);
    REQUIRE(*work);
    REQUIRE(log.finish_flush(**work));
    memory.bytes("/data/t-0/00000000000000000000.log").at(70) ^= std::byte{1};
    fetched_by_2(0);
    clock.passed += 120s; // the next pass
    manager->on_time(out);
    REQUIRE(manager->find(key(0))->is_offline());
    const auto proposals = manager->take_isr_proposals();
    REQUIRE(proposals.size() == 1);
    CHECK(proposals[0].is_copy_lost);
    manager->on_copy_loss_ended(key(0), {});
    CHECK(manager->find(key(0))->is_offline());
    topic.partitions[0].isr = {BrokerId(2)};
    topic.partitions[0].leader = BrokerId(2);
    topic.partitions[0].leader_epoch = LeaderEpoch(1);
    topic.partitions[0].partition_epoch = 1;
    publish_topic();
    CHECK_FALSE(manager->find(key(0))->is_offline());
    CHECK(manager->find(key(0))->log_end() == Offset(0));
    const auto fetches = manager->take_replica_fetches();
    REQUIRE(fetches.size() == 1);
    const auto request = protocol::FetchRequest::decode(fetches[0].body, kReplicaFetchVersion);
    REQUIRE(request);
    REQUIRE(request->topics.size() == 1);
    CHECK(request->topics[0].partitions.size() == 2);
}
