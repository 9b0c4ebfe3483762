#include "tests/sim/restart_watch.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"

#include <charconv>
#include <cstdio>
#include <string>
#include <utility>

namespace qtool::sim {

namespace {

// The sink is a plain function. A run has one thread.
RestartWatch::OnRestart on_restart_now;
RestartWatch::OnDamage on_damage_now;
bool prints_now = false;

std::string_view field(std::string_view line, std::string_view name) {
    const std::string before = " " + std::string(name) + "=";
    const size_t at = line.find(before);
    if (at == std::string_view::npos) {
        return {};
    }
    line.remove_prefix(at + before.size());
    return line.substr(0, line.find(' '));
}

bool has_event(std::string_view line, std::string_view name) {
    return line.find(" " + std::string(name) + " ") != std::string_view::npos;
}

void take_line(LogLevel, std::string_view line) {
    if (prints_now) {
        print_log_line(line);
    }
    if (has_event(line, "partition_damaged") || has_event(line, "log_damage_found")) {
        on_damage_now(line.substr(line.find(' ') + 1)); // the time is real and means nothing here
        return;
    }
    if (!has_event(line, "log_restarted")) {
        return;
    }
    std::string_view partition = field(line, "partition");
    partition.remove_prefix(partition.rfind('/') + 1);
    const std::string_view start = field(line, "log_start_offset");
    int64_t offset = -1;
    std::from_chars(start.data(), start.data() + start.size(), offset);
    QT_ASSERT(!partition.empty() && offset >= 0);
    on_restart_now(partition, offset);
}

} // namespace

void print_log_line(std::string_view line) {
    const size_t blank = line.find(' ');
    const std::string_view text = blank == std::string_view::npos ? line : line.substr(blank);
    std::fprintf(stderr, "            %.*s\n", static_cast<int>(text.size()), text.data());
}

RestartWatch::RestartWatch(bool printing, OnRestart on_restart, OnDamage on_damage) {
    on_restart_now = std::move(on_restart);
    on_damage_now = std::move(on_damage);
    prints_now = printing;
    set_log_level(printing ? LogLevel::debug : LogLevel::info);
    set_log_sink(take_line);
}

RestartWatch::~RestartWatch() {
    set_log_sink([](LogLevel, std::string_view) {});
    set_log_level(LogLevel::error);
    on_restart_now = nullptr;
    on_damage_now = nullptr;
}

} // namespace qtool::sim
