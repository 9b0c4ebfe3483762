#include "server/group/consumer_protocol.h"

#include "lib/base/span_reader.h"

namespace qtool::group {

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

} // namespace qtool::group
