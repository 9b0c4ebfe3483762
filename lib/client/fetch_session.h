// FetchSession: what one broker remembers of our fetching, so that a request names only what
// changed (KIP-227). Owned by Consumer, one a leader.
#pragma once

#include "lib/base/uuid.h"

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace qtool::client {

struct SessionPartition {
    int64_t fetch_offset = 0;
    int32_t leader_epoch = -1;
    int32_t bytes_max = 0;

    bool operator==(const SessionPartition&) const = default;
};

class FetchSession {
public:
    /// A topic by the caller's own index, and a partition.
    using Key = std::pair<size_t, int32_t>;
    using Wanted = std::map<Key, SessionPartition>;

    struct Plan {
        int32_t session_id = 0;
        int32_t session_epoch = 0;
        Wanted named;               // to be in the request
        std::vector<Key> forgotten; // to leave the session
    };

    /// What the next request says so that the broker fetches exactly `wanted`.
    Plan plan(const Wanted& wanted) {
        Plan result{id_, epoch_, {}, {}};
        if (epoch_ == 0) {
            result.named = wanted;
        } else {
            for (const auto& [key, partition] : wanted) {
                const auto known = known_.find(key);
                if (known == known_.end() || known->second != partition) {
                    result.named.emplace(key, partition);
                }
            }
            for (const auto& [key, partition] : known_) {
                if (!wanted.contains(key)) {
                    result.forgotten.push_back(key);
                }
            }
        }
        known_ = wanted;
        return result;
    }
    /// The broker answered; id 0: it keeps no session.
    void on_answer(int32_t session_id) {
        if (session_id == 0) {
            reset();
        } else {
            epoch_ = session_id != id_ ? 1 : (epoch_ == INT32_MAX ? 1 : epoch_ + 1);
            id_ = session_id;
        }
    }
    /// The session is lost, or may be: the next request is a full one.
    void reset() {
        id_ = 0;
        epoch_ = 0;
        known_.clear();
    }

private:
    int32_t id_ = 0;
    int32_t epoch_ = 0; // 0: the next request opens a session
    Wanted known_;      // what the broker remembers
};

} // namespace qtool::client
