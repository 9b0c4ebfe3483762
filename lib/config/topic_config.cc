#include "lib/config/topic_config.h"

#include "lib/base/assert.h"
#include "lib/config/broker_config.h"

namespace qtool::config {
namespace {

constexpr int64_t kMinuteMs = 60'000;
constexpr int64_t kHourMs = 60 * kMinuteMs;

bool ends_with(std::string_view text, std::string_view end) {
    return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

/// The broker option's value in the unit of the topic option: hours and minutes become ms, and an
/// age below zero, which brokers accept for "never", becomes the -1 of topics.
std::string to_topic_unit(const OptionRow& row, std::string_view broker_option,
                          std::string_view value) {
    if (row.unit != "ms") {
        return std::string(value);
    }
    int64_t factor = 1;
    if (ends_with(broker_option, ".hours")) {
        factor = kHourMs;
    } else if (ends_with(broker_option, ".minutes")) {
        factor = kMinuteMs;
    }
    const int64_t number = to_int64(value);
    if (row.valid.min && *row.valid.min == -1 && number < 0) {
        return "-1";
    }
    return std::to_string(number * factor); // hours and minutes are int32: no overflow
}

/// Values in falling priority: the topic's own, the broker's settings, the built-in defaults.
std::vector<Synonym> synonyms_of(const OptionRow& row, const TopicOverrides& overrides,
                                 const BrokerConfig& broker) {
    std::vector<Synonym> synonyms;
    const std::string name(row.name);
    if (const auto own = overrides.find(name); own != overrides.end()) {
        synonyms.push_back({name, own->second, ConfigSource::topic});
    }
    const std::vector<std::string> broker_names = to_list(row.synonyms);
    for (const ConfigSource layer : kBrokerLayers) {
        for (const std::string& broker_name : broker_names) {
            if (const std::string* set = broker.set_value(layer, broker_name)) {
                synonyms.push_back({broker_name, *set, layer});
            }
        }
    }
    for (const std::string& broker_name : broker_names) {
        const OptionRow* broker_row = find_option(broker_options(), broker_name);
        QT_ASSERT_MSG(broker_row != nullptr, "a synonym has no row in the broker table");
        if (!broker_row->default_is_null) {
            synonyms.push_back(
                {broker_name, std::string(broker_row->default_text), ConfigSource::built_in});
        }
    }
    if (broker_names.empty()) {
        synonyms.push_back({name, std::string(row.default_text), ConfigSource::built_in});
    }
    QT_ASSERT(!synonyms.empty());
    return synonyms;
}

std::string value_in_force(const OptionRow& row, const std::vector<Synonym>& synonyms) {
    const Synonym& first = synonyms.front();
    QT_ASSERT(first.value.has_value());
    return first.source == ConfigSource::topic ? *first.value
                                               : to_topic_unit(row, first.name, *first.value);
}

std::string effective(std::string_view name, const TopicOverrides& overrides,
                      const BrokerConfig& broker) {
    const OptionRow* row = find_option(topic_options(), name);
    QT_ASSERT_MSG(row != nullptr, "an option is read that has no row");
    return value_in_force(*row, synonyms_of(*row, overrides, broker));
}

} // namespace

Result<TopicConfig> make_topic_config(const TopicOverrides& overrides, const BrokerConfig& broker) {
    TopicOverrides checked;
    for (const auto& [name, value] : overrides) {
        QT_TRY_ASSIGN(const OptionRow* const row, require_option(topic_options(), name));
        QT_TRY_ASSIGN(checked[name], normalize(*row, value));
    }
    const auto text = [&](std::string_view name) { return effective(name, checked, broker); };
    TopicConfig topic;
    topic.retention_ms = to_int64(text("retention.ms"));
    topic.retention_bytes = to_int64(text("retention.bytes"));
    topic.segment_bytes = to_int32(text("segment.bytes"));
    topic.segment_ms = to_int64(text("segment.ms"));
    topic.segment_jitter_ms = to_int64(text("segment.jitter.ms"));
    topic.segment_index_bytes = to_int32(text("segment.index.bytes"));
    topic.index_interval_bytes = to_int32(text("index.interval.bytes"));
    topic.max_message_bytes = to_int32(text("max.message.bytes"));
    topic.timestamp_type = text("message.timestamp.type") == "LogAppendTime"
                               ? TimestampType::log_append_time
                               : TimestampType::create_time;
    topic.timestamp_before_max_ms = to_int64(text("message.timestamp.before.max.ms"));
    topic.timestamp_after_max_ms = to_int64(text("message.timestamp.after.max.ms"));
    topic.file_delete_delay_ms = to_int64(text("file.delete.delay.ms"));
    topic.min_insync_replicas = to_int32(text("min.insync.replicas"));
    topic.unclean_leader_election_enable = to_bool(text("unclean.leader.election.enable"));
    topic.flush_messages = to_int64(text("flush.messages"));
    topic.flush_ms = to_int64(text("flush.ms"));
    topic.write_caching = to_bool(text("write.caching"));
    const std::vector<std::string> policies = to_list(text("cleanup.policy"));
    const auto has_policy = [&](std::string_view name) {
        return std::find(policies.begin(), policies.end(), name) != policies.end();
    };
    topic.cleanup_delete = has_policy("delete");
    topic.cleanup_compact = has_policy("compact");
    topic.min_cleanable_dirty_ratio_ppm = to_millionths(text("min.cleanable.dirty.ratio"));
    topic.min_compaction_lag_ms = to_int64(text("min.compaction.lag.ms"));
    topic.max_compaction_lag_ms = to_int64(text("max.compaction.lag.ms"));
    topic.delete_retention_ms = to_int64(text("delete.retention.ms"));
    topic.compression_type = text("compression.type");
    topic.compression_gzip_level = to_int32(text("compression.gzip.level"));
    topic.compression_lz4_level = to_int32(text("compression.lz4.level"));
    topic.compression_zstd_level = to_int32(text("compression.zstd.level"));
    return topic;
}

Result<TopicOverrides> make_topic_overrides(std::span<const RequestedOption> options) {
    return make_overrides(topic_options(), options);
}

Result<TopicOverrides> apply_alterations(const TopicOverrides& current,
                                         std::span<const Alteration> alterations,
                                         const BrokerConfig& broker) {
    return alter_overrides(topic_options(), current, alterations, [&](const OptionRow& row) {
        return effective(row.name, current, broker);
    });
}

std::vector<DescribedOption> describe_topic(const TopicOverrides& overrides,
                                            const BrokerConfig& broker) {
    std::vector<DescribedOption> described;
    for (const OptionRow& row : topic_options().rows) {
        QT_ASSERT_MSG(!row.sensitive, "topic options are shown; a sensitive one needs hiding");
        DescribedOption option;
        option.name = row.name;
        option.type = row.type;
        option.documentation = row.meaning;
        option.synonyms = synonyms_of(row, overrides, broker);
        option.value = value_in_force(row, option.synonyms);
        option.source = option.synonyms.front().source;
        option.is_default = option.source == ConfigSource::built_in;
        described.push_back(std::move(option));
    }
    return described;
}

} // namespace qtool::config
