#include "server/storage/producer_state.h"

#include "lib/base/byte_writer.h"
#include "lib/base/crc32c.h"
#include "lib/base/span_reader.h"

#include <algorithm>
#include <string>

namespace qtool::storage {

namespace {

constexpr uint32_t kSnapshotMagic = 0x51505253; // "QPRS"
constexpr uint32_t kSnapshotVersion = 1;
constexpr size_t kProducerSizeMin = 8 + 2 + 8 + 1;

bool is_expired(WallTime last_write, WallTime now, int64_t expiration_ms) {
    return (now - last_write).count() > expiration_ms;
}

std::string producer_text(const protocol::BatchHeader& header) {
    return "producer " + std::to_string(header.producer_id.value()) + " epoch " +
           std::to_string(header.producer_epoch.value());
}

} // namespace

Result<std::optional<ProducerState::Batch>>
ProducerState::check(const protocol::BatchHeader& header, WallTime now,
                     int64_t expiration_ms) const {
    const auto at = producers_.find(header.producer_id);
    if (at == producers_.end() || is_expired(at->second.last_write, now, expiration_ms)) {
        return std::optional<Batch>();
    }
    const Producer& known = at->second;
    if (header.producer_epoch < known.epoch) {
        return Error(Code::invalid_producer_epoch, producer_text(header) +
                                                       " is older than its current epoch " +
                                                       std::to_string(known.epoch.value()));
    }
    if (header.producer_epoch > known.epoch) {
        if (header.base_sequence != 0) {
            return Error(Code::out_of_order_sequence,
                         producer_text(header) + ": a new epoch must begin with sequence 0, not " +
                             std::to_string(header.base_sequence));
        }
        return std::optional<Batch>();
    }
    const int32_t last_sequence = header.last_sequence();
    for (size_t i = 0; i < known.count; i++) {
        const Batch& batch = known.batches[i];
        if (batch.first_sequence == header.base_sequence && batch.last_sequence == last_sequence) {
            return std::optional<Batch>(batch);
        }
    }
    int32_t expected = header.base_sequence;
    if (known.count > 0) {
        expected = protocol::next_sequence(known.batches[known.count - 1u].last_sequence, 1);
    } else if (known.refused_sequence >= 0) {
        expected = known.refused_sequence;
    }
    if (header.base_sequence != expected) {
        return Error(Code::out_of_order_sequence,
                     producer_text(header) + ": sequence " + std::to_string(header.base_sequence) +
                         " came where " + std::to_string(expected) + " was expected");
    }
    return std::optional<Batch>();
}

void ProducerState::update(const protocol::BatchHeader& header, WallTime now) {
    auto at = producers_.find(header.producer_id);
    if (at == producers_.end()) {
        if (producers_.size() >= kProducersPerPartitionMax) {
            evict_oldest();
        }
        at = producers_.try_emplace(header.producer_id).first;
        at->second.epoch = header.producer_epoch;
    }
    Producer& known = at->second;
    if (known.epoch != header.producer_epoch) {
        known.epoch = header.producer_epoch;
        known.count = 0;
    }
    known.refused_sequence = -1;
    known.last_write = std::max(known.last_write, now);
    if (header.base_sequence < 0) {
        return; // control batches have none
    }
    if (known.count == kProducerBatchesMax) {
        std::move(known.batches.begin() + 1, known.batches.end(), known.batches.begin());
        known.count--;
    }
    known.batches[known.count++] =
        Batch{header.base_sequence, header.last_sequence(), header.base_offset,
              header.last_offset_delta, header.max_timestamp};
}

void ProducerState::note_refused(const protocol::BatchHeader& header, WallTime now) {
    if (producers_.contains(header.producer_id)) {
        return; // its window says what comes next
    }
    if (producers_.size() >= kProducersPerPartitionMax) {
        evict_oldest();
    }
    Producer& producer = producers_[header.producer_id];
    producer.epoch = header.producer_epoch;
    producer.refused_sequence = header.base_sequence;
    producer.last_write = now;
}

void ProducerState::expire(WallTime now, int64_t expiration_ms) {
    std::erase_if(producers_, [&](const auto& item) {
        return is_expired(item.second.last_write, now, expiration_ms);
    });
}

// A tenth at once, so that a flood of new producers does not search all of them each time.
void ProducerState::evict_oldest() {
    std::vector<WallTime> times;
    times.reserve(producers_.size());
    for (const auto& [id, producer] : producers_) {
        times.push_back(producer.last_write);
    }
    size_t left = times.size() / 10 + 1;
    const auto limit = times.begin() + static_cast<ptrdiff_t>(left - 1);
    std::nth_element(times.begin(), limit, times.end());
    for (auto at = producers_.begin(); at != producers_.end() && left > 0;) {
        if (at->second.last_write <= *limit) {
            at = producers_.erase(at);
            evicted_++;
            left--;
        } else {
            ++at;
        }
    }
}

std::vector<std::byte> ProducerState::encode(Offset offset) const {
    ByteWriter out(64 + producers_.size() * 64);
    out.be<uint32_t>(kSnapshotMagic);
    out.be<uint32_t>(kSnapshotVersion);
    out.be<uint32_t>(0); // checksum of what follows
    out.be<int64_t>(offset.value());
    out.be<uint32_t>(static_cast<uint32_t>(producers_.size()));
    for (const auto& [id, producer] : producers_) {
        out.be<int64_t>(id.value());
        out.be<int16_t>(producer.epoch.value());
        out.be<int64_t>(producer.last_write.time_since_epoch().count());
        out.be<uint8_t>(producer.count);
        for (size_t i = 0; i < producer.count; i++) {
            const Batch& batch = producer.batches[i];
            out.be<int32_t>(batch.first_sequence);
            out.be<int32_t>(batch.last_sequence);
            out.be<int64_t>(batch.base_offset.value());
            out.be<int32_t>(batch.last_offset_delta);
            out.be<int64_t>(batch.timestamp);
        }
    }
    out.patch_be<uint32_t>(8, crc32c(out.view().subspan(12)));
    return out.take();
}

Result<ProducerState> ProducerState::decode(ByteView bytes, Offset offset) {
    SpanReader in(bytes);
    const uint32_t magic = in.be<uint32_t>();
    const uint32_t version = in.be<uint32_t>();
    const uint32_t crc = in.be<uint32_t>();
    if (!in.ok() || magic != kSnapshotMagic) {
        return Error(Code::malformed, "not a producer snapshot");
    }
    if (version != kSnapshotVersion) {
        return Error(Code::unsupported_version,
                     "producer snapshot of version " + std::to_string(version));
    }
    if (crc32c(bytes.subspan(12)) != crc) {
        return Error(Code::corrupt, "producer snapshot with a wrong checksum");
    }
    const Offset taken_at(in.be<int64_t>());
    const uint32_t count = in.be<uint32_t>();
    if (!in.ok() || taken_at != offset || count > kProducersPerPartitionMax ||
        count > in.left() / kProducerSizeMin) {
        return Error(Code::malformed, "producer snapshot with a wrong offset or count");
    }
    ProducerState state;
    for (uint32_t n = 0; n < count && in.ok(); n++) {
        const ProducerId id(in.be<int64_t>());
        Producer& producer = state.producers_[id];
        producer.epoch = ProducerEpoch(in.be<int16_t>());
        producer.last_write = WallTime(std::chrono::milliseconds(in.be<int64_t>()));
        producer.count = in.be<uint8_t>();
        if (producer.count > kProducerBatchesMax) {
            in.fail();
            break;
        }
        for (size_t i = 0; i < producer.count; i++) {
            Batch& batch = producer.batches[i];
            batch.first_sequence = in.be<int32_t>();
            batch.last_sequence = in.be<int32_t>();
            batch.base_offset = Offset(in.be<int64_t>());
            batch.last_offset_delta = in.be<int32_t>();
            batch.timestamp = in.be<int64_t>();
        }
    }
    if (!in.ok() || in.left() != 0) {
        return Error(Code::malformed, "producer snapshot with a wrong size");
    }
    return state;
}

} // namespace qtool::storage
