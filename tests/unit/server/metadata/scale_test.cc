// Measures, and does not judge, what 100 brokers with 200,000 partitions of three replicas cost the
// metadata of each broker: bytes in the store, memory and time of the image, of one change, of a
// fail-over. Proves on the way that all leaderships of the broker that died are elsewhere, and that
// a load gives what the changes gave. Not part of a run; server/metadata/SCALE.md has what it
// printed:
//   build/release/bin/unit_server_metadata --no-skip -tc='scale*'
#include "lib/base/log.h"
#include "server/metadata/controller.h"
#include "tests/unit/server/metadata/metadata_world.h"

#include <malloc.h>

#include <cstdio>
#include <ctime>

using namespace qtool;
using namespace qtool::metadata;
using namespace qtool::test;

namespace {

constexpr int32_t kBrokers = 100;
constexpr int32_t kPartitions = 200'000;

TopicId id_of(int32_t n) {
    TopicId id;
    id.bytes.fill(1);
    for (size_t i = 0; i < 4; i++) {
        id.bytes[i] = static_cast<uint8_t>(n >> (8 * i));
    }
    return id;
}

size_t heap_bytes() {
    return mallinfo2().uordblks;
}

class Watch {
public:
    [[nodiscard]] double ms() const {
        return 1000.0 * static_cast<double>(std::clock() - begun_) / CLOCKS_PER_SEC;
    }

private:
    std::clock_t begun_ = std::clock(); // of this process: others do not count
};

port::StoreTransaction topic_of(int32_t n, int32_t partitions) {
    port::StoreTransaction out;
    for (int32_t i = 0; i < partitions; i++) {
        PartitionImage partition;
        for (int32_t replica = 0; replica < 3; replica++) {
            // Neighbours by one, seven and so on, so that a broker shares partitions with many.
            partition.replicas.emplace_back(
                (n + i + replica * (1 + (n + i) / kBrokers % 33)) % kBrokers + 1);
        }
        partition.isr = partition.replicas;
        partition.leader = partition.replicas[0];
        out.writes.push_back({partition_key(id_of(n), i), encode_partition(partition)});
    }
    out.writes.push_back(
        {topic_key("topic-" + std::to_string(n)), encode_topic({id_of(n), partitions})});
    return out;
}

void measure(int32_t topics) {
    set_log_sink([](LogLevel, std::string_view) {});
    World world(kBrokers);
    for (int32_t n = 0; n < topics; n++) {
        REQUIRE(world.store.commit(topic_of(n, kPartitions / topics)));
    }
    const port::StoreSnapshot snapshot = world.store.snapshot();
    size_t bytes = 0;
    for (const port::StoreEntry& entry : snapshot.entries) {
        bytes += entry.key.size() + entry.value.size();
    }
    std::printf("%d topics: %zu keys, %.1f MB of keys and values\n", topics,
                snapshot.entries.size(), static_cast<double>(bytes) / 1e6);
    const size_t before = heap_bytes();
    const Watch load;
    world.image = world.replay.load(snapshot)->image;
    std::printf("  loaded in %.0f ms, image %.1f MB\n", load.ms(),
                static_cast<double>(heap_bytes() - before) / 1e6);

    // A leader's change of one ISR.
    constexpr int kChanges = 20;
    const Watch one;
    for (int i = 0; i < kChanges; i++) {
        PartitionImage next = *world.image->partition({id_of(i), PartitionIndex(0)});
        next.isr.pop_back();
        next.partition_epoch++;
        world.write({{partition_key(id_of(i), 0), encode_partition(next)}});
    }
    std::printf("  one change applied in %.2f ms\n", one.ms() / kChanges);

    const MonoTime now{1s};
    Controller controller{BrokerId(1)};
    size_t transactions = 0;
    size_t written = 0;
    size_t keys = 0;
    double applying_ms = 0;
    const auto settle = [&] {
        for (auto commits = controller.take_commits(); !commits.empty();
             commits = controller.take_commits()) {
            for (Controller::Commit& commit : commits) {
                transactions++;
                for (const port::StoreWrite& write : commit.transaction.writes) {
                    keys++;
                    written += write.key.size() + write.value.value_or("").size();
                }
                const Result<port::StoreChange> change = world.store.commit(commit.transaction);
                REQUIRE(change);
                const Watch apply;
                world.apply(*change);
                applying_ms += apply.ms();
                controller.on_image(world.image, world.delta, now);
                controller.on_committed(commit.batch, change->revision, now);
            }
        }
    };
    controller.set_willing(true, now);
    controller.on_image(world.image, world.delta, now);
    const Watch first;
    settle();
    std::printf("  a new controller looks at all in %.0f ms\n", first.ms());
    transactions = written = keys = 0;
    applying_ms = 0;
    const Watch fail_over;
    world.write({{live_key(BrokerId(50)), std::nullopt}});
    controller.on_image(world.image, world.delta, now);
    settle();
    std::printf(
        "  a broker dies: %zu keys in %zu transactions, %.1f MB; %.0f ms, of which images %.0f\n",
        keys, transactions, static_cast<double>(written) / 1e6, fail_over.ms(), applying_ms);
    for (const auto& [id, topic] : world.image->topics_by_id) {
        for (const PartitionImage& partition : topic->partitions) {
            REQUIRE(partition.leader != BrokerId(50));
            REQUIRE(partition.leader != kNoBroker);
        }
    }
    Replay again{world.config};
    const ImageRef loaded = again.load(world.store.snapshot())->image;
    REQUIRE(loaded->topics_by_id.size() == world.image->topics_by_id.size());
    for (const auto& [id, topic] : loaded->topics_by_id) {
        REQUIRE(world.image->topic(id)->partitions == topic->partitions);
    }
}

} // namespace

TEST_CASE("scale: 100 brokers, 200,000 partitions, by number of topics" * doctest::skip()) {
    for (const int32_t topics : {100, 2'000, 20'000}) {
        measure(topics);
    }
}
