// Error: what may go wrong in a healthy process, as a value. One list of codes for the whole
// project; Kafka codes, HTTP status and exit codes are each derived in one switch without default.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace qtool {

enum class Code : uint8_t {
    // Bytes from outside.
    truncated,               // input ended inside a value
    malformed,               // bytes do not follow their format
    corrupt,                 // a checksum does not match
    unsupported_version,     // API key or version not served
    unsupported_compression, // codec unknown, or not allowed at this version
    too_large,               // a length is beyond the limit named in the detail
    // What was asked for is not acceptable.
    invalid_argument,
    invalid_request, // well-formed, but contradicts itself
    invalid_topic_name,
    invalid_config,
    invalid_partitions,
    invalid_replication_factor,
    invalid_replica_assignment,
    invalid_required_acks,
    invalid_timestamp,
    invalid_record,
    invalid_update_version,
    policy_violation,
    not_authorized,
    feature_disabled, // switched off by configuration
    // What was asked for is not there, or is there already.
    unknown_topic,
    unknown_topic_id,
    inconsistent_topic_id,
    unknown_partition,
    topic_exists,
    resource_not_found,
    // The log of a partition.
    offset_out_of_range,
    offset_not_available,
    message_too_large,
    record_list_too_large,
    out_of_order_sequence,
    invalid_producer_epoch,
    invalid_txn_state,
    not_leader,
    fenced_leader_epoch,
    unknown_leader_epoch,
    not_enough_replicas,
    not_enough_replicas_after_append,
    // Coordinators of groups and transactions.
    coordinator_loading,       // its log is being read; try again
    coordinator_not_available, // no internal topic yet, or nobody leads its partition
    not_coordinator,           // another broker is
    coordinator_fenced,        // a newer coordinator wrote here
    // Fetch sessions.
    fetch_session_not_found,
    invalid_fetch_session_epoch,
    fetch_session_topic_id,
    // Disk.
    storage_io,      // the operation failed; the log directory goes offline
    storage_full,    // no space; retriable
    storage_offline, // the log directory is offline
    storage_locked,  // another process uses the data directory
    storage_damaged, // damage below the last synced point
    // Metadata store.
    store_conflict,    // a guard did not hold; decide again
    store_unavailable, // the store does not answer
    // Life.
    timed_out,
    cancelled,
    shutting_down,
    overloaded,         // a bounded queue is full
    connection_failed,  // could not connect, or the peer closed
    connection_refused, // nobody listens there: the peer's process is gone
    no_broker,          // no broker answers
    internal,           // our own fault, reported rather than hidden
};

/// The code's name as written above, for logs and JSON ("offset_out_of_range").
std::string_view to_string(Code code) noexcept;

struct Error {
    Code code = Code::internal;
    int sys_errno = 0;  // 0 when no system call was involved
    std::string detail; // one line for people: names the thing, the value, the limit

    Error() = default;
    Error(Code c, std::string d = {}, int e = 0) : code(c), sys_errno(e), detail(std::move(d)) {}

    bool operator==(const Error&) const = default;
};

/// "code: detail (strerror)", one line.
std::string to_string(const Error& error);

} // namespace qtool
