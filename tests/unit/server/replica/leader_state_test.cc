// Proves the rules of a leader about its followers, without a log: up to where a partition is
// committed, when a follower joins and leaves the ISR, whose fetches count, and that a change of
// the ISR holds the high watermark back until somebody knows how it ended.
#include "server/replica/leader_state.h"

#include <doctest/doctest.h>

using namespace qtool;
using namespace qtool::replica;

namespace {

constexpr Duration kLagMax = 30s;
constexpr BrokerId kSelf{1};

MonoTime at(int64_t seconds) {
    return MonoTime(std::chrono::seconds(seconds));
}

metadata::PartitionImage make_image(std::vector<int> isr, int32_t partition_epoch = 0) {
    metadata::PartitionImage image;
    image.replicas = {BrokerId(1), BrokerId(2), BrokerId(3)};
    for (const int id : isr) {
        image.isr.emplace_back(id);
    }
    image.leader = kSelf;
    image.leader_epoch = LeaderEpoch(5);
    image.partition_epoch = partition_epoch;
    return image;
}

struct Fixture {
    LeaderState state;

    explicit Fixture(std::vector<int> isr = {1, 2, 3})
        : state(kSelf, make_image(std::move(isr)), Offset(10), at(0)) {
        state.set_broker(BrokerId(2), true, Revision(102));
        state.set_broker(BrokerId(3), true, Revision(103));
    }

    Code fetch(int id, int64_t offset, int64_t log_end, int64_t seconds, int64_t epoch = -1) {
        const Revision broker_epoch(epoch < 0 ? 100 + id : epoch);
        const LeaderState::Fetch fetch{BrokerId(id), broker_epoch, Offset(offset), Offset(0)};
        if (Result<void> checked = state.check_fetch(fetch); !checked) {
            return checked.error().code;
        }
        state.on_fetch(fetch, Offset(log_end), at(seconds));
        return Code::internal; // none
    }
    int64_t committed(int64_t own_end, int64_t seconds, int32_t min_insync = 1) const {
        const auto end = state.committed_end(Offset(own_end), min_insync, at(seconds), kLagMax);
        return end ? end->value() : -100;
    }
    std::string propose(int64_t log_end, int64_t high, int64_t seconds) {
        const auto proposal =
            state.propose(Offset(0), Offset(log_end), Offset(high), at(seconds), kLagMax);
        return proposal ? describe(*proposal) : "";
    }
};

} // namespace

TEST_CASE("leader: committed is what every member of the ISR has on its disk") {
    Fixture f;
    CHECK(f.committed(20, 1) == -1); // nobody has fetched yet
    f.fetch(2, 15, 20, 1);
    CHECK(f.committed(20, 1) == -1);
    f.fetch(3, 12, 20, 1);
    CHECK(f.committed(20, 1) == 12);
    CHECK(f.committed(11, 1) == 11); // nor more than the leader itself has
}

TEST_CASE("leader: below min.insync.replicas, or with an ELR, nothing is committed (KIP-966)") {
    Fixture f({1});
    CHECK(f.committed(20, 1, 1) == 20);
    CHECK(f.committed(20, 1, 2) == -100);
    metadata::PartitionImage image = make_image({1}, 1);
    image.elr = {BrokerId(2)};
    f.state.apply(image, at(1));
    CHECK(f.committed(20, 1, 1) == -100);
}

TEST_CASE("leader: who is about to join holds the high watermark, as long as it keeps up") {
    Fixture f({1});
    f.fetch(2, 5, 20, 1);
    CHECK(f.committed(20, 1) == 20); // far behind
    f.fetch(2, 20, 30, 2);           // had all that was there a fetch before
    CHECK(f.committed(30, 2) == 20);
    CHECK(f.committed(30, 40) == 30); // and then went silent
    f.fetch(2, 30, 30, 50);
    f.state.set_broker(BrokerId(2), false, Revision(0));
    CHECK(f.committed(40, 50) == 40); // or died
}

TEST_CASE("leader: a follower joins when it has the high watermark and the epoch's start") {
    Fixture f({1});
    f.fetch(2, 9, 9, 1); // caught up, but the epoch begins at 10
    CHECK(f.propose(9, 5, 1).empty());
    f.fetch(2, 12, 12, 2);
    CHECK(f.propose(12, 13, 2).empty()); // below the high watermark
    CHECK(f.propose(12, 12, 2) == "1,2");
    CHECK(f.propose(12, 12, 2).empty()); // in flight
}

TEST_CASE("leader: it does not join while its broker is dead, or is another process by now") {
    Fixture f({1});
    f.fetch(2, 20, 20, 1);
    f.state.set_broker(BrokerId(2), true, Revision(200));
    CHECK(f.propose(20, 20, 1).empty());
    f.state.set_broker(BrokerId(2), false, Revision(102));
    CHECK(f.propose(20, 20, 1).empty());
    f.state.set_broker(BrokerId(2), true, Revision(102));
    CHECK(f.propose(20, 20, 1) == "1,2");
}

