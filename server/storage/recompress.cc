#include "server/storage/recompress.h"

#include "lib/protocol/batch_builder.h"
#include "server/storage/compaction_filter.h"

#include <cstring>
#include <string>

namespace qtool::storage {

Result<std::optional<std::vector<std::byte>>>
recompress(ByteView batch, protocol::BatchHeader& header, const LogConfig& config) {
    const std::optional<std::vector<std::byte>> as_it_is;
    QT_TRY_ASSIGN(const protocol::Compression codec, header.compression());
    if (!config.compression || *config.compression == codec) {
        return as_it_is;
    }
    std::vector<std::byte> buffer;
    QT_TRY_ASSIGN(ByteView area, plain_records({header, batch}, buffer));
    std::vector<std::byte> packed;
    if (*config.compression != protocol::Compression::none) {
        QT_TRY_ASSIGN(packed,
                      protocol::compress(*config.compression, area, config.compression_level));
        area = packed;
    }
    const uint64_t size = protocol::kBatchHeaderSize + area.size();
    if (size > config.max_message_bytes) {
        return Error(Code::message_too_large, "compressed as the topic wants it the batch has " +
                                                  std::to_string(size) +
                                                  " bytes, max.message.bytes is " +
                                                  std::to_string(config.max_message_bytes));
    }
    if (size > config.segment_bytes) {
        return Error(Code::record_list_too_large,
                     "compressed as the topic wants it the batch has " + std::to_string(size) +
                         " bytes, segment.bytes is " + std::to_string(config.segment_bytes));
    }
    std::vector<std::byte> written(size);
    std::memcpy(written.data() + protocol::kBatchHeaderSize, area.data(), area.size());
    header.attributes =
        static_cast<int16_t>((header.attributes & ~protocol::kBatchCompressionMask) |
                             static_cast<int16_t>(*config.compression));
    header.size_bytes = static_cast<uint32_t>(size);
    protocol::write_batch_header(written, header);
    return std::optional<std::vector<std::byte>>(std::move(written));
}

} // namespace qtool::storage
