// Proves what is told of a refused batch: which records are to blame, each once and with its
// reason, and where the log begins, unless Kafka keeps silent about it.
#include "lib/protocol/batch_check.h"
#include "server/replica/append_refusal.h"
#include "tests/unit/server/storage/log_fixture.h"

using namespace qtool;
using namespace qtool::replica;
using storage::test::kNowMs;
using storage::test::wall;

namespace {

struct Record {
    bool has_key = true;
    int64_t time = kNowMs;
};

struct Fixture : storage::test::LogFixture {
    Fixture() {
        config.compacted = true;
        config.timestamp_after_max_ms = 1000;
        append({.count = 4});
        flush();
        delete_below(Offset(3));
        log->set_config(config);
    }
    static std::vector<std::byte> make(const std::vector<Record>& records) {
        protocol::BatchBuilder builder;
        for (const Record& record : records) {
            REQUIRE(builder.append(record.has_key ? std::optional<ByteView>(as_bytes("k"))
                                                  : std::nullopt,
                                   as_bytes("v"), {}, record.time));
        }
        auto batch = builder.finish({});
        REQUIRE(batch);
        return *std::move(batch);
    }
    AppendRefusal refuse(std::vector<std::byte> batch, Code expected) {
        const auto appended = log->append(batch, LeaderEpoch(0), wall(kNowMs));
        REQUIRE_FALSE(appended);
        CHECK(appended.error().code == expected);
        return refusal_of(appended.error().code, batch, *log, config, wall(kNowMs));
    }
};

} // namespace

TEST_CASE_FIXTURE(Fixture, "refusal: records without key, and with a time outside") {
    const AppendRefusal refusal =
        refuse(make({{true}, {false}, {true, kNowMs + 5000}, {false, kNowMs + 5000}}),
               Code::invalid_timestamp);
    CHECK(refusal.log_start_offset == Offset(3));
    REQUIRE(refusal.records.size() == 3);
    CHECK(refusal.records[0].index == 1);
    CHECK(refusal.records[0].message.find("no key") != std::string::npos);
    CHECK(refusal.records[1].index == 2);
    CHECK(refusal.records[1].message.find("time outside") != std::string::npos);
    CHECK(refusal.records[2].index == 3);
    CHECK(refusal.records[2].message.find("no key") != std::string::npos);
}

// Kafka's LogValidator: a record without key is looked at no further, and any record that has a
// wrong time makes the error of the batch.
TEST_CASE_FIXTURE(Fixture, "refusal: what of a mixed batch names the error") {
    struct Case {
        std::vector<Record> records;
        Code expected;
    };
    const Record good;
    const Record keyless{false, kNowMs};
    const Record late{true, kNowMs + 5000};
    const Record keyless_late{false, kNowMs + 5000};
    const Case cases[] = {
        {{good, keyless}, Code::invalid_record},
        {{good, late}, Code::invalid_timestamp},
        {{keyless, late}, Code::invalid_timestamp},
        {{late, keyless}, Code::invalid_timestamp},
        {{keyless_late, good}, Code::invalid_record},
        {{keyless_late, late}, Code::invalid_timestamp},
    };
    for (const Case& one : cases) {
        CAPTURE(&one - &cases[0]);
        refuse(make(one.records), one.expected);
    }
    config.compacted = false;
    log->set_config(config);
    refuse(make({keyless_late}), Code::invalid_timestamp);
    const std::vector<Record> unkeyed(2, keyless);
    std::vector<std::byte> batch = make(unkeyed);
    CHECK(log->append(batch, LeaderEpoch(0), wall(kNowMs)));
}

TEST_CASE_FIXTURE(Fixture, "refusal: at most so many records are named") {
    const std::vector<Record> many(protocol::kListedRecordsMax + 5, Record{false});
    CHECK(refuse(make(many), Code::invalid_record).records.size() == protocol::kListedRecordsMax);
}

TEST_CASE_FIXTURE(Fixture, "refusal: a batch as a whole names no record") {
    std::vector<std::byte> two = make({{}});
    const std::vector<std::byte> one = two;
    two.insert(two.end(), one.begin(), one.end());
    CHECK(refuse(two, Code::invalid_record).log_start_offset == kNoOffset);
    std::vector<std::byte> broken = make({{}});
    broken.back() ^= std::byte{1};
    CHECK(refuse(broken, Code::corrupt).log_start_offset == kNoOffset);
    const AppendRefusal refusal =
        refusal_of(Code::out_of_order_sequence, make({{false}}), *log, config, wall(kNowMs));
    CHECK(refusal.log_start_offset == Offset(3));
    CHECK(refusal.records.empty());
}
