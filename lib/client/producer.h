// Producer: the machine that takes records and gets them to the leaders of their partitions. Sans
// I/O: time comes in, effects go to the outbox, deliveries are taken out.
//
// A batch is retried until delivery.timeout.ms on errors that may pass; with idempotence it is
// never written twice and never out of order:
//   batches 1 2 3 in flight, 1 fails  ->  2 and 3 come back out of order; 1 is sent alone, then 2..
// A batch given up after it was numbered leaves a gap, which no later sequence can pass: the
// partition waits until nothing of it is in flight, then goes on under the next epoch
// (idempotence.h). Batches behind the gap are numbered anew when each of their attempts was
// refused; one that may have been written fails instead, saying so, for under a new number the
// broker would write it a second time.
#pragma once

#include "lib/client/batcher.h"
#include "lib/client/cluster.h"
#include "lib/client/partitioner.h"
#include "lib/config/client_config.h"
#include "lib/protocol/msg/produce.h"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace qtool::client {

/// What became of the records of one batch, in their order.
struct DeliveredBatch {
    std::string_view topic; // lives as long as the Producer
    int32_t partition = -1;
    int64_t base_offset = -1; // -1: not known
    std::vector<uint64_t> tags;
    Result<void> result;
};

class Producer {
public:
    enum class Take : uint8_t {
        taken,
        closed_batch, // taken, and there is something to send: step() soon
        no_metadata,  // not taken: step() until the topic is known
        full,         // not taken: buffer.memory is used up
    };

    Producer(const config::ClientConfig& config, uint64_t seed);

    /// Takes a record, copying it. A record for a topic or partition that does not exist is taken,
    /// and delivered as an error. Errors: too_large, overloaded (too many topics).
    Result<Take> add(std::string_view topic, std::optional<int32_t> partition,
                     const RecordParts& record, uint64_t tag, MonoTime now);
    /// Sends what lingers from the next step on, until all is delivered.
    void set_flushing(bool on) { flushing_ = on; }
    void step(MonoTime now, Outbox& out);
    [[nodiscard]] MonoTime next_due(MonoTime now) const;
    std::vector<DeliveredBatch> take_deliveries();
    /// Records taken whose delivery was not taken yet.
    [[nodiscard]] uint64_t undelivered_count() const { return undelivered_; }
    [[nodiscard]] Cluster& cluster() { return cluster_; }

private:
    static constexpr uint64_t kNoReset = UINT64_MAX;

    struct Topic;
    struct Partition {
        Partition(Topic& its_topic, int32_t its_index, const BatchOptions& options)
            : topic(its_topic),
              index(its_index),
              batcher(options) {}
        Topic& topic;
        int32_t index;
        Batcher batcher;
        PartitionSequence sequence;
        /// The first batch behind a gap in the sequences: it and what follows needs new ones.
        uint64_t reset_from = kNoReset;
        int32_t sent_to = -1;   // the broker that what is in flight went to
        int32_t known_to = -1;  // the broker that took our latest batch: it has our sequences
        bool is_active = false; // in active_
    };
    struct Topic {
        std::string name;
        const TopicInfo* info = nullptr; // the metadata cache's
        StickyPartition sticky;
        std::vector<std::unique_ptr<Partition>> partitions;
    };
    struct Sent {
        Partition* partition;
        uint64_t batch_id;
    };

    Result<Topic*> find_topic(std::string_view name);
    void deliver_unrouted(Topic& topic, int32_t partition, uint64_t tag, Error error);
    void finish(Partition& partition, uint64_t batch_id, int64_t base_offset, Result<void> result);
    void give_up(Partition& partition, uint64_t batch_id, Error why);
    void want_reset(Partition& partition, uint64_t batch_id) const;
    void on_produce_reply(Reply& reply, MonoTime now);
    void on_producer_id_reply(Reply& reply, MonoTime now);
    void on_batch_answer(Partition& partition, uint64_t batch_id,
                         const protocol::ProduceResponsePartitionProduceResponse& answer,
                         MonoTime now);
    void retry(ClosedBatch& batch, Error why, MonoTime now);
    void expire(Partition& partition, MonoTime now);
    bool settle_reset(Partition& partition);
    bool stamp(Partition& partition, ClosedBatch& batch);
    void ask_producer_id(MonoTime now, Outbox& out);
    void tidy(Partition& partition, MonoTime now);
    bool send_round(MonoTime now, Outbox& out);
    void send_to(int32_t node_id, const std::vector<Sent>& batches, MonoTime now, Outbox& out);

    const config::ClientConfig config_;
    BatchOptions batch_options_;
    Prng prng_;
    Cluster cluster_;
    std::map<std::string, std::unique_ptr<Topic>, std::less<>> topics_;
    Topic* last_topic_ = nullptr; // most records go where the one before went
    std::vector<Partition*> active_;
    size_t next_active_ = 0; // who is asked first, so that all get their turn
    std::unordered_map<uint64_t, std::vector<Sent>> in_flight_; // by request tag
    uint64_t next_tag_ = 1;
    std::vector<DeliveredBatch> deliveries_;
    uint64_t undelivered_ = 0;
    uint64_t used_bytes_ = 0; // invariant: <= buffer.memory, or one record alone
    bool flushing_ = false;
    ProducerId producer_id_ = kNoProducerId;
    ProducerEpoch producer_epoch_ = kNoProducerEpoch;
    bool producer_id_asked_ = false;
    MonoTime producer_id_retry_at_ = MonoTime::min();
    uint32_t producer_id_failures_ = 0;
    std::optional<Error> last_failure_; // why the latest batch had to be retried
};

} // namespace qtool::client
