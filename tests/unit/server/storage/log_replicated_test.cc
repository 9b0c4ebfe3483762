// A follower's log: batches keep their offsets and epochs, a cut is durable and leaves nothing of
// what was cut, whenever the process or the power goes, and the transactions are those of what is
// left.
#include "lib/protocol/control_record.h"
#include "tests/unit/server/storage/log_fixture.h"

using namespace qtool;
using namespace qtool::storage;
using namespace qtool::storage::test;

namespace {

/// A leader's log, and a follower that fetches from it.
struct Pair {
    LogFixture leader;
    LogFixture follower;

    [[nodiscard]] std::vector<std::byte> fetch(Offset from, uint32_t bytes_max = 1'000'000) const {
        const Result<ReadInfo> info =
            leader.log->read(from, leader.log->log_end_offset(), bytes_max);
        REQUIRE(info);
        std::vector<std::byte> bytes(info->range.size);
        REQUIRE(info->range.file->read_at(bytes, info->range.position) == bytes.size());
        return bytes;
    }
    Result<void> follow() {
        Log& log = *follower.log;
        while (log.log_end_offset() < leader.log->log_end_offset()) {
            const std::vector<std::byte> bytes = fetch(log.log_end_offset());
            QT_TRY_ASSIGN(const AppendInfo info,
                          log.append_replicated(bytes, wall(follower.now_ms)));
            REQUIRE(info.appended);
        }
        return {};
    }
};

BatchShape of_producer(int64_t producer, int32_t sequence, bool transactional = false) {
    BatchShape shape;
    shape.producer = producer;
    shape.sequence = sequence;
    shape.transactional = transactional;
    return shape;
}

void end_transaction(Log& log, int64_t producer, protocol::ControlType type) {
    protocol::TransactionMarker marker;
    marker.producer_id = ProducerId(producer);
    marker.producer_epoch = ProducerEpoch(0);
    marker.type = type;
    marker.coordinator_epoch = 1;
    REQUIRE(log.append_marker(marker, 0, LeaderEpoch(0), wall(kNowMs)));
}

void begin_transaction(Log& log, int64_t producer) {
    std::vector<std::byte> batch = make_batch(of_producer(producer, 0, true));
    const auto asked = log.append(batch, LeaderEpoch(0), wall(kNowMs));
    REQUIRE(asked);
    REQUIRE(asked->verification_guard != 0);
    const auto appended =
        log.append(batch, LeaderEpoch(0), wall(kNowMs), {asked->verification_guard, false});
    REQUIRE(appended);
    REQUIRE(appended->appended);
}

} // namespace

TEST_CASE("a follower's log is its leader's, byte for byte") {
    Pair pair;
    pair.leader.config.segment_bytes = 600;
    pair.leader.log->set_config(pair.leader.config);
    for (int i = 0; i < 20; i++) {
        pair.leader.append({.count = 1 + i % 3}, i < 10 ? 3 : 7);
    }
    REQUIRE(pair.follow());
    CHECK(pair.follower.log->log_end_offset() == pair.leader.log->log_end_offset());
    CHECK(pair.follower.read_all(0) == pair.leader.read_all(0));
    for (int64_t at = 0; at < pair.leader.log->log_end_offset().value(); at++) {
        CHECK(pair.follower.log->epoch_at(Offset(at)) == pair.leader.log->epoch_at(Offset(at)));
    }
    pair.follower.flush();
    pair.follower.kill_and_open(pair.follower.log->synced_end_offset().value());
    CHECK(pair.follower.read_all(0) == pair.leader.read_all(0));
    CHECK(pair.follower.log->latest_epoch() == LeaderEpoch(7));
}

