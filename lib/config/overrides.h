// Overrides: options set on one resource (a topic, a broker, a group) at run time, and the changes
// requests ask of them. The same for every table of options. Pure values.
#pragma once

#include "lib/base/result.h"
#include "lib/config/option.h"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>

namespace qtool::config {

/// By name; values normalized.
using Overrides = std::map<std::string, std::string>;

/// What CreateTopics and AlterConfigs hand in: the whole set. A null value is refused.
struct RequestedOption {
    std::string name;
    std::optional<std::string> value;
};
/// Errors: invalid_config; invalid_request when a name comes twice.
Result<Overrides> make_overrides(const OptionTable& table,
                                 std::span<const RequestedOption> options);

/// The numbers are IncrementalAlterConfigs' operations.
enum class AlterOp : int8_t { set = 0, remove = 1, append = 2, subtract = 3 };

struct Alteration {
    std::string name;
    int8_t op = 0; // AlterOp as it came; unknown numbers are invalid_request
    std::optional<std::string> value;
};

/// All or nothing: the overrides after the alterations, or why not. `append` and `subtract` work on
/// lists only, starting from `in_force`, the value (normalized) before the change; appending what
/// is there changes nothing. Errors: invalid_config; invalid_request (a name twice, a null value
/// where one is needed, an unknown operation).
Result<Overrides> alter_overrides(const OptionTable& table, const Overrides& current,
                                  std::span<const Alteration> alterations,
                                  const std::function<std::string(const OptionRow&)>& in_force);

} // namespace qtool::config
