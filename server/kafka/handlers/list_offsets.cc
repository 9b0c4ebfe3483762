// ListOffsets (key 2): the offset of a time or of a special mark, for each partition.
#include "lib/protocol/msg/list_offsets.h"

#include "server/kafka/handlers/handlers.h"
#include "server/kafka/handlers/partition_fan_out.h"

#include <algorithm>
#include <map>

namespace qtool::kafka {

namespace {

using protocol::ListOffsetsRequest;
using protocol::ListOffsetsResponse;

constexpr int16_t kOffsetNotAvailableVersionMin = 5; // before: LEADER_NOT_AVAILABLE (KIP-207)

constexpr int32_t kAnyReplica = -2; // replica_id
constexpr int64_t kLatest = -1;     // timestamps
constexpr int64_t kEarliest = -2;

// The version a special timestamp needs (KIP-734, KIP-405, KIP-1005, KIP-1023); 0: any.
int16_t version_min_of(int64_t timestamp_ms) {
    switch (timestamp_ms) {
    case -3: // of the record with the largest timestamp
        return 7;
    case -4: // local log start
        return 8;
    case -5: // last tiered
        return 9;
    case -6: // earliest not tiered yet
        return 11;
    default:
        return timestamp_ms < -6 ? INT16_MAX : int16_t{0};
    }
}

class ListOffsetsPending final : public FanOut<replica::ListOffsetResult> {
public:
    ListOffsetsPending(const Context& context, ListOffsetsRequest request)
        : FanOut(context),
          request_(std::move(request)) {}

private:
    void ask_all() override {
        std::map<std::pair<std::string_view, int32_t>, uint32_t> times;
        for (const auto& topic : request_.topics) {
            for (const auto& partition : topic.partitions) {
                times[{topic.name, partition.partition_index}]++;
            }
        }
        for (const auto& topic : request_.topics) {
            for (const auto& partition : topic.partitions) {
                if (times.at({topic.name, partition.partition_index}) > 1) {
                    refuse(Error(Code::invalid_request, "the partition is asked for twice"));
                } else {
                    ask_one(topic.name, partition);
                }
            }
        }
    }

    void ask_one(std::string_view topic,
                 const ListOffsetsRequest::ListOffsetsPartition& partition) {
        // Followers have no need of this request: what they fetch tells them all.
        const bool is_client = request_.replica_id == -1 || request_.replica_id == kAnyReplica;
        if (!is_client || request_.isolation_level < 0 || request_.isolation_level > 1) {
            refuse(Error(Code::invalid_request));
            return;
        }
        if (head().api_version < version_min_of(partition.timestamp)) {
            refuse(Error(Code::unsupported_version));
            return;
        }
        replica::ListOffsetOp op;
        op.timestamp_ms = partition.timestamp;
        op.isolation = request_.isolation_level == 0 ? replica::Isolation::read_uncommitted
                                                     : replica::Isolation::read_committed;
        ask(topic, partition.partition_index, LeaderEpoch(partition.current_leader_epoch), op);
    }

    [[nodiscard]] int16_t code_of(const Error& error) const {
        if (error.code == Code::offset_not_available &&
            head().api_version < kOffsetNotAvailableVersionMin) {
            return static_cast<int16_t>(protocol::KafkaError::leader_not_available);
        }
        return error_code(error.code);
    }

    std::vector<port::Piece> answer() override {
        ListOffsetsResponse response;
        fill(request_.topics, response.topics, [this](const auto&, const Slot& slot, auto& out) {
            if (slot.error) {
                out.error_code = code_of(*slot.error);
                return; // timestamp, offset and epoch stay -1
            }
            out.timestamp = slot.result.timestamp_ms;
            out.offset = slot.result.offset.value();
            out.leader_epoch = slot.result.leader_epoch.value();
        });
        return make_answer(head(), response);
    }

    ListOffsetsRequest request_;
};

// A tool, or another broker for a tool, asks whoever has the partition, leader or not, where its
// log begins and ends; not what consumers may see of it.
class ListReplicaOffsetsPending final : public FanOut<replica::DescribeResult> {
public:
    ListReplicaOffsetsPending(const Context& context, ListOffsetsRequest request)
        : FanOut(context),
          request_(std::move(request)) {}

    static bool is_for(const ListOffsetsRequest& request) {
        return request.replica_id == kAnyReplica &&
               std::all_of(request.topics.begin(), request.topics.end(), [](const auto& topic) {
                   return std::all_of(topic.partitions.begin(), topic.partitions.end(),
                                      [](const auto& partition) {
                                          return partition.timestamp == kLatest ||
                                                 partition.timestamp == kEarliest;
                                      });
               });
    }

private:
    void ask_all() override {
        for (const auto& topic : request_.topics) {
            for (const auto& partition : topic.partitions) {
                ask(topic.name, partition.partition_index,
                    LeaderEpoch(partition.current_leader_epoch), replica::DescribeOp{});
            }
        }
    }

    std::vector<port::Piece> answer() override {
        ListOffsetsResponse response;
        fill(request_.topics, response.topics,
             [](const auto& partition, const Slot& slot, auto& out) {
                 if (slot.error) {
                     out.error_code = error_code(slot.error->code);
                     return;
                 }
                 out.offset = (partition.timestamp == kLatest ? slot.result.log_end_offset
                                                              : slot.result.log_start_offset)
                                  .value();
             });
        return make_answer(head(), response);
    }

    ListOffsetsRequest request_;
};

} // namespace

Outcome handle_list_offsets(const Context& context) {
    KAFKA_DECODE(ListOffsetsRequest, request, context);
    if (ListReplicaOffsetsPending::is_for(request)) {
        return std::make_unique<ListReplicaOffsetsPending>(context, std::move(request));
    }
    return std::make_unique<ListOffsetsPending>(context, std::move(request));
}

} // namespace qtool::kafka
