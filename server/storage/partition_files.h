// Small files and names of a partition's directory: whose it is, where its log starts, how it is
// called when it is on its way out. Formats: server/storage/README.md.
#pragma once

#include "lib/base/ids.h"
#include "lib/base/result.h"
#include "server/port/disk.h"

#include <optional>
#include <string>

namespace qtool::storage {

inline constexpr const char* kPartitionMetaName = "partition.meta";
inline constexpr const char* kLogStartName = "log-start";

/// The disk did not let us look (or there was no descriptor), so the error says nothing about what
/// is in the file.
inline bool is_disk_trouble(Code code) {
    return code == Code::storage_io || code == Code::storage_full;
}

/// "/data/t-0" -> "/data"; "t-0" -> ".".
std::string parent_directory(const std::string& path);
/// "/data/t-0" -> "t-0".
std::string base_name(const std::string& path);

/// Text with a version, and a last line `crc=<8 hex digits>` over the lines before it.
std::string encode_text_file(const std::string& lines);
/// The lines without the last. Errors: corrupt.
Result<std::string> decode_text_file(ByteView bytes);
/// The value of `name=value` on a line of its own; nothing when absent.
std::optional<std::string> text_value(const std::string& lines, const std::string& name);

/// The lines of such a file of version 1; nothing when it is absent. Errors: corrupt;
/// unsupported_version; too_large; storage_io.
Result<std::optional<std::string>> read_text_file(port::Disk& disk, const std::string& path);

/// Durable, the entry in `directory` too, unless `is_durable` says no. Errors: storage_io,
/// storage_full.
Result<void> write_partition_meta(port::Disk& disk, const std::string& directory,
                                  const PartitionKey& key, bool is_durable = true);
/// Nothing when absent. Errors: corrupt; unsupported_version; storage_io.
Result<std::optional<PartitionKey>> read_partition_meta(port::Disk& disk,
                                                        const std::string& directory);

/// Whether it is absent or was cut off when it was written: a torn file, no damaged one. Errors:
/// storage_io.
Result<bool> is_partition_meta_unfinished(port::Disk& disk, const std::string& directory);

/// Durable. Errors: storage_io, storage_full.
Result<void> write_log_start(port::Disk& disk, const std::string& directory, Offset offset);
/// The same in steps, for who does not wait for the device: a file that is to be synced first ...
Result<port::FileRef> prepare_log_start(port::Disk& disk, const std::string& directory,
                                        Offset offset);
/// ... gets its name, which lasts once the directory is synced.
Result<void> name_log_start(port::Disk& disk, const std::string& directory);
/// 0 when absent. Errors: corrupt, unsupported_version, storage_io.
Result<Offset> read_log_start(port::Disk& disk, const std::string& directory);

/// A log of a follower was cut: records from `to` on, as far as they were below `until` then, are
/// not what they were. Until the log has grown to `until` again no note of what was synced or
/// committed between the two is to be believed.
struct Truncation {
    Offset to;
    Offset end_min; // at or below `to`: where the log that was left ended at the least
    Offset until;

    bool operator==(const Truncation&) const = default;
};
inline constexpr const char* kTruncationName = "truncation";
/// Durable. Errors: storage_io, storage_full.
Result<void> write_truncation(port::Disk& disk, const std::string& directory,
                              const Truncation& truncation);
/// Nothing when absent. Errors: corrupt, unsupported_version, storage_io.
Result<std::optional<Truncation>> read_truncation(port::Disk& disk, const std::string& directory);

/// "<name, maybe cut>.<topic id>-<index>.deleted", at most 255 bytes.
std::string deleted_directory_name(const std::string& directory, const PartitionKey& key);
/// Takes a directory of a partition out of its name, durably, and removes it; a crash in between
/// leaves what the next start removes. Errors: storage_io, storage_full: of leaving the name only.
Result<void> discard_directory(port::Disk& disk, const std::string& parent, const std::string& name,
                               const PartitionKey& key);
/// Removes a directory renamed so: segments off the loop, everything else now. Can be repeated.
Result<void> remove_deleted_directory(port::Disk& disk, const std::string& parent,
                                      const std::string& name);

} // namespace qtool::storage
