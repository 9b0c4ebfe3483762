// Routes about groups: what their coordinators say, in JSON.
#include "lib/admin/group_model.h"
#include "lib/base/span_reader.h"
#include "lib/protocol/msg/consumer_group_describe.h"
#include "lib/protocol/msg/consumer_protocol_assignment.h"
#include "lib/protocol/msg/delete_groups.h"
#include "lib/protocol/msg/describe_groups.h"
#include "lib/protocol/msg/list_groups.h"
#include "lib/protocol/msg/offset_commit.h"
#include "lib/protocol/msg/offset_fetch.h"
#include "server/admin/coordinator_query.h"

#include <algorithm>
#include <map>

namespace qtool::admin {

namespace {

constexpr int16_t kDescribeVersion = 6;
constexpr int16_t kConsumerDescribeVersion = 0;
constexpr int16_t kFetchVersion = 8;
constexpr int16_t kCommitVersion = 8;
constexpr int16_t kDeleteVersion = 2;

std::string quoted(std::string_view group) {
    return "group '" + std::string(group) + "'";
}

Error no_such(std::string_view group) {
    return {Code::resource_not_found, quoted(group) + " does not exist"};
}

struct GroupListing {
    using Request = protocol::ListGroupsRequest;
    using Response = protocol::ListGroupsResponse;
    using List = GroupList;
    static constexpr std::string_view kTopic = metadata::kGroupTopic;
    static constexpr int16_t kVersion = 5;

    static void add(const Response& response, List& list) {
        for (const auto& group : response.groups) {
            list.groups.push_back({std::string(group.group_id), std::string(group.group_type),
                                   std::string(group.protocol_type),
                                   std::string(group.group_state)});
        }
    }
    static void sort(List& list) {
        std::sort(list.groups.begin(), list.groups.end(),
                  [](const GroupSummary& a, const GroupSummary& b) { return a.group < b.group; });
    }
};

// Asks as a classic and as a consumer group at once: only one of the two knows it.
class DescribeGroupQuery final : public CoordinatorQuery {
public:
    explicit DescribeGroupQuery(const Exchange& exchange)
        : CoordinatorQuery(exchange, metadata::kGroupTopic),
          now_ms_(exchange.services.wall_now().time_since_epoch().count()) {
        description_.group = exchange.name;
    }

private:
    enum Question : uint32_t { classic, consumer, offsets, partitions };

    void begin() override {
        if (shard_count() == 0) {
            return;
        }
        const std::string& group = description_.group;
        protocol::DescribeGroupsRequest describe;
        describe.groups.push_back(group);
        ask_coordinator_of(group, classic, kDescribeVersion, describe);
        protocol::ConsumerGroupDescribeRequest describe_consumer;
        describe_consumer.group_ids.push_back(group);
        ask_coordinator_of(group, consumer, kConsumerDescribeVersion, describe_consumer);
        protocol::OffsetFetchRequest fetch;
        auto& wanted = fetch.groups.emplace_back();
        wanted.group_id = group;
        wanted.topics.reset(); // all
        ask_coordinator_of(group, offsets, kFetchVersion, fetch);
    }

    void take(uint32_t index, Result<replica::PartitionResult> result) override {
        switch (index) {
        case classic:
            take_classic(decode_answer<protocol::DescribeGroupsResponse>(result, kDescribeVersion));
            return;
        case consumer:
            take_consumer(decode_answer<protocol::ConsumerGroupDescribeResponse>(
                result, kConsumerDescribeVersion));
            return;
        case offsets:
            take_offsets(decode_answer<protocol::OffsetFetchResponse>(result, kFetchVersion));
            return;
        default:
            take_partition(index - partitions, result);
        }
    }

    void take_classic(const Result<protocol::DescribeGroupsResponse>& response) {
        if (!response || response->groups.size() != 1) {
            failure_ =
                response ? Error(Code::internal, "no group in the answer") : response.error();
            return;
        }
        const auto& group = response->groups[0];
        if (is_coordinator_away(group.error_code)) {
            failure_ = coordinator_answer_error(group.error_code, quoted(description_.group));
            return;
        }
        if (group.error_code != 0 || group.group_state == "Dead") {
            return;
        }
        found_ = true;
        description_.type = "classic";
        description_.state = group.group_state;
        description_.protocol_type = group.protocol_type;
        description_.protocol = group.protocol_data;
        for (const auto& member : group.members) {
            GroupMember& out = description_.members.emplace_back();
            out.member_id = member.member_id;
            if (member.group_instance_id) {
                out.instance_id = std::string(*member.group_instance_id);
            }
            out.client_id = member.client_id;
            out.client_host = member.client_host;
            out.assignment = read_assignment(member.member_assignment);
        }
    }

