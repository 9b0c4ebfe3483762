// A topic's options as one partition's log wants them.
#pragma once

#include "lib/config/topic_config.h"
#include "server/storage/log_config.h"

namespace qtool::replica {

/// `producer_id_expiration_ms` is an option of the broker, not of topics.
storage::LogConfig make_log_config(const config::TopicConfig& topic,
                                   int64_t producer_id_expiration_ms);

} // namespace qtool::replica
