// Proves the fetcher's rounds, without logs or sockets: what it asks in and out of a session, that
// it waits for the disk, that a partition in trouble rests and leaves the others alone, and that an
// answer to an epoch that is over is dropped.
#include "lib/base/byte_writer.h"
#include "lib/base/log.h"
#include "lib/protocol/kafka_error.h"
#include "lib/protocol/msg/fetch.h"
#include "server/replica/fetcher.h"

#include <doctest/doctest.h>

using namespace qtool;
using namespace qtool::replica;
using protocol::FetchRequest;
using protocol::FetchResponse;
using protocol::KafkaError;

namespace {

PartitionKey key(uint64_t topic, int32_t index = 0) {
    return PartitionKey{make_uuid(topic, topic), PartitionIndex(index)};
}

struct FakeLogs final : FollowerLogs {
    std::map<PartitionKey, int64_t> ends;
    std::set<PartitionKey> flushing;
    std::set<PartitionKey> throttled;
    std::vector<std::string> seen;
    Result<void> next;

    std::optional<Partition::FetchPosition> position(const PartitionKey& k) override {
        if (flushing.contains(k)) {
            return std::nullopt;
        }
        return Partition::FetchPosition{Offset(ends[k]), LeaderEpoch(3), Offset(0)};
    }
    Result<void> on_fetched(const PartitionKey& k, const Partition::Fetched& fetched) override {
        std::string text = std::to_string(k.index.value()) + " from " +
                           std::to_string(fetched.fetch_offset.value()) + ": " +
                           std::to_string(fetched.records.size()) + " bytes, high " +
                           std::to_string(fetched.high_watermark.value());
        if (fetched.diverging) {
            text += ", diverges at " + std::to_string(fetched.diverging->second.value());
        }
        seen.push_back(text);
        if (next) {
            ends[k] += static_cast<int64_t>(fetched.records.size());
        }
        return next;
    }
    bool is_throttled(const PartitionKey& k) override { return throttled.contains(k); }
    Result<void> on_out_of_range(const PartitionKey& k, LeaderEpoch, Offset start) override {
        seen.push_back(std::to_string(k.index.value()) + " begins at " +
                       std::to_string(start.value()));
        return next;
    }
};

struct Fixture {
    metrics::CoreCounters counters;
    FakeLogs logs;
    FetcherOptions options;
    Fetcher fetcher{BrokerId(2), BrokerId(1), counters};
    MonoTime now{std::chrono::seconds(50)};
    std::vector<std::byte> request_bytes;
    const std::string records = std::string(5, 'r');

    Fixture() {
        set_log_sink([](LogLevel, std::string_view) {});
    }

    std::optional<FetchRequest> next() {
        auto body = fetcher.next(options, Revision(77), now, logs);
        if (!body) {
            return std::nullopt;
        }
        request_bytes = *std::move(body);
        auto request = FetchRequest::decode(request_bytes, kReplicaFetchVersion);
        REQUIRE(request);
        return *std::move(request);
    }
    /// "0@5 1@7 -2 (1/4)": partitions asked with their offsets, forgotten, session id and epoch.
    std::string asked() {
        const auto request = next();
        if (!request) {
            return "";
        }
        std::string text;
        for (const auto& topic : request->topics) {
            for (const auto& partition : topic.partitions) {
                text += std::to_string(partition.partition) + "@" +
                        std::to_string(partition.fetch_offset) + " ";
            }
        }
        for (const auto& topic : request->forgotten_topics_data) {
            for (const int32_t partition : topic.partitions) {
                text += "-" + std::to_string(partition) + " ";
            }
        }
        return text + "(" + std::to_string(request->session_id) + "/" +
               std::to_string(request->session_epoch) + ")";
    }
    FetchResponse response(int32_t session = 9) {
        FetchResponse made;
        made.session_id = session;
        return made;
    }
    FetchResponse::PartitionData& add(FetchResponse& to, int32_t index) {
        auto& topic = to.responses.emplace_back();
        topic.topic_id = key(1).topic_id;
        auto& partition = topic.partitions.emplace_back();
        partition.partition_index = index;
        partition.high_watermark = 4;
        partition.log_start_offset = 0;
        partition.records.emplace();
        return partition;
    }
    void answer(const FetchResponse& with) {
        ByteWriter writer;
        with.encode(writer, kReplicaFetchVersion);
        const std::vector<std::byte> bytes = writer.take();
        fetcher.on_answer(ByteView(bytes), options, now, logs);
    }
    void fail(Code code) { fetcher.on_answer(Error(code), options, now, logs); }
};

} // namespace

