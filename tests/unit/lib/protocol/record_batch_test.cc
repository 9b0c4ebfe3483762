// Proves that v2 batches are built, read, walked and patched byte for byte as the format asks, and
// that damage (cuts, flipped bits, impossible fields) is found. Batches come from BatchBuilder,
// fields are then overwritten by hand.
#include "lib/protocol/record_batch.h"
#include "tests/unit/lib/protocol/batch_fixture.h"

using namespace qtool;
using namespace qtool::protocol;
using namespace qtool::protocol::test;

TEST_CASE("batch: every header field survives writing and reading") {
    std::vector<std::byte> batch(kBatchHeaderSize + 9);
    BatchHeader header;
    header.base_offset = Offset(0x0102030405060708);
    header.partition_leader_epoch = LeaderEpoch(17);
    header.attributes = kBatchTransactional | kBatchLogAppendTime | 3;
    header.last_offset_delta = 41;
    header.base_timestamp = 1111;
    header.max_timestamp = 2222;
    header.producer_id = ProducerId(3333);
    header.producer_epoch = ProducerEpoch(44);
    header.base_sequence = 2147483640;
    header.records_count = 5;
    write_batch_header(batch, header);
    const BatchHeader read = view_of(batch).header;
    CHECK(read.base_offset == header.base_offset);
    CHECK(read.size_bytes == 70);
    CHECK(read.partition_leader_epoch == LeaderEpoch(17));
    CHECK(read.compression().value() == Compression::lz4);
    CHECK(read.timestamp_type() == TimestampType::log_append_time);
    CHECK(read.is_transactional());
    CHECK_FALSE(read.is_control());
    CHECK_FALSE(read.has_delete_horizon());
    CHECK(read.last_offset() == header.base_offset + 41);
    CHECK(read.next_offset() == header.base_offset + 42);
    CHECK(read.base_timestamp == 1111);
    CHECK(read.max_timestamp == 2222);
    CHECK(read.producer_id == ProducerId(3333));
    CHECK(read.producer_epoch == ProducerEpoch(44));
    CHECK(read.last_sequence() == 33); // 2147483640 + 41 - 2^31
    CHECK(read.records_count == 5);
    CHECK(batch_crc_ok(batch));
}

TEST_CASE("batch: sequences wrap from 2147483647 to 0") {
    CHECK(next_sequence(0, 1) == 1);
    CHECK(next_sequence(2147483647, 0) == 2147483647);
    CHECK(next_sequence(2147483647, 1) == 0);
    CHECK(next_sequence(2147483646, 5) == 3);
    CHECK(next_sequence(2147483647, 2147483647) == 2147483646);
}

TEST_CASE("batch: a header is truncated below 61 bytes and malformed with impossible fields") {
    std::vector<std::byte> batch = make_batch(1, 10);
    for (size_t size = 0; size < kBatchHeaderSize; size++) {
        CHECK(parse_batch_header(ByteView(batch).first(size)).error().code == Code::truncated);
    }
    CHECK(parse_batch_header(ByteView(batch).first(kBatchHeaderSize)));
    CHECK(parse_batch_header(batch, 60).error().code == Code::too_large);

    struct Case {
        size_t at;
        const char* hex;
        bool ok;
    };
    const Case cases[] = {
        {16, "01", false},              // magic 1
        {8, "00000030", false},         // length 48
        {8, "00000031", true},          // length 49: a header alone
        {8, "ffffffff", false},         // length -1
        {8, "7ffffff4", false},         // total 2^31
        {8, "7ffffff3", true},          // total 2^31 - 1
        {23, "ffffffff", false},        // last offset delta -1
        {57, "80000000", false},        // negative count
        {0, "ffffffffffffffff", false}, // base offset -1
        {0, "7fffffffffffffff", false}, // no next offset
        {0, "7ffffffffffffffe", true},  // next offset is 2^63 - 1
    };
    for (const Case& c : cases) {
        CAPTURE(c.at);
        CAPTURE(c.hex);
        std::vector<std::byte> changed = batch;
        const std::vector<std::byte> bytes = from_hex(c.hex);
        std::copy(bytes.begin(), bytes.end(), changed.begin() + static_cast<ptrdiff_t>(c.at));
        CHECK(parse_batch_header(changed).has_value() == c.ok);
    }
}

