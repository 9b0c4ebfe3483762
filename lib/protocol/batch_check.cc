#include "lib/protocol/batch_check.h"

#include "lib/base/assert.h"
#include "lib/protocol/record_scan.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace qtool::protocol {

namespace {

/// The records area as it lies in the batch.
class DirectSource {
public:
    const std::byte* at; // what was not walked yet, up to `end`
    const std::byte* end;

    explicit DirectSource(ByteView area)
        : at(area.data()),
          end(area.data() + area.size()),
          begin_(area.data()) {}

    void prepare() {}
    bool skip(int64_t size) {
        if (size > end - at) {
            return false;
        }
        at += size;
        return true;
    }
    [[nodiscard]] int64_t position() const { return at - begin_; }
    bool at_end() { return at == end; }
    [[nodiscard]] const Error* error() const { return nullptr; }

private:
    const std::byte* begin_;
};

/// The records area coming out of a decompressor, seen through a window.
class WindowSource {
public:
    const std::byte* at; // what the window shows and was not walked yet, up to `end`
    const std::byte* end;

    WindowSource(CheckScratch& scratch, uint64_t size_max)
        : at(scratch.window.data()),
          end(at),
          scratch_(scratch),
          size_max_(size_max) {}

    /// Makes at least one varint's bytes visible unless the records end before.
    void prepare() {
        if (static_cast<size_t>(end - at) < kVarlongSizeMax && !ended_) {
            refill();
        }
    }
    bool skip(int64_t size) {
        while (size > end - at) {
            size -= end - at;
            at = end;
            if (ended_) {
                return false;
            }
            refill();
        }
        at += size;
        return true;
    }
    [[nodiscard]] int64_t position() const { return static_cast<int64_t>(produced_) - (end - at); }
    bool at_end() {
        prepare();
        return at == end;
    }
    /// What stopped the decompression; nullptr when nothing did.
    [[nodiscard]] const Error* error() const { return error_ ? &*error_ : nullptr; }

private:
    void refill() {
        std::byte* window = scratch_.window.data();
        const auto kept = static_cast<size_t>(end - at);
        if (kept > 0) {
            std::memmove(window, at, kept);
        }
        at = window;
        end = window + kept;
        auto made = scratch_.decompressor.read(ByteSpan(scratch_.window).subspan(kept));
        if (!made) {
            fail(Error(Code::invalid_record, "records: " + made.error().detail));
            return;
        }
        // Only a read that found the end proves that the compressed bytes were whole.
        ended_ = *made < scratch_.window.size() - kept;
        produced_ += *made;
        if (produced_ > size_max_) {
            fail(Error(Code::message_too_large, "records expand beyond " +
                                                    std::to_string(size_max_) +
                                                    " bytes, the most for a batch of this size"));
            return;
        }
        end += *made;
    }
    void fail(Error error) {
        error_ = std::move(error);
        ended_ = true;
        end = at;
    }

    CheckScratch& scratch_;
    uint64_t size_max_;
    uint64_t produced_ = 0; // bytes that came out, up to `end`
    bool ended_ = false;    // nothing more will come
    std::optional<Error> error_;
};

/// Walks the records of one source. Failures are static text, so that the loop builds no strings.
template <class Source>
class Walk {
public:
    Walk(Source& source, const BatchRules& rules, BatchFacts& facts)
        : source_(source),
          rules_(rules),
          facts_(facts) {}

    Result<void> run() {
        const int32_t count = facts_.header.records_count;
        for (index_ = 0; index_ < count && failure_ == nullptr; index_++) {
            record();
        }
        if (failure_ == nullptr && !source_.at_end()) {
            failure_ = "bytes behind the last record";
        }
        if (source_.error() != nullptr) {
            return *source_.error();
        }
        if (failure_ != nullptr) {
            return Error(Code::invalid_record, "record " + std::to_string(index_ - 1) + " of " +
                                                   std::to_string(count) + ": " + failure_);
        }
        facts_.records_size_bytes = static_cast<uint64_t>(source_.position());
        return {};
    }

private:
    void record() {
        int32_t length = 0;
        if (!varint(length) || length < 1) {
            failure_ = "no whole record where one is claimed";
            return;
        }
        end_ = source_.position() + length;
        int64_t timestamp_delta = 0;
        int32_t offset_delta = 0;
        int32_t header_count = 0;
        source_.prepare();
        if (!source_.skip(1)) { // attributes: none is defined
            failure_ = "record ends behind the batch";
            return;
        }
        source_.prepare();
        if (!scan_varlong(source_.at, source_.end, timestamp_delta) || !varint(offset_delta)) {
            failure_ = "bad timestamp or offset delta";
            return;
        }
        if (offset_delta != index_) {
            failure_ = "offset deltas are not 0, 1, 2, ...";
            return;
        }
        bool key_null = false;
        bool value_null = false;
        if (!field(true, key_null) || !field(true, value_null)) {
            failure_ = "key or value ends behind the record";
            return;
        }
        if (!varint(header_count) || header_count < 0) {
            failure_ = "bad header count";
            return;
        }
        for (; header_count > 0; header_count--) {
            if (!field(false, value_null) || !field(true, value_null)) {
                failure_ = "header ends behind the record";
                return;
            }
        }
        if (source_.position() != end_) {
            failure_ = "record's length differs from its fields";
            return;
        }
        if (key_null) {
            note(facts_.null_key_index, facts_.null_keys);
        }
        note_timestamp(timestamp_delta, key_null && rules_.key_required);
    }

