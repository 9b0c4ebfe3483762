// GroupLog: what must be true of one group, whatever happens. It hears what members sent and what
// the coordinator answered, and ends the run at the first contradiction:
//
//   one owner             a partition has one owner a generation (classic); in a consumer group
//                         nobody is given what another holds and has not given back
//   generations           never fall once an assignment of one was given out
//   nothing is lost       who asks for an offset sees the last acknowledged commit or a later one
//   no regress            the offset seen is never below an acknowledged or an earlier seen one
//   fencing               a commit of an older generation is refused, and one of who left
//
// Each commit carries its number as metadata, so that an answer says which commit it shows.
#pragma once

#include "lib/base/time.h"
#include "tests/sim/sim_world.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::sim {

class GroupLog {
public:
    GroupLog(World& world, std::string name) : world_(world), name_(std::move(name)) {}

    [[nodiscard]] const std::string& name() const { return name_; }

    // ---- commits ----------------------------------------------------------------------------
    /// A commit that is about to be sent; its number. `generation`: -1 in a consumer group, where
    /// epochs of members are not comparable.
    uint64_t on_commit_sent(uint16_t partition, int64_t offset, int32_t generation,
                            std::string_view member_id);
    void on_commit_done(uint64_t commit);
    /// How many commits were acknowledged or seen by now: to be handed to on_fetched.
    [[nodiscard]] uint64_t moment() { return ++clock_; }
    /// An answer to an OffsetFetch sent at `asked`. `metadata` is that of the commit shown.
    void on_fetched(uint16_t partition, uint64_t asked, int64_t offset, std::string_view metadata);
    /// The highest offset that is certain; -1: none is.
    [[nodiscard]] int64_t committed(uint16_t partition) const;

    // ---- a classic group --------------------------------------------------------------------
    /// The generation below which no answer may fall that is asked for now.
    [[nodiscard]] int32_t generation() const { return generation_; }
    void on_assigned(int32_t generation, std::string_view member_id,
                     const std::vector<uint16_t>& partitions);
    void on_joined(int32_t known_generation, int32_t generation);

    // ---- a consumer group -------------------------------------------------------------------
    /// The member has these from now on, and at least until `until` unless it gives them back.
    void on_granted(std::string_view member_id, const std::vector<uint16_t>& partitions,
                    MonoTime until);
    /// The member is about to say that it has these alone.
    void on_kept(std::string_view member_id, const std::vector<uint16_t>& partitions);
    /// The coordinator has let it go, or is told to.
    void on_gone(std::string_view member_id);
    /// ... and has acknowledged that.
    void on_left(std::string_view member_id);

    [[nodiscard]] uint64_t commits_acknowledged() const { return commits_acknowledged_; }

private:
    struct Commit {
        uint16_t partition = 0;
        int64_t offset = 0;
        int32_t generation = -1;
        uint64_t sent = 0; // moments
        uint64_t end = 0;  // when it was certain to be in; 0: not known
        bool must_fail = false;
    };
    struct Certain { // of one partition: what is in for sure, by the last of each kind
        uint64_t sent = 0;
        int32_t generation = -1;
        int64_t offset = -1;
    };
    struct Moment { // what was certain when a fetch was sent, found by its time
        uint64_t at = 0;
        Certain certain;
    };
    struct Hold {
        std::string member_id;
        MonoTime until{};
    };
    void make_certain(Commit& commit);
    void violate(const std::string& what);

    World& world_;
    std::string name_;
    uint64_t clock_ = 0;
    std::vector<Commit> commits_;
    std::map<uint16_t, std::vector<Moment>> certain_; // by partition, rising
    int32_t generation_ = -1;                         // of the last assignment given out
    // By generation and partition: the owner. Generations far below are forgotten.
    std::map<int32_t, std::map<uint16_t, std::string>> owners_;
    std::map<uint16_t, Hold> holds_;       // of a consumer group
    std::map<std::string, uint64_t> left_; // member ids and when their leave was acknowledged
    uint64_t commits_acknowledged_ = 0;
};

} // namespace qtool::sim
