#include "server/storage/compaction.h"

#include "lib/base/assert.h"

#include <algorithm>

namespace qtool::storage {

using protocol::BatchView;

namespace {

// Cleaned batches are gathered up to this size before they are written.
constexpr size_t kWriteSize = 256 * KiB;

Error damaged_source(const std::string& path, uint64_t position, const std::string& why) {
    return Error(Code::storage_damaged,
                 path + " is damaged at position " + std::to_string(position) + ": " + why);
}

} // namespace

// ---- BatchReader --------------------------------------------------------------------------------

Result<BatchReader> BatchReader::open(port::Disk& disk, std::string path, const SegmentFacts& facts,
                                      uint64_t window_size) {
    BatchReader reader;
    QT_TRY_ASSIGN(reader.file_, disk.open(path, port::OpenMode::read));
    reader.path_ = std::move(path);
    reader.size_ = facts.size_bytes;
    reader.window_size_ = window_size;
    reader.expected_ = facts.base;
    reader.end_ = facts.next;
    return reader;
}

// What is there from `position_` on: `wanted` bytes or more, fewer at the end of the file.
Result<ByteView> BatchReader::window_at(uint64_t wanted) {
    const uint64_t there = size_ - position_;
    if (position_ < window_position_ ||
        position_ + std::min(wanted, there) > window_position_ + window_.size()) {
        window_.resize(std::min(std::max(wanted, window_size_), there));
        window_position_ = position_;
        QT_TRY_ASSIGN(const size_t got, file_->read_at(window_, position_));
        window_.resize(got);
    }
    return ByteView(window_).subspan(position_ - window_position_);
}

Result<const BatchView*> BatchReader::next() {
    if (position_ >= size_) {
        if (expected_ != end_) {
            return damaged_source(path_, position_,
                                  "it ends at offset " + std::to_string(expected_.value()) +
                                      " instead of " + std::to_string(end_.value()));
        }
        return static_cast<const BatchView*>(nullptr);
    }
    QT_TRY_ASSIGN(ByteView bytes, window_at(protocol::kBatchHeaderSize));
    Result<protocol::BatchHeader> header = protocol::parse_batch_header(bytes);
    if (!header) {
        return damaged_source(path_, position_, to_string(header.error()));
    }
    if (header->size_bytes > size_ - position_ || header->base_offset < expected_ ||
        header->next_offset() > end_) {
        return damaged_source(path_, position_, "the batch does not fit where it is");
    }
    QT_TRY_ASSIGN(bytes, window_at(header->size_bytes));
    if (bytes.size() < header->size_bytes ||
        !protocol::batch_crc_ok(bytes.first(header->size_bytes))) {
        return damaged_source(path_, position_, "the checksum of the batch does not match");
    }
    current_ = BatchView{*header, bytes.first(header->size_bytes)};
    position_ += header->size_bytes;
    expected_ = header->next_offset();
    return static_cast<const BatchView*>(&current_);
}

// ---- Compaction ---------------------------------------------------------------------------------

Compaction::Compaction(port::Disk& disk, CompactionSetup setup)
    : disk_(disk),
      setup_(std::move(setup)),
      map_(setup_.means.map_bytes_max, setup_.means.seed),
      map_end_(setup_.plan.first_dirty) {
    for (const AbortedTransaction& aborted : setup_.aborted) {
        aborted_[aborted.producer_id].push_back(aborted);
    }
    while (source_ < setup_.sources.size() &&
           setup_.sources[source_].next <= setup_.plan.first_dirty) {
        source_++;
    }
}

std::string Compaction::source_path(const SegmentFacts& facts) const {
    return setup_.directory + "/" + offset_file_name(facts.base) + std::string(kLogExtension);
}

// The aborted transaction that the batch, or the marker, belongs to.
const AbortedTransaction* Compaction::aborted_at(const protocol::BatchHeader& header) const {
    const auto producer = aborted_.find(header.producer_id);
    if (producer == aborted_.end() || !header.is_transactional()) {
        return nullptr;
    }
    const auto at = std::partition_point(producer->second.begin(), producer->second.end(),
                                         [&](const AbortedTransaction& aborted) {
                                             return aborted.last_offset < header.base_offset;
                                         });
    return at == producer->second.end() || at->first_offset > header.base_offset ? nullptr : &*at;
}

Result<uint64_t> Compaction::step(uint64_t bytes_max, const ProducerState& producers) {
    QT_ASSERT(state_ == State::working);
    uint64_t used = 0;
    bytes_plain_ = 0;
    while (state_ == State::working && used + bytes_plain_ < std::max<uint64_t>(1, bytes_max)) {
        QT_TRY_ASSIGN(const uint64_t bytes, is_mapping_ ? step_map() : step_clean(producers));
        used += bytes;
    }
    return used;
}

// True: reader_ has the source to read; false: all sources below `end` are read.
Result<bool> Compaction::next_source(size_t end) {
    while (!reader_ && source_ < end) {
        const SegmentFacts& facts = setup_.sources[source_];
        if (facts.size_bytes == 0) {
            source_++;
            continue;
        }
        QT_TRY_ASSIGN(BatchReader reader,
                      BatchReader::open(disk_, source_path(facts), facts,
                                        std::max<uint64_t>(1, setup_.means.read_bytes_max)));
        reader_.emplace(std::move(reader));
    }
    return reader_.has_value();
}

// ---- the latest offset of each key --------------------------------------------------------------

Result<uint64_t> Compaction::step_map() {
    QT_TRY_ASSIGN(const bool is_there, next_source(setup_.sources.size()));
    if (!is_there) {
        map_end_ = setup_.plan.end;
        map_done();
        return uint64_t{0};
    }
    QT_TRY_ASSIGN(const BatchView* batch, reader_->next());
    if (batch == nullptr) {
        reader_.reset();
        source_++;
        return uint64_t{0};
    }
    const uint64_t size = batch->bytes.size();
    if (batch->header.last_offset() >= setup_.plan.first_dirty) {
        QT_TRY_ASSIGN(const bool fits, map_batch(*batch));
        if (!fits) {
            map_done();
        }
    }
    return size;
}

// False: the map is full, and map_end_ says up to where it knows all.
Result<bool> Compaction::map_batch(const BatchView& batch) {
    if (batch.header.is_control() || aborted_at(batch.header) != nullptr) {
        map_end_ = batch.header.next_offset();
        return true;
    }
    const Result<ByteView> area = plain_records(batch, plain_);
    if (!area) {
        return damaged_source(reader_->path(), 0, to_string(area.error()));
    }
    bytes_plain_ += batch.header.compression_id() == 0 ? 0 : area->size();
    protocol::RecordIterator records(*area, batch.header.records_count);
    while (const protocol::RecordView* record = records.next()) {
        const Offset offset = batch.header.base_offset + record->offset_delta;
        if (record->key && offset >= setup_.plan.first_dirty && !map_.put(*record->key, offset)) {
            map_end_ = offset;
            return false;
        }
    }
    if (Result<void> status = records.status(); !status) {
        return damaged_source(reader_->path(), 0, to_string(status.error()));
    }
    map_end_ = batch.header.next_offset();
    return true;
}

void Compaction::map_done() {
    is_mapping_ = false;
    reader_.reset();
    filter_.emplace(map_, FilterRules{setup_.log_start, map_end_, setup_.now_ms,
                                      setup_.config.delete_retention_ms});
    groups_ = group_segments(setup_.sources, map_end_, setup_.config.segment_bytes);
    group_ = 0;
    begin_group();
}

// ---- writing what stays -------------------------------------------------------------------------

void Compaction::begin_group() {
    reader_.reset();
    output_.reset();
    output_aborted_.clear();
    is_changed_ = false;
    while (group_ < groups_.size()) {
        is_changed_ = group().count > 1; // even if all stays: fewer files
        source_ = group().first;
        for (last_source_ = group().first + group().count; last_source_-- > group().first;) {
            if (setup_.sources[last_source_].size_bytes > 0) {
                return;
            }
        }
        group_++; // without a single batch
    }
    state_ = State::done;
}

Result<uint64_t> Compaction::step_clean(const ProducerState& producers) {
    if (!output_) {
        output_ = std::make_unique<Segment>(disk_, setup_.directory,
                                            setup_.sources[group().first].base, 0, kCleanedSuffix);
        QT_TRY(output_->create());
    }
    QT_TRY_ASSIGN(const bool is_there, next_source(group().first + group().count));
    if (!is_there) {
        QT_TRY(end_group());
        return std::exchange(bytes_written_, 0);
    }
    QT_TRY_ASSIGN(const BatchView* batch, reader_->next());
    if (batch == nullptr) {
        reader_.reset();
        source_++;
        return uint64_t{0};
    }
    const bool is_last = source_ == last_source_ && reader_->is_at_end();
    const bool must_stay =
        is_last || (batch->header.is_control() ? producers.is_last_marker(batch->header)
                                               : producers.is_last(batch->header));
    QT_TRY(clean_batch(*batch, must_stay));
    return batch->bytes.size() + std::exchange(bytes_written_, 0);
}

Result<CompactionFilter::Outcome> Compaction::decide(const BatchView& batch, bool must_stay) {
    using Outcome = CompactionFilter::Outcome;
    const protocol::BatchHeader& header = batch.header;
    const AbortedTransaction* aborted = aborted_at(header);
    if (header.is_control()) {
        const bool has_records = with_records_.erase(header.producer_id) > 0;
        QT_TRY_ASSIGN(const Outcome outcome, filter_->filter_marker(batch, has_records, must_stay));
        // The entry lives as long as its marker: a reader that got one without the other would
        // drop what the producer wrote later.
        if (outcome != Outcome::dropped && aborted != nullptr &&
            aborted->last_offset == header.base_offset) {
            output_aborted_.push_back(*aborted);
        }
        return outcome;
    }
    if (aborted != nullptr) {
        return filter_->filter_aborted(batch, must_stay);
    }
    QT_TRY_ASSIGN(const Outcome outcome, filter_->filter(batch, must_stay));
    bytes_plain_ += header.compression_id() == 0 ? 0 : filter_->plain_size();
    if (header.is_transactional() && header.records_count > 0 &&
        (outcome == Outcome::whole || outcome == Outcome::rewritten)) {
        with_records_.insert(header.producer_id);
    }
    return outcome;
}

Result<void> Compaction::clean_batch(const BatchView& batch, bool must_stay) {
    const Result<CompactionFilter::Outcome> outcome = decide(batch, must_stay);
    if (!outcome) {
        if (outcome.error().code == Code::internal) {
            return outcome.error();
        }
        return damaged_source(reader_->path(), 0, to_string(outcome.error()));
    }
    switch (*outcome) {
    case CompactionFilter::Outcome::dropped:
        is_changed_ = true;
        return {};
    case CompactionFilter::Outcome::whole:
        pending_.insert(pending_.end(), batch.bytes.begin(), batch.bytes.end());
        pending_headers_.push_back(batch.header);
        break;
    case CompactionFilter::Outcome::rewritten:
    case CompactionFilter::Outcome::emptied:
        is_changed_ = true;
        pending_.insert(pending_.end(), filter_->batch().begin(), filter_->batch().end());
        pending_headers_.push_back(filter_->header());
        break;
    }
    if (pending_.size() >= kWriteSize) {
        QT_TRY(write_out());
    }
    return {};
}

Result<void> Compaction::write_out() {
    if (!pending_headers_.empty()) {
        QT_TRY(output_->append_run(pending_headers_, pending_, setup_.config.index_interval_bytes));
        bytes_written_ += pending_.size();
        pending_.clear();
        pending_headers_.clear();
    }
    return {};
}

Result<void> Compaction::end_group() {
    counts_ = filter_->counts();
    if (!is_changed_) {
        pending_.clear();
        pending_headers_.clear();
        remove_output();
        group_++;
        begin_group();
        return {};
    }
    QT_TRY(write_out());
    if (!setup_.aborted.empty()) {
        // Always, be there no entry left: a restart finds out by it how far taking over had come.
        QT_TRY(output_->aborted().write_all(std::move(output_aborted_)));
        QT_TRY_ASSIGN(const std::optional<port::FileRef> file, output_->aborted().unsynced_file());
        QT_TRY((*file)->sync_blocking());
        output_->aborted().count_as_synced();
    }
    QT_ASSERT(output_->next_offset() == setup_.sources[last_source_].next);
    state_ = State::wants_sync;
    return {};
}

Result<port::FileRef> Compaction::file_to_sync() {
    QT_ASSERT(state_ == State::wants_sync);
    return output_->file();
}

void Compaction::on_synced() {
    QT_ASSERT(state_ == State::wants_sync);
    output_->synced_size = output_->size();
    bytes_after_ += output_->size();
    state_ = State::wants_swap;
}

Compaction::Swap Compaction::swap() {
    QT_ASSERT(state_ == State::wants_swap);
    return {output_.get(),
            std::span<const SegmentFacts>(setup_.sources).subspan(group().first, group().count)};
}

void Compaction::on_swapped() {
    QT_ASSERT(state_ == State::wants_swap);
    for (const SegmentFacts& source : swap().sources) {
        bytes_before_ += source.size_bytes;
    }
    state_ = State::working;
    group_++;
    begin_group();
}

void Compaction::remove_output() {
    if (!output_) {
        return;
    }
    output_->close_files();
    // Under another name, since the next run uses this one and unlinking happens some time later.
    const std::string garbage = output_->path() + std::string(kDeletedExtension);
    if (disk_.rename(output_->path(), garbage)) { // else the next run writes it anew
        disk_.remove_later(garbage);
    }
    // What stays goes when the next run makes its files under these names, or at the next start.
    static_cast<void>(disk_.remove(output_->index_path()));
    static_cast<void>(disk_.remove(output_->aborted_path()));
    output_.reset();
}

} // namespace qtool::storage
