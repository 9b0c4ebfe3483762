// The producer against a broker that is scripted step by step: what is sent again, under which
// number, and what fails rather than being written twice.
#include "lib/client/producer.h"
#include "tests/unit/lib/client/fake_broker.h"

using namespace qtool;
using namespace qtool::client;
using protocol::KafkaError;

namespace {

constexpr MonoTime kStart = MonoTime{} + 1000s;

config::ClientConfig small_config() {
    config::ClientConfig config;
    config.linger_ms = 0;
    config.batch_size_bytes = 100; // a batch for each record of some length
    config.delivery_timeout_ms = 60'000;
    return config;
}

struct World {
    explicit World(const config::ClientConfig& config = small_config())
        : producer(config, 1),
          broker(producer.cluster()) {}

    void step() {
        for (int i = 0; i < 4; i++) {
            producer.step(now, out);
            broker.apply(out, now);
        }
        for (DeliveredBatch& batch : producer.take_deliveries()) {
            for (const uint64_t tag : batch.tags) {
                log.push_back(std::to_string(tag) + (batch.result ? "=" : "!") +
                              (batch.result ? std::to_string(batch.base_offset)
                                            : std::string(to_string(batch.result.error().code))));
            }
            if (!batch.result) {
                details.push_back(batch.result.error().detail);
            }
        }
    }
    /// Backoffs pass.
    void wait(Duration duration = 2s) {
        now += duration;
        step();
    }
    Producer::Take add(const std::string& value, uint64_t tag) {
        for (int i = 0; i < 8; i++) {
            const RecordParts parts{std::nullopt, as_bytes(value), {}, 1000};
            const auto take = producer.add("t", std::nullopt, parts, tag, now);
            REQUIRE(take);
            if (*take != Producer::Take::no_metadata) {
                return *take;
            }
            step();
        }
        FAIL("no metadata");
        return Producer::Take::no_metadata;
    }
    /// A first record is written, sequence 0 at offset 0: from then on several batches may be in
    /// flight. Leaves no trace in the log of deliveries.
    void introduce() {
        add("z" + std::string(60, '.'), 99);
        step();
        answer(KafkaError::none, 0);
        CHECK(delivered() == "99=0");
    }
    /// Each in a batch of its own; all in flight, at most five, if introduce() went before.
    void send(const std::vector<std::string>& values) {
        for (const std::string& value : values) {
            add(value + std::string(60, '.'), next_tag++);
            step();
        }
    }
    void answer(KafkaError error, int64_t base_offset = -1) {
        broker.answer(error, base_offset, now, out);
        broker.apply(out, now);
        step();
    }
    [[nodiscard]] std::string in_flight() const {
        std::string text;
        for (const auto& one : broker.produced) {
            text += (text.empty() ? "" : " ");
            for (const std::string& value : one.values) {
                text += value.substr(0, 1);
            }
            text += ":" + std::to_string(one.batch.producer_epoch.value()) + "/" +
                    std::to_string(one.batch.base_sequence);
        }
        return text;
    }
    std::string delivered() {
        std::string text;
        for (const std::string& one : std::exchange(log, {})) {
            text += (text.empty() ? "" : " ") + one;
        }
        return text;
    }

    MonoTime now = kStart;
    Producer producer;
    FakeBroker broker;
    Outbox out;
    uint64_t next_tag = 0;
    std::vector<std::string> log; // tag=offset or tag!error
    std::vector<std::string> details;
};

} // namespace

TEST_CASE("producer: after a lost connection all goes again, in order, under the same numbers") {
    World world;
    world.introduce();
    world.send({"a", "b", "c"});
    CHECK(world.in_flight() == "a:0/1 b:0/2 c:0/3");
    world.broker.cut(world.now);
    world.step();
    CHECK(world.in_flight().empty());
    world.wait();
    CHECK(world.in_flight() == "a:0/1"); // alone: what is behind it must not pass it
    world.answer(KafkaError::duplicate_sequence_number);
    CHECK(world.in_flight() == "b:0/2");
    world.answer(KafkaError::none, 2);
    world.answer(KafkaError::none, 3);
    CHECK(world.delivered() == "0=-1 1=2 2=3");
}

TEST_CASE("producer: a leader that has taken nothing yet gets one batch at a time") {
    World world;
    world.send({"a", "b", "c"});
    // It would take b as the first of a producer that it does not know, and then never a.
    CHECK(world.in_flight() == "a:0/0");
    world.answer(KafkaError::unknown_topic_id);
    CHECK(world.in_flight().empty());
    world.wait();
    CHECK(world.in_flight() == "a:0/0");
    world.answer(KafkaError::not_enough_replicas);
    CHECK(world.in_flight().empty());
    world.wait();
    CHECK(world.in_flight() == "a:0/0");
    world.answer(KafkaError::none, 0);
    CHECK(world.in_flight() == "b:0/1 c:0/2");
    world.answer(KafkaError::none, 1);
    world.answer(KafkaError::none, 2);
    CHECK(world.delivered() == "0=0 1=1 2=2");
}

