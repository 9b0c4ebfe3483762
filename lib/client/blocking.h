// The client library's blocking face, for programs that do one thing at a time (qtool). Each object
// owns a loop and turns it inside its own calls; nothing happens between calls, no threads. One
// thread at a time.
#pragma once

#include "lib/base/result.h"
#include "lib/base/time.h"
#include "lib/config/client_config.h"
#include "lib/protocol/constants.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qtool::client {

struct Header {
    std::string_view key;
    std::optional<std::string_view> value; // absent: null
};

/// A record to produce. All views are copied by send().
struct ProducerRecord {
    std::string_view topic;
    std::optional<int32_t>
        partition; // absent: by key (murmur2, as Kafka's clients), sticky without
    std::optional<int64_t> timestamp_ms; // absent: now
    std::optional<std::string_view> key;
    std::optional<std::string_view> value;
    std::vector<Header> headers;
};

/// What became of one record. `tag` is the caller's own (a line number).
struct Delivery {
    uint64_t tag = 0;
    std::string topic;
    int32_t partition = -1; // -1: it was never routed
    int64_t offset = -1;    // -1: acks=0, or a duplicate whose offset the broker no longer knows
    Result<void> result;
};

class BlockingProducer {
public:
    using OnDelivery = std::function<void(const Delivery&)>;
    /// `on_delivery` is called once for each record that send() took, from within calls of this
    /// object.
    BlockingProducer(config::ClientConfig config, OnDelivery on_delivery);
    ~BlockingProducer(); // drops what is not delivered: flush() first

    /// Takes the record; waits while buffer.memory is full (that is the backpressure), at most
    /// `deadline`. Errors: timed_out (not taken), invalid_argument, too_large (one record above
    /// max.request.size); those of a topic or partition that does not exist come by delivery.
    Result<void> send(const ProducerRecord& record, uint64_t tag, MonoTime deadline);
    /// Turns the loop until `fd` is readable (a file is always readable), or until `until`.
    /// True: readable. Deliveries are called meanwhile.
    bool wait_readable(int fd, MonoTime until);
    /// Handles what is ready, without waiting.
    void poll();
    /// Sends what lingers and waits for all deliveries. Errors: timed_out (some are still out).
    Result<void> flush(MonoTime deadline);
    [[nodiscard]] uint64_t undelivered_count() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// A consumed record. Views live until the next poll() of the same consumer.
struct ConsumerRecord {
    std::string_view topic;
    int32_t partition = 0;
    int64_t offset = 0;
    int64_t timestamp_ms = -1; // -1: none
    bool append_time = false;  // the broker's time rather than the producer's
    std::optional<std::string_view> key;
    std::optional<std::string_view> value;
    std::vector<Header> headers;
};

struct PartitionOffset {
    std::string topic;
    int32_t partition = 0;
    int64_t offset = 0;

    bool operator==(const PartitionOffset&) const = default;
};

/// Special timestamps of ListOffsets (KIP-79, KIP-734).
inline constexpr int64_t kLatestOffset = -1;
inline constexpr int64_t kEarliestOffset = -2;
inline constexpr int64_t kMaxTimestampOffset = -3;

struct ListedOffset {
    int32_t partition = 0;
    int64_t offset = -1; // -1: no record is that young
    int64_t timestamp_ms = -1;
    int32_t leader_epoch = -1;
    Result<void> result;
};

struct TopicPartition {
    std::string topic;
    int32_t partition = 0;

    auto operator<=>(const TopicPartition&) const = default;
};

struct GroupOptions {
    std::string group_id;
    std::vector<std::string> topics;
};

/// One step of a group's member towards its new assignment; exactly one of these says something.
struct GroupChange {
    /// The member was fenced: all it had is read by others now, nothing of it can be committed.
    bool lost = false;
    /// Still ours: stop reading, commit, then give_back().
    std::vector<TopicPartition> revoked;
    /// New, with the committed offset; -1: nothing was committed.
    std::vector<PartitionOffset> assigned;
};

class BlockingConsumer {
public:
    explicit BlockingConsumer(config::ClientConfig config);
    ~BlockingConsumer();

    /// Number of partitions of the topic. Errors: unknown_topic, no_broker, timed_out.
    Result<int32_t> partition_count(const std::string& topic, MonoTime deadline);
    /// One answer a partition asked, in that order. `timestamp_ms`: a time or a special one above.
    Result<std::vector<ListedOffset>> list_offsets(const std::string& topic,
                                                   const std::vector<int32_t>& partitions,
                                                   int64_t timestamp_ms, MonoTime deadline);
    /// Replaces what is read, from these offsets.
    void assign(const std::vector<PartitionOffset>& positions);
    /// Goes on reading one assigned partition from `offset`, also after poll() reported an error of
    /// it. Errors: invalid_argument (not assigned, or a negative offset).
    Result<void> seek(const std::string& topic, int32_t partition, int64_t offset);
    /// Stops or resumes fetching one assigned partition; its position stays.
    void pause(const std::string& topic, int32_t partition);
    void resume(const std::string& topic, int32_t partition);
    /// Next records of one fetched batch list, waiting until `until` for the first; empty: none
    /// came. Offsets rise in each partition. Gaps (control batches, compaction) are skipped, see
    /// position(). Errors: offset_out_of_range, unknown_topic, storage_damaged, malformed (a broken
    /// batch: names partition and offset) and what else cannot be mended by trying again. Memory:
    /// at most fetch.max.bytes plus one decompressed batch.
    Result<const std::vector<ConsumerRecord>*> poll(MonoTime until);
    /// poll() would return records at once.
    [[nodiscard]] bool has_ready() const;
    /// The next offset that poll() will look for in that partition; moves over gaps too.
    [[nodiscard]] int64_t position(const std::string& topic, int32_t partition) const;
    /// High watermark (or last stable offset when read_committed) last heard; -1: not heard yet.
    [[nodiscard]] int64_t end_offset(const std::string& topic, int32_t partition) const;

    /// Becomes a member of a consumer group (KIP-848), once. From then on poll() also returns,
    /// without records, when the group wants something; what is read is the caller's to assign().
    /// Membership is kept alive in calls of this object alone: 45 s without any, as brokers have
    /// it, and the member is fenced. poll() then also ends with what keeps the group from being
    /// joined or stayed in: invalid_request (the name is held by a group of another kind),
    /// not_authorized, unsupported_version, internal.
    void join_group(GroupOptions options);
    [[nodiscard]] bool has_joined() const;
    /// What the group wants, oldest first; nothing: nothing new.
    std::optional<GroupChange> take_group_change();
    /// What was revoked last is not read any more: others may have it.
    void give_back();
    /// Commits in the calls to come; see commit() for what it means.
    void commit_soon(const std::vector<PartitionOffset>& offsets);
    /// How commits made since the last call went. Errors: cancelled (fenced before they were made),
    /// not_authorized, internal.
    Result<void> take_commit_result();
    /// These are the next offsets to be read by whoever in the group has the partition then; waits
    /// until the coordinator has written them, with those of commit_soon(). Errors: as above,
    /// timed_out.
    Result<void> commit(const std::vector<PartitionOffset>& offsets, MonoTime deadline);
    /// Gives everything back at once, so that nobody has to wait for the session to end.
    /// Errors: timed_out.
    Result<void> leave_group(MonoTime deadline);

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Monotonic now: what deadlines above are measured on.
MonoTime mono_now();
/// Milliseconds since 1970: what timestamps are measured in.
int64_t wall_now_ms();

} // namespace qtool::client
