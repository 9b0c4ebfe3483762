// LogDir: one log directory while the broker runs: whether it is in use, and whether it has room.
// Its files and identity are DataDir's.
//
// Shared by all cores: what changes is atomic. Transitions:
//   in use  --fail-->  offline      (no way back but a restart)
//   roomy   --free < reserve-->  low   --free >= reserve + a quarter of it-->  roomy
#pragma once

#include "lib/base/error.h"
#include "lib/base/time.h"
#include "lib/base/units.h"
#include "server/port/disk.h"
#include "server/storage/data_dir.h"

#include <atomic>
#include <memory>
#include <string>

namespace qtool::storage {

/// How often the free space is looked at while somebody writes, and after how many bytes at the
/// latest, whatever the time: a fast disk must not fill up between two looks.
inline constexpr Duration kSpaceLookInterval = std::chrono::seconds(1);
inline constexpr uint64_t kSpaceLookBytesMax = 4 * MiB;

/// log.dir.reserve.bytes = -1: one percent of the file system, at most this.
inline constexpr uint64_t kAutomaticReserveMax = 64 * MiB;

class LogDir {
public:
    /// `data` in use, or why the directory is offline from the start.
    ///   reserve_bytes  -1: automatic; 0: no reserve
    LogDir(std::string path, Result<std::unique_ptr<DataDir>> data, int64_t reserve_bytes);
    LogDir(const LogDir&) = delete;
    LogDir& operator=(const LogDir&) = delete;

    [[nodiscard]] const std::string& path() const { return path_; }
    /// nullptr when the directory could not be opened at start.
    [[nodiscard]] DataDir* data() const { return data_.get(); }

    [[nodiscard]] bool is_offline() const { return offline_.load(std::memory_order_acquire); }
    /// Why it is offline; call only when it is.
    [[nodiscard]] const Error& failure() const;
    /// The first reason counts. True when it was in use until now.
    bool fail(const Error& reason);

    /// Partitions that live here, offline ones too.
    [[nodiscard]] uint32_t partition_count() const {
        return partition_count_.load(std::memory_order_relaxed);
    }
    void add_partition() { partition_count_.fetch_add(1, std::memory_order_relaxed); }
    void remove_partition() { partition_count_.fetch_sub(1, std::memory_order_relaxed); }

    /// Asks the disk for the free space when it is time to. Cheap otherwise.
    void look(port::Disk& disk, MonoTime now);
    void note_written(uint64_t bytes) {
        written_since_look_.fetch_add(bytes, std::memory_order_relaxed);
    }
    /// The disk said that it is full: the next look asks, whatever the time.
    void note_full() { look_at_.store(0, std::memory_order_relaxed); }
    /// Less is free than the reserve: what clients produce to ordinary topics is to be refused.
    [[nodiscard]] bool is_low() const { return low_.load(std::memory_order_relaxed); }
    /// As of the last look; zeroes before the first.
    [[nodiscard]] port::DiskSpace space() const;
    [[nodiscard]] uint64_t reserve_bytes() const {
        return reserve_.load(std::memory_order_relaxed);
    }

private:
    std::string path_;
    std::unique_ptr<DataDir> data_;
    const int64_t wanted_reserve_;
    std::atomic<bool> failing_{false}; // somebody writes failure_
    std::atomic<bool> offline_{false}; // failure_ is written and constant
    Error failure_;
    std::atomic<uint32_t> partition_count_{0};
    std::atomic<int64_t> look_at_{0}; // MonoTime ticks
    std::atomic<uint64_t> written_since_look_{0};
    std::atomic<bool> low_{false};
    std::atomic<uint64_t> free_{0};
    std::atomic<uint64_t> total_{0};
    std::atomic<uint64_t> reserve_{0};
};

} // namespace qtool::storage
