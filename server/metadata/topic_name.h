// What a topic may be called: Kafka's rules (org.apache.kafka.common.internals.Topic), which also
// make the name safe as part of a folder's name. Pure; for any thread.
#pragma once

#include "lib/base/result.h"

#include <string>
#include <string_view>

namespace qtool::metadata {

/// 1 to 249 of [a-zA-Z0-9._-], and neither "." nor "..". Errors: invalid_topic_name.
Result<void> check_topic_name(std::string_view name);

/// Whether the name could collide with another one: it has a '.' or a '_'.
bool can_collide(std::string_view name);

/// Two names with the same fold may not exist side by side: metric names write '.' as '_'.
/// "a.b" and "a_b" both give "a_b".
std::string fold_topic_name(std::string_view name);

} // namespace qtool::metadata
