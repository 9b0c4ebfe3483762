// links: server_kafka
// Feeds frames to kafka::Connection with a fake core behind it. The first byte chooses: raw bytes
// cut in two, or bytes as the body of a request whose key and version are served, so that decoders
// and handlers are reached. Partition requests and metadata changes are answered, some with errors.
// Proves: no crash, no assertion, and never more answers than requests.
#include "lib/base/assert.h"
#include "lib/base/byte_writer.h"
#include "lib/protocol/api.h"
#include "lib/protocol/msg/add_offsets_to_txn.h"
#include "lib/protocol/msg/add_partitions_to_txn.h"
#include "lib/protocol/msg/consumer_group_describe.h"
#include "lib/protocol/msg/consumer_group_heartbeat.h"
#include "lib/protocol/msg/delete_groups.h"
#include "lib/protocol/msg/describe_groups.h"
#include "lib/protocol/msg/describe_transactions.h"
#include "lib/protocol/msg/end_txn.h"
#include "lib/protocol/msg/heartbeat.h"
#include "lib/protocol/msg/init_producer_id.h"
#include "lib/protocol/msg/join_group.h"
#include "lib/protocol/msg/leave_group.h"
#include "lib/protocol/msg/list_groups.h"
#include "lib/protocol/msg/list_transactions.h"
#include "lib/protocol/msg/offset_commit.h"
#include "lib/protocol/msg/offset_delete.h"
#include "lib/protocol/msg/offset_fetch.h"
#include "lib/protocol/msg/sync_group.h"
#include "lib/protocol/msg/txn_offset_commit.h"
#include "server/kafka/api_table.h"
#include "server/kafka/connection.h"
#include "tests/unit/server/request/fake_services.h"

#include <cstddef>
#include <cstdint>

using namespace qtool;

