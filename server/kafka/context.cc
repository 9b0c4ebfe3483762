#include "server/kafka/context.h"

#include "lib/base/assert.h"

namespace qtool::kafka {

ByteWriter begin_answer(const ReplyHead& head) {
    ByteWriter writer(256);
    writer.be<int32_t>(0);
    protocol::encode_response_header(writer, head.api_key, head.api_version, head.correlation_id);
    return writer;
}

std::vector<port::Piece> end_answer(ByteWriter writer) {
    writer.patch_be<int32_t>(0, static_cast<int32_t>(writer.size() - 4));
    std::vector<port::Piece> pieces;
    pieces.emplace_back(writer.take());
    return pieces;
}

std::vector<port::Piece> end_answer(ByteWriter writer,
                                    const std::vector<protocol::RecordsSplit>& splits,
                                    std::vector<port::FileRange> ranges) {
    QT_ASSERT(splits.size() == ranges.size());
    uint64_t size = writer.size() - 4;
    for (const protocol::RecordsSplit& split : splits) {
        size += split.size;
    }
    QT_ASSERT(size <= INT32_MAX); // fetch.max.bytes and one batch are far below
    writer.patch_be<int32_t>(0, static_cast<int32_t>(size));
    std::vector<port::Piece> pieces;
    if (splits.empty()) {
        pieces.emplace_back(writer.take());
        return pieces;
    }
    const std::vector<std::byte> bytes = writer.take();
    size_t from = 0;
    const auto put_bytes = [&](size_t to) {
        if (to > from) {
            const auto begin = bytes.begin();
            pieces.emplace_back(std::vector<std::byte>(begin + static_cast<ptrdiff_t>(from),
                                                       begin + static_cast<ptrdiff_t>(to)));
            from = to;
        }
    };
    for (size_t i = 0; i < splits.size(); i++) {
        QT_ASSERT(ranges[i].size == splits[i].size);
        put_bytes(splits[i].position);
        pieces.emplace_back(std::move(ranges[i]));
    }
    put_bytes(bytes.size());
    return pieces;
}

} // namespace qtool::kafka