TEST_CASE("what does not follow the log's end, or is damaged, is refused") {
    Pair pair;
    pair.leader.append({.count = 2}, 1);
    pair.leader.append({.count = 2}, 1);
    const std::vector<std::byte> all = pair.fetch(Offset(0));
    REQUIRE(pair.follow());
    Log& log = *pair.follower.log;
    CHECK(log.append_replicated(all, wall(kNowMs)).error().code == Code::invalid_record);

    pair.leader.append({.count = 2}, 2);
    std::vector<std::byte> next = pair.fetch(Offset(4));
    std::vector<std::byte> damaged = next;
    damaged.back() ^= std::byte{1};
    CHECK(log.append_replicated(damaged, wall(kNowMs)).error().code == Code::corrupt);
    CHECK(log.log_end_offset() == Offset(4));

    // A range that ends inside a batch.
    const Result<AppendInfo> cut =
        log.append_replicated(ByteView(next).first(next.size() - 1), wall(kNowMs));
    REQUIRE(cut);
    CHECK_FALSE(cut->appended);

    std::vector<std::byte> older = next;
    protocol::patch_base_offset_and_epoch(older, Offset(4), LeaderEpoch(0));
    CHECK(log.append_replicated(older, wall(kNowMs)).error().code == Code::invalid_record);
    REQUIRE(log.append_replicated(next, wall(kNowMs)));

    log.set_low_space(true);
    pair.leader.append({}, 2);
    CHECK(log.append_replicated(pair.fetch(Offset(6)), wall(kNowMs)).error().code ==
          Code::storage_full);
    log.set_low_space(false);
    REQUIRE(log.append_replicated(pair.fetch(Offset(6)), wall(kNowMs)));
}

TEST_CASE("a follower knows producers and transactions as its leader does") {
    Pair pair;
    pair.leader.append(of_producer(5, 0));
    begin_transaction(*pair.leader.log, 6);
    begin_transaction(*pair.leader.log, 7);
    end_transaction(*pair.leader.log, 6, protocol::ControlType::abort);
    REQUIRE(pair.follow());
    Log& log = *pair.follower.log;
    const auto known = log.producers(wall(kNowMs));
    REQUIRE(known);
    REQUIRE(known->size() == 3);
    // The abort marker is at offset 3: until the high watermark passes it, 6 is undecided.
    CHECK(log.first_unstable_offset(Offset(3)) == Offset(1));
    CHECK(log.first_unstable_offset(Offset(4)) == Offset(2)); // 7 is open
    const Result<ReadInfo> read = log.read(Offset(0), log.log_end_offset(), 1'000'000);
    REQUIRE(read);
    const auto aborted = log.aborted_in(Offset(0), *read);
    REQUIRE(aborted);
    REQUIRE(aborted->size() == 1);
    CHECK((*aborted)[0].producer_id == ProducerId(6));
    // As leader it knows a retry.
    std::vector<std::byte> again = make_batch(of_producer(5, 0));
    const auto retry = log.append(again, LeaderEpoch(1), wall(kNowMs));
    REQUIRE(retry);
    CHECK_FALSE(retry->appended);
    CHECK(retry->base_offset == Offset(0));
}

TEST_CASE("a marker above the high watermark decides nothing, also after a crash") {
    for (const bool is_clean : {false, true}) {
        CAPTURE(is_clean);
        LogFixture f;
        begin_transaction(*f.log, 6);                              // 0
        f.append();                                                // 1
        end_transaction(*f.log, 6, protocol::ControlType::commit); // 2
        f.append();                                                // 3
        f.flush();
        CHECK(f.log->first_unstable_offset(Offset(2)) == Offset(0));
        if (is_clean) {
            f.close_and_open();
        } else {
            f.hint.high_watermark = Offset(2);
            f.kill_and_open(4);
        }
        CHECK(f.log->first_unstable_offset(Offset(2)) == Offset(0));
        CHECK(f.log->first_unstable_offset(Offset(3)) == kNoOffset);
    }
}

