// Proves on random histories of one group, each from its seed, what must hold whatever clients do:
// every request is answered exactly once and sooner or later; generations that were given
// assignments and committed offsets are there after a crash.
#include <doctest/doctest.h>

#include <set>

#include "offset_world.h"

using namespace qtool;
using namespace qtool::test;

namespace {

constexpr int kSeeds = 60;
constexpr int kSteps = 400;

class RandomClients {
public:
    explicit RandomClients(uint64_t seed) : prng_(seed) {
        world_.host.config_now.group_size_max = 4;
    }

    void run() {
        for (int step = 0; step < kSteps; step++) {
            act();
            collect();
        }
        world_.host.append_fails.reset();
        world_.wait(1h); // all sessions and rebalances end
        collect();
        CHECK(joins_.empty());
        CHECK(syncs_.empty());
        CHECK(world_.state_of("g") != "PreparingRebalance");
    }

private:
    void act() {
        switch (prng_.below(12)) {
        case 0:
        case 1:
        case 2:
            join();
            break;
        case 3:
        case 4:
        case 5:
            sync();
            break;
        case 6:
            world_.beat(some_id(), some_generation());
            break;
        case 7:
            world_.leave(some_id());
            break;
        case 8:
            commit();
            break;
        case 9:
            world_.wait(std::chrono::milliseconds(prng_.below(8000)));
            break;
        case 10:
            world_.host.append_fails =
                prng_.chance(300'000) ? std::optional(Code::not_leader) : std::nullopt;
            break;
        default:
            if (prng_.chance(200'000)) {
                crash();
            }
            break;
        }
    }
    void join() {
        JoinText text;
        if (prng_.chance(400'000)) {
            text.instance_id = prng_.chance(500'000) ? "i" : "j";
        }
        if (prng_.chance(600'000)) {
            text.member_id = some_id();
        }
        if (prng_.chance(200'000)) {
            text.protocols.emplace_back("sticky", subscription({"t"}));
        }
        joins_.insert(world_.send_join(text));
    }
    void sync() {
        const std::string id = some_id();
        std::vector<std::pair<std::string, std::string>> assignments;
        for (const std::string& member : ids_) {
            assignments.emplace_back(member, "for " + member);
        }
        syncs_[world_.sync(id, some_generation(), assignments)] = id;
    }
    void commit() {
        CommitText text{.generation = some_generation(), .member_id = some_id()};
        if (prng_.chance(300'000)) {
            text.generation = -1;
            text.member_id = "";
        }
        text.offset = static_cast<int64_t>(prng_.below(1000));
        if (world_.commit(text) == 0) {
            committed_ = text.offset;
        }
        CHECK(world_.fetch().committed_offset == committed_);
    }
    // The clients notice: what they waited for does not come.
    void crash() {
        joins_.clear();
        syncs_.clear();
        world_.host.append_fails.reset();
        world_.restart();
        CHECK(world_.fetch().committed_offset == committed_);
        const auto* group = dynamic_cast<const group::ClassicGroup*>(world_.find("g"));
        CHECK((group == nullptr ? 0 : group->generation) >= stable_generation_);
    }
    void collect() {
        for (auto it = joins_.begin(); it != joins_.end();) {
            if (!world_.is_answered(*it)) {
                ++it;
                continue;
            }
            const auto response = world_.joined(*it);
            if (!response.member_id.empty()) {
                ids_.emplace(response.member_id);
            }
            it = joins_.erase(it);
        }
        for (auto it = syncs_.begin(); it != syncs_.end();) {
            if (!world_.is_answered(it->first)) {
                ++it;
                continue;
            }
            const auto response = world_.synced(it->first);
            if (response.error_code == 0) {
                // Its own, that of the static member before it, or none.
                const auto mine = as_text(response.assignment);
                CHECK((mine.empty() || mine.starts_with("for ")));
                const auto* group = dynamic_cast<const group::ClassicGroup*>(world_.find("g"));
                REQUIRE(group != nullptr);
                stable_generation_ = group->generation;
            }
            it = syncs_.erase(it);
        }
    }
    std::string some_id() {
        if (ids_.empty() || prng_.chance(50'000)) {
            return "stranger";
        }
        auto it = ids_.begin();
        // Rather the ids of now than all that ever were.
        const auto* group = dynamic_cast<const group::ClassicGroup*>(world_.find("g"));
        if (group != nullptr && !group->members.empty() && prng_.chance(800'000)) {
            auto member = group->members.begin();
            std::advance(member, static_cast<ptrdiff_t>(prng_.below(group->members.size())));
            return member->first;
        }
        std::advance(it, static_cast<ptrdiff_t>(prng_.below(ids_.size())));
        return *it;
    }
    int32_t some_generation() {
        const auto* group = dynamic_cast<const group::ClassicGroup*>(world_.find("g"));
        return group != nullptr && prng_.chance(900'000) ? group->generation
                                                         : static_cast<int32_t>(prng_.below(5)) - 1;
    }

    Prng prng_;
    OffsetWorld world_;
    std::set<Token> joins_;
    std::map<Token, std::string> syncs_;
    std::set<std::string> ids_;
    int32_t stable_generation_ = 0; // of the last sync that was answered
    int64_t committed_ = -1;
};

} // namespace

TEST_CASE("random: every request of every history is answered once, committed offsets stay") {
    for (uint64_t seed = 1; seed <= kSeeds; seed++) {
        CAPTURE(seed);
        RandomClients(seed).run();
    }
}
