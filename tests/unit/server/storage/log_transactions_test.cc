// Proves what a log knows of transactions: who may write (verification, epochs, fencing), where the
// stable part ends, and which transactions were aborted; and that all of it is there again after
// every kind of stop, on a disk that forgets what was not synced.
#include "tests/unit/server/storage/log_fixture.h"

using namespace qtool;
using namespace qtool::storage;
using namespace qtool::storage::test;

namespace {

constexpr auto kCommit = protocol::ControlType::commit;
constexpr auto kAbort = protocol::ControlType::abort;

protocol::TransactionMarker marker(int64_t producer, protocol::ControlType type, int16_t epoch = 0,
                                   int32_t coordinator_epoch = 1) {
    protocol::TransactionMarker result;
    result.type = type;
    result.producer_id = ProducerId(producer);
    result.producer_epoch = ProducerEpoch(epoch);
    result.coordinator_epoch = coordinator_epoch;
    return result;
}

struct TransactionsFixture : LogFixture {
    Result<AppendInfo> try_write(const BatchShape& shape, const TransactionProof& proof = {}) {
        BatchShape in_transaction = shape;
        in_transaction.transactional = true;
        std::vector<std::byte> batch = make_batch(in_transaction);
        return log->append(batch, LeaderEpoch(0), wall(now_ms), proof);
    }
    /// Appends, verified if need be.
    AppendInfo write(const BatchShape& shape, bool is_v2 = false) {
        Result<AppendInfo> info = try_write(shape, {0, is_v2});
        REQUIRE_MESSAGE(info, (info ? "" : to_string(info.error())));
        if (info->verification_guard != 0) {
            info = try_write(shape, {info->verification_guard, is_v2});
            REQUIRE_MESSAGE(info, (info ? "" : to_string(info.error())));
        }
        REQUIRE(info->verification_guard == 0);
        return *info;
    }
    Result<AppendInfo> try_end(const protocol::TransactionMarker& ended, int16_t version = 1) {
        return log->append_marker(ended, version, LeaderEpoch(0), wall(now_ms));
    }
    Offset end(int64_t producer, protocol::ControlType type) {
        const Result<AppendInfo> info = try_end(marker(producer, type));
        REQUIRE_MESSAGE(info, (info ? "" : to_string(info.error())));
        return info->base_offset;
    }
    int64_t unstable() { return log->first_unstable_offset(log->synced_end_offset()).value(); }
    /// "producer:first-marker" of each aborted transaction that a read of `bytes_max` reports.
    std::string aborted(int64_t from, uint32_t bytes_max = 1'000'000) {
        const Result<ReadInfo> read = log->read(Offset(from), log->log_end_offset(), bytes_max);
        REQUIRE(read);
        const auto entries = log->aborted_in(Offset(from), *read);
        REQUIRE_MESSAGE(entries, (entries ? "" : to_string(entries.error())));
        std::string text;
        for (const AbortedTransaction& entry : *entries) {
            text += (text.empty() ? "" : " ") + std::to_string(entry.producer_id.value()) + ":" +
                    std::to_string(entry.first_offset.value()) + "-" +
                    std::to_string(entry.last_offset.value());
        }
        return text;
    }
    int64_t sequence = 0;
    void fill(int count) {
        for (int i = 0; i < count; i++) {
            append({.value_size = 60});
        }
    }
};

} // namespace

