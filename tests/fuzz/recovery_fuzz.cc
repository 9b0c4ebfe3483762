// links: server_storage lib_protocol
// Foreign bytes as a partition's files: what a crash or a bad disk may leave. The first byte says
// which file they become and how far the log is said to be synced; opening must end in a log that
// works or in storage_damaged, and every offset the log claims must be readable.
#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/protocol/batch_builder.h"
#include "server/storage/journal_record.h"
#include "server/storage/journal_replay.h"
#include "server/storage/log.h"
#include "server/storage/partition_files.h"
#include "tests/unit/server/storage/memory_disk.h"

#include <algorithm>
#include <string>
#include <vector>

using namespace qtool;
using namespace qtool::storage;

namespace {

constexpr const char* kDirectory = "/data/t-0";
constexpr const char* kBase = "/data/t-0/00000000000000000000";
constexpr WallTime kNow{std::chrono::milliseconds(1'700'000'000'000)};

/// The fuzzer cannot guess sizes and checksums: puts those of the batches it made right.
void mend_batches(std::vector<std::byte>& bytes) {
    for (size_t at = 0; bytes.size() - at >= protocol::kBatchHeaderSize;) {
        std::byte* batch = bytes.data() + at;
        const size_t left = bytes.size() - at;
        const size_t size =
            std::min<size_t>(left, protocol::kBatchHeaderSize + load_be<uint8_t>(batch + 11));
        store_be<int32_t>(batch + 8, static_cast<int32_t>(size - protocol::kBatchLengthEnd));
        batch[16] = static_cast<std::byte>(protocol::kBatchMagic);
        protocol::patch_max_timestamp({batch, size}, load_be<int64_t>(batch + 35));
        at += size;
    }
}

/// What is behind a journal's header, or records of such pieces: the fuzzer cannot guess checksums.
std::vector<std::byte> make_journal(const PartitionKey& key, ByteView bytes, bool is_mended) {
    std::vector<std::byte> file = encode_journal_header(1);
    if (!is_mended) {
        file.insert(file.end(), bytes.begin(), bytes.end());
        return file;
    }
    ByteWriter out;
    for (size_t at = 0; bytes.size() - at >= 4;) {
        JournalRecord record;
        record.partition = key;
        record.directory = "t-0";
        record.kind = load_be<uint8_t>(bytes.data() + at) == 0 ? JournalRecord::Kind::leave
                                                               : JournalRecord::Kind::bytes;
        record.segment = Offset(load_be<uint8_t>(bytes.data() + at + 1) / 128);
        record.position = load_be<uint8_t>(bytes.data() + at + 2);
        at += 4;
        const size_t size =
            std::min<size_t>(bytes.size() - at, load_be<uint8_t>(bytes.data() + at - 1));
        const size_t begin = out.size();
        const ByteSpan into = open_journal_record(out, 1, record, static_cast<uint32_t>(size));
        std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(at), size, into.begin());
        close_journal_record(out, begin);
        at += size;
    }
    file.insert(file.end(), out.view().begin(), out.view().end());
    return file;
}

void read_all(Log& log) {
    Offset next = log.log_start_offset();
    while (next < log.log_end_offset()) {
        const Result<ReadInfo> info = log.read(next, log.log_end_offset(), 300);
        if (!info) {
            QT_ASSERT(info.error().code == Code::storage_damaged);
            return;
        }
        std::vector<std::byte> bytes(info->range.size);
        const Result<size_t> got = info->range.file->read_at(bytes, info->range.position);
        QT_ASSERT(got && *got == bytes.size());
        protocol::BatchWalker walker(bytes);
        bool any = false;
        for (;;) {
            const auto batch = walker.next();
            QT_ASSERT(batch.has_value());
            if (*batch == nullptr) {
                break;
            }
            any = true;
            QT_ASSERT((*batch)->header.next_offset() > next);
            next = (*batch)->header.next_offset();
        }
        QT_ASSERT(any && walker.left() == 0);
    }
}

void append_one(Log& log) {
    protocol::BatchBuilder builder;
    QT_ASSERT(builder.append(as_bytes("k"), as_bytes("v"), {}, kNow.time_since_epoch().count())
                  .has_value());
    protocol::BatchClose close;
    close.producer_id = ProducerId(1);
    close.producer_epoch = ProducerEpoch(0);
    close.base_sequence = 0;
    Result<std::vector<std::byte>> batch = builder.finish(close);
    QT_ASSERT(batch.has_value());
    const Offset end = log.log_end_offset();
    const Result<AppendInfo> info = log.append(*batch, LeaderEpoch(1), kNow);
    QT_ASSERT(!info || !info->appended || info->base_offset == end);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 2) {
        return 0;
    }
    set_log_sink([](LogLevel, std::string_view) {});
    std::vector<std::byte> bytes(reinterpret_cast<const std::byte*>(data) + 2,
                                 reinterpret_cast<const std::byte*>(data) + size);
    const unsigned kind = data[0] % 7;
    OpenHint hint;
    hint.key = PartitionKey{make_uuid(1, 2), PartitionIndex(0)};
    hint.recovery_point = Offset(data[1] % 16);
    LogConfig config;
    config.index_interval_bytes = 100;

    test::MemoryDisk disk;
    QT_ASSERT(disk.make_directory("/data").has_value());
    QT_ASSERT(disk.make_directory(kDirectory).has_value());
    QT_ASSERT(write_partition_meta(disk, kDirectory, hint.key).has_value());
    if (kind >= 2) { // a good segment beside the foreign file
        test::MemoryDisk other;
        QT_ASSERT(other.make_directory("/data").has_value());
        OpenHint fresh;
        fresh.key = hint.key;
        auto log = Log::open(other, kDirectory, config, fresh, kNow);
        QT_ASSERT(log.has_value());
        append_one(**log);
        disk.put(kBase + std::string(".log"), other.bytes(kBase + std::string(".log")));
        hint.recovery_point = Offset(1);
    }
    switch (kind) {
    case 0:
        disk.put(kBase + std::string(".log"), bytes);
        break;
    case 1:
        mend_batches(bytes);
        disk.put(kBase + std::string(".log"), bytes);
        break;
    case 2:
        disk.put(kBase + std::string(".qindex"), bytes);
        break;
    case 3:
        disk.put("/data/t-0/00000000000000000001.snapshot", bytes);
        break;
    case 4:
        disk.put("/data/t-0/log-start", bytes);
        break;
    default:
        disk.put("/data/flush-journal.0.0", make_journal(hint.key, bytes, kind == 5));
        QT_ASSERT(replay_journals(disk, "/data").has_value());
        break;
    }
    auto log = Log::open(disk, kDirectory, config, hint, kNow);
    QT_ASSERT(log.has_value());
    if ((*log)->failure()) {
        QT_ASSERT((*log)->failure()->code == Code::storage_damaged);
        return 0;
    }
    QT_ASSERT((*log)->log_end_offset() >= hint.recovery_point);
    read_all(**log);
    static_cast<void>((*log)->find_by_time(0, (*log)->log_end_offset()));
    static_cast<void>((*log)->max_timestamp_offset());
    if (!(*log)->failure()) {
        append_one(**log);
        read_all(**log);
        static_cast<void>((*log)->close());
    }
    return 0;
}
