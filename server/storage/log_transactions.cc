// Log: transactions: markers, what was aborted, what is still open.
#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/storage/header_scan.h"
#include "server/storage/log_hot.h"

#include <algorithm>
#include <map>

namespace qtool::storage {

namespace {

// Nothing: a control batch that ends no transaction.
Result<std::optional<protocol::TransactionMarker>>
read_marker(port::File& file, const Segment& segment, uint64_t position,
            const protocol::BatchHeader& header) {
    if (header.records_count == 0 || header.size_bytes > kHeaderWindowSize) {
        return std::optional<protocol::TransactionMarker>();
    }
    std::vector<std::byte> bytes(header.size_bytes);
    QT_TRY_ASSIGN(const size_t got, file.read_at(bytes, position));
    Result<std::optional<protocol::TransactionMarker>> marker =
        Error(Code::malformed, "the file became shorter");
    if (got == bytes.size()) {
        marker = protocol::parse_transaction_marker({header, bytes});
    }
    if (!marker) {
        return Error(Code::storage_damaged, segment.path() + " is damaged at position " +
                                                std::to_string(position) + ": " +
                                                to_string(marker.error()));
    }
    return marker;
}

} // namespace

// ---- append -------------------------------------------------------------------------------------

Result<AppendInfo> Log::append_own(ByteSpan batch, LeaderEpoch epoch, WallTime now) {
    QT_TRY(check_usable());
    last_wall_ = now;
    QT_TRY_ASSIGN(const protocol::BatchHeader header, protocol::parse_batch_header(batch));
    QT_ASSERT(header.size_bytes == batch.size() && !header.is_control());
    QT_ASSERT(header.is_transactional() == header.has_producer_id());
    QT_ASSERT(header.base_sequence == protocol::kNoSequence);
    if (batch.size() > config_.segment_bytes) {
        return Error(Code::record_list_too_large, directory_ + ": a batch of " +
                                                      std::to_string(batch.size()) +
                                                      " bytes does not fit into a segment");
    }
    QT_TRY_ASSIGN(Hot * hot, load_with_producers(now));
    if (header.is_transactional()) {
        QT_TRY(hot->producers.check_own(header));
    }
    return append_as_leader(*hot, batch, header, epoch, now);
}

Result<AppendInfo> Log::append_marker(const protocol::TransactionMarker& marker,
                                      int16_t transaction_version, LeaderEpoch epoch,
                                      WallTime now) {
    QT_TRY(check_usable());
    last_wall_ = now;
    QT_TRY_ASSIGN(Hot * hot, load_with_producers(now));
    QT_TRY(hot->producers.check_marker(marker, transaction_version));
    protocol::TransactionMarker timed = marker;
    if (timed.timestamp < 0) {
        timed.timestamp = now.time_since_epoch().count();
    }
    std::vector<std::byte> batch = protocol::build_transaction_marker(timed);
    if (config_.timestamp_type == protocol::TimestampType::log_append_time) {
        protocol::patch_log_append_time(batch, now);
    }
    const Result<protocol::BatchHeader> header = protocol::parse_batch_header(batch);
    QT_ASSERT(header.has_value());
    return append_as_leader(*hot, batch, *header, epoch, now, &timed);
}

// Before the marker is written: a marker without its entry would make the records pass for good.
Result<void> Log::append_note_abort(Segment& active, const AbortedTransaction& aborted) {
    QT_TRY(aborted_of(active)); // made again if it is damaged
    is_clean_ = false;
    QT_TRY_ASSIGN(const bool is_new_file, active.aborted().append(aborted));
    hot_->names_made += is_new_file ? 1 : 0;
    return {};
}

// Whatever part was written must go, or the next append would follow garbage.
void Log::append_undo(Segment& active, bool has_aborted) {
    Result<void> undone = active.repair();
    if (undone && has_aborted) {
        undone = active.aborted().undo_append();
    }
    if (!undone) {
        failure_ = Error(Code::storage_io,
                         active.path() +
                             ": a failed write could not be undone: " + to_string(undone.error()));
    }
}

// ---- reading ------------------------------------------------------------------------------------

Result<const std::vector<AbortedTransaction>*> Log::aborted_of(Segment& segment) {
    Result<const std::vector<AbortedTransaction>*> entries = segment.aborted().entries();
    if (!entries && entries.error().code == Code::corrupt) {
        log_line(LogLevel::warn, "aborted_index_rebuilt",
                 {{"segment", segment.path()}, {"error", to_string(entries.error())}});
        QT_TRY(note_damage(rebuild_aborted(segment.base_offset())));
        entries = segment.aborted().entries();
    }
    return entries;
}

// The offset behind the last batch of a range that read() gave.
Result<Offset> Log::end_of(const ReadInfo& read) {
    std::deque<Segment>& segments = hot_->segments;
    Segment& segment = *find_segment(read.first_base_offset);
    const uint64_t position = read.range.position + read.range.size;
    if (position >= segment.size()) {
        const auto next = std::find_if(segments.begin(), segments.end(), [&](const Segment& other) {
            return other.base_offset() > segment.base_offset();
        });
        return next == segments.end() ? log_end_ : next->base_offset();
    }
    HeaderScan scan(*read.range.file, segment.path(), position, segment.size());
    QT_TRY_ASSIGN(const protocol::BatchHeader* header, scan.next());
    return header->base_offset;
}

Result<std::vector<AbortedTransaction>> Log::aborted_in(Offset from, const ReadInfo& read) {
    std::vector<AbortedTransaction> aborted;
    if (read.range.size == 0) {
        return aborted;
    }
    QT_TRY_ASSIGN(Hot * hot, load(last_wall_));
    std::deque<Segment>& segments = hot->segments;
    auto at = std::find_if(segments.begin(), segments.end(),
                           [first = find_segment(read.first_base_offset)](const Segment& segment) {
                               return &segment == first;
                           });
    const auto is_empty = [](Segment& segment) { return segment.aborted().is_empty(); };
    if (std::all_of(at, segments.end(), is_empty)) {
        return aborted; // nearly always
    }
    Result<Offset> end = end_of(read);
    if (!end) {
        QT_TRY(note_damage(end.error()));
    }
    // The marker may lie segments behind its transaction's records.
    for (; at != segments.end(); ++at) {
        if (is_empty(*at)) {
            continue;
        }
        QT_TRY_ASSIGN(const std::vector<AbortedTransaction>* entries, aborted_of(*at));
        auto entry = std::partition_point(
            entries->begin(), entries->end(),
            [&](const AbortedTransaction& known) { return known.last_offset < from; });
        bool is_complete = false;
        for (; entry != entries->end() && !is_complete; ++entry) {
            if (entry->first_offset < *end) {
                aborted.push_back(*entry);
            }
            is_complete = entry->last_stable_offset >= *end;
        }
        if (!at->is_open() && &*at != &hot->active()) {
            at->close_files();
        }
        if (is_complete) {
            break;
        }
    }
    return aborted;
}

Offset Log::first_unstable_offset(Offset high_watermark) {
    high_watermark_ = std::max(high_watermark_, high_watermark);
    if (hot_ && hot_->producers_loaded) {
        return hot_->producers.first_unstable(high_watermark);
    }
    return high_watermark <= undecided_until_ ? first_undecided_ : first_open_;
}

// What a cold log keeps of its transactions. One whose marker a follower has, but not all replicas
// yet, is decided only when the high watermark passes the marker.
void Log::set_first_open(ProducerState& producers) {
    first_open_ = producers.first_open();
    first_undecided_ = producers.first_unstable(high_watermark_);
    undecided_until_ = producers.last_undecided_marker();
}

Result<std::vector<ProducerState::Description>> Log::producers(WallTime now) {
    QT_TRY(check_usable());
    QT_TRY_ASSIGN(Hot * hot, load_with_producers(now));
    return hot->producers.describe();
}

// ---- from the log -------------------------------------------------------------------------------

// Reads batch headers from `from` on, which is where `state` is, to the log end.
Result<void> Log::replay_producers(ProducerState& state, Offset from, WallTime now,
                                   const OnAborted& on_aborted) {
    for (Segment& segment : hot_->segments) {
        const bool is_last = &segment == &hot_->active();
        if (from >= log_end_) {
            break;
        }
        if (segment.size() == 0 ||
            (!is_last && segment.base_offset() < from && find_segment(from) != &segment)) {
            continue;
        }
        uint64_t position = 0;
        if (from > segment.base_offset()) {
            QT_TRY_ASSIGN(const std::optional<Segment::Located> first, segment.locate(from));
            if (!first) {
                continue;
            }
            position = first->position;
        }
        QT_TRY_ASSIGN(const port::FileRef file, open_for_read(segment));
        HeaderScan scan(*file, segment.path(), position, segment.size());
        for (;;) {
            QT_TRY_ASSIGN(const protocol::BatchHeader* header, scan.next());
            if (header == nullptr) {
                break;
            }
            if (header->is_control()) {
                QT_TRY_ASSIGN(const std::optional<protocol::TransactionMarker> marker,
                              read_marker(*file, segment, scan.position(), *header));
                if (!marker) {
                    continue;
                }
                if (marker->type == protocol::ControlType::abort && on_aborted) {
                    if (const auto aborted =
                            state.preview_abort(marker->producer_id, header->base_offset)) {
                        on_aborted(segment, *aborted);
                    }
                }
                state.end_transaction(*marker, header->base_offset, now);
                static_cast<void>(state.first_unstable(high_watermark_)); // forgets what is past
            } else if (header->has_producer_id()) {
                // When it was written is not known any more; from now on is the safe side.
                state.update(*header, now);
            }
        }
    }
    return {};
}

// Makes the indexes of the segments from `first_base` on anew, durably. One that the disk has no
// room for says that it is corrupt, and is made when it is wanted.
Result<void> Log::rebuild_aborted(Offset first_base) {
    QT_TRY_ASSIGN(const Listing listing, list_files());
    QT_TRY_ASSIGN(Snapshot snapshot, latest_snapshot(listing, first_base));
    std::map<Offset, std::vector<AbortedTransaction>> found;
    QT_TRY(replay_producers(snapshot.state, snapshot.taken_at, last_wall_,
                            [&](const Segment& segment, const AbortedTransaction& aborted) {
                                found[segment.base_offset()].push_back(aborted);
                            }));
    for (Segment& segment : hot_->segments) {
        if (segment.base_offset() < first_base) {
            continue;
        }
        AbortedIndex& index = segment.aborted();
        if (Result<void> written = index.replace(std::move(found[segment.base_offset()]));
            !written) {
            if (written.error().code != Code::storage_full || index.is_empty()) {
                return written;
            }
            log_line(LogLevel::warn, "aborted_index_not_written",
                     {{"segment", segment.path()}, {"error", to_string(written.error())}});
        }
        QT_TRY_ASSIGN(const std::optional<port::FileRef> file, index.unsynced_file());
        index.count_as_synced();
        if (file) {
            QT_TRY((*file)->sync_blocking());
        }
    }
    return disk_.sync_directory(directory_);
}

// After a crash: the segments that were read in full have indexes that may not fit them.
Result<void> Log::recover_transactions(const Listing& listing, WallTime now) {
    if (listing.has_transactions) {
        QT_TRY(rebuild_aborted(listing.checked_from));
    } else {
        for (Segment& segment : hot_->segments) {
            if (segment.base_offset() >= listing.checked_from) {
                QT_TRY(segment.aborted().replace({}));
            }
        }
        QT_TRY_ASSIGN(Snapshot snapshot, snapshot_to_replay_from(listing));
        if (snapshot.taken_at >= listing.checked_from) {
            set_first_open(snapshot.state); // what follows changes no transaction
            return {};
        }
    }
    QT_TRY(load_producers(listing, now));
    set_first_open(hot_->producers);
    return {};
}

} // namespace qtool::storage