TEST_CASE_FIXTURE(TransactionsFixture, "a transaction begins when it is verified, and once") {
    const auto first = try_write({.producer = 7});
    REQUIRE(first);
    CHECK_FALSE(first->appended);
    CHECK(first->verification_guard != 0);
    CHECK(log->log_end_offset() == Offset(0));
    CHECK(unstable() == -1);
    SUBCASE("the guard lets it in, and what follows needs none") {
        CHECK(try_write({.producer = 7}, {first->verification_guard})->base_offset == Offset(0));
        CHECK(try_write({.producer = 7, .sequence = 1})->base_offset == Offset(1));
        CHECK(unstable() == 0);
    }
    SUBCASE("a wrong guard does not") {
        const auto again = try_write({.producer = 7}, {first->verification_guard + 1});
        CHECK(again->verification_guard == first->verification_guard);
    }
    SUBCASE("a marker in between voids it") {
        end(7, kAbort);
        const auto again = try_write({.producer = 7}, {first->verification_guard});
        CHECK_FALSE(again->appended);
        CHECK(again->verification_guard != first->verification_guard);
    }
    SUBCASE("a transaction that began and ended in between voids it") {
        write({.producer = 7});
        end(7, kCommit);
        const auto again = try_write({.producer = 7, .sequence = 1}, {first->verification_guard});
        CHECK_FALSE(again->appended);
        CHECK(again->verification_guard != 0);
    }
    SUBCASE("another epoch needs its own") {
        const auto other = try_write({.producer = 7, .epoch = 1}, {first->verification_guard});
        CHECK(other->verification_guard > first->verification_guard);
    }
    SUBCASE("a later batch does not overtake the one that is verified with it") {
        const auto later = try_write({.producer = 7, .sequence = 1});
        CHECK(later->verification_guard == first->verification_guard);
        CHECK(try_write({.producer = 7, .sequence = 1}, {first->verification_guard}).error().code ==
              Code::out_of_order_sequence);
        CHECK(try_write({.producer = 7}, {first->verification_guard})->appended);
        CHECK(try_write({.producer = 7, .sequence = 1}, {first->verification_guard})->appended);
    }
    SUBCASE("a retry of what is in the log needs none, even after the marker") {
        write({.producer = 7});
        end(7, kCommit);
        const auto again = try_write({.producer = 7});
        CHECK_FALSE(again->appended);
        CHECK(again->verification_guard == 0);
        CHECK(again->base_offset == Offset(0));
    }
}

TEST_CASE_FIXTURE(TransactionsFixture, "a batch that is verified keeps its times until it is in") {
    config.timestamp_type = protocol::TimestampType::log_append_time;
    log->set_config(config);
    std::vector<std::byte> batch = make_batch({.producer = 7, .transactional = true});
    const std::vector<std::byte> original = batch;
    const auto asked = log->append(batch, LeaderEpoch(0), wall(now_ms));
    REQUIRE(asked);
    CHECK(batch == original);
    const auto info =
        log->append(batch, LeaderEpoch(0), wall(now_ms + 5), {asked->verification_guard});
    REQUIRE(info);
    CHECK(info->log_append_time_ms == now_ms + 5);
    const auto ended = try_end(marker(7, kCommit));
    REQUIRE(ended);
    CHECK(ended->log_append_time_ms == now_ms);
    CHECK(read_all(0) == std::vector<int64_t>{0, 1});
}

TEST_CASE_FIXTURE(TransactionsFixture, "what a producer may write in which state") {
    const auto code = [&](const BatchShape& shape, bool is_v2) { // when it is verified
        const auto asked = try_write(shape, {0, is_v2});
        REQUIRE(asked);
        REQUIRE(asked->verification_guard != 0);
        return try_write(shape, {asked->verification_guard, is_v2}).error().code;
    };
    // Version 2 of transactions: without state the first sequence is 0.
    CHECK(code({.producer = 9, .sequence = 4}, true) == Code::out_of_order_sequence);
    write({.producer = 10, .sequence = 4});

    write({.producer = 7});
    CHECK(try_append({.producer = 7, .sequence = 1}).error().code == Code::invalid_txn_state);
    CHECK(try_append({.producer = 7, .epoch = 1}).error().code == Code::invalid_txn_state);
    write({.producer = 7, .sequence = 1});
    REQUIRE(try_end(marker(7, kCommit, 1), 2)); // version 2 raises the epoch
    CHECK(try_write({.producer = 7, .sequence = 2}).error().code == Code::invalid_producer_epoch);
    CHECK(code({.producer = 7, .epoch = 1, .sequence = 2}, true) == Code::out_of_order_sequence);
    // Two batches on their way to the coordinator at once: both come in, in their order.
    const auto first = try_write({.producer = 7, .epoch = 1}, {0, true});
    const auto second = try_write({.producer = 7, .epoch = 1, .sequence = 1}, {0, true});
    REQUIRE(second->verification_guard == first->verification_guard);
    CHECK(try_write({.producer = 7, .epoch = 1}, {first->verification_guard, true})->appended);
    CHECK(try_write({.producer = 7, .epoch = 1, .sequence = 1}, {first->verification_guard, true})
              ->appended);
    REQUIRE(try_end(marker(7, kCommit, 1), 1)); // version 1 does not
    write({.producer = 7, .epoch = 1, .sequence = 2});
    end(8, kAbort); // wrote nothing here
    write({.producer = 8});
}