TEST_CASE("fetcher: the first request names all and opens a session, the next only what moved") {
    Fixture f;
    CHECK(f.asked().empty()); // nothing to follow
    f.fetcher.follow(key(1, 0), LeaderEpoch(5));
    f.fetcher.follow(key(1, 1), LeaderEpoch(6));
    f.logs.ends[key(1, 1)] = 7;
    const auto request = f.next();
    REQUIRE(request);
    CHECK(request->replica_state.replica_id == 2);
    CHECK(request->replica_state.replica_epoch == 77);
    CHECK(request->max_wait_ms == 500);
    CHECK(request->session_epoch == 0);
    REQUIRE(request->topics.size() == 1);
    REQUIRE(request->topics[0].partitions.size() == 2);
    const auto& second = request->topics[0].partitions[1];
    CHECK(second.partition == 1);
    CHECK(second.fetch_offset == 7);
    CHECK(second.last_fetched_epoch == 3);
    CHECK(second.current_leader_epoch == 6);
    CHECK(f.asked().empty()); // asked already
    FetchResponse response = f.response();
    f.add(response, 1).records->bytes = as_bytes(f.records);
    f.add(response, 0);
    f.answer(response);
    CHECK(f.logs.seen ==
          std::vector<std::string>{"1 from 7: 5 bytes, high 4", "0 from 0: 0 bytes, high 4"});
    CHECK(f.asked() == "1@12 (9/1)");
    f.answer(f.response());
    CHECK(f.asked() == "(9/2)"); // waits at the leader
}

TEST_CASE("fetcher: nothing is asked before what was fetched is on the disk") {
    Fixture f;
    f.fetcher.follow(key(1, 0), LeaderEpoch(5));
    f.fetcher.follow(key(1, 1), LeaderEpoch(5));
    f.asked();
    FetchResponse response = f.response();
    f.add(response, 0).records->bytes = as_bytes(f.records);
    f.answer(response);
    f.logs.flushing.insert(key(1, 0));
    CHECK(f.asked().empty());
    f.logs.flushing.clear();
    CHECK(f.asked() == "0@5 (9/1)");
}

TEST_CASE("fetcher: a partition in trouble rests for longer and longer; the others go on") {
    Fixture f;
    f.fetcher.follow(key(1, 0), LeaderEpoch(5));
    f.fetcher.follow(key(1, 1), LeaderEpoch(5));
    f.asked();
    FetchResponse failed = f.response();
    f.add(failed, 0).error_code = static_cast<int16_t>(KafkaError::unknown_leader_epoch);
    f.answer(failed);
    CHECK(f.asked() == "-0 (9/1)");
    f.answer(f.response());
    f.now += 20ms;
    CHECK(f.asked() == "0@0 (9/2)");
    f.answer(failed);
    f.now += 20ms;
    CHECK(f.asked() == "-0 (9/3)"); // now 40 ms
    f.answer(f.response());
    f.now += 20ms;
    CHECK(f.asked() == "0@0 (9/4)");
    f.answer(failed);
    // A new epoch is a new beginning; the session has it still.
    f.fetcher.follow(key(1, 0), LeaderEpoch(6));
    CHECK(f.asked() == "0@0 (9/5)");
    CHECK(f.counters.replica_fetch_errors.value() == 3);
}

TEST_CASE("fetcher: alone in trouble, it asks again when the rest is over") {
    Fixture f;
    f.fetcher.follow(key(1, 0), LeaderEpoch(5));
    f.asked();
    FetchResponse failed = f.response();
    f.add(failed, 0).error_code = static_cast<int16_t>(KafkaError::not_leader_or_follower);
    f.answer(failed);
    CHECK(f.asked().empty());
    CHECK(f.fetcher.next_due() == f.now + 20ms);
    f.now += 20ms;
    // In a new session: the old one would not tell again what was told with the failure.
    CHECK(f.asked() == "0@0 (0/0)");
    CHECK(f.fetcher.next_due() == kMonoNever);
}

