#include "lib/client/blocking_topics.h"

#include "lib/client/blocking.h"
#include "lib/client/broker_error.h"
#include "lib/client/driver_uv.h"
#include "lib/protocol/msg/create_topics.h"
#include "lib/protocol/msg/delete_topics.h"

#include <algorithm>

namespace qtool::client {

using protocol::CreateTopicsRequest;
using protocol::CreateTopicsResponse;
using protocol::DeleteTopicsRequest;
using protocol::DeleteTopicsResponse;
using protocol::KafkaError;

namespace {

constexpr uint64_t kTag = 1;

/// Sends one request to any broker, which passes it on to the controller (KIP-590), and waits for
/// the answer. It is not sent again: whether a lost one was carried out is not known.
template <class Message>
Result<Reply> ask(const config::ClientConfig& config, const Message& request, int16_t lowest,
                  MonoTime deadline) {
    Cluster cluster(config, false, random_seed());
    DriverUv driver(cluster);
    Outbox out;
    bool sent = false;
    for (;;) {
        const MonoTime now = mono_now();
        cluster.step(now, out);
        if (!sent) {
            if (const auto node_id = cluster.any_ready(now, out); node_id) {
                const auto version =
                    cluster.pick_version(*node_id, Message::kApiKey, lowest, Message::kVersionMax);
                if (!version) {
                    return Error(Code::unsupported_version,
                                 "the broker serves no version of this request that we speak");
                }
                cluster.send(*node_id, request, *version, kTag, now, true, {}, out);
                sent = true;
            }
        }
        for (Reply& reply : cluster.take_replies()) {
            if (reply.tag == kTag) {
                QT_TRY(reply.result);
                return std::move(reply);
            }
        }
        if (now >= deadline) {
            return cluster.late("the answer did not come");
        }
        driver.apply(out);
        driver.turn(std::min(deadline, cluster.next_due(now)));
    }
}

int32_t timeout_ms(MonoTime deadline) {
    const auto left = duration_cast<std::chrono::milliseconds>(deadline - mono_now()).count();
    return static_cast<int32_t>(std::clamp<int64_t>(left, 1, 60'000));
}

Result<void> result_of(int16_t error_code, std::string_view message, const std::string& name) {
    const KafkaError error = protocol::kafka_error_of(error_code);
    if (error == KafkaError::none) {
        return {};
    }
    return error_of_broker(error, "topic '" + name + "'" +
                                      (message.empty() ? "" : ": " + std::string(message)));
}

} // namespace

Result<void> create_topic(const config::ClientConfig& config, const NewTopic& topic,
                          MonoTime deadline) {
    CreateTopicsRequest request;
    request.timeout_ms = timeout_ms(deadline);
    request.topics.emplace_back();
    request.topics.back().name = topic.name;
    request.topics.back().num_partitions = topic.partitions;
    request.topics.back().replication_factor = topic.replication_factor;
    for (const auto& [name, value] : topic.configs) {
        request.topics.back().configs.push_back({name, value});
    }
    // Version 4 brought the broker's own defaults (KIP-464).
    QT_TRY_ASSIGN(const Reply reply, ask(config, request, 4, deadline));
    QT_TRY_ASSIGN(const auto response, CreateTopicsResponse::decode(reply.body(), reply.version));
    if (response.topics.size() != 1) {
        return Error(Code::malformed, "CreateTopics was answered without the topic asked for");
    }
    const auto& answer = response.topics.front();
    return result_of(answer.error_code, answer.error_message.value_or(""), topic.name);
}

Result<void> delete_topic(const config::ClientConfig& config, const std::string& name,
                          MonoTime deadline) {
    DeleteTopicsRequest request;
    request.timeout_ms = timeout_ms(deadline);
    request.topic_names.push_back(name); // up to version 5
    request.topics.emplace_back();       // from version 6 on
    request.topics.back().name = name;
    QT_TRY_ASSIGN(const Reply reply, ask(config, request, 1, deadline));
    QT_TRY_ASSIGN(const auto response, DeleteTopicsResponse::decode(reply.body(), reply.version));
    if (response.responses.size() != 1) {
        return Error(Code::malformed, "DeleteTopics was answered without the topic asked for");
    }
    const auto& answer = response.responses.front();
    return result_of(answer.error_code, answer.error_message.value_or(""), name);
}

} // namespace qtool::client