    void note_timestamp(int64_t delta, bool is_refused_already) {
        int64_t timestamp = facts_.header.max_timestamp;
        if (facts_.header.timestamp_type() == TimestampType::create_time &&
            __builtin_add_overflow(facts_.header.base_timestamp, delta, &timestamp)) {
            failure_ = "timestamp beyond 64 bits";
            return;
        }
        if (index_ == 0) {
            facts_.first_timestamp = timestamp;
        }
        if (timestamp > facts_.max_timestamp) {
            facts_.max_timestamp = timestamp;
            facts_.max_timestamp_offset_delta = index_;
        }
        if ((timestamp < rules_.timestamp_min || timestamp > rules_.timestamp_max) &&
            timestamp != kNoTimestamp && !is_refused_already) {
            note(facts_.timestamp_outside_index, facts_.timestamps_outside);
        }
    }

    void note(std::optional<int32_t>& first, std::vector<int32_t>& all) {
        if (!first) {
            first = index_;
        }
        if (rules_.lists_records && all.size() < kListedRecordsMax) {
            all.push_back(index_);
        }
    }

    bool varint(int32_t& value) {
        source_.prepare();
        return scan_varint(source_.at, source_.end, value);
    }
    /// Skips a length and its bytes, which must end inside the record. A call each costs a quarter
    /// of the walk.
    [[gnu::always_inline]] bool field(bool nullable, bool& null) {
        int32_t size = 0;
        if (!varint(size)) {
            return false;
        }
        null = size == -1;
        if (size < 0) {
            return null && nullable;
        }
        return size <= end_ - source_.position() && source_.skip(size);
    }

    Source& source_;
    const BatchRules& rules_;
    BatchFacts& facts_;
    int32_t index_ = 0;
    int64_t end_ = 0;               // where the current record must end, in the source's position
    const char* failure_ = nullptr; // static text
};

Error refused(const char* what, int64_t value, const char* expected) {
    return Error(Code::invalid_record, std::string("produced batch: ") + what + " " +
                                           std::to_string(value) + ", expected " + expected);
}

/// The rules that need the header alone.
Result<void> check_header(const BatchHeader& header) {
    if (header.base_offset != Offset(0)) {
        return refused("base offset", header.base_offset.value(), "0");
    }
    if (header.records_count < 1) {
        return refused("record count", header.records_count, "at least 1");
    }
    if (header.last_offset_delta != header.records_count - 1) {
        return refused("last offset delta", header.last_offset_delta, "record count - 1");
    }
    if (header.is_control()) {
        return Error(Code::invalid_record, "produced batch: control batches are the broker's own");
    }
    if (header.has_producer_id() && header.base_sequence < 0) {
        return refused("base sequence", header.base_sequence, "at least 0 with a producer id");
    }
    if (header.is_transactional() && !header.has_producer_id()) {
        return refused("producer id", header.producer_id.value(),
                       "at least 0 in a transactional batch");
    }
    return {};
}

/// Header, size and checksum; what the walk over the records rests on.
Result<BatchHeader> check_frame(ByteView bytes, const BatchRules& rules) {
    auto header = parse_batch_header(bytes);
    if (!header) {
        return Error(Code::invalid_record, "produced " + header.error().detail);
    }
    const size_t size = header->size_bytes;
    if (size > rules.size_bytes_max) {
        return Error(Code::message_too_large, "produced batch of " + std::to_string(size) +
                                                  " bytes, max.message.bytes is " +
                                                  std::to_string(rules.size_bytes_max));
    }
    if (size != bytes.size()) {
        return Error(Code::invalid_record,
                     "produced batch of " + std::to_string(size) + " bytes in records of " +
                         std::to_string(bytes.size()) + ", expected exactly one batch");
    }
    QT_TRY(check_batch_crc(bytes));
    QT_TRY(check_header(*header));
    return header;
}

Result<void> walk_compressed(ByteView area, Compression compression, const BatchRules& rules,
                             BatchFacts& facts, CheckScratch& scratch) {
    if (compression == Compression::zstd && !rules.zstd_allowed) {
        return Error(Code::unsupported_compression,
                     "produced batch: zstd needs Produce version 7 or later");
    }
    if (scratch.window.empty()) {
        scratch.window.resize(kCheckWindowSize);
    }
    auto started = scratch.decompressor.start(compression, area);
    if (!started) {
        return Error(Code::invalid_record, "records: " + started.error().detail);
    }
    WindowSource source(scratch, decompressed_size_max(area.size()));
    return Walk<WindowSource>(source, rules, facts).run();
}

} // namespace

Result<BatchFacts> check_producer_batch(ByteView bytes, const BatchRules& rules,
                                        CheckScratch& scratch) {
    BatchFacts facts;
    QT_TRY_ASSIGN(facts.header, check_frame(bytes, rules));
    QT_TRY_ASSIGN(const Compression compression, facts.header.compression());
    const ByteView area = bytes.subspan(kBatchHeaderSize);
    if (compression != Compression::none) {
        const auto walked = walk_compressed(area, compression, rules, facts, scratch);
        if (!walked) {
            scratch.decompressor = Decompressor(); // its codec may hold a large window
            return walked.error();
        }
    } else {
        DirectSource source(area);
        QT_TRY(Walk<DirectSource>(source, rules, facts).run());
    }
    return facts;
}

Result<BatchFacts> check_producer_batch(ByteView bytes, const BatchRules& rules) {
    CheckScratch scratch; // costs nothing until something compressed comes
    return check_producer_batch(bytes, rules, scratch);
}

} // namespace qtool::protocol
