// RestartWatch: hears from the log lines of brokers in this process which replicas dropped their
// logs and began anew, and who finds stored bytes damaged. Nothing a client sees tells that: what
// is right depends on the first, and the second heals by itself where another replica has all.
// While one lives it is the sink of log lines.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace qtool::sim {

class RestartWatch {
public:
    /// A replica of that partition ("t0-1") began anew at that offset.
    using OnRestart = std::function<void(std::string_view partition, int64_t offset)>;
    /// `why`: text that names the partition ("t0-1"), or a file of it.
    using OnDamage = std::function<void(std::string_view why)>;

    /// `printing`: lines are printed, of all levels.
    RestartWatch(bool printing, OnRestart on_restart, OnDamage on_damage);
    ~RestartWatch();
    RestartWatch(const RestartWatch&) = delete;
    RestartWatch& operator=(const RestartWatch&) = delete;
};

/// A line without its time, which is real and means nothing here.
void print_log_line(std::string_view line);

} // namespace qtool::sim
