// Checker: what must be true of the records, whatever happens. It hears what clients sent, what was
// acknowledged with acks=all, and what readers saw, and ends the run at the first contradiction:
//
//   one value an offset   seen by a reader or acknowledged: it stays there for good
//   no duplicates         a value of an idempotent producer has one offset; one that was deleted
//   may
//                         be there again, but only once a replica began anew behind it
//                         (on_restarted) and read no later value of that producer since
//   order                 values of an idempotent producer have offsets in the order of sending
//   nothing invented      every value was sent to that partition by that time
//   high watermark        never falls, and is above all that is acknowledged. In a cluster fetches
//                         show one that never falls within a leader epoch (a new leader learns what
//                         is committed from its followers), and ListOffsets an end above all that
//                         is acknowledged (KIP-207)
//   log start             never falls, in a cluster within a leader epoch, and below what was told
//                         to be deleted in none; it rises only to what DeleteRecords asked for, or
//                         over records that are older than retention.ms
//   one leader an epoch   who acknowledged an offset led in the epoch that its batch has; epochs
//                         never fall along a log, and an offset keeps its epoch
//   nothing is lost       an audit reads each partition from log start to high watermark
#pragma once

#include "tests/sim/sim_world.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::sim {

/// producer (16 bits), partition (16 bits), counter (32 bits).
using Value = uint64_t;

class Checker {
public:
    explicit Checker(World& world) : world_(world) {}

    /// `retention`: retention.ms of the topic; nothing: for ever.
    uint16_t add_partition(std::string name, std::optional<Duration> retention = std::nullopt);
    uint16_t add_producer(bool is_idempotent);

    /// The next value that producer sends to that partition.
    Value new_value(uint16_t producer, uint16_t partition);
    void on_acknowledged(uint16_t partition, int64_t offset, Value value);
    void on_read(uint16_t partition, int64_t offset, Value value);

    /// A replica dropped its log and began anew at that offset, where its leader's log starts:
    /// fetches bring no producer state, so it does not know who wrote below.
    void on_restarted(std::string_view partition, int64_t offset);
    /// One of them did: whoever wrote below and had no answer may never learn what became of it.
    [[nodiscard]] bool has_restarted(uint16_t partition) const {
        return !partitions_[partition].restarts.empty();
    }

    /// A bit of what a replica has stored flipped: readers may meet it until it is found.
    void on_rot(uint16_t partition) { partitions_[partition].is_rotten = true; }
    [[nodiscard]] bool may_be_rotten(uint16_t partition) const {
        return partitions_[partition].is_rotten;
    }

    /// Whoever is at that address took the batch at that offset, acknowledged to its producer.
    void on_led(uint16_t partition, int64_t offset, const std::string& address);
    /// A reader saw that offset in a batch of that leader epoch.
    void on_epoch(uint16_t partition, int64_t offset, int32_t epoch);

    /// What is certain when a request is sent, so that its answer may not be behind it.
    struct Known {
        int64_t high_watermark = 0;
        int64_t log_start = 0; // in a cluster: DeleteRecords was answered
        int32_t epoch = -1;    // the leader epoch that the request names; -1: none, or one broker
        int64_t epoch_high_watermark = 0; // ... and what that leader told before
        int64_t epoch_log_start = 0;
    };

    /// Leaders change: see high watermark and log start above.
    void set_replicated() { is_replicated_ = true; }
    /// ListOffsets told where the log ends.
    void on_end(uint16_t partition, Known before, int64_t end);

    /// What is certain when a request is sent: its answer may not be behind it.
    [[nodiscard]] Known known(uint16_t partition) const { return partitions_[partition].known; }
    /// ... of a request that only the leader of that epoch answers.
    [[nodiscard]] Known known(uint16_t partition, int32_t epoch) const;
    void on_watermarks(uint16_t partition, Known before, int64_t high_watermark, int64_t log_start);
    void on_delete_asked(uint16_t partition, int64_t offset);
    void on_delete_done(uint16_t partition, int64_t low_watermark);
    [[nodiscard]] int64_t delete_asked(uint16_t partition) const {
        return partitions_[partition].delete_asked;
    }
    /// Whether all below `offset` may have been deleted by now.
    [[nodiscard]] bool may_start_at(uint16_t partition, int64_t offset) const;
    /// The broker's clock is that far ahead of the time that records have.
    void on_clock(Duration ahead) { clock_ahead_ = std::max(clock_ahead_, ahead); }

    void on_producer_id(int64_t producer_id);

    [[nodiscard]] const std::string& name(uint16_t partition) const {
        return partitions_[partition].name;
    }
    [[nodiscard]] uint64_t acknowledged() const { return acknowledged_; }
    [[nodiscard]] uint64_t read() const { return read_; }

private:
    struct Place {
        int64_t first = 0; // the copy that may have been forgotten
        int64_t last = 0;  // the same, or the one written behind a restart
    };
    using Places = std::map<Value, Place>;
    struct Partition {
        std::string name;
        Known known;
        int64_t delete_asked = 0;
        std::optional<Duration> retention;
        std::map<int64_t, Value> values; // by offset
        Places places;                   // of idempotent producers' values
        std::set<int64_t> restarts;      // see on_restarted
        bool is_rotten = false;
        std::map<uint16_t, uint32_t> sent;      // values by producer
        std::map<Value, MonoTime> made_at;      // with retention only
        std::map<int64_t, std::string> led;     // by offset: who acknowledged it; not read yet
        std::map<int64_t, int32_t> epochs;      // by offset
        std::map<int32_t, std::string> leaders; // by epoch
        std::map<int32_t, Known> in_epoch;      // what its leader told in fetches
    };
    void place(uint16_t partition, int64_t offset, Value value, const char* how);
    static bool may_be_again(const Partition& partition, Places::const_iterator at, Place place);
    static bool is_in_order(const Partition& partition, Place low, Place high);
    void note_leader(Partition& partition, int64_t offset, int32_t epoch,
                     const std::string& address);
    void violate(const Partition& partition, const std::string& what);

    World& world_;
    std::vector<Partition> partitions_;
    Duration clock_ahead_{};       // at most so far
    std::vector<bool> idempotent_; // by producer
    std::map<int64_t, bool> producer_ids_;
    bool is_replicated_ = false;
    uint64_t acknowledged_ = 0;
    uint64_t read_ = 0;
};

std::string to_text(Value value);

} // namespace qtool::sim
