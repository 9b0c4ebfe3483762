// A compacted log on a MemoryDisk, keyed records for it, and what a consumer makes of it.
#pragma once

#include "server/storage/compaction.h"
#include "tests/unit/server/storage/log_fixture.h"

#include <map>

namespace qtool::storage::test {

struct Keyed {
    std::string key;
    std::optional<std::string> value; // nothing: a tombstone
};

struct CompactionFixture : LogFixture {
    CompactionMeans means;
    /// What a consumer that read everything must end with.
    std::map<std::string, std::string> expected;

    CompactionFixture() {
        config.compacted = true;
        config.deletes = false;
        config.segment_bytes = 400;
        config.min_cleanable_dirty_ratio_ppm = 0;
        config.file_delete_delay_ms = 0;
        log->set_config(config);
        means.seed = {1, 2};
    }

    AppendInfo append_keyed(const std::vector<Keyed>& records,
                            protocol::BatchClose close = protocol::BatchClose()) {
        const Result<AppendInfo> info = try_append_keyed(records, close);
        REQUIRE_MESSAGE(info, (info ? "" : to_string(info.error())));
        return *info;
    }
    Result<AppendInfo> try_append_keyed(const std::vector<Keyed>& records,
                                        const protocol::BatchClose& close) {
        protocol::BatchBuilder builder;
        for (const Keyed& record : records) {
            std::optional<ByteView> value;
            if (record.value) {
                value = as_bytes(*record.value);
            }
            REQUIRE(builder.append(as_bytes(record.key), value, {}, now_ms));
        }
        auto batch = builder.finish(close);
        REQUIRE(batch);
        QT_TRY_ASSIGN(const AppendInfo info, log->append(*batch, LeaderEpoch(0), wall(now_ms)));
        for (const Keyed& record : records) {
            if (record.value) {
                expected[record.key] = *record.value;
            } else {
                expected.erase(record.key);
            }
        }
        return info;
    }
    /// Rolls the active segment, by filling it with records of a key of its own.
    void fill_segment() {
        const uint32_t segments = log->segment_count();
        while (log->segment_count() == segments) {
            append_keyed({{"filler", std::string(60, 'f') + std::to_string(filler_++)}});
        }
        flush();
    }

    /// One run to its end; false: it died on the way.
    Result<CompactionStep> run(uint64_t step_bytes = 100) {
        QT_TRY_ASSIGN(const bool begun,
                      log->begin_compaction(wall(now_ms), log->log_end_offset(), means));
        CompactionStep step;
        step.is_done = !begun;
        while (!step.is_done) {
            QT_TRY_ASSIGN(step, log->step_compaction(wall(now_ms), step_bytes));
            if (step.to_sync) {
                const Result<void> synced = step.to_sync->sync_blocking();
                log->compaction_synced(synced);
            }
        }
        return step;
    }
    CompactionStep run_well(uint64_t step_bytes = 100) {
        const Result<CompactionStep> step = run(step_bytes);
        REQUIRE_MESSAGE(step, (step ? "" : to_string(step.error())));
        return *step;
    }

    struct View {
        std::map<std::string, std::string> latest;
        std::vector<int64_t> offsets; // of records
        uint64_t batches = 0;
        uint64_t empty_batches = 0;
        uint64_t tombstones = 0;
    };
    static std::vector<std::byte> read_range(const ReadInfo& info) {
        std::vector<std::byte> bytes(info.range.size);
        REQUIRE(info.range.file->read_at(bytes, info.range.position) == bytes.size());
        return bytes;
    }
    /// Reads all as a consumer does: checksums fit, offsets rise, the walk ends at the log end.
    View view() {
        View seen;
        Offset next = log->log_start_offset();
        while (next < log->log_end_offset()) {
            const Result<ReadInfo> info = log->read(next, log->log_end_offset(), 150);
            REQUIRE_MESSAGE(info, (info ? "" : to_string(info.error())));
            REQUIRE(info->range.size > 0);
            const std::vector<std::byte> bytes = read_range(*info);
            protocol::BatchWalker walker(bytes);
            while (const protocol::BatchView* batch = *walker.next()) {
                REQUIRE(protocol::batch_crc_ok(batch->bytes));
                REQUIRE(batch->header.last_offset() >= next);
                take(*batch, seen);
                next = batch->header.next_offset();
            }
            REQUIRE(walker.left() == 0);
        }
        return seen;
    }

private:
    static void take(const protocol::BatchView& batch, View& seen) {
        seen.batches++;
        seen.empty_batches += batch.header.records_count == 0 ? 1 : 0;
        auto records = protocol::BatchRecords::open(batch, 1 << 20);
        REQUIRE(records);
        while (const protocol::ConsumedRecord* record = records->next()) {
            REQUIRE((seen.offsets.empty() || record->offset.value() > seen.offsets.back()));
            seen.offsets.push_back(record->offset.value());
            const std::string key(as_text(*record->record.key));
            if (record->record.value) {
                seen.latest[key] = std::string(as_text(*record->record.value));
            } else {
                seen.latest.erase(key);
                seen.tombstones++;
            }
        }
        REQUIRE(records->status());
    }
    int filler_ = 0;
};

} // namespace qtool::storage::test
