#include "lib/client/producer.h"

#include "lib/client/broker_error.h"
#include "lib/protocol/msg/init_producer_id.h"

#include <algorithm>
#include <utility>

namespace qtool::client {

using protocol::InitProducerIdRequest;
using protocol::InitProducerIdResponse;
using protocol::KafkaError;
using protocol::ProduceRequest;
using protocol::ProduceResponse;

namespace {

constexpr uint64_t kProducerIdTag = ~0ull - 1;
constexpr size_t kInFlightPerPartitionMax = 5; // batches the broker remembers (KIP-98)
constexpr uint64_t kRecordOverhead = 32;       // bytes of bookkeeping charged for each record

} // namespace

Producer::Producer(const config::ClientConfig& config, uint64_t seed)
    : config_(config),
      prng_(seed),
      cluster_(config_, true, prng_.next()) {
    batch_options_.size_bytes_max =
        static_cast<size_t>(std::min(config_.batch_size_bytes, config_.max_request_bytes));
    batch_options_.linger = std::chrono::milliseconds(
        std::min<int64_t>(config_.linger_ms, config_.delivery_timeout_ms));
    batch_options_.compression = static_cast<protocol::Compression>(config_.compression_type);
    switch (config_.compression_type) {
    case config::CompressionType::gzip:
        if (config_.compression_gzip_level >= 0) {
            batch_options_.level = config_.compression_gzip_level;
        }
        break;
    case config::CompressionType::lz4:
        batch_options_.level = config_.compression_lz4_level;
        break;
    case config::CompressionType::zstd:
        batch_options_.level = config_.compression_zstd_level;
        break;
    case config::CompressionType::none:
    case config::CompressionType::snappy:
        break;
    }
}

Result<Producer::Topic*> Producer::find_topic(std::string_view name) {
    if (last_topic_ != nullptr && last_topic_->name == name) {
        return last_topic_;
    }
    auto found = topics_.find(name);
    if (found == topics_.end()) {
        QT_TRY(cluster_.metadata().want(name));
        auto topic = std::make_unique<Topic>();
        topic->name = name;
        topic->info = cluster_.metadata().find(name);
        found = topics_.emplace(std::string(name), std::move(topic)).first;
    }
    last_topic_ = found->second.get();
    return last_topic_;
}

void Producer::deliver_unrouted(Topic& topic, int32_t partition, uint64_t tag, Error error) {
    DeliveredBatch delivered;
    delivered.topic = topic.name;
    delivered.partition = partition;
    delivered.tags.push_back(tag);
    delivered.result = std::move(error);
    deliveries_.push_back(std::move(delivered));
}

Result<Producer::Take> Producer::add(std::string_view topic_name, std::optional<int32_t> partition,
                                     const RecordParts& record, uint64_t tag, MonoTime now) {
    const size_t size =
        protocol::BatchBuilder::record_size_max(record.key, record.value, record.headers);
    if (size + protocol::kBatchHeaderSize > static_cast<size_t>(config_.max_request_bytes)) {
        return Error(Code::too_large, "record of " + std::to_string(size) +
                                          " bytes is above max.request.size (" +
                                          std::to_string(config_.max_request_bytes) + ")");
    }
    QT_TRY_ASSIGN(Topic* const topic, find_topic(topic_name));
    const TopicInfo& info = *topic->info;
    const auto count = static_cast<int32_t>(info.partitions.size());
    if (count == 0 || (partition && *partition >= count)) {
        const bool is_final = info.error != KafkaError::none && !protocol::is_retriable(info.error);
        const bool is_late = info.failing_for() > kCreatedTopicPatience;
        if (count == 0 && !is_final && !is_late) {
            return Take::no_metadata;
        }
        deliver_unrouted(*topic, partition.value_or(-1), tag,
                         count == 0
                             ? error_of_broker(info.error, topic->name)
                             : Error(Code::unknown_partition,
                                     topic->name + " has " + std::to_string(count) +
                                         " partitions, asked for " + std::to_string(*partition)));
        undelivered_++;
        return Take::closed_batch;
    }
    if (partition && *partition < 0) {
        return Error(Code::invalid_argument, "partition " + std::to_string(*partition));
    }
    const uint64_t charged = size + kRecordOverhead;
    if (used_bytes_ > 0 &&
        used_bytes_ + charged > static_cast<uint64_t>(config_.buffer_memory_bytes)) {
        return Take::full;
    }
    const bool sticky = !partition && !record.key;
    const int32_t index = partition    ? *partition
                          : record.key ? partition_of_key(*record.key, count)
                                       : topic->sticky.get(count, prng_);
    const auto at = static_cast<size_t>(index);
    if (topic->partitions.size() <= at) {
        topic->partitions.resize(at + 1);
    }
    if (topic->partitions[at] == nullptr) {
        topic->partitions[at] = std::make_unique<Partition>(*topic, index, batch_options_);
    }
    Partition& target = *topic->partitions[at];
    QT_TRY_ASSIGN(const bool closed, target.batcher.add(record, tag, charged, now));
    used_bytes_ += charged;
    undelivered_++;
    if (!target.is_active) {
        target.is_active = true;
        active_.push_back(&target);
    }
    if (closed && sticky) {
        topic->sticky.move_on(count, prng_);
    }
    return closed ? Take::closed_batch : Take::taken;
}

void Producer::finish(Partition& partition, uint64_t batch_id, int64_t base_offset,
                      Result<void> result) {
    ClosedBatch batch = partition.batcher.remove(batch_id);
    used_bytes_ -= batch.charged_bytes;
    DeliveredBatch delivered;
    delivered.topic = partition.topic.name;
    delivered.partition = partition.index;
    delivered.base_offset = base_offset;
    delivered.tags = std::move(batch.tags);
    delivered.result = std::move(result);
    deliveries_.push_back(std::move(delivered));
}

/// A gap in the sequences opens at this batch.
void Producer::want_reset(Partition& partition, uint64_t batch_id) const {
    if (config_.enable_idempotence) {
        partition.reset_from = std::min(partition.reset_from, batch_id);
    }
}

/// Delivers a batch as failed.
void Producer::give_up(Partition& partition, uint64_t batch_id, Error why) {
    const ClosedBatch* batch = partition.batcher.find(batch_id);
    if (batch->base_sequence != protocol::kNoSequence) {
        want_reset(partition, batch_id);
    }
    if (batch->maybe_written) {
        why.detail += "; an attempt went unanswered: whether the records were written is not known";
    }
    finish(partition, batch_id, -1, std::move(why));
}

void Producer::retry(ClosedBatch& batch, Error why, MonoTime now) {
    batch.retry_at = now + Backoff{config_.retry_backoff_ms, config_.retry_backoff_max_ms}.delay(
                               batch.attempts, prng_);
    last_failure_ = std::move(why);
}

void Producer::on_batch_answer(Partition& partition, uint64_t batch_id,
                               const protocol::ProduceResponsePartitionProduceResponse& answer,
                               MonoTime now) {
    ClosedBatch* batch = partition.batcher.find(batch_id);
    if (batch == nullptr || !batch->in_flight) {
        return; // answered twice
    }
    partition.batcher.returned(*batch);
    const KafkaError error = protocol::kafka_error_of(answer.error_code);
    if (error == KafkaError::none || error == KafkaError::duplicate_sequence_number) {
        partition.known_to = partition.sent_to;
        finish(partition, batch_id, error == KafkaError::none ? answer.base_offset : -1, {});
        return;
    }
    partition.known_to = -1;
    const bool refused = is_refusal(error);
    batch->maybe_written = batch->maybe_written || !refused;
    const std::string name = partition.topic.name + "-" + std::to_string(partition.index);
    Error failure = error_of_broker(error, name);
    if (wants_metadata(error)) {
        cluster_.metadata().refresh_soon(now);
    }
    if (error == KafkaError::message_too_large || error == KafkaError::record_list_too_large) {
        // The batch was refused whole, so its sequences were not used; those behind it come back
        // out of order and are numbered anew with its halves. What an earlier attempt may have
        // written must keep its numbers, and halves cannot.
        if (!(config_.enable_idempotence && batch->maybe_written)) {
            if (const auto halves = partition.batcher.split(batch_id); !halves) {
                failure.detail += "; it could not be split: " + to_string(halves.error());
            } else if (*halves) {
                want_reset(partition, batch_id);
                return;
            } else {
                failure.detail += "; a single record of " + std::to_string(batch->bytes.size()) +
                                  " bytes with its batch header";
            }
        }
    }
    const bool tries_left = batch->attempts <= static_cast<uint32_t>(config_.retries);
    if (config_.enable_idempotence && tries_left &&
        (error == KafkaError::out_of_order_sequence_number ||
         error == KafkaError::unknown_producer_id)) {
        // Not written. Behind a batch that will be sent again the number stays right. The oldest
        // has nothing in front of it: a gap is open there, or the broker lost what it knew of us.
        const bool is_oldest = partition.batcher.batches().front().id == batch_id;
        if (is_oldest || error == KafkaError::unknown_producer_id) {
            want_reset(partition, batch_id);
        }
        retry(*batch, std::move(failure), now);
        return;
    }
    if (protocol::is_retriable(error) && tries_left) {
        retry(*batch, std::move(failure), now);
        return;
    }
    give_up(partition, batch_id, std::move(failure));
}

void Producer::on_produce_reply(Reply& reply, MonoTime now) {
    const auto found = in_flight_.find(reply.tag);
    if (found == in_flight_.end()) {
        return;
    }
    const std::vector<Sent> sent = std::move(found->second);
    in_flight_.erase(found);
    Result<ProduceResponse> response = Error(Code::internal);
    if (reply.result) {
        response = ProduceResponse::decode(reply.body(), reply.version);
    } else {
        response = reply.result.error();
    }
    if (response) {
        for (const auto& topic : response->responses) {
            for (const auto& answer : topic.partition_responses) {
                for (const Sent& one : sent) {
                    const Topic& its = one.partition->topic;
                    const bool same = reply.version >= 13 ? its.info->id == topic.topic_id
                                                          : its.name == topic.name;
                    if (same && one.partition->index == answer.index) {
                        on_batch_answer(*one.partition, one.batch_id, answer, now);
                    }
                }
            }
        }
    }
    // What got no answer: the connection broke, or the broker left it out.
    for (const Sent& one : sent) {
        ClosedBatch* batch = one.partition->batcher.find(one.batch_id);
        if (batch != nullptr && batch->in_flight) {
            Error why = response ? Error(Code::malformed, "the reply leaves out a partition")
                                 : response.error();
            one.partition->batcher.returned(*batch);
            one.partition->known_to = -1;
            batch->maybe_written = true;
            if (batch->attempts > static_cast<uint32_t>(config_.retries)) {
                give_up(*one.partition, one.batch_id, std::move(why));
            } else {
                retry(*batch, std::move(why), now);
            }
        }
    }
}

void Producer::on_producer_id_reply(Reply& reply, MonoTime now) {
    producer_id_asked_ = false;
    Error failure(Code::internal);
    if (!reply.result) {
        failure = reply.result.error();
    } else if (const auto response = InitProducerIdResponse::decode(reply.body(), reply.version);
               !response) {
        failure = response.error();
    } else if (response->error_code != 0) {
        failure = error_of_broker(protocol::kafka_error_of(response->error_code), "InitProducerId");
    } else {
        producer_id_ = ProducerId(response->producer_id);
        producer_epoch_ = ProducerEpoch(response->producer_epoch);
        producer_id_failures_ = 0;
        return;
    }
    producer_id_failures_++;
    producer_id_retry_at_ =
        now + Backoff{config_.retry_backoff_ms, config_.retry_backoff_max_ms}.delay(
                  producer_id_failures_, prng_);
    last_failure_ = std::move(failure);
}

void Producer::ask_producer_id(MonoTime now, Outbox& out) {
    if (!config_.enable_idempotence || producer_id_.value() >= 0 || producer_id_asked_ ||
        active_.empty() || now < producer_id_retry_at_) {
        return;
    }
    const std::optional<int32_t> node_id = cluster_.any_ready(now, out);
    if (!node_id) {
        return;
    }
    const auto version = cluster_.pick_version(*node_id, InitProducerIdRequest::kApiKey, 0,
                                               InitProducerIdRequest::kVersionMax);
    if (!version) {
        last_failure_ = Error(Code::unsupported_version,
                              "the broker has no InitProducerId; set enable.idempotence=false");
        producer_id_retry_at_ = now + 1s;
        return;
    }
    InitProducerIdRequest request;
    request.transactional_id = std::nullopt;
    request.transaction_timeout_ms = INT32_MAX;
    cluster_.send(*node_id, request, *version, kProducerIdTag, now, true, {}, out);
    producer_id_asked_ = true;
}

/// Closes the gap, if any: what waits behind it gets new numbers, under the next epoch. False: not
/// yet, something is in flight still and no new batch may be sent.
bool Producer::settle_reset(Partition& partition) {
    if (partition.reset_from == kNoReset) {
        return true;
    }
    Batcher& batcher = partition.batcher;
    if (batcher.in_flight_count() > 0) {
        return false;
    }
    if (!batcher.batches().empty()) {
        // In front of the gap its own number still holds: it is sent again alone, until it is known
        // what became of it.
        const ClosedBatch& oldest = batcher.batches().front();
        if (oldest.base_sequence != protocol::kNoSequence && oldest.id < partition.reset_from) {
            return true;
        }
    }
    partition.reset_from = kNoReset;
    partition.known_to = -1;
    if (partition.sequence.has_producer_id()) {
        partition.sequence.reset();
        if (!partition.sequence.has_producer_id()) {
            producer_id_ = kNoProducerId; // this one's epochs are used up: ask for another
        }
    }
    for (size_t i = 0; i < batcher.batches().size();) {
        ClosedBatch& batch = batcher.batches()[i];
        const bool is_numbered = batch.base_sequence != protocol::kNoSequence;
        batch.base_sequence = protocol::kNoSequence; // also: giving up leaves no gap any more
        if (is_numbered && batch.maybe_written) {
            give_up(partition, batch.id,
                    Error(Code::timed_out,
                          partition.topic.name + "-" + std::to_string(partition.index) +
                              ": a batch in front of this one failed, and it cannot be sent again "
                              "without the risk of writing it twice"));
        } else {
            i++;
        }
    }
    return true;
}

/// Writes producer id and sequence into a batch that has none. False: they are not there yet.
bool Producer::stamp(Partition& partition, ClosedBatch& batch) {
    if (!config_.enable_idempotence || batch.base_sequence != protocol::kNoSequence) {
        return true;
    }
    if (!partition.sequence.has_producer_id()) {
        if (producer_id_.value() < 0) {
            return false;
        }
        partition.sequence.set_producer_id(producer_id_, producer_epoch_);
    }
    auto header = protocol::parse_batch_header(batch.bytes);
    QT_ASSERT(header.has_value());
    batch.base_sequence = partition.sequence.take(header->records_count);
    header->producer_id = partition.sequence.producer_id();
    header->producer_epoch = partition.sequence.epoch();
    header->base_sequence = batch.base_sequence;
    protocol::write_batch_header(batch.bytes, *header);
    return true;
}

/// Gives up what is older than delivery.timeout.ms. Not what is in flight: its answer, or its
/// request timeout, comes first.
void Producer::expire(Partition& partition, MonoTime now) {
    const Duration patience = std::chrono::milliseconds(config_.delivery_timeout_ms);
    auto& batches = partition.batcher.batches();
    // The oldest come first, so that most often one look is enough.
    for (size_t i = 0; i < batches.size() && batches[i].created + patience <= now;) {
        const ClosedBatch& batch = batches[i];
        if (batch.in_flight) {
            i++;
            continue;
        }
        Error why(Code::timed_out, "not delivered to " + partition.topic.name + "-" +
                                       std::to_string(partition.index) +
                                       " within delivery.timeout.ms");
        const std::optional<Error>& cause = last_failure_ ? last_failure_ : cluster_.last_error();
        if (cause) {
            why.detail += "; last: " + to_string(*cause);
        }
        give_up(partition, batch.id, std::move(why));
    }
}

/// Closes what has lingered, gives up what is too old.
void Producer::tidy(Partition& partition, MonoTime now) {
    if (flushing_ || partition.batcher.linger_end() <= now) {
        partition.batcher.close();
    }
    for (const uint64_t batch_id : partition.batcher.take_failed()) {
        give_up(partition, batch_id, *partition.batcher.find(batch_id)->failure);
    }
    expire(partition, now);
}

/// One batch of each partition that may send. False: none could.
bool Producer::send_round(MonoTime now, Outbox& out) {
    std::map<int32_t, std::vector<Sent>> by_node;
    std::map<int32_t, size_t> sizes;
    const size_t count = active_.size();
    for (size_t i = 0; i < count; i++) {
        Partition& partition = *active_[(next_active_ + i) % count];
        Batcher& batcher = partition.batcher;
        if (!settle_reset(partition)) {
            continue;
        }
        const auto& infos = partition.topic.info->partitions;
        const auto at = static_cast<size_t>(partition.index);
        const int32_t leader = at < infos.size() ? infos[at].leader_id : -1;
        // A broker that knows nothing of this producer takes any sequence: had it refused one batch
        // (a topic it has not heard of, too few replicas) and then taken the next, the first could
        // never be written any more. So one goes alone until that leader has taken it.
        const bool is_alone = config_.enable_idempotence && partition.known_to != leader;
        ClosedBatch* batch = batcher.next_to_send(now, is_alone ? 1 : kInFlightPerPartitionMax);
        if (batch == nullptr) {
            continue;
        }
        if (leader < 0) {
            cluster_.metadata().refresh_soon(now);
            continue;
        }
        // A new leader that gets a batch before those the old one refuses may know nothing of this
        // producer yet, and then takes any sequence: what is sent again would be out of order.
        if (batcher.in_flight_count() > 0 && partition.sent_to != leader) {
            continue;
        }
        if (!cluster_.ready(leader, now, out)) {
            if (cluster_.metadata().find_broker(leader) == nullptr) {
                cluster_.metadata().refresh_soon(now);
            }
            continue;
        }
        size_t& size = sizes[leader];
        if (size > 0 &&
            size + batch->bytes.size() > static_cast<size_t>(config_.max_request_bytes)) {
            continue; // goes with the next request
        }
        if (!stamp(partition, *batch)) {
            continue;
        }
        size += batch->bytes.size();
        batcher.sent(*batch);
        partition.sent_to = leader;
        by_node[leader].push_back({&partition, batch->id});
    }
    next_active_ = count == 0 ? 0 : (next_active_ + 1) % count;
    for (const auto& [node_id, batches] : by_node) {
        send_to(node_id, batches, now, out);
    }
    return !by_node.empty();
}

void Producer::send_to(int32_t node_id, const std::vector<Sent>& batches, MonoTime now,
                       Outbox& out) {
    // A topic without id can only be written by its name.
    const bool has_ids = std::none_of(batches.begin(), batches.end(), [](const Sent& one) {
        return one.partition->topic.info->id.is_zero();
    });
    const auto version = cluster_.pick_version(node_id, ProduceRequest::kApiKey, 3,
                                               has_ids ? ProduceRequest::kVersionMax : int16_t{12});
    if (!version) {
        for (const Sent& one : batches) {
            give_up(*one.partition, one.batch_id,
                    Error(Code::unsupported_version, "the broker has no Produce that we speak"));
        }
        return;
    }
    const bool wants_reply = config_.acks != 0;
    ProduceRequest request;
    request.acks = config_.acks;
    request.timeout_ms = config_.request_timeout_ms;
    std::vector<std::vector<std::byte>> records;
    // One topic entry for neighbours of the same topic: brokers refuse none of the other orders,
    // but a topic must not stand twice.
    std::vector<Sent> sorted = batches;
    std::stable_sort(sorted.begin(), sorted.end(), [](const Sent& a, const Sent& b) {
        return a.partition->topic.name < b.partition->topic.name;
    });
    const Topic* last = nullptr;
    for (const Sent& one : sorted) {
        const Topic& topic = one.partition->topic;
        if (&topic != last) {
            request.topic_data.emplace_back();
            request.topic_data.back().name = topic.name;
            request.topic_data.back().topic_id = topic.info->id;
            last = &topic;
        }
        const ClosedBatch& batch = *one.partition->batcher.find(one.batch_id);
        ProduceRequest::PartitionProduceData data;
        data.index = one.partition->index;
        data.records = protocol::RecordsRef{{}, batch.bytes.size()};
        request.topic_data.back().partition_data.push_back(data);
        records.push_back(batch.bytes); // copied: the batch may have to be sent again
    }
    const uint64_t tag = next_tag_++;
    cluster_.send(node_id, request, *version, tag, now, wants_reply, std::move(records), out);
    if (!wants_reply) {
        for (const Sent& one : sorted) {
            finish(*one.partition, one.batch_id, -1, {});
        }
        return;
    }
    in_flight_.emplace(tag, std::move(sorted));
}

void Producer::step(MonoTime now, Outbox& out) {
    cluster_.step(now, out);
    for (Reply& reply : cluster_.take_replies()) {
        if (reply.tag == kProducerIdTag) {
            on_producer_id_reply(reply, now);
        } else {
            on_produce_reply(reply, now);
        }
    }
    ask_producer_id(now, out);
    for (Partition* partition : active_) {
        tidy(*partition, now);
    }
    while (send_round(now, out)) {
    }
    std::erase_if(active_, [](Partition* partition) {
        partition->is_active = !partition->batcher.empty();
        return !partition->is_active;
    });
}

std::vector<DeliveredBatch> Producer::take_deliveries() {
    for (const DeliveredBatch& batch : deliveries_) {
        undelivered_ -= batch.tags.size();
    }
    return std::exchange(deliveries_, {});
}

MonoTime Producer::next_due(MonoTime now) const {
    MonoTime due = cluster_.next_due(now);
    const Duration patience = std::chrono::milliseconds(config_.delivery_timeout_ms);
    for (Partition* partition : active_) {
        due = std::min(due, partition->batcher.linger_end());
        for (const ClosedBatch& batch : partition->batcher.batches()) {
            if (!batch.in_flight) {
                if (batch.retry_at > now) {
                    due = std::min(due, batch.retry_at);
                }
                if (batch.created + patience > now) {
                    due = std::min(due, batch.created + patience);
                }
                break;
            }
        }
    }
    if (config_.enable_idempotence && producer_id_.value() < 0 && producer_id_retry_at_ > now) {
        due = std::min(due, producer_id_retry_at_);
    }
    return due;
}

} // namespace qtool::client
