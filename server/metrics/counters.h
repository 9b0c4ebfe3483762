// Counters of one core: written by that core alone, read by whichever core serves /metrics.
// Each limit of the server has a counter of how often it was hit.
#pragma once

#include "lib/base/counter.h"
#include "server/metrics/histogram.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace qtool::metrics {

inline constexpr size_t kApiCount = 96; // api keys 0..95; a key beyond closes the connection

/// Kafka's error codes: -1 (unknown) is first, one beyond the last counts as unknown.
inline constexpr size_t kErrorCodeCount = 140;

struct ApiCounters {
    Counter requests;
    Counter errors;  // answers that carry an error code, or none at all
    Histogram total; // from the whole request read to its answer handed over, pauses apart
    std::array<Counter, kErrorCodeCount> codes; // error codes in answers; index: code + 1

    void add_error_code(int16_t code) {
        const bool is_known = code >= -1 && code < static_cast<int16_t>(kErrorCodeCount - 1);
        codes[is_known ? static_cast<size_t>(code + 1) : 0].add();
    }
};

/// Where the time of requests goes.
enum class Stage : uint8_t {
    handler,    // decoding and deciding what is to be done, on the core of the connection
    mailbox,    // requests and answers of partitions on their way to another core
    partition,  // a batch of requests to partitions and coordinators
    flush_wait, // produce with acks=all: from the append to its flush
    fetch_wait, // fetch: until there is enough, or its time is over
    throttle,   // pauses of connections over their quota
    send,       // answers the socket did not take at once, until it took them
    count,
};

struct CoreCounters {
    std::array<ApiCounters, kApiCount> api;

    std::array<Histogram, static_cast<size_t>(Stage::count)> stages;
    Histogram& stage(Stage which) { return stages[static_cast<size_t>(which)]; }

    Counter connections_opened;
    Counter connections_closed;
    Counter connections_refused; // max.connections reached
    Counter connections_moved;   // to the core of the partitions they ask for
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
    Counter cold_reads; // that waited until what they need was read in from the device
    Counter fetch_sessions_refused;
    Counter flushes;
    Counter flush_batches; // batches covered by those flushes: batches per flush = group commit
    Counter flush_errors;
    Counter flushes_journaled; // of logs, of all flushes: went through a flush journal
    Counter journal_syncs;     // flushes journaled per sync = group commit over partitions
    Counter journal_full;      // flushes that found no room there
    Histogram flush_time;
    Counter segments_rolled;
    Counter segments_deleted;
    Counter compactions; // runs that came to their end
    Counter compaction_bytes;
    Counter compaction_bytes_replaced; // size of the segments that were compacted
    Counter compaction_bytes_kept;     // size of what took their place
    Histogram compaction_time;         // of whole runs
    Counter dirty_permille;            // of the log that compaction last found the most dirty
    Counter compaction_records_dropped;
    Counter compaction_errors;
    Counter storage_full;
    Counter produce_timeouts;
    Counter coordinator_refused;     // requests beyond what a coordinator may keep parked
    Histogram coordinator_load_time; // a shard's log read to its end

    Counter partitions;         // owned by this core
    Counter partitions_offline; // damaged or failed
    Counter isr_shrinks;        // asked for
    Counter isr_expands;
    Counter replication_bytes_out; // to followers of this core's partitions
    Counter replication_bytes_in;  // appended as follower
    Counter replica_fetches;
    Counter replica_fetch_errors;   // fetches, or partitions of them, that failed
    Counter replica_truncations;    // of logs that had diverged from their leader's
    Counter replica_repairs;        // of damaged logs, fetched again from their leader's
    Counter log_damages;            // found by reading stored batches again
    Counter scrubbed_bytes;         // read for that
    Counter replica_throttled;      // fetches that left partitions out because of the rate
    Counter partitions_uncleanable; // given up by compaction
    Counter connections_open;
    Counter peer_connections_open; // to other brokers
    Counter peer_connects;
    Counter peer_connect_failures;
    Counter peer_calls;
    Counter peer_calls_failed; // without an answer
    Counter requests_pending;
    Counter mails;
};

} // namespace qtool::metrics
