#include "server/storage/log.h"

#include "lib/base/assert.h"
#include "lib/base/crc32c.h"
#include "lib/base/log.h"
#include "server/storage/append_check.h"
#include "server/storage/compaction.h"
#include "server/storage/data_dir.h"
#include "server/storage/log_hot.h"
#include "server/storage/partition_files.h"
#include "server/storage/recompress.h"

#include <algorithm>
#include <cerrno>
#include <limits>

namespace qtool::storage {

namespace {

constexpr int64_t kRelativeOffsetMax = std::numeric_limits<int32_t>::max();

// Spreads the rolls of partitions that were created together. Derived, so that a run repeats.
int64_t roll_jitter(const std::string& directory, Offset base, int64_t jitter_max) {
    if (jitter_max <= 0) {
        return 0;
    }
    const uint32_t seed = crc32c(as_bytes(directory + offset_file_name(base)));
    return static_cast<int64_t>(seed) % jitter_max;
}

} // namespace

bool is_out_of_descriptors(const Error& error) {
    return error.sys_errno == EMFILE || error.sys_errno == ENFILE;
}

Log::Log(port::Disk& disk, std::string directory, const LogConfig& config, const OpenHint& hint)
    : disk_(disk),
      directory_(std::move(directory)),
      config_(config),
      key_(hint.key) {}

Log::~Log() = default;

Result<std::unique_ptr<Log>> Log::open(port::Disk& disk, std::string directory,
                                       const LogConfig& config, const OpenHint& hint,
                                       WallTime now) {
    std::unique_ptr<Log> log(new Log(disk, std::move(directory), config, hint));
    log->last_wall_ = now;
    log->synced_end_ = hint.recovery_point;
    log->high_watermark_ = hint.high_watermark;
    if (hint.clean && hint.clean->is_clean) {
        const PartitionState& state = *hint.clean;
        log->epochs_ = EpochCache(state.epochs);
        log->log_start_ = state.log_start_offset;
        log->log_end_ = state.log_end_offset;
        log->synced_end_ = state.log_end_offset;
        log->size_bytes_ = state.size_bytes;
        log->segment_count_ = state.segment_count;
        log->oldest_max_timestamp_ = state.oldest_max_timestamp;
        log->has_directory_ = state.has_directory;
        log->has_producers_ = state.has_producers;
        log->first_open_ = state.first_open_transaction;
        log->first_undecided_ = state.first_undecided_transaction;
        log->undecided_until_ = state.undecided_until;
        log->high_watermark_ = std::min(state.high_watermark, state.log_end_offset);
        log->is_clean_ = true;
        return log;
    }
    if (Result<void> recovered = log->recover(hint.settle, now); !recovered) {
        if (recovered.error().code != Code::storage_damaged) {
            return std::move(recovered).error();
        }
        log->hot_.reset();
        log->failure_ = std::move(recovered).error();
    }
    if (hint.void_until > Offset{0} && !log->failure_) {
        // On a full disk it goes without: at worst a later start takes the log for damaged.
        if (Result<void> voided = log->void_notes(hint.void_until);
            !voided && voided.error().code != Code::storage_full) {
            return std::move(voided).error();
        }
    }
    return log;
}

Result<void> Log::check_usable() const {
    if (failure_) {
        return *failure_;
    }
    return {};
}

Error Log::damaged(std::string detail) {
    failure_ = Error(Code::storage_damaged, std::move(detail));
    log_line(LogLevel::error, "partition_damaged", {{"why", failure_->detail}});
    return *failure_;
}

Result<Log::Hot*> Log::load(WallTime now) {
    QT_TRY(check_usable());
    if (hot_) {
        return hot_.get();
    }
    if (!has_directory_) {
        hot_ = std::make_unique<Hot>();
        hot_->producers_loaded = true;
        return hot_.get();
    }
    if (Result<void> loaded = note_damage(load_clean(now)); !loaded) {
        hot_.reset();
        return std::move(loaded).error();
    }
    return hot_.get();
}

uint64_t Log::producers_evicted() const {
    return hot_ ? hot_->producers.evicted() : 0;
}

// ---- append -------------------------------------------------------------------------------------

Result<Log::Hot*> Log::load_with_producers(WallTime now) {
    QT_TRY_ASSIGN(Hot * hot, load(now));
    if (!hot->producers_loaded) {
        QT_TRY_ASSIGN(const Listing listing, list_files());
        QT_TRY(note_damage(load_producers(listing, now)));
    }
    return hot;
}

Result<AppendInfo> Log::append(ByteSpan batch, LeaderEpoch epoch, WallTime now,
                               const TransactionProof& proof) {
    QT_TRY(check_usable());
    last_wall_ = now;
    QT_TRY_ASSIGN(CheckedBatch checked, check_append(batch, config_, now));
    const protocol::BatchHeader& header = checked.header;
    QT_TRY_ASSIGN(Hot * hot, load_with_producers(now));
    const bool log_append_time = config_.timestamp_type == protocol::TimestampType::log_append_time;
    if (header.has_producer_id()) {
        const Result<std::optional<ProducerState::Duplicate>> known =
            hot->producers.check(header, now, config_.producer_id_expiration_ms, proof.is_v2);
        if (known && *known) {
            AppendInfo info;
            info.base_offset = (*known)->base_offset;
            info.last_offset = (*known)->last_offset;
            info.log_append_time_ms = log_append_time ? (*known)->timestamp : -1;
            info.appended = false;
            info.log_start_offset = log_start_;
            return info;
        }
        // Also a batch out of order: the one before it may be on its way to the coordinator, and
        // comes back first.
        if (hot->producers.begins_transaction(header) &&
            (known || known.error().code == Code::out_of_order_sequence)) {
            QT_TRY_ASSIGN(const bool is_verified, hot->producers.is_verified(header, proof.guard));
            if (!is_verified) {
                AppendInfo info;
                info.appended = false;
                info.log_start_offset = log_start_;
                info.verification_guard = hot->producers.begin_verification(header, ++last_guard_);
                return info;
            }
        }
        if (!known) {
            return known.error();
        }
    }
    set_batch_time(batch, config_, now, checked);
    std::optional<std::vector<std::byte>> recompressed;
    if (!is_low_) {
        QT_TRY_ASSIGN(recompressed, recompress(batch, checked.header, config_));
        if (recompressed) {
            batch = *recompressed;
        }
    }
    Result<AppendInfo> appended =
        is_low_ ? Error(Code::storage_full,
                        directory_ + ": less space is free than log.dir.reserve.bytes keeps")
                : append_as_leader(*hot, batch, header, epoch, now);
    if (!appended && appended.error().code == Code::storage_full && header.has_producer_id()) {
        hot->producers.note_refused(header, Code::storage_full, now);
    }
    return appended;
}

void Log::note_refused(ByteView batch, Code code, WallTime now) {
    const Result<protocol::BatchHeader> header = protocol::parse_batch_header(batch);
    if (failure_ || !header || !header->has_producer_id() || header->base_sequence < 0) {
        return;
    }
    // A log that cannot be read says so when the batch comes again.
    if (const Result<Hot*> hot = load_with_producers(now)) {
        (*hot)->producers.note_refused(*header, code, now);
    }
}

// The batch passed the gate: gets the next offset and this leader's epoch.
Result<AppendInfo> Log::append_as_leader(Hot& hot, ByteSpan batch, protocol::BatchHeader header,
                                         LeaderEpoch epoch, WallTime now,
                                         const protocol::TransactionMarker* marker) {
    header.base_offset = log_end_;
    header.partition_leader_epoch = epoch;
    protocol::patch_base_offset_and_epoch(batch, log_end_, epoch);
    return append_placed(hot, batch, header, now, marker);
}

// The batch has its offset, at or behind the log end: finds room for it and writes it.
Result<AppendInfo> Log::append_placed(Hot& hot, ByteView batch, const protocol::BatchHeader& header,
                                      WallTime now, const protocol::TransactionMarker* marker) {
    if (header.base_offset.value() > std::numeric_limits<int64_t>::max() - kRelativeOffsetMax) {
        return Error(Code::invalid_request, directory_ + ": offsets are used up");
    }
    if (!has_directory_) {
        QT_TRY(create_directory(FirstSegment::yes, now));
    } else if (hot.segments.empty()) {
        QT_TRY(add_segment(log_end_, now));
    } else {
        const Segment& active = hot.active();
        QT_TRY_ASSIGN(const int64_t first_timestamp, hot.active().first_timestamp());
        const bool is_old = first_timestamp >= 0 && header.max_timestamp >= 0 &&
                            header.max_timestamp - first_timestamp >
                                config_.segment_ms - roll_jitter(directory_, active.base_offset(),
                                                                 std::min(config_.segment_jitter_ms,
                                                                          config_.segment_ms));
        const int64_t last_relative = header.last_offset() - active.base_offset();
        if (active.size() > 0 &&
            (active.size() + batch.size() > config_.segment_bytes || is_old ||
             active.index_size_bytes() + kIndexEntrySize > config_.segment_index_bytes ||
             last_relative > kRelativeOffsetMax)) {
            QT_TRY(append_roll(now));
        }
    }
    Segment& active = hot.active();
    QT_TRY(active.file()); // nothing is written yet, so nothing is to be undone when this fails
    const uint64_t position = active.size();
    std::optional<AbortedTransaction> aborted;
    if (marker != nullptr && marker->type == protocol::ControlType::abort) {
        aborted = hot.producers.preview_abort(marker->producer_id, header.base_offset);
    }
    if (aborted) {
        QT_TRY(append_note_abort(active, *aborted));
    }
    if (Result<void> written = active.append(header, batch, config_.index_interval_bytes);
        !written) {
        append_undo(active, aborted.has_value());
        return std::move(written).error();
    }
    is_clean_ = false;
    epochs_.assign(header.partition_leader_epoch, header.base_offset);
    if (marker != nullptr) {
        static_cast<void>(hot.producers.first_unstable(synced_end_)); // forgets what is past
        hot.producers.end_transaction(*marker, header.base_offset, now);
    } else if (header.has_producer_id() && !header.is_control()) {
        hot.producers.update(header, now);
    }
    hot.tail.push({header.base_offset, header.last_offset(), position, header.size_bytes});
    log_end_ = header.next_offset();
    size_bytes_ += batch.size();
    if (hot.segments.size() == 1) {
        oldest_max_timestamp_ = active.max_timestamp();
    }
    AppendInfo info;
    info.base_offset = header.base_offset;
    info.last_offset = header.last_offset();
    info.log_append_time_ms = config_.timestamp_type == protocol::TimestampType::log_append_time
                                  ? header.max_timestamp
                                  : -1;
    info.log_start_offset = log_start_;
    return info;
}

Result<void> Log::append_roll(WallTime now) {
    Hot& hot = *hot_;
    hot.active().write_index();
    QT_TRY(add_segment(log_end_, now));
    if (Result<void> written = write_producers(); !written) {
        // Costs time at the next recovery, nothing else.
        log_line(LogLevel::warn, "producer_snapshot_not_written",
                 {{"partition", directory_}, {"error", to_string(written.error())}});
    }
    if (hot.segments.size() % kRollsPerSnapshotDeletion == 0) {
        // Recovery may start from the one that stays: not behind what is synced.
        hot.snapshots_until = hot.segments.front().base_offset();
        for (const Segment& segment : hot.segments) {
            if (segment.base_offset() <= synced_end_) {
                hot.snapshots_until = segment.base_offset();
            }
        }
    }
    close_surplus_files();
    return {};
}

Result<void> Log::add_segment(Offset base, WallTime now) {
    last_wall_ = now;
    Segment segment(disk_, directory_, base, 0);
    QT_TRY(segment.create());
    hot_->segments.push_back(std::move(segment));
    hot_->tail.clear();
    hot_->names_made++;
    is_clean_ = false;
    segment_count_ = static_cast<uint32_t>(hot_->segments.size());
    return {};
}

void Log::update_summary() {
    size_bytes_ = 0;
    for (const Segment& segment : hot_->segments) {
        size_bytes_ += segment.size();
    }
    segment_count_ = static_cast<uint32_t>(hot_->segments.size());
    if (hot_->segments.empty()) {
        oldest_max_timestamp_ = -1;
    } else if (hot_->segments.front().has_index()) { // else it is what it was
        oldest_max_timestamp_ = hot_->segments.front().max_timestamp();
    }
}

// ---- idle and end -------------------------------------------------------------------------------

Result<EpochEnd> Log::epoch_end(LeaderEpoch epoch) const {
    QT_TRY(check_usable());
    return epochs_.end_of(epoch, log_end_);
}

void Log::close_sealed_files() {
    if (!hot_) {
        return;
    }
    for (Segment& segment : hot_->segments) {
        if (&segment != &hot_->active()) {
            segment.close_files();
        }
    }
}

// A sync of a file tells of writes to it that failed before it was opened, if nobody was told.
void Log::close_files() {
    if (hot_) {
        for (Segment& segment : hot_->segments) {
            segment.close_files();
        }
    }
}

void Log::release_idle() {
    if (!hot_ || failure_ || synced_end_ < log_end_ || hot_->deletion || compaction_) {
        return;
    }
    settle();
    if (settles_) {
        return; // until a flush has done it
    }
    Hot& hot = *hot_;
    for (Segment& segment : hot.segments) {
        if (segment.needs_sync) {
            const Result<port::FileRef> file = segment.file();
            if (!file) {
                return; // the log stays as it is; the next write finds out what is wrong
            }
            if (Result<void> synced = (*file)->sync_blocking(); !synced) {
                fail(synced.error()); // the next sync would succeed, and bring nothing
                return;
            }
            segment.needs_sync = false;
        }
    }
    if (has_directory_) {
        if (Result<void> synced = sync_names(); !synced) {
            if (!is_out_of_descriptors(synced.error())) {
                fail(synced.error());
            }
            return;
        }
    }
    if (!is_clean_ && has_directory_ && !hot.segments.empty()) {
        hot.active().write_index();
        if (hot.producers_loaded) {
            set_first_open(hot.producers);
            has_producers_ = hot.producers.size() > 0;
            if (has_producers_) {
                release_write_producers();
            }
        }
    }
    update_summary();
    hot_.reset();
    is_clean_ = true;
}

Result<void> Log::close() {
    abandon_compaction();
    QT_TRY(check_usable());
    if (hot_) {
        QT_TRY(flush_blocking());
        release_idle();
        if (hot_) {
            return Error(Code::storage_io, directory_ + ": could not be closed cleanly");
        }
    }
    for (const DeletedFile& file : deleted_) {
        QT_TRY(disk_.remove(file.path));
    }
    deleted_.clear();
    is_clean_ = true;
    return {};
}

uint64_t Log::settled_bytes(Offset base, uint64_t listed) const {
    if (!hot_ || hot_->segments.empty() || base != hot_->active().base_offset()) {
        return listed;
    }
    return std::min(listed, hot_->active().durable_size());
}

void Log::relocate(std::string directory) {
    QT_ASSERT(!failure_ && !compaction_);
    QT_ASSERT(!has_directory_ || (is_clean_ && !hot_));
    QT_ASSERT(deleted_.empty());
    QT_ASSERT(journal_ == nullptr || !journal_->holds(key_));
    directory_ = std::move(directory);
}

PartitionState Log::state_for_checkpoint() const {
    PartitionState state;
    state.key = key_;
    state.is_clean = is_clean_ && !hot_ && !failure_;
    state.has_directory = has_directory_;
    state.has_producers = has_producers_;
    state.first_open_transaction = first_open_;
    state.first_undecided_transaction = first_undecided_;
    state.undecided_until = undecided_until_;
    state.log_start_offset = log_start_;
    state.log_end_offset = log_end_;
    state.synced_end_offset = synced_end_;
    state.high_watermark = high_watermark_;
    state.size_bytes = size_bytes_;
    state.segment_count = segment_count_;
    state.oldest_max_timestamp = oldest_max_timestamp_;
    state.epochs = epochs_.starts();
    return state;
}

Result<void> Log::remove_all() {
    compaction_.reset();
    hot_.reset();
    failure_ = Error(Code::unknown_topic, directory_ + ": the topic was deleted");
    QT_TRY_ASSIGN(const bool there, disk_.exists(directory_));
    if (!there) {
        return {};
    }
    QT_TRY_ASSIGN(const std::optional<PartitionKey> owner, read_partition_meta(disk_, directory_));
    if (owner && *owner != key_) {
        return {}; // a topic of the same name was created meanwhile: its directory, not ours
    }
    const std::string parent = parent_directory(directory_);
    const std::string name = deleted_directory_name(directory_, key_);
    QT_TRY(disk_.rename(directory_, parent + "/" + name));
    QT_TRY(disk_.sync_directory(parent));
    return remove_deleted_directory(disk_, parent, name);
}

} // namespace qtool::storage