TEST_CASE("batch: the checksum finds each flipped bit behind byte 20 and ignores the rest") {
    std::vector<std::byte> batch = make_batch(2, 20);
    CHECK(check_batch_crc(batch));
    for (size_t bit = 0; bit < batch.size() * 8; bit++) {
        const auto mask = static_cast<std::byte>(1u << (bit % 8));
        batch[bit / 8] ^= mask;
        CHECK(batch_crc_ok(batch) == (bit / 8 < 17));
        batch[bit / 8] ^= mask;
    }
    batch[30] ^= std::byte{1};
    CHECK(check_batch_crc(batch).error().code == Code::corrupt);
}

TEST_CASE("batch: the walker yields whole batches and stops quietly at every cut") {
    std::vector<std::byte> range = make_batch(3, 10);
    const size_t first = range.size();
    const std::vector<std::byte> second = make_batch(1, 5);
    range.insert(range.end(), second.begin(), second.end());
    for (size_t size = 0; size <= range.size(); size++) {
        BatchWalker walker(ByteView(range).first(size));
        size_t whole = 0;
        for (;;) {
            const auto batch = walker.next();
            REQUIRE(batch);
            if (*batch == nullptr) {
                break;
            }
            CHECK((*batch)->bytes.size() == (*batch)->header.size_bytes);
            whole++;
        }
        const size_t used = size < first ? 0 : size < range.size() ? first : range.size();
        CHECK(whole == (used == 0 ? 0u : used == first ? 1u : 2u));
        CHECK(walker.used() == used);
        CHECK(walker.left() == size - used);
        const bool size_known = size - used >= kBatchHeaderSize;
        CHECK(walker.cut_batch_size() == (!size_known ? 0 : used == 0 ? first : second.size()));
    }
    range[first + 16] = std::byte{1};
    BatchWalker walker(range);
    REQUIRE(walker.next());
    CHECK(walker.next().error().code == Code::malformed);
    CHECK(walker.next().error().code == Code::malformed);
    CHECK(walker.used() == first);
}

TEST_CASE("batch: patches keep the checksum right") {
    std::vector<std::byte> batch = make_batch(2, 10);
    patch_base_offset_and_epoch(batch, Offset(900), LeaderEpoch(5));
    CHECK(batch_crc_ok(batch));
    CHECK(view_of(batch).header.last_offset() == Offset(901));
    CHECK(view_of(batch).header.partition_leader_epoch == LeaderEpoch(5));

    patch_max_timestamp(batch, 77);
    CHECK(batch_crc_ok(batch));
    CHECK(view_of(batch).header.max_timestamp == 77);
    CHECK(view_of(batch).header.timestamp_type() == TimestampType::create_time);

    patch_log_append_time(batch, WallTime(88ms));
    CHECK(batch_crc_ok(batch));
    auto records = BatchRecords::open(view_of(batch), 1 << 20);
    REQUIRE(records);
    int count = 0;
    while (const ConsumedRecord* record = records->next()) {
        CHECK(record->timestamp == 88);
        CHECK(record->timestamp_type == TimestampType::log_append_time);
        CHECK(record->offset == Offset(900 + count++));
    }
    CHECK(count == 2);
}

