// One record of a v2 batch, and walking the records area. No allocation: everything is a view into
// the area, valid as long as the area is.
//
//   record = length varint, attributes i8, timestamp_delta varlong, offset_delta varint,
//            key length varint (-1 null), key, value length varint (-1 null), value,
//            header count varint, { key length varint, key, value length varint (-1 null), value }
//
// All varints are zigzag. Source: Kafka protocol guide, "Record"; KIP-98.
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/result.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace qtool::protocol {

/// One header. The key is text by Kafka's rules, but its bytes are not checked here.
struct HeaderView {
    std::string_view key;
    std::optional<ByteView> value{}; // nothing: null
};

/// Yields the headers of a record that RecordIterator found valid.
class HeaderIterator {
public:
    HeaderIterator() = default;
    HeaderIterator(ByteView bytes, int32_t count) : bytes_(bytes), left_(count) {}

    /// The next header, nullptr at the end; valid until the next call.
    const HeaderView* next();

private:
    ByteView bytes_;
    int32_t left_ = 0;
    HeaderView current_;
};

struct RecordView {
    int64_t timestamp_delta = 0;   // to the batch's base timestamp, ms
    int32_t offset_delta = 0;      // to the batch's base offset
    std::optional<ByteView> key{}; // nothing: null
    std::optional<ByteView> value{};
    int32_t header_count = 0;
    ByteView header_bytes{}; // header_count headers, checked

    [[nodiscard]] HeaderIterator headers() const { return {header_bytes, header_count}; }
};

/// Walks a records area that holds exactly `count` records and nothing else.
///
///   RecordIterator records(area, header.records_count);
///   while (const RecordView* record = records.next()) { ... }
///   QT_TRY(records.status());
class RecordIterator {
public:
    RecordIterator() = default;
    RecordIterator(ByteView area, int32_t count);

    /// The next record, valid until the next call; nullptr at the end and at the first error.
    const RecordView* next();

    /// What ended the walk. Errors: malformed, with the record's index, when a length does not
    /// match, the area ends inside a record, or bytes are left after the last one.
    [[nodiscard]] Result<void> status() const;

private:
    const RecordView* fail(const char* reason);

    ByteView area_;
    size_t position_ = 0; // invariant: <= area_.size()
    int32_t count_ = 0;
    int32_t index_ = 0;             // of the record that next() yields next
    const char* failure_ = nullptr; // static text
    RecordView current_;
};

/// A header to be written.
struct RecordHeader {
    std::string_view key;
    std::optional<ByteView> value{};
};

} // namespace qtool::protocol
