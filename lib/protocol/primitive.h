// What generated message code calls: bounds-checked reading and plain writing of Kafka's primitive
// types, in the classic and the flexible encoding (KIP-482).
//
// Memory: a decoder counts what the structures it fills take (sizeof an element, times the count of
// its array). Beyond kDecodeBytesFixed plus a factor of the body (limits.h) it refuses with
// too_large, before anything is reserved, so that no message costs much more than it sent.
#pragma once

#include "lib/base/assert.h"
#include "lib/base/byte_writer.h"
#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/base/span_reader.h"
#include "lib/base/uuid.h"
#include "lib/protocol/limits.h"

#include <optional>
#include <string_view>
#include <vector>

namespace qtool::protocol {

/// The records of a partition. Decoded: a view, usable as one. To encode: either `bytes`, which are
/// copied, or external_size > 0 bytes which the sender puts in by itself (a file range, a batch
/// that is not copied): then only the length is written, and the place is reported as a
/// RecordsSplit.
struct RecordsRef {
    ByteView bytes;
    uint64_t external_size = 0; // 0: none; invariant: `bytes` is empty otherwise

    operator ByteView() const { return bytes; } // NOLINT: a decoded field reads as its bytes
    [[nodiscard]] const std::byte* data() const { return bytes.data(); }
    [[nodiscard]] size_t size() const { return bytes.size(); }
    [[nodiscard]] bool empty() const { return bytes.empty(); }

    bool operator==(const RecordsRef& other) const {
        return external_size == other.external_size && as_text(bytes) == as_text(other.bytes);
    }
};

/// Equality of bytes by what they are, for comparing decoded messages.
inline bool same_bytes(ByteView a, ByteView b) {
    return as_text(a) == as_text(b);
}
inline bool same_bytes(const std::optional<ByteView>& a, const std::optional<ByteView>& b) {
    return a.has_value() == b.has_value() && (!a || same_bytes(*a, *b));
}

/// Where external records belong: before the byte at `position` of what the encoder wrote (counted
/// from the start of the ByteWriter). In order of position.
struct RecordsSplit {
    size_t position = 0;
    uint64_t size = 0;
};

enum class Flexible : uint8_t { no, as_message };

class Decoder {
public:
    Decoder(ByteView bytes, bool flexible, size_t memory_factor)
        : in_(bytes),
          flexible_(flexible),
          budget_(kDecodeBytesFixed + memory_factor * bytes.size()) {}

    [[nodiscard]] bool ok() const { return in_.ok() && problem_ == nullptr; }
    [[nodiscard]] size_t position() const { return in_.position(); }
    /// What went wrong so far, if anything. Errors: malformed, truncated, too_large.
    Result<void> status(const char* message) const;
    /// The same, and no byte may be left.
    Result<void> finish(const char* message) const;

    bool read_bool() { return in_.be<int8_t>() != 0; }
    int8_t read_int8() { return in_.be<int8_t>(); }
    int16_t read_int16() { return in_.be<int16_t>(); }
    uint16_t read_uint16() { return in_.be<uint16_t>(); }
    int32_t read_int32() { return in_.be<int32_t>(); }
    uint32_t read_uint32() { return in_.be<uint32_t>(); }
    int64_t read_int64() { return in_.be<int64_t>(); }
    double read_float64();
    Uuid read_uuid();
    std::string_view read_string(Flexible flexible = Flexible::as_message);
    std::optional<std::string_view> read_nullable_string(bool may_be_null,
                                                         Flexible flexible = Flexible::as_message);
    ByteView read_bytes();
    std::optional<ByteView> read_nullable_bytes(bool may_be_null);
    RecordsRef read_records() { return RecordsRef{read_bytes(), 0}; }
    std::optional<RecordsRef> read_nullable_records(bool may_be_null);

