// A log on a MemoryDisk, and batches for it.
#pragma once

#include "lib/base/log.h"
#include "lib/protocol/batch_builder.h"
#include "server/storage/log.h"
#include "tests/unit/server/storage/memory_disk.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

namespace qtool::storage::test {

inline constexpr int64_t kNowMs = 1'700'000'000'000;

inline WallTime wall(int64_t ms) {
    return WallTime(std::chrono::milliseconds(ms));
}

inline TopicId topic_id(uint64_t n) {
    return make_uuid(n, n * 7919);
}

struct BatchShape {
    int count = 1;
    size_t value_size = 20;
    int64_t time = kNowMs; // of the first record; each next is 1 ms later
    int64_t producer = -1;
    int16_t epoch = 0;
    int32_t sequence = 0;
    bool transactional = false;
};

inline std::vector<std::byte> make_batch(const BatchShape& shape = {}) {
    protocol::BatchBuilder builder;
    const std::vector<std::byte> value(shape.value_size, std::byte{'v'});
    for (int i = 0; i < shape.count; i++) {
        REQUIRE(builder.append(as_bytes("key"), ByteView(value), {}, shape.time + i));
    }
    protocol::BatchClose close;
    if (shape.producer >= 0) {
        close.producer_id = ProducerId(shape.producer);
        close.producer_epoch = ProducerEpoch(shape.epoch);
        close.base_sequence = shape.sequence;
        close.transactional = shape.transactional;
    }
    auto batch = builder.finish(close);
    REQUIRE(batch);
    return *std::move(batch);
}

struct LogFixture {
    MemoryDisk disk;
    LogConfig config;
    OpenHint hint;
    std::string directory = "/data/t-0";
    std::unique_ptr<Log> log;
    int64_t now_ms = kNowMs;

    LogFixture() {
        set_log_sink([](LogLevel, std::string_view) {});
        REQUIRE(disk.make_directory("/data"));
        REQUIRE(disk.sync_directory("/"));
        hint.key = PartitionKey{topic_id(1), PartitionIndex(0)};
        open();
    }

    Result<void> try_open() {
        log.reset();
        QT_TRY_ASSIGN(log, Log::open(disk, directory, config, hint, wall(now_ms)));
        return {};
    }
    void open() {
        const Result<void> opened = try_open();
        REQUIRE_MESSAGE(opened, (opened ? "" : to_string(opened.error())));
    }
    /// Dies without a word and starts again, with the given recovery point.
    void kill_and_open(int64_t recovery_point = 0) {
        log.reset();
        disk.kill();
        hint.clean.reset();
        hint.recovery_point = Offset(recovery_point);
        open();
    }
    void lose_power_and_open(int64_t recovery_point) {
        log.reset();
        disk.lose_power();
        hint.clean.reset();
        hint.recovery_point = Offset(recovery_point);
        open();
    }
    void close_and_open() {
        REQUIRE(log->close());
        const PartitionState state = log->state_for_checkpoint();
        REQUIRE(state.is_clean);
        hint.clean = state;
        hint.recovery_point = state.synced_end_offset;
        open();
    }

    Result<AppendInfo> try_append(const BatchShape& shape = {}, int32_t epoch = 0) {
        std::vector<std::byte> batch = make_batch(shape);
        return log->append(batch, LeaderEpoch(epoch), wall(now_ms));
    }
    AppendInfo append(const BatchShape& shape = {}, int32_t epoch = 0) {
        const Result<AppendInfo> info = try_append(shape, epoch);
        REQUIRE_MESSAGE(info, (info ? "" : to_string(info.error())));
        return *info;
    }
    /// Segments that a deletion had deleted when it was done.
    uint32_t flush() {
        const auto work = log->begin_flush();
        REQUIRE(work);
        if (!*work) {
            return 0;
        }
        for (const port::FileRef& file : (*work)->files) {
            REQUIRE(file->sync_blocking());
        }
        const Result<uint32_t> deleted = log->finish_flush(**work);
        REQUIRE(deleted);
        return *deleted;
    }
    /// With the flushes that they need.
    uint32_t finish_deletion() {
        uint32_t deleted = 0;
        while (log->is_deleting()) {
            deleted += flush();
        }
        return deleted;
    }
    uint32_t retain(int64_t at_ms, Offset high_watermark) {
        REQUIRE(log->apply_retention(wall(at_ms), high_watermark));
        return finish_deletion();
    }
    void delete_below(Offset offset) {
        REQUIRE(log->advance_log_start(offset));
        finish_deletion();
        REQUIRE(log->log_start_offset() >= offset);
    }

    /// Reads as a consumer does from `from` to the end; the base offsets of the batches, in order.
    /// Checks that offsets rise without a gap.
    std::vector<int64_t> read_all(int64_t from, uint32_t bytes_max = 1'000'000) {
        std::vector<int64_t> bases;
        Offset next(from);
        while (next < log->log_end_offset()) {
            const Result<ReadInfo> info = log->read(next, log->log_end_offset(), bytes_max);
            REQUIRE_MESSAGE(info, (info ? "" : to_string(info.error())));
            REQUIRE(info->range.size > 0);
            std::vector<std::byte> bytes(info->range.size);
            REQUIRE(info->range.file->read_at(bytes, info->range.position) == bytes.size());
            protocol::BatchWalker walker(bytes);
            bool first = true;
            for (;;) {
                const auto batch = walker.next();
                REQUIRE(batch);
                if (*batch == nullptr) {
                    break;
                }
                REQUIRE(protocol::batch_crc_ok((*batch)->bytes));
                const Offset base = (*batch)->header.base_offset;
                if (first) {
                    REQUIRE(info->first_base_offset == base);
                    REQUIRE(info->first_batch_size == (*batch)->header.size_bytes);
                    REQUIRE(base <= next);
                    REQUIRE((*batch)->header.last_offset() >= next);
                } else {
                    REQUIRE(base == next);
                }
                first = false;
                next = (*batch)->header.next_offset();
                bases.push_back(base.value());
            }
            REQUIRE(walker.left() == 0);
        }
        return bases;
    }

    [[nodiscard]] std::string segment(int64_t base, const std::string& extension = ".log") const {
        std::string digits = std::to_string(base);
        return directory + "/" + std::string(20 - digits.size(), '0') + digits + extension;
    }
    [[nodiscard]] bool has_name_with(const std::string& part) const {
        const std::vector<std::string> names = disk.names(directory);
        return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
            return name.find(part) != std::string::npos;
        });
    }
};

} // namespace qtool::storage::test
