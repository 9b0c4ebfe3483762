#include "server/group/consumer_protocol.h"

#include "lib/base/byte_writer.h"
#include "lib/base/span_reader.h"

#include <algorithm>

namespace qtool::group {
namespace {

// Bytes behind the message belong to versions that may not be known here.
template <class Message>
std::optional<Message> read_as(ByteView bytes) {
    if (bytes.size() < sizeof(int16_t)) {
        return std::nullopt;
    }
    const int16_t version = std::min(load_be<int16_t>(bytes.data()), Message::kVersionMax);
    if (version < Message::kVersionMin) {
        return std::nullopt;
    }
    protocol::Decoder in(bytes.subspan(sizeof(int16_t)), false, protocol::kDecodeFactorRequest);
    Message message;
    message.read(in, version);
    return in.ok() ? std::optional(std::move(message)) : std::nullopt;
}

} // namespace

// Every version starts alike: int16 version, then the array of topics. The reader by hand rather
// than by schema: bytes after the array belong to versions that may not be known here.
std::optional<std::vector<std::string_view>> subscribed_topics(ByteView metadata) {
    SpanReader in(metadata);
    if (in.be<int16_t>() < 0) {
        return std::nullopt;
    }
    constexpr size_t kTopicSizeMin = 2;
    const auto count = in.be<int32_t>();
    if (!in.ok() || count < 0 || static_cast<size_t>(count) > in.left() / kTopicSizeMin) {
        return std::nullopt;
    }
    std::vector<std::string_view> topics;
    topics.reserve(static_cast<size_t>(count));
    for (int32_t i = 0; i < count; i++) {
        const auto size = in.be<int16_t>();
        if (size < 0) {
            return std::nullopt;
        }
        topics.push_back(as_text(in.bytes(static_cast<size_t>(size))));
    }
    if (!in.ok()) {
        return std::nullopt;
    }
    return topics;
}

std::optional<protocol::ConsumerProtocolSubscription> read_subscription(ByteView metadata) {
    return read_as<protocol::ConsumerProtocolSubscription>(metadata);
}

std::optional<protocol::ConsumerProtocolAssignment> read_assignment(ByteView assignment) {
    return read_as<protocol::ConsumerProtocolAssignment>(assignment);
}

int16_t protocol_version(ByteView metadata) {
    if (metadata.size() < sizeof(int16_t)) {
        return 0;
    }
    return std::clamp(load_be<int16_t>(metadata.data()), int16_t{0},
                      protocol::ConsumerProtocolAssignment::kVersionMax);
}

std::vector<std::byte> write_assignment(const protocol::ConsumerProtocolAssignment& assignment,
                                        int16_t version) {
    ByteWriter writer;
    writer.be<int16_t>(version);
    assignment.encode(writer, version);
    return writer.take();
}

} // namespace qtool::group
