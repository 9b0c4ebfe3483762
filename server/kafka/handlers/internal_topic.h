// The internal topics as their first user makes them.
#pragma once

#include "server/metadata/decide_topics.h"
#include "server/request/services.h"

#include <cstdint>
#include <string_view>

namespace qtool::kafka {

/// How long the client that asked waits for the topic; its request has no timeout of its own.
inline constexpr int32_t kInternalTopicTimeoutMs = 30'000;

/// `name`: metadata::kGroupTopic or kTransactionTopic. With as many replicas as the options ask
/// for, or as there are brokers.
metadata::NewTopic new_internal_topic(std::string_view name, const request::Services& services);

} // namespace qtool::kafka