TEST_CASE("batch: consumers read each codec's records with offsets, times and headers") {
    const RecordHeader headers[] = {
        {"trace", as_bytes("abc")}, {"empty", ByteView{}}, {"null", {}}};
    for (Compression compression : kAllCompressions) {
        CAPTURE(to_string(compression));
        BatchBuilder builder;
        const std::vector<std::byte> value = log_like_bytes(3000);
        REQUIRE(builder.append(as_bytes("key"), ByteView(value), headers, 5000));
        REQUIRE(builder.append({}, {}, {}, 4000));
        REQUIRE(builder.append(ByteView{}, ByteView{}, {}, 6000));
        CHECK(builder.max_timestamp() == 6000);
        std::vector<std::byte> batch = builder.finish(with(compression)).value();
        CHECK(builder.empty());
        CHECK(view_of(batch).header.compression().value() == compression);
        CHECK(view_of(batch).header.max_timestamp == 6000);
        patch_base_offset_and_epoch(batch, Offset(70), LeaderEpoch(0));
        auto opened = BatchRecords::open(view_of(batch), 1 << 20);
        REQUIRE(opened);
        BatchRecords records = std::move(*opened);
        const ConsumedRecord* record = records.next();
        REQUIRE(record != nullptr);
        CHECK(record->offset == Offset(70));
        CHECK(record->timestamp == 5000);
        CHECK(as_text(*record->record.key) == "key");
        CHECK(as_text(*record->record.value) == as_text(value));
        REQUIRE(record->record.header_count == 3);
        HeaderIterator it = record->record.headers();
        const HeaderView* header = it.next();
        CHECK(header->key == "trace");
        CHECK(as_text(*header->value) == "abc");
        header = it.next();
        CHECK(header->key == "empty");
        CHECK(header->value->empty());
        header = it.next();
        CHECK(header->key == "null");
        CHECK_FALSE(header->value);
        CHECK(it.next() == nullptr);
        record = records.next();
        REQUIRE(record != nullptr);
        CHECK(record->timestamp == 4000);
        CHECK_FALSE(record->record.key);
        CHECK_FALSE(record->record.value);
        record = records.next();
        REQUIRE(record != nullptr);
        CHECK(record->record.key->empty());
        CHECK(record->record.value->empty());
        CHECK(record->offset == Offset(72));
        CHECK(records.next() == nullptr);
        CHECK(records.status());
    }
}

TEST_CASE("batch: a batch that compaction emptied yields nothing and still moves the offset") {
    for (Compression compression : kAllCompressions) {
        std::vector<std::byte> batch(kBatchHeaderSize);
        BatchHeader header;
        header.base_offset = Offset(10);
        header.attributes = static_cast<int16_t>(compression);
        header.last_offset_delta = 4;
        write_batch_header(batch, header);
        auto records = BatchRecords::open(view_of(batch), 1 << 20);
        REQUIRE(records);
        CHECK(records->next() == nullptr);
        CHECK(records->status());
        CHECK(view_of(batch).header.next_offset() == Offset(15));
    }
}

TEST_CASE("batch: a record whose offset lies outside the batch is malformed") {
    std::vector<std::byte> batch = make_batch(3, 4);
    BatchHeader header = view_of(batch).header;
    header.last_offset_delta = 1;
    write_batch_header(batch, header);
    auto records = BatchRecords::open(view_of(batch), 1 << 20);
    REQUIRE(records);
    CHECK(records->next() != nullptr);
    CHECK(records->next() != nullptr);
    CHECK(records->next() == nullptr);
    CHECK(records->status().error().code == Code::malformed);
}

TEST_CASE(
    "batch builder: sizes are exact, an unshrinkable batch stays plain, no records are refused") {
    BatchBuilder builder(100);
    CHECK(builder.size_bytes() == kBatchHeaderSize);
    CHECK(builder.finish({}).error().code == Code::invalid_request);
    Prng prng(7);
    const std::vector<std::byte> noise = random_bytes(prng, 500);
    const size_t bound = BatchBuilder::record_size_max({}, ByteView(noise), {});
    REQUIRE(builder.append({}, ByteView(noise), {}, 1));
    CHECK(builder.size_bytes() <= kBatchHeaderSize + bound);
    const size_t size = builder.size_bytes();
    const std::vector<std::byte> batch = builder.finish(with(Compression::gzip)).value();
    CHECK(batch.size() == size);
    CHECK(view_of(batch).header.compression().value() == Compression::none);

    REQUIRE(builder.append({}, {}, {}, std::numeric_limits<int64_t>::min()));
    CHECK(builder.append({}, {}, {}, 1).error().code == Code::invalid_timestamp);
    CHECK(builder.count() == 1);
}
