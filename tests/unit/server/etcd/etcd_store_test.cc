// Proves the rules of the store on an etcd that answers, loses, delays and applies as a seed says:
// each answer to a commit is the truth and stays it, each change is told once and in order, and a
// session is never believed for longer than etcd keeps it.
#include "server/etcd/etcd_store.h"
#include "tests/unit/server/etcd/fake_etcd.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

using namespace qtool;
using namespace qtool::test;

namespace {

const std::string kPrefix = "/qbroker/c/meta/";

/// A store, what it said, and what its reader knows by that.
struct Reader final : port::MetadataStoreEvents {
    Reader(FakeEtcd& fake, std::vector<std::string> endpoints)
        : etcd(fake),
          store({std::move(endpoints), "c", {}, {}, &counters}, fake, fake, fake) {
        store.set_events(this);
    }
    bool run_until(const std::function<bool()>& done, Duration at_most) {
        return etcd.run_until(
            [&] {
                while (store.deliver_pending()) {
                }
                return done();
            },
            at_most);
    }

    void on_store_loaded(Result<port::StoreSnapshot> snapshot) override {
        loads++;
        if (snapshot) {
            take(*snapshot);
        } else {
            load_error = snapshot.error();
        }
    }
    void on_store_reloaded(port::StoreSnapshot snapshot) override {
        reloads++;
        take(snapshot);
    }
    void take(const port::StoreSnapshot& snapshot) {
        CHECK(snapshot.revision >= revision);
        revision = snapshot.revision;
        known.clear();
        for (const port::StoreEntry& entry : snapshot.entries) {
            known[entry.key] = entry.mod_revision;
        }
    }
    void on_store_committed(Token token, Result<Revision> result) override {
        CHECK(answers.emplace(token.slot, std::move(result)).second);
    }
    void on_store_changed(const port::StoreChange& change) override {
        CHECK(change.revision > revision);
        // Nothing of the prefix lies between the last and this.
        for (const FakeEtcd::Change& truth : etcd.history) {
            std::vector<port::StoreWrite> writes;
            for (const FakeEtcd::Write& write : truth.writes) {
                if (write.key.starts_with(kPrefix)) {
                    writes.push_back(
                        {write.key.substr(kPrefix.size()), write.value, write.lease != 0});
                }
            }
            if (Revision(truth.revision) == change.revision) {
                CHECK(change.writes == writes);
            } else if (Revision(truth.revision) > revision &&
                       Revision(truth.revision) < change.revision) {
                CHECK(writes.empty());
            }
        }
        revision = change.revision;
        for (const port::StoreWrite& write : change.writes) {
            known.erase(write.key);
            if (write.value) {
                known[write.key] = change.revision;
            }
        }
    }
    void on_session_renewed(MonoTime until) override {
        renewals++;
        is_session_open = true;
        const bool is_kept =
            std::any_of(etcd.leases.begin(), etcd.leases.end(), [&](const auto& at) {
                return at.second.ttl_s < 60 && at.second.ends_at >= until;
            });
        CHECK(is_kept);
    }
    void on_session_lost() override {
        lost++;
        is_session_open = false;
    }
    void on_session_closed() override { closed++; }

    FakeEtcd& etcd;
    metrics::StoreCounters counters;
    etcd::EtcdStore store;
    std::map<std::string, Revision> known;
    Revision revision;
    std::map<uint32_t, Result<Revision>> answers;
    std::optional<Error> load_error;
    int loads = 0;
    int reloads = 0;
    int renewals = 0;
    int lost = 0;
    int closed = 0;
    bool is_session_open = false;
};

/// Revisions at which the transaction took effect: each writes a key of its own.
std::vector<int64_t> effects(const FakeEtcd& etcd, uint32_t number) {
    std::vector<int64_t> found;
    const std::string key = kPrefix + "txn/" + std::to_string(number);
    for (const FakeEtcd::Change& change : etcd.history) {
        for (const FakeEtcd::Write& write : change.writes) {
            if (write.key == key && write.value) {
                found.push_back(change.revision);
            }
        }
    }
    return found;
}

port::StoreTransaction some_transaction(Reader& reader, uint32_t number) {
    FakeEtcd& etcd = reader.etcd;
    port::StoreTransaction transaction;
    const std::string key = "k" + std::to_string(etcd.below(8));
    const auto known = reader.known.find(key);
    if (etcd.below(3) != 0) { // as the reader knows it, which may be late
        transaction.guards.push_back(
            {key, known == reader.known.end() ? Revision{0} : known->second});
    }
    port::StoreWrite write{key, std::to_string(number)};
    if (etcd.below(2) == 0) { // a guard on "absent" may fail now and hold again later
        write.value.reset();
    }
    transaction.writes = {write, {"txn/" + std::to_string(number), std::to_string(number)}};
    if (reader.is_session_open && etcd.below(5) == 0) {
        transaction.writes.push_back({"live/" + std::to_string(etcd.below(3)), "x", true});
    }
    return transaction;
}

} // namespace