TEST_CASE("a cut leaves what ends at or below the offset") {
    LogFixture f;
    f.config.segment_bytes = 300;
    f.log->set_config(f.config);
    for (int i = 0; i < 12; i++) {
        f.append({.count = 2}, i / 4);
    }
    f.flush();
    const std::vector<int64_t> all = f.read_all(0);
    int64_t to = 24;
    SUBCASE("at a batch") {
        to = 14;
    }
    SUBCASE("inside a batch") {
        to = 15;
    }
    SUBCASE("the start") {
        to = 0;
    }
    SUBCASE("the end") {
        to = 24;
    }
    SUBCASE("the first batch of a segment") {
        to = 6;
    }
    REQUIRE(f.log->truncate_to(Offset(to), wall(f.now_ms)));
    const int64_t end = to - to % 2;
    CHECK(f.log->log_end_offset() == Offset(end));
    CHECK(f.log->synced_end_offset() == Offset(end));
    std::vector<int64_t> kept = all;
    std::erase_if(kept, [&](int64_t base) { return base >= end; });
    CHECK(f.read_all(0) == kept);
    CHECK(f.log->latest_epoch() ==
          (end == 0 ? kNoLeaderEpoch : LeaderEpoch(static_cast<int32_t>((end / 2 - 1) / 4))));

    // The old recovery point says 24 was synced.
    f.lose_power_and_open(24);
    REQUIRE_FALSE(f.log->failure());
    CHECK(f.log->log_end_offset() == Offset(end));
    CHECK(f.read_all(0) == kept);

    // It goes on there; once it has grown past its old end, the old notes are true again.
    for (int i = 0; i < 13; i++) {
        f.append({.count = 2}, 9);
    }
    static_cast<void>(f.log->first_unstable_offset(f.log->log_end_offset()));
    f.flush();
    CHECK_FALSE(f.disk.has(f.directory + "/truncation"));
    f.lose_power_and_open(24);
    CHECK(f.log->log_end_offset() == Offset(end + 26));
}

TEST_CASE("a flush under way when the log is cut makes nothing durable") {
    LogFixture f;
    f.append({.count = 4});
    f.append({.count = 4});
    const auto work = f.log->begin_flush();
    REQUIRE(work);
    REQUIRE(*work);
    REQUIRE(f.log->truncate_to(Offset(4), wall(f.now_ms)));
    f.append({.count = 4}, 1);
    for (const port::FileRef& file : (*work)->files) {
        REQUIRE(file->sync_blocking());
    }
    REQUIRE(f.log->finish_flush(**work));
    CHECK(f.log->synced_end_offset() == Offset(0));
    f.flush();
    CHECK(f.log->synced_end_offset() == Offset(8));
}

TEST_CASE("transactions are those of what a cut left") {
    LogFixture f;
    begin_transaction(*f.log, 6);                             // 0
    begin_transaction(*f.log, 7);                             // 1
    end_transaction(*f.log, 6, protocol::ControlType::abort); // 2
    end_transaction(*f.log, 7, protocol::ControlType::abort); // 3
    f.flush();
    REQUIRE(f.log->truncate_to(Offset(3), wall(f.now_ms)));
    CHECK(f.log->first_unstable_offset(Offset(3)) == Offset(1)); // 7 is open again
    const Result<ReadInfo> read = f.log->read(Offset(0), Offset(3), 1'000'000);
    REQUIRE(read);
    const auto aborted = f.log->aborted_in(Offset(0), *read);
    REQUIRE(aborted);
    REQUIRE(aborted->size() == 1);
    CHECK((*aborted)[0].producer_id == ProducerId(6));
}

