// ConsumerMember: one member of a consumer group (KIP-848), as its records say.
#pragma once

#include "server/group/assignment.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace qtool::group {

/// Where a member stands between its assignment and its target; numbers as in the log.
///
///   stable       has its target
///   unrevoked    must give partitions back first; keeps the rest at its old epoch
///   unreleased   is at the target epoch, but some of its target still belongs to others
///
/// stable -> unrevoked -> unreleased -> stable; each step but the first may be left out.
enum class MemberState : int8_t { stable = 0, unrevoked = 1, unreleased = 2 };

/// What JoinGroup said of a member that speaks the classic protocol.
struct ClassicMetadata {
    struct Protocol {
        std::string name;
        std::vector<std::byte> metadata; // ConsumerProtocolSubscription

        bool operator==(const Protocol&) const = default;
    };
    int32_t session_timeout_ms = 0;
    std::vector<Protocol> protocols;

    bool operator==(const ClassicMetadata&) const = default;
};

/// What the member says of itself. Record 5.
struct MemberMetadata {
    std::optional<std::string> instance_id; // static member
    std::optional<std::string> rack_id;
    std::string client_id;
    std::string client_host;
    std::set<std::string, std::less<>> topic_names;
    std::string topic_regex; // empty: none
    int32_t rebalance_timeout_ms = -1;
    std::optional<std::string> assignor; // nothing: the group's default
    std::optional<ClassicMetadata> classic;

    bool operator==(const MemberMetadata&) const = default;
};

/// What the member may own, and how far it is. Record 8.
struct MemberProgress {
    int32_t epoch = 0; // kEpochStaticLeft: a static member that is away for a while
    int32_t previous_epoch = 0;
    MemberState state = MemberState::stable;
    EpochAssignment assigned;
    EpochAssignment revoking; // given back when the member stops owning them; apart from `assigned`

    bool operator==(const MemberProgress&) const = default;
};

inline constexpr int32_t kEpochJoin = 0;
inline constexpr int32_t kEpochLeave = -1;
inline constexpr int32_t kEpochStaticLeft = -2;

struct ConsumerMember {
    std::string id;
    MemberMetadata metadata;
    MemberProgress progress;

    [[nodiscard]] bool is_static() const { return metadata.instance_id.has_value(); }
    [[nodiscard]] bool is_away() const { return progress.epoch == kEpochStaticLeft; }
};

} // namespace qtool::group
