// A broker without a process: takes what a machine of lib/client puts into its outbox, answers
// handshake, metadata and InitProducerId at once, and leaves produce, fetch and group requests to
// the test, which answers each by hand, or cuts the connection instead.
#pragma once

#include "lib/client/cluster.h"
#include "lib/protocol/batch_builder.h"
#include "lib/protocol/header.h"
#include "lib/protocol/msg/api_versions.h"
#include "lib/protocol/msg/consumer_group_heartbeat.h"
#include "lib/protocol/msg/fetch.h"
#include "lib/protocol/msg/find_coordinator.h"
#include "lib/protocol/msg/init_producer_id.h"
#include "lib/protocol/msg/offset_commit.h"
#include "lib/protocol/msg/offset_fetch.h"
#include "lib/protocol/msg/produce.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

namespace qtool::client {

class FakeBroker {
public:
    struct Asked {
        LinkId link = 0;
        protocol::RequestHeader header;
    };
    /// One produce request with one batch, as all are that one partition sends.
    struct Produced {
        Asked asked;
        int32_t partition = -1;
        protocol::BatchHeader batch;
        std::vector<std::string> values;
    };
    struct Fetched {
        Asked asked;
        int64_t offset = -1; // of the first partition asked for
        size_t partition_count = 0;
    };

    /// A request about a group, not decoded yet.
    struct GroupAsked {
        Asked asked;
        std::vector<std::byte> body;
    };

    explicit FakeBroker(Cluster& cluster) : cluster_(cluster) { topic_id_.bytes.fill(7); }

    /// Carries out the outbox, as a driver does, until it stays empty.
    void apply(Outbox& out, MonoTime now) {
        while (!out.closes.empty() || !out.connects.empty() || !out.writes.empty()) {
            Outbox todo = std::move(out);
            out.clear();
            std::erase_if(links_, [&](LinkId link) {
                return std::find(todo.closes.begin(), todo.closes.end(), link) != todo.closes.end();
            });
            for (const Outbox::Connect& wanted : todo.connects) {
                connect_count++;
                if (is_up) {
                    links_.push_back(wanted.link);
                    cluster_.on_connected(wanted.link, now, out);
                } else {
                    cluster_.on_closed(wanted.link, Error(Code::connection_failed, "refused"), now);
                }
            }
            for (const Outbox::Write& write : todo.writes) {
                take(write, now, out);
            }
        }
    }

    /// All connections break; what is not answered yet never will be.
    void cut(MonoTime now) {
        produced.clear();
        fetched.clear();
        group_asked.clear();
        for (const LinkId link : std::exchange(links_, {})) {
            cluster_.on_closed(link, Error(Code::connection_failed, "cut"), now);
        }
    }

    /// Answers the oldest produce request.
    void answer(protocol::KafkaError error, int64_t base_offset, MonoTime now, Outbox& out) {
        REQUIRE_FALSE(produced.empty());
        const Produced one = produced.front();
        produced.pop_front();
        protocol::ProduceResponse response;
        response.responses.emplace_back();
        response.responses[0].name = "t";
        response.responses[0].topic_id = topic_id_;
        auto& partition = response.responses[0].partition_responses.emplace_back();
        partition.index = one.partition;
        partition.error_code = static_cast<int16_t>(error);
        partition.base_offset = base_offset;
        reply(one.asked, response, now, out);
    }

    /// Answers the oldest fetch request with these batches.
    void answer_fetch(ByteView records, int64_t high_watermark, MonoTime now, Outbox& out) {
        REQUIRE_FALSE(fetched.empty());
        const Fetched one = fetched.front();
        fetched.pop_front();
        protocol::FetchResponse response;
        auto& topic = response.responses.emplace_back();
        topic.topic = "t";
        topic.topic_id = topic_id_;
        auto& partition = topic.partitions.emplace_back();
        partition.high_watermark = high_watermark;
        partition.last_stable_offset = high_watermark;
        partition.log_start_offset = 0;
        partition.records = protocol::RecordsRef{records, 0};
        reply(one.asked, response, now, out);
    }

    /// Refuses the oldest fetch request as a whole.
    void refuse_fetch(protocol::KafkaError error, MonoTime now, Outbox& out) {
        REQUIRE_FALSE(fetched.empty());
        const Fetched one = fetched.front();
        fetched.pop_front();
        protocol::FetchResponse response;
        response.error_code = static_cast<int16_t>(error);
        reply(one.asked, response, now, out);
    }

    /// Answers the oldest request about a group.
    template <class Message>
    void answer_group(const Message& response, MonoTime now, Outbox& out) {
        REQUIRE_FALSE(group_asked.empty());
        const GroupAsked one = std::move(group_asked.front());
        group_asked.pop_front();
        reply(one.asked, response, now, out);
    }

    [[nodiscard]] const Uuid& topic_id() const { return topic_id_; }

