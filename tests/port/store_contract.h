// What every metadata store keeps to. `World` has store(), wait_until(done), and reopen(): another
// process opens what this one left.
#pragma once

#include "server/port/metadata_store.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace qtool::test {

struct StoreRecorder final : port::MetadataStoreEvents {
    std::vector<Result<port::StoreSnapshot>> loads;
    std::map<Token, Result<Revision>> commits;
    std::vector<port::StoreChange> changes;
    std::vector<port::StoreSnapshot> reloads;
    std::vector<MonoTime> renewals;
    int sessions_lost = 0;
    int sessions_closed = 0;

    void on_store_loaded(Result<port::StoreSnapshot> snapshot) override {
        loads.push_back(std::move(snapshot));
    }
    void on_store_committed(Token token, Result<Revision> revision) override {
        CHECK(commits.count(token) == 0);
        commits.emplace(token, std::move(revision));
    }
    void on_store_changed(const port::StoreChange& change) override { changes.push_back(change); }
    void on_store_reloaded(port::StoreSnapshot snapshot) override {
        reloads.push_back(std::move(snapshot));
    }
    void on_session_renewed(MonoTime valid_until) override { renewals.push_back(valid_until); }
    void on_session_lost() override { sessions_lost++; }
    void on_session_closed() override { sessions_closed++; }
};

/// Commits one transaction and waits for its answer and, on success, its change.
template <class World>
Result<Revision> commit_now(World& world, StoreRecorder& events,
                            port::StoreTransaction transaction) {
    const Token token{static_cast<uint32_t>(events.commits.size()), 7};
    world.store().commit(std::move(transaction), token);
    CHECK(events.commits.count(token) == 0); // never from within
    REQUIRE(world.wait_until([&] { return events.commits.count(token) == 1; }));
    Result<Revision> answer = events.commits.at(token);
    if (answer) {
        REQUIRE(world.wait_until([&] {
            return std::any_of(
                events.changes.begin(), events.changes.end(),
                [&](const port::StoreChange& change) { return change.revision == *answer; });
        }));
    }
    return answer;
}

template <class World>
port::StoreSnapshot load_now(World& world, StoreRecorder& events) {
    const size_t before = events.loads.size();
    world.store().load();
    CHECK(events.loads.size() == before);
    REQUIRE(world.wait_until([&] { return events.loads.size() == before + 1; }));
    REQUIRE(events.loads.back());
    return *events.loads.back();
}

TEST_CASE_TEMPLATE_DEFINE("store: transactions, guards and changes", World, store_transactions) {
    World world;
    StoreRecorder events;
    world.store().set_events(&events);
    const port::StoreSnapshot empty = load_now(world, events);
    CHECK(empty.entries.empty());

    const Revision first = commit_now(world, events, {{}, {{"b", "1"}, {"a", "2"}}}).value();
    CHECK(first > Revision{0});
    const Revision second =
        commit_now(world, events, {{{"a", first}, {"c", Revision{0}}}, {{"c", "3"}, {"b", {}}}})
            .value();
    CHECK(second > first);

    // A guard that does not hold: nothing is written, nothing is told.
    for (const port::StoreGuard& guard :
         {port::StoreGuard{"a", second}, port::StoreGuard{"a", Revision{0}},
          port::StoreGuard{"b", first}, port::StoreGuard{"none", first}}) {
        const Result<Revision> refused =
            commit_now(world, events, {{{"c", second}, guard}, {{"a", "x"}, {"d", "y"}}});
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == Code::store_conflict);
    }

    const port::StoreSnapshot snapshot = load_now(world, events);
    CHECK(snapshot.revision >= second);
    CHECK(snapshot.entries == std::vector<port::StoreEntry>{{"a", "2", first}, {"c", "3", second}});
    REQUIRE(events.changes.size() == 2);
    CHECK(events.changes[0].revision == first);
    CHECK(events.changes[1].writes == std::vector<port::StoreWrite>{{"c", "3"}, {"b", {}}});
}

