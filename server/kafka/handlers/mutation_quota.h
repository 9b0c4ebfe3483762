// What the quota of topic changes says to the items of one request (KIP-599): new versions are
// refused item by item, old ones are done and then pause.
#pragma once

#include "lib/protocol/kafka_error.h"
#include "server/kafka/context.h"
#include "server/kafka/throttle.h"

#include <optional>
#include <string>

namespace qtool::kafka {

class MutationQuota {
public:
    /// `strict_from`: the first version of the API that knows THROTTLING_QUOTA_EXCEEDED.
    MutationQuota(const Context& context, int16_t strict_from)
        : context_(context),
          strict_(context.head.api_version >= strict_from) {}

    /// True: the item, which makes or removes so many partitions, is refused.
    bool refuses(size_t partitions) {
        if (strict_) {
            return !context_.throttle.take_mutations(context_.client_id,
                                                     static_cast<double>(partitions),
                                                     context_.services, context_.counters);
        }
        context_.throttle.charge(quota::Kind::mutation, context_.client_id,
                                 static_cast<double>(partitions), context_.services,
                                 context_.counters);
        return false;
    }

private:
    const Context& context_;
    bool strict_;
};

/// Fills the result of a refused item.
template <class Item>
void fill_refused(Item& out) {
    out.error_code = static_cast<int16_t>(protocol::KafkaError::throttling_quota_exceeded);
    out.error_message = "the client is over its controller_mutation_rate; try again later";
}

} // namespace qtool::kafka
