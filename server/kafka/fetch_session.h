// Fetch sessions (KIP-227): the partitions a consumer reads, remembered so that each Fetch names
// only what changed. Kept per connection: a client uses a session on the connection that opened it,
// and after a reconnect it starts anew on FETCH_SESSION_ID_NOT_FOUND. So sessions end with their
// connection and need no eviction by time. The number over the whole broker is bounded by
// max.incremental.fetch.session.cache.slots; without a free slot the client is told id 0 and goes
// on with full fetches.
#pragma once

#include "lib/base/ids.h"
#include "lib/base/result.h"

#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace qtool::kafka {

/// One connection may have this many sessions; the least recently opened gives way.
inline constexpr size_t kFetchSessionsPerConnectionMax = 4;

/// How a Fetch names a partition: by topic id from version 13 on, by name before.
struct FetchKey {
    TopicId topic_id;
    std::string topic; // empty when by id
    int32_t partition = 0;

    auto operator<=>(const FetchKey&) const = default;
};

/// What the client asks of one partition, and what it was told last.
struct FetchItem {
    FetchKey key;
    int64_t fetch_offset = 0;
    int32_t bytes_max = 0;
    int32_t current_leader_epoch = -1;
    int32_t last_fetched_epoch = -1;
    int64_t log_start_offset = -1; // of a follower
    int64_t told_high_watermark = -1;
    int64_t told_log_start = -1;
};

class FetchSession {
public:
    FetchSession(int32_t id, bool by_id) : id_(id), by_id_(by_id) {}

    /// Adds the partition at the end of the order, or changes what is asked of it in place.
    void put(FetchItem item);
    void forget(const FetchKey& key);
    /// Moves a partition that returned data behind the others, so that none starves.
    void move_to_end(const FetchKey& key);
    FetchItem* find(const FetchKey& key);
    /// In the order they are served.
    [[nodiscard]] const std::list<FetchItem>& items() const { return items_; }
    [[nodiscard]] int32_t id() const { return id_; }
    [[nodiscard]] bool by_id() const { return by_id_; }
    [[nodiscard]] int32_t next_epoch() const { return next_epoch_; }
    /// 2147483647 is followed by 1: 0 opens a session and -1 closes one.
    void advance_epoch() { next_epoch_ = next_epoch_ == INT32_MAX ? 1 : next_epoch_ + 1; }

private:
    int32_t id_;
    bool by_id_;
    int32_t next_epoch_ = 1;
    std::list<FetchItem> items_;
    std::map<FetchKey, std::list<FetchItem>::iterator> by_key_;
};

class FetchSessions {
public:
    FetchSessions() = default;
    ~FetchSessions();
    FetchSessions(const FetchSessions&) = delete;
    FetchSessions& operator=(const FetchSessions&) = delete;

    /// nullptr when no slot is free. `open_count` counts the sessions of the whole broker.
    FetchSession* open(int32_t id, bool by_id,
                       const std::shared_ptr<std::atomic<uint32_t>>& open_count,
                       uint32_t slots_max);
    FetchSession* find(int32_t id);
    void close(int32_t id);

private:
    std::list<FetchSession> sessions_; // oldest first
    std::shared_ptr<std::atomic<uint32_t>> open_count_;
};

} // namespace qtool::kafka