TEST_CASE_FIXTURE(TransactionsFixture,
                  "markers are fenced by the epochs of producer and coordinator") {
    const auto code = [](const Result<AppendInfo>& result) {
        return result ? std::optional<Code>() : result.error().code;
    };
    write({.producer = 7, .epoch = 3});
    CHECK(code(try_end(marker(7, kCommit, 2), 1)) == Code::invalid_producer_epoch);
    CHECK(code(try_end(marker(7, kCommit, 3), 2)) == Code::invalid_producer_epoch);
    CHECK(log->log_end_offset() == Offset(1));
    CHECK_FALSE(code(try_end(marker(7, kCommit, 4, 5), 2)));
    CHECK_FALSE(code(try_end(marker(7, kCommit, 4, 5), 2))); // repeated
    CHECK_FALSE(code(try_end(marker(7, kCommit, 4, 5), 1)));
    CHECK(code(try_end(marker(7, kCommit, 4, 4), 2)) == Code::coordinator_fenced);
    CHECK(code(try_end(marker(7, kCommit, 3, 6), 2)) == Code::invalid_producer_epoch);
    flush();
    close_and_open();
    CHECK(code(try_end(marker(7, kCommit, 4, 4), 1)) == Code::coordinator_fenced);
    kill_and_open();
    CHECK(code(try_end(marker(7, kCommit, 4, 4), 1)) == Code::coordinator_fenced);
    CHECK(code(try_end(marker(7, kCommit, 3, 6), 1)) == Code::invalid_producer_epoch);
}

TEST_CASE_FIXTURE(TransactionsFixture,
                  "the stable part ends at the first transaction whose end is not durable") {
    append();               // 0
    write({.producer = 7}); // 1
    write({.producer = 8}); // 2
    flush();
    CHECK(unstable() == 1);
    end(7, kCommit); // 3, not flushed
    CHECK(unstable() == 1);
    flush();
    CHECK(unstable() == 2);
    end(8, kAbort); // 4
    CHECK(unstable() == 2);
    flush();
    CHECK(unstable() == -1);
}

TEST_CASE_FIXTURE(TransactionsFixture, "aborted transactions are told to whom they concern") {
    write({.producer = 7});                // 0
    write({.producer = 8});                // 1
    end(8, kAbort);                        // 2
    write({.producer = 8, .sequence = 1}); // 3
    end(7, kAbort);                        // 4
    end(8, kCommit);                       // 5
    write({.producer = 9});                // 6
    end(9, kAbort);                        // 7
    end(9, kAbort);                        // 8: nothing is open
    CHECK(aborted(0) == "8:1-2 7:0-4 9:6-7");
    CHECK(aborted(0, 1) == "7:0-4"); // the batch at 0 alone
    CHECK(aborted(2) == "8:1-2 7:0-4 9:6-7");
    CHECK(aborted(3) == "7:0-4 9:6-7");
    CHECK(aborted(3, 1) == "7:0-4");
    CHECK(aborted(5, 1) == "");
    CHECK(aborted(5) == "9:6-7");
    CHECK(aborted(8) == "");
}

