// FlushJournal: group commit over the logs of one core and one log directory. What a flush would
// make durable of many logs, a file each, is written once more here, one after the other, and one
// sync makes all of it durable. The logs' own files follow without haste; a start after a crash
// puts into them what they lack (journal_replay.h).
//
// Two files in turns, each written over and over, so that a sync finds nothing to do but bytes:
//
//   current  --full-->  retiring  --each log in it is synced on its own-->  to be emptied
//            --its next generation is on the disk-->  free  --the other is full-->  current
//
// That bytes are put back is harmless as long as logs only grow. Whatever else happens to a log's
// segments (a cut, compaction, another directory) is preceded by leave(): what the journal has of
// it is void from then on. What is removed is not put back.
//
// Errors put it out of use: nothing that was to go through it is lost, logs are flushed each on its
// own, as they are without a journal, and when all that it holds is synced it goes.
#pragma once

#include "lib/base/byte_writer.h"
#include "lib/base/ids.h"
#include "lib/base/result.h"
#include "server/port/disk.h"
#include "server/storage/journal_record.h"

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::storage {

class FlushJournal {
public:
    /// Of both files together no more than `bytes_max`; too little for anything: it is never used.
    /// Nothing is made before the first offer().
    /// `salt` is another one in each process: what an earlier one wrote, and the file system shows
    /// after a power loss, is none of this one's.
    FlushJournal(port::Disk& disk, std::string log_directory, CoreId core, uint64_t bytes_max,
                 uint64_t salt);

    enum class Answer : uint8_t {
        take,  // add() it
        wait,  // one flush at a time: offer it again when the one under way is done
        full,  // the other file is not settled yet: flush the log on its own
        refuse // the same: it is too large, or the journal out of use
    };
    /// Of one log, for the flush that is being collected.
    Answer offer(uint64_t bytes);
    /// REQUIRES: offer() just said take. Reads `size` bytes of the segment's file. Errors:
    /// storage_io; nothing was added.
    Result<void> add(const JournalRecord& piece, port::File& segment, uint32_t size);
    [[nodiscard]] bool has_collected() const { return !is_flushing_ && collected_.size() > 0; }
    /// Writes what was added. The file is to be synced; end_flush() follows. Errors: what was added
    /// is forgotten, each log is to be flushed on its own; storage_full: the journal makes do with
    /// the room it has; any other: it is out of use.
    Result<port::FileRef> begin_flush();
    /// With what the sync said. An error: it is out of use, and each log is to be flushed on its
    /// own.
    Result<void> end_flush(Result<void> result);
    [[nodiscard]] bool is_flushing() const { return is_flushing_; }

    /// Logs are to be synced on their own, so that a file is free.
    [[nodiscard]] bool is_settling() const { return settling_ == Settling::logs; }
    /// The next one of them.
    std::optional<PartitionKey> next_to_settle();
    /// Those that next_to_settle() gave are synced, but for these, which it will give again.
    /// REQUIRES: it had no more. Returns the file that is to be synced, if there is one, so that
    /// the file that was settled is free: end_emptying() follows.
    port::FileRef end_settling(std::vector<PartitionKey> unsettled);
    void end_emptying(const Result<void>& result);

    /// Whether it holds anything of the log that would be put back.
    [[nodiscard]] bool holds(const PartitionKey& partition) const;
    /// What it holds of the log is void, durably when this returns. Blocks. REQUIRES: the log's
    /// files are synced, or on their way out. Errors: storage_io, storage_full.
    Result<void> leave(std::string_view partition_directory, const PartitionKey& partition);
    /// Every log in it is synced: nothing is to be put back. Errors: storage_io; it can be tried
    /// again.
    Result<void> remove();

private:
    enum class State : uint8_t { unopened, open, broken, off };
    enum class Settling : uint8_t { nothing, logs, emptying };
    struct Side {
        port::FileRef file;
        std::string path;
        uint64_t size = 0; // of the file; behind the records are zeros, or an earlier generation
        uint64_t generation = 0;
        uint64_t end = kJournalHeaderSize; // of the records
        uint64_t size_max = 0;             // below the bound after the disk was full
        std::set<PartitionKey> holds;
    };

    Side& current() { return sides_[current_]; }
    Side& other() { return sides_[1 - current_]; }
    Result<void> open();
    void turn_over();
    Result<void> open_side(Side& side, uint64_t generation);
    Result<void> grow(Side& side, uint64_t end);
    Result<void> write(Side& side, ByteView records, uint64_t position);
    void put_out_of_use(const Error& error);

    port::Disk& disk_;
    std::string directory_;
    uint64_t side_bytes_max_;
    uint64_t reserve_; // of a file, for what leaves
    uint64_t salt_;
    State state_ = State::unopened;
    uint32_t offers_left_ = 0; // before opening is tried again
    std::array<Side, 2> sides_;
    size_t current_ = 0;
    ByteWriter collected_;     // records; during a flush those under way ...
    uint64_t flushing_at_ = 0; // ... which begin here
    std::vector<PartitionKey> collected_of_;
    bool is_flushing_ = false;
    Settling settling_ = Settling::nothing; // the other side; out of use: both
    std::vector<PartitionKey> to_settle_;
};

} // namespace qtool::storage
