// A broker's error code as one of our errors, for the caller; which ones ask for fresh metadata.
#pragma once

#include "lib/base/error.h"
#include "lib/protocol/kafka_error.h"

#include <string_view>

namespace qtool::client {

/// The detail is `what`, Kafka's name of the error and its description.
Error error_of_broker(protocol::KafkaError error, std::string_view what);

/// The leader moved, or what we know of the topic is old: ask for metadata before trying again.
bool wants_metadata(protocol::KafkaError error);

} // namespace qtool::client
