// The I/O-error loop. One story of a core's partitions (create topics, produce idempotently with
// rolls and duplicates, read, delete records, retention, a clean stop and a start) is run once to
// count its disk calls, and then again with each single call failing: with EIO, ENOSPC and EMFILE,
// with one log directory and with two. Each time: nothing that was acknowledged is lost, though the
// power fails at the end; nothing was acknowledged by a flush that failed; and once the disk is
// well and the broker was started again, everything is served.
#include "lib/base/log.h"
#include "server/replica/manager.h"
#include "tests/unit/server/fixed_random.h"
#include "tests/unit/server/replica/faulty_disk.h"
#include "tests/unit/server/replica/step_clock.h"
#include "tests/unit/server/storage/log_fixture.h"

using namespace qtool;
using namespace qtool::replica;
using namespace qtool::replica::test;
using storage::test::BatchShape;
using storage::test::make_batch;
using storage::test::MemoryDisk;
using storage::test::topic_id;

namespace {

constexpr int kPartitions = 3;
constexpr int kTriesMax = 4;

// What the client knows of a partition.
struct Ledger {
    int64_t producer = 0;
    int32_t next_sequence = 0;
    std::map<int64_t, int64_t> acknowledged; // base offset -> time of the batch, which is unique
    int64_t log_start = 0;                   // records below were deleted
};

class Story {
public:
    struct Shape {
        size_t dir_count = 1;
        bool has_moves = false; // partitions go to the other directory and back
        bool is_lasting = false;
    };
    Story(const Shape& shape, Injected kind, std::optional<uint64_t> fail_at)
        : faulty_(memory_),
          has_moves_(shape.has_moves) {
        set_log_sink([](LogLevel, std::string_view) {});
        for (size_t i = 0; i < shape.dir_count; i++) {
            paths_.push_back("/disk" + std::to_string(i));
        }
        memory_.free_space = {1 << 30, 1 << 30};
        faulty_.kind = kind;
        faulty_.fail_at = fail_at;
        faulty_.is_lasting = shape.is_lasting;
        ledgers_.resize(kPartitions);
        topic_ = make_topic();
    }

    /// The number of calls that the fault could have hit.
    uint64_t run() {
        // A start that fails is tried again, as an operator would.
        if (!start()) {
            REQUIRE(faulty_.was_hit);
            restart_after(false);
        }
        for (int round = 0; round < 12; round++) {
            for (int index = 0; index < kPartitions; index++) {
                produce(index);
            }
            if (round == 5) {
                delete_records(0);
            }
            if (has_moves_ && (round == 3 || round == 8)) {
                move(0, round == 3);
                move(1, round == 3);
            }
            if (round == 6) {
                if (has_moves_) {
                    move(2, true); // goes on after the restart
                }
                read_all(1);
                stop();
                if (!start()) {
                    REQUIRE(faulty_.was_hit);
                    restart_after(false);
                }
            }
            pass(1s);
        }
        pass(10s); // recovery points are written, retention runs
        if (has_moves_ && !faulty_.was_hit) {
            check_moves();
        }
        const uint64_t calls = faulty_.calls;
        faulty_.fail_at.reset();
        restart_after(true);
        if (has_moves_) { // once more, each from wherever it is
            for (const bool is_away : {true, false}) {
                for (int index = 0; index < kPartitions; index++) {
                    move(index, is_away);
                }
                pass(10s);
            }
            check_moves();
            restart_after(true);
        }
        for (int index = 0; index < kPartitions; index++) {
            read_all(index);
            CAPTURE(faulty_.hit_text);
            REQUIRE_MESSAGE(produce(index), last_error_); // full service
            read_all(index);
        }
        stop();
        return calls;
    }

private:
    metadata::TopicImage* make_topic() {
        auto topic = std::make_shared<metadata::TopicImage>();
        topic->name = "t";
        topic->id = topic_id(1);
        topic->effective.segment_bytes = 700; // two or three batches
        topic->effective.file_delete_delay_ms = 500;
        for (int i = 0; i < kPartitions; i++) {
            metadata::PartitionImage& partition = topic->partitions.emplace_back();
            partition.replicas = {BrokerId(1)};
            partition.isr = {BrokerId(1)};
            partition.leader = BrokerId(1);
        }
        metadata::TopicImage* raw = topic.get();
        image_.topics_by_id[topic->id] = topic;
        image_.topics_by_name[topic->name] = topic;
        return raw;
    }

