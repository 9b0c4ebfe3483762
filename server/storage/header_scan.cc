#include "server/storage/header_scan.h"

#include "server/storage/limits.h"

#include <algorithm>

namespace qtool::storage {

Error damaged_at(const std::string& path, uint64_t position, const std::string& why) {
    return Error(Code::storage_damaged,
                 path + " is damaged at position " + std::to_string(position) + ": " + why);
}

Result<const protocol::BatchHeader*> HeaderScan::next() {
    position_ = next_;
    if (position_ >= end_) {
        return nullptr;
    }
    const uint64_t wanted = std::min<uint64_t>(protocol::kBatchHeaderSize, end_ - position_);
    if (position_ < window_position_ || position_ + wanted > window_position_ + window_size_) {
        if (!window_) {
            window_ = std::make_unique_for_overwrite<std::byte[]>(kHeaderWindowSize);
        }
        window_position_ = position_;
        window_size_ = 0;
        const uint64_t size = std::min<uint64_t>(kHeaderWindowSize, end_ - position_);
        QT_TRY_ASSIGN(window_size_, file_.read_at({window_.get(), size}, position_));
    }
    const ByteView bytes =
        ByteView(window_.get(), window_size_).subspan(position_ - window_position_);
    Result<protocol::BatchHeader> header = protocol::parse_batch_header(bytes);
    if (!header) {
        return damaged_at(path_, position_, "no record batch: " + to_string(header.error()));
    }
    if (header->size_bytes > end_ - position_) {
        return damaged_at(path_, position_, "the batch reaches beyond the end of the segment");
    }
    header_ = *header;
    next_ = position_ + header_.size_bytes;
    return &header_;
}

} // namespace qtool::storage
