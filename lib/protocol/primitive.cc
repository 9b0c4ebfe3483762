#include "lib/protocol/primitive.h"

#include <bit>

namespace qtool::protocol {

// ---- reading ------------------------------------------------------------------------------------

Result<void> Decoder::status(const char* message) const {
    if (is_too_large_) {
        return Error(Code::too_large, std::string(message) + ": " + problem_);
    }
    if (problem_ != nullptr) {
        return Error(Code::malformed, std::string(message) + ": " + problem_);
    }
    if (!in_.ok()) {
        return Error(Code::truncated, std::string(message) + ": ends inside a field, after byte " +
                                          std::to_string(in_.position()));
    }
    return {};
}

Result<void> Decoder::finish(const char* message) const {
    QT_TRY(status(message));
    if (in_.left() > 0) {
        return Error(Code::malformed, std::string(message) + ": " + std::to_string(in_.left()) +
                                          " bytes behind its last field");
    }
    return {};
}

double Decoder::read_float64() {
    return std::bit_cast<double>(in_.be<uint64_t>());
}

Uuid Decoder::read_uuid() {
    Uuid uuid;
    const ByteView bytes = in_.bytes(uuid.bytes.size());
    if (!bytes.empty()) {
        std::memcpy(uuid.bytes.data(), bytes.data(), bytes.size());
    }
    return uuid;
}

// The length of a string or byte sequence; -1: null.
int64_t Decoder::length(bool compact, bool classic_is_short) {
    if (compact) {
        return static_cast<int64_t>(in_.uvarint()) - 1;
    }
    const int64_t size = classic_is_short ? in_.be<int16_t>() : in_.be<int32_t>();
    require(size >= -1, "negative length");
    return size;
}

std::optional<std::string_view> Decoder::read_nullable_string(bool may_be_null, Flexible flexible) {
    const int64_t size = length(flexible_ && flexible == Flexible::as_message, true);
    if (!ok()) {
        return std::nullopt;
    }
    if (size < 0) {
        require(may_be_null, "null string where none is allowed");
        return std::nullopt;
    }
    require(static_cast<size_t>(size) <= kStringSizeMax, "string of more than 32767 bytes");
    return as_text(in_.bytes(static_cast<size_t>(size)));
}

std::string_view Decoder::read_string(Flexible flexible) {
    return read_nullable_string(false, flexible).value_or(std::string_view());
}

std::optional<ByteView> Decoder::read_nullable_bytes(bool may_be_null) {
    const int64_t size = length(flexible_, false);
    if (!ok()) {
        return std::nullopt;
    }
    if (size < 0) {
        require(may_be_null, "null bytes where none are allowed");
        return std::nullopt;
    }
    return in_.bytes(static_cast<size_t>(size));
}

ByteView Decoder::read_bytes() {
    return read_nullable_bytes(false).value_or(ByteView());
}

std::optional<RecordsRef> Decoder::read_nullable_records(bool may_be_null) {
    const std::optional<ByteView> bytes = read_nullable_bytes(may_be_null);
    return bytes ? std::optional(RecordsRef{*bytes, 0}) : std::nullopt;
}

int64_t Decoder::array_count(size_t wire_size_min, size_t struct_size, bool may_be_null) {
    const int64_t count = length(flexible_, false);
    if (!ok()) {
        return 0;
    }
    if (count < 0) {
        require(may_be_null, "null array where none is allowed");
        return may_be_null ? -1 : 0;
    }
    if (static_cast<uint64_t>(count) > in_.left() / wire_size_min) {
        require(false, "array count larger than the bytes left");
        return 0;
    }
    charge(static_cast<size_t>(count) * struct_size);
    return ok() ? count : 0;
}

void Decoder::charge(size_t size) {
    if (size > budget_) {
        require(false, "its structures take more memory than its size allows");
        is_too_large_ = true;
        return;
    }
    budget_ -= size;
}

void Decoder::take_over(const Decoder& field) {
    budget_ = field.budget_;
    is_too_large_ = is_too_large_ || field.is_too_large_;
    require(field.problem_ == nullptr, field.problem_);
    require(field.in_.ok(), "tagged field ends inside its value");
    require(field.in_.left() == 0, "tagged field longer than its value");
}

// ---- writing ------------------------------------------------------------------------------------

void Encoder::write_float64(double value) {
    out_.be<uint64_t>(std::bit_cast<uint64_t>(value));
}

void Encoder::write_string(std::string_view value, Flexible flexible) {
    // Texts of ours may hold foreign ones; a longer one is cut rather than sent unreadable.
    value = value.substr(0, kStringSizeMax);
    if (flexible_ && flexible == Flexible::as_message) {
        out_.uvarint(value.size() + 1);
    } else {
        out_.be<int16_t>(static_cast<int16_t>(value.size()));
    }
    out_.bytes(as_bytes(value));
}

void Encoder::null_length(bool compact, bool classic_is_short) {
    if (compact) {
        out_.uvarint(0);
    } else if (classic_is_short) {
        out_.be<int16_t>(-1);
    } else {
        out_.be<int32_t>(-1);
    }
}

void Encoder::write_nullable_string(const std::optional<std::string_view>& value, bool may_be_null,
                                    Flexible flexible) {
    if (value || !may_be_null) {
        write_string(value.value_or(std::string_view()), flexible);
    } else {
        null_length(flexible_ && flexible == Flexible::as_message, true);
    }
}

void Encoder::write_bytes(ByteView value) {
    if (flexible_) {
        out_.uvarint(value.size() + 1);
    } else {
        out_.be<int32_t>(static_cast<int32_t>(value.size()));
    }
    out_.bytes(value);
}

void Encoder::write_nullable_bytes(const std::optional<ByteView>& value, bool may_be_null) {
    if (value || !may_be_null) {
        write_bytes(value.value_or(ByteView()));
    } else {
        null_length(flexible_, false);
    }
}

void Encoder::write_records(const RecordsRef& value) {
    if (value.external_size == 0) {
        write_bytes(value.bytes);
        return;
    }
    QT_ASSERT(splits_ != nullptr && value.bytes.empty());
    QT_ASSERT(value.external_size <= INT32_MAX);
    if (flexible_) {
        out_.uvarint(value.external_size + 1);
    } else {
        out_.be<int32_t>(static_cast<int32_t>(value.external_size));
    }
    splits_->push_back({out_.size(), value.external_size});
}

void Encoder::write_nullable_records(const std::optional<RecordsRef>& value, bool may_be_null) {
    if (value || !may_be_null) {
        write_records(value.value_or(RecordsRef{}));
    } else {
        null_length(flexible_, false);
    }
}

void Encoder::array_count(size_t count) {
    if (flexible_) {
        out_.uvarint(count + 1);
    } else {
        out_.be<int32_t>(static_cast<int32_t>(count));
    }
}

void Encoder::null_array(bool may_be_null) {
    if (may_be_null) {
        null_length(flexible_, false);
    } else {
        array_count(0);
    }
}

void TaggedSection::begin(uint32_t tag) {
    QT_ASSERT(fields_.empty() || fields_.back().tag < tag);
    fields_.push_back({tag, out_.writer().size(), 0});
}

void TaggedSection::end() {
    fields_.back().size = out_.writer().size() - fields_.back().position;
}

void TaggedSection::finish() {
    ByteWriter& out = out_.writer();
    if (fields_.empty()) {
        out.uvarint(0);
        return;
    }
    // The values stand at the end of the output already; they move behind their tags and sizes.
    const size_t start = fields_.front().position;
    const ByteView written = out.view().subspan(start);
    const std::vector<std::byte> values(written.begin(), written.end());
    out.truncate(start);
    out.uvarint(fields_.size());
    for (const Field& field : fields_) {
        out.uvarint(field.tag);
        out.uvarint(field.size);
        out.bytes(ByteView(values).subspan(field.position - start, field.size));
    }
}

Error unsupported_message_version(const char* message, int16_t version) {
    return Error(Code::unsupported_version,
                 std::string(message) + " version " + std::to_string(version) + " is not known");
}

} // namespace qtool::protocol