TEST_CASE("a log restarts empty where it is told to") {
    LogFixture f;
    const int batches = 5;
    int64_t at = 0;
    SUBCASE("above its end") {
        at = 1000;
    }
    SUBCASE("inside") {
        at = 4;
    }
    SUBCASE("below its start") {
        at = 1;
        for (int i = 0; i < batches; i++) {
            f.append({.count = 2});
        }
        f.flush();
        f.delete_below(Offset(6));
    }
    SUBCASE("without ever having had a record") {
        at = 77;
    }
    if (at != 1 && at != 77) {
        for (int i = 0; i < batches; i++) {
            f.append({.count = 2});
        }
        f.flush();
    }
    const int64_t synced = f.log->synced_end_offset().value();
    REQUIRE(f.log->restart_at(Offset(at), wall(f.now_ms)));
    CHECK(f.log->log_start_offset() == Offset(at));
    CHECK(f.log->log_end_offset() == Offset(at));
    CHECK(f.log->latest_epoch() == kNoLeaderEpoch);
    f.lose_power_and_open(synced);
    REQUIRE_FALSE(f.log->failure());
    CHECK(f.log->log_start_offset() == Offset(at));
    CHECK(f.log->log_end_offset() == Offset(at));
    CHECK(f.append({}, 4).base_offset == Offset(at));
    CHECK(f.read_all(at) == std::vector<int64_t>{at});
}

TEST_CASE("a log that began anew knows the producers behind its start, and no others") {
    Pair pair;
    pair.leader.append(of_producer(5, 0)); // 0
    pair.leader.append(of_producer(6, 0)); // 1
    REQUIRE(pair.follow());
    pair.leader.append(of_producer(6, 1)); // 2
    pair.leader.delete_below(Offset(2));
    LogFixture& follower = pair.follower;
    REQUIRE(follower.log->restart_at(Offset(2), wall(kNowMs)));
    REQUIRE(pair.follow());
    follower.flush();
    SUBCASE("at once") {}
    SUBCASE("after a crash") {
        follower.lose_power_and_open(follower.log->synced_end_offset().value());
    }
    SUBCASE("after a clean stop") {
        follower.close_and_open();
    }
    CHECK_FALSE(follower.append(of_producer(6, 1)).appended); // known
    const Result<AppendInfo> gap = follower.try_append(of_producer(6, 3));
    REQUIRE_FALSE(gap);
    CHECK(gap.error().code == Code::out_of_order_sequence);
    // A retry of what was deleted, where a later batch of its producer is known: in Kafka, too, it
    // is refused, and its producer does not learn that it was written.
    const Result<AppendInfo> deleted = follower.try_append(of_producer(6, 0));
    REQUIRE_FALSE(deleted);
    CHECK(deleted.error().code == Code::out_of_order_sequence);
    // Deleted there, so fetches did not bring it: may begin anywhere, as in Kafka.
    CHECK(follower.append(of_producer(5, 0)).base_offset == Offset(3));
    // The leader knows it still.
    CHECK_FALSE(pair.leader.append(of_producer(5, 0)).appended);
}

TEST_CASE("an index that could not be removed is not taken for that of the next segment") {
    LogFixture f;
    begin_transaction(*f.log, 6);                             // 0
    end_transaction(*f.log, 6, protocol::ControlType::abort); // 1
    f.flush();
    const std::string index = f.directory + "/00000000000000000000.txnindex";
    REQUIRE(f.disk.has(index));
    f.disk.unremovable_suffix = ".txnindex";
    REQUIRE(f.log->restart_at(Offset(0), wall(f.now_ms)));
    REQUIRE(f.disk.has(index));
    const auto refused = f.try_append({.count = 2}, 4);
    REQUIRE_FALSE(refused); // a segment of that name would own the index
    CHECK(refused.error().code == Code::storage_io);
    f.disk.unremovable_suffix.clear();
    f.append({.count = 2}, 4);
    f.flush();
    CHECK_FALSE(f.disk.has(index));
    f.close_and_open();
    const Result<ReadInfo> read = f.log->read(Offset(0), Offset(2), 1'000'000);
    REQUIRE(read);
    const auto aborted = f.log->aborted_in(Offset(0), *read);
    REQUIRE(aborted);
    CHECK(aborted->empty());
}

