#include "server/metadata/decide_brokers.h"

#include "server/metadata/record_codec.h"

namespace qtool::metadata {

port::StoreTransaction EnsureCluster::decide(const Image& image, port::Random& random) {
    port::StoreTransaction transaction;
    if (image.cluster_id.empty()) {
        const uint64_t high = random.next();
        const uint64_t low = random.next();
        transaction.guards.push_back({cluster_key(), Revision{0}});
        transaction.writes.push_back(
            {cluster_key(), encode_cluster(to_string(make_uuid(high, low)))});
    }
    return transaction;
}

port::StoreTransaction RegisterBroker::decide(const Image& image, port::Random&) {
    port::StoreTransaction transaction;
    const auto known = image.brokers.find(broker_.id);
    const std::string value = encode_broker(broker_);
    if (known == image.brokers.end() || encode_broker(known->second) != value) {
        transaction.writes.push_back({broker_key(broker_.id), value});
    }
    return transaction;
}

} // namespace qtool::metadata
