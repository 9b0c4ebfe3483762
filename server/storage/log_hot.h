// What a log in use keeps beyond its cold state. Private to log*.cc.
#pragma once

#include "server/storage/limits.h"
#include "server/storage/log.h"
#include "server/storage/producer_state.h"
#include "server/storage/segment.h"

#include <array>
#include <deque>
#include <limits>
#include <optional>

namespace qtool::storage {

/// Places of the last appended batches of the active segment: readers at the tail need no index.
class TailRing {
public:
    struct Batch {
        Offset base_offset;
        Offset last_offset;
        uint64_t position = 0;
        uint32_t size_bytes = 0;
    };
    void push(const Batch& batch) {
        batches_[next_ % kTailBatchesMax] = batch;
        next_++;
    }
    void clear() { next_ = 0; }
    [[nodiscard]] size_t size() const { return next_ < kTailBatchesMax ? next_ : kTailBatchesMax; }
    /// 0 is the oldest.
    [[nodiscard]] const Batch& at(size_t i) const {
        return batches_[(next_ - size() + i) % kTailBatchesMax];
    }

private:
    std::array<Batch, kTailBatchesMax> batches_;
    size_t next_ = 0;
};

/// The log start on its way, in the steps that log_retention.cc opens with.
struct Log::Deletion {
    Offset to;
    Offset first_kept; // segments below this one go
    const char* why = "";
    port::FileRef log_start; // under its temporary name; nullptr: it has its name ...
    uint64_t named_at = 0;   // ... since then, of names_made
    port::FileRef snapshot;  // to be durable before; nullptr: none need be
    Offset then;             // what was asked for meanwhile comes next
};

struct Log::Hot {
    std::deque<Segment> segments; // rising; the last one is appended to
    ProducerState producers;
    bool producers_loaded = false;
    uint64_t names_made = 0;   // changes of the directory's entries ...
    uint64_t names_synced = 0; // ... and up to which of them all are durable
    bool is_new = false; // neither the directory's own entry nor whose it is need be durable yet
    std::optional<Offset> snapshots_until; // of producers; the next flush leaves one below it
    std::optional<Deletion> deletion;
    TailRing tail;

    Segment& active() { return segments.back(); }
    [[nodiscard]] bool has_unsynced_names() const { return names_synced < names_made; }
};

struct Log::Listing {
    struct File {
        Offset base;
        uint64_t size = 0;
        bool has_aborted = false; // transactions, in an index
    };
    std::vector<File> segments;       // rising
    std::vector<Offset> snapshots;    // rising
    std::vector<File> swaps;          // durable segments that are to replace others
    std::vector<std::string> garbage; // names of deleted and temporary files

    // What recovery read in full: from this segment on, and whether transactions wrote there.
    Offset checked_from{std::numeric_limits<int64_t>::max()};
    bool has_transactions = false;
};

struct Log::Snapshot {
    ProducerState state;
    Offset taken_at; // after all batches below it
};

} // namespace qtool::storage
