#include "server/storage/log_dir.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"

#include <algorithm>

namespace qtool::storage {

namespace {

constexpr uint64_t kAutomaticShare = 100; // one percent

} // namespace

LogDir::LogDir(std::string path, Result<std::unique_ptr<DataDir>> data, int64_t reserve_bytes)
    : path_(std::move(path)),
      wanted_reserve_(reserve_bytes) {
    if (data) {
        data_ = *std::move(data);
    } else {
        fail(data.error());
    }
}

const Error& LogDir::failure() const {
    QT_ASSERT(is_offline());
    return failure_;
}

bool LogDir::fail(const Error& reason) {
    if (failing_.exchange(true, std::memory_order_acq_rel)) {
        return false;
    }
    failure_ = Error(Code::storage_offline,
                     "log directory " + path_ + " is offline: " + to_string(reason));
    offline_.store(true, std::memory_order_release);
    log_line(LogLevel::error, "log_dir_offline",
             {{"directory", path_}, {"error", to_string(reason)}});
    return true;
}

port::DiskSpace LogDir::space() const {
    return {.free_bytes = free_.load(std::memory_order_relaxed),
            .total_bytes = total_.load(std::memory_order_relaxed)};
}

void LogDir::look(port::Disk& disk, MonoTime now) {
    int64_t due = look_at_.load(std::memory_order_relaxed);
    const int64_t ticks = now.time_since_epoch().count();
    const bool is_due =
        ticks >= due || written_since_look_.load(std::memory_order_relaxed) >= kSpaceLookBytesMax;
    const int64_t next = (now + kSpaceLookInterval).time_since_epoch().count();
    // Of several cores that find it due, one asks.
    if (!is_due || is_offline() ||
        !look_at_.compare_exchange_strong(due, next, std::memory_order_relaxed)) {
        return;
    }
    written_since_look_.store(0, std::memory_order_relaxed);
    const Result<port::DiskSpace> space = disk.space(path_);
    if (!space) { // what is written finds out what is wrong, unless it is refused for lack of room
        log_line(LogLevel::warn, "log_dir_space_unknown",
                 {{"directory", path_}, {"error", to_string(space.error())}});
        return;
    }
    free_.store(space->free_bytes, std::memory_order_relaxed);
    total_.store(space->total_bytes, std::memory_order_relaxed);
    const uint64_t reserve =
        wanted_reserve_ >= 0 ? static_cast<uint64_t>(wanted_reserve_)
                             : std::min(space->total_bytes / kAutomaticShare, kAutomaticReserveMax);
    reserve_.store(reserve, std::memory_order_relaxed);
    const bool was_low = is_low();
    const bool is_low =
        was_low ? space->free_bytes < reserve + reserve / 4 : space->free_bytes < reserve;
    if (is_low == was_low) {
        return;
    }
    low_.store(is_low, std::memory_order_relaxed);
    log_line(is_low ? LogLevel::error : LogLevel::info, is_low ? "log_dir_low" : "log_dir_roomy",
             {{"directory", path_},
              {"free_bytes", space->free_bytes},
              {"reserve_bytes", reserve},
              {"effect", is_low ? "produce is refused" : "produce is served"}});
}

} // namespace qtool::storage
