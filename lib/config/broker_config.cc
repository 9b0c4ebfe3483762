#include "lib/config/broker_config.h"

#include "lib/base/assert.h"

#include <algorithm>
#include <iterator>

namespace qtool::config {
namespace {

// Sorted as --help shows them.
constexpr BrokerFlag kFlags[] = {
    {"--data-dir", "log.dirs", "DIR"},
    {"--listen", "listeners", "HOST:PORT"},
    {"--advertise", "advertised.listeners", "HOST:PORT"},
    {"--node-id", "node.id", "N"},
    {"--rack", "broker.rack", "RACK"},
    {"--cores", "cores", "N"},
    {"--etcd", "etcd.endpoints", "URL,URL"},
    {"--cluster", "cluster.name", "NAME"},
    {"--ready-file", "ready.file", "FILE"},
    {"--insecure-allow-remote", "insecure.allow.remote", ""},
};

/// Reads typed values: what was set, else the default of the table.
class Reader {
public:
    explicit Reader(const BrokerConfig& broker) : broker_(broker) {}

    std::optional<std::string> text(std::string_view name) const {
        QT_ASSERT_MSG(find_option(broker_options(), name) != nullptr,
                      "an option is read that has no row");
        return broker_.value(name);
    }
    int32_t int32(std::string_view name) const { return to_int32(needed(name)); }
    int64_t int64(std::string_view name) const { return to_int64(needed(name)); }
    bool boolean(std::string_view name) const { return to_bool(needed(name)); }
    std::string needed(std::string_view name) const {
        std::optional<std::string> value = text(name);
        QT_ASSERT_MSG(value.has_value(), "an option without a value is read as if it had one");
        return *std::move(value);
    }
    Result<std::vector<Endpoint>> endpoints(std::string_view name) const {
        std::vector<Endpoint> endpoints;
        for (const std::string& part : to_list(text(name).value_or(""))) {
            QT_TRY_ASSIGN(Endpoint endpoint, parse_endpoint(name, part));
            endpoints.push_back(std::move(endpoint));
        }
        return endpoints;
    }

private:
    const BrokerConfig& broker_;
};

LogLevel to_log_level(std::string_view name) {
    if (name == "debug") {
        return LogLevel::debug;
    }
    if (name == "warn") {
        return LogLevel::warn;
    }
    if (name == "error") {
        return LogLevel::error;
    }
    QT_ASSERT(name == "info");
    return LogLevel::info;
}

Result<void> read_etcd(const Reader& read, BrokerConfig::Etcd& etcd) {
    etcd.endpoints = to_list(read.text("etcd.endpoints").value_or(""));
    for (std::string& url : etcd.endpoints) {
        const size_t scheme = url.starts_with("http://") ? 7 : url.starts_with("https://") ? 8 : 0;
        if (url.ends_with('/')) {
            url.pop_back();
        }
        if (scheme == 0 || url.size() <= scheme || url.find('/', scheme) != std::string::npos) {
            return Error(Code::invalid_config, "etcd.endpoints: '" + url +
                                                   "' is not like http://HOST:2379 or "
                                                   "https://HOST:2379");
        }
    }
    etcd.cluster = read.needed("cluster.name");
    const bool is_named_well = etcd.cluster.size() <= kClusterNameMax &&
                               std::all_of(etcd.cluster.begin(), etcd.cluster.end(), [](char c) {
                                   return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                                          (c >= '0' && c <= '9') || c == '.' || c == '_' ||
                                          c == '-';
                               });
    if (!is_named_well) {
        return Error(Code::invalid_config, "cluster.name: '" + etcd.cluster +
                                               "' is not up to 100 letters, digits, '.', '_', '-'");
    }
    etcd.user = read.text("etcd.user").value_or("");
    etcd.password_file = read.text("etcd.password.file").value_or("");
    etcd.ca_file = read.text("etcd.tls.ca.file").value_or("");
    etcd.cert_file = read.text("etcd.tls.cert.file").value_or("");
    etcd.key_file = read.text("etcd.tls.key.file").value_or("");
    return {};
}

Result<void> check_addresses(const BrokerConfig& broker) {
    if (!broker.insecure_allow_remote) {
        for (const auto* endpoints : {&broker.listeners, &broker.admin_listeners}) {
            for (const Endpoint& endpoint : *endpoints) {
                if (!is_loopback(endpoint)) {
                    return Error(Code::invalid_config,
                                 "listener " + to_string(endpoint) +
                                     " can be reached from other machines and there is no "
                                     "authentication yet; use 127.0.0.1, or allow it with "
                                     "--insecure-allow-remote (insecure.allow.remote=true)");
                }
            }
        }
    }
    const auto is_wildcard = [](const Endpoint& endpoint) {
        return endpoint.host == "0.0.0.0" || endpoint.host == "::";
    };
    if (broker.advertised_listeners.size() > 1) {
        return Error(Code::invalid_config,
                     "advertised.listeners names " +
                         std::to_string(broker.advertised_listeners.size()) +
                         " addresses, but all clients are told the same one; give one");
    }
    for (const Endpoint& endpoint : broker.advertised_listeners) {
        if (is_wildcard(endpoint)) {
            return Error(Code::invalid_config,
                         "advertised.listeners has " + to_string(endpoint) +
                             ", which no client can connect to; name a host and a port");
        }
    }
    if (broker.advertised_listeners.empty() && is_wildcard(broker.listeners.front())) {
        return Error(Code::invalid_config,
                     "listeners has " + to_string(broker.listeners.front()) +
                         ", which no client can connect to; say where clients find this broker "
                         "with --advertise HOST:PORT (advertised.listeners)");
    }
    return {};
}

void read_consumer_groups(const Reader& read, BrokerConfig::ConsumerGroups& groups) {
    groups.assignors = to_list(read.needed("group.consumer.assignors"));
    groups.assignment_interval_ms = read.int32("group.consumer.assignment.interval.ms");
    groups.assignment_interval_min_ms = read.int32("group.consumer.min.assignment.interval.ms");
    groups.assignment_interval_max_ms = read.int32("group.consumer.max.assignment.interval.ms");
    groups.heartbeat_interval_ms = read.int32("group.consumer.heartbeat.interval.ms");
    groups.heartbeat_interval_min_ms = read.int32("group.consumer.min.heartbeat.interval.ms");
    groups.heartbeat_interval_max_ms = read.int32("group.consumer.max.heartbeat.interval.ms");
    groups.session_timeout_ms = read.int32("group.consumer.session.timeout.ms");
    groups.session_timeout_min_ms = read.int32("group.consumer.min.session.timeout.ms");
    groups.session_timeout_max_ms = read.int32("group.consumer.max.session.timeout.ms");
    groups.size_max = read.int32("group.consumer.max.size");
    groups.regex_refresh_interval_ms = read.int32("group.consumer.regex.refresh.interval.ms");
    const std::string policy(read.needed("group.consumer.migration.policy"));
    groups.may_upgrade = policy == "upgrade" || policy == "bidirectional";
    groups.may_downgrade = policy == "downgrade" || policy == "bidirectional";
}

// As Kafka checks at start: defaults lie within what groups may set.
Result<void> check_consumer_groups(const BrokerConfig::ConsumerGroups& groups) {
    const struct {
        const char* name;
        int32_t min, value, max;
    } ranges[] = {
        {"assignment.interval.ms", groups.assignment_interval_min_ms, groups.assignment_interval_ms,
         groups.assignment_interval_max_ms},
        {"heartbeat.interval.ms", groups.heartbeat_interval_min_ms, groups.heartbeat_interval_ms,
         groups.heartbeat_interval_max_ms},
        {"session.timeout.ms", groups.session_timeout_min_ms, groups.session_timeout_ms,
         groups.session_timeout_max_ms},
    };
    for (const auto& range : ranges) {
        if (range.value < range.min || range.value > range.max) {
            const std::string name = range.name;
            return Error(Code::invalid_config,
                         "group.consumer." + name + " is " + std::to_string(range.value) +
                             ", not between group.consumer.min." + name + " (" +
                             std::to_string(range.min) + ") and group.consumer.max." + name + " (" +
                             std::to_string(range.max) + ")");
        }
    }
    if (groups.heartbeat_interval_ms >= groups.session_timeout_ms) {
        return Error(Code::invalid_config, "group.consumer.heartbeat.interval.ms must be below "
                                           "group.consumer.session.timeout.ms");
    }
    return {};
}

} // namespace

std::span<const BrokerFlag> broker_flags() {
    return kFlags;
}

Result<void> BrokerConfigBuilder::add(Settings& into, std::string_view option,
                                      std::string_view value, const std::string& origin) {
    const auto blame = [&origin](const Error& error) {
        return Error(error.code, origin + ": " + error.detail);
    };
    const auto row = require_option(broker_options(), option);
    if (!row) {
        return blame(row.error());
    }
    // An empty value of an option that may be unset says "unset", over what a lower source says.
    if (value.empty() && (*row)->default_is_null) {
        into.insert_or_assign(std::string(option), Setting{"", origin});
        return {};
    }
    auto normalized = normalize(**row, value);
    if (!normalized) {
        return blame(normalized.error());
    }
    into.insert_or_assign(std::string(option), Setting{*std::move(normalized), origin});
    return {};
}

Result<void> BrokerConfigBuilder::add_file(std::string_view file, std::string_view text) {
    QT_TRY_ASSIGN(const std::vector<Property> properties, parse_properties(file, text));
    for (const Property& property : properties) {
        QT_TRY(add(file_, property.key, property.value,
                   std::string(file) + " line " + std::to_string(property.line)));
    }
    return {};
}

Result<void> BrokerConfigBuilder::add_set(std::string_view assignment) {
    const size_t equals = assignment.find('=');
    if (equals == std::string_view::npos || equals == 0) {
        constexpr size_t kShownSizeMax = 100;
        return Error(Code::invalid_config, "--set takes key=value, got '" +
                                               std::string(assignment.substr(0, kShownSizeMax)) +
                                               "'");
    }
    return add(set_, assignment.substr(0, equals), assignment.substr(equals + 1), "--set");
}

Result<void> BrokerConfigBuilder::add_flag(std::string_view flag, std::string_view option,
                                           std::string_view value) {
    return add(flags_, option, value, std::string(flag));
}

Result<BrokerConfig> BrokerConfigBuilder::build() const {
    BrokerConfig broker;
    broker.settings = flags_;
    broker.settings.insert(set_.begin(), set_.end()); // insert keeps what is there already
    broker.settings.insert(file_.begin(), file_.end());
    for (auto setting = broker.settings.begin(); setting != broker.settings.end();) {
        const OptionRow* row = find_option(broker_options(), setting->first);
        const bool unset = row->default_is_null && setting->second.value.empty();
        setting = unset ? broker.settings.erase(setting) : std::next(setting);
    }
    QT_TRY(read_typed(broker));
    return broker;
}

Result<void> read_typed(BrokerConfig& broker) {
    const Reader read(broker);

    broker.node_id = read.int32("node.id");
    broker.rack = read.text("broker.rack");
    QT_TRY_ASSIGN(broker.listeners, read.endpoints("listeners"));
    QT_TRY_ASSIGN(broker.admin_listeners, read.endpoints("admin.listeners"));
    QT_TRY_ASSIGN(broker.advertised_listeners, read.endpoints("advertised.listeners"));
    broker.insecure_allow_remote = read.boolean("insecure.allow.remote");
    broker.ready_file = read.text("ready.file").value_or("");
    QT_TRY(check_addresses(broker));

    QT_TRY(read_etcd(read, broker.etcd));

    broker.log_dirs = to_list(read.needed("log.dirs"));
    if (broker.log_dirs.size() > kLogDirsMax) {
        return Error(Code::invalid_config,
                     "log.dirs names " + std::to_string(broker.log_dirs.size()) +
                         " directories; at most " + std::to_string(kLogDirsMax) + " are served");
    }
    broker.log_dir_reserve_bytes = read.int64("log.dir.reserve.bytes");
    broker.flush_journal_bytes = read.int64("log.flush.journal.bytes");
    broker.cores = read.int32("cores");
    broker.log_level = to_log_level(read.needed("log.level"));
    broker.is_log_json = read.needed("log.format") == "json";

    broker.num_partitions = read.int32("num.partitions");
    broker.default_replication_factor = read.int32("default.replication.factor");
    broker.session_timeout_ms = read.int32("broker.session.timeout.ms");
    broker.auto_leader_rebalance_enable = read.boolean("auto.leader.rebalance.enable");
    broker.leader_imbalance_check_interval_seconds =
        read.int64("leader.imbalance.check.interval.seconds");
    broker.auto_create_topics_enable = read.boolean("auto.create.topics.enable");
    broker.delete_topic_enable = read.boolean("delete.topic.enable");
    broker.retention_check_interval_ms = read.int64("log.retention.check.interval.ms");
    broker.cleaner_enable = read.boolean("log.cleaner.enable");
    broker.cleaner_backoff_ms = read.int64("log.cleaner.backoff.ms");
    broker.cleaner_dedupe_buffer_bytes = read.int64("log.cleaner.dedupe.buffer.size");
    broker.cleaner_io_buffer_bytes = read.int32("log.cleaner.io.buffer.size");
    const double rate = to_double(read.needed("log.cleaner.io.max.bytes.per.second"));
    broker.cleaner_io_bytes_per_second_max = rate < 9e18 ? static_cast<int64_t>(rate) : kUnlimited;
    broker.move_bytes_per_second_max = read.int64("replica.alter.log.dirs.io.max.bytes.per.second");
    broker.replica_lag_max_ms = read.int64("replica.lag.time.max.ms");
    broker.replica_fetch_wait_max_ms = read.int32("replica.fetch.wait.max.ms");
    broker.replica_fetch_min_bytes = read.int32("replica.fetch.min.bytes");
    broker.replica_fetch_max_bytes = read.int32("replica.fetch.max.bytes");
    broker.replica_fetch_response_max_bytes = read.int32("replica.fetch.response.max.bytes");
    broker.replica_fetch_backoff_ms = read.int32("replica.fetch.backoff.ms");
    broker.is_replica_selector_rack_aware =
        read.text("replica.selector.class").value_or("").ends_with("RackAwareReplicaSelector");
    broker.producer_id_expiration_ms = read.int32("producer.id.expiration.ms");
    broker.group_initial_rebalance_delay_ms = read.int32("group.initial.rebalance.delay.ms");
    broker.group_session_timeout_min_ms = read.int32("group.min.session.timeout.ms");
    broker.group_session_timeout_max_ms = read.int32("group.max.session.timeout.ms");
    broker.group_size_max = read.int32("group.max.size");
    broker.offset_metadata_bytes_max = read.int32("offset.metadata.max.bytes");
    broker.offsets_retention_minutes = read.int32("offsets.retention.minutes");
    broker.offsets_retention_check_interval_ms = read.int64("offsets.retention.check.interval.ms");
    broker.offsets_topic_num_partitions = read.int32("offsets.topic.num.partitions");
    broker.offsets_topic_replication_factor = read.int32("offsets.topic.replication.factor");
    broker.offsets_topic_segment_bytes = read.int32("offsets.topic.segment.bytes");

    broker.transaction_timeout_max_ms = read.int32("transaction.max.timeout.ms");
    broker.transaction_abort_interval_ms =
        read.int32("transaction.abort.timed.out.transaction.cleanup.interval.ms");
    broker.transaction_expire_interval_ms =
        read.int32("transaction.remove.expired.transaction.cleanup.interval.ms");
    broker.transactional_id_expiration_ms = read.int32("transactional.id.expiration.ms");
    broker.transaction_state_partitions = read.int32("transaction.state.log.num.partitions");
    broker.transaction_state_replication_factor =
        read.int32("transaction.state.log.replication.factor");
    broker.transaction_state_min_isr = read.int32("transaction.state.log.min.isr");
    broker.transaction_state_segment_bytes = read.int32("transaction.state.log.segment.bytes");

    read_consumer_groups(read, broker.consumer_groups);
    QT_TRY(check_consumer_groups(broker.consumer_groups));

    broker.socket_request_bytes_max = read.int32("socket.request.max.bytes");
    broker.fetch_bytes_max = read.int32("fetch.max.bytes");
    broker.connections_max = read.int32("max.connections");
    broker.connections_idle_max_ms = read.int64("connections.max.idle.ms");
    broker.fetch_session_slots_max = read.int32("max.incremental.fetch.session.cache.slots");
    broker.connection_inflight_requests_max = read.int32("connection.inflight.requests.max");
    broker.connection_output_bytes_max = read.int32("connection.output.bytes.max");

    broker.quota_window_num = read.int32("quota.window.num");
    broker.quota_window_size_seconds = read.int32("quota.window.size.seconds");
    broker.controller_quota_window_num = read.int32("controller.quota.window.num");
    broker.controller_quota_window_size_seconds =
        read.int32("controller.quota.window.size.seconds");

    QT_TRY_ASSIGN(broker.topic_defaults, make_topic_config({}, broker));
    return {};
}

const std::string* BrokerConfig::set_value(ConfigSource layer, std::string_view option) const {
    if (layer == ConfigSource::static_broker) {
        const auto set = settings.find(option);
        return set == settings.end() ? nullptr : &set->second.value;
    }
    QT_ASSERT(layer == ConfigSource::dynamic_broker || layer == ConfigSource::dynamic_default);
    const Overrides& overrides =
        layer == ConfigSource::dynamic_broker ? dynamic_own : dynamic_default;
    const auto set = overrides.find(std::string(option));
    return set == overrides.end() ? nullptr : &set->second;
}

std::optional<std::string> BrokerConfig::value(std::string_view option) const {
    for (const ConfigSource layer : kBrokerLayers) {
        if (const std::string* set = set_value(layer, option)) {
            return *set;
        }
    }
    const OptionRow* row = find_option(broker_options(), option);
    if (row == nullptr || row->default_is_null) {
        return std::nullopt;
    }
    return std::string(row->default_text);
}

std::vector<DescribedOption> describe_broker(const BrokerConfig& broker) {
    std::vector<DescribedOption> described;
    for (const OptionRow& row : broker_options().rows) {
        DescribedOption option;
        option.name = row.name;
        option.sensitive = row.sensitive;
        option.read_only = row.update == UpdateMode::read_only;
        option.type = row.type;
        option.documentation = row.meaning;
        for (const ConfigSource layer : kBrokerLayers) {
            if (const std::string* set = broker.set_value(layer, row.name)) {
                option.synonyms.push_back({option.name, *set, layer});
            }
        }
        if (!row.default_is_null) {
            option.synonyms.push_back(
                {option.name, std::string(row.default_text), ConfigSource::built_in});
        }
        if (!option.synonyms.empty()) {
            option.value = option.synonyms.front().value;
            option.source = option.synonyms.front().source;
        }
        option.is_default = option.source == ConfigSource::built_in;
        if (row.sensitive) {
            option.value.reset();
            for (Synonym& synonym : option.synonyms) {
                synonym.value.reset();
            }
        }
        described.push_back(std::move(option));
    }
    return described;
}

} // namespace qtool::config
