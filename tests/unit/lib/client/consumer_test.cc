// The consumer against a broker that is scripted step by step: where it goes on after a loss, when
// it fetches ahead, and what it tells of a fetch that is refused as a whole.
#include "lib/client/consumer.h"
#include "tests/unit/lib/client/fake_broker.h"

using namespace qtool;
using namespace qtool::client;

namespace {

std::vector<std::byte> batch_of(const std::string& value, int64_t offset) {
    protocol::BatchBuilder builder;
    REQUIRE(builder.append(std::nullopt, as_bytes(value), {}, 1000));
    auto bytes = builder.finish({});
    REQUIRE(bytes);
    protocol::patch_base_offset_and_epoch(*bytes, Offset(offset), LeaderEpoch(0));
    return *bytes;
}

/// A consumer that reads topic t from offset 5 of each partition: its first fetch is out.
struct World {
    MonoTime now = MonoTime{} + 1000s;
    Consumer consumer{config::ClientConfig{}, 1};
    FakeBroker broker{consumer.cluster()};
    Outbox out;

    explicit World(int32_t partition_count = 1) {
        broker.partition_count = partition_count;
        for (int i = 0; i < 4; i++) {
            REQUIRE(consumer.partition_count("t"));
            step(0ms);
        }
        std::vector<PartitionOffset> positions;
        for (int32_t i = 0; i < partition_count; i++) {
            positions.push_back({"t", i, 5});
        }
        consumer.assign(positions);
        step(0ms);
    }
    void step(Duration passed) {
        now += passed;
        for (int i = 0; i < 4; i++) {
            consumer.step(now, out);
            broker.apply(out, now);
        }
    }
};

} // namespace

TEST_CASE("consumer: after a lost connection it fetches from where its records end") {
    World world;
    REQUIRE(world.broker.fetched.size() == 1);
    CHECK(world.broker.fetched[0].offset == 5);
    const auto first = batch_of("five", 5);
    world.broker.answer_fetch(first, 7, world.now, world.out);
    world.broker.apply(world.out, world.now);
    world.step(0ms);
    std::vector<ConsumerRecord> records;
    REQUIRE(world.consumer.take_records(records));
    REQUIRE(records.size() == 1);
    CHECK(*records[0].value == "five");

    world.step(0ms);
    REQUIRE_FALSE(world.broker.fetched.empty()); // the next one is out when the connection breaks
    world.broker.is_up = false;
    world.broker.cut(world.now);
    for (int i = 0; i < 5; i++) {
        world.step(1s);
        REQUIRE(world.consumer.take_records(records));
        CHECK(records.empty());
    }
    world.broker.is_up = true;
    world.step(2s);
    world.step(2s);
    REQUIRE_FALSE(world.broker.fetched.empty());
    CHECK(world.broker.fetched[0].offset == 6);
    const auto second = batch_of("six", 6);
    world.broker.answer_fetch(second, 7, world.now, world.out);
    world.broker.apply(world.out, world.now);
    world.step(0ms);
    REQUIRE(world.consumer.take_records(records));
    REQUIRE(records.size() == 1);
    CHECK(*records[0].value == "six");
    CHECK(world.consumer.position("t", 0) == 7);
    CHECK(world.consumer.end_offset("t", 0) == 7);

    // Back to the start, while a fetch from the old position is out: its answer is dropped.
    world.step(0ms);
    REQUIRE_FALSE(world.broker.fetched.empty());
    CHECK(world.consumer.seek("t", 1, 0).error().code == Code::invalid_argument);
    CHECK(world.consumer.seek("t", 0, -1).error().code == Code::invalid_argument);
    REQUIRE(world.consumer.seek("t", 0, 5));
    CHECK(world.consumer.position("t", 0) == 5);
    world.broker.answer_fetch(batch_of("seven", 7), 8, world.now, world.out);
    world.broker.apply(world.out, world.now);
    world.step(0ms);
    REQUIRE(world.consumer.take_records(records));
    CHECK(records.empty());
    REQUIRE_FALSE(world.broker.fetched.empty());
    CHECK(world.broker.fetched[0].offset == 5);
}

TEST_CASE("consumer: no fetch leaves out a partition that is to be read first") {
    World world(2);
    const auto answer = [&](const std::string& value, int64_t offset) {
        REQUIRE(world.broker.fetched.size() == 1);
        CHECK(world.broker.fetched[0].offset == offset); // partition 0 is asked for, with the other
        CHECK(world.broker.fetched[0].partition_count == 2);
        const auto batch = batch_of(value, offset);
        world.broker.answer_fetch(batch, offset + 1, world.now, world.out);
        world.broker.apply(world.out, world.now);
        world.step(0ms);
    };
    answer("five", 5);
    answer("six", 6);
    CHECK(world.broker.fetched.empty()); // two answers wait; it would wait for partition 1 alone

    std::vector<ConsumerRecord> records;
    REQUIRE(world.consumer.take_records(records));
    REQUIRE(records.size() == 1);
    CHECK(*records[0].value == "five");
    world.step(0ms);
    CHECK(world.broker.fetched.empty()); // its records are still in use
    REQUIRE(world.consumer.take_records(records));
    REQUIRE(records.size() == 1);
    CHECK(*records[0].value == "six");
    world.step(0ms);
    answer("seven", 7);
}

TEST_CASE("consumer: a refused fetch is an error, a lost session is none") {
    using protocol::KafkaError;
    for (const KafkaError error :
         {KafkaError::cluster_authorization_failed, KafkaError::invalid_request,
          KafkaError::fetch_session_id_not_found, KafkaError::invalid_fetch_session_epoch}) {
        CAPTURE(static_cast<int>(error));
        World world;
        world.broker.refuse_fetch(error, world.now, world.out);
        world.broker.apply(world.out, world.now);
        world.step(2s);
        std::vector<ConsumerRecord> records;
        const Result<void> taken = world.consumer.take_records(records);
        if (protocol::is_retriable(error)) {
            CHECK(taken);
            CHECK(world.broker.fetched.size() == 1); // asked again
        } else {
            REQUIRE_FALSE(taken);
            CHECK(taken.error().detail.find("Fetch") != std::string::npos);
            CHECK(world.broker.fetched.empty());
        }
    }
}
