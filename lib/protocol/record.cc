#include "lib/protocol/record.h"

#include "lib/protocol/record_scan.h"

#include <string>

namespace qtool::protocol {

namespace {

/// Reads a length and that many bytes; -1 is null where `nullable`. False when they are not there.
bool scan_bytes(const std::byte*& at, const std::byte* end, bool nullable,
                std::optional<ByteView>& bytes) {
    int32_t size = 0;
    if (!scan_varint(at, end, size) || size < (nullable ? -1 : 0) || size > end - at) {
        return false;
    }
    if (size < 0) {
        bytes.reset();
        return true;
    }
    bytes = ByteView(at, static_cast<size_t>(size));
    at += size;
    return true;
}

bool scan_header(const std::byte*& at, const std::byte* end, HeaderView& header) {
    std::optional<ByteView> key;
    if (!scan_bytes(at, end, false, key)) {
        return false;
    }
    header.key = as_text(*key);
    return scan_bytes(at, end, true, header.value);
}

} // namespace

const HeaderView* HeaderIterator::next() {
    if (left_ == 0) {
        return nullptr;
    }
    const std::byte* at = bytes_.data();
    if (!scan_header(at, bytes_.data() + bytes_.size(), current_)) {
        left_ = 0; // only for bytes that no RecordIterator has checked
        return nullptr;
    }
    left_--;
    bytes_ = bytes_.subspan(static_cast<size_t>(at - bytes_.data()));
    return &current_;
}

RecordIterator::RecordIterator(ByteView area, int32_t count) : area_(area), count_(count) {
    if (count < 0 || static_cast<uint64_t>(count) > area.size() / kRecordSizeMin) {
        failure_ = "more records claimed than the bytes can hold";
    }
}

const RecordView* RecordIterator::next() {
    if (failure_ != nullptr) {
        return nullptr;
    }
    if (index_ == count_) {
        return position_ == area_.size() ? nullptr : fail("bytes behind the last record");
    }
    const std::byte* at = area_.data() + position_;
    const std::byte* end = area_.data() + area_.size();
    int32_t length = 0;
    if (!scan_varint(at, end, length) || length < 0 || length > end - at) {
        return fail("record ends behind the batch");
    }
    end = at + length;
    if (at == end) {
        return fail("empty record");
    }
    at++; // attributes: none is defined
    if (!scan_varlong(at, end, current_.timestamp_delta) ||
        !scan_varint(at, end, current_.offset_delta)) {
        return fail("bad timestamp or offset delta");
    }
    if (!scan_bytes(at, end, true, current_.key)) {
        return fail("key ends behind the record");
    }
    if (!scan_bytes(at, end, true, current_.value)) {
        return fail("value ends behind the record");
    }
    if (!scan_varint(at, end, current_.header_count) || current_.header_count < 0) {
        return fail("bad header count");
    }
    const std::byte* headers = at;
    HeaderView header;
    for (int32_t i = 0; i < current_.header_count; i++) {
        if (!scan_header(at, end, header)) {
            return fail("header ends behind the record");
        }
    }
    if (at != end) {
        return fail("record longer than its fields");
    }
    current_.header_bytes = ByteView(headers, end);
    position_ = static_cast<size_t>(end - area_.data());
    index_++;
    return &current_;
}

Result<void> RecordIterator::status() const {
    if (failure_ == nullptr) {
        return {};
    }
    return Error(Code::malformed, "record " + std::to_string(index_) + " of " +
                                      std::to_string(count_) + ": " + failure_);
}

const RecordView* RecordIterator::fail(const char* reason) {
    failure_ = reason;
    return nullptr;
}

} // namespace qtool::protocol
