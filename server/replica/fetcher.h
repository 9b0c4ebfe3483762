// Fetcher: what one core fetches from one broker that leads: all partitions of which this core has
// a follower and that broker the leader, in one incremental fetch session (KIP-227). A machine
// without clock, socket or log: it says what to ask, is told the answer, and hands each partition
// its part. Lives on that core; owned by Manager.
//
//   idle  --all that was fetched is on the disk-->  asked  --answer-->  idle
//         --the call failed, or the session is gone-->  paused  -->  idle (a new session)
// An offset that is asked for says that everything below is safe here (it is this follower's
// acknowledgement), so a partition with a flush under way is waited for.
// Of one partition:  fetched  --error-->  resting (out of the session)  --time, new epoch-->
// fetched
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/ids.h"
#include "lib/base/result.h"
#include "lib/base/time.h"
#include "server/metrics/counters.h"
#include "server/replica/partition.h"

#include <map>
#include <optional>
#include <set>
#include <vector>

namespace qtool::replica {

/// Of a fetch: KIP-516, 903, 966 are in.
inline constexpr int16_t kReplicaFetchVersion = 17;

struct FetcherOptions {
    Duration wait_max = 500ms;                     // replica.fetch.wait.max.ms
    int32_t bytes_min = 1;                         // replica.fetch.min.bytes
    int32_t response_bytes_max = 10 * 1024 * 1024; // replica.fetch.response.max.bytes
    int32_t partition_bytes_max = 1024 * 1024;     // replica.fetch.max.bytes
    Duration backoff_max = 1s;                     // replica.fetch.backoff.ms

    bool operator==(const FetcherOptions&) const = default;
};

/// The core's followers, as a fetcher sees them.
class FollowerLogs {
public:
    virtual ~FollowerLogs() = default;
    /// As Partition::fetch_position.
    virtual std::optional<Partition::FetchPosition> position(const PartitionKey& key) = 0;
    virtual Result<void> on_fetched(const PartitionKey& key, const Partition::Fetched& fetched) = 0;
    virtual Result<void> on_out_of_range(const PartitionKey& key, LeaderEpoch leader_epoch,
                                         Offset leader_log_start) = 0;
    /// The rate of throttled followers is used up: it is left out for a moment (KIP-73).
    virtual bool is_throttled(const PartitionKey& key) = 0;
};

class Fetcher {
public:
    Fetcher(BrokerId self, BrokerId leader, metrics::CoreCounters& counters)
        : self_(self),
          leader_(leader),
          counters_(counters) {}

    /// From now on, or in this epoch from now on.
    void follow(const PartitionKey& key, LeaderEpoch epoch);
    void drop(const PartitionKey& key);
    [[nodiscard]] bool has(const PartitionKey& key) const { return items_.contains(key); }
    [[nodiscard]] size_t size() const { return items_.size(); }
    [[nodiscard]] BrokerId leader() const { return leader_; }
    [[nodiscard]] bool is_asking() const { return is_asking_; }

    /// The encoded request, kReplicaFetchVersion, if one is due; on_answer follows. `broker_epoch`
    /// is this broker's, 0 when it has none.
    std::optional<std::vector<std::byte>> next(const FetcherOptions& options, Revision broker_epoch,
                                               MonoTime now, FollowerLogs& logs);
    /// The encoded response (valid during the call), or why there is none.
    void on_answer(const Result<ByteView>& body, const FetcherOptions& options, MonoTime now,
                   FollowerLogs& logs);

    /// When next() may have something that it does not have now; a flush that ends is another
    /// reason to ask.
    [[nodiscard]] MonoTime next_due() const;

private:
    struct Item {
        LeaderEpoch epoch;
        bool is_in_session = false;
        MonoTime not_before{};
        Duration backoff{}; // of the last error; 0: the last answer was good
        LeaderEpoch asked_epoch = kNoLeaderEpoch;
        Offset asked_offset = kNoOffset;
        Offset asked_log_start = kNoOffset;
    };
    using Items = std::map<PartitionKey, Item>;

    void end_session();
    void pause(MonoTime now, const FetcherOptions& options);
    void rest(const PartitionKey& key, Item& item, MonoTime now, const FetcherOptions& options);
    bool wake_resting(MonoTime now);
    template <class Data>
    void take(const PartitionKey& key, const Data& data, const FetcherOptions& options,
              MonoTime now, FollowerLogs& logs);

    BrokerId self_;
    BrokerId leader_;
    metrics::CoreCounters& counters_;
    Items items_;
    std::set<PartitionKey> dirty_;     // what the session knows of them is not what is wanted
    std::set<PartitionKey> resting_;   // not_before is to come
    std::set<PartitionKey> forgotten_; // dropped, the session still has them
    int32_t session_id_ = 0;
    int32_t session_epoch_ = 0; // of the next request; 0: it opens a session
    bool is_asking_ = false;
    MonoTime paused_until_{};
    Duration pause_{};
};

} // namespace qtool::replica
