#include "lib/client/batcher.h"

#include "lib/base/assert.h"

#include <algorithm>
#include <utility>

namespace qtool::client {

using protocol::BatchBuilder;

namespace {

// However often batches are too large, later ones are not made smaller than this.
constexpr size_t kSplitSizeMin = 1024;

} // namespace

Result<bool> Batcher::add(const RecordParts& record, uint64_t tag, uint64_t charged_bytes,
                          MonoTime now) {
    bool closed = false;
    const size_t size = BatchBuilder::record_size_max(record.key, record.value, record.headers);
    if (!builder_.empty() && builder_.size_bytes() + size > size_bytes_max_) {
        close();
        closed = true;
    }
    QT_TRY(builder_.append(record.key, record.value, record.headers, record.timestamp_ms));
    if (open_tags_.empty()) {
        open_since_ = now;
    }
    open_tags_.push_back(tag);
    open_charged_ += charged_bytes;
    if (builder_.size_bytes() >= size_bytes_max_) {
        close();
        closed = true;
    }
    return closed;
}

Result<ClosedBatch> Batcher::make_closed(BatchBuilder& builder) const {
    ClosedBatch batch;
    QT_TRY_ASSIGN(batch.bytes,
                  builder.finish({.compression = options_.compression, .level = options_.level}));
    return batch;
}

void Batcher::close() {
    if (open_tags_.empty()) {
        return;
    }
    const size_t size = builder_.size_bytes();
    ClosedBatch batch;
    if (auto made = make_closed(builder_); made) {
        batch = std::move(*made);
    } else {
        batch.failure = made.error();
    }
    const size_t count = open_tags_.size();
    batch.id = next_id_++;
    batch.tags = std::exchange(open_tags_, {});
    open_tags_.reserve(count);
    batch.charged_bytes = std::exchange(open_charged_, 0);
    batch.created = open_since_;
    // The next batch will be about as large; memory for the largest would be a waste when lines
    // come slowly and each batch holds one.
    builder_ = BatchBuilder(size + size / 16);
    if (batch.failure) {
        failed_.push_back(batch.id);
    }
    batches_.push_back(std::move(batch));
}

void Batcher::sent(ClosedBatch& batch) {
    QT_ASSERT(!batch.in_flight);
    batch.in_flight = true;
    batch.attempts++;
    in_flight_++;
}

void Batcher::returned(ClosedBatch& batch) {
    QT_ASSERT(batch.in_flight);
    batch.in_flight = false;
    in_flight_--;
}

ClosedBatch* Batcher::next_to_send(MonoTime now, size_t in_flight_max) {
    if (in_flight_count() >= in_flight_max) {
        return nullptr;
    }
    for (size_t i = 0; i < batches_.size(); i++) {
        ClosedBatch& batch = batches_[i];
        if (batch.in_flight) {
            continue;
        }
        const bool is_retry = batch.attempts > 0;
        if (batch.retry_at > now || (is_retry && i > 0)) {
            return nullptr;
        }
        return &batch;
    }
    return nullptr;
}

ClosedBatch* Batcher::find(uint64_t id) {
    const auto found = std::find_if(batches_.begin(), batches_.end(),
                                    [id](const ClosedBatch& b) { return b.id == id; });
    return found == batches_.end() ? nullptr : &*found;
}

ClosedBatch Batcher::remove(uint64_t id) {
    const auto found = std::find_if(batches_.begin(), batches_.end(),
                                    [id](const ClosedBatch& b) { return b.id == id; });
    QT_ASSERT(found != batches_.end());
    if (found->in_flight) {
        returned(*found);
    }
    ClosedBatch batch = std::move(*found);
    batches_.erase(found);
    return batch;
}

Result<bool> Batcher::split(uint64_t id) {
    const auto found = std::find_if(batches_.begin(), batches_.end(),
                                    [id](const ClosedBatch& b) { return b.id == id; });
    QT_ASSERT(found != batches_.end() && !found->in_flight);
    const size_t count = found->tags.size();
    if (count < 2) {
        return false;
    }
    QT_TRY_ASSIGN(const auto header, protocol::parse_batch_header(found->bytes));
    QT_TRY_ASSIGN(auto records, protocol::BatchRecords::open({header, found->bytes},
                                                             protocol::kDecompressedTotal));
    BatchBuilder builders[2];
    std::vector<protocol::RecordHeader> headers;
    for (size_t i = 0; i < count; i++) {
        const protocol::ConsumedRecord* record = records.next();
        if (record == nullptr) {
            return Error(Code::internal, "a batch of our own cannot be read again");
        }
        headers.clear();
        protocol::HeaderIterator walk = record->record.headers();
        while (const protocol::HeaderView* one = walk.next()) {
            headers.push_back({one->key, one->value});
        }
        QT_TRY(builders[i < count / 2 ? 0 : 1].append(record->record.key, record->record.value,
                                                      headers, record->timestamp));
    }
    QT_TRY_ASSIGN(ClosedBatch first, make_closed(builders[0]));
    QT_TRY_ASSIGN(ClosedBatch second, make_closed(builders[1]));
    size_bytes_max_ = std::min(size_bytes_max_, std::max(kSplitSizeMin, found->bytes.size() / 2));
    ClosedBatch old = std::move(*found);
    const auto middle = old.tags.begin() + static_cast<std::ptrdiff_t>(count / 2);
    first.tags.assign(old.tags.begin(), middle);
    second.tags.assign(middle, old.tags.end());
    first.charged_bytes = old.charged_bytes / 2;
    second.charged_bytes = old.charged_bytes - first.charged_bytes;
    first.created = second.created = old.created;
    first.id = next_id_++;
    second.id = next_id_++;
    const auto place = batches_.erase(found);
    batches_.insert(batches_.insert(place, std::move(second)), std::move(first));
    return true;
}

} // namespace qtool::client
