// Proves that compaction keeps what a read_committed consumer sees: the latest committed value of
// each key, never an aborted one, whatever crash comes; that aborted records and, later, markers
// go; and that no transaction is opened or closed by what was taken away. By histories from a seed.
#include "lib/base/prng.h"
#include "tests/unit/server/storage/compaction_fixture.h"

#include <set>

using namespace qtool;
using namespace qtool::storage;
using namespace qtool::storage::test;

namespace {

struct TransactionsFixture : CompactionFixture {
    struct Write {
        std::string key;
        std::optional<std::string> value;
    };
    std::map<int64_t, Write> committed;                  // by offset
    std::map<int64_t, std::map<int64_t, Write>> pending; // by producer, then offset
    std::map<int64_t, int64_t> open;                     // producer to its first offset

    TransactionsFixture() {
        config.delete_retention_ms = 1000;
        log->set_config(config);
    }

    void write(int64_t producer, const std::string& key, std::optional<std::string> value) {
        protocol::BatchBuilder builder;
        std::optional<ByteView> bytes;
        if (value) {
            bytes = as_bytes(*value);
        }
        REQUIRE(builder.append(as_bytes(key), bytes, {}, now_ms));
        protocol::BatchClose close;
        if (producer >= 0) {
            close.producer_id = ProducerId(producer);
            close.producer_epoch = ProducerEpoch(0);
            close.transactional = true;
        }
        auto batch = builder.finish(close);
        REQUIRE(batch);
        const auto info = log->append_own(*batch, LeaderEpoch(0), wall(now_ms));
        REQUIRE_MESSAGE(info, (info ? "" : to_string(info.error())));
        const int64_t offset = info->base_offset.value();
        if (producer >= 0) {
            open.emplace(producer, offset);
            pending[producer][offset] = {key, std::move(value)};
        } else {
            committed[offset] = {key, std::move(value)};
        }
    }
    void end(int64_t producer, bool commits) {
        protocol::TransactionMarker marker;
        marker.type = commits ? protocol::ControlType::commit : protocol::ControlType::abort;
        marker.producer_id = ProducerId(producer);
        marker.producer_epoch = ProducerEpoch(0);
        marker.coordinator_epoch = 1;
        REQUIRE(log->append_marker(marker, 1, LeaderEpoch(0), wall(now_ms)));
        if (commits) {
            committed.merge(pending[producer]);
        }
        pending.erase(producer);
        open.erase(producer);
    }
    Offset stable() {
        const Offset unstable = log->first_unstable_offset(log->synced_end_offset());
        return unstable == kNoOffset ? log->synced_end_offset() : unstable;
    }
    Result<CompactionStep> run_stable(uint64_t step_bytes) {
        QT_TRY_ASSIGN(const bool begun, log->begin_compaction(wall(now_ms), stable(), means));
        CompactionStep step;
        step.is_done = !begun;
        while (!step.is_done) {
            QT_TRY_ASSIGN(step, log->step_compaction(wall(now_ms), step_bytes));
            if (step.to_sync) {
                log->compaction_synced(step.to_sync->sync_blocking());
            }
        }
        return step;
    }

    std::map<std::string, std::string> expected_latest() {
        std::map<std::string, std::string> latest;
        for (const auto& [offset, write] : committed) {
            if (offset >= stable().value()) {
                break;
            }
            if (write.value) {
                latest[write.key] = *write.value;
            } else {
                latest.erase(write.key);
            }
        }
        return latest;
    }
    uint64_t markers = 0;
    uint64_t records = 0;
    /// As a consumer with isolation.level=read_committed does.
    std::map<std::string, std::string> read_committed(uint32_t bytes_max = 300) {
        std::map<std::string, std::string> latest;
        std::set<int64_t> aborting;
        markers = records = 0;
        Offset next = log->log_start_offset();
        const Offset bound = stable();
        while (next < bound) {
            const Result<ReadInfo> info = log->read(next, bound, bytes_max);
            REQUIRE_MESSAGE(info, (info ? "" : to_string(info.error())));
            REQUIRE(info->range.size > 0);
            const auto aborted = log->aborted_in(next, *info);
            REQUIRE(aborted);
            std::vector<std::byte> bytes(info->range.size);
            REQUIRE(info->range.file->read_at(bytes, info->range.position) == bytes.size());
            protocol::BatchWalker walker(bytes);
            while (const protocol::BatchView* batch = *walker.next()) {
                const protocol::BatchHeader& header = batch->header;
                next = header.next_offset();
                for (const AbortedTransaction& entry : *aborted) {
                    if (entry.first_offset <= header.last_offset() &&
                        entry.last_offset >= header.base_offset) {
                        aborting.insert(entry.producer_id.value());
                    }
                }
                if (header.is_control()) {
                    const auto marker = protocol::parse_transaction_marker(*batch);
                    REQUIRE(marker);
                    REQUIRE(*marker);
                    markers++;
                    if ((*marker)->type == protocol::ControlType::abort) {
                        aborting.erase(header.producer_id.value());
                    }
                    continue;
                }
                if (header.is_transactional() && aborting.contains(header.producer_id.value())) {
                    continue;
                }
                auto opened = protocol::BatchRecords::open(*batch, 1 << 20);
                REQUIRE(opened);
                while (const protocol::ConsumedRecord* record = opened->next()) {
                    records++;
                    const std::string key(as_text(*record->record.key));
                    if (record->record.value) {
                        latest[key] = std::string(as_text(*record->record.value));
                    } else {
                        latest.erase(key);
                    }
                }
                REQUIRE(opened->status());
            }
        }
        return latest;
    }