    std::deque<Produced> produced;
    std::deque<Fetched> fetched;
    std::deque<GroupAsked> group_asked;
    int32_t partition_count = 1;
    int32_t leader = 1; // of all partitions; whoever that is, this class plays it
    protocol::KafkaError topic_error = protocol::KafkaError::none; // in answers about metadata
    bool is_up = true;
    size_t connect_count = 0;

private:
    void take(const Outbox::Write& write, MonoTime now, Outbox& out) {
        std::vector<std::byte> bytes;
        for (const auto& part : write.buffers) {
            bytes.insert(bytes.end(), part.begin(), part.end());
        }
        if (std::find(links_.begin(), links_.end(), write.link) == links_.end()) {
            return;
        }
        cluster_.on_written(write.link, 0);
        const ByteView frame = ByteView(bytes).subspan(protocol::kFrameLengthSize);
        size_t header_size = 0;
        const auto header = protocol::decode_request_header(frame, header_size);
        REQUIRE(header);
        Asked asked{write.link, *header};
        asked.header.client_id = {};
        const ByteView body = frame.subspan(header_size);
        switch (header->api_key) {
        case protocol::ApiVersionsRequest::kApiKey:
            reply(asked, api_versions(), now, out);
            break;
        case protocol::MetadataRequest::kApiKey:
            reply(asked, metadata(), now, out);
            break;
        case protocol::InitProducerIdRequest::kApiKey: {
            protocol::InitProducerIdResponse response;
            response.producer_id = 100;
            reply(asked, response, now, out);
            break;
        }
        case protocol::ProduceRequest::kApiKey:
            take_produce(asked, body);
            break;
        case protocol::FetchRequest::kApiKey: {
            const auto request = protocol::FetchRequest::decode(body, header->api_version);
            REQUIRE(request);
            const bool any = !request->topics.empty() && !request->topics[0].partitions.empty();
            fetched.push_back({asked,
                               any ? request->topics[0].partitions[0].fetch_offset : int64_t{-1},
                               any ? request->topics[0].partitions.size() : 0});
            break;
        }
        case protocol::FindCoordinatorRequest::kApiKey:
        case protocol::ConsumerGroupHeartbeatRequest::kApiKey:
        case protocol::OffsetFetchRequest::kApiKey:
        case protocol::OffsetCommitRequest::kApiKey:
            group_asked.push_back({asked, {body.begin(), body.end()}});
            break;
        default:
            FAIL("unexpected API " << header->api_key);
        }
    }

    void take_produce(const Asked& asked, ByteView body) {
        const auto request = protocol::ProduceRequest::decode(body, asked.header.api_version);
        REQUIRE(request);
        REQUIRE(request->topic_data.size() == 1);
        REQUIRE(request->topic_data[0].partition_data.size() == 1);
        const auto& data = request->topic_data[0].partition_data[0];
        Produced one;
        one.asked = asked;
        one.partition = data.index;
        const ByteView batch = data.records->bytes;
        REQUIRE(protocol::check_batch_crc(batch));
        const auto header = protocol::parse_batch_header(batch);
        REQUIRE(header);
        one.batch = *header;
        auto records = protocol::BatchRecords::open({*header, batch}, size_t{1} << 24);
        REQUIRE(records);
        for (int32_t i = 0; i < header->records_count; i++) {
            const protocol::ConsumedRecord* record = records->next();
            REQUIRE(record != nullptr);
            one.values.emplace_back(as_text(*record->record.value));
        }
        produced.push_back(std::move(one));
    }

    static protocol::ApiVersionsResponse api_versions() {
        protocol::ApiVersionsResponse response;
        response.api_keys = {
            {protocol::ProduceRequest::kApiKey, 3, protocol::ProduceRequest::kVersionMax},
            {protocol::FetchRequest::kApiKey, 4, protocol::FetchRequest::kVersionMax},
            {protocol::MetadataRequest::kApiKey, 0, protocol::MetadataRequest::kVersionMax},
            {protocol::ApiVersionsRequest::kApiKey, 0, protocol::ApiVersionsRequest::kVersionMax},
            {protocol::InitProducerIdRequest::kApiKey, 0,
             protocol::InitProducerIdRequest::kVersionMax},
            {protocol::FindCoordinatorRequest::kApiKey, 0,
             protocol::FindCoordinatorRequest::kVersionMax},
            {protocol::ConsumerGroupHeartbeatRequest::kApiKey, 0,
             protocol::ConsumerGroupHeartbeatRequest::kVersionMax},
            {protocol::OffsetFetchRequest::kApiKey, 1, protocol::OffsetFetchRequest::kVersionMax},
            {protocol::OffsetCommitRequest::kApiKey, 2,
             protocol::OffsetCommitRequest::kVersionMax}};
        return response;
    }

    [[nodiscard]] protocol::MetadataResponse metadata() const {
        protocol::MetadataResponse response;
        for (int32_t id = 1; id <= leader; id++) {
            auto& broker = response.brokers.emplace_back();
            broker.node_id = id;
            broker.host = "localhost";
            broker.port = 9091 + id;
        }
        auto& topic = response.topics.emplace_back();
        topic.name = "t";
        topic.error_code = static_cast<int16_t>(topic_error);
        topic.topic_id = topic_id_;
        for (int32_t i = 0; topic_error == protocol::KafkaError::none && i < partition_count; i++) {
            auto& partition = topic.partitions.emplace_back();
            partition.partition_index = i;
            partition.leader_id = leader;
            partition.leader_epoch = leader;
        }
        return response;
    }

    template <class Message>
    void reply(const Asked& asked, const Message& message, MonoTime now, Outbox& out) {
        ByteWriter writer(256);
        writer.be<int32_t>(0);
        protocol::encode_response_header(writer, asked.header.api_key, asked.header.api_version,
                                         asked.header.correlation_id);
        message.encode(writer, asked.header.api_version);
        writer.patch_be<int32_t>(0,
                                 static_cast<int32_t>(writer.size() - protocol::kFrameLengthSize));
        ByteView left = writer.view();
        while (!left.empty()) {
            const ByteSpan space = cluster_.receive_space(asked.link);
            if (space.empty()) {
                return; // the connection is gone
            }
            const size_t size = std::min(space.size(), left.size());
            std::copy_n(left.begin(), size, space.begin());
            left = left.subspan(size);
            cluster_.on_received(asked.link, size, now, out);
        }
    }

    Cluster& cluster_;
    std::vector<LinkId> links_;
    Uuid topic_id_;
};

} // namespace qtool::client