TEST_CASE("etcd store: every answer is the truth, whatever the network does") {
    std::map<std::string, int> hits;
    std::map<std::string, int> outcomes;
    std::map<std::string, uint64_t> counted;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        CAPTURE(seed);
        FakeEtcd etcd(seed);
        Reader reader(etcd, {"http://a:1", "http://b:1"});
        reader.store.load();
        REQUIRE(reader.run_until([&] { return reader.loads == 1; }, 60s));
        REQUIRE_FALSE(reader.load_error);
        etcd.has_faults = true;
        constexpr uint32_t kCount = 120;
        std::vector<std::string> keys; // that each transaction shares with others
        for (uint32_t number = 0; number < kCount; number++) {
            port::StoreTransaction transaction = some_transaction(reader, number);
            keys.push_back(transaction.writes.front().key);
            reader.store.commit(std::move(transaction), Token{number, 1});
            if (number % 40 == 10) {
                if (reader.lost + reader.closed == reader.renewals + 0 || !reader.is_session_open) {
                    if (reader.renewals == 0 || reader.lost > 0) {
                        reader.renewals = 1;
                        reader.lost = 0;
                        reader.store.open_session(5s);
                    }
                }
            }
            if (etcd.below(60) == 0) {
                etcd.compact();
                etcd.cut_streams();
            }
            const auto pause =
                std::chrono::milliseconds(etcd.below(10) == 0 ? etcd.below(4000) : etcd.below(30));
            static_cast<void>(reader.run_until([] { return false; }, pause));
        }
        REQUIRE(reader.run_until([&] { return reader.answers.size() == kCount; }, 600s));
        etcd.has_faults = false;
        // Whatever is still on its way arrives.
        static_cast<void>(reader.run_until([] { return false; }, 60s));
        std::map<std::string, Revision> order; // of those that touch the same key
        for (uint32_t number = 0; number < kCount; number++) {
            const std::vector<int64_t> found = effects(etcd, number);
            const Result<Revision>& answer = reader.answers.at(number);
            CAPTURE(number);
            if (answer) {
                REQUIRE(found.size() == 1);
                CHECK(Revision(found[0]) == *answer);
                CHECK(order[keys[number]] < *answer);
                order[keys[number]] = *answer;
            } else {
                CHECK(found.empty());
            }
            outcomes[answer ? "ok" : std::string(to_string(answer.error().code))]++;
        }
        std::map<std::string, Revision> truth;
        for (const FakeEtcd::Change& change : etcd.history) {
            for (const FakeEtcd::Write& write : change.writes) {
                if (write.key.starts_with(kPrefix)) {
                    truth.erase(write.key.substr(kPrefix.size()));
                    if (write.value) {
                        truth[write.key.substr(kPrefix.size())] = Revision(change.revision);
                    }
                }
            }
        }
        CHECK(reader.known == truth);
        for (const auto& [fault, count] : etcd.hits) {
            hits[fault] += count;
        }
        hits["reload"] += reader.reloads;
        const metrics::StoreCounters& counters = reader.counters;
        CHECK(counters.reloads.value() == static_cast<uint64_t>(reader.reloads));
        CHECK(counters.commits.value() + counters.conflicts.value() <= kCount);
        counted["commits"] += counters.commits.value();
        counted["conflicts"] += counters.conflicts.value();
        CHECK(counters.requests.value() > counters.request_retries.value());
        CHECK(counters.request_retries.value() > 0);
        CHECK(counters.request_errors.value() > 0);
        CHECK(counters.member_changes.value() > 0);
        CHECK(counters.request_time.sum_ns() > 0);
        hits["watch restart"] += static_cast<int>(counters.watch_restarts.value());
    }
    for (const char* fault : {"refused", "lost", "late", "answer lost", "unsure", "watch stuck",
                              "watch cut", "watch restart", "reload"}) {
        CAPTURE(fault);
        CHECK(hits[fault] > 20);
    }
    CHECK(outcomes["ok"] > 1000);
    CHECK(counted["commits"] == static_cast<uint64_t>(outcomes["ok"]));
    CHECK(counted["conflicts"] == static_cast<uint64_t>(outcomes["store_conflict"]));
    CHECK(outcomes["store_conflict"] > 200);
    CHECK(outcomes["internal"] == 0);
}

TEST_CASE("etcd store: a session ends in time when etcd is silent, and closes without hanging") {
    FakeEtcd etcd(1);
    Reader reader(etcd, {"http://a:1"});
    reader.store.load();
    reader.store.open_session(6s);
    REQUIRE(reader.run_until([&] { return reader.renewals == 3; }, 10s));
    etcd.is_silent = true;
    const MonoTime silent_at = etcd.mono();
    REQUIRE(reader.run_until([&] { return reader.lost == 1; }, 10s));
    CHECK(etcd.mono() - silent_at <= 6s);
    CHECK(etcd.mono() - silent_at >= 3s);
    etcd.is_silent = false;
    reader.store.open_session(6s);
    REQUIRE(reader.run_until([&] { return reader.renewals == 4; }, 10s));
    reader.store.close_session();
    REQUIRE(reader.run_until([&] { return reader.closed == 1; }, 1s));
    CHECK(std::none_of(etcd.leases.begin(), etcd.leases.end(),
                       [](const auto& at) { return at.second.ttl_s < 60; }));
    reader.store.open_session(6s);
    REQUIRE(reader.run_until([&] { return reader.renewals == 5; }, 10s));
    etcd.is_silent = true;
    reader.store.close_session();
    REQUIRE(reader.run_until([&] { return reader.closed == 2; }, 3s));
}

TEST_CASE("etcd store: without etcd the load fails and says why; what was not sent is refused") {
    FakeEtcd etcd(1);
    etcd.is_silent = true;
    Reader reader(etcd, {"http://a:1", "http://b:1"});
    reader.store.load();
    REQUIRE(reader.run_until([&] { return reader.loads == 1; }, 40s));
    REQUIRE(reader.load_error);
    CHECK(reader.load_error->code == Code::store_unavailable);
    CHECK(reader.load_error->detail.find("http://") != std::string::npos);
    reader.store.commit({{}, {{"a", "1"}}}, Token{1, 1});
    REQUIRE(reader.run_until([&] { return reader.answers.size() == 1; }, 20s));
    CHECK(reader.answers.at(1).error().code == Code::store_unavailable);
}
