// Counters of one core: written by that core alone, read by whichever core serves /metrics.
// Each limit of the server has a counter of how often it was hit.
#pragma once

#include "lib/base/counter.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace qtool::metrics {

inline constexpr size_t kApiCount = 96; // api keys 0..95; a key beyond closes the connection

struct ApiCounters {
    Counter requests;
    Counter errors; // answers that carry an error code, or none at all
};

struct CoreCounters {
    std::array<ApiCounters, kApiCount> api;

    Counter connections_opened;
    Counter connections_closed;
    Counter connections_refused; // max.connections reached
    Counter connections_idle;    // closed after connections.max.idle.ms
    Counter protocol_unknown;    // first byte is of no protocol we speak
    Counter frames_oversized;
    Counter frames_malformed;
    Counter requests_unsupported; // unknown API key or version
    Counter reading_paused;       // in-flight or output bound of a connection reached
    Counter bytes_received;
    Counter bytes_sent;

    // Times a client was over its quota, by kind.
    Counter throttled_produce;
    Counter throttled_fetch;
    Counter throttled_request;
    Counter throttled_mutation;
    Counter throttled_connect;

    Counter http_requests;
    Counter http_errors; // status 4xx and 5xx

    Counter batches_appended;
    Counter records_appended;
    Counter bytes_appended;
    Counter batches_duplicate; // idempotent retries answered without writing
    Counter append_errors;
    Counter transaction_markers;   // written
    Counter transactions_verified; // batches held back until the coordinator was asked (KIP-890)
    Counter fetch_bytes;
    Counter fetch_watches;
    Counter fetch_sessions_refused;
    Counter flushes;
    Counter flush_batches; // batches covered by those flushes: batches per flush = group commit
    Counter flush_errors;
    Counter segments_deleted;
    Counter compactions; // runs that came to their end
    Counter compaction_bytes;
    Counter compaction_records_dropped;
    Counter compaction_errors;
    Counter storage_full;
    Counter produce_timeouts;

    Counter partitions;             // owned by this core
    Counter partitions_offline;     // damaged or failed
    Counter partitions_uncleanable; // given up by compaction
    Counter connections_open;
    Counter requests_pending;
    Counter mails;
};

} // namespace qtool::metrics
