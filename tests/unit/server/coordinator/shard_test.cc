// Proves what a shard of the runtime makes of markers that others wrote into its log: before it
// appends records of its own its machine has replayed all that was there, over every segment roll,
// and each record exactly once. The log is a real one on a disk in memory.
#include "server/coordinator/runtime.h"
#include "server/storage/log_dirs.h"
#include "tests/unit/server/storage/log_fixture.h"

using namespace qtool;
using namespace qtool::coordinator;
using storage::test::kNowMs;
using storage::test::topic_id;
using storage::test::wall;

namespace {

constexpr CoreId kCore{0};
constexpr int32_t kSegmentBytes = 256; // three markers

struct FixedClock final : port::Clock {
    [[nodiscard]] MonoTime mono() const override { return MonoTime(std::chrono::seconds(1)); }
    [[nodiscard]] WallTime wall() const override { return storage::test::wall(kNowMs); }
};

struct FixedRandom final : port::Random {
    uint64_t next() override { return 4; }
};

// Replays into a list; each request appends one record with its body as the key and is answered.
class ListMachine final : public Machine {
public:
    explicit ListMachine(std::vector<std::string>& seen) : seen_(seen) {}

    Result<void> replay(const Record& record) override {
        seen_.push_back(std::to_string(record.offset.value()) + ":" +
                        std::string(as_text(record.key)));
        return {};
    }
    void replay_marker(const protocol::TransactionMarker& marker) override {
        seen_.push_back("marker " + std::to_string(marker.producer_id.value()));
    }
    void on_loaded(Host&) override { seen_.emplace_back("loaded"); }
    void on_request(const Request& request, Host& host) override {
        NewBatch batch;
        batch.records.push_back({{request.body.begin(), request.body.end()}, std::nullopt});
        REQUIRE(host.append(batch));
        host.answer(request.id, {});
    }
    [[nodiscard]] MonoTime next_due() const override { return kMonoNever; }
    void on_time(Host&) override {}

private:
    std::vector<std::string>& seen_;
};

struct Fixture {
    storage::test::MemoryDisk disk;
    FixedClock clock;
    FixedRandom random;
    metrics::CoreCounters counters;
    config::BrokerConfig config;
    std::shared_ptr<metadata::Image> image = std::make_shared<metadata::Image>();
    const PartitionKey key{topic_id(3), PartitionIndex(0)};
    std::unique_ptr<storage::LogDirs> dirs;
    std::unique_ptr<replica::Manager> manager;
    std::unique_ptr<Runtime> runtime;
    replica::Outbox out;
    std::vector<std::string> seen; // by the machine that runs

    Fixture() {
        set_log_sink([](LogLevel, std::string_view) {});
        auto topic = std::make_shared<metadata::TopicImage>();
        topic->name = metadata::kGroupTopic;
        topic->id = key.topic_id;
        topic->effective.segment_bytes = kSegmentBytes;
        auto& partition = topic->partitions.emplace_back();
        partition.replicas = partition.isr = {BrokerId(1)};
        partition.leader = BrokerId(1);
        image->topics_by_id[topic->id] = topic;
        image->topics_by_name[topic->name] = topic;
        start();
    }

    void start() {
        runtime.reset();
        manager.reset();
        dirs.reset();
        disk.kill();
        seen.clear();
        auto opened = storage::LogDirs::open(
            disk, {{"/data"}, BrokerId(1), -1, [] { return topic_id(100); }});
        REQUIRE(opened);
        dirs = *std::move(opened);
        REQUIRE(dirs->quarantine_unlisted([](const storage::PartitionName&) { return true; },
                                          [](const PartitionKey&) { return false; }));
        replica::Manager::Setup setup;
        setup.ports.id = kCore;
        setup.ports.clock = &clock;
        setup.ports.disk = &disk;
        setup.ports.random = &random;
        setup.self = BrokerId(1);
        setup.log_dirs = dirs.get();
        setup.counters = &counters;
        setup.is_mine = [](const PartitionKey&) { return true; };
        manager = std::make_unique<replica::Manager>(std::move(setup));
        manager->apply(*image, {}, out);

        Runtime::Setup of_runtime;
        of_runtime.machines[std::string(metadata::kGroupTopic)] = [this](PartitionIndex) {
            return std::make_unique<ListMachine>(seen);
        };
        of_runtime.partitions = manager.get();
        of_runtime.clock = &clock;
        of_runtime.random = &random;
        of_runtime.config = &config;
        of_runtime.self = BrokerId(1);
        of_runtime.is_mine = [](const PartitionKey&) { return true; };
        of_runtime.take_producer_id = [] { return std::nullopt; };
        of_runtime.counters = &counters;
        runtime = std::make_unique<Runtime>(std::move(of_runtime));
        runtime->apply(image, {});
        for (int steps = 0; seen.empty() || seen.back() != "loaded"; steps++) {
            REQUIRE(steps < 1000);
            runtime->on_progress(out);
        }
    }

    storage::Log& log() { return *manager->find(key)->log(); }
    void write_marker(int64_t producer) {
        protocol::TransactionMarker marker;
        marker.producer_id = ProducerId(producer);
        marker.producer_epoch = ProducerEpoch(0);
        marker.coordinator_epoch = 1;
        marker.type = protocol::ControlType::commit;
        REQUIRE(log().append_marker(marker, 0, LeaderEpoch(0), wall(kNowMs)));
    }
    void append(std::string_view text) {
        replica::PartitionRequest request;
        request.key = key;
        const ByteView body = as_bytes(text);
        request.op =
            replica::CoordinatorOp{0, 0, "test", "/", std::vector(body.begin(), body.end())};
        runtime->handle(request, kCore, out);
    }
};

} // namespace

TEST_CASE_FIXTURE(Fixture, "shard: an append reads on over every roll that markers made") {
    append("a");
    // No turn ends in between, so the machine has seen none of them when it appends.
    for (int64_t i = 1; i <= 20; i++) {
        write_marker(i);
    }
    append("b");
    std::vector<std::string> expected = {"loaded", "0:a"};
    for (int64_t i = 1; i <= 20; i++) {
        expected.push_back("marker " + std::to_string(i));
    }
    expected.emplace_back("21:b");
    CHECK(seen == expected);
    CHECK(log().log_end_offset() == Offset(22));

    // A machine that loads the log sees the same.
    start();
    expected.erase(expected.begin());
    expected.emplace_back("loaded");
    CHECK(seen == expected);
}

TEST_CASE_FIXTURE(Fixture, "shard: markers between turns are replayed once, in the order written") {
    std::vector<std::string> expected = {"loaded"};
    for (int64_t i = 0; i < 12; i++) {
        write_marker(100 + i);
        write_marker(200 + i);
        if (i % 3 == 0) {
            runtime->on_progress(out); // one step of reading, which may end with a segment
        }
        append(std::string(static_cast<size_t>(i % 5) * 20, 'k'));
        expected.push_back("marker " + std::to_string(100 + i));
        expected.push_back("marker " + std::to_string(200 + i));
        expected.push_back(std::to_string(i * 3 + 2) + ":" +
                           std::string(static_cast<size_t>(i % 5) * 20, 'k'));
    }
    CHECK(seen == expected);
}
