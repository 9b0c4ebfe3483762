#include "server/storage/sparse_index.h"

#include "lib/base/assert.h"
#include "lib/base/crc32c.h"
#include "server/storage/limits.h"

#include <algorithm>
#include <array>

namespace qtool::storage {

namespace {

constexpr uint32_t kIndexMagic = 0x51494458; // "QIDX"
constexpr uint32_t kIndexVersion = 1;
constexpr uint64_t kBlockEntries = 204; // some 4 KiB: no dearer to read than one entry

uint32_t crc_of(Offset base) {
    std::byte bytes[8];
    store_be<int64_t>(bytes, base.value());
    return crc32c(bytes);
}

} // namespace

SparseIndex::SparseIndex(port::Disk& disk, std::string path, Offset base)
    : disk_(disk),
      path_(std::move(path)),
      base_(base),
      base_crc_(crc_of(base)) {}

uint32_t SparseIndex::entry_crc(const std::byte* at) const {
    return crc32c({at, kIndexEntrySize - 4}, base_crc_);
}

Result<void> SparseIndex::open_file() {
    if (!file_) {
        QT_TRY_ASSIGN(file_, disk_.open(path_, port::OpenMode::create));
    }
    return {};
}

Result<void> SparseIndex::load() {
    if (Result<void> opened = open_file(); !opened) {
        if (opened.error().code == Code::storage_full) {
            // There is none, and no room for one. Reads of a full disk go on, with it in memory.
            return Error(Code::corrupt, path_ + ": it cannot be made: " + opened.error().detail);
        }
        return opened;
    }
    std::array<std::byte, kIndexHeaderSize> header{};
    QT_TRY_ASSIGN(const size_t got, file_->read_at(header, 0));
    if (got < header.size() || load_be<uint32_t>(header.data()) != kIndexMagic ||
        load_be<uint32_t>(header.data() + 4) != kIndexVersion ||
        load_be<int64_t>(header.data() + 8) != base_.value()) {
        return Error(Code::corrupt, path_ + ": no index header of this segment");
    }
    QT_TRY_ASSIGN(const uint64_t size, file_->size());
    written_ = (size - kIndexHeaderSize) / kIndexEntrySize;
    tail_.clear();
    block_.clear();
    must_restart_ = false;
    return {};
}

port::FileRange SparseIndex::absent() {
    if (was_asked_for_ || !open_file()) {
        return {};
    }
    const Result<uint64_t> size = file_->size();
    was_asked_for_ = true;
    if (!size || *size == 0 || file_->is_in_memory(0, *size)) {
        return {};
    }
    return {file_, 0, *size};
}

void SparseIndex::reset() {
    written_ = 0;
    tail_.clear();
    block_.clear();
    must_restart_ = true;
}

void SparseIndex::add(const IndexEntry& entry) {
    if (!tail_.empty() && tail_.back().position >= entry.position) {
        return;
    }
    tail_.push_back(entry);
    if (tail_.size() % kIndexTailMax == 0) {
        // Kept in memory when it fails (a full disk): the log itself is what counts.
        static_cast<void>(write());
    }
}

Result<void> SparseIndex::write() {
    QT_TRY(open_file());
    if (must_restart_) {
        std::array<std::byte, kIndexHeaderSize> header{};
        store_be<uint32_t>(header.data(), kIndexMagic);
        store_be<uint32_t>(header.data() + 4, kIndexVersion);
        store_be<int64_t>(header.data() + 8, base_.value());
        QT_TRY(file_->truncate(0));
        const ByteView piece = header;
        QT_TRY(file_->write_at({&piece, 1}, 0));
        must_restart_ = false;
    }
    if (tail_.empty()) {
        return {};
    }
    std::vector<std::byte> bytes(tail_.size() * kIndexEntrySize);
    std::byte* at = bytes.data();
    for (const IndexEntry& entry : tail_) {
        store_be<uint32_t>(at, entry.relative_offset);
        store_be<uint32_t>(at + 4, entry.position);
        store_be<int64_t>(at + 8, entry.max_timestamp);
        store_be<uint32_t>(at + 16, entry_crc(at));
        at += kIndexEntrySize;
    }
    const ByteView piece = bytes;
    QT_TRY(file_->write_at({&piece, 1}, kIndexHeaderSize + written_ * kIndexEntrySize));
    written_ += tail_.size();
    tail_.clear();
    return {};
}

Result<void> SparseIndex::read_block(uint64_t at) {
    QT_TRY(open_file());
    block_first_ = at - at % kBlockEntries;
    // And the first of the next, which tells whether a search has to go there.
    block_.resize(std::min(kBlockEntries + 1, written_ - block_first_) * kIndexEntrySize);
    Result<size_t> got = file_->read_at(block_, kIndexHeaderSize + block_first_ * kIndexEntrySize);
    block_.resize(got ? *got : 0);
    QT_TRY(got);
    return {};
}

Result<IndexEntry> SparseIndex::entry(uint64_t at) {
    QT_ASSERT(at < count());
    if (at >= written_) {
        return tail_[at - written_];
    }
    if (at < block_first_ || at >= block_end()) {
        QT_TRY(read_block(at));
    }
    const std::byte* bytes = block_.data() + (at - block_first_) * kIndexEntrySize;
    if (at >= block_end() || load_be<uint32_t>(bytes + 16) != entry_crc(bytes)) {
        return Error(Code::corrupt, path_ + ": entry " + std::to_string(at) + " is damaged");
    }
    return IndexEntry{load_be<uint32_t>(bytes), load_be<uint32_t>(bytes + 4),
                      load_be<int64_t>(bytes + 8)};
}

template <class Before>
Result<std::optional<IndexEntry>> SparseIndex::find(Before is_before_or_at) {
    uint64_t low = 0; // entries below are before the wanted place
    uint64_t high = count();
    std::optional<IndexEntry> best;
    const auto compare_with = [&](uint64_t at) -> Result<void> {
        QT_TRY_ASSIGN(const IndexEntry candidate, entry(at));
        if (is_before_or_at(candidate)) {
            best = candidate;
            low = at + 1;
        } else {
            high = at;
        }
        return {};
    };
    const uint64_t first = block_first_;
    const uint64_t end = block_end();
    if (first < end) {
        QT_TRY(compare_with(first));
        if (low < end && low < high) {
            QT_TRY(compare_with(end - 1));
        }
        if (low == end && low < high) { // the next block's last
            QT_TRY(compare_with(std::min(first + 2 * kBlockEntries, high) - 1));
        }
    }
    while (low < high) {
        QT_TRY(compare_with(low + (high - low) / 2));
    }
    return best;
}

Result<std::optional<IndexEntry>> SparseIndex::last() {
    if (count() == 0) {
        return std::optional<IndexEntry>();
    }
    QT_TRY_ASSIGN(const IndexEntry found, entry(count() - 1));
    return std::optional<IndexEntry>(found);
}

Result<std::optional<IndexEntry>> SparseIndex::find_offset(uint32_t relative_offset) {
    return find([&](const IndexEntry& e) { return e.relative_offset <= relative_offset; });
}

Result<std::optional<IndexEntry>> SparseIndex::find_position(uint64_t position) {
    return find([&](const IndexEntry& e) { return e.position <= position; });
}

Result<std::optional<IndexEntry>> SparseIndex::find_time(int64_t timestamp) {
    return find([&](const IndexEntry& e) { return e.max_timestamp < timestamp; });
}

} // namespace qtool::storage
