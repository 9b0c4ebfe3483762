// Log: finding and reading.
#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/storage/header_scan.h"
#include "server/storage/log_hot.h"

#include <algorithm>

namespace qtool::storage {

namespace {

std::string range_text(Offset start, Offset end) {
    return "[" + std::to_string(start.value()) + ", " + std::to_string(end.value()) + "]";
}

std::deque<Segment>::iterator segment_at(std::deque<Segment>& segments, const Segment& segment) {
    return std::find_if(segments.begin(), segments.end(),
                        [&](const Segment& other) { return &other == &segment; });
}

} // namespace

Segment* Log::find_segment(Offset offset) {
    std::deque<Segment>& segments = hot_->segments;
    const auto next =
        std::upper_bound(segments.begin(), segments.end(), offset,
                         [](Offset o, const Segment& s) { return o < s.base_offset(); });
    return next == segments.begin() ? nullptr : &*std::prev(next);
}

// Sealed segments are read and flushed a while, then hardly ever; their files are not all kept
// open.
void Log::close_surplus_files() {
    std::deque<Segment>& segments = hot_->segments;
    const auto open = std::count_if(segments.begin(), segments.end(),
                                    [](const Segment& segment) { return segment.is_open(); });
    if (static_cast<size_t>(open) < kOpenSealedSegmentsMax) {
        return;
    }
    for (Segment& segment : segments) {
        if (&segment != &hot_->active()) {
            segment.close_files();
        }
    }
}

Result<port::FileRef> Log::open_for_read(Segment& segment) {
    if (!segment.is_open()) {
        close_surplus_files();
    }
    return segment.file();
}

Result<void> Log::note_damage(Result<void> result) {
    if (!result && result.error().code == Code::storage_damaged && !failure_) {
        return damaged(result.error().detail);
    }
    return result;
}

struct Log::ReadStart {
    Segment* segment = nullptr;
    Segment::Located batch;
    port::FileRange absent; // size > 0: to be read in before the batch can be found
};

// The first batch of a read at `from`, in `segment` or in one behind it.
//
// Batches that compaction emptied are passed over: after a run over many segments whose records
// were all superseded, each of them is one such batch, and a read ends with its segment. A consumer
// that gets nothing else takes its fetch size for too small (librdkafka doubles it and reports
// MSG_SIZE_TOO_LARGE at the eleventh time). The last batch below `end` is never passed over, since
// it alone brings a reader there.
//
// `tell_absent`: of a read that does not wait, how many bytes it wants from there on.
Result<std::optional<Log::ReadStart>> Log::read_locate(Segment* segment, Offset from, Offset end,
                                                       std::optional<uint32_t> tell_absent) {
    std::deque<Segment>& segments = hot_->segments;
    size_t empty_left = kEmptyBatchesPassedMax;
    for (;;) {
        QT_TRY(open_for_read(*segment));
        if (tell_absent) {
            Result<port::FileRange> absent = segment->absent_from(from, *tell_absent);
            if (!absent) {
                QT_TRY(note_damage(absent.error()));
            }
            if (absent->size > 0) {
                return std::optional<ReadStart>(ReadStart{segment, {}, *std::move(absent)});
            }
        }
        Result<std::optional<Segment::Located>> located =
            segment->locate_records(from, end, empty_left);
        if (!located) {
            QT_TRY(note_damage(located.error()));
        }
        if (*located) {
            return std::optional<ReadStart>(ReadStart{segment, **located, {}});
        }
        // Offsets `from` to the end of the segment are gone (compaction).
        auto next = std::find_if(segments.begin(), segments.end(), [&](const Segment& other) {
            return other.base_offset() > segment->base_offset() && other.size() > 0;
        });
        if (next == segments.end()) {
            return damaged(segment->path() + ": ends before offset " +
                           std::to_string(from.value()) + ", the log at " +
                           std::to_string(log_end_.value()));
        }
        if (next->base_offset() > segment->next_offset() && !config_.compacted) {
            return damaged(directory_ + ": offsets from " +
                           std::to_string(segment->next_offset().value()) + " to " +
                           std::to_string(next->base_offset().value()) + " are missing");
        }
        if (next->base_offset() >= end) {
            return std::optional<ReadStart>();
        }
        segment = &*next;
        from = next->base_offset();
    }
}

Result<ReadInfo> Log::read(Offset from, Offset end_exclusive, uint32_t bytes_max,
                           IfAbsent if_absent) {
    QT_TRY(check_usable());
    if (from < log_start_ || from > log_end_) {
        return Error(Code::offset_out_of_range, directory_ + ": offset " +
                                                    std::to_string(from.value()) + " is outside " +
                                                    range_text(log_start_, log_end_));
    }
    ReadInfo info;
    if (from >= std::min(end_exclusive, log_end_)) {
        return info;
    }
    QT_TRY_ASSIGN(Hot * hot, load(last_wall_));
    Segment* segment = find_segment(from);
    if (segment == nullptr) {
        return damaged(directory_ + ": no segment holds offset " + std::to_string(from.value()));
    }
    QT_TRY_ASSIGN(info.range.file, open_for_read(*segment));

    // The first batch: from the tail ring, or by the index.
    const TailRing& tail = hot->tail;
    const bool in_tail =
        segment == &hot->active() && tail.size() > 0 && tail.at(0).base_offset <= from;
    size_t tail_first = 0;
    uint64_t first_size = 0;
    if (in_tail) {
        size_t low = 0;
        size_t high = tail.size();
        while (high - low > 1) { // the last batch with base_offset <= from
            const size_t middle = low + (high - low) / 2;
            (tail.at(middle).base_offset <= from ? low : high) = middle;
        }
        tail_first = low;
        info.range.position = tail.at(low).position;
        info.first_base_offset = tail.at(low).base_offset;
        first_size = tail.at(low).size_bytes;
    } else {
        const bool tells = if_absent == IfAbsent::tell;
        QT_TRY_ASSIGN(std::optional<ReadStart> start,
                      read_locate(segment, from, std::min(end_exclusive, log_end_),
                                  tells ? std::optional<uint32_t>(bytes_max) : std::nullopt));
        if (!start) {
            return ReadInfo();
        }
        if (start->absent.size > 0) {
            info.absent = std::move(start->absent);
            info.range = {};
            return info;
        }
        segment = start->segment;
        QT_TRY_ASSIGN(info.range.file, open_for_read(*segment));
        info.range.position = start->batch.position;
        info.first_base_offset = start->batch.header.base_offset;
        first_size = start->batch.header.size_bytes;
        if (tells) {
            // All that follows looks at headers in here, or right behind it.
            QT_TRY_ASSIGN(
                info.absent,
                segment->absent_at(info.range.position, std::max<uint64_t>(bytes_max, first_size)));
            if (info.absent.size > 0) {
                info.range = {};
                return info;
            }
        }
    }
    info.first_batch_size = static_cast<uint32_t>(first_size);

    // Where reading must end: at end_exclusive, found in the tail ring mostly.
    uint64_t end_position = segment->size();
    if (end_exclusive < log_end_) {
        bool found = false;
        if (segment == &hot->active()) {
            size_t i = tail.size();
            for (; i > 0 && tail.at(i - 1).base_offset >= end_exclusive; i--) {
                end_position = tail.at(i - 1).position;
            }
            found = i > 0;
        } else {
            found = std::next(segment_at(hot->segments, *segment))->base_offset() <= end_exclusive;
        }
        if (!found) {
            Result<std::optional<Segment::Located>> located = segment->locate(end_exclusive);
            if (!located) {
                QT_TRY(note_damage(located.error()));
            }
            if (*located) {
                end_position = (*located)->header.base_offset >= end_exclusive
                                   ? (*located)->position
                                   : (*located)->position + (*located)->header.size_bytes;
            }
        }
        // A bound inside a batch does not cut the batch: its base offset lies below the bound.
        end_position = std::max(end_position, info.range.position + first_size);
    }

    const uint64_t limit = info.range.position + std::max<uint64_t>(bytes_max, first_size);
    uint64_t end = std::min(limit, end_position);
    if (end < end_position) {
        if (in_tail) {
            size_t i = tail_first;
            while (i < tail.size() && tail.at(i).position + tail.at(i).size_bytes <= end) {
                i++;
            }
            end = tail.at(i - 1).position + tail.at(i - 1).size_bytes;
        } else {
            Result<uint64_t> boundary =
                segment->batch_boundary(info.range.position + first_size, end);
            if (!boundary) {
                QT_TRY(note_damage(boundary.error()));
            }
            end = *boundary;
        }
    }
    if (!in_tail) {
        const auto next = std::next(segment_at(hot->segments, *segment));
        QT_TRY(note_damage(segment->compare_offsets(
            info.range.position, end,
            next == hot->segments.end() ? log_end_ : next->base_offset())));
    }
    info.range.size = end - info.range.position;
    QT_ASSERT(info.range.size >= first_size);
    return info;
}

// ---- by time ------------------------------------------------------------------------------------

Result<std::optional<TimestampOffset>> Log::find_by_time(int64_t timestamp_ms,
                                                         Offset end_exclusive) {
    QT_TRY_ASSIGN(Hot * hot, load(last_wall_));
    for (Segment& segment : hot->segments) {
        if (segment.base_offset() >= end_exclusive) {
            break;
        }
        QT_TRY(open_for_read(segment));
        QT_TRY(note_damage(segment.ensure_index(config_.index_interval_bytes)));
        if (segment.max_timestamp() < timestamp_ms || segment.next_offset() <= log_start_) {
            continue;
        }
        Result<std::optional<Segment::TimeFound>> found =
            segment.find_by_time(timestamp_ms, log_start_, end_exclusive);
        if (!found) {
            QT_TRY(note_damage(found.error()));
        }
        if (*found) {
            return std::optional<TimestampOffset>(TimestampOffset{
                (*found)->offset, (*found)->timestamp_ms, epochs_.at((*found)->offset)});
        }
    }
    return std::optional<TimestampOffset>();
}

Result<std::optional<TimestampOffset>> Log::max_timestamp_offset() {
    QT_TRY_ASSIGN(Hot * hot, load(last_wall_));
    int64_t greatest = -1;
    for (Segment& segment : hot->segments) {
        QT_TRY(open_for_read(segment));
        QT_TRY(note_damage(segment.ensure_index(config_.index_interval_bytes)));
        if (segment.next_offset() <= log_start_) {
            continue;
        }
        if (segment.base_offset() >= log_start_) {
            greatest = std::max(greatest, segment.max_timestamp());
            continue;
        }
        // Only what DeleteRecords left of this segment counts.
        Result<std::optional<Segment::Located>> first = segment.locate(log_start_);
        if (!first) {
            QT_TRY(note_damage(first.error()));
        }
        if (*first) {
            QT_TRY_ASSIGN(const port::FileRef file, segment.file());
            HeaderScan scan(*file, segment.path(), (*first)->position, segment.size());
            for (;;) {
                Result<const protocol::BatchHeader*> header = scan.next();
                if (!header) {
                    QT_TRY(note_damage(header.error()));
                }
                if (*header == nullptr) {
                    break;
                }
                greatest = std::max(greatest, (*header)->max_timestamp);
            }
        }
    }
    if (greatest < 0) {
        return std::optional<TimestampOffset>();
    }
    QT_TRY_ASSIGN(std::optional<TimestampOffset> found, find_by_time(greatest, log_end_));
    if (!found && config_.compacted) {
        return max_timestamp_of_records(*hot);
    }
    return found;
}

// The greatest time is that of a batch that compaction left without records.
Result<std::optional<TimestampOffset>> Log::max_timestamp_of_records(Hot& hot) {
    int64_t greatest = -1;
    for (Segment& segment : hot.segments) {
        QT_TRY_ASSIGN(const port::FileRef file, open_for_read(segment));
        HeaderScan scan(*file, segment.path(), 0, segment.size());
        for (;;) {
            Result<const protocol::BatchHeader*> header = scan.next();
            if (!header) {
                QT_TRY(note_damage(header.error()));
            }
            if (*header == nullptr) {
                break;
            }
            if ((*header)->records_count > 0 && (*header)->last_offset() >= log_start_) {
                greatest = std::max(greatest, (*header)->max_timestamp);
            }
        }
    }
    if (greatest < 0) {
        return std::optional<TimestampOffset>();
    }
    return find_by_time(greatest, log_end_);
}

} // namespace qtool::storage