namespace {

/// Answers `op` when it is of this API: `fill` gives the response what the request asks for.
template <class Request, class Response, class Fill>
bool answer_if(const replica::CoordinatorOp& op, replica::CoordinatorResult& result, Fill fill) {
    if (op.api_key != Request::kApiKey) {
        return false;
    }
    const Result<Request> request = Request::decode(op.body, op.api_version);
    QT_ASSERT(request.has_value()); // a handler encoded it, or decoded it before
    Response response;
    fill(*request, response);
    ByteWriter writer;
    response.encode(writer, op.api_version);
    result.body = writer.take();
    return true;
}

// Coordinators are of the same process, so handlers that look into an answer may take for granted
// that it decodes and has one outcome for each group asked about.
replica::CoordinatorResult coordinator_result_for(const replica::CoordinatorOp& op) {
    using namespace protocol;
    const auto nothing = [](const auto&, auto&) {};
    replica::CoordinatorResult result;
    static_cast<void>(
        answer_if<AddOffsetsToTxnRequest, AddOffsetsToTxnResponse>(op, result, nothing) ||
        answer_if<ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse>(op, result,
                                                                                 nothing) ||
        answer_if<EndTxnRequest, EndTxnResponse>(op, result, nothing) ||
        answer_if<HeartbeatRequest, HeartbeatResponse>(op, result, nothing) ||
        answer_if<InitProducerIdRequest, InitProducerIdResponse>(op, result, nothing) ||
        answer_if<JoinGroupRequest, JoinGroupResponse>(op, result, nothing) ||
        answer_if<LeaveGroupRequest, LeaveGroupResponse>(op, result, nothing) ||
        answer_if<OffsetCommitRequest, OffsetCommitResponse>(op, result, nothing) ||
        answer_if<OffsetDeleteRequest, OffsetDeleteResponse>(op, result, nothing) ||
        answer_if<SyncGroupRequest, SyncGroupResponse>(op, result, nothing) ||
        answer_if<TxnOffsetCommitRequest, TxnOffsetCommitResponse>(op, result, nothing) ||
        answer_if<ListGroupsRequest, ListGroupsResponse>(op, result, nothing) ||
        answer_if<DescribeTransactionsRequest, DescribeTransactionsResponse>(op, result, nothing) ||
        answer_if<ListTransactionsRequest, ListTransactionsResponse>(op, result, nothing) ||
        answer_if<AddPartitionsToTxnRequest, AddPartitionsToTxnResponse>(op, result, nothing) ||
        answer_if<DescribeGroupsRequest, DescribeGroupsResponse>(
            op, result, [](const auto& in, auto& out) { out.groups.resize(in.groups.size()); }) ||
        answer_if<ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse>(
            op, result,
            [](const auto& in, auto& out) { out.groups.resize(in.group_ids.size()); }) ||
        answer_if<DeleteGroupsRequest, DeleteGroupsResponse>(
            op, result,
            [](const auto& in, auto& out) { out.results.resize(in.groups_names.size()); }) ||
        answer_if<OffsetFetchRequest, OffsetFetchResponse>(
            op, result, [](const auto& in, auto& out) { out.groups.resize(in.groups.size()); }));
    return result;
}

replica::PartitionResult result_for(const replica::PartitionOp& op) {
    struct Visitor {
        replica::PartitionResult operator()(const replica::AppendOp&) const {
            return replica::AppendResult{Offset(4), -1, Offset(0)};
        }
        replica::PartitionResult operator()(const replica::ReadOp&) const {
            replica::ReadResult result;
            result.high_watermark = Offset(9);
            return result;
        }
        replica::PartitionResult operator()(const replica::ListOffsetOp&) const {
            return replica::ListOffsetResult{Offset(3), 5, LeaderEpoch(1)};
        }
        replica::PartitionResult operator()(const replica::DeleteRecordsOp&) const {
            return replica::DeleteRecordsResult{Offset(2)};
        }
        replica::PartitionResult operator()(const replica::EpochEndOp&) const {
            return replica::EpochEndResult{LeaderEpoch(1), Offset(6)};
        }
        replica::PartitionResult operator()(const replica::DescribeOp&) const {
            return replica::DescribeResult{};
        }
        replica::PartitionResult operator()(const replica::WriteMarkerOp&) const {
            return replica::WriteMarkerResult{};
        }
        replica::PartitionResult operator()(const replica::ProducersOp&) const {
            replica::ProducersResult result;
            result.producers.push_back({ProducerId(7), ProducerEpoch(1), 3, 5, 2, Offset(4)});
            return result;
        }
        replica::PartitionResult operator()(const replica::CoordinatorOp& op) const {
            return coordinator_result_for(op);
        }
        replica::PartitionResult operator()(const replica::LagOp&) const {
            return replica::LagResult{Offset(9), 1000};
        }
        replica::PartitionResult operator()(const replica::SurveyOp&) const {
            return metrics::CoreSurvey{};
        }
        replica::PartitionResult operator()(const replica::MoveOp&) const {
            return replica::MoveResult{};
        }
    };
    return std::visit(Visitor{}, op);
}

void settle(test::FakeServices& services, uint8_t choice) {
    for (int round = 0; round < 64; round++) {
        if (!services.submitted.empty()) {
            if ((choice >> (round % 8) & 1) != 0) {
                services.answer_partition(Error(Code::not_leader, "moved"));
            } else {
                services.answer_partition(result_for(services.submitted.front().op));
            }
        } else if (!services.changes.empty()) {
            services.commit((choice & 1) != 0 ? Result<void>(Error(Code::timed_out, "late"))
                                              : Result<void>());
        } else if (!services.deadlines.empty()) {
            services.pass_deadlines();
        } else {
            return;
        }
    }
}

// A frame of a served API around `body`: classic and flexible headers by the fuzzer's choice.
std::vector<std::byte> wrap(uint8_t api, uint8_t version, bool flexible, ByteView body) {
    const auto table = kafka::api_table();
    const kafka::ApiRow& row = table[api % table.size()];
    const int span = row.version_max - row.version_min + 1;
    ByteWriter writer;
    writer.be<int32_t>(0);
    writer.be(row.key);
    writer.be(static_cast<int16_t>(row.version_min + version % span));
    writer.be<int32_t>(1);
    writer.be<int16_t>(-1);
    if (flexible) {
        writer.uvarint(0);
    }
    writer.bytes(body);
    writer.patch_be<int32_t>(0, static_cast<int32_t>(writer.size() - 4));
    return writer.take();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 4) {
        return 0;
    }
    const ByteView bytes(reinterpret_cast<const std::byte*>(data) + 4, size - 4);
    test::FakeServices services;
    kafka::Connection connection(1024 * 1024, 8);
    test::FakeHost host(services, connection);
    if ((data[0] & 1) == 0) {
        const size_t cut = bytes.empty() ? 0 : data[1] % (bytes.size() + 1);
        host.feed(bytes.first(cut));
        host.feed(bytes.subspan(cut));
    } else {
        host.feed(wrap(data[1], data[2], (data[0] & 2) != 0, bytes));
    }
    settle(services, data[3]);
    QT_ASSERT(host.closes.size() <= 1);
    return 0;
}