    bool start() {
        uint64_t next_id = 50;
        auto opened = storage::LogDirs::open(
            faulty_, {paths_, BrokerId(1), 0, [&] { return topic_id(next_id++); }});
        if (!opened) {
            return false;
        }
        dirs_ = *std::move(opened);
        if (!dirs_->bind_cluster("c") ||
            !dirs_->quarantine_unlisted([](const storage::PartitionName&) { return true; },
                                        [](const PartitionKey&) { return false; })) {
            dirs_.reset();
            return false;
        }
        Manager::Setup setup;
        setup.options.flush_journal_bytes = 64 * KiB;
        setup.ports.disk = &faulty_;
        setup.ports.clock = &clock_;
        setup.ports.random = &random_;
        setup.self = BrokerId(1);
        setup.log_dirs = dirs_.get();
        setup.counters = &counters_;
        setup.options.retention_check_interval = 2s;
        setup.settled_one_by_one_max = paths_.size() > 1 ? 0 : kPartitions; // both ways
        setup.is_mine = [](const PartitionKey&) { return true; };
        manager_ = std::make_unique<Manager>(std::move(setup));
        Outbox out;
        manager_->apply(image_, metadata::Delta{}, out);
        return true;
    }

    void stop() {
        settle();
        std::vector<storage::LogDirs::Closed> closed = manager_->close();
        const Result<void> written = dirs_->write_clean_shutdown(std::move(closed));
        CHECK((written || faulty_.was_hit));
        manager_.reset();
        dirs_.reset();
        memory_.kill();
    }

    void restart_after(bool power_loss) {
        if (faulty_.is_lasting) {
            faulty_.fail_at.reset(); // the operator mends it, or there would be no start
        }
        manager_.reset();
        dirs_.reset();
        faulty_.syncs.clear();
        power_loss ? memory_.lose_power() : memory_.kill();
        REQUIRE(start());
    }

    // One turn: flushes begin and end, what waited is answered.
    void settle() {
        for (int i = 0; i < 20; i++) {
            manager_->begin_flushes(out_);
            if (faulty_.syncs.empty()) {
                return;
            }
            bool failed = false;
            for (FaultyDisk::Sync& sync : std::exchange(faulty_.syncs, {})) {
                Result<void> result = sync.file->sync_blocking();
                failed = failed || !result;
                REQUIRE(manager_->on_synced(sync.token, std::move(result), out_));
            }
            // That of a copy which is on its way takes only the directory it goes to, and without a
            // flush journal each log is synced on its own.
            if (failed && !has_moves_ &&
                faulty_.hit_text.find(storage::kJournalPrefix) ==
                    std::string::npos) { // nobody knows what is on the device: out of use until
                                         // the restart
                REQUIRE(counters_.partitions_offline.value() > 0);
            }
        }
    }

    void pass(Duration time) {
        for (Duration step{}; step < time; step += 100ms) {
            clock_.passed += 100ms;
            if (manager_->next_due() <= clock_.mono()) {
                manager_->on_time(out_);
                settle();
            }
        }
    }

    template <class Answer>
    Result<Answer> ask(int index, PartitionOp op) {
        PartitionRequest request;
        request.request = Token{1, next_request_++};
        request.key = PartitionKey{topic_->id, PartitionIndex(index)};
        request.op = std::move(op);
        const Token token = request.request;
        manager_->handle(request, CoreId(0), out_);
        settle();
        pass(200ms);
        Result<Answer> found = Error(Code::timed_out);
        for (Outbox::Answer& answer : out_.answers) {
            if (answer.reply.request == token) {
                if (answer.reply.result) {
                    found = std::get<Answer>(*answer.reply.result);
                } else {
                    found = answer.reply.result.error();
                }
            }
        }
        out_.answers.clear();
        return found;
    }

