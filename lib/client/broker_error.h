// A broker's error code as one of our errors, for the caller; what it says of our metadata and of
// the batch it answers.
#pragma once

#include "lib/base/error.h"
#include "lib/protocol/kafka_error.h"

#include <string_view>

namespace qtool::client {

/// The detail is `what`, Kafka's name of the error and its description.
Error error_of_broker(protocol::KafkaError error, std::string_view what);

/// The leader moved, or what we know of the topic is old: ask for metadata before trying again.
bool wants_metadata(protocol::KafkaError error);

/// This answer to Produce says that the broker did not, and will not, write the batch. False also
/// for what may come after the write: NOT_LEADER_OR_FOLLOWER while replicas were waited for.
bool is_refusal(protocol::KafkaError error);

} // namespace qtool::client
