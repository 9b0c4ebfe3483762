// GET /v1/topics/{name}: where the replicas of a topic are and how far each is. What is here is
// asked of the partitions, what is elsewhere of its broker in Kafka's protocol.
#pragma once

#include "server/admin/exchange.h"
#include "server/metadata/image.h"

#include <memory>

namespace qtool::admin {

/// Completes `description` (made by view_topic) and answers with it. A broker that does not answer
/// leaves what it would have said absent; nothing waits for it longer than three seconds.
std::unique_ptr<request::Pending> describe_topic(const Exchange& exchange,
                                                 TopicDescription description,
                                                 std::shared_ptr<const metadata::TopicImage> topic);

} // namespace qtool::admin
