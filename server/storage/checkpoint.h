// What is known of a partition's log without looking into its files, and the files that keep it:
//   clean-shutdown          the state of every partition, written at a clean stop, gone at start
//   recovery-points.<core>  lower bounds of what is synced, rewritten now and then by each core
//   recovery-points.start   the same, as known at the last start
// Byte formats: server/storage/README.md. Values and calls without state of their own.
#pragma once

#include "lib/base/ids.h"
#include "lib/base/result.h"
#include "server/port/disk.h"

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace qtool::storage {

/// From `start` on, batches carry `epoch`, up to the start of the next entry.
struct EpochStart {
    LeaderEpoch epoch;
    Offset start;

    bool operator==(const EpochStart&) const = default;
};

struct PartitionState {
    PartitionKey key;
    bool is_clean = false;      // closed: everything below describes the files exactly
    bool has_directory = false; // false: nothing was ever appended
    bool has_producers = false; // a producer snapshot at log_end_offset exists
    Offset log_start_offset;
    Offset log_end_offset;
    Offset synced_end_offset; // lower bound: everything below is on the device
    Offset high_watermark;    // lower bound; may lie above the log end after a truncation
    uint64_t size_bytes = 0;  // of all .log files
    uint32_t segment_count = 0;
    int64_t oldest_max_timestamp = -1;         // of the first segment, ms; -1: unknown
    Offset first_open_transaction = kNoOffset; // first record of the oldest one; kNoOffset: none
    /// The same while the high watermark is not above undecided_until, a marker; kNoOffset: none.
    Offset first_undecided_transaction = kNoOffset;
    Offset undecided_until = kNoOffset;
    std::vector<EpochStart> epochs; // rising in both members

    bool operator==(const PartitionState&) const = default;
};

/// How to open a log. With `clean` no file is touched; otherwise the log is recovered.
struct OpenHint {
    PartitionKey key;
    std::optional<PartitionState> clean;
    Offset recovery_point; // everything below was synced once; damage below it is no torn tail
    Offset high_watermark; // known once; not above it: transactions that are decided for good
    /// Not 0: the replica is new here, but one that left may still stand in notes, up to there.
    Offset void_until;
    /// What recovery finds becomes durable now. Later: the caller sees to it for many logs at once,
    /// by syncing the file system, before anybody relies on one of them.
    enum class Settle : uint8_t { now, later } settle = Settle::now;
};

using PartitionStates = std::map<PartitionKey, PartitionState>;

/// Writes `path` so that after a crash it is whole or absent or as before (temporary file, rename).
/// `durable`: also synced, with the entry in `directory`. Errors: storage_io, storage_full.
struct SmallFile {
    std::string directory;
    std::string name;
    bool durable = true;
};
Result<void> write_small_file(port::Disk& disk, const SmallFile& file, ByteView bytes);
/// The first half of it: the temporary file, for somebody else to sync before it gets its name.
Result<port::FileRef> write_temporary_file(port::Disk& disk, const SmallFile& file, ByteView bytes);
std::string temporary_path(const SmallFile& file);
/// Nothing when the file is absent. Errors: storage_io; too_large.
Result<std::optional<std::vector<std::byte>>>
read_small_file(port::Disk& disk, const std::string& path, uint64_t size_max);

std::vector<std::byte> encode_partition_states(std::span<const PartitionState> states);
/// Errors: corrupt, malformed; unsupported_version (written by a newer version).
Result<std::vector<PartitionState>> decode_partition_states(ByteView bytes);

/// Durable. Errors: storage_io, storage_full.
Result<void> write_clean_shutdown(port::Disk& disk, const std::string& directory,
                                  std::span<const PartitionState> states);
/// Reads the file and takes it out of its name durably, so that it is believed once; what it says
/// is synced stays as recovery points, in place of all others. Nothing when there is none or it is
/// not whole. Errors: storage_io; unsupported_version.
Result<std::optional<PartitionStates>> take_clean_shutdown(port::Disk& disk,
                                                           const std::string& directory);

/// Not synced: a lost or torn file only makes recovery read more. Errors: storage_io, storage_full.
Result<void> write_recovery_points(port::Disk& disk, const std::string& directory, CoreId core,
                                   std::span<const PartitionState> states);
/// All cores' files together, the higher value of each; files that are not whole are left out.
/// Errors: storage_io.
Result<PartitionStates> load_recovery_points(port::Disk& disk, const std::string& directory);
/// Puts `known` into a file that no core rewrites, in place of all others, durably: a partition
/// that cannot be opened now keeps its point, and the files of a former number of cores go. Errors:
/// storage_io, storage_full.
Result<void> merge_recovery_points(port::Disk& disk, const std::string& directory,
                                   const PartitionStates& known);

} // namespace qtool::storage