TEST_CASE("fetcher: a call that failed, or a session that is gone, begins a new session later") {
    Fixture f;
    f.fetcher.follow(key(1, 0), LeaderEpoch(5));
    f.asked();
    f.answer(f.response());
    f.asked();
    SUBCASE("call") {
        f.fail(Code::connection_failed);
    }
    SUBCASE("session") {
        FetchResponse gone;
        gone.error_code = static_cast<int16_t>(KafkaError::fetch_session_id_not_found);
        f.answer(gone);
    }
    CHECK(f.asked().empty());
    CHECK(f.fetcher.next_due() == f.now + 20ms);
    f.now += 20ms;
    CHECK(f.asked() == "0@0 (0/0)");
    f.fail(Code::connection_failed);
    CHECK(f.fetcher.next_due() == f.now + 40ms);
}

TEST_CASE("fetcher: without a session each request names all") {
    Fixture f;
    f.fetcher.follow(key(1, 0), LeaderEpoch(5));
    f.fetcher.follow(key(1, 1), LeaderEpoch(5));
    CHECK(f.asked() == "0@0 1@0 (0/0)");
    f.answer(f.response(0));
    CHECK(f.asked() == "0@0 1@0 (0/0)");
}

TEST_CASE("fetcher: what was dropped is forgotten; its answers, and those of old epochs, are not "
          "taken") {
    Fixture f;
    f.fetcher.follow(key(1, 0), LeaderEpoch(5));
    f.fetcher.follow(key(1, 1), LeaderEpoch(5));
    f.asked();
    f.fetcher.drop(key(1, 0));
    f.fetcher.follow(key(1, 1), LeaderEpoch(6));
    FetchResponse response = f.response();
    f.add(response, 0).records->bytes = as_bytes(f.records);
    f.add(response, 1).records->bytes = as_bytes(f.records);
    f.answer(response);
    CHECK(f.logs.seen.empty());
    CHECK(f.asked() == "1@0 -0 (9/1)");
    // Dropped and followed again between two requests: the session never heard of it.
    f.answer(f.response());
    f.fetcher.drop(key(1, 1));
    f.fetcher.follow(key(1, 1), LeaderEpoch(7));
    CHECK(f.asked() == "1@0 (9/2)");
    f.answer(f.response());
    f.fetcher.drop(key(1, 1));
    CHECK(f.asked().empty());
}

TEST_CASE("fetcher: divergence and out of range go to the log; what it refuses rests") {
    Fixture f;
    f.fetcher.follow(key(1, 0), LeaderEpoch(5));
    f.logs.ends[key(1, 0)] = 9;
    f.asked();
    FetchResponse response = f.response();
    f.add(response, 0).diverging_epoch = {2, 6};
    f.answer(response);
    CHECK(f.logs.seen.back() == "0 from 9: 0 bytes, high 4, diverges at 6");
    f.logs.ends[key(1, 0)] = 6;
    CHECK(f.asked() == "0@6 (9/1)");
    FetchResponse out = f.response();
    auto& partition = f.add(out, 0);
    partition.error_code = static_cast<int16_t>(KafkaError::offset_out_of_range);
    partition.log_start_offset = 100;
    f.answer(out);
    CHECK(f.logs.seen.back() == "0 begins at 100");
    f.logs.ends[key(1, 0)] = 100;
    CHECK(f.asked() == "0@100 (9/2)");
    f.logs.next = Error(Code::offset_out_of_range);
    f.answer(out);
    CHECK(f.asked().empty());
    CHECK(f.fetcher.next_due() == f.now + 20ms);
}

TEST_CASE("fetcher: an answer that is nonsense ends the session, nothing more") {
    Fixture f;
    f.fetcher.follow(key(1, 0), LeaderEpoch(5));
    f.asked();
    const std::vector<std::byte> bytes(3, std::byte{0x7f});
    f.fetcher.on_answer(ByteView(bytes), f.options, f.now, f.logs);
    f.now += 1s;
    CHECK(f.asked() == "0@0 (0/0)");
}

TEST_CASE("fetcher: what is throttled is left out until its rate allows it again (KIP-73)") {
    Fixture f;
    f.fetcher.follow(key(1, 0), LeaderEpoch(5));
    f.fetcher.follow(key(1, 1), LeaderEpoch(5));
    f.asked();
    FetchResponse response = f.response();
    f.add(response, 0).records->bytes = as_bytes(f.records);
    f.answer(response);
    f.logs.throttled.insert(key(1, 0));
    CHECK(f.asked() == "-0 (9/1)");
    f.answer(f.response());
    CHECK(f.asked() == "(9/2)");
    f.answer(f.response());
    f.now += 20ms;
    f.logs.throttled.clear();
    CHECK(f.asked() == "0@5 (9/3)");
    CHECK(f.counters.replica_throttled.value() == 1);
}
