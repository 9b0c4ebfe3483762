// Proves that error codes are found wherever an answer has them: at its top, in lists, in lists of
// lists, under other names; and that an answer without one counts as none.
#include "lib/protocol/msg/add_partitions_to_txn.h"
#include "lib/protocol/msg/fetch.h"
#include "lib/protocol/msg/heartbeat.h"
#include "lib/protocol/msg/offset_fetch.h"
#include "lib/protocol/msg/produce.h"
#include "lib/protocol/msg/write_txn_markers.h"
#include "server/kafka/answer_errors.h"

#include <doctest/doctest.h>

#include <memory>

using namespace qtool;

namespace {

template <class Response>
std::vector<int16_t> errors_of(const Response& response) {
    std::vector<int16_t> codes;
    kafka::for_each_error(response, [&](int16_t code) { codes.push_back(code); });
    return codes;
}

using Codes = std::vector<int16_t>;

} // namespace

TEST_CASE("answer errors: codes at the top, in lists and in lists of lists") {
    protocol::HeartbeatResponse heartbeat;
    CHECK(errors_of(heartbeat).empty());
    heartbeat.error_code = 27;
    CHECK(errors_of(heartbeat) == Codes{27});

    protocol::ProduceResponse produce;
    auto& partitions = produce.responses.emplace_back().partition_responses;
    partitions.emplace_back().error_code = 6;
    partitions.emplace_back();
    produce.responses.emplace_back().partition_responses.emplace_back().error_code = -1;
    CHECK(errors_of(produce) == Codes{6, -1});

    protocol::FetchResponse fetch;
    fetch.error_code = 70;
    fetch.responses.emplace_back().partitions.emplace_back().error_code = 1;
    CHECK(errors_of(fetch) == Codes{70, 1});

    protocol::OffsetFetchResponse offsets;
    auto& group = offsets.groups.emplace_back();
    group.error_code = 16;
    group.topics.emplace_back().partitions.emplace_back().error_code = 3;
    CHECK(errors_of(offsets) == Codes{16, 3});

    protocol::AddPartitionsToTxnResponse added;
    added.results_by_transaction.emplace_back()
        .topic_results.emplace_back()
        .results_by_partition.emplace_back()
        .partition_error_code = 48;
    CHECK(errors_of(added) == Codes{48});

    protocol::WriteTxnMarkersResponse markers;
    markers.markers.emplace_back().topics.emplace_back().partitions.emplace_back().error_code = 47;
    CHECK(errors_of(markers) == Codes{47});
}

TEST_CASE("answer errors: an answer counts once, each code by itself") {
    const auto api = std::make_unique<metrics::ApiCounters>();
    protocol::ProduceResponse produce;
    auto& partitions = produce.responses.emplace_back().partition_responses;
    kafka::count_errors(*api, produce);
    CHECK(api->errors.value() == 0);
    partitions.emplace_back().error_code = 6;
    partitions.emplace_back().error_code = 6;
    partitions.emplace_back().error_code = 3;
    kafka::count_errors(*api, produce);
    CHECK(api->errors.value() == 1);
    CHECK(api->codes[7].value() == 2);
    CHECK(api->codes[4].value() == 1);
}
