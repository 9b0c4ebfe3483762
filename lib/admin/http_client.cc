#include "lib/admin/http_client.h"

#include "lib/admin/codec.h"
#include "lib/base/assert.h"
#include "lib/net/loop.h"
#include "lib/stream/http1.h"
#include "lib/stream/percent.h"

#include <array>

namespace qtool::admin {

namespace {

template <class T>
Result<T> decode_answer(const Result<std::string>& body) {
    if (!body) {
        return body.error();
    }
    return decode<T>(*body);
}

std::string topic_target(std::string_view name) {
    return "/v1/topics/" + stream::encode_path_segment(name);
}

std::string group_target(std::string_view name) {
    return "/v1/groups/" + stream::encode_path_segment(name);
}

std::string transaction_target(std::string_view id) {
    return "/v1/transactions/" + stream::encode_path_segment(id);
}

Result<void> without_body(const Result<std::string>& answer) {
    return answer ? Result<void>() : Result<void>(answer.error());
}

std::string configs_target(const ConfigResource& resource) {
    return "/v1/configs/" + resource.type + "s/" + stream::encode_path_segment(resource.name);
}

/// An answer of 400 and above as the error it carries.
Error error_of(const stream::HttpResponse& response, const config::Endpoint& peer) {
    if (const auto body = decode<ErrorBody>(response.body)) {
        return {body->code, body->detail.empty() ? body->message : body->detail};
    }
    return {Code::malformed, to_string(peer) + " answered with HTTP status " +
                                 std::to_string(response.status) +
                                 ", but not in the JSON admin protocol of qbroker"};
}

} // namespace

Result<size_t> HttpClient::connect(size_t from, MonoTime deadline) {
    QT_ASSERT(from < bootstrap_.size());
    std::string tried;
    bool all_timed_out = true;
    for (size_t i = from; i < bootstrap_.size(); i++) {
        // A dead address must leave time for those after it.
        const MonoTime now = net::Loop::now();
        const MonoTime due = now + (deadline - now) / static_cast<int64_t>(bootstrap_.size() - i);
        Result<Connection> opened = Connection::open(bootstrap_[i], due);
        if (opened) {
            connection_ = *std::move(opened);
            peer_ = bootstrap_[i];
            return i;
        }
        all_timed_out = all_timed_out && opened.error().code == Code::timed_out;
        tried.append(tried.empty() ? "" : "; ").append(to_string(bootstrap_[i])).append(": ");
        tried.append(to_string(opened.error()));
    }
    return Error(all_timed_out ? Code::timed_out : Code::no_broker,
                 "no broker answers (" + tried + "); is it running, and is -b right?");
}

Result<std::string> HttpClient::call(std::string_view method, const std::string& target,
                                     std::string body) {
    const MonoTime deadline = net::Loop::now() + timeout_;
    if (method != "GET") {
        if (!connection_.is_open()) {
            QT_TRY(connect(0, deadline));
        }
        return call_once(method, target, body, deadline);
    }
    // Asking again changes nothing: on a new connection when the broker may have closed an idle
    // one, at the next address when a broker accepts connections and then is silent, as one that is
    // paused. Half of the time is for it, the rest for those after it.
    size_t next = 0;
    Result<std::string> answer = Error(Code::no_broker);
    while (true) {
        if (!connection_.is_open()) {
            const Result<size_t> at = connect(next, deadline);
            if (!at) {
                return next == 0 ? at.error() : answer.error();
            }
            next = *at + 1;
        }
        const MonoTime now = net::Loop::now();
        const bool is_last = next == bootstrap_.size();
        const bool has_others = !is_last && bootstrap_.size() > 1;
        answer =
            call_once(method, target, body, has_others ? now + (deadline - now) / 2 : deadline);
        const bool is_silent = !answer && (answer.error().code == Code::connection_failed ||
                                           answer.error().code == Code::timed_out);
        if (!is_silent || is_last || net::Loop::now() >= deadline) {
            return answer;
        }
    }
}

Result<std::string> HttpClient::call_once(std::string_view method, const std::string& target,
                                          const std::string& body, MonoTime deadline) {
    std::vector<std::pair<std::string, std::string>> headers{{"Accept", "application/json"}};
    if (!body.empty()) {
        headers.emplace_back("Content-Type", "application/json");
    }
    const std::string request =
        stream::encode_request(method, target, to_string(peer_), body, headers);
    const auto broken = [&](Error error) {
        connection_.close();
        error.detail = to_string(peer_) + ": " + error.detail;
        return error;
    };
    if (Result<void> sent = connection_.send(as_bytes(request), deadline); !sent) {
        return broken(sent.error());
    }
    stream::HttpResponseParser parser;
    std::array<std::byte, 64 * 1024> buffer;
    while (!parser.is_done()) {
        const Result<size_t> n = connection_.receive(buffer, deadline);
        if (!n) {
            return broken(n.error());
        }
        const Result<void> parsed =
            *n == 0 ? parser.end_of_stream() : parser.feed(ByteView(buffer.data(), *n));
        if (!parsed && parsed.error().code == Code::truncated) {
            return broken({Code::connection_failed,
                           "the connection was closed before an answer came; "
                           "does this port serve qbroker's JSON admin?"});
        }
        if (!parsed) {
            return broken(parsed.error());
        }
    }
    const stream::HttpResponse response = parser.take();
    if (!response.keep_alive) {
        connection_.close();
    }
    if (response.status >= 300) {
        return error_of(response, peer_);
    }
    return response.body;
}

Result<ClusterInfo> HttpClient::cluster() {
    return decode_answer<ClusterInfo>(call("GET", "/v1/cluster", {}));
}

Result<TopicList> HttpClient::topics() {
    return decode_answer<TopicList>(call("GET", "/v1/topics", {}));
}

Result<TopicDescription> HttpClient::describe_topic(std::string_view name) {
    return decode_answer<TopicDescription>(call("GET", topic_target(name), {}));
}

Result<TopicSummary> HttpClient::create_topic(const CreateTopicRequest& request) {
    return decode_answer<TopicSummary>(call("POST", "/v1/topics", encode(request)));
}

Result<TopicSummary> HttpClient::alter_topic(std::string_view name,
                                             const AlterTopicRequest& request) {
    return decode_answer<TopicSummary>(call("PATCH", topic_target(name), encode(request)));
}

Result<void> HttpClient::delete_topic(std::string_view name) {
    return without_body(call("DELETE", topic_target(name), {}));
}

Result<BrokerConfigs> HttpClient::broker_configs() {
    return decode_answer<BrokerConfigs>(call("GET", "/v1/config/broker", {}));
}

Result<GroupList> HttpClient::groups() {
    return decode_answer<GroupList>(call("GET", "/v1/groups", {}));
}

Result<GroupDescription> HttpClient::describe_group(std::string_view name) {
    return decode_answer<GroupDescription>(call("GET", group_target(name), {}));
}

Result<void> HttpClient::set_group_offsets(std::string_view name, const SetGroupOffsets& request) {
    return without_body(call("PATCH", group_target(name), encode(request)));
}

Result<void> HttpClient::delete_group(std::string_view name) {
    return without_body(call("DELETE", group_target(name), {}));
}

Result<TransactionList> HttpClient::transactions() {
    return decode_answer<TransactionList>(call("GET", "/v1/transactions", {}));
}

Result<TransactionDescription> HttpClient::describe_transaction(std::string_view id) {
    return decode_answer<TransactionDescription>(call("GET", transaction_target(id), {}));
}

Result<void> HttpClient::abort_transaction(std::string_view id) {
    return without_body(call("DELETE", transaction_target(id), {}));
}

Result<ConfigResourceList> HttpClient::config_resources() {
    return decode_answer<ConfigResourceList>(call("GET", "/v1/configs", {}));
}

Result<ResourceConfigs> HttpClient::describe_configs(const ConfigResource& resource) {
    return decode_answer<ResourceConfigs>(call("GET", configs_target(resource), {}));
}

Result<ResourceConfigs> HttpClient::alter_configs(const ConfigResource& resource,
                                                  const AlterConfigsRequest& request) {
    return decode_answer<ResourceConfigs>(call("PATCH", configs_target(resource), encode(request)));
}

Result<QuotaList> HttpClient::quotas() {
    return decode_answer<QuotaList>(call("GET", "/v1/quotas", {}));
}

Result<QuotaEntry> HttpClient::alter_quota(const AlterQuotaRequest& request) {
    return decode_answer<QuotaEntry>(call("PATCH", "/v1/quotas", encode(request)));
}

Result<MoveList> HttpClient::moves() {
    return decode_answer<MoveList>(call("GET", "/v1/moves", {}));
}

Result<MovePartition> HttpClient::move_partition(const MovePartition& request) {
    return decode_answer<MovePartition>(call("POST", "/v1/moves", encode(request)));
}

Result<void> HttpClient::alter_broker(int32_t id, const AlterBrokerRequest& request) {
    return without_body(call("PATCH", "/v1/brokers/" + std::to_string(id), encode(request)));
}

Result<void> HttpClient::forget_broker(int32_t id) {
    return without_body(call("DELETE", "/v1/brokers/" + std::to_string(id), {}));
}

Result<MovePlan> HttpClient::plan(const PlanRequest& request) {
    return decode_answer<MovePlan>(call("POST", "/v1/plans", encode(request)));
}

Result<ReassignmentList> HttpClient::reassignments() {
    return decode_answer<ReassignmentList>(call("GET", "/v1/reassignments", {}));
}

Result<ReassignmentResults> HttpClient::reassign(const AlterReassignmentsRequest& request) {
    return decode_answer<ReassignmentResults>(call("POST", "/v1/reassignments", encode(request)));
}

} // namespace qtool::admin
