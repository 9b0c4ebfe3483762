// Proves that a read which is told not to wait never touches what is not in memory: it names the
// bytes, and once they were read in, a few times at most, it finds what a read that waits finds.
#include "server/storage/segment.h"
#include "tests/unit/server/storage/log_fixture.h"

using namespace qtool;
using namespace qtool::storage;
using namespace qtool::storage::test;

namespace {

struct ColdFixture : LogFixture {
    int read_ins = 0; // of the last read

    /// Reads of the log that waited. Of an index single places may be gone again.
    [[nodiscard]] int64_t waits() const {
        return std::count_if(disk.waits.begin(), disk.waits.end(),
                             [](const std::string& path) { return path.ends_with(kLogExtension); });
    }

    /// Reads as a core does: what is absent is read in, and the next try follows.
    ReadInfo read_when_there(Offset from, Offset end, uint32_t bytes_max) {
        for (read_ins = 0;; read_ins++) {
            REQUIRE(read_ins < 8);
            Result<ReadInfo> info = log->read(from, end, bytes_max, IfAbsent::tell);
            REQUIRE(info);
            if (info->absent.size == 0) {
                return *std::move(info);
            }
            CHECK(info->range.size == 0);
            CHECK(info->range.file == nullptr);
            disk.read_in(info->absent, Token{});
        }
    }
    /// From everywhere, with bounds and sizes of all kinds.
    void check_all(int read_ins_max) {
        const int64_t log_end = log->log_end_offset().value();
        for (int64_t from = 0; from < log_end; from += 3) {
            for (const int64_t end : {from + 1, from + 40, log_end}) {
                for (const uint32_t bytes_max : {0U, 900U, 5'000U, 1'000'000U}) {
                    CAPTURE(from);
                    CAPTURE(end);
                    CAPTURE(bytes_max);
                    disk.is_cold = false;
                    const auto expected = log->read(Offset(from), Offset(end), bytes_max);
                    REQUIRE(expected);
                    disk.is_cold = true;
                    disk.forget_memory();
                    disk.waits.clear();
                    const ReadInfo found = read_when_there(Offset(from), Offset(end), bytes_max);
                    CHECK(found.range.position == expected->range.position);
                    CHECK(found.range.size == expected->range.size);
                    CHECK(found.first_base_offset == expected->first_base_offset);
                    CHECK(found.first_batch_size == expected->first_batch_size);
                    CHECK(read_ins <= read_ins_max);
                    if (end == log_end) { // else the bound may lie far behind what is read
                        CHECK(waits() == 0);
                    }
                }
            }
        }
    }
};

} // namespace

TEST_CASE_FIXTURE(ColdFixture, "cold read: it names what is not in memory, and then reads") {
    config.index_interval_bytes = 1000;
    log->set_config(config);
    for (int i = 0; i < 200; i++) { // more than the ring of the tail holds
        append({.count = 2});
    }
    const uint64_t batch_size = disk.bytes(segment(0)).size() / 200;
    disk.is_cold = true;
    const auto absent = log->read(Offset(20), Offset(400), 3000, IfAbsent::tell);
    REQUIRE(absent);
    CHECK(absent->range.size == 0);
    REQUIRE(absent->absent.size > 3000); // with what is before it in the index, and a header behind
    CHECK(absent->absent.position <= 10 * batch_size);
    CHECK(waits() == 0);
    disk.read_in(absent->absent, Token{1, 1});
    REQUIRE(disk.read_ins.size() == 1);
    CHECK(disk.read_ins[0].path == segment(0));
    const auto found = log->read(Offset(20), Offset(400), 3000, IfAbsent::tell);
    REQUIRE(found);
    CHECK(found->absent.size == 0);
    CHECK(found->range.position == 10 * batch_size);
    CHECK(found->range.size == 3000 / batch_size * batch_size);
    CHECK(waits() == 0);

    // The tail needs nothing of the file, and a read that may wait does.
    disk.forget_memory();
    CHECK(log->read(Offset(390), Offset(400), 3000, IfAbsent::tell)->range.size > 0);
    CHECK(waits() == 0);
    CHECK(log->read(Offset(20), Offset(400), 3000)->range.size > 0);
    CHECK(waits() > 0);
}

TEST_CASE_FIXTURE(ColdFixture, "cold read: from everywhere, over segments and their indexes") {
    config.segment_bytes = 4000;
    config.index_interval_bytes = 300;
    log->set_config(config);
    for (int i = 0; i < 120; i++) {
        append({.count = 1 + i % 3, .value_size = static_cast<size_t>(i % 7) * 20});
    }
    REQUIRE(log->segment_count() > 3);
    check_all(2);
    close_and_open();
    check_all(3);
}

TEST_CASE_FIXTURE(ColdFixture, "cold read: a batch far larger than was asked for comes whole") {
    append({.value_size = 10});
    append({.value_size = 200'000});
    append({.value_size = 300'000});
    append({.value_size = 10});
    flush();
    log->release_idle();
    check_all(3);
}

TEST_CASE_FIXTURE(ColdFixture, "cold read: a lost index is made anew") {
    config.segment_bytes = 4000;
    config.index_interval_bytes = 300;
    log->set_config(config);
    for (int i = 0; i < 60; i++) {
        append({.value_size = 50});
    }
    close_and_open();
    std::vector<std::byte>& index =
        disk.bytes(directory + "/" + offset_file_name(Offset(0)) + std::string(kIndexExtension));
    REQUIRE(index.size() > 40);
    index[20] ^= std::byte{1};
    disk.is_cold = true;
    const ReadInfo found = read_when_there(Offset(0), log->log_end_offset(), 1000);
    CHECK(found.first_base_offset == Offset(0));
    CHECK(found.range.size > 0);
}
