// What DescribeConfigs and GET /v1/.../configs answer, as values; built from the same rows that
// parse.
#pragma once

#include "lib/config/option.h"

#include <optional>
#include <string>
#include <vector>

namespace qtool::config {

/// The numbers are DescribeConfigs' config sources.
enum class ConfigSource : int8_t {
    topic = 1,
    dynamic_broker = 2,  // set at run time on one broker
    dynamic_default = 3, // set at run time for all brokers
    static_broker = 4,
    built_in = 5,
    logger = 6,
    group = 8,
};

/// "topic", "broker", "cluster", "file", "default", "logger", "group"
std::string_view to_string(ConfigSource source) noexcept;

struct Synonym {
    std::string name;
    std::optional<std::string> value; // empty: null
    ConfigSource source = ConfigSource::built_in;
};

struct DescribedOption {
    std::string name;
    std::optional<std::string> value; // empty: null, or hidden because sensitive
    bool is_default = false;          // source == built_in
    ConfigSource source = ConfigSource::built_in;
    bool sensitive = false;
    bool read_only = false;
    OptionType type = OptionType::string;
    std::string documentation;
    std::vector<Synonym> synonyms; // falling priority: the first one is in force
};

} // namespace qtool::config
