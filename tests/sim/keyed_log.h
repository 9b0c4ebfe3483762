// KeyedLog: what must be true of one partition of a compacted topic, whatever happens:
//
//   one record an offset   seen by a reader or acknowledged: nothing else is ever there
//   order                  records of an idempotent producer: one offset each, in order of sending
//   nothing is lost        a reader that passes a record without seeing it finds one of the same
//   key
//                          behind it, or it was a tombstone whose delete.retention.ms are over
//   nothing too early      nor is it younger than min.compaction.lag.ms
//   no resurrection        what one reader found gone, no later request brings back; who read a
//   value
//                          sees the tombstone behind it when it gets there in good time
//   bounds                 the high watermark never falls; the log start only rises, and only with
//                          cleanup.policy delete
//
// So a reader of everything ends with the latest acknowledged value of each key, or a later one.
#pragma once

#include "tests/sim/sim_world.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace qtool::sim {

class KeyedLog {
public:
    using Id = uint64_t;

    struct Rules {
        Duration delete_retention{};
        Duration min_lag{};
        bool may_delete = false; // cleanup.policy has delete, too
    };
    struct Seen {
        Id id = 0;
        int64_t offset = 0;
        std::string key;
        bool is_tombstone = false;
    };
    /// One reader's way from some offset on.
    struct Reading {
        struct Last {
            bool is_tombstone = false;
            MonoTime asked_at{};
        };
        int64_t position = 0;
        std::map<std::string, Last> last; // by key
    };
    struct Known {
        int64_t high_watermark = 0;
        int64_t log_start = 0;
    };

    KeyedLog(World& world, std::string name, Rules rules)
        : world_(world),
          name_(std::move(name)),
          rules_(rules) {}

    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] const Rules& rules() const { return rules_; }

    /// `producer`: nothing for one that is not idempotent.
    Id on_made(std::optional<uint16_t> producer, std::string key, bool is_tombstone);
    void on_sent(Id id);
    void on_acknowledged(Id id, int64_t offset);
    [[nodiscard]] Known known() const { return known_; }
    void on_watermarks(Known before, int64_t high_watermark, int64_t log_start);
    /// A batch, or a gap, up to `end` was passed with these records in it; the fetch was sent at
    /// `asked_at`.
    void on_passed(Reading& reading, int64_t end, const std::vector<Seen>& seen, MonoTime asked_at);

private:
    struct Record {
        std::string key;
        std::optional<uint16_t> producer;
        bool is_tombstone = false;
        MonoTime made_at{};
        uint32_t sends = 0;
        std::optional<int64_t> offset; // where it was first seen
    };
    void place(Id id, int64_t offset, const char* how);
    void check_skipped(const Reading& reading, int64_t offset, MonoTime asked_at);
    [[nodiscard]] bool in_doubt(const std::string& key, int64_t offset) const;
    [[nodiscard]] bool clock_is_steady() const;
    void violate(const std::string& what) { world_.violate(name_ + ": " + what); }
    [[nodiscard]] std::string describe(Id id) const;

    World& world_;
    std::string name_;
    Rules rules_;
    Known known_;
    std::vector<Record> records_;                     // by id
    std::map<int64_t, Id> offsets_;                   // what is known to be where
    std::map<std::string, std::set<int64_t>> by_key_; // offsets
    std::map<std::string, std::set<Id>> doubts_;      // sent, and maybe in the log where nobody saw
    std::map<uint16_t, std::map<Id, int64_t>> order_; // of idempotent producers
    std::map<int64_t, MonoTime> gone_;                // found gone at that time
};

} // namespace qtool::sim