    bool produce(int index) {
        Ledger& ledger = ledgers_[static_cast<size_t>(index)];
        BatchShape shape;
        shape.count = 2;
        shape.value_size = 60;
        shape.time = storage::test::kNowMs + next_time_;
        next_time_ += 10;
        shape.producer = ledger.producer;
        shape.sequence = ledger.next_sequence;
        for (int attempt = 0; attempt < kTriesMax; attempt++) {
            std::vector<std::byte> batch = make_batch(shape);
            AppendOp op;
            op.batch = batch;
            op.acks = -1;
            op.deadline = clock_.mono() + 150ms;
            const Result<AppendResult> appended = ask<AppendResult>(index, op);
            if (appended) {
                ledger.next_sequence += shape.count;
                ledger.acknowledged[appended->base_offset.value()] = shape.time;
                return true;
            }
            const Code code = appended.error().code;
            last_error_ = to_string(appended.error());
            CAPTURE(to_string(appended.error()));
            REQUIRE(faulty_.was_hit);
            // What a producer is told is something it tries again after.
            REQUIRE((code == Code::storage_full || code == Code::storage_io ||
                     code == Code::storage_offline || code == Code::timed_out));
        }
        // It may be in the log: the next start decides. The producer begins anew, as one does that
        // gave up: a new batch with the same sequence would be taken for this one.
        ledger.next_sequence = 0;
        ledger.producer += 1000;
        return false;
    }

    void delete_records(int index) {
        Ledger& ledger = ledgers_[static_cast<size_t>(index)];
        if (ledger.acknowledged.size() < 3) {
            return;
        }
        const int64_t before = std::next(ledger.acknowledged.begin(), 2)->first;
        const auto done = ask<DeleteRecordsResult>(index, DeleteRecordsOp{Offset(before)});
        CHECK((done || faulty_.was_hit));
        ledger.log_start = before; // also when it failed: they may be gone
    }

    // Away from where it is, to the last directory or the first.
    void move(int index, bool is_away) {
        const size_t to = static_cast<size_t>(index % 2 == 0) == static_cast<size_t>(is_away)
                              ? paths_.size() - 1
                              : 0;
        const auto begun = ask<MoveResult>(index, MoveOp{to});
        CAPTURE(faulty_.hit_text);
        REQUIRE((begun || faulty_.was_hit));
        if (begun) {
            targets_[index] = to;
        }
    }
    // Without a fault everything got where it should.
    void check_moves() {
        REQUIRE(targets_.size() == kPartitions);
        for (const auto& [index, to] : targets_) {
            const auto described = ask<DescribeResult>(index, DescribeOp{});
            REQUIRE(described);
            CAPTURE(index);
            CHECK(described->future_log_dir == -1);
            CHECK(described->log_dir == static_cast<int32_t>(to));
        }
        for (const std::string& path : paths_) {
            for (const std::string& name : memory_.names(path)) {
                CAPTURE(name);
                CHECK_FALSE(name.ends_with("-future"));
            }
        }
    }

    void read_all(int index) {
        Ledger& ledger = ledgers_[static_cast<size_t>(index)];
        std::map<int64_t, int64_t> found;
        Offset next(0);
        for (;;) {
            ReadOp op;
            op.fetch_offset = next;
            op.bytes_max = 1'000'000;
            const Result<ReadResult> read = ask<ReadResult>(index, op);
            if (!read && read.error().code == Code::offset_out_of_range) {
                REQUIRE(next < Offset(ledger.log_start));
                next = Offset(next.value() + 1);
                continue;
            }
            if (!read) {
                REQUIRE(faulty_.was_hit);
                return;
            }
            if (read->range.size == 0) {
                break;
            }
            std::vector<std::byte> bytes(read->range.size);
            const Result<size_t> got = read->range.file->read_at(bytes, read->range.position);
            if (!got) {
                REQUIRE(faulty_.was_hit);
                return;
            }
            protocol::BatchWalker walker(bytes);
            for (;;) {
                const auto batch = walker.next();
                REQUIRE(batch);
                if (*batch == nullptr) {
                    break;
                }
                REQUIRE(protocol::batch_crc_ok((*batch)->bytes));
                found[(*batch)->header.base_offset.value()] = (*batch)->header.base_timestamp;
                next = (*batch)->header.next_offset();
            }
        }
        for (const auto& [base, time] : ledger.acknowledged) {
            if (base >= ledger.log_start) {
                CAPTURE(index);
                CAPTURE(base);
                CAPTURE(faulty_.hit_text);
                REQUIRE(found.contains(base));
                REQUIRE(found[base] == time);
            }
        }
    }

