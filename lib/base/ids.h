// The names of things, as types. Kafka's words are kept exactly.
#pragma once

#include "lib/base/typed_int.h"
#include "lib/base/uuid.h"

#include <string>

namespace qtool {

using Offset = TypedInt<struct OffsetTag, int64_t>;           // position of a record in a partition
using LeaderEpoch = TypedInt<struct LeaderEpochTag, int32_t>; // -1: none known
using BrokerId = TypedInt<struct BrokerIdTag, int32_t>;       // -1: none
using PartitionIndex = TypedInt<struct PartitionIndexTag, int32_t>;
using CoreId = TypedInt<struct CoreIdTag, uint16_t>;
using ProducerId = TypedInt<struct ProducerIdTag, int64_t>;       // -1: none
using ProducerEpoch = TypedInt<struct ProducerEpochTag, int16_t>; // -1: none
using Revision =
    TypedInt<struct RevisionTag, int64_t>; // of the metadata store; 0: before any write

using TopicId = Uuid;

inline constexpr Offset kNoOffset{-1};
inline constexpr LeaderEpoch kNoLeaderEpoch{-1};
inline constexpr BrokerId kNoBroker{-1};
inline constexpr ProducerId kNoProducerId{-1};
inline constexpr ProducerEpoch kNoProducerEpoch{-1};

/// One partition of one topic, by identity: a topic created again under the same name differs.
struct PartitionKey {
    TopicId topic_id;
    PartitionIndex index;

    auto operator<=>(const PartitionKey&) const = default;
};

} // namespace qtool

template <>
struct std::hash<qtool::PartitionKey> {
    size_t operator()(const qtool::PartitionKey& key) const noexcept {
        return std::hash<qtool::Uuid>()(key.topic_id) * 31 + static_cast<size_t>(key.index.value());
    }
};
