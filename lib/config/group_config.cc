#include "lib/config/group_config.h"

#include "lib/base/assert.h"

#include <algorithm>
#include <limits>

namespace qtool::config {
namespace {

// "consumer.session.timeout.ms" and "min." give "group.consumer.min.session.timeout.ms".
std::string broker_name(std::string_view group_option, std::string_view infix) {
    constexpr std::string_view kPrefix = "consumer.";
    QT_ASSERT(group_option.starts_with(kPrefix));
    std::string name = "group.consumer.";
    name += infix;
    name += group_option.substr(kPrefix.size());
    return name;
}

struct Bounds {
    int32_t min = std::numeric_limits<int32_t>::min();
    int32_t max = std::numeric_limits<int32_t>::max();
};

Bounds bounds_of(const OptionRow& row, const BrokerConfig& broker) {
    Bounds bounds;
    if (const auto min = broker.value(broker_name(row.name, "min."))) {
        bounds.min = to_int32(*min);
    }
    if (const auto max = broker.value(broker_name(row.name, "max."))) {
        bounds.max = to_int32(*max);
    }
    return bounds;
}

std::vector<Synonym> synonyms_of(const OptionRow& row, const Overrides& overrides,
                                 const BrokerConfig& broker) {
    std::vector<Synonym> synonyms;
    const std::string name(row.name);
    if (const auto own = overrides.find(name); own != overrides.end()) {
        synonyms.push_back({name, own->second, ConfigSource::group});
    }
    const std::string from(row.synonyms);
    for (const ConfigSource layer : kBrokerLayers) {
        if (const std::string* set = broker.set_value(layer, from)) {
            synonyms.push_back({from, *set, layer});
        }
    }
    const OptionRow* broker_row = find_option(broker_options(), from);
    synonyms.push_back(
        {from, std::string(broker_row != nullptr ? broker_row->default_text : row.default_text),
         ConfigSource::built_in});
    return synonyms;
}

int32_t in_force(std::string_view name, const Overrides& overrides, const BrokerConfig& broker) {
    const OptionRow* row = find_option(group_options(), name);
    QT_ASSERT_MSG(row != nullptr, "an option is read that has no row");
    const Synonym first = synonyms_of(*row, overrides, broker).front();
    const int32_t value = to_int32(*first.value);
    if (first.source != ConfigSource::group) {
        return value;
    }
    const Bounds bounds = bounds_of(*row, broker);
    return std::min(std::max(value, bounds.min), bounds.max);
}

Result<void> check(const Overrides& overrides, const BrokerConfig& broker) {
    for (const auto& [name, value] : overrides) {
        const OptionRow* row = find_option(group_options(), name);
        if (row == nullptr) {
            continue; // of another version
        }
        const Bounds bounds = bounds_of(*row, broker);
        const int32_t number = to_int32(value);
        if (number < bounds.min || number > bounds.max) {
            return Error(Code::invalid_config,
                         name + "=" + value + " is not within " + broker_name(name, "min.") + " (" +
                             std::to_string(bounds.min) + ") and " + broker_name(name, "max.") +
                             " (" + std::to_string(bounds.max) + ") of this broker");
        }
    }
    const GroupConfig group = effective_group_config(overrides, broker);
    if (group.heartbeat_interval_ms >= group.session_timeout_ms) {
        return Error(Code::invalid_config, "consumer.heartbeat.interval.ms (" +
                                               std::to_string(group.heartbeat_interval_ms) +
                                               ") must be below consumer.session.timeout.ms (" +
                                               std::to_string(group.session_timeout_ms) + ")");
    }
    return {};
}

} // namespace

GroupConfig effective_group_config(const Overrides& overrides, const BrokerConfig& broker) {
    GroupConfig group;
    group.session_timeout_ms = in_force("consumer.session.timeout.ms", overrides, broker);
    group.heartbeat_interval_ms = in_force("consumer.heartbeat.interval.ms", overrides, broker);
    group.assignment_interval_ms = in_force("consumer.assignment.interval.ms", overrides, broker);
    return group;
}

Result<Overrides> make_group_overrides(std::span<const RequestedOption> options,
                                       const BrokerConfig& broker) {
    QT_TRY_ASSIGN(Overrides overrides, make_overrides(group_options(), options));
    QT_TRY(check(overrides, broker));
    return overrides;
}

Result<Overrides> alter_group_overrides(const Overrides& current,
                                        std::span<const Alteration> alterations,
                                        const BrokerConfig& broker) {
    QT_TRY_ASSIGN(Overrides overrides,
                  alter_overrides(group_options(), current, alterations, [&](const OptionRow& row) {
                      return std::to_string(in_force(row.name, current, broker));
                  }));
    QT_TRY(check(overrides, broker));
    return overrides;
}

std::vector<DescribedOption> describe_group(const Overrides& overrides,
                                            const BrokerConfig& broker) {
    std::vector<DescribedOption> described;
    for (const OptionRow& row : group_options().rows) {
        DescribedOption& option = described.emplace_back();
        option.name = row.name;
        option.type = row.type;
        option.documentation = row.meaning;
        option.synonyms = synonyms_of(row, overrides, broker);
        option.value = option.synonyms.front().value;
        option.source = option.synonyms.front().source;
        option.is_default = option.source == ConfigSource::built_in;
    }
    return described;
}

} // namespace qtool::config
