#include "server/metadata/decide_ids.h"

#include "server/metadata/record_codec.h"

#include <limits>

namespace qtool::metadata {

port::StoreTransaction AllocateProducerIds::decide(const Image& image, port::Random&) {
    port::StoreTransaction transaction;
    const int64_t first = image.next_producer_id;
    if (first > std::numeric_limits<int64_t>::max() - kProducerIdBlockSize) {
        outcome_ = Error(Code::internal, "all producer ids are handed out");
        return transaction;
    }
    outcome_ = first;
    transaction.guards.push_back({producer_ids_key(), image.producer_ids_revision});
    transaction.writes.push_back(
        {producer_ids_key(), encode_producer_ids(first + kProducerIdBlockSize)});
    return transaction;
}

void AllocateProducerIds::finish(Result<void> result) {
    if (!result) {
        outcome_ = std::move(result).error();
    }
}

} // namespace qtool::metadata
