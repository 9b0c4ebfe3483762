#include "lib/client/connection.h"

#include "lib/base/version.h"
#include "lib/protocol/api.h"
#include "lib/protocol/header.h"
#include "lib/protocol/kafka_error.h"
#include "lib/protocol/msg/api_versions.h"

#include <algorithm>
#include <utility>

namespace qtool::client {

using protocol::ApiVersionsRequest;
using protocol::ApiVersionsResponse;
using protocol::KafkaError;

Connection::Connection(LinkId link, int32_t node_id, ConnectionOptions options, MonoTime now)
    : link_(link),
      node_id_(node_id),
      options_(std::move(options)),
      handshake_deadline_(now + options_.request_timeout),
      reader_(options_.reply_size_max, options_.reply_limit_name) {}

void Connection::on_connected(MonoTime now, Outbox& out) {
    if (state_ != State::connecting) {
        return;
    }
    state_ = State::handshaking;
    ask_api_versions(ApiVersionsRequest::kVersionMax, now, out);
}

void Connection::ask_api_versions(int16_t version, MonoTime now, Outbox& out) {
    handshake_deadline_ = now + options_.request_timeout;
    ApiVersionsRequest request;
    request.client_software_name = "qtool";
    request.client_software_version = kVersion;
    send(request, version, 0, handshake_deadline_, true, {}, out);
}

ByteWriter Connection::begin(int16_t api_key, int16_t version) {
    ByteWriter writer(256);
    writer.be<int32_t>(0); // the length, set in finish()
    protocol::encode_request_header(
        writer, {api_key, version, next_correlation_id_, std::string_view(options_.client_id)});
    next_correlation_id_ = next_correlation_id_ == INT32_MAX ? 1 : next_correlation_id_ + 1;
    return writer;
}

void Connection::finish(ByteWriter writer, const std::vector<protocol::RecordsSplit>& splits,
                        std::vector<std::vector<std::byte>> records, Outbox& out) {
    QT_ASSERT(splits.size() == records.size());
    size_t size = writer.size() - protocol::kFrameLengthSize;
    for (const std::vector<std::byte>& part : records) {
        size += part.size();
    }
    QT_ASSERT(size <= INT32_MAX);
    writer.patch_be<int32_t>(0, static_cast<int32_t>(size));
    Outbox::Write write{link_, {}};
    if (splits.empty()) {
        write.buffers.push_back(writer.take());
    } else {
        const ByteView text = writer.view();
        size_t at = 0;
        write.buffers.reserve(splits.size() * 2 + 1);
        for (size_t i = 0; i < splits.size(); i++) {
            QT_ASSERT(splits[i].size == records[i].size());
            const ByteView part = text.subspan(at, splits[i].position - at);
            write.buffers.emplace_back(part.begin(), part.end());
            write.buffers.push_back(std::move(records[i]));
            at = splits[i].position;
        }
        if (at < text.size()) {
            const ByteView rest = text.subspan(at);
            write.buffers.emplace_back(rest.begin(), rest.end());
        }
    }
    unwritten_ += size + protocol::kFrameLengthSize;
    out.writes.push_back(std::move(write));
}

Result<void> Connection::on_received(size_t size, MonoTime now, std::vector<Reply>& replies,
                                     Outbox& out) {
    if (state_ == State::failed) {
        return {};
    }
    QT_TRY_ASSIGN(const bool whole, reader_.received(size));
    if (!whole) {
        return {};
    }
    Frame frame = reader_.take();
    QT_TRY_ASSIGN(const int32_t correlation_id, protocol::peek_correlation_id(frame.view()));
    if (in_flight_.empty() || in_flight_.front().correlation_id != correlation_id) {
        return Error(Code::malformed, "reply with correlation id " +
                                          std::to_string(correlation_id) +
                                          ", which is not the oldest request's");
    }
    const InFlight request = in_flight_.front();
    in_flight_.pop_front();
    if (state_ == State::handshaking) {
        return on_api_versions(frame.view(), request.version, now, out);
    }
    Reply reply;
    reply.tag = request.tag;
    reply.node_id = node_id_;
    reply.api_key = request.api_key;
    reply.version = request.version;
    QT_TRY(protocol::decode_response_header(frame.view(), request.api_key, request.version,
                                            reply.body_at));
    reply.frame = std::move(frame);
    replies.push_back(std::move(reply));
    return {};
}

Result<void> Connection::on_api_versions(ByteView frame, int16_t version, MonoTime now,
                                         Outbox& out) {
    size_t body_at = 0;
    QT_TRY(protocol::decode_response_header(frame, ApiVersionsRequest::kApiKey, version, body_at));
    const ByteView body = frame.subspan(body_at);
    // The error code comes first in every version, and a broker that does not know ours answers
    // in version 0.
    if (body.size() < 2) {
        return Error(Code::truncated, "answer to ApiVersions");
    }
    const auto code = load_be<int16_t>(body.data());
    if (protocol::kafka_error_of(code) == KafkaError::unsupported_version && version > 0) {
        ask_api_versions(0, now, out);
        return {};
    }
    if (code != 0) {
        return Error(Code::unsupported_version,
                     "broker refused ApiVersions: " +
                         std::string(to_string(protocol::kafka_error_of(code))));
    }
    QT_TRY_ASSIGN(const auto response, ApiVersionsResponse::decode(body, version));
    for (const auto& api : response.api_keys) {
        versions_[api.api_key] = {api.min_version, api.max_version};
    }
    state_ = State::ready;
    return {};
}

std::optional<int16_t> Connection::pick_version(int16_t api_key, int16_t lowest,
                                                int16_t highest) const {
    const auto found = versions_.find(api_key);
    if (found == versions_.end()) {
        return std::nullopt;
    }
    const int16_t high = std::min(highest, found->second.high);
    if (high < std::max(lowest, found->second.low)) {
        return std::nullopt;
    }
    return high;
}

MonoTime Connection::next_deadline() const {
    if (state_ == State::failed) {
        return kMonoNever;
    }
    if (state_ != State::ready) {
        return handshake_deadline_;
    }
    // Requests may have different patience, but few are in flight.
    MonoTime due = kMonoNever;
    for (const InFlight& request : in_flight_) {
        due = std::min(due, request.deadline);
    }
    return due;
}

Result<void> Connection::check_deadlines(MonoTime now) const {
    if (next_deadline() > now) {
        return {};
    }
    if (state_ == State::connecting) {
        return Error(Code::timed_out, "no connection within request.timeout.ms");
    }
    const InFlight& oldest = in_flight_.front();
    return Error(Code::timed_out, "no reply to " + std::string(protocol::api_name(oldest.api_key)) +
                                      " within request.timeout.ms");
}

void Connection::fail(const Error& error, std::vector<Reply>& replies) {
    const bool was_ready = state_ == State::ready;
    state_ = State::failed;
    for (const InFlight& request : in_flight_) {
        if (!was_ready) {
            break; // the handshake's own
        }
        Reply reply;
        reply.tag = request.tag;
        reply.node_id = node_id_;
        reply.api_key = request.api_key;
        reply.version = request.version;
        reply.result = error;
        replies.push_back(std::move(reply));
    }
    in_flight_.clear();
}

} // namespace qtool::client