    // Other protocol types put bytes of their own there; then there is nothing to show.
    static std::vector<TopicPartitions> read_assignment(ByteView bytes) {
        std::vector<TopicPartitions> out;
        SpanReader in(bytes);
        const auto version = in.be<int16_t>();
        if (!in.ok() || version < 0) {
            return out;
        }
        const auto assignment = protocol::ConsumerProtocolAssignment::decode(
            bytes.subspan(sizeof(version)), std::min<int16_t>(version, 3));
        if (assignment) {
            for (const auto& topic : assignment->assigned_partitions) {
                out.push_back({std::string(topic.topic), topic.partitions});
            }
        }
        return out;
    }

    void take_consumer(const Result<protocol::ConsumerGroupDescribeResponse>& response) {
        if (!response || response->groups.size() != 1 || response->groups[0].error_code != 0) {
            return; // the classic answer says what there is
        }
        const auto& group = response->groups[0];
        found_ = true;
        description_.type = "consumer";
        description_.state = group.group_state;
        description_.protocol_type = "consumer";
        description_.protocol = group.assignor_name;
        for (const auto& member : group.members) {
            GroupMember& out = description_.members.emplace_back();
            out.member_id = member.member_id;
            if (member.instance_id) {
                out.instance_id = std::string(*member.instance_id);
            }
            out.client_id = member.client_id;
            out.client_host = member.client_host;
            for (const auto& topic : member.assignment.topic_partitions) {
                out.assignment.push_back({std::string(topic.topic_name), topic.partitions});
            }
        }
    }

    void take_offsets(const Result<protocol::OffsetFetchResponse>& response) {
        if (!response || response->groups.size() != 1 || response->groups[0].error_code != 0) {
            return;
        }
        for (const auto& topic : response->groups[0].topics) {
            const metadata::TopicImage* known = image().topic(topic.name);
            for (const auto& partition : topic.partitions) {
                if (partition.committed_offset < 0) {
                    continue;
                }
                GroupOffset& out = description_.offsets.emplace_back();
                out.topic = topic.name;
                out.partition = partition.partition_index;
                out.offset = partition.committed_offset;
                out.leader_epoch = partition.committed_leader_epoch;
                out.metadata = partition.metadata.value_or("");
                if (known != nullptr) {
                    const auto index = static_cast<uint32_t>(description_.offsets.size() - 1);
                    ask(partitions + index,
                        PartitionKey{known->id, PartitionIndex(partition.partition_index)},
                        replica::LagOp{Offset(partition.committed_offset)});
                }
            }
        }
    }

    void take_partition(uint32_t index, const Result<replica::PartitionResult>& result) {
        if (!result) {
            return; // offline or gone: its end stays unknown
        }
        const auto& lag = std::get<replica::LagResult>(*result);
        GroupOffset& offset = description_.offsets.at(index);
        offset.high_watermark = lag.high_watermark.value();
        offset.lag = std::max<int64_t>(lag.high_watermark.value() - offset.offset, 0);
        if (*offset.lag == 0) {
            offset.lag_ms = 0;
        } else if (lag.timestamp_ms >= 0) {
            offset.lag_ms = std::max<int64_t>(now_ms_ - lag.timestamp_ms, 0);
        }
    }

    stream::HttpReply finish() override {
        if (!found_) {
            return reply_error(failure_ ? *failure_ : no_such(description_.group));
        }
        std::sort(description_.offsets.begin(), description_.offsets.end(),
                  [](const GroupOffset& a, const GroupOffset& b) {
                      return std::tie(a.topic, a.partition) < std::tie(b.topic, b.partition);
                  });
        return reply_json(200, encode(description_));
    }

