// Consumer: the machine that reads assigned partitions from their leaders. Sans I/O.
//
// One fetch in flight a leader, in a fetch session; a leader is asked for all its partitions at
// once, ahead, while at most one answer of each waits unread. Fetched frames together stay within
// fetch.max.bytes, but for the one batch that a fetch brings in any case. Records are read lazily,
// batch by batch (fetcher.h).
#pragma once

#include "lib/client/blocking.h"
#include "lib/client/cluster.h"
#include "lib/client/fetch_session.h"
#include "lib/client/fetcher.h"
#include "lib/protocol/msg/fetch.h"
#include "lib/protocol/msg/list_offsets.h"

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace qtool::client {

class Consumer {
public:
    Consumer(const config::ClientConfig& config, uint64_t seed);

    /// Replaces what is read. What is fetched of a partition that stays, and is at that offset
    /// already, is kept.
    void assign(const std::vector<PartitionOffset>& positions);
    /// Errors: see BlockingConsumer::seek.
    Result<void> seek(const std::string& topic, int32_t partition, int64_t offset);
    void set_paused(const std::string& topic, int32_t partition, bool paused);
    void step(MonoTime now, Outbox& out);
    [[nodiscard]] MonoTime next_due(MonoTime now) const;

    /// Puts the next records of one batch into `records`, at most a few thousand; their views live
    /// until the next call. None: nothing is there now. Errors: see BlockingConsumer::poll; that
    /// partition is not fetched any more.
    Result<void> take_records(std::vector<ConsumerRecord>& records);
    [[nodiscard]] bool has_ready() const;
    [[nodiscard]] int64_t position(const std::string& topic, int32_t partition) const;
    [[nodiscard]] int64_t end_offset(const std::string& topic, int32_t partition) const;

    /// The topic's metadata, asked for at the first call; nothing: not heard yet.
    /// Errors: unknown_topic and others that do not pass.
    Result<std::optional<int32_t>> partition_count(const std::string& topic);

    /// Begins to ask for offsets; one question at a time.
    Result<void> list_offsets(const std::string& topic, const std::vector<int32_t>& partitions,
                              int64_t timestamp_ms);
    [[nodiscard]] bool is_listed() const { return list_left_ == 0; }
    std::vector<ListedOffset> take_listed() { return std::exchange(listed_, {}); }

    [[nodiscard]] Cluster& cluster() { return cluster_; }
    /// Replies to requests that others sent through our cluster, since the last call.
    std::vector<Reply> take_other_replies() { return std::exchange(other_replies_, {}); }

private:
    using Key = FetchSession::Key;
    struct Partition {
        int64_t position = 0;     // of the application
        int64_t fetch_offset = 0; // where the next fetch begins; >= position
        int64_t end_offset = -1;
        uint64_t generation = 0; // fetches asked for under another one are dropped
        uint32_t waiting = 0;    // chunks
        uint32_t failures = 0;
        int32_t bytes_max = 0;
        MonoTime retry_at = MonoTime::min();
        bool paused = false;
        bool in_flight = false;
        bool failed = false; // reported; not fetched again
    };
    struct Asked {
        uint64_t generation;
        int64_t fetch_offset;
    };
    struct Leader {
        FetchSession session;
        uint64_t tag = 0; // of the fetch in flight; 0: none
        std::map<Key, Asked> asked;
        uint64_t reserved_bytes = 0;
        MonoTime retry_at = MonoTime::min();
        uint32_t failures = 0;
    };
    struct Fetched {
        Frame frame;
        size_t chunk_count = 0;
    };
    struct Chunk {
        Key key;
        uint64_t generation;
        uint64_t fetched_id;
        Fetcher fetcher;
    };
    struct Topic {
        std::string name;
        const TopicInfo* info;
    };
    struct Failure {
        Key key;
        Error error;
    };

    std::optional<size_t> find_topic(const std::string& name) const;
    Result<size_t> want_topic(const std::string& name);
    [[nodiscard]] const PartitionInfo* leader_of(const Key& key) const;
    std::string name_of(const Key& key) const;
    void restart(Partition& partition, int64_t position);
    void send_fetches(MonoTime now, Outbox& out);
    void send_fetch(int32_t node_id, Leader& leader, const FetchSession::Wanted& wanted,
                    uint64_t bytes_max, MonoTime now, Outbox& out);
    void on_fetch_reply(int32_t node_id, Leader& leader, Reply& reply, MonoTime now);
    void on_partition(const Key& key, Partition& partition, const Asked& asked,
                      protocol::FetchResponse::PartitionData& data, uint64_t fetched_id,
                      MonoTime now);
    void back_off(Partition& partition, MonoTime now);
    void fail(const Key& key, Error error);
    void drop_chunk();
    void check_topics();
    void send_lists(MonoTime now, Outbox& out);
    void on_list_reply(Reply& reply, MonoTime now);

    const config::ClientConfig config_;
    Prng prng_;
    Cluster cluster_;
    std::vector<Reply> other_replies_;
    std::vector<Topic> topics_;
    std::map<Key, Partition> partitions_;
    std::map<int32_t, Leader> leaders_;
    std::deque<Chunk> chunks_; // the front is being read
    std::map<uint64_t, Fetched> fetched_;
    std::deque<Failure> failures_; // at most one a partition
    uint64_t fetched_bytes_ = 0;
    uint64_t next_id_ = 1; // tags, generations, fetched ids
    bool batch_open_ = false;
    std::vector<std::vector<Header>> spare_headers_; // memory of records given out before

    // ListOffsets: the question and, by partition asked, its answer.
    size_t list_topic_ = 0;
    int64_t list_timestamp_ = 0;
    std::vector<ListedOffset> listed_;
    std::vector<uint8_t> list_state_; // 0: to ask, 1: asked, 2: answered
    size_t list_left_ = 0;
    MonoTime list_retry_at_ = MonoTime::min();
    uint32_t list_failures_ = 0;
    std::map<uint64_t, std::vector<size_t>> list_in_flight_; // by tag: indexes into listed_
};

} // namespace qtool::client
