#include "server/storage/producer_state.h"

#include "lib/base/byte_writer.h"
#include "lib/base/crc32c.h"
#include "lib/base/span_reader.h"

#include <algorithm>
#include <string>

namespace qtool::storage {

namespace {

constexpr uint32_t kSnapshotMagic = 0x51505253; // "QPRS"
// 1 had no transactions, 2 no run.
constexpr uint32_t kSnapshotVersion = 3;
constexpr size_t kSnapshotCountAt = 3 * 4 + 8;
constexpr size_t kProducerSizeMin = 8 + 2 + 8 + 1;
// Half of the sequences: with more, those to come would look like those that were.
constexpr int32_t kRunRecordsMax = 1 << 30;

// Steps forward from one sequence to the other.
int32_t distance(int32_t from, int32_t to) {
    return static_cast<int32_t>((static_cast<uint32_t>(to) - static_cast<uint32_t>(from)) &
                                0x7fffffffu);
}

std::string producer_text(ProducerId id, ProducerEpoch epoch) {
    return "producer " + std::to_string(id.value()) + " epoch " + std::to_string(epoch.value());
}

std::string producer_text(const protocol::BatchHeader& header) {
    return producer_text(header.producer_id, header.producer_epoch);
}

Result<void> check_kind(const protocol::BatchHeader& header, Offset transaction_start) {
    if (transaction_start != kNoOffset && !header.is_transactional()) {
        return Error(Code::invalid_txn_state,
                     producer_text(header) + " has a transaction open since offset " +
                         std::to_string(transaction_start.value()) + " and wrote outside of it");
    }
    return {};
}

Error older_epoch(const protocol::BatchHeader& header, ProducerEpoch known) {
    return Error(Code::invalid_producer_epoch, producer_text(header) +
                                                   " is older than its current epoch " +
                                                   std::to_string(known.value()));
}

} // namespace

bool ProducerState::is_expired(const Producer& producer, WallTime now, int64_t expiration_ms) {
    return producer.transaction_start == kNoOffset &&
           (now - producer.last_write).count() > expiration_ms;
}

Result<std::optional<ProducerState::Duplicate>>
ProducerState::check(const protocol::BatchHeader& header, WallTime now, int64_t expiration_ms,
                     bool is_transaction_v2) const {
    const auto at = producers_.find(header.producer_id);
    if (at == producers_.end() || is_expired(at->second, now, expiration_ms)) {
        if (is_transaction_v2 && header.is_transactional() && header.base_sequence != 0) {
            return Error(Code::out_of_order_sequence,
                         producer_text(header) + " is not known here: it must begin with " +
                             "sequence 0, not " + std::to_string(header.base_sequence));
        }
        return std::optional<Duplicate>();
    }
    const Producer& known = at->second;
    if (header.producer_epoch < known.epoch) {
        return older_epoch(header, known.epoch);
    }
    if (header.producer_epoch > known.epoch) {
        if (header.base_sequence != 0) {
            QT_TRY(check_refused(known, header, 0));
            return Error(Code::out_of_order_sequence,
                         producer_text(header) + ": a new epoch must begin with sequence 0, not " +
                             std::to_string(header.base_sequence));
        }
        QT_TRY(check_kind(header, known.transaction_start));
        return std::optional<Duplicate>();
    }
    const int32_t last_sequence = header.last_sequence();
    for (size_t i = 0; i < known.count; i++) {
        const Batch& batch = known.batches[i];
        if (batch.first_sequence == header.base_sequence && batch.last_sequence == last_sequence) {
            return std::optional(Duplicate{
                batch.base_offset, batch.base_offset + batch.last_offset_delta, batch.timestamp});
        }
    }
    const int32_t expected = expected_sequence(known);
    if (header.base_sequence != expected) {
        if (is_behind_window(known, header)) {
            return std::optional(Duplicate{kNoOffset, known.batches[0].base_offset - 1, -1});
        }
        QT_TRY(check_refused(known, header, expected));
        return Error(Code::out_of_order_sequence,
                     producer_text(header) + ": sequence " + std::to_string(header.base_sequence) +
                         " came where " + std::to_string(expected) + " was expected");
    }
    QT_TRY(check_kind(header, known.transaction_start));
    return std::optional<Duplicate>();
}

int32_t ProducerState::expected_sequence(const Producer& known) {
    if (known.count > 0) {
        return protocol::next_sequence(known.batches[known.count - 1u].last_sequence, 1);
    }
    return std::max(known.refused_sequence, 0); // 0: behind a marker that raised the epoch
}

// The batch that is missing was refused for a reason that passes, and comes again: whoever was sent
// right behind it is refused for the same. librdkafka takes "out of order" for a loss that makes a
// new epoch necessary, and sends what it has not heard of to all partitions again under that one,
// though it may be in the log.
Result<void> ProducerState::check_refused(const Producer& known,
                                          const protocol::BatchHeader& header, int32_t expected) {
    if (known.refused_sequence != expected || known.refused_epoch != header.producer_epoch ||
        distance(expected, header.base_sequence) > kRunRecordsMax) {
        return {};
    }
    return Error(known.refused_code, producer_text(header) + ": sequence " +
                                         std::to_string(header.base_sequence) + " waits for " +
                                         std::to_string(expected) + ", which was refused");
}

// A client sends more than the window holds when the leadership moves while it waits for the old
// leader: it goes on at the new one, and comes with what the old one did not answer last.
bool ProducerState::is_behind_window(const Producer& producer,
                                     const protocol::BatchHeader& header) {
    if (producer.count == 0 || header.last_offset_delta >= kRunRecordsMax) {
        return false;
    }
    const int32_t last = producer.batches[producer.count - 1u].last_sequence;
    const int32_t window_records = distance(producer.batches[0].first_sequence, last) + 1;
    const int32_t later_records = distance(header.last_sequence(), last);
    return later_records >= window_records && later_records < producer.run_records &&
           header.last_offset_delta < producer.run_records - later_records;
}

Result<void> ProducerState::check_own(const protocol::BatchHeader& header) const {
    const auto at = producers_.find(header.producer_id);
    if (at != producers_.end() && header.producer_epoch < at->second.epoch) {
        return older_epoch(header, at->second.epoch);
    }
    return {};
}

ProducerState::Producer& ProducerState::find_or_add(ProducerId id, ProducerEpoch epoch) {
    auto at = producers_.find(id);
    if (at == producers_.end()) {
        if (producers_.size() >= kProducersPerPartitionMax) {
            evict_oldest();
        }
        at = producers_.try_emplace(id).first;
        at->second.epoch = epoch;
    }
    return at->second;
}

void ProducerState::set_epoch(Producer& producer, ProducerEpoch epoch) {
    if (producer.epoch != epoch) {
        producer.epoch = epoch;
        producer.count = 0;
        producer.run_records = 0;
    }
    producer.refused_sequence = -1;
}

void ProducerState::add_batch(Producer& producer, const Batch& batch) {
    const int64_t records = int64_t{batch.last_offset_delta} + 1;
    const bool goes_on =
        producer.count > 0 &&
        batch.first_sequence ==
            protocol::next_sequence(producer.batches[producer.count - 1u].last_sequence, 1);
    producer.run_records = static_cast<int32_t>(
        std::min<int64_t>(records + (goes_on ? producer.run_records : 0), kRunRecordsMax));
    if (producer.count == kProducerBatchesMax) {
        std::move(producer.batches.begin() + 1, producer.batches.end(), producer.batches.begin());
        producer.count--;
    }
    producer.batches[producer.count++] = batch;
}

void ProducerState::update(const protocol::BatchHeader& header, WallTime now) {
    Producer& known = find_or_add(header.producer_id, header.producer_epoch);
    set_epoch(known, header.producer_epoch);
    known.last_write = std::max(known.last_write, now);
    if (header.is_transactional()) {
        verifications_.erase(header.producer_id);
        if (known.transaction_start == kNoOffset) {
            known.transaction_start = header.base_offset;
            open_.emplace(header.base_offset, header.producer_id);
        }
    }
    if (header.base_sequence < 0) {
        return; // a coordinator's batches have none
    }
    add_batch(known, Batch{header.base_sequence, header.last_sequence(), header.base_offset,
                           header.last_offset_delta, header.max_timestamp});
}

void ProducerState::note_refused(const protocol::BatchHeader& header, Code code, WallTime now) {
    const auto at = producers_.find(header.producer_id);
    if (at != producers_.end()) { // its window says what comes next
        const int32_t expected =
            header.producer_epoch > at->second.epoch ? 0 : expected_sequence(at->second);
        if (header.producer_epoch < at->second.epoch || header.base_sequence != expected) {
            return;
        }
    }
    Producer& producer = find_or_add(header.producer_id, header.producer_epoch);
    producer.refused_sequence = header.base_sequence;
    producer.refused_epoch = header.producer_epoch;
    producer.refused_code = code;
    if (at == producers_.end()) {
        producer.last_write = now;
    }
}

bool ProducerState::is_last_marker(const protocol::BatchHeader& header) const {
    const auto at = producers_.find(header.producer_id);
    if (at == producers_.end() || at->second.count > 0) {
        return false;
    }
    return at->second.last_marker == kNoOffset ? at->second.epoch == header.producer_epoch
                                               : at->second.last_marker == header.base_offset;
}

bool ProducerState::is_last(const protocol::BatchHeader& header) const {
    const auto at = producers_.find(header.producer_id);
    if (at == producers_.end() || at->second.count == 0) {
        return false;
    }
    const Batch& last = at->second.batches[at->second.count - 1u];
    return last.base_offset + last.last_offset_delta == header.last_offset();
}

void ProducerState::expire(WallTime now, int64_t expiration_ms) {
    std::erase_if(producers_,
                  [&](const auto& item) { return is_expired(item.second, now, expiration_ms); });
}

// A tenth at once, so that a flood of new producers does not search all of them each time.
void ProducerState::evict_oldest() {
    std::vector<WallTime> times;
    times.reserve(producers_.size());
    for (const auto& [id, producer] : producers_) {
        if (producer.transaction_start == kNoOffset) {
            times.push_back(producer.last_write);
        }
    }
    if (times.empty()) {
        return;
    }
    size_t left = times.size() / 10 + 1;
    const auto limit = times.begin() + static_cast<ptrdiff_t>(left - 1);
    std::nth_element(times.begin(), limit, times.end());
    for (auto at = producers_.begin(); at != producers_.end() && left > 0;) {
        if (at->second.transaction_start == kNoOffset && at->second.last_write <= *limit) {
            at = producers_.erase(at);
            evicted_++;
            left--;
        } else {
            ++at;
        }
    }
}

// ---- transactions -------------------------------------------------------------------------------

bool ProducerState::begins_transaction(const protocol::BatchHeader& header) const {
    if (!header.is_transactional()) {
        return false;
    }
    const auto at = producers_.find(header.producer_id);
    return at == producers_.end() || at->second.transaction_start == kNoOffset ||
           at->second.epoch != header.producer_epoch;
}

uint64_t ProducerState::begin_verification(const protocol::BatchHeader& header, uint64_t fresh) {
    if (verifications_.size() >= kProducersPerPartitionMax &&
        !verifications_.contains(header.producer_id)) {
        verifications_.clear(); // all of them ask again
    }
    const auto [at, is_new] = verifications_.try_emplace(
        header.producer_id, Verification{fresh, header.producer_epoch, header.base_sequence});
    Verification& known = at->second;
    if (!is_new && known.epoch != header.producer_epoch) {
        known = Verification{fresh, header.producer_epoch, header.base_sequence};
    }
    known.lowest_sequence = std::min(known.lowest_sequence, header.base_sequence);
    return known.guard;
}

Result<bool> ProducerState::is_verified(const protocol::BatchHeader& header, uint64_t guard) const {
    const auto at = verifications_.find(header.producer_id);
    if (guard == 0 || at == verifications_.end() || at->second.guard != guard ||
        at->second.epoch != header.producer_epoch) {
        return false;
    }
    // Without state any sequence may begin, but not one that overtook another.
    if (!producers_.contains(header.producer_id) &&
        header.base_sequence > at->second.lowest_sequence) {
        return Error(Code::out_of_order_sequence,
                     producer_text(header) + ": sequence " + std::to_string(header.base_sequence) +
                         " came before " + std::to_string(at->second.lowest_sequence));
    }
    return true;
}

Result<void> ProducerState::check_marker(const protocol::TransactionMarker& marker,
                                         int16_t transaction_version) const {
    const auto at = producers_.find(marker.producer_id);
    if (at == producers_.end()) {
        return {};
    }
    const Producer& known = at->second;
    const bool is_open = known.transaction_start != kNoOffset;
    const bool is_stale = transaction_version >= 2 && is_open ? marker.producer_epoch <= known.epoch
                                                              : marker.producer_epoch < known.epoch;
    if (is_stale) {
        return Error(Code::invalid_producer_epoch,
                     "a marker of " + producer_text(marker.producer_id, marker.producer_epoch) +
                         " comes too late: its epoch here is " +
                         std::to_string(known.epoch.value()));
    }
    if (marker.coordinator_epoch < known.coordinator_epoch) {
        return Error(Code::coordinator_fenced,
                     "a marker of coordinator epoch " + std::to_string(marker.coordinator_epoch) +
                         " comes too late: " + std::to_string(known.coordinator_epoch) +
                         " wrote here");
    }
    return {};
}

std::optional<AbortedTransaction> ProducerState::preview_abort(ProducerId id, Offset offset) const {
    const auto at = producers_.find(id);
    if (at == producers_.end() || at->second.transaction_start == kNoOffset) {
        return std::nullopt;
    }
    AbortedTransaction aborted{id, at->second.transaction_start, offset, offset + 1};
    for (const auto& [first, owner] : open_) {
        if (owner != id) {
            aborted.last_stable_offset = first;
            break;
        }
    }
    return aborted;
}

void ProducerState::end_transaction(const protocol::TransactionMarker& marker, Offset offset,
                                    WallTime now) {
    Producer& producer = find_or_add(marker.producer_id, marker.producer_epoch);
    set_epoch(producer, marker.producer_epoch);
    producer.coordinator_epoch = marker.coordinator_epoch;
    producer.last_marker = offset;
    producer.last_write = std::max(producer.last_write, now);
    verifications_.erase(marker.producer_id);
    if (producer.transaction_start != kNoOffset) {
        open_.erase(producer.transaction_start);
        decided_.push_back({producer.transaction_start, offset});
        producer.transaction_start = kNoOffset;
    }
}

Offset ProducerState::first_unstable(Offset high_watermark) {
    std::erase_if(decided_, [&](const Decided& d) { return d.marker_offset < high_watermark; });
    Offset first = first_open();
    for (const Decided& decided : decided_) {
        if (first == kNoOffset || decided.first_offset < first) {
            first = decided.first_offset;
        }
    }
    return first;
}

std::vector<ProducerState::Description> ProducerState::describe() const {
    std::vector<Description> all;
    all.reserve(producers_.size());
    for (const auto& [id, producer] : producers_) {
        Description one;
        one.id = id;
        one.epoch = producer.epoch;
        one.last_timestamp_ms = producer.last_write.time_since_epoch().count();
        if (producer.count > 0) {
            const Batch& last = producer.batches[producer.count - 1u];
            one.last_sequence = last.last_sequence;
            one.last_timestamp_ms = last.timestamp;
        }
        one.coordinator_epoch = producer.coordinator_epoch;
        one.transaction_start = producer.transaction_start;
        all.push_back(one);
    }
    return all;
}

// ---- snapshots ----------------------------------------------------------------------------------

std::vector<std::byte> ProducerState::encode(Offset offset) const {
    ByteWriter out(64 + producers_.size() * 64);
    out.be<uint32_t>(kSnapshotMagic);
    out.be<uint32_t>(kSnapshotVersion);
    out.be<uint32_t>(0); // checksum of what follows
    out.be<int64_t>(offset.value());
    out.be<uint32_t>(0); // count
    uint32_t count = 0;
    for (const auto& [id, producer] : producers_) {
        if (is_blank(producer)) {
            continue;
        }
        count++;
        out.be<int64_t>(id.value());
        out.be<int16_t>(producer.epoch.value());
        out.be<int64_t>(producer.last_write.time_since_epoch().count());
        out.be<int32_t>(producer.coordinator_epoch);
        out.be<int64_t>(producer.transaction_start.value());
        out.be<int32_t>(producer.run_records);
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
    out.patch_be<uint32_t>(kSnapshotCountAt, count);
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
    if (version < 1 || version > kSnapshotVersion) {
        return Error(Code::unsupported_version,
                     "producer snapshot of version " + std::to_string(version));
    }
    if (crc32c(bytes.subspan(12)) != crc) {
        return Error(Code::corrupt, "producer snapshot with a wrong checksum");
    }
    const Offset taken_at(in.be<int64_t>());
    const uint32_t count = in.be<uint32_t>();
    if (!in.ok() || taken_at != offset || count > in.left() / kProducerSizeMin) {
        return Error(Code::malformed, "producer snapshot with a wrong offset or count");
    }
    ProducerState state;
    for (uint32_t n = 0; n < count && in.ok(); n++) {
        const ProducerId id(in.be<int64_t>());
        Producer& producer = state.producers_[id];
        producer.epoch = ProducerEpoch(in.be<int16_t>());
        producer.last_write = WallTime(std::chrono::milliseconds(in.be<int64_t>()));
        if (version >= 2) {
            producer.coordinator_epoch = in.be<int32_t>();
            producer.transaction_start = Offset(in.be<int64_t>());
        }
        if (producer.transaction_start != kNoOffset) {
            if (producer.transaction_start < Offset{0} ||
                !state.open_.emplace(producer.transaction_start, id).second) {
                in.fail();
                break;
            }
        }
        const std::optional<int32_t> run =
            version >= 3 ? std::optional(in.be<int32_t>()) : std::nullopt;
        const uint8_t batches = in.be<uint8_t>();
        if (batches > kProducerBatchesMax || (run && (*run < 0 || *run > kRunRecordsMax))) {
            in.fail();
            break;
        }
        for (size_t i = 0; i < batches; i++) {
            Batch batch;
            batch.first_sequence = in.be<int32_t>();
            batch.last_sequence = in.be<int32_t>();
            batch.base_offset = Offset(in.be<int64_t>());
            batch.last_offset_delta = in.be<int32_t>();
            batch.timestamp = in.be<int64_t>();
            add_batch(producer, batch);
        }
        producer.run_records = run.value_or(producer.run_records);
        if (is_blank(producer)) { // version 1 kept these
            state.producers_.erase(id);
        }
    }
    if (!in.ok() || in.left() != 0) {
        return Error(Code::malformed, "producer snapshot with a wrong size");
    }
    return state;
}

} // namespace qtool::storage
