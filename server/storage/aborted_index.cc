#include "server/storage/aborted_index.h"

#include "lib/base/assert.h"
#include "lib/base/byte_writer.h"
#include "lib/base/crc32c.h"
#include "lib/base/span_reader.h"
#include "server/storage/checkpoint.h"
#include "server/storage/limits.h"

#include <algorithm>

namespace qtool::storage {

namespace {

constexpr uint32_t kMagic = 0x51505458; // "QPTX"
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderSize = 16;
constexpr size_t kEntrySize = 4 * 8 + 4;

void encode_entry(ByteWriter& out, const AbortedTransaction& entry, Offset base) {
    // The checksum covers the base offset too: an entry of another segment does not fit.
    ByteWriter checked(8 + kEntrySize);
    checked.be<int64_t>(base.value());
    checked.be<int64_t>(entry.producer_id.value());
    checked.be<int64_t>(entry.first_offset.value());
    checked.be<int64_t>(entry.last_offset.value());
    checked.be<int64_t>(entry.last_stable_offset.value());
    const uint32_t crc = crc32c(checked.view());
    out.be<int64_t>(entry.producer_id.value());
    out.be<int64_t>(entry.first_offset.value());
    out.be<int64_t>(entry.last_offset.value());
    out.be<int64_t>(entry.last_stable_offset.value());
    out.be<uint32_t>(crc);
}

std::vector<std::byte> encode(const std::vector<AbortedTransaction>& entries, Offset base) {
    ByteWriter out(kHeaderSize + entries.size() * kEntrySize);
    out.be<uint32_t>(kMagic);
    out.be<uint32_t>(kVersion);
    out.be<int64_t>(base.value());
    for (const AbortedTransaction& entry : entries) {
        encode_entry(out, entry, base);
    }
    return out.take();
}

Result<std::vector<AbortedTransaction>> decode(ByteView bytes, Offset base,
                                               const std::string& path) {
    const auto corrupt = [&](const char* why) { return Error(Code::corrupt, path + ": " + why); };
    SpanReader in(bytes);
    const auto magic = in.be<uint32_t>();
    const auto version = in.be<uint32_t>();
    const Offset of_segment(in.be<int64_t>());
    if (!in.ok() || magic != kMagic || version != kVersion || of_segment != base ||
        in.left() % kEntrySize != 0) {
        return corrupt("not the aborted transactions of this segment");
    }
    std::vector<AbortedTransaction> entries;
    entries.reserve(in.left() / kEntrySize);
    while (in.left() > 0) {
        AbortedTransaction entry;
        const ByteView raw = bytes.subspan(bytes.size() - in.left(), kEntrySize);
        entry.producer_id = ProducerId(in.be<int64_t>());
        entry.first_offset = Offset(in.be<int64_t>());
        entry.last_offset = Offset(in.be<int64_t>());
        entry.last_stable_offset = Offset(in.be<int64_t>());
        in.be<uint32_t>();
        ByteWriter again(kEntrySize);
        encode_entry(again, entry, base);
        const ByteView expected = again.view();
        if (!std::equal(raw.begin(), raw.end(), expected.begin())) {
            return corrupt("an entry with a wrong checksum");
        }
        if (!entries.empty() && entry.last_offset <= entries.back().last_offset) {
            return corrupt("entries out of order");
        }
        entries.push_back(entry);
    }
    return entries;
}

} // namespace

Result<port::FileRef> AbortedIndex::open_file() {
    if (!file_) {
        QT_TRY_ASSIGN(file_, disk_.open(path_, has_file_ ? port::OpenMode::read_write
                                                         : port::OpenMode::create));
    }
    return file_;
}

Result<const std::vector<AbortedTransaction>*> AbortedIndex::entries() {
    if (!is_loaded_) {
        entries_.clear();
        if (has_file_) {
            const Result<std::optional<std::vector<std::byte>>> bytes =
                read_small_file(disk_, path_, kAbortedIndexSizeMax);
            if (!bytes) {
                const Error& error = bytes.error();
                return error.code == Code::too_large ? Error(Code::corrupt, error.detail) : error;
            }
            if (!*bytes) {
                return Error(Code::corrupt, path_ + ": the file is gone");
            }
            QT_TRY_ASSIGN(entries_, decode(**bytes, base_, path_));
        }
        is_loaded_ = true;
    }
    return &entries_;
}

Result<bool> AbortedIndex::append(const AbortedTransaction& entry) {
    QT_TRY(entries());
    QT_ASSERT(entries_.empty() || entries_.back().last_offset < entry.last_offset);
    const bool is_new = !has_file_;
    QT_TRY_ASSIGN(const port::FileRef file, open_file());
    if (is_new) {
        QT_TRY(file->truncate(0)); // a leftover of an attempt that failed half way
    }
    ByteWriter out(kHeaderSize + kEntrySize);
    uint64_t position = 0;
    if (is_new) {
        out.be<uint32_t>(kMagic);
        out.be<uint32_t>(kVersion);
        out.be<int64_t>(base_.value());
    } else {
        position = kHeaderSize + entries_.size() * kEntrySize;
    }
    encode_entry(out, entry, base_);
    const ByteView bytes = out.view();
    if (Result<void> written = file->write_at({&bytes, 1}, position); !written) {
        if (is_new) {
            file_.reset();
            // What stays is truncated by the next append; half an entry is no index for recovery.
            static_cast<void>(disk_.remove(path_));
        } else {
            static_cast<void>(file->truncate(position)); // else the next entry overwrites it
        }
        return std::move(written).error();
    }
    has_file_ = true;
    is_unsynced_ = true;
    entries_.push_back(entry);
    return is_new;
}

Result<void> AbortedIndex::undo_append() {
    QT_ASSERT(is_loaded_ && !entries_.empty());
    entries_.pop_back();
    QT_TRY_ASSIGN(const port::FileRef file, open_file());
    return file->truncate(kHeaderSize + entries_.size() * kEntrySize);
}

Result<void> AbortedIndex::replace(std::vector<AbortedTransaction> entries) {
    file_.reset();
    if (entries.empty()) {
        if (has_file_) {
            QT_TRY(disk_.remove(path_));
        }
        has_file_ = false;
        is_unsynced_ = false;
    } else {
        const std::vector<std::byte> bytes = encode(entries, base_);
        is_loaded_ = false;
        QT_TRY_ASSIGN(const port::FileRef file, open_file());
        has_file_ = true;
        is_unsynced_ = true;
        QT_TRY(file->truncate(0));
        const ByteView view = bytes;
        if (Result<void> written = file->write_at({&view, 1}, 0); !written) {
            QT_TRY(file->truncate(0));     // a part of it could pass for the whole; nothing cannot
            entries_ = std::move(entries); // readers are served all the same
            is_loaded_ = true;
            return written;
        }
    }
    entries_ = std::move(entries);
    is_loaded_ = true;
    return {};
}

Result<void> AbortedIndex::write_all(std::vector<AbortedTransaction> entries) {
    QT_ASSERT(!has_file_);
    const std::vector<std::byte> bytes = encode(entries, base_);
    QT_TRY_ASSIGN(const port::FileRef file, open_file());
    has_file_ = true;
    QT_TRY(file->truncate(0));
    const ByteView view = bytes;
    QT_TRY(file->write_at({&view, 1}, 0));
    is_unsynced_ = true;
    entries_ = std::move(entries);
    is_loaded_ = true;
    return {};
}

Result<std::optional<port::FileRef>> AbortedIndex::unsynced_file() {
    if (!is_unsynced_) {
        return std::optional<port::FileRef>();
    }
    QT_TRY_ASSIGN(port::FileRef file, open_file());
    return std::optional<port::FileRef>(std::move(file));
}

void AbortedIndex::close() {
    file_.reset();
    entries_ = {};
    is_loaded_ = false;
}

} // namespace qtool::storage
