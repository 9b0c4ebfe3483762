// All option names Kafka 4.3.1 knows, so that an error can tell "not built yet" from "misspelt".
#pragma once

#include <string_view>

namespace qtool::config {

extern const std::string_view kKafkaBrokerOptionNames; // sorted, each followed by a blank
extern const std::string_view kKafkaClientOptionNames; // producer, consumer and admin client

} // namespace qtool::config
