#include "lib/client/fetcher.h"

#include "lib/protocol/control_record.h"

#include <algorithm>
#include <string>
#include <utility>

namespace qtool::client {

Fetcher::Fetcher(ByteView bytes, int64_t position, std::vector<AbortedTransaction> aborted)
    : walker_(bytes),
      position_(position),
      aborted_(std::move(aborted)) {
    std::sort(aborted_.begin(), aborted_.end(),
              [](const AbortedTransaction& a, const AbortedTransaction& b) {
                  return a.first_offset < b.first_offset;
              });
}

Result<bool> Fetcher::enter(const protocol::BatchView& batch) {
    QT_TRY(protocol::check_batch_crc(batch.bytes));
    const protocol::BatchHeader& header = batch.header;
    const int64_t producer_id = header.producer_id.value();
    while (next_aborted_ < aborted_.size() &&
           aborted_[next_aborted_].first_offset <= header.last_offset().value()) {
        aborting_.insert(aborted_[next_aborted_++].producer_id);
    }
    if (header.is_control()) {
        QT_TRY_ASSIGN(const auto marker, protocol::parse_transaction_marker(batch));
        if (marker && marker->type == protocol::ControlType::abort) {
            aborting_.erase(producer_id);
        }
        return false;
    }
    if (header.is_transactional() && aborting_.contains(producer_id)) {
        return false;
    }
    return header.next_offset().value() > position_ && header.records_count > 0;
}

Result<bool> Fetcher::open() {
    std::vector<std::byte> buffer;
    if (open_) {
        buffer = open_->take_buffer();
        open_.reset();
    }
    for (;;) {
        QT_TRY_ASSIGN(const protocol::BatchView* const batch, walker_.next());
        if (batch == nullptr) {
            return false;
        }
        QT_TRY_ASSIGN(const bool has_records, enter(*batch));
        if (!has_records) {
            position_ = std::max(position_, batch->header.next_offset().value());
            continue;
        }
        open_end_ = batch->header.next_offset().value();
        QT_TRY_ASSIGN(
            auto records,
            protocol::BatchRecords::open(
                *batch, protocol::decompressed_size_max(batch->bytes.size()), std::move(buffer)));
        open_.emplace(std::move(records));
        return true;
    }
}

Result<const protocol::ConsumedRecord*> Fetcher::next() {
    if (!open_) {
        return nullptr;
    }
    while (const protocol::ConsumedRecord* record = open_->next()) {
        if (record->offset.value() >= position_) {
            position_ = record->offset.value() + 1;
            return record;
        }
    }
    QT_TRY(open_->status());
    position_ = std::max(position_, open_end_);
    return nullptr;
}

} // namespace qtool::client
