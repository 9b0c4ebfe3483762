#include "server/storage/journal_record.h"

#include "lib/base/assert.h"
#include "lib/base/crc32c.h"
#include "lib/base/span_reader.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

namespace qtool::storage {

namespace {

constexpr uint32_t kHeaderMagic = 0x51504a46; // "QPJF"
constexpr uint32_t kRecordMagic = 0x51504a52; // "QPJR"
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderSize = 4 + 4 + 4 + 8;
constexpr size_t kChecked = 4 + 4; // the checksum is of what follows magic and checksum
constexpr size_t kRecordHeaderSize = kChecked + 8 + 1 + 1 + 4 + 16 + 4 + 8 + 8;

} // namespace

std::vector<std::byte> encode_journal_header(uint64_t generation) {
    ByteWriter out(kJournalHeaderSize);
    out.be<uint32_t>(kHeaderMagic);
    out.be<uint32_t>(kVersion);
    out.be<uint32_t>(0); // checksum of what follows
    out.be<uint64_t>(generation);
    out.patch_be<uint32_t>(8, crc32c(out.view().subspan(12)));
    std::vector<std::byte> page = out.take();
    page.resize(kJournalHeaderSize);
    return page;
}

ByteSpan open_journal_record(ByteWriter& out, uint64_t generation, const JournalRecord& record,
                             uint32_t size) {
    QT_ASSERT(record.directory.size() <= UINT8_MAX);
    out.be<uint32_t>(kRecordMagic);
    out.be<uint32_t>(0); // checksum
    out.be<uint64_t>(generation);
    out.be<uint8_t>(static_cast<uint8_t>(record.kind));
    out.be<uint8_t>(static_cast<uint8_t>(record.directory.size()));
    out.be<uint32_t>(size);
    out.bytes(std::as_bytes(std::span(record.partition.topic_id.bytes)));
    out.be<int32_t>(record.partition.index.value());
    out.be<int64_t>(record.segment.value());
    out.be<uint64_t>(record.position);
    out.bytes(as_bytes(record.directory));
    const size_t at = out.size();
    out.truncate(at + size); // longer: with zeros
    return ByteSpan(out.data() + at, size);
}

void close_journal_record(ByteWriter& out, size_t at) {
    out.patch_be<uint32_t>(at + 4, crc32c(out.view().subspan(at + kChecked)));
}

Result<JournalReader> JournalReader::open(ByteView file) {
    SpanReader in(file);
    const auto magic = in.be<uint32_t>();
    const auto version = in.be<uint32_t>();
    const auto crc = in.be<uint32_t>();
    const auto generation = in.be<uint64_t>();
    if (!in.ok() || magic != kHeaderMagic) {
        return Error(Code::corrupt, "no header of a flush journal");
    }
    if (version != kVersion) {
        return Error(Code::unsupported_version, "a flush journal of version " +
                                                    std::to_string(version) +
                                                    ", written by a newer qbroker");
    }
    if (crc != crc32c(file.subspan(12, 8))) {
        return Error(Code::corrupt, "the header of a flush journal does not match its checksum");
    }
    return JournalReader(file, generation);
}

std::optional<JournalRecord> JournalReader::next() {
    if (position_ >= file_.size() || file_.size() - position_ < kRecordHeaderSize) {
        return std::nullopt;
    }
    const ByteView rest = file_.subspan(position_);
    SpanReader in(rest);
    const auto magic = in.be<uint32_t>();
    const auto crc = in.be<uint32_t>();
    const auto generation = in.be<uint64_t>();
    const auto kind = in.be<uint8_t>();
    const auto name_size = in.be<uint8_t>();
    const auto size = in.be<uint32_t>();
    if (magic != kRecordMagic || generation != generation_ ||
        rest.size() - kRecordHeaderSize < uint64_t{name_size} + size) {
        return std::nullopt;
    }
    const size_t whole = kRecordHeaderSize + name_size + size;
    if (crc != crc32c(rest.subspan(kChecked, whole - kChecked)) ||
        (kind != static_cast<uint8_t>(JournalRecord::Kind::bytes) &&
         kind != static_cast<uint8_t>(JournalRecord::Kind::leave))) {
        return std::nullopt;
    }
    JournalRecord record;
    record.kind = static_cast<JournalRecord::Kind>(kind);
    const ByteView topic_id = in.bytes(sizeof(TopicId::bytes));
    std::memcpy(record.partition.topic_id.bytes.data(), topic_id.data(), topic_id.size());
    record.partition.index = PartitionIndex(in.be<int32_t>());
    record.segment = Offset(in.be<int64_t>());
    record.position = in.be<uint64_t>();
    const ByteView name = rest.subspan(kRecordHeaderSize, name_size);
    record.directory = std::string_view(reinterpret_cast<const char*>(name.data()), name.size());
    record.bytes = rest.subspan(kRecordHeaderSize + name_size, size);
    position_ += whole;
    return record;
}

// A partition is in the journals of one core alone, and of that core the generations rise.
JournalContent read_journals(std::vector<JournalReader> readers) {
    std::sort(readers.begin(), readers.end(), [](const JournalReader& a, const JournalReader& b) {
        return a.generation() < b.generation();
    });
    JournalContent content;
    for (JournalReader& reader : readers) {
        while (std::optional<JournalRecord> record = reader.next()) {
            if (record->kind == JournalRecord::Kind::leave) {
                content.erase(record->partition);
            } else {
                content[record->partition].push_back(*record);
            }
        }
    }
    return content;
}

} // namespace qtool::storage
