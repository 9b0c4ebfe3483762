#include "tests/bench/kernels.h"

#include "lib/base/assert.h"
#include "lib/base/crc32c.h"
#include "lib/base/timer_heap.h"
#include "lib/protocol/batch_builder.h"
#include "lib/protocol/batch_check.h"
#include "lib/protocol/msg/fetch.h"
#include "lib/protocol/msg/produce.h"
#include "server/storage/sparse_index.h"
#include "server/uv/mail_ring.h"
#include "server/uv/uv_disk.h"

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <utility>

namespace qtool::bench {

namespace {

using protocol::Compression;

constexpr int16_t kProduceVersion = 11; // as librdkafka and the Java client of today ask
constexpr int16_t kFetchVersion = 13;
constexpr int32_t kPartitionCount = 6;

/// What a kernel computes goes here, so that it is not left out by the compiler.
volatile uint64_t sink = 0;

void keep(uint64_t value) {
    sink = sink + value;
}

std::vector<std::byte> make_batch(int count, size_t value_size, Compression compression) {
    protocol::BatchBuilder builder;
    for (int i = 0; i < count; i++) {
        std::string value(value_size, 'v');
        for (size_t at = 0; at < value.size(); at += 7) {
            value[at] = static_cast<char>('a' + (at + static_cast<size_t>(i)) % 26);
        }
        const std::string key = "key-" + std::to_string(i);
        const auto added =
            builder.append(as_bytes(key), as_bytes(value), {}, 1'700'000'000'000 + i);
        QT_ASSERT(added.has_value());
    }
    protocol::BatchClose close;
    close.compression = compression;
    auto batch = builder.finish(close);
    QT_ASSERT(batch.has_value());
    return *std::move(batch);
}

Kernel batch_check(std::string name, int count, size_t value_size, Compression compression) {
    auto scratch = std::make_shared<protocol::CheckScratch>();
    return {std::move(name), [batch = make_batch(count, value_size, compression), scratch] {
                const auto facts = protocol::check_producer_batch(batch, {}, *scratch);
                QT_ASSERT(facts.has_value());
                keep(facts->records_size_bytes);
            }};
}

Kernel crc(std::string name, size_t size) {
    return {std::move(name),
            [bytes = std::vector<std::byte>(size, std::byte{7})] { keep(crc32c(bytes)); }};
}

// ---- codec --------------------------------------------------------------------------------------

Kernel decode_produce() {
    const std::vector<std::byte> batch = make_batch(1, 100, Compression::none);
    protocol::ProduceRequest request;
    request.acks = -1;
    request.timeout_ms = 30'000;
    auto& topic = request.topic_data.emplace_back();
    topic.name = "a-topic-of-some-length";
    for (int32_t i = 0; i < kPartitionCount; i++) {
        auto& partition = topic.partition_data.emplace_back();
        partition.index = i;
        partition.records = protocol::RecordsRef{batch};
    }
    ByteWriter body;
    request.encode(body, kProduceVersion);
    return {"decode produce request, 6 partitions", [bytes = body.take()] {
                const auto decoded = protocol::ProduceRequest::decode(bytes, kProduceVersion);
                QT_ASSERT(decoded.has_value());
                keep(decoded->topic_data.size());
            }};
}

Kernel encode_produce() {
    protocol::ProduceResponse response;
    auto& topic = response.responses.emplace_back();
    topic.name = "a-topic-of-some-length";
    for (int32_t i = 0; i < kPartitionCount; i++) {
        auto& partition = topic.partition_responses.emplace_back();
        partition.index = i;
        partition.base_offset = 1'000'000 + i;
    }
    return {"encode produce response, 6 partitions", [response] {
                ByteWriter body;
                response.encode(body, kProduceVersion);
                keep(body.size());
            }};
}

Kernel decode_fetch() {
    protocol::FetchRequest request;
    request.max_wait_ms = 500;
    request.min_bytes = 1;
    auto& topic = request.topics.emplace_back();
    for (int32_t i = 0; i < kPartitionCount; i++) {
        auto& partition = topic.partitions.emplace_back();
        partition.partition = i;
        partition.fetch_offset = 1'000'000 + i;
        partition.partition_max_bytes = 1 << 20;
    }
    ByteWriter body;
    request.encode(body, kFetchVersion);
    return {"decode fetch request, 6 partitions", [bytes = body.take()] {
                const auto decoded = protocol::FetchRequest::decode(bytes, kFetchVersion);
                QT_ASSERT(decoded.has_value());
                keep(decoded->topics.size());
            }};
}

Kernel encode_fetch() {
    protocol::FetchResponse response;
    auto& topic = response.responses.emplace_back();
    for (int32_t i = 0; i < kPartitionCount; i++) {
        auto& partition = topic.partitions.emplace_back();
        partition.partition_index = i;
        partition.high_watermark = 1'000'000 + i;
        partition.aborted_transactions.reset();
        partition.records.emplace().external_size = 100'000;
    }
    return {"encode fetch response, 6 partitions", [response] {
                ByteWriter body;
                std::vector<protocol::RecordsSplit> splits;
                response.encode(body, kFetchVersion, &splits);
                keep(body.size() + splits.size());
            }};
}

// ---- storage ------------------------------------------------------------------------------------

struct Index {
    uv::ReadIn read_in{[](uv::ReadInDone) {}};
    uv::UvDisk disk{[](uv::SyncDone) {}, read_in};
    std::unique_ptr<storage::SparseIndex> index;
    uint32_t next = 0;
};

/// Of a segment of 1 GiB: an entry for each 4 KiB and 10 offsets, all but the newest in the file.
/// `step`: offsets from one lookup to the next.
Kernel index_lookup(const char* name, uint32_t step) {
    constexpr uint32_t kEntryCount = 262'144;
    std::string folder = (std::filesystem::temp_directory_path() / "qbroker-bench-XXXXXX").string();
    QT_ASSERT(::mkdtemp(folder.data()) != nullptr);
    auto made = std::make_shared<Index>();
    made->index =
        std::make_unique<storage::SparseIndex>(made->disk, folder + "/0.index", Offset{0});
    for (uint32_t i = 0; i < kEntryCount; i++) {
        made->index->add({i * 10, i * 4096, 1'700'000'000'000 + i});
    }
    QT_ASSERT(made->index->write().has_value());
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
    return {name, [made, step] {
                made->next = (made->next + step) % (kEntryCount * 10);
                const auto found = made->index->find_offset(made->next);
                QT_ASSERT(found.has_value() && found->has_value());
                keep((*found)->position);
            }};
}

// ---- cores --------------------------------------------------------------------------------------

struct Letter final : port::Mail {};

/// What the ring costs, without the wake: one mail there, and taken out.
Kernel mailbox() {
    struct Rings {
        uv::MailRing ring;
        std::unique_ptr<port::Mail> mail = std::make_unique<Letter>();
    };
    auto rings = std::make_shared<Rings>();
    return {"mailbox, one mail there and out", [rings] {
                rings->ring.push(std::move(rings->mail));
                const bool waits = rings->ring.drain(
                    [&](std::unique_ptr<port::Mail> mail) { rings->mail = std::move(mail); });
                QT_ASSERT(!waits);
            }};
}

/// Deadlines of 1,000 requests in work: one is due, one comes.
Kernel timer_heap() {
    struct Timers {
        TimerHeap<uint64_t> heap;
        uint64_t state = 1;
        uint64_t next() { // spread, the same in each run
            state = state * 6364136223846793005ull + 1442695040888963407ull;
            return state >> 44;
        }
    };
    auto timers = std::make_shared<Timers>();
    for (uint64_t i = 0; i < 1000; i++) {
        timers->heap.push(MonoTime(Duration(static_cast<int64_t>(timers->next()))), i);
    }
    return {"timer heap of 1,000, one out and one in", [timers] {
                const MonoTime due = timers->heap.next_due();
                const auto value = timers->heap.pop_due(due);
                QT_ASSERT(value.has_value());
                timers->heap.push(due + Duration(static_cast<int64_t>(timers->next())), *value);
            }};
}

} // namespace

std::vector<Kernel> make_kernels() {
    std::vector<Kernel> kernels;
    kernels.push_back(batch_check("check batch, 1 x 1,000 bytes", 1, 1000, Compression::none));
    kernels.push_back(batch_check("check batch, 100 x 100 bytes", 100, 100, Compression::none));
    kernels.push_back(batch_check("check batch, 100 x 100 bytes, lz4", 100, 100, Compression::lz4));
    kernels.push_back(crc("crc32c of 1 KiB", 1024));
    kernels.push_back(crc("crc32c of 64 KiB", 65'536));
    kernels.push_back(decode_produce());
    kernels.push_back(encode_produce());
    kernels.push_back(decode_fetch());
    kernels.push_back(encode_fetch());
    kernels.push_back(index_lookup("index lookup, 262,144 entries", 1'234'567));
    kernels.push_back(index_lookup("index lookup, 1 MiB behind the last", 2'560));
    kernels.push_back(mailbox());
    kernels.push_back(timer_heap());
    return kernels;
}

} // namespace qtool::bench