TEST_CASE_FIXTURE(TransactionsFixture, "all of it is known again after every stop") {
    config.segment_bytes = 600;
    log->set_config(config);
    write({.value_size = 60, .producer = 7}); // 0, open to the end
    for (int32_t i = 0; i < 4; i++) {         // each: 4 offsets
        write({.value_size = 60, .producer = 8, .sequence = i});
        write({.value_size = 60, .producer = 9, .sequence = i});
        end(8, kAbort);
        end(9, kCommit);
    }
    write({.value_size = 60, .producer = 9, .sequence = 4}); // 17
    fill(6);                                                 // 18..23
    end(9, kAbort);                                          // 24: segments behind its records
    flush();
    SUBCASE("without a stop") {}
    SUBCASE("after falling idle") {
        log->release_idle();
        REQUIRE(log->is_cold());
    }
    SUBCASE("after a clean stop") {
        close_and_open();
    }
    SUBCASE("after a clean stop, the states written and read") {
        REQUIRE(log->close());
        const std::vector<PartitionState> states = {log->state_for_checkpoint()};
        const auto read = decode_partition_states(encode_partition_states(states));
        REQUIRE(read);
        hint.clean = read->at(0);
        open();
    }
    SUBCASE("after a kill") {
        kill_and_open(0);
    }
    SUBCASE("after a kill, with a recovery point") {
        kill_and_open(21);
    }
    SUBCASE("after a kill, snapshots lost") {
        for (const std::string& name : disk.names(directory)) {
            if (name.ends_with(".snapshot")) {
                REQUIRE(disk.remove(directory + "/" + name));
            }
        }
        kill_and_open(21);
    }
    SUBCASE("after a power loss") {
        lose_power_and_open(25);
    }
    SUBCASE("after a clean stop, every index and snapshot damaged") {
        REQUIRE(log->close());
        for (const std::string& name : disk.names(directory)) {
            if (name.ends_with(".snapshot") || name.ends_with(".txnindex")) {
                disk.bytes(directory + "/" + name)[20] ^= std::byte{1};
            }
        }
        hint.clean = log->state_for_checkpoint();
        open();
    }
    SUBCASE("after a kill, with the indexes of the time before it") {
        for (const std::string& name : disk.names(directory)) {
            if (name.ends_with(".txnindex")) {
                REQUIRE(disk.remove(directory + "/" + name));
            }
        }
        kill_and_open(0);
    }
    CHECK(unstable() == 0);
    CHECK(aborted(0) == "8:1-3");
    CHECK(aborted(20) == "9:17-24");
    std::string all;
    for (int64_t from = 0; from < 25; from++) {
        all += aborted(from, 1) + ",";
    }
    CHECK(all == ",8:1-3,8:1-3,8:1-3,,8:5-7,8:5-7,8:5-7,,8:9-11,8:9-11,8:9-11,,8:13-15,8:13-15,"
                 "8:13-15,,9:17-24,9:17-24,9:17-24,9:17-24,9:17-24,9:17-24,9:17-24,9:17-24,");
    CHECK(unstable() == 0);
    CHECK(try_append({.producer = 7, .sequence = 1}).error().code == Code::invalid_txn_state);
    const auto known = log->producers(wall(now_ms));
    REQUIRE(known);
    REQUIRE(known->size() == 3);
    CHECK(known->at(0).id == ProducerId(7));
    CHECK(known->at(0).transaction_start == Offset(0));
    CHECK(known->at(0).coordinator_epoch == -1);
    CHECK(known->at(2).last_sequence == 4);
    CHECK(known->at(2).coordinator_epoch == 1);
    CHECK(known->at(2).transaction_start == kNoOffset);
    CHECK(end(7, kCommit) == Offset(25));
    flush();
    CHECK(unstable() == -1);
    CHECK(aborted(0, 1) == "");
}

TEST_CASE_FIXTURE(TransactionsFixture,
                  "a disk too full for the index of what was aborted hides nothing from readers") {
    write({.producer = 7}); // 0
    end(7, kAbort);         // 1
    flush();
    disk.full_suffix = ".txnindex";
    SUBCASE("a damaged index is made again") {
        REQUIRE(log->close());
        for (const std::string& name : disk.names(directory)) {
            if (name.ends_with(".txnindex")) {
                disk.bytes(directory + "/" + name).resize(10);
            }
        }
        hint.clean = log->state_for_checkpoint();
        disk.is_full = true;
        open();
    }
    SUBCASE("after a kill") {
        disk.is_full = true;
        kill_and_open(0);
    }
    CHECK(aborted(0) == "7:0-1");
    disk.is_full = false;
    write({.producer = 7, .sequence = 1}); // 2
    end(7, kAbort);                        // 3
    CHECK(aborted(0) == "7:0-1 7:2-3");
    flush();
    close_and_open();
    CHECK(aborted(0) == "7:0-1 7:2-3");
}

