#include "lib/protocol/header.h"

#include "lib/protocol/api.h"
#include "lib/protocol/msg/request_header.h"
#include "lib/protocol/msg/response_header.h"

#include <string>

namespace qtool::protocol {

namespace {

// Decodes what stands at the start of `bytes`, leaving the rest alone.
template <class Header>
Result<Header> decode_front(ByteView bytes, int16_t version, const char* name, size_t& size) {
    Decoder in(bytes, version >= Header::kFlexibleFrom, kDecodeFactorRequest);
    Header header;
    header.read(in, version);
    QT_TRY(in.status(name));
    size = in.position();
    return header;
}

} // namespace

int16_t request_header_version(int16_t api_key, int16_t api_version) noexcept {
    const ApiInfo* const api = find_api_info(api_key);
    return api != nullptr && api_version >= api->flexible_from ? 2 : 1;
}

int16_t response_header_version(int16_t api_key, int16_t api_version) noexcept {
    const ApiInfo* const api = find_api_info(api_key);
    return api != nullptr && api_version >= api->response_header_v1_from ? 1 : 0;
}

Result<RequestHeader> decode_request_header(ByteView frame, size_t& header_size) {
    SpanReader front(frame);
    const auto api_key = front.be<int16_t>();
    const auto api_version = front.be<int16_t>();
    if (!front.ok()) {
        return Error(Code::truncated, "frame of " + std::to_string(frame.size()) +
                                          " bytes, a request has at least " +
                                          std::to_string(kRequestHeaderSizeMin));
    }
    if (find_api_info(api_key) == nullptr) {
        return Error(Code::unsupported_version, "no API has key " + std::to_string(api_key));
    }
    QT_TRY_ASSIGN(const auto wire, decode_front<WireRequestHeader>(
                                       frame, request_header_version(api_key, api_version),
                                       "request header", header_size));
    return RequestHeader{wire.request_api_key, wire.request_api_version, wire.correlation_id,
                         wire.client_id};
}

void encode_request_header(ByteWriter& out, const RequestHeader& header) {
    WireRequestHeader wire;
    wire.request_api_key = header.api_key;
    wire.request_api_version = header.api_version;
    wire.correlation_id = header.correlation_id;
    wire.client_id = header.client_id;
    wire.encode(out, request_header_version(header.api_key, header.api_version));
}

void encode_response_header(ByteWriter& out, int16_t api_key, int16_t api_version,
                            int32_t correlation_id) {
    WireResponseHeader wire;
    wire.correlation_id = correlation_id;
    wire.encode(out, response_header_version(api_key, api_version));
}

Result<int32_t> decode_response_header(ByteView frame, int16_t api_key, int16_t api_version,
                                       size_t& header_size) {
    QT_TRY_ASSIGN(const auto wire, decode_front<WireResponseHeader>(
                                       frame, response_header_version(api_key, api_version),
                                       "response header", header_size));
    return wire.correlation_id;
}

Result<int32_t> peek_correlation_id(ByteView frame) {
    SpanReader in(frame);
    const auto correlation_id = in.be<int32_t>();
    if (!in.ok()) {
        return Error(Code::truncated, "response of " + std::to_string(frame.size()) + " bytes");
    }
    return correlation_id;
}

} // namespace qtool::protocol
