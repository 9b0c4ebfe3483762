// BrokerConfig: qbroker's options, typed, checked, and remembering where each came from. Made at
// start by BrokerConfigBuilder; with_dynamic (dynamic_config.h) makes another one from it when an
// option is set at run time. Constant once made, so all cores may read it.
#pragma once

#include "lib/base/log.h"
#include "lib/base/result.h"
#include "lib/config/describe.h"
#include "lib/config/option.h"
#include "lib/config/topic_config.h"

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::config {

/// A value that somebody set.
struct Setting {
    std::string value;  // normalized
    std::string origin; // "qbroker.conf line 12", "--set", "--data-dir"; for error texts

    bool operator==(const Setting&) const = default;
};
using Settings = std::map<std::string, Setting, std::less<>>;

/// Directories of log.dirs: disks of one machine.
inline constexpr size_t kLogDirsMax = 64;

inline constexpr size_t kClusterNameMax = 100; // characters

/// Layers of broker options over the table's defaults, the strongest first.
inline constexpr ConfigSource kBrokerLayers[] = {
    ConfigSource::dynamic_broker, ConfigSource::dynamic_default, ConfigSource::static_broker};

/// A default constructed BrokerConfig holds the defaults of the table.
struct BrokerConfig {
    // Identity and addresses.
    int32_t node_id = 1;
    std::optional<std::string> rack;
    std::vector<Endpoint> listeners = {{"127.0.0.1", 9092}};
    std::vector<Endpoint> admin_listeners;      // empty: HTTP shares the listeners
    std::vector<Endpoint> advertised_listeners; // empty: the first listener; else one
    bool insecure_allow_remote = false;
    std::string ready_file; // empty: none
    // The store of the cluster's truth.
    struct Etcd {
        std::vector<std::string>
            endpoints; // "http://host:port"; empty: SQLite in the first log dir
        std::string cluster = "qbroker";
        std::string user; // empty: no login
        std::string password_file;
        std::string ca_file; // the three: empty: none
        std::string cert_file;
        std::string key_file;

        bool operator==(const Etcd&) const = default;
    };
    Etcd etcd;
    // Process.
    std::vector<std::string> log_dirs = {"./qbroker-data"}; // the first holds the metadata too
    int64_t log_dir_reserve_bytes = -1;                     // -1: automatic; 0: none
    int64_t flush_journal_bytes = 33'554'432;               // of each core and log directory
    int32_t cores = 0; // 0: one for each CPU the process may use
    LogLevel log_level = LogLevel::info;
    bool is_log_json = false; // log.format
    // Cluster.
    int32_t session_timeout_ms = 9000;
    bool auto_leader_rebalance_enable = true;
    int64_t leader_imbalance_check_interval_seconds = 300;
    // Topics.
    int32_t num_partitions = 1;
    int32_t default_replication_factor = 1;
    bool auto_create_topics_enable = true;
    bool delete_topic_enable = true;
    // Replication.
    int64_t replica_lag_max_ms = 30'000;
    int32_t replica_fetch_wait_max_ms = 500;
    int32_t replica_fetch_min_bytes = 1;
    int32_t replica_fetch_max_bytes = 1'048'576; // of one partition
    int32_t replica_fetch_response_max_bytes = 10'485'760;
    int32_t replica_fetch_backoff_ms = 1000;
    bool is_replica_selector_rack_aware = false; // replica.selector.class
    // Logs.
    int64_t retention_check_interval_ms = 300'000;
    int32_t producer_id_expiration_ms = 86'400'000;
    // Compaction. The buffer and the rate are shared out among the cores.
    bool cleaner_enable = true;
    int64_t cleaner_backoff_ms = 15'000;
    int64_t cleaner_dedupe_buffer_bytes = 134'217'728;
    int32_t cleaner_io_buffer_bytes = 524'288;
    int64_t cleaner_io_bytes_per_second_max = kUnlimited;
    int64_t move_bytes_per_second_max = kUnlimited; // of partitions between log directories
    TopicConfig topic_defaults;                     // of a topic without options of its own
    // Transactions.
    int32_t transaction_timeout_max_ms = 900'000;
    int32_t transaction_abort_interval_ms = 10'000;
    int32_t transaction_expire_interval_ms = 3'600'000;
    int32_t transactional_id_expiration_ms = 604'800'000;
    int32_t transaction_state_partitions = 50;
    int32_t transaction_state_replication_factor = 3;
    int32_t transaction_state_min_isr = 2;
    int32_t transaction_state_segment_bytes = 104'857'600;
    // Consumer groups (KIP-848). What a group may set for itself lies between min and max.
    struct ConsumerGroups {
        std::vector<std::string> assignors = {"uniform", "range"};
        int32_t assignment_interval_ms = 1000;
        int32_t assignment_interval_min_ms = 0;
        int32_t assignment_interval_max_ms = 15'000;
        int32_t heartbeat_interval_ms = 5000;
        int32_t heartbeat_interval_min_ms = 5000;
        int32_t heartbeat_interval_max_ms = 15'000;
        int32_t session_timeout_ms = 45'000;
        int32_t session_timeout_min_ms = 45'000;
        int32_t session_timeout_max_ms = 60'000;
        int32_t size_max = 2'147'483'647; // members
        int32_t regex_refresh_interval_ms = 600'000;
        bool may_upgrade = true; // a classic group with members
        bool may_downgrade = true;

        bool operator==(const ConsumerGroups&) const = default;
    };
    ConsumerGroups consumer_groups;
    // Bounds. A frame beyond socket_request_bytes_max closes the connection.
    int32_t socket_request_bytes_max = 104'857'600;
    int32_t fetch_bytes_max = 57'671'680; // of one Fetch answer, whatever the client asks
    int32_t connections_max = 2'147'483'647;
    int64_t connections_idle_max_ms = 600'000; // < 0: never closed for being idle
    int32_t fetch_session_slots_max = 1000;
    int32_t connection_inflight_requests_max = 64;          // then the socket is not read
    int32_t connection_output_bytes_max = 16 * 1024 * 1024; // waiting to be sent; then not read

    // Groups and their offsets.
    int32_t group_initial_rebalance_delay_ms = 3000;
    int32_t group_session_timeout_min_ms = 6000;
    int32_t group_session_timeout_max_ms = 1'800'000;
    int32_t group_size_max = 2'147'483'647; // members
    int32_t offset_metadata_bytes_max = 4096;
    int32_t offsets_retention_minutes = 10'080;
    int64_t offsets_retention_check_interval_ms = 600'000;
    int32_t offsets_topic_num_partitions = 50; // these three: when __consumer_offsets is created
    int32_t offsets_topic_replication_factor = 3;
    int32_t offsets_topic_segment_bytes = 104'857'600;

    // Quotas: samples of a window and how long one is; of clients and of topic changes.
    int32_t quota_window_num = 11;
    int32_t quota_window_size_seconds = 1;
    int32_t controller_quota_window_num = 11;
    int32_t controller_quota_window_size_seconds = 1;

    Settings settings;         // what was set at start, by option name
    Overrides dynamic_default; // what was set at run time for all brokers,
    Overrides dynamic_own;     // and for this one: the strongest

    /// What `layer` (dynamic_broker, dynamic_default, static_broker) says; nullptr: nothing.
    [[nodiscard]] const std::string* set_value(ConfigSource layer, std::string_view option) const;
    /// The value in force, as text; nothing: null, or no such option.
    [[nodiscard]] std::optional<std::string> value(std::string_view option) const;

    bool operator==(const BrokerConfig&) const = default;
};

/// The text of a `key=value` file. Blank lines and lines starting with # or ! are skipped; blanks
/// around key and value are trimmed; a key set twice, a line without '=', a trailing backslash,
/// control bytes and files beyond kPropertiesSizeMax are errors naming the line.
struct Property {
    std::string key;
    std::string value;
    uint32_t line = 0; // from 1
};
inline constexpr size_t kPropertiesSizeMax = 1024 * 1024;
/// `file` is named in errors. Errors: invalid_config.
Result<std::vector<Property>> parse_properties(std::string_view file, std::string_view text);

/// Collects settings from sources of rising priority: file, --set, flags. The order of calls does
/// not matter. Within one source the last value of --set and of a flag wins.
class BrokerConfigBuilder {
public:
    /// Errors: invalid_config, naming file and line.
    Result<void> add_file(std::string_view file, std::string_view text);
    /// "key=value", as --set takes it.
    Result<void> add_set(std::string_view assignment);
    /// `flag` is the spelling for errors ("--data-dir"), `option` the option it is short for.
    Result<void> add_flag(std::string_view flag, std::string_view option, std::string_view value);

    /// Checks what spans options, e.g. that no listener leaves loopback unless
    /// insecure.allow.remote is true.
    [[nodiscard]] Result<BrokerConfig> build() const;

private:
    Result<void> add(Settings& into, std::string_view option, std::string_view value,
                     const std::string& origin);

    Settings file_;
    Settings set_;
    Settings flags_;
};

/// A command line flag of qbroker that is short for an option.
struct BrokerFlag {
    std::string_view flag;     // "--data-dir"
    std::string_view option;   // "log.dirs"
    std::string_view argument; // "DIR"; empty: takes none, means true
};
std::span<const BrokerFlag> broker_flags();

/// Sets the typed fields from the layers, and checks what spans options.
Result<void> read_typed(BrokerConfig& broker);

/// Every row, sorted by name.
std::vector<DescribedOption> describe_broker(const BrokerConfig& broker);

} // namespace qtool::config
