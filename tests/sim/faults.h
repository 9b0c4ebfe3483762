// The kinds of faults a run injects. Each must have been hit over a whole run of qsim, or the run
// fails: a fault that no longer happens tests nothing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace qtool::sim {

enum class Fault : uint8_t {
    power_loss,         // the machine stops; what was not synced is dropped or torn
    kill,               // the process ends between two events; the page cache stays
    kill_within_turn,   // the process ends between two disk operations of one event
    power_within_turn,  // as above, with the power
    write_dropped,      // power loss took a whole unsynced write
    write_torn,         // power loss left part of an unsynced write
    entry_lost,         // power loss undid an unsynced create, rename or remove
    sync_error,         // fdatasync said EIO once; its data may be lost, later calls succeed
    sync_slow,          // fdatasync took long
    read_in_slow,       // reading in what was not in memory took long
    read_in_error,      // ... failed
    disk_full,          // a write or create was refused with ENOSPC
    write_short,        // ... after part of the bytes
    stream_cut,         // a stream ended at a random byte
    stream_reset,       // both ends saw a reset at a random time
    reader_slow,        // a client did not read for a while
    peer_silent,        // the machine vanished without closing its streams
    clock_jump,         // the wall clock jumped
    commit_answer_lost, // the store applied a transaction whose answer nobody heard
    watch_late,         // the store told of a change late
    clean_stop,         // a graceful stop and start
    stop_interrupted,   // a graceful stop that a kill ended
    start_interrupted,  // a kill before the broker served
    move_interrupted,   // a connection ended while a partition was on its way to a log directory
    connection_moved,   // no fault, but a chance for one: a connection went to another core
    // Of clusters alone.
    session_expired, // the store ended a session that was not renewed
    session_revoked, // ... one that was
    commit_in_doubt, // the store applied a transaction; its answer was lost and read back
    watch_reloaded,  // changes were compacted away: all was loaded again
    pause,           // a process stood still
    disk_wiped,      // a machine came back with an empty disk
    backup_restored, // ... with what was on its disk some time ago
    disk_slow,       // fdatasync takes long for a while
    link_cut,        // one machine could not send to another for a while
    link_slow,       // bytes between two machines took long for a while
    store_cut,       // a machine could not reach the store for a while
    store_down,      // nobody could
    reassignment,    // replicas of a partition were asked to move
    bit_rot,         // a bit of what is stored flipped
};
inline constexpr size_t kFaultCount = 39;
inline constexpr size_t kOneBrokerFaultCount = 25; // the first ones

inline constexpr std::array<std::string_view, kFaultCount> kFaultNames = {"power_loss",
                                                                          "kill",
                                                                          "kill_within_turn",
                                                                          "power_within_turn",
                                                                          "write_dropped",
                                                                          "write_torn",
                                                                          "entry_lost",
                                                                          "sync_error",
                                                                          "sync_slow",
                                                                          "read_in_slow",
                                                                          "read_in_error",
                                                                          "disk_full",
                                                                          "write_short",
                                                                          "stream_cut",
                                                                          "stream_reset",
                                                                          "reader_slow",
                                                                          "peer_silent",
                                                                          "clock_jump",
                                                                          "commit_answer_lost",
                                                                          "watch_late",
                                                                          "clean_stop",
                                                                          "stop_interrupted",
                                                                          "start_interrupted",
                                                                          "move_interrupted",
                                                                          "connection_moved",
                                                                          "session_expired",
                                                                          "session_revoked",
                                                                          "commit_in_doubt",
                                                                          "watch_reloaded",
                                                                          "pause",
                                                                          "disk_wiped",
                                                                          "backup_restored",
                                                                          "disk_slow",
                                                                          "link_cut",
                                                                          "link_slow",
                                                                          "store_cut",
                                                                          "store_down",
                                                                          "reassignment",
                                                                          "bit_rot"};

using FaultCounts = std::array<uint64_t, kFaultCount>;

/// Bugs planted at the ports or in the configuration; those in production code are programs of
/// their own (plants.py).
enum class Plant : uint8_t {
    none,
    sync_lies,     // fdatasync reports success and makes nothing durable
    entries_lie,   // sync_directory reports success and makes nothing durable
    reordered,     // fdatasync makes the file's last write durable, but not those before it
    write_caching, // the broker acknowledges from the page cache, against what is checked
    lost_answer,   // the store port sends a transaction again whose answer was lost, and reads
                   // nothing back
    built_in,      // in this program: a source of plants.py
};

} // namespace qtool::sim