TEST_CASE("a cut that cannot be made durable when the log falls idle ends the log") {
    LogFixture f;
    f.append({.count = 2});
    f.append({.count = 2});
    f.flush();
    f.disk.is_full = true; // half of the batch is written, and taken back
    REQUIRE_FALSE(f.try_append({.count = 2}));
    f.disk.is_full = false;
    f.disk.fails_sync = true;
    f.log->release_idle();
    f.disk.fails_sync = false;
    REQUIRE(f.log->failure()); // another try would succeed and bring nothing
}

TEST_CASE("a log that starts within a batch takes the whole batch") {
    Pair pair;
    pair.leader.append({.count = 4}, 1);
    pair.leader.append({.count = 2}, 2);
    pair.leader.delete_below(Offset(2));
    LogFixture& follower = pair.follower;
    SUBCASE("empty from the beginning") {
        REQUIRE(follower.log->restart_at(Offset(2), wall(kNowMs)));
    }
    SUBCASE("after a crash") {
        REQUIRE(follower.log->restart_at(Offset(2), wall(kNowMs)));
        follower.lose_power_and_open(0);
    }
    SUBCASE("cut down to its start") {
        REQUIRE(follower.log->append_replicated(pair.fetch(Offset(2)), wall(kNowMs)));
        follower.delete_below(Offset(2));
        REQUIRE(follower.log->truncate_to(Offset(2), wall(kNowMs)));
        if (follower.log->log_end_offset() < Offset(2)) {
            REQUIRE(follower.log->restart_at(Offset(2), wall(kNowMs)));
        }
    }
    REQUIRE(pair.follow());
    CHECK(follower.log->log_start_offset() == Offset(2));
    CHECK(follower.read_all(2) == pair.leader.read_all(2));
    follower.flush();
    follower.lose_power_and_open(follower.log->synced_end_offset().value());
    REQUIRE_FALSE(follower.log->failure());
    CHECK(follower.log->log_start_offset() == Offset(2));
    CHECK(follower.log->log_end_offset() == Offset(6));
    CHECK(follower.read_all(2) == pair.leader.read_all(2));
}

TEST_CASE("a batch across the log's start that is refused leaves the log as it is") {
    LogFixture f;
    f.append({.count = 4}, 5);
    f.flush();
    f.delete_below(Offset(4));
    REQUIRE(f.log->latest_epoch() == LeaderEpoch(5));
    std::vector<std::byte> older = make_batch({.count = 4});
    protocol::patch_base_offset_and_epoch(older, Offset(2), LeaderEpoch(1));
    CHECK(f.log->append_replicated(older, wall(kNowMs)).error().code == Code::invalid_record);
    CHECK(f.log->log_start_offset() == Offset(4));
    CHECK(f.log->log_end_offset() == Offset(4));
    CHECK(f.append({}, 6).base_offset == Offset(4));
}

TEST_CASE("a crash at any step of a cut leaves a log that ends between both ends") {
    for (const bool is_power : {false, true}) {
        for (int steps = 0; steps < 60; steps++) {
            CAPTURE(is_power);
            CAPTURE(steps);
            LogFixture f;
            f.config.segment_bytes = 300;
            f.log->set_config(f.config);
            for (int i = 0; i < 8; i++) {
                f.append({.count = 2});
            }
            f.flush();
            const std::vector<int64_t> all = f.read_all(0);
            f.disk.changes_left = steps;
            const bool is_done = f.log->truncate_to(Offset(6), wall(f.now_ms)).has_value();
            f.disk.changes_left.reset();
            if (is_power) {
                f.lose_power_and_open(16);
            } else {
                f.kill_and_open(16);
            }
            REQUIRE_FALSE(f.log->failure());
            const int64_t end = f.log->log_end_offset().value();
            CHECK(end >= 6);
            CHECK(end <= (is_done ? 6 : 16));
            std::vector<int64_t> kept = all;
            std::erase_if(kept, [&](int64_t base) { return base >= end; });
            CHECK(f.read_all(0) == kept);
            f.append({}, 1);
        }
    }
}