    void random_history(Prng& prng, int steps) {
        for (int i = 0; i < steps; i++) {
            const auto producer = static_cast<int64_t>(prng.below(4));
            const std::string key = "k" + std::to_string(prng.below(8));
            std::optional<std::string> value;
            if (prng.below(6) != 0) {
                value = "v" + std::to_string(prng.below(1'000'000));
            }
            const uint64_t what = prng.below(10);
            if (what < 2) {
                write(-1, key, value);
            } else if (what < 7 || !open.contains(producer)) {
                write(producer, key, value);
            } else {
                end(producer, what < 9);
            }
        }
        flush();
    }
    void end_all() {
        while (!open.empty()) {
            end(open.begin()->first, true);
        }
        flush();
    }
    void check() {
        CHECK(read_committed() == expected_latest());
        CHECK(log->first_unstable_offset(log->synced_end_offset()).value() == [&] {
            int64_t first = -1;
            for (const auto& [producer, offset] : open) {
                first = first < 0 ? offset : std::min(first, offset);
            }
            return first;
        }());
    }
};

} // namespace

TEST_CASE("compaction of transactions: committed values stay through runs and stops") {
    for (uint64_t seed = 1; seed <= 40; seed++) {
        CAPTURE(seed);
        Prng prng(seed);
        TransactionsFixture f;
        for (int round = 0; round < 8; round++) {
            CAPTURE(round);
            f.random_history(prng, 40);
            f.check();
            const auto run = f.run_stable(1 + prng.below(2000));
            REQUIRE_MESSAGE(run, (run ? "" : to_string(run.error())));
            f.check();
            const int64_t synced = f.log->synced_end_offset().value();
            switch (prng.below(4)) {
            case 0:
                f.kill_and_open(synced);
                break;
            case 1:
                f.lose_power_and_open(synced);
                break;
            case 2:
                f.close_and_open();
                break;
            default:
                break;
            }
            REQUIRE_FALSE(f.log->failure());
            f.check();
            f.now_ms += static_cast<int64_t>(prng.below(1500));
        }
    }
}

TEST_CASE("compaction of transactions: a crash after any change on disk") {
    for (const bool power_loss : {false, true}) {
        bool finished = false;
        for (int step = 0; !finished; step++) {
            CAPTURE(power_loss);
            CAPTURE(step);
            REQUIRE(step < 500);
            Prng prng(11);
            TransactionsFixture f;
            for (int round = 0; round < 2; round++) {
                f.random_history(prng, 60);
                f.end_all();
                f.now_ms += 2000;
                if (round == 0) {
                    REQUIRE(f.run_stable(1'000'000));
                }
            }
            f.fill_segment();
            f.committed[f.log->log_end_offset().value() - 1] = {"filler", f.expected["filler"]};
            f.means.map_bytes_max = 6 * OffsetMap::kBytesPerKey; // ends inside transactions
            const int64_t synced = f.log->synced_end_offset().value();
            f.disk.changes_left = step;
            finished = f.run_stable(1'000'000).has_value() && f.disk.changes_left > 0;
            if (power_loss) {
                f.lose_power_and_open(synced);
            } else {
                f.kill_and_open(synced);
            }
            REQUIRE_FALSE(f.log->failure());
            f.check();
            f.random_history(prng, 30);
            f.end_all();
            f.now_ms += 2000;
            const auto run = f.run_stable(1000);
            REQUIRE_MESSAGE(run, (run ? "" : to_string(run.error())));
            f.check();
            f.lose_power_and_open(f.log->synced_end_offset().value());
            REQUIRE_FALSE(f.log->failure());
            f.check();
        }
    }
}

TEST_CASE_FIXTURE(TransactionsFixture,
                  "compaction of transactions: aborted records go, then markers") {
    write(1, "a", "aborted");
    end(1, false);
    write(2, "a", "committed");
    end(2, true);
    write(2, "a", "later");
    end(2, true);
    write(-1, "b", "1");
    fill_segment();
    committed[log->log_end_offset().value() - 1] = {"filler", expected["filler"]};
    REQUIRE(run_stable(100));
    CHECK(read_committed() == expected_latest());
    CHECK(markers == 3); // their horizons were set now
    now_ms += 1000;
    fill_segment();
    committed[log->log_end_offset().value() - 1] = {"filler", expected["filler"]};
    REQUIRE(run_stable(100));
    CHECK(read_committed() == expected_latest());
    // Of producer 2 the last has records; producer 1 is known by its marker alone.
    CHECK(markers == 2);
    CHECK(read_committed().at("a") == "later");
}

TEST_CASE_FIXTURE(TransactionsFixture,
                  "compaction of transactions: nothing of an open one is touched") {
    write(-1, "a", "1");
    write(1, "a", "2");
    for (int i = 0; i < 20; i++) {
        write(-1, "b", std::to_string(i));
    }
    flush();
    CHECK(stable() == Offset(1));
    REQUIRE(run_stable(100));
    CHECK(read_committed().at("a") == "1");
    end(1, true);
    flush();
    CHECK(read_committed().at("a") == "2");
    CHECK(read_committed() == expected_latest());
    REQUIRE(run_stable(100));
    CHECK(read_committed() == expected_latest());
}
