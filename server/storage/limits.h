// Bounds of server/storage, with unit and reason.
#pragma once

#include "lib/base/units.h"

#include <cstddef>
#include <cstdint>

namespace qtool::storage {

/// Producer ids a partition remembers. Beyond it those longest without writes are forgotten, as if
/// they had expired; each costs about 200 bytes. Those with an open transaction stay whatever their
/// number.
inline constexpr size_t kProducersPerPartitionMax = 10'000;

/// Batches a producer's window holds: Kafka clients have at most five requests in flight.
inline constexpr size_t kProducerBatchesMax = 5;

/// Files of sealed segments that one log keeps open; a reader further back reopens.
inline constexpr size_t kOpenSealedSegmentsMax = 8;

/// Partitions of a core whose logs a start makes durable one by one; more: with their file system.
inline constexpr size_t kSettledOneByOneMax = 8;

/// Last appended batches whose place is kept in memory, for readers at the tail.
inline constexpr size_t kTailBatchesMax = 64;

/// Segments between two deletions of old producer snapshots, each of which makes a flush sync one.
inline constexpr size_t kRollsPerSnapshotDeletion = 8;

/// Batches without records that one read passes over: a header of 61 bytes each, in the worst case
/// each in a segment of its own.
inline constexpr size_t kEmptyBatchesPassedMax = 1024;

/// Index entries kept in memory before they go to the index file.
inline constexpr size_t kIndexTailMax = 1024;

/// Bytes read at once when a log is scanned, and when batch headers are looked for.
inline constexpr size_t kScanWindowSize = 1 * MiB;
inline constexpr size_t kHeaderWindowSize = 4 * KiB;

/// Of one log, in a flush that goes through the flush journal: twice the bytes for half the wait.
inline constexpr uint64_t kJournaledFlushMax = 64 * KiB;
/// Of all logs, in one flush.
inline constexpr uint64_t kJournalRoundMax = 1 * MiB;

/// Largest small file of ours (checkpoints, snapshots) that is read: 100,000 partitions fit.
inline constexpr uint64_t kSmallFileMax = 64 * MiB;

/// Largest index of a segment's aborted transactions: 36 bytes for each of at least 156 in the log.
inline constexpr uint64_t kAbortedIndexSizeMax = 512 * MiB;

/// Decompressed size of one batch when a record inside is looked for by time.
inline constexpr size_t kDecompressedBatchMax = 1 * GiB;

} // namespace qtool::storage