TEST_CASE("producer: without sequences nothing waits for the first batch") {
    config::ClientConfig config = small_config();
    config.enable_idempotence = false;
    World world(config);
    world.send({"a", "b"});
    CHECK(world.in_flight() == "a:-1/-1 b:-1/-1");
}

TEST_CASE("producer: a new leader gets nothing before the old one has answered") {
    World world;
    world.send({"a"});
    world.broker.leader = 2;
    world.producer.cluster().metadata().refresh_soon(world.now);
    world.wait();
    world.send({"b", "c"});
    // It may not know the producer, and would take b as the first of it.
    CHECK(world.in_flight() == "a:0/0");
    for (int i = 0; i < 2; i++) { // the second time the new leader is known
        world.answer(KafkaError::not_leader_or_follower);
        world.wait();
        CHECK(world.in_flight() == "a:0/0");
    }
    world.answer(KafkaError::none, 0);
    CHECK(world.in_flight() == "b:0/1 c:0/2");
    world.answer(KafkaError::none, 1);
    world.answer(KafkaError::none, 2);
    CHECK(world.delivered() == "0=0 1=1 2=2");
}

TEST_CASE("producer: a record that is too large takes no sequence from those behind it") {
    World world;
    world.introduce();
    world.send({"a", "b", "c"});
    world.answer(KafkaError::message_too_large);
    CHECK(world.delivered() == "0!message_too_large");
    world.answer(KafkaError::out_of_order_sequence_number);
    CHECK(world.in_flight() == "c:0/3");
    world.answer(KafkaError::out_of_order_sequence_number);
    world.wait();
    CHECK(world.in_flight() == "b:1/0");
    world.answer(KafkaError::none, 1);
    world.answer(KafkaError::none, 2);
    CHECK(world.delivered() == "1=1 2=2");
    world.send({"d"});
    CHECK(world.in_flight() == "d:1/2");
}

TEST_CASE("producer: a batch that is too large is split, and its halves take its place") {
    config::ClientConfig config = small_config();
    config.batch_size_bytes = 1000;
    config.linger_ms = 10;
    World world(config);
    world.add("z", 99);
    world.wait(10ms);
    world.answer(KafkaError::none, 0); // from here on several may be in flight
    CHECK(world.delivered() == "99=0");
    world.add("a", 0);
    world.add("b", 1);
    world.wait(10ms);
    world.add("c", 2);
    world.wait(10ms);
    CHECK(world.in_flight() == "ab:0/1 c:0/3");
    world.answer(KafkaError::message_too_large);
    CHECK(world.in_flight() == "c:0/3");
    world.answer(KafkaError::out_of_order_sequence_number);
    CHECK(world.in_flight() == "a:1/0");
    world.answer(KafkaError::none, 1);
    CHECK(world.in_flight() == "b:1/1");
    world.answer(KafkaError::none, 2);
    world.wait();
    CHECK(world.in_flight() == "c:1/2");
    world.answer(KafkaError::none, 3);
    CHECK(world.delivered() == "0=1 1=2 2=3");
}

TEST_CASE("producer: behind a gap a batch that may be written fails, one refused goes again") {
    World world;
    world.introduce();
    world.send({"a", "b"});
    world.broker.cut(world.now); // both may be written
    world.step();
    world.wait();
    CHECK(world.in_flight() == "a:0/1");
    world.send({"c"});
    world.answer(KafkaError::invalid_record); // "a" is given up: "b" would need another number
    CHECK(world.delivered() == "0!invalid_record 1!timed_out");
    REQUIRE(world.details.size() == 2);
    CHECK(world.details[0].find("not known") != std::string::npos);
    CHECK(world.details[1].find("not known") != std::string::npos);
    CHECK(world.in_flight() == "c:1/0"); // never sent before
    world.answer(KafkaError::none, 5);
    CHECK(world.delivered() == "2=5");
}

TEST_CASE("producer: in front of a gap a batch is tried again until it is known to be written") {
    World world;
    world.introduce();
    world.send({"a", "b", "c"});
    world.answer(KafkaError::request_timed_out);
    world.answer(KafkaError::message_too_large);
    CHECK(world.delivered() == "1!message_too_large");
    world.answer(KafkaError::out_of_order_sequence_number);
    world.wait();
    CHECK(world.in_flight() == "a:0/1"); // its own number still, and nothing else
    world.answer(KafkaError::none, 1);
    CHECK(world.in_flight() == "c:1/0");
    world.answer(KafkaError::none, 2);
    CHECK(world.delivered() == "0=1 2=2");
}

TEST_CASE("producer: a broker that forgot the producer gets what it never wrote, not the rest") {
    World world;
    world.send({"a"});
    world.answer(KafkaError::unknown_producer_id);
    world.wait();
    CHECK(world.in_flight() == "a:1/0");
    world.broker.cut(world.now);
    world.step();
    world.wait();
    world.answer(KafkaError::unknown_producer_id);
    CHECK(world.delivered() == "0!timed_out");
    CHECK(world.details.back().find("not known") != std::string::npos);
}

