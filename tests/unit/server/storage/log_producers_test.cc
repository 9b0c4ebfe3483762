#include "lib/base/byte_writer.h"
#include "lib/base/crc32c.h"
#include "server/storage/producer_state.h"
#include "server/storage/segment.h"
#include "tests/unit/server/storage/log_fixture.h"

using namespace qtool;
using namespace qtool::storage;
using namespace qtool::storage::test;

namespace {

protocol::BatchHeader header(int32_t sequence, int16_t epoch = 0, int32_t count = 1,
                             int64_t producer = 7) {
    protocol::BatchHeader result;
    result.producer_id = ProducerId(producer);
    result.producer_epoch = ProducerEpoch(epoch);
    result.base_sequence = sequence;
    result.last_offset_delta = count - 1;
    result.records_count = count;
    return result;
}

constexpr int64_t kDay = 86'400'000;

} // namespace

TEST_CASE(
    "a producer's window: the last five are known by offset, older ones known, the next new") {
    ProducerState state;
    const auto code = [&](const protocol::BatchHeader& batch) {
        const auto checked = state.check(batch, wall(kNowMs), kDay);
        return checked ? std::optional<Code>() : checked.error().code;
    };
    const auto is_new = [&](const protocol::BatchHeader& batch) {
        const auto checked = state.check(batch, wall(kNowMs), kDay);
        return checked.has_value() && !*checked;
    };
    CHECK(is_new(header(40))); // unknown: may begin anywhere
    for (int32_t i = 0; i < 7; i++) {
        protocol::BatchHeader batch = header(i * 10, 0, 10);
        batch.base_offset = Offset(100 + i * 10);
        REQUIRE(is_new(batch));
        state.update(batch, wall(kNowMs));
    }
    for (int32_t i = 0; i < 7; i++) {
        const auto known = state.check(header(i * 10, 0, 10), wall(kNowMs), kDay);
        REQUIRE(known);
        REQUIRE(*known);
        CHECK((*known)->base_offset == (i < 2 ? kNoOffset : Offset(100 + i * 10)));
        CHECK((*known)->last_offset == (i < 2 ? Offset(119) : Offset(109 + i * 10)));
    }
    CHECK(code(header(60, 0, 9)) == Code::out_of_order_sequence);
    CHECK(code(header(15, 0, 10)) == Code::out_of_order_sequence); // half of it is in the window
    CHECK(code(header(71)) == Code::out_of_order_sequence);
    CHECK(is_new(header(70)));
    CHECK(code(header(1, 1)) == Code::out_of_order_sequence); // a new epoch begins at 0
    CHECK(is_new(header(0, 1)));
    state.update(header(0, 1), wall(kNowMs));
    CHECK(code(header(70)) == Code::invalid_producer_epoch);
    CHECK(is_new(header(1, 1)));
    CHECK(code(header(5, 1)) == Code::out_of_order_sequence);        // what the old epoch wrote
    CHECK(state.check(header(9, 1), wall(kNowMs + kDay + 1), kDay)); // expired: anywhere again
    state.expire(wall(kNowMs + kDay + 1), kDay);
    CHECK(state.size() == 0);
}

