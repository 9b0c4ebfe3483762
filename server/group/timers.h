// Timers of one shard, by what they are for: setting one again moves it, so there is at most one of
// a kind for each group or member. Ties fire in the order of their keys, so that a run repeats.
#pragma once

#include "lib/base/time.h"

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace qtool::group {

/// What falls due. A new kind gets its case in GroupShard::on_time.
enum class TimerKind : uint8_t {
    offset_expiry,       // of the shard; group and member are empty
    classic_session,     // a member's session, or how long an id handed out stays pending
    classic_join,        // the join phase of a group ends
    classic_sync,        // the members that joined must have synced
    consumer_session,    // a member of a consumer group is silent for too long
    consumer_revocation, // ... or keeps partitions it is to give back
    consumer_target,     // a new assignment of a consumer group may be computed
    consumer_regex,      // its regular expressions are to be resolved again
    consumer_join,       // a classic member of a consumer group was told to join again
    consumer_sync,       // ... or joined and has not synced
};

struct TimerKey {
    std::string group = {};
    TimerKind kind = TimerKind::offset_expiry;
    std::string member = {}; // empty: of the group

    auto operator<=>(const TimerKey&) const = default;
};

class Timers {
public:
    void set(const TimerKey& key, MonoTime due) {
        cancel(key);
        due_by_key_.emplace(key, due);
        by_due_.emplace(due, key);
    }
    void cancel(const TimerKey& key) {
        const auto found = due_by_key_.find(key);
        if (found != due_by_key_.end()) {
            by_due_.erase({found->second, key});
            due_by_key_.erase(found);
        }
    }
    /// All timers of this group.
    void cancel_group(std::string_view group) {
        auto it = due_by_key_.lower_bound(TimerKey{.group = std::string(group)});
        while (it != due_by_key_.end() && it->first.group == group) {
            by_due_.erase({it->second, it->first});
            it = due_by_key_.erase(it);
        }
    }
    [[nodiscard]] bool is_set(const TimerKey& key) const { return due_by_key_.contains(key); }
    /// kMonoNever: none is set.
    [[nodiscard]] MonoTime next_due() const {
        return by_due_.empty() ? kMonoNever : by_due_.begin()->first;
    }
    /// Removes and returns the earliest one that is due at `now`.
    std::optional<TimerKey> pop_due(MonoTime now) {
        if (by_due_.empty() || by_due_.begin()->first > now) {
            return std::nullopt;
        }
        TimerKey key = by_due_.begin()->second;
        cancel(key);
        return key;
    }

private:
    std::map<TimerKey, MonoTime> due_by_key_;
    std::set<std::pair<MonoTime, TimerKey>> by_due_; // the same entries
};

} // namespace qtool::group
