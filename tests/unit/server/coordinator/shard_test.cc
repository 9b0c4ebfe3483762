// Proves what a shard of the runtime makes of markers that others wrote into its log: before it
// appends records of its own its machine has replayed all that was there, over every segment roll,
// and each record exactly once. When descriptors are short it waits, and goes on where it was. The
// log is a real one on a disk in memory.
#include "server/coordinator/runtime.h"
#include "server/storage/log_dirs.h"
#include "tests/unit/server/fixed_random.h"
#include "tests/unit/server/replica/faulty_disk.h"
#include "tests/unit/server/storage/log_fixture.h"

using namespace qtool;
using namespace qtool::coordinator;
using storage::test::kNowMs;
using storage::test::topic_id;
using storage::test::wall;

namespace {

constexpr CoreId kCore{0};
constexpr int32_t kSegmentBytes = 256; // three markers

struct StepClock final : port::Clock {
    Duration passed{};
    [[nodiscard]] MonoTime mono() const override { return MonoTime(1s) + passed; }
    [[nodiscard]] WallTime wall() const override { return storage::test::wall(kNowMs); }
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
        if (const Result<void> appended = host.append(batch); !appended) {
            seen_.push_back("refused " + std::to_string(static_cast<int>(appended.error().code)));
        }
        host.answer(request.id, {});
    }
    [[nodiscard]] MonoTime next_due() const override { return kMonoNever; }
    void on_time(Host&) override {}

private:
    std::vector<std::string>& seen_;
};

struct Fixture {
    storage::test::MemoryDisk disk;
    replica::test::FaultyDisk faulty{disk};
    uint64_t next_dir_id = 100;
    StepClock clock;
    port::test::FixedRandom random;
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
        load();
    }

    void start() {
        runtime.reset();
        manager.reset();
        dirs.reset();
        disk.kill();
        seen.clear();
        auto opened = storage::LogDirs::open(faulty, {{"/data", "/more"}, BrokerId(1), -1, [this] {
                                                          return topic_id(next_dir_id++);
                                                      }});
        REQUIRE(opened);
        dirs = *std::move(opened);
        REQUIRE(dirs->quarantine_unlisted([](const storage::PartitionName&) { return true; },
                                          [](const PartitionKey&) { return false; }));
        replica::Manager::Setup setup;
        setup.ports.id = kCore;
        setup.ports.clock = &clock;
        setup.ports.disk = &faulty;
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
    }
    void load() {
        for (int steps = 0; seen.empty() || seen.back() != "loaded"; steps++) {
            REQUIRE(steps < 1000);
            step();
        }
    }
    /// The core's turn, and a little time.
    void step() {
        runtime->on_progress(out);
        clock.passed += 10ms;
        runtime->on_time(out);
    }
    void take_descriptors() {
        log().close_sealed_files();
        faulty.kind = replica::test::Injected::no_descriptor;
        faulty.fail_at = faulty.calls;
        faulty.is_lasting = true;
        faulty.was_hit = false;
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
    load();
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

TEST_CASE_FIXTURE(Fixture, "shard: without descriptors it goes on loading when there are some") {
    std::vector<std::string> expected;
    for (int64_t i = 1; i <= 20; i++) {
        write_marker(i);
        expected.push_back("marker " + std::to_string(i));
    }
    start();
    take_descriptors();
    for (int i = 0; i < 100; i++) {
        step();
    }
    REQUIRE(faulty.was_hit);
    CHECK(seen.size() < expected.size());
    out = {};
    append("early");
    REQUIRE(out.answers.size() == 1);
    CHECK(out.answers[0].reply.result.error().code == Code::coordinator_loading);

    faulty.fail_at.reset();
    load();
    expected.emplace_back("loaded");
    CHECK(seen == expected);
    append("a");
    CHECK(seen.back() == "20:a");
}

TEST_CASE_FIXTURE(Fixture, "shard: without descriptors an append is refused, the next one is not") {
    std::vector<std::string> expected = {"loaded"};
    for (int64_t i = 1; i <= 20; i++) {
        write_marker(i);
        expected.push_back("marker " + std::to_string(i));
    }
    take_descriptors();
    append("a");
    REQUIRE(faulty.was_hit);
    const std::string refused =
        "refused " + std::to_string(static_cast<int>(Code::coordinator_not_available));
    CHECK(seen.back() == refused);

    faulty.fail_at.reset();
    append("b"); // at once: whoever asks needs what is in the log
    std::erase(seen, refused);
    expected.emplace_back("20:b");
    CHECK(seen == expected);
}

// In a cluster another replica may be read: the leader that cannot goes offline, and so resigns.
TEST_CASE_FIXTURE(Fixture,
                  "shard: a log that cannot be read takes the partition and its directory") {
    for (int64_t i = 1; i <= 20; i++) {
        write_marker(i);
    }
    start();
    take_descriptors();
    faulty.kind = replica::test::Injected::io_error;
    for (int i = 0; i < 10; i++) {
        step();
    }
    REQUIRE(faulty.was_hit);
    CHECK(manager->find(key)->is_offline());
    CHECK(dirs->offline_count() == 1);
    out = {};
    append("a");
    REQUIRE(out.answers.size() == 1);
    CHECK(out.answers[0].reply.result.error().code == Code::coordinator_not_available);
}