TEST_CASE("leader: who has not had all for replica.lag.time.max.ms leaves; records do not count") {
    Fixture f;
    f.fetch(2, 20, 20, 10);
    f.fetch(3, 20, 20, 10);
    f.fetch(2, 1'000, 1'000'000, 29);
    f.fetch(3, 21, 1'000'000, 29);
    CHECK(f.propose(1'000'000, 20, 30).empty());
    CHECK(f.propose(1'000'000, 20, 41) == "1");
    // Committed is still what they have: the metadata has not said that they are out.
    CHECK(f.committed(1'000'000, 41) == 21);
    f.state.apply(make_image({1}, 1), at(42));
    CHECK(f.committed(1'000'000, 42) == 1'000'000);
}

TEST_CASE("leader: a follower that stays at the log end of an idle partition stays in sync") {
    Fixture f;
    f.fetch(2, 20, 20, 1);
    f.fetch(3, 20, 20, 1);
    CHECK(f.propose(20, 20, 1000).empty());
    // A dead one's last fetch was at the end, too; the controller takes it out. One record shows
    // it.
    CHECK(f.propose(21, 20, 1000) == "1");
}

TEST_CASE("leader: who may have joined counts as a member until the outcome is known") {
    Fixture f({1});
    f.fetch(2, 20, 20, 1);
    REQUIRE(f.propose(20, 20, 1) == "1,2");
    f.state.set_broker(BrokerId(2), false, Revision(0));
    CHECK(f.committed(30, 1) == 20);
    SUBCASE("refused") {
        f.state.on_proposal_ended(0, {}, at(2));
        CHECK(f.committed(30, 2) == 30);
        f.state.set_broker(BrokerId(2), true, Revision(102));
        CHECK(f.propose(20, 20, 2).empty()); // a moment of rest
        CHECK(f.propose(20, 20, 3) == "1,2");
    }
    SUBCASE("nobody knows") {
        f.state.on_proposal_ended(0, Error(Code::timed_out), at(2));
        CHECK(f.committed(30, 100) == 20);
        const auto again = f.state.propose(Offset(0), Offset(30), Offset(20), at(100), kLagMax);
        REQUIRE(again);
        CHECK(describe(*again) == "1,2");
        CHECK(again->is_settling); // whatever is decided begins another partition epoch
        f.state.apply(make_image({1}, 1), at(101));
        CHECK(f.committed(30, 101) == 30);
    }
    SUBCASE("committed") {
        f.state.apply(make_image({1, 2}, 1), at(2));
        CHECK(f.committed(30, 2) == 20);
        f.state.on_proposal_ended(0, {}, at(2)); // comes behind the image
        CHECK(f.committed(30, 2) == 20);
    }
    SUBCASE("another change was faster") {
        f.state.apply(make_image({1}, 1), at(2));
        CHECK(f.committed(30, 2) == 30);
        f.state.set_broker(BrokerId(2), true, Revision(102));
        REQUIRE(f.propose(20, 20, 2) == "1,2");
        f.state.set_broker(BrokerId(2), false, Revision(0));
        f.state.on_proposal_ended(0, {}, at(3)); // what the first one is told is not of this one
        CHECK(f.committed(30, 3) == 20);
        f.state.on_proposal_ended(1, {}, at(3));
        CHECK(f.committed(30, 3) == 30);
    }
}

TEST_CASE(
    "leader: who is asked for again is the process that had all, not one that came back empty") {
    Fixture f({1, 2});
    f.fetch(3, 20, 20, 1);
    const auto epoch_of_3 = [&](int64_t seconds) {
        const auto proposal =
            f.state.propose(Offset(0), Offset(20), Offset(20), at(seconds), kLagMax);
        return proposal && proposal->isr.size() == 3 ? proposal->isr[2].broker_epoch.value() : -1;
    };
    CHECK(epoch_of_3(1) == 103);
    f.state.on_proposal_ended(0, Error(Code::timed_out), at(2));
    f.state.set_broker(BrokerId(3), true, Revision(203));
    f.fetch(3, 0, 20, 3, 203);
    CHECK(epoch_of_3(4) == 103); // refused by whoever knows the process of 203
    f.state.apply(make_image({1, 2}, 1), at(4));
    CHECK(epoch_of_3(5) == -1);
    f.fetch(3, 20, 20, 6, 203);
    CHECK(epoch_of_3(6) == 203);
}

TEST_CASE("leader: fetches of strangers and of an earlier process of a broker are refused") {
    Fixture f;
    CHECK(f.fetch(9, 20, 20, 1) == Code::unknown_leader_epoch);
    CHECK(f.fetch(1, 20, 20, 1) == Code::unknown_leader_epoch); // forged: itself
    CHECK(f.fetch(2, 20, 20, 1, 101) == Code::not_leader);      // KIP-903: 102 is live
    CHECK(f.fetch(2, 20, 20, 1, 105) == Code::internal);        // newer than the image here
    CHECK(f.fetch(2, 20, 20, 1, 102) == Code::not_leader);
    CHECK(f.fetch(3, 20, 20, 1, 0) == Code::not_leader); // forged, or from before version 15
}

TEST_CASE("leader: a follower that came back empty counts from where it is now") {
    Fixture f({1, 2});
    f.fetch(2, 20, 20, 1);
    CHECK(f.committed(20, 1) == 20);
    f.fetch(2, 0, 20, 2, 150);
    CHECK(f.committed(20, 2) == 0); // the high watermark, which never falls, stays where it was
}

TEST_CASE("leader: replicas come and go with the image") {
    Fixture f({1, 2});
    metadata::PartitionImage image = make_image({1, 2}, 1);
    image.replicas = {BrokerId(1), BrokerId(2), BrokerId(4)};
    f.state.apply(image, at(1));
    CHECK(f.state.find(BrokerId(3)) == nullptr);
    f.state.set_broker(BrokerId(4), true, Revision(104));
    f.fetch(4, 20, 20, 1);
    f.fetch(2, 20, 20, 1);
    CHECK(f.propose(20, 20, 1) == "1,2,4");
}

TEST_CASE("leader: one whose log is broken asks for the ISR without it, if that has a member") {
    Fixture f;
    const auto proposal = f.state.propose_to_resign(at(1));
    REQUIRE(proposal);
    CHECK(describe(*proposal) == "2,3");
    CHECK_FALSE(f.state.propose_to_resign(at(1))); // in flight
    Fixture alone({1});
    CHECK_FALSE(alone.state.propose_to_resign(at(1)));
}
