#include "server/storage/start_count.h"

#include "lib/base/assert.h"
#include "lib/base/byte_writer.h"
#include "lib/base/crc32c.h"
#include "lib/base/span_reader.h"
#include "server/storage/checkpoint.h"
#include "server/storage/partition_files.h"

#include <algorithm>
#include <charconv>
#include <vector>

namespace qtool::storage {

namespace {

constexpr const char* kName = "start-count.meta";
constexpr const char* kField = "start.count";
constexpr const char* kSpareName = "start-count.spare";
// Counts take turns, so that a write that is torn leaves the one before; no device tears two
// blocks.
constexpr size_t kSpareSlots = 2;
constexpr size_t kSpareSlotSize = 4096;
constexpr size_t kSpareEntrySize = 8 + 4; // count, crc
constexpr size_t kSpareSize = kSpareSlots * kSpareSlotSize;

// 0 when there is none.
Result<int64_t> read_spare(port::Disk& disk, const std::string& path) {
    QT_TRY_ASSIGN(const auto bytes, read_small_file(disk, path, kSpareSize));
    int64_t latest = 0;
    if (!bytes || bytes->size() != kSpareSize) {
        return latest;
    }
    for (size_t slot = 0; slot < kSpareSlots; slot++) {
        const ByteView entry = ByteView(*bytes).subspan(slot * kSpareSlotSize, kSpareEntrySize);
        SpanReader in(entry);
        const auto count = in.be<int64_t>();
        if (in.be<uint32_t>() == crc32c(entry.first(8))) {
            latest = std::max(latest, count);
        }
    }
    return latest;
}

// While there is room.
Result<void> make_spare(port::Disk& disk, const std::string& directory) {
    QT_TRY_ASSIGN(const bool there, disk.exists(directory + "/" + kSpareName));
    if (there) {
        return {};
    }
    // Not zeros: file systems may leave those out, and want room for them later.
    const std::vector<std::byte> blank(kSpareSize, std::byte{0xff});
    return write_small_file(disk, {directory, kSpareName, true}, blank);
}

Result<void> write_spare(port::Disk& disk, const std::string& path, int64_t count) {
    ByteWriter entry(kSpareEntrySize);
    entry.be<int64_t>(count);
    entry.be<uint32_t>(crc32c(entry.view()));
    const ByteView bytes = entry.view();
    QT_TRY_ASSIGN(const port::FileRef file, disk.open(path, port::OpenMode::read_write));
    QT_TRY(
        file->write_at({&bytes, 1}, static_cast<uint64_t>(count) % kSpareSlots * kSpareSlotSize));
    return file->sync_blocking();
}

} // namespace

Result<int64_t> read_start_count(port::Disk& disk, const std::string& directory) {
    const std::string name = directory + "/" + kName;
    QT_TRY_ASSIGN(const int64_t spare, read_spare(disk, directory + "/" + kSpareName));
    QT_TRY_ASSIGN(const auto lines, read_text_file(disk, name));
    if (!lines) {
        return spare;
    }
    const std::string text = text_value(*lines, kField).value_or("");
    int64_t count = -1;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), count);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || count < 0) {
        return Error(Code::storage_damaged, name + " cannot be read");
    }
    return std::max(count, spare);
}

Result<void> write_start_count(port::Disk& disk, const std::string& directory, int64_t count) {
    QT_ASSERT(count >= 0);
    // First, so that no count is ever without it; one that cannot be made now is made another time.
    static_cast<void>(make_spare(disk, directory));
    const std::string lines =
        std::string("version=1\n") + kField + "=" + std::to_string(count) + "\n";
    Result<void> written =
        write_small_file(disk, {directory, kName, true}, as_bytes(encode_text_file(lines)));
    if (!written && write_spare(disk, directory + "/" + kSpareName, count)) {
        return {};
    }
    return written;
}

} // namespace qtool::storage
