// ShardState: everything one shard of groups knows, and the few ways to change it that all its
// requests share. The files of this folder that serve requests are functions on it: see requests.h.
#pragma once

#include "server/coordinator/machine.h"
#include "server/group/group.h"
#include "server/group/offset_store.h"
#include "server/group/timers.h"

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::group {

using coordinator::answer;

class ClassicGroup;

struct ShardState {
    using Groups = std::map<std::string, std::unique_ptr<Group>, std::less<>>;

    Groups groups;
    OffsetStore offsets;
    Timers timers;
    /// Since the log was loaded, for metrics.
    struct Counts {
        uint64_t rebalances = 0; // a classic generation, or a new target assignment
        uint64_t offset_commits = 0;
        uint64_t offsets_expired = 0;
    } counts;
    bool is_loaded = false; // requests come; before, records are replayed

    /// nullptr when there is no such group. Valid until it is removed.
    [[nodiscard]] Group* find(std::string_view group_id) {
        const auto it = groups.find(group_id);
        return it == groups.end() ? nullptr : it->second.get();
    }
    /// The same for one kind; nullptr also when the group is of another kind.
    ClassicGroup* find_classic(std::string_view group_id);
    /// The group, new and empty when there is none. A group of another kind is replaced: the
    /// records that say so are in the log.
    ClassicGroup& classic(std::string_view group_id);
    /// Takes the group and its timers away. Its offsets stay.
    void remove_group(std::string_view group_id);
    /// Another group may be added.
    [[nodiscard]] bool has_room() const;
};

/// Appends the records as batches of at most kTombstonesPerBatchMax; stops at the first error, what
/// was appended before stays. For records each of which is right on its own.
[[nodiscard]] Result<void> append_in_batches(std::vector<coordinator::NewRecord> records,
                                             coordinator::Host& host);

/// What a client is told when an append of the coordinator failed (SEMANTICS section 8).
KafkaError append_error(Code code) noexcept;

/// "<prefix>-<uuid>": an id for a member that has none.
std::string make_member_id(std::string_view prefix, coordinator::Host& host);

} // namespace qtool::group