TEST_CASE_TEMPLATE_DEFINE("store: many at once, in order, and there after a reopen", World,
                          store_order) {
    World world;
    constexpr uint32_t kCount = 500;
    Revision last;
    {
        StoreRecorder events;
        world.store().set_events(&events);
        load_now(world, events);
        for (uint32_t i = 0; i < kCount; i++) {
            // Keys and values are bytes, not text.
            world.store().commit({{},
                                  {{"k" + std::to_string(i % 10) + std::string("\0\xff", 2),
                                    std::to_string(i) + std::string("\0", 1)}}},
                                 Token{i, 1});
        }
        REQUIRE(world.wait_until(
            [&] { return events.commits.size() == kCount && events.changes.size() == kCount; }));
        Revision told;
        for (const port::StoreChange& change : events.changes) {
            CHECK(change.revision > told);
            told = change.revision;
        }
        for (uint32_t i = 0; i < kCount; i++) {
            const Revision revision = events.commits.at(Token{i, 1}).value();
            if (i >= 10) { // of one key in the order of the calls
                CHECK(revision > events.commits.at(Token{i - 10, 1}).value());
            }
            last = std::max(last, revision);
        }
        CHECK(told == last);
    }
    world.reopen();
    StoreRecorder events;
    world.store().set_events(&events);
    const port::StoreSnapshot snapshot = load_now(world, events);
    CHECK(snapshot.revision >= last);
    REQUIRE(snapshot.entries.size() == 10);
    CHECK(snapshot.entries[9].key == "k9" + std::string("\0\xff", 2));
    CHECK(snapshot.entries[9].value == "499" + std::string("\0", 1));
    const Revision newest = snapshot.entries[9].mod_revision;
    CHECK(newest <= last);
    CHECK(commit_now(world, events, {{{snapshot.entries[9].key, newest}}, {{"z", "1"}}}).value() >
          last);
}

TEST_CASE_TEMPLATE_DEFINE("store: ephemeral keys live as long as the session", World,
                          store_session) {
    World world;
    StoreRecorder events;
    world.store().set_events(&events);
    load_now(world, events);
    const port::StoreTransaction live{{}, {{"keep", "1"}, {"live", "2", true}}};
    const Result<Revision> without = commit_now(world, events, live);
    REQUIRE_FALSE(without);
    CHECK(without.error().code == Code::store_unavailable);

    world.store().open_session(5s);
    CHECK(events.renewals.empty());
    REQUIRE(world.wait_until([&] { return events.renewals.size() == 1; }));
    REQUIRE(commit_now(world, events, live));
    world.store().close_session();
    CHECK(events.sessions_closed == 0);
    REQUIRE(world.wait_until([&] { return events.sessions_closed == 1; }));
    REQUIRE(world.wait_until([&] { return events.changes.size() == 2; }));
    CHECK(events.changes[1].writes == std::vector<port::StoreWrite>{{"live", {}}});
    REQUIRE_FALSE(commit_now(world, events, live));

    // Of a process that is gone without a word.
    world.store().open_session(2s);
    REQUIRE(world.wait_until([&] { return events.renewals.size() == 2; }));
    REQUIRE(commit_now(world, events, {{}, {{"live", "3", true}, {"more", "4", true}}}));
    REQUIRE(commit_now(world, events, {{}, {{"more", "5"}}})); // a key like others from now on
    CHECK(events.sessions_lost == 0);
    world.reopen();
    StoreRecorder later;
    world.store().set_events(&later);
    port::StoreSnapshot left = load_now(world, later);
    REQUIRE(world.wait_until([&] { // it may take as long as the session had left
        return left.entries.size() == 2 || !later.changes.empty();
    }));
    left = load_now(world, later);
    REQUIRE(left.entries.size() == 2);
    CHECK(left.entries[0].key == "keep");
    CHECK(left.entries[1].value == "5");
}

} // namespace qtool::test