    MemoryDisk memory_;
    FaultyDisk faulty_;
    bool has_moves_;
    std::map<int, size_t> targets_; // of moves
    StepClock clock_;
    port::test::FixedRandom random_;
    metrics::CoreCounters counters_;
    std::vector<std::string> paths_;
    metadata::Image image_;
    metadata::TopicImage* topic_ = nullptr;
    std::unique_ptr<storage::LogDirs> dirs_;
    std::unique_ptr<Manager> manager_;
    Outbox out_;
    std::vector<Ledger> ledgers_;
    uint32_t next_request_ = 1;
    int64_t next_time_ = 0;
    std::string last_error_;
};

// A move makes thousands of calls, and with sanitizers each story takes some 50 ms: each fourth
// call fails there, each one in other builds.
#ifdef __SANITIZE_ADDRESS__
constexpr uint64_t kMoveStep = 4;
#else
constexpr uint64_t kMoveStep = 1;
#endif

void loop(const Story::Shape& shape, Injected kind) {
    const uint64_t calls = Story(shape, kind, std::nullopt).run();
    REQUIRE(calls > 50);
    for (uint64_t n = 0; n < calls; n += shape.has_moves ? kMoveStep : 1) {
        CAPTURE(n);
        Story(shape, kind, n).run();
    }
    MESSAGE("calls: ", calls, ", failed in turn: one of ", shape.has_moves ? kMoveStep : 1);
}

} // namespace

TEST_CASE("io errors: any one call fails with EIO, one log directory") {
    loop({.dir_count = 1}, Injected::io_error);
}
TEST_CASE("io errors: any one call fails with EIO, two log directories") {
    loop({.dir_count = 2}, Injected::io_error);
}
TEST_CASE("io errors: any one call fails with ENOSPC, one log directory") {
    loop({.dir_count = 1}, Injected::no_space);
}
TEST_CASE("io errors: any one call fails with ENOSPC, two log directories") {
    loop({.dir_count = 2}, Injected::no_space);
}
TEST_CASE("io errors: any one call fails with EMFILE, one log directory") {
    loop({.dir_count = 1}, Injected::no_descriptor);
}
TEST_CASE("io errors: any one call fails with EMFILE, two log directories") {
    loop({.dir_count = 2}, Injected::no_descriptor);
}
TEST_CASE("io errors: from any call on everything fails until the operator mends it") {
    for (const Injected kind : {Injected::io_error, Injected::no_space, Injected::no_descriptor}) {
        CAPTURE(static_cast<int>(kind));
        loop({.dir_count = 1, .is_lasting = true}, kind);
        loop({.dir_count = 2, .is_lasting = true}, kind);
    }
}
TEST_CASE("io errors: any one call fails while partitions move between log directories") {
    for (const Injected kind : {Injected::io_error, Injected::no_space, Injected::no_descriptor}) {
        CAPTURE(static_cast<int>(kind));
        loop({.dir_count = 2, .has_moves = true}, kind);
    }
}
TEST_CASE("io errors: the power fails at any call of moves between log directories") {
    for (const Injected kind : {Injected::io_error, Injected::no_space, Injected::no_descriptor}) {
        CAPTURE(static_cast<int>(kind));
        loop({.dir_count = 2, .has_moves = true, .is_lasting = true}, kind);
    }
}
