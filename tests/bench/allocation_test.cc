// Proves: a produce and a fetch take a bounded number of heap allocations, whatever the number of
// their records. A whole broker runs within the process, and every allocation of its threads is
// counted (counting_allocator.h) over many equal requests. The bounds are what was counted plus a
// tenth: whoever adds an allocation to each request raises them on purpose.
#include "lib/protocol/batch_builder.h"
#include "lib/protocol/msg/create_topics.h"
#include "lib/protocol/msg/fetch.h"
#include "lib/protocol/msg/produce.h"
#include "tests/bench/bench_broker.h"
#include "tests/bench/counting_allocator.h"

#include <doctest/doctest.h>

#include <string>

using namespace qtool;
using bench::BenchBroker;

namespace {

constexpr int16_t kCreateVersion = 7;
constexpr int16_t kProduceVersion = 11;
constexpr int16_t kFetchVersion = 12; // the last one with names
constexpr int kWarmUpRequests = 100;
constexpr int kRequests = 1000;
constexpr int32_t kPartitionCount = 6;

// Allocations of one request with one partition, and for each further partition.
constexpr double kProduceMax = 16;
constexpr double kProducePartitionMax = 4;
constexpr double kSyncedProduceMax = 29; // over two cores
constexpr double kFetchMax = 26;
constexpr double kFetchPartitionMax = 8.5;
// The number of records makes no difference; what remains is an index entry each 4 KiB, say.
constexpr double kRecordsMax = 0.5;

void create_topic(BenchBroker& broker, std::string_view name) {
    protocol::CreateTopicsRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = name;
    topic.num_partitions = kPartitionCount;
    topic.replication_factor = 1;
    const auto bytes = broker.ask(request, kCreateVersion);
    const auto answer = protocol::CreateTopicsResponse::decode(bytes, kCreateVersion);
    REQUIRE(answer.has_value());
    REQUIRE(answer->topics.size() == 1);
    REQUIRE(answer->topics[0].error_code == 0);
}

std::vector<std::byte> make_batch(int record_count, size_t value_size) {
    protocol::BatchBuilder builder;
    const std::string value(value_size, 'v');
    for (int i = 0; i < record_count; i++) {
        REQUIRE(builder.append(std::nullopt, as_bytes(value), {}, 1'700'000'000'000).has_value());
    }
    auto batch = builder.finish({});
    REQUIRE(batch.has_value());
    return *std::move(batch);
}

/// The body of a request that appends one batch to each of the first partitions.
std::vector<std::byte> produce_body(std::string_view topic_name, int32_t partition_count,
                                    ByteView batch) {
    protocol::ProduceRequest request;
    request.acks = -1;
    request.timeout_ms = 30'000;
    auto& topic = request.topic_data.emplace_back();
    topic.name = topic_name;
    for (int32_t i = 0; i < partition_count; i++) {
        auto& partition = topic.partition_data.emplace_back();
        partition.index = i;
        partition.records = protocol::RecordsRef{batch};
    }
    ByteWriter body;
    request.encode(body, kProduceVersion);
    return body.take();
}

std::vector<std::byte> fetch_body(std::string_view topic_name, int32_t partition_count) {
    protocol::FetchRequest request;
    request.max_wait_ms = 100;
    request.min_bytes = 1;
    request.max_bytes = 16 << 20;
    auto& topic = request.topics.emplace_back();
    topic.topic = topic_name;
    for (int32_t i = 0; i < partition_count; i++) {
        auto& partition = topic.partitions.emplace_back();
        partition.partition = i;
        partition.partition_max_bytes = 1 << 20;
    }
    ByteWriter body;
    request.encode(body, kFetchVersion);
    return body.take();
}

/// Allocations of the broker for each of many equal requests.
double allocations_per_request(BenchBroker& broker, int16_t api_key, int16_t version,
                               ByteView body) {
    for (int i = 0; i < kWarmUpRequests; i++) {
        broker.exchange(api_key, version, body);
    }
    const uint64_t before = bench::allocation_count();
    for (int i = 0; i < kRequests; i++) {
        broker.exchange(api_key, version, body);
    }
    return static_cast<double>(bench::allocation_count() - before) / kRequests;
}

double of_produce(BenchBroker& broker, std::string_view topic, int32_t partition_count,
                  ByteView batch) {
    return allocations_per_request(broker, protocol::ProduceRequest::kApiKey, kProduceVersion,
                                   produce_body(topic, partition_count, batch));
}

} // namespace

TEST_CASE("allocations: a produce takes no more with many records than with one") {
    bench::leave_thread_uncounted();
    BenchBroker broker(1, {"write.caching=true"});
    create_topic(broker, "load");
    const double one = of_produce(broker, "load", 1, make_batch(1, 10'000));
    const double many = of_produce(broker, "load", 1, make_batch(500, 10));
    MESSAGE("a produce of one record: " << one << ", of 500: " << many);
    CHECK(one <= kProduceMax);
    CHECK(many <= one + kRecordsMax);
}

TEST_CASE("allocations: a produce takes a bounded number for each further partition") {
    bench::leave_thread_uncounted();
    BenchBroker broker(1, {"write.caching=true"});
    create_topic(broker, "load");
    const double one = of_produce(broker, "load", 1, make_batch(10, 100));
    const double six = of_produce(broker, "load", kPartitionCount, make_batch(10, 100));
    const double each = (six - one) / (kPartitionCount - 1);
    MESSAGE("a produce of one partition: " << one << ", each further one: " << each);
    CHECK(each <= kProducePartitionMax);
}

TEST_CASE("allocations: a produce that waits for the disk") {
    bench::leave_thread_uncounted();
    BenchBroker broker(2, {});
    create_topic(broker, "load");
    const double one = of_produce(broker, "load", 1, make_batch(1, 100));
    const double many = of_produce(broker, "load", 1, make_batch(500, 10));
    MESSAGE("a synced produce of one record: " << one << ", of 500: " << many);
    CHECK(one <= kSyncedProduceMax);
    CHECK(many <= one + kRecordsMax);
}

TEST_CASE("allocations: a fetch takes no more with many records and batches than with one") {
    bench::leave_thread_uncounted();
    BenchBroker broker(1, {"write.caching=true"});
    create_topic(broker, "one");
    create_topic(broker, "many");
    broker.exchange(protocol::ProduceRequest::kApiKey, kProduceVersion,
                    produce_body("one", kPartitionCount, make_batch(1, 100)));
    for (int i = 0; i < 50; i++) {
        broker.exchange(protocol::ProduceRequest::kApiKey, kProduceVersion,
                        produce_body("many", kPartitionCount, make_batch(100, 10)));
    }
    const auto of_fetch = [&](std::string_view topic, int32_t partition_count) {
        return allocations_per_request(broker, protocol::FetchRequest::kApiKey, kFetchVersion,
                                       fetch_body(topic, partition_count));
    };
    const double one = of_fetch("one", 1);
    const double many = of_fetch("many", 1);
    const double six = of_fetch("many", kPartitionCount);
    const double each = (six - many) / (kPartitionCount - 1);
    MESSAGE("a fetch of one record: " << one << ", of 5,000 in 50 batches: " << many
                                      << ", each further partition: " << each);
    CHECK(one <= kFetchMax);
    CHECK(many <= one + kRecordsMax);
    CHECK(each <= kFetchPartitionMax);
}
