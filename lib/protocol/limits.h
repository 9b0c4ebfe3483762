// Bounds of Kafka's wire format and of what we accept of it, with units and reasons. Bounds that an
// operator may move are options (lib/config); these are the ends of their ranges and the rest.
#pragma once

#include "lib/base/units.h"

#include <cstddef>
#include <cstdint>

namespace qtool::protocol {

// Bytes of the length field in front of each frame; the length does not count itself.
inline constexpr size_t kFrameLengthSize = 4;

// Bytes of a frame after its length field: Kafka's default of socket.request.max.bytes. Beyond, the
// connection is closed, since nothing after such a frame can be trusted.
inline constexpr size_t kFrameBytesMax = 100 * MiB;

// The smallest request: key, version, correlation id, and the length of a null client id.
inline constexpr size_t kRequestHeaderSizeMin = 10;

// Bytes of UTF-8 in a string, in the compact form too: the classic form has an int16 length.
inline constexpr size_t kStringSizeMax = 32767;

// Memory that the structures of one decoded message may take, strings and records excepted, since
// those are views: a fixed part, so that small messages never hit the factor, and a factor of the
// bytes received. Requests come from strangers and get the bound of the design; a response was
// asked for, and its structures with many empty arrays take up to six times their bytes.
inline constexpr size_t kDecodeBytesFixed = 64 * KiB;
inline constexpr size_t kDecodeFactorRequest = 4;
inline constexpr size_t kDecodeFactorResponse = 16;

// A topic name is also a folder's name together with "-<partition>" and a suffix: 255 bytes in all.
inline constexpr size_t kTopicNameSizeMax = 249;

} // namespace qtool::protocol
