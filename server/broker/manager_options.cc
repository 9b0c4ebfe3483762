#include "server/broker/manager_options.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

namespace qtool::broker {

replica::ManagerOptions manager_options(const config::BrokerConfig& config, uint16_t core_count) {
    const auto part = [&](int64_t whole) {
        return static_cast<uint64_t>(std::max<int64_t>(1, whole / core_count));
    };
    const auto rate = [&](std::string_view option) {
        const std::string text = config.value(option).value();
        uint64_t whole = 0; // the table's bounds hold
        std::from_chars(text.data(), text.data() + text.size(), whole);
        return whole == INT64_MAX ? UINT64_MAX : (whole + core_count - 1) / core_count;
    };
    replica::ManagerOptions options;
    options.leader_rate_max = rate("leader.replication.throttled.rate");
    options.follower_rate_max = rate("follower.replication.throttled.rate");
    options.retention_check_interval = clamped_ms(config.retention_check_interval_ms);
    options.producer_id_expiration_ms = config.producer_id_expiration_ms;
    options.replica_lag_max = clamped_ms(config.replica_lag_max_ms);
    options.fetcher.wait_max = clamped_ms(config.replica_fetch_wait_max_ms);
    options.fetcher.bytes_min = config.replica_fetch_min_bytes;
    options.fetcher.partition_bytes_max = config.replica_fetch_max_bytes;
    options.fetcher.response_bytes_max = config.replica_fetch_response_max_bytes;
    options.fetcher.backoff_max = clamped_ms(config.replica_fetch_backoff_ms);
    options.compactor.is_enabled = config.cleaner_enable;
    options.compactor.backoff = clamped_ms(config.cleaner_backoff_ms);
    options.compactor.map_bytes_max = part(config.cleaner_dedupe_buffer_bytes);
    options.compactor.read_bytes_max = static_cast<uint64_t>(config.cleaner_io_buffer_bytes);
    options.compactor.bytes_per_second_max = part(config.cleaner_io_bytes_per_second_max);
    options.mover.bytes_per_second_max =
        config.move_bytes_per_second_max == 0 ? 0 : part(config.move_bytes_per_second_max);
    options.flush_journal_bytes = static_cast<uint64_t>(config.flush_journal_bytes);
    return options;
}

} // namespace qtool::broker