    /// The count of an array, -1 for null (an error unless allowed). Checked against the bytes left
    /// and the memory budget before anything is reserved.
    int64_t array_count(size_t wire_size_min, size_t struct_size, bool may_be_null);
    bool presence() { return in_.be<int8_t>() >= 0; }
    bool presence_tagged() { return in_.uvarint() != 0; }
    void require(bool holds, const char* problem) {
        if (!holds && problem_ == nullptr) {
            problem_ = problem;
        }
    }

    /// Reads the tagged section of a flexible structure: `read_field(tag, payload decoder)` returns
    /// false for tags it does not know, which are skipped by size.
    template <class F>
    void tagged_section(F&& read_field) {
        if (!flexible_) {
            return;
        }
        const uint32_t count = in_.uvarint();
        for (uint32_t i = 0; i < count && ok(); i++) {
            const uint32_t tag = in_.uvarint();
            const ByteView payload = in_.bytes(in_.uvarint());
            if (!ok()) {
                return;
            }
            Decoder field(payload, true, 0);
            field.budget_ = budget_;
            if (read_field(tag, field)) {
                take_over(field);
            }
        }
    }

private:
    int64_t length(bool compact, bool classic_is_short);
    void charge(size_t size);
    void take_over(const Decoder& field); // the budget and the problems of a tagged field

    SpanReader in_;
    bool flexible_;
    size_t budget_;                 // bytes that decoded structures may still take
    const char* problem_ = nullptr; // the first problem that is not just missing bytes
    bool is_too_large_ = false;     // that problem is the budget
};

class Encoder {
public:
    Encoder(ByteWriter& out, bool flexible, std::vector<RecordsSplit>* splits)
        : out_(out),
          flexible_(flexible),
          splits_(splits) {}

    [[nodiscard]] bool flexible() const { return flexible_; }
    [[nodiscard]] ByteWriter& writer() { return out_; }

    void write_bool(bool value) { out_.be<int8_t>(value ? 1 : 0); }
    void write_int8(int8_t value) { out_.be(value); }
    void write_int16(int16_t value) { out_.be(value); }
    void write_uint16(uint16_t value) { out_.be(value); }
    void write_int32(int32_t value) { out_.be(value); }
    void write_uint32(uint32_t value) { out_.be(value); }
    void write_int64(int64_t value) { out_.be(value); }
    void write_float64(double value);
    void write_uuid(const Uuid& value) { out_.bytes(std::as_bytes(std::span(value.bytes))); }
    void write_string(std::string_view value, Flexible flexible = Flexible::as_message);
    void write_nullable_string(const std::optional<std::string_view>& value, bool may_be_null,
                               Flexible flexible = Flexible::as_message);
    void write_bytes(ByteView value);
    void write_nullable_bytes(const std::optional<ByteView>& value, bool may_be_null);
    void write_records(const RecordsRef& value);
    void write_nullable_records(const std::optional<RecordsRef>& value, bool may_be_null);
    void array_count(size_t count);
    void null_array(bool may_be_null);
    void presence(bool is_there) { out_.be<int8_t>(is_there ? 1 : -1); }
    void presence_tagged(bool is_there) { out_.uvarint(is_there ? 1 : 0); }
    void empty_tagged_section() {
        if (flexible_) {
            out_.uvarint(0);
        }
    }

private:
    void null_length(bool compact, bool classic_is_short);

    ByteWriter& out_;
    bool flexible_;
    std::vector<RecordsSplit>* splits_;
};

/// Writes a tagged section whose number of fields is known only at the end. Fields are collected
/// beside the output; records never stand in tagged fields.
class TaggedSection {
public:
    explicit TaggedSection(Encoder& out) : out_(out) {}
    /// The field's value is written to the encoder between begin and end.
    void begin(uint32_t tag);
    void end();
    void finish();

private:
    struct Field {
        uint32_t tag;
        size_t position; // of the value in the output
        size_t size;
    };
    Encoder& out_;
    std::vector<Field> fields_; // ascending tags
};

Error unsupported_message_version(const char* message, int16_t version);

} // namespace qtool::protocol