TEST_CASE_FIXTURE(TransactionsFixture,
                  "a marker that a power loss took leaves its transaction open") {
    write({.producer = 7});
    flush();
    end(7, kAbort);
    lose_power_and_open(1);
    if (log->log_end_offset() == Offset(1)) {
        CHECK(unstable() == 0);
        CHECK(aborted(0) == "");
        end(7, kCommit);
        flush();
        CHECK(aborted(0) == "");
    }
    CHECK(unstable() == -1);
}

TEST_CASE_FIXTURE(TransactionsFixture,
                  "no room for a marker: the transaction stays open, nothing is told") {
    write({.producer = 7});
    flush();
    disk.is_full = true;
    for (const char* suffix : {"", ".txnindex", ".log", ".txnindex", ".log", ""}) {
        CAPTURE(suffix);
        disk.full_suffix = suffix;
        CHECK(try_end(marker(7, kAbort)).error().code == Code::storage_full);
        CHECK(unstable() == 0);
        CHECK(aborted(0) == "");
        CHECK(log->log_end_offset() == Offset(1));
    }
    disk.is_full = false;
    SUBCASE("it comes later") {
        end(7, kAbort);
        CHECK(aborted(0) == "7:0-1");
        kill_and_open();
        CHECK(aborted(0) == "7:0-1");
    }
    SUBCASE("a commit comes instead") {
        end(7, kCommit);
        CHECK(aborted(0) == "");
        flush();
        close_and_open();
        CHECK(aborted(0) == "");
    }
}

TEST_CASE("whatever step the process dies at, markers and what is told of them agree") {
    for (int step = 0; step < 40; step++) {
        for (const bool loses_power : {false, true}) {
            CAPTURE(step);
            CAPTURE(loses_power);
            TransactionsFixture log_of;
            log_of.config.segment_bytes = 400;
            log_of.log->set_config(log_of.config);
            log_of.write({.value_size = 60, .producer = 7}); // 0
            log_of.write({.value_size = 60, .producer = 8}); // 1
            log_of.end(7, kAbort);                           // 2
            log_of.flush();
            log_of.disk.changes_left = step;
            bool is_flushed = false;
            if (log_of.try_end(marker(8, kAbort))) { // 3
                auto work = log_of.log->begin_flush();
                is_flushed = work && *work;
                for (size_t i = 0; is_flushed && i < (*work)->files.size(); i++) {
                    is_flushed = is_flushed && (*work)->files[i]->sync_blocking();
                }
                if (is_flushed) {
                    REQUIRE(log_of.log->finish_flush(**work));
                    if (log_of.try_write({.value_size = 200, .producer = 9})) { // rolls, maybe
                        static_cast<void>(log_of.try_end(marker(9, kAbort)));
                    }
                }
            }
            if (loses_power) {
                log_of.lose_power_and_open(is_flushed ? 4 : 3);
            } else {
                log_of.kill_and_open(is_flushed ? 4 : 3);
            }
            REQUIRE_FALSE(log_of.log->failure());
            const bool is_ended = log_of.log->log_end_offset() >= Offset(4);
            CHECK(is_ended >= is_flushed);
            CHECK(log_of.aborted(0).starts_with(is_ended ? "7:0-2 8:1-3" : "7:0-2"));
            CHECK((log_of.aborted(0) == "7:0-2") == !is_ended);
            CHECK(log_of.unstable() == (is_ended ? -1 : 1));
        }
    }
}

