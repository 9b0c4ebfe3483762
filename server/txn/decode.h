// Reading a request of the transaction coordinator. Private to TxnShard.
#pragma once

#include "lib/protocol/kafka_error.h"
#include "server/coordinator/machine.h"

#include <optional>
#include <utility>

namespace qtool::txn {

/// The decoded body. Nothing: it does not read, and was answered; handlers decode before they ask a
/// shard, so this is a broker that speaks another protocol.
template <class Request, class Response>
std::optional<Request> decode(const coordinator::Request& request, coordinator::Host& host) {
    Result<Request> decoded = Request::decode(request.body, request.api_version);
    if (decoded) {
        return *std::move(decoded);
    }
    Response response;
    if constexpr (requires { response.error_code; }) {
        response.error_code = static_cast<int16_t>(protocol::KafkaError::invalid_request);
    }
    coordinator::answer(response, request.id, request.api_version, host);
    return std::nullopt;
}

} // namespace qtool::txn
