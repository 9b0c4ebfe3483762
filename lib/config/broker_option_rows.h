// The rows of broker_options() by subject; each file has its rows sorted by name.
//
// Kafka's names and bounds (4.3.1) wherever Kafka has the option. Every name in the synonyms of a
// topic option has a row here, so that DescribeConfigs can tell where a default comes from.
#pragma once

#include "lib/config/option.h"

#include <span>

namespace qtool::config {

std::span<const OptionRow> broker_log_rows();         // broker_log_options.cc
std::span<const OptionRow> broker_group_rows();       // broker_group_options.cc
std::span<const OptionRow> broker_replication_rows(); // broker_replication_options.cc

} // namespace qtool::config
