// Bounds of server/txn, with unit and reason.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace qtool::txn {

/// Transactional ids of one shard. An idle one costs about 300 bytes; one more is refused with
/// POLICY_VIOLATION, which producers take as fatal, until old ids expire.
inline constexpr size_t kIdsPerShardMax = 100'000;

/// Partitions of one transaction: each change writes them all, and a batch of the log has room for
/// about 1 MiB. One more is refused with POLICY_VIOLATION.
inline constexpr size_t kPartitionsPerTransactionMax = 10'000;

/// Expired ids removed by one batch of tombstones.
inline constexpr size_t kExpiredPerBatchMax = 100;

/// A marker that could not be written is tried again after this; the wait doubles up to the second.
inline constexpr std::chrono::milliseconds kMarkerBackoffMin{20};
inline constexpr std::chrono::milliseconds kMarkerBackoffMax{1000};

/// Matching a pattern of ListTransactions may take this much memory (bytes), as RE2 counts it.
inline constexpr int64_t kPatternMemoryMax = 1024 * 1024;

} // namespace qtool::txn