    int64_t now_ms_; // when the question came
    GroupDescription description_;
    bool found_ = false;
    std::optional<Error> failure_;
};

class ChangeGroupQuery : public ChangeQuery {
public:
    explicit ChangeGroupQuery(const Exchange& exchange)
        : ChangeQuery(exchange, metadata::kGroupTopic) {}
};

class DeleteGroupQuery final : public ChangeGroupQuery {
public:
    using ChangeGroupQuery::ChangeGroupQuery;

private:
    void begin() override {
        if (shard_count() == 0) {
            fail(no_such(name()));
            return;
        }
        protocol::DeleteGroupsRequest request;
        request.groups_names.push_back(name());
        ask_coordinator_of(name(), 0, kDeleteVersion, request);
    }

    void take(uint32_t, Result<replica::PartitionResult> result) override {
        const auto response = decode_answer<protocol::DeleteGroupsResponse>(result, kDeleteVersion);
        if (!response) {
            fail(response.error());
            return;
        }
        for (const auto& one : response->results) {
            fail(one.error_code, quoted(name()));
        }
    }
};

class SetOffsetsQuery final : public ChangeGroupQuery {
public:
    SetOffsetsQuery(const Exchange& exchange, SetGroupOffsets request)
        : ChangeGroupQuery(exchange),
          request_(std::move(request)) {}

private:
    void begin() override {
        if (shard_count() == 0) {
            fail(Error(
                Code::coordinator_not_available,
                "no group was ever used here; a consumer or FindCoordinator makes the topic"));
            return;
        }
        if (Result<void> known = check_partitions(); !known) {
            fail(known.error());
            return;
        }
        protocol::OffsetCommitRequest commit;
        commit.group_id = name();
        std::map<std::string_view, std::vector<const OffsetToSet*>> by_topic;
        for (const OffsetToSet& offset : request_.offsets) {
            by_topic[offset.topic].push_back(&offset);
        }
        for (const auto& [topic, wanted] : by_topic) {
            auto& out = commit.topics.emplace_back();
            out.name = topic;
            for (const OffsetToSet* offset : wanted) {
                auto& partition = out.partitions.emplace_back();
                partition.partition_index = offset->partition;
                partition.committed_offset = offset->offset;
                partition.committed_metadata = offset->metadata;
            }
        }
        ask_coordinator_of(name(), 0, kCommitVersion, commit);
    }

    void take(uint32_t, Result<replica::PartitionResult> result) override {
        const auto response = decode_answer<protocol::OffsetCommitResponse>(result, kCommitVersion);
        if (!response) {
            fail(response.error());
            return;
        }
        for (const auto& topic : response->topics) {
            for (const auto& partition : topic.partitions) {
                fail(partition.error_code, quoted(name()) + ", topic '" + std::string(topic.name) +
                                               "', partition " +
                                               std::to_string(partition.partition_index));
            }
        }
    }

    // The coordinator would commit all but the unknown ones; a file with a mistake sets nothing.
    [[nodiscard]] Result<void> check_partitions() const {
        for (const OffsetToSet& offset : request_.offsets) {
            const metadata::TopicImage* topic = image().topic(offset.topic);
            if (topic == nullptr) {
                return Error(Code::resource_not_found,
                             "topic '" + offset.topic + "' does not exist; no offset was set");
            }
            const size_t partitions = topic->partitions.size();
            if (static_cast<size_t>(offset.partition) >= partitions) {
                return Error(Code::unknown_partition,
                             "topic '" + offset.topic + "' has " + std::to_string(partitions) +
                                 " partitions, not partition " + std::to_string(offset.partition) +
                                 "; no offset was set");
            }
        }
        return {};
    }

    SetGroupOffsets request_;
};

} // namespace

RouteOutcome get_groups(Exchange exchange) {
    return std::make_unique<ListQuery<GroupListing>>(exchange);
}

RouteOutcome get_group(Exchange exchange) {
    return std::make_unique<DescribeGroupQuery>(exchange);
}

RouteOutcome patch_group(Exchange exchange) {
    Result<SetGroupOffsets> request = decode<SetGroupOffsets>(exchange.request.body);
    if (!request) {
        return reply_error(request.error());
    }
    return std::make_unique<SetOffsetsQuery>(exchange, *std::move(request));
}

RouteOutcome delete_group(Exchange exchange) {
    return std::make_unique<DeleteGroupQuery>(exchange);
}

} // namespace qtool::admin
