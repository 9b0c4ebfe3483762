// Placement: which brokers hold the replicas of new partitions: live ones that are not cordoned.
// Leaders go round all of them from a random start; followers prefer racks the partition is not in
// yet. Pure; for any thread.
#pragma once

#include "lib/base/result.h"
#include "server/metadata/image.h"
#include "server/port/random.h"

#include <cstdint>
#include <map>
#include <vector>

namespace qtool::metadata {

/// How many brokers may get replicas.
size_t usable_brokers(const std::map<BrokerId, BrokerImage>& brokers);

/// `replicas` and as many more as there are brokers for, up to `wanted` in all. `turn` says where
/// to begin, so that many partitions spread.
std::vector<BrokerId> more_replicas(const std::map<BrokerId, BrokerImage>& brokers,
                                    const std::vector<BrokerId>& replicas, size_t wanted,
                                    size_t turn);

/// `partition_count` lists of `replication_factor` distinct brokers, preferred leader first.
/// Both at least 1. Errors: invalid_replication_factor (more replicas than brokers).
Result<std::vector<std::vector<BrokerId>>>
place_replicas(const std::map<BrokerId, BrokerImage>& brokers, int32_t partition_count,
               int32_t replication_factor, port::Random& random);

/// Whether somebody's own choice can be kept: not empty, no broker twice, all brokers known.
/// `partition` is for the error text. Errors: invalid_replica_assignment.
Result<void> check_replicas(const std::map<BrokerId, BrokerImage>& brokers, int32_t partition,
                            const std::vector<BrokerId>& replicas);

} // namespace qtool::metadata
