// Request and response headers: which layout stands before the body of which API and version.
//   request   v1: key int16, version int16, correlation id int32, client id nullable string
//             v2: the same, then a tagged section; client id keeps its int16 length in both
//   response  v0: correlation id int32; v1: the same, then a tagged section
// Source: Kafka protocol guide; KIP-482 (flexible versions); KIP-511 (ApiVersions).
#pragma once

#include "lib/base/byte_writer.h"
#include "lib/base/bytes.h"
#include "lib/base/result.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace qtool::protocol {

struct RequestHeader {
    int16_t api_key = 0;
    int16_t api_version = 0;
    int32_t correlation_id = 0;
    std::optional<std::string_view> client_id; // a view of the frame
};

/// 1 or 2. An unknown key counts as classic.
int16_t request_header_version(int16_t api_key, int16_t api_version) noexcept;
/// 0 or 1. ApiVersions: always 0.
int16_t response_header_version(int16_t api_key, int16_t api_version) noexcept;

/// Reads the header at the start of a frame (without its length field); the body starts at
/// `header_size`. A version that is not served decodes all the same: ApiVersions must be answered
/// whatever was asked.
/// Errors: truncated, malformed; unsupported_version when no API has this key, since where its body
/// would begin is not known.
Result<RequestHeader> decode_request_header(ByteView frame, size_t& header_size);

void encode_request_header(ByteWriter& out, const RequestHeader& header);

void encode_response_header(ByteWriter& out, int16_t api_key, int16_t api_version,
                            int32_t correlation_id);

/// Reads the header at the start of a response and returns the correlation id; the client knows by
/// it which request, and so which API and version, is answered. Errors: truncated, malformed.
Result<int32_t> decode_response_header(ByteView frame, int16_t api_key, int16_t api_version,
                                       size_t& header_size);
/// The correlation id alone, before the API is known. Errors: truncated.
Result<int32_t> peek_correlation_id(ByteView frame);

} // namespace qtool::protocol