TEST_CASE("sequences wrap around") {
    ProducerState state;
    state.update(header(2'147'483'646, 0, 2), wall(kNowMs));
    CHECK(state.check(header(0), wall(kNowMs), kDay));
    CHECK_FALSE(state.check(header(1), wall(kNowMs), kDay));
    state.update(header(0), wall(kNowMs));
    CHECK(*state.check(header(2'147'483'646, 0, 2), wall(kNowMs), kDay));
}

TEST_CASE("older than the window is a duplicate only where nothing can be missing") {
    ProducerState state;
    int64_t end = 500;
    const auto write = [&](int32_t sequence, int32_t count = 1) {
        protocol::BatchHeader batch = header(sequence, 0, count);
        batch.base_offset = Offset(end);
        end += count;
        state.update(batch, wall(kNowMs));
    };
    const auto is_known = [&](int32_t sequence, int32_t count = 1) {
        const auto checked = state.check(header(sequence, 0, count), wall(kNowMs), kDay);
        return checked.has_value() && *checked && (*checked)->base_offset == kNoOffset;
    };
    SUBCASE("where it was first seen") {
        for (int32_t i = 0; i < 10; i++) {
            write(100 + i);
        }
        CHECK(is_known(104));
        CHECK(is_known(100, 5));
        CHECK_FALSE(is_known(105)); // in the window
        CHECK_FALSE(is_known(104, 2));
        CHECK_FALSE(is_known(99));
        CHECK_FALSE(is_known(99, 2)); // its first record may never have come
        CHECK_FALSE(is_known(0));
        CHECK_FALSE(is_known(111));
    }
    SUBCASE("around the end of the sequences") {
        for (int32_t i = 0; i < 20; i++) {
            write(protocol::next_sequence(2'147'483'640, i));
        }
        CHECK(is_known(2'147'483'640));
        CHECK(is_known(2'147'483'645, 5));
        CHECK(is_known(3, 4));
        CHECK_FALSE(is_known(2'147'483'639));
        CHECK_FALSE(is_known(13));
        CHECK_FALSE(is_known(1'000'000'000));
    }
    SUBCASE("behind a gap, as compaction leaves it") {
        for (int32_t i = 0; i < 10; i++) {
            write(i);
        }
        for (int32_t i = 20; i < 27; i++) {
            write(i);
        }
        CHECK(is_known(21));
        CHECK_FALSE(is_known(5));
        CHECK_FALSE(is_known(15));
    }
    SUBCASE("after more than can be counted") {
        write(0, 2'000'000'000);
        for (int32_t i = 0; i < 6; i++) {
            write(2'000'000'000 + i);
        }
        CHECK(is_known(1'999'999'999));
        CHECK_FALSE(is_known(0));
        CHECK_FALSE(is_known(2'000'000'006));
        CHECK_FALSE(is_known(0, 2'147'483'647));
    }
    const auto read = ProducerState::decode(state.encode(Offset(9)), Offset(9));
    REQUIRE(read);
    for (int32_t i = 0; i < 2000; i++) {
        const protocol::BatchHeader batch = header(i);
        const auto before = state.check(batch, wall(kNowMs), kDay);
        const auto after = read->check(batch, wall(kNowMs), kDay);
        REQUIRE(before.has_value() == after.has_value());
        REQUIRE((before && before->has_value()) == (after && after->has_value()));
    }
}

TEST_CASE("a snapshot reads back, and damaged ones do not") {
    ProducerState state;
    for (int32_t i = 0; i < 9; i++) {
        state.update(header(i / 3, 0, 1, i % 3), wall(kNowMs + i));
    }
    const std::vector<std::byte> bytes = state.encode(Offset(50));
    const auto read = ProducerState::decode(bytes, Offset(50));
    REQUIRE(read);
    CHECK(read->encode(Offset(50)) == bytes);
    CHECK_FALSE(ProducerState::decode(bytes, Offset(51)));
    for (size_t i = 0; i < bytes.size(); i++) {
        std::vector<std::byte> bad = bytes;
        bad[i] ^= std::byte{4};
        CHECK_FALSE(ProducerState::decode(bad, Offset(50)));
        bad.resize(i);
        CHECK_FALSE(ProducerState::decode(bad, Offset(50)));
    }
}

TEST_CASE("producers remembered are bounded: those longest silent go first") {
    ProducerState state;
    for (int32_t i = 0; i < static_cast<int32_t>(kProducersPerPartitionMax) + 10; i++) {
        state.update(header(0, 0, 1, i), wall(kNowMs + i));
    }
    CHECK(state.size() <= kProducersPerPartitionMax);
    CHECK(state.evicted() > 0);
    CHECK_FALSE(*state.check(header(0, 0, 1, 0), wall(kNowMs), kDay)); // forgotten
    CHECK(*state.check(header(0, 0, 1, 10'005), wall(kNowMs), kDay));
}

TEST_CASE_FIXTURE(LogFixture, "a retry is answered with the offsets of its first copy, always") {
    config.segment_bytes = 600;
    log->set_config(config);
    for (int32_t i = 0; i < 12; i++) {
        append({.count = 2, .value_size = 60, .producer = 7, .sequence = i * 2});
        append({.value_size = 60, .producer = 8, .sequence = i});
    }
    SUBCASE("without a stop") {}
    SUBCASE("after falling idle") {
        flush();
        log->release_idle();
        REQUIRE(log->is_cold());
    }
    SUBCASE("after a clean stop") {
        close_and_open();
    }
    SUBCASE("after a kill") {
        kill_and_open(5);
    }
    SUBCASE("after a kill, snapshots lost") {
        for (const std::string& name : disk.names(directory)) {
            if (name.ends_with(".snapshot")) {
                REQUIRE(disk.remove(directory + "/" + name));
            }
        }
        kill_and_open(36);
    }
    SUBCASE("after a clean stop, snapshots damaged") {
        REQUIRE(log->close());
        for (const std::string& name : disk.names(directory)) {
            if (name.ends_with(".snapshot")) {
                disk.bytes(directory + "/" + name)[20] ^= std::byte{1};
            }
        }
        hint.clean = log->state_for_checkpoint();
        open();
    }
    SUBCASE("after power loss behind a flush") {
        flush();
        lose_power_and_open(36);
    }
    for (int32_t i = 7; i < 12; i++) {
        const AppendInfo again =
            append({.count = 2, .value_size = 60, .producer = 7, .sequence = i * 2});
        CHECK_FALSE(again.appended);
        CHECK(again.base_offset == Offset(i * 3));
        CHECK(again.last_offset == Offset(i * 3 + 1));
    }
    CHECK(log->log_end_offset() == Offset(36));
    for (int32_t i = 0; i < 7; i++) {
        const AppendInfo old =
            append({.count = 2, .value_size = 60, .producer = 7, .sequence = i * 2});
        CHECK_FALSE(old.appended);
        CHECK(old.base_offset == kNoOffset);
        CHECK(old.last_offset == Offset(20));
    }
    CHECK(log->log_end_offset() == Offset(36));
    CHECK(try_append({.producer = 7, .sequence = 25}).error().code == Code::out_of_order_sequence);
    CHECK(append({.producer = 7, .sequence = 24}).base_offset == Offset(36));
    CHECK(append({.producer = 7, .epoch = 1, .sequence = 0}).base_offset == Offset(37));
    CHECK(try_append({.producer = 7, .sequence = 25}).error().code == Code::invalid_producer_epoch);
}

TEST_CASE_FIXTURE(LogFixture, "the flush after eight segments leaves the snapshots it needs") {
    config.segment_bytes = 300;
    log->set_config(config);
    int32_t sequence = 0;
    const auto append_segments = [&](int count) {
        for (int i = 0; i < count; i++) { // one batch a segment
            append({.value_size = 150, .producer = 7, .sequence = sequence++});
        }
    };
    const auto snapshots = [&] {
        std::vector<std::string> found;
        for (const std::string& name : disk.names(directory)) {
            if (name.ends_with(".snapshot")) {
                found.push_back(name);
            }
        }
        return found;
    };
    const auto snapshot = [](int64_t taken_at) {
        return offset_file_name(Offset(taken_at)) + ".snapshot";
    };
    append_segments(8);
    flush();
    const int syncs = disk.syncs;
    append_segments(8);
    CHECK(disk.syncs == syncs); // who appends waits for none
    REQUIRE(snapshots().size() == 15);
    SUBCASE("what is left reaches back to what was synced before, and outlives a power loss") {
        flush();
        const std::string kept = snapshot(8);
        CHECK(snapshots().size() == 8);
        CHECK(snapshots().front() == kept);
        lose_power_and_open(16);
        CHECK_FALSE(disk.bytes(directory + "/" + kept).empty());
        CHECK_FALSE(append({.value_size = 150, .producer = 7, .sequence = 15}).appended);
        CHECK(append({.producer = 7, .sequence = 16}).base_offset == Offset(16));
    }
    SUBCASE("one that cannot be read takes the place of none") {
        disk.bytes(directory + "/" + snapshot(8)).clear();
        flush();
        CHECK(snapshots().size() == 9);
        CHECK(snapshots().front() == snapshot(7));
    }
    SUBCASE("one that is gone when the flush is done takes no other with it") {
        const auto work = log->begin_flush();
        REQUIRE(work);
        REQUIRE(disk.remove(directory + "/" + snapshot(8)));
        REQUIRE(log->finish_flush(**work));
        CHECK(snapshots().size() == 14);
    }
}

TEST_CASE_FIXTURE(LogFixture, "snapshots do not pile up in a log that is now idle, now busy") {
    for (int32_t i = 0; i < 20; i++) {
        append({.producer = 7, .sequence = i});
        flush();
        log->release_idle();
        REQUIRE(log->is_cold());
    }
    int snapshots = 0;
    for (const std::string& name : disk.names(directory)) {
        snapshots += name.ends_with(".snapshot") ? 1 : 0;
    }
    CHECK(snapshots == 1);
}

TEST_CASE_FIXTURE(LogFixture,
                  "what comes behind a batch that was refused for now is refused for it") {
    append({.producer = 7});
    const auto code = [&](int32_t sequence, int16_t epoch = 0) -> std::optional<Code> {
        const auto info = try_append({.producer = 7, .epoch = epoch, .sequence = sequence});
        return info ? std::nullopt : std::optional(info.error().code);
    };
    CHECK(code(2) == Code::out_of_order_sequence); // nothing was refused: it is lost
    log->set_low_space(true);
    CHECK(code(1) == Code::storage_full);
    CHECK(code(2) == Code::storage_full);
    log->set_low_space(false);
    CHECK(code(3) == Code::storage_full); // overtook those that come again
    SUBCASE("all come again") {
        CHECK(code(1) == std::nullopt);
        CHECK(code(3) == Code::out_of_order_sequence);
        CHECK(code(2) == std::nullopt);
        CHECK(code(3) == std::nullopt);
    }
    SUBCASE("the client gave them up") {
        CHECK(code(0, 1) == std::nullopt);
        CHECK(code(2, 1) == Code::out_of_order_sequence);
    }
    SUBCASE("so it is at the beginning of an epoch") {
        log->set_low_space(true);
        CHECK(code(0, 1) == Code::storage_full);
        log->set_low_space(false);
        CHECK(code(1, 1) == Code::storage_full);
        CHECK(code(1) == std::nullopt); // of the epoch before
        CHECK(code(0, 1) == std::nullopt);
        CHECK(code(1, 1) == std::nullopt);
    }
    SUBCASE("with the code it was refused with") {
        CHECK(code(1) == std::nullopt);
        log->note_refused(make_batch({.producer = 7, .sequence = 2}), Code::not_enough_replicas,
                          wall(now_ms));
        CHECK(code(3) == Code::not_enough_replicas);
        CHECK(code(2) == std::nullopt);
    }
}

TEST_CASE("a snapshot of version 1, from before transactions, still reads") {
    ByteWriter body(64);
    body.be<int64_t>(50); // offset
    body.be<uint32_t>(2);
    body.be<int64_t>(7); // producer, epoch, last write, no batches: it was refused once
    body.be<int16_t>(0);
    body.be<int64_t>(kNowMs);
    body.be<uint8_t>(0);
    body.be<int64_t>(8);
    body.be<int16_t>(3);
    body.be<int64_t>(kNowMs);
    body.be<uint8_t>(1);
    body.be<int32_t>(4); // first, last sequence
    body.be<int32_t>(5);
    body.be<int64_t>(40);
    body.be<int32_t>(1);
    body.be<int64_t>(kNowMs);
    ByteWriter snapshot(128);
    snapshot.be<uint32_t>(0x51505253);
    snapshot.be<uint32_t>(1);
    snapshot.be<uint32_t>(crc32c(body.view()));
    for (const std::byte byte : body.view()) {
        snapshot.be<uint8_t>(static_cast<uint8_t>(byte));
    }
    const auto state = ProducerState::decode(snapshot.view(), Offset(50));
    REQUIRE(state);
    CHECK(state->size() == 1);
    CHECK(state->first_open() == kNoOffset);
    CHECK(state->check(header(6, 3, 1, 8), wall(kNowMs), kDay));
    CHECK_FALSE(state->check(header(7, 3, 1, 8), wall(kNowMs), kDay));
    CHECK(state->check(header(40), wall(kNowMs), kDay)); // may begin anywhere
}