TEST_CASE_FIXTURE(TransactionsFixture, "deleting records keeps what is left right") {
    config.segment_bytes = 300;
    log->set_config(config);
    write({.value_size = 60, .producer = 7}); // 0
    fill(4);                                  // 1..4
    write({.value_size = 60, .producer = 8}); // 5
    fill(4);                                  // 6..9
    end(8, kAbort);                           // 10
    flush();
    delete_below(Offset(7));
    CHECK(aborted(7) == "8:5-10");
    SUBCASE("alive") {}
    SUBCASE("after a stop") {
        close_and_open();
    }
    SUBCASE("after a kill") {
        kill_and_open(11);
    }
    CHECK(aborted(7) == "8:5-10");
    CHECK(unstable() <= 7); // of producer 7, whose records are gone
    CHECK(unstable() >= 0);
    end(7, kAbort);
    flush();
    CHECK(unstable() == -1);
    delete_below(log->log_end_offset());
    CHECK_FALSE(has_name_with("00000.txnindex"));
}

TEST_CASE_FIXTURE(TransactionsFixture, "a coordinator's own batches belong to their transaction") {
    protocol::BatchBuilder builder;
    REQUIRE(builder.append(as_bytes("key"), as_bytes("value"), {}, now_ms));
    protocol::BatchClose close;
    close.producer_id = ProducerId(7);
    close.producer_epoch = ProducerEpoch(2);
    close.transactional = true;
    auto own = builder.finish(close);
    REQUIRE(own);
    REQUIRE(log->append_own(*own, LeaderEpoch(0), wall(now_ms)));
    CHECK(unstable() == 0);
    REQUIRE(try_end(marker(7, kAbort, 2)));
    CHECK(aborted(0) == "7:0-1");
    REQUIRE(builder.append(as_bytes("key"), as_bytes("value"), {}, now_ms));
    auto plain = builder.finish({});
    REQUIRE(plain);
    CHECK(log->append_own(*plain, LeaderEpoch(0), wall(now_ms))->base_offset == Offset(2));
    kill_and_open();
    CHECK(aborted(0) == "7:0-1");
}

TEST_CASE_FIXTURE(TransactionsFixture,
                  "a coordinator writes nothing for a producer that was fenced") {
    protocol::BatchBuilder builder;
    const auto own = [&](int16_t epoch) {
        REQUIRE(builder.append(as_bytes("key"), as_bytes("value"), {}, now_ms));
        protocol::BatchClose close;
        close.producer_id = ProducerId(7);
        close.producer_epoch = ProducerEpoch(epoch);
        close.transactional = true;
        auto batch = builder.finish(close);
        REQUIRE(batch);
        return log->append_own(*batch, LeaderEpoch(0), wall(now_ms));
    };
    REQUIRE(try_end(marker(7, kAbort, 3))); // of a timeout: nothing was written here yet
    flush();
    CHECK(own(2).error().code == Code::invalid_producer_epoch);
    CHECK(unstable() == -1);
    CHECK(own(3));
    CHECK(unstable() == 1);
}

TEST_CASE_FIXTURE(TransactionsFixture, "an open transaction does not expire") {
    write({.producer = 7});
    append({.producer = 8});
    now_ms += 10 * config.producer_id_expiration_ms;
    retain(now_ms, log->log_end_offset());
    CHECK(log->producers(wall(now_ms))->size() == 1);
    CHECK(unstable() == 0);
    CHECK(try_append({.producer = 7, .sequence = 1}).error().code == Code::invalid_txn_state);
}

TEST_CASE("producers with open transactions stay, whatever their number") {
    ProducerState state;
    protocol::BatchHeader header;
    header.base_sequence = 0;
    header.attributes = protocol::kBatchTransactional;
    const auto count = static_cast<int64_t>(kProducersPerPartitionMax) + 10;
    for (int64_t i = 0; i < count; i++) {
        header.producer_id = ProducerId(i);
        header.producer_epoch = ProducerEpoch(0);
        header.base_offset = Offset(i);
        state.update(header, wall(kNowMs));
    }
    CHECK(state.size() == static_cast<size_t>(count));
    const auto again = ProducerState::decode(state.encode(Offset(count)), Offset(count));
    REQUIRE(again);
    CHECK(again->size() == static_cast<size_t>(count));
    CHECK(again->first_open() == Offset(0));
}