TEST_CASE("producer: delivery.timeout.ms ends what waits, what is behind it and what is open") {
    config::ClientConfig config = small_config();
    config.linger_ms = 1'000'000; // longer than the timeout: bounded by it
    World world(config);
    world.send({"a"});
    CHECK(world.in_flight() == "a:0/0");
    world.broker.is_up = false;
    world.broker.cut(world.now);
    world.wait(1s);
    world.send({"b"}); // closed, never sent
    world.wait(1s);
    world.add("c", 2); // stays open
    world.next_tag = 3;
    world.wait(58s);
    CHECK(world.delivered() == "0!timed_out");
    CHECK(world.details[0].find("not known") != std::string::npos);
    world.wait(1s);
    CHECK(world.delivered() == "1!timed_out");
    CHECK(world.details[1].find("not known") == std::string::npos);
    world.wait(1s);
    CHECK(world.delivered() == "2!timed_out");
    CHECK(world.producer.undelivered_count() == 0);
    world.broker.is_up = true;
    world.wait(1s);
    world.send({"d"});
    world.producer.set_flushing(true);
    world.wait();
    CHECK(world.in_flight() == "d:1/0");
}

TEST_CASE("producer: a broker that is not there yet is waited for") {
    World world;
    world.broker.is_up = false;
    const RecordParts parts{std::nullopt, as_bytes("a"), {}, 1000};
    for (int i = 0; i < 10; i++) {
        const auto take = world.producer.add("t", std::nullopt, parts, 0, world.now);
        REQUIRE(take);
        CHECK(*take == Producer::Take::no_metadata);
        CHECK(world.producer.next_due(world.now) < world.now + 2s); // sleeps, and wakes by itself
        world.wait(1s);
    }
    CHECK(world.broker.connect_count >= 5);
    world.broker.is_up = true;
    world.wait();
    CHECK(world.add("a", 0) == Producer::Take::taken);
    world.step();
    CHECK(world.in_flight() == "a:0/0");
}

TEST_CASE("producer: without a leader it goes on asking, whatever wakes it in between") {
    config::ClientConfig config = small_config();
    config.delivery_timeout_ms = 600'000;
    World world(config);
    world.send({"a"});
    world.answer(KafkaError::none, 0);
    world.broker.leader = -1;
    world.producer.cluster().metadata().refresh_soon(world.now);
    world.wait();
    world.send({"b"});
    for (int i = 0; i < 200; i++) {
        CAPTURE(i);
        world.now += 1s; // about the backoff
        world.producer.step(world.now, world.out);
        if (world.out.writes.empty()) { // no answer will wake it
            REQUIRE(world.producer.next_due(world.now) < world.now + 2s);
        }
        world.broker.apply(world.out, world.now);
    }
    CHECK(world.in_flight().empty());
    world.broker.leader = 1;
    world.wait();
    world.wait();
    CHECK(world.in_flight() == "b:0/1");
}

TEST_CASE("producer: a topic is given up after answers that it does not exist, not in silence") {
    World world;
    const RecordParts parts{std::nullopt, as_bytes("a"), {}, 1000};
    const auto take = [&] {
        const auto taken = world.producer.add("t", std::nullopt, parts, 0, world.now);
        REQUIRE(taken);
        return *taken;
    };
    world.broker.topic_error = KafkaError::unknown_topic_or_partition;
    CHECK(take() == Producer::Take::no_metadata);
    world.step();
    SUBCASE("silence, then it is there") {
        world.broker.cut(world.now);
        world.broker.is_up = false;
        world.step();
        for (int i = 0; i < 20; i++) {
            world.wait(1s);
            CHECK(take() == Producer::Take::no_metadata);
        }
        world.broker.is_up = true;
        world.broker.topic_error = KafkaError::none;
        world.wait();
        CHECK(take() == Producer::Take::taken);
    }
    SUBCASE("answers, again and again") {
        for (int i = 0; i < 3; i++) {
            world.wait();
            CHECK(take() == (i < 2 ? Producer::Take::no_metadata : Producer::Take::closed_batch));
        }
        world.step();
        CHECK(world.delivered() == "0!unknown_topic");
    }
}

TEST_CASE("producer: buffer.memory bounds what is taken; a delivery makes room") {
    config::ClientConfig config = small_config();
    config.buffer_memory_bytes = 1000;
    World world(config);
    const std::string value(60, 'v');
    uint64_t taken = 0;
    while (world.add(value, taken) != Producer::Take::full) {
        taken++;
        REQUIRE(taken < 100);
    }
    CHECK(taken >= 5);
    CHECK(world.producer.undelivered_count() == taken);
    world.step();
    world.answer(KafkaError::none, 0);
    CHECK(world.add(value, taken) != Producer::Take::full);
}

TEST_CASE("producer: an answer about something else than what was sent harms nothing") {
    World world;
    world.send({"a"});
    world.broker.produced.front().partition = 9;
    world.answer(KafkaError::none, 0); // leaves out partition 0
    world.wait();
    CHECK(world.in_flight() == "a:0/0");
    world.answer(KafkaError::none, 0);
    CHECK(world.delivered() == "0=0");
}
