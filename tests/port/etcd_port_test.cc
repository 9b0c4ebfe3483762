// The contract of the metadata store on a real etcd, and what only a real one can show: members
// that are killed or paused, a cluster without quorum, compaction behind a reader's back, logins.
#include "tests/port/etcd_world.h"
#include "tests/port/store_contract.h"

#include <algorithm>
#include <map>

using namespace qtool;
using namespace qtool::test;

TYPE_TO_STRING(EtcdStoreWorld);
TEST_CASE_TEMPLATE_INVOKE(store_transactions, EtcdStoreWorld);
TEST_CASE_TEMPLATE_INVOKE(store_order, EtcdStoreWorld);
TEST_CASE_TEMPLATE_INVOKE(store_session, EtcdStoreWorld);

namespace {

/// One store and what it says.
struct StoreClient {
    StoreClient(const EtcdProcesses& etcd, const std::string& cluster, const std::string& user = {},
                const std::string& password = {})
        : process(etcd.endpoints(), cluster, user, password) {
        process.store().set_events(&events);
    }
    port::MetadataStore& store() { return process.store(); }
    bool wait_until(const std::function<bool()>& done) { return process.wait_until(done); }

    StoreRecorder events;
    EtcdStoreProcess process;
};

/// Commits that each make a key that must not be there, and write one that all share.
class StoreCounting {
public:
    explicit StoreCounting(StoreClient& client) : client_(client) {}
    void commit(uint32_t count) {
        for (uint32_t i = 0; i < count; i++, committed_++) {
            const std::string number = std::to_string(committed_);
            client_.store().commit(
                {{{"made/" + number, Revision{0}}}, {{"made/" + number, number}, {"last", number}}},
                Token{committed_, 99});
        }
    }
    [[nodiscard]] bool is_answered() const { return client_.events.commits.size() >= committed_; }
    /// All took effect, once, as they were answered and told. `told`: no reload came between.
    void check(bool told = true) {
        std::map<std::string, Revision> revisions;
        Revision last;
        for (const port::StoreChange& change : client_.events.changes) {
            CHECK(change.revision > last);
            last = change.revision;
            for (const port::StoreWrite& write : change.writes) {
                if (write.key.starts_with("made/")) {
                    CHECK(revisions.emplace(write.key, change.revision).second);
                }
            }
        }
        const port::StoreSnapshot snapshot = load_now(client_, client_.events);
        CHECK(snapshot.entries.size() == committed_ + 1);
        for (const port::StoreEntry& entry : snapshot.entries) {
            if (entry.key == "last") {
                CHECK(entry.value == std::to_string(committed_ - 1));
                continue;
            }
            const auto number = static_cast<uint32_t>(std::stoul(entry.value));
            const Result<Revision>& answer = client_.events.commits.at(Token{number, 99});
            REQUIRE(answer);
            CHECK(*answer == entry.mod_revision);
            CHECK((!told || revisions.at(entry.key) == *answer));
        }
    }

private:
    StoreClient& client_;
    uint32_t committed_ = 0;
};

bool has_key(const port::StoreSnapshot& snapshot, const std::string& key) {
    return std::any_of(snapshot.entries.begin(), snapshot.entries.end(),
                       [&](const port::StoreEntry& entry) { return entry.key == key; });
}

} // namespace

TEST_CASE("etcd: killed in the middle of transactions, each takes effect once and is answered so") {
    EtcdProcesses etcd(1);
    StoreClient client(etcd, "c");
    load_now(client, client.events);
    StoreCounting counter(client);
    for (int round = 0; round < 5; round++) {
        counter.commit(200);
        const size_t enough = client.events.commits.size() + 20 + static_cast<size_t>(round) * 30;
        REQUIRE(client.wait_until([&] { return client.events.commits.size() >= enough; }));
        etcd.kill(0);
        client.process.wait_for(200ms);
        etcd.start(0);
        REQUIRE(client.wait_until([&] { return counter.is_answered(); }));
    }
    REQUIRE(client.wait_until([&] { return client.events.changes.size() >= 1000; }));
    counter.check();
}

TEST_CASE("etcd: paused for longer than the session, which is then over; transactions go on") {
    EtcdProcesses etcd(1);
    StoreClient client(etcd, "c");
    load_now(client, client.events);
    client.store().open_session(3s);
    REQUIRE(client.wait_until([&] { return client.events.renewals.size() == 2; }));
    REQUIRE(commit_now(client, client.events, {{}, {{"live", "1", true}}}));
    etcd.pause(0);
    const Token token{77, 7};
    client.store().commit({{}, {{"x", "1"}}}, token);
    REQUIRE(client.wait_until([&] { return client.events.sessions_lost == 1; }));
    CHECK(client.process.clock().mono() >= client.events.renewals.back());
    CHECK(client.process.clock().mono() < client.events.renewals.back() + 1s);
    CHECK(client.events.commits.count(token) == 0); // nobody can know
    etcd.resume(0);
    REQUIRE(client.wait_until([&] { return client.events.commits.count(token) == 1; }));
    CHECK(client.events.commits.at(token));
    // The old session's key goes, and a new session can be had.
    REQUIRE(client.wait_until([&] {
        return !client.events.changes.empty() &&
               std::any_of(client.events.changes.begin(), client.events.changes.end(),
                           [](const port::StoreChange& change) {
                               return change.writes == std::vector<port::StoreWrite>{{"live", {}}};
                           });
    }));
    client.events.renewals.clear();
    client.store().open_session(3s);
    REQUIRE(client.wait_until([&] { return client.events.renewals.size() == 1; }));
    REQUIRE(commit_now(client, client.events, {{}, {{"live", "2", true}}}));
}

TEST_CASE("etcd: what was compacted while a reader was away is told as a reload") {
    EtcdProcesses etcd(1);
    StoreClient writer(etcd, "c");
    load_now(writer, writer.events);
    StoreClient reader(etcd, "c");
    load_now(reader, reader.events);
    REQUIRE(commit_now(writer, writer.events, {{}, {{"a", "1"}, {"gone", "1"}}}));
    REQUIRE(reader.wait_until([&] { return reader.events.changes.size() == 1; }));
    // The reader does not turn any more; its connection is cut.
    etcd.kill(0);
    etcd.start(0);
    Revision last;
    for (int i = 0; i < 20; i++) {
        last = commit_now(writer, writer.events, {{}, {{"a", std::to_string(i)}, {"gone", {}}}})
                   .value();
    }
    etcd_post(etcd.endpoints()[0], "/v3/kv/compaction",
              R"({"revision":")" + std::to_string(last.value()) + R"(","physical":true})");
    REQUIRE(reader.wait_until([&] { return reader.events.reloads.size() == 1; }));
    CHECK(reader.events.reloads[0].entries == std::vector<port::StoreEntry>{{"a", "19", last}});
    CHECK(reader.events.changes.size() == 1);
    const Revision next = commit_now(writer, writer.events, {{}, {{"b", "1"}}}).value();
    REQUIRE(reader.wait_until([&] { return reader.events.changes.size() == 2; }));
    CHECK(reader.events.changes[1].revision == next);
}

TEST_CASE("etcd: of three members one is killed, another paused; with one there is no quorum") {
    EtcdProcesses etcd(3);
    StoreClient client(etcd, "c");
    load_now(client, client.events);
    StoreCounting counter(client);
    counter.commit(50);
    REQUIRE(client.wait_until([&] { return counter.is_answered(); }));
    counter.commit(50);
    etcd.kill(0); // the first is the one in use
    REQUIRE(client.wait_until([&] { return counter.is_answered(); }));
    etcd.start(0);
    counter.commit(50);
    client.process.wait_for(2s); // until it is back
    etcd.pause(1);
    counter.commit(50);
    REQUIRE(client.wait_until([&] { return counter.is_answered(); }));
    etcd.kill(2);
    counter.commit(50);
    client.process.wait_for(4s);
    CHECK_FALSE(counter.is_answered());
    etcd.start(2);
    etcd.resume(1);
    REQUIRE(client.wait_until([&] { return counter.is_answered(); }));
    REQUIRE(client.wait_until([&] { return client.events.changes.size() >= 250; }));
    counter.check();
}

TEST_CASE("etcd: users and passwords") {
    EtcdProcesses etcd(1);
    const std::string url = etcd.endpoints()[0];
    etcd_post(url, "/v3/auth/user/add", R"({"name":"root","password":"secret"})");
    etcd_post(url, "/v3/auth/user/grant", R"({"user":"root","role":"root"})");
    etcd_post(url, "/v3/auth/user/add", R"({"name":"stranger","password":"secret"})");
    // What a broker needs: the prefix of its cluster, "/qbroker/c/".
    etcd_post(url, "/v3/auth/role/add", R"({"name":"brokers"})");
    etcd_post(url, "/v3/auth/role/grant",
              R"({"name":"brokers","perm":{"permType":"READWRITE","key":"L3Ficm9rZXIvYy8=",)"
              R"("range_end":"L3Ficm9rZXIvYzA="}})");
    etcd_post(url, "/v3/auth/user/add", R"({"name":"broker","password":"other"})");
    etcd_post(url, "/v3/auth/user/grant", R"({"user":"broker","role":"brokers"})");
    etcd_post(url, "/v3/auth/enable", "{}");

    StoreClient client(etcd, "c", "root", "secret");
    load_now(client, client.events);
    REQUIRE(commit_now(client, client.events, {{}, {{"a", "1"}}}));
    // A member that starts again knows no login of before.
    etcd.kill(0);
    etcd.start(0);
    REQUIRE(commit_now(client, client.events, {{}, {{"a", "2"}}}));
    REQUIRE(client.wait_until([&] { return client.events.changes.size() == 2; }));

    StoreClient broker(etcd, "c", "broker", "other");
    CHECK(load_now(broker, broker.events).entries.size() == 1);
    broker.store().open_session(5s);
    REQUIRE(broker.wait_until([&] { return broker.events.renewals.size() == 1; }));
    REQUIRE(commit_now(broker, broker.events, {{}, {{"live", "1", true}}}));
    broker.store().close_session();
    REQUIRE(broker.wait_until([&] { return broker.events.sessions_closed == 1; }));
    REQUIRE(broker.wait_until([&] { return broker.events.changes.size() == 2; }));

    struct Case {
        const char* user;
        const char* password;
        const char* says;
    };
    for (const Case& wrong :
         {Case{"root", "wrong", "authentication failed"}, Case{"", "", "user name is empty"},
          Case{"stranger", "secret", "permission denied"}}) {
        StoreClient other(etcd, "c", wrong.user, wrong.password);
        other.store().load();
        REQUIRE(other.wait_until([&] { return !other.events.loads.empty(); }));
        REQUIRE_FALSE(other.events.loads[0]);
        CHECK(other.events.loads[0].error().code == Code::not_authorized);
        CHECK(other.events.loads[0].error().detail.find(wrong.says) != std::string::npos);
    }
}

TEST_CASE("etcd: a transaction beyond its limits is refused before it is sent") {
    EtcdStoreWorld world;
    StoreRecorder events;
    world.store().set_events(&events);
    load_now(world, events);
    port::StoreTransaction most;
    for (size_t i = 0; i < world.store().max_writes(); i++) {
        most.guards.push_back({"k" + std::to_string(i), Revision{0}});
        most.writes.push_back({"k" + std::to_string(i), std::string(1000, 'v')});
    }
    port::StoreTransaction many = most;
    REQUIRE(commit_now(world, events, most));
    many.writes.push_back({"one more", "v"});
    CHECK(commit_now(world, events, many).error().code == Code::too_large);
    CHECK(
        commit_now(world, events, {{}, {{"a", std::string(port::kStoreTransactionBytesMax, 'v')}}})
            .error()
            .code == Code::too_large);
    CHECK(commit_now(world, events,
                     {{}, {{"a", std::string(port::kStoreTransactionBytesMax - 100, 'v')}}}));
    CHECK_FALSE(has_key(load_now(world, events), "one more"));
}

TEST_CASE("etcd: a load of many pages is of one revision") {
    EtcdStoreWorld world;
    StoreRecorder events;
    world.store().set_events(&events);
    load_now(world, events);
    constexpr uint32_t kTransactions = 60;
    for (uint32_t i = 0; i < kTransactions; i++) {
        port::StoreTransaction transaction;
        for (size_t k = 0; k < world.store().max_writes(); k++) {
            transaction.writes.push_back(
                {"key/" + std::to_string(i) + "/" + std::to_string(k), std::to_string(k)});
        }
        world.store().commit(std::move(transaction), Token{i, 5});
    }
    REQUIRE(world.wait_until([&] { return events.commits.size() == kTransactions; }));
    const port::StoreSnapshot snapshot = load_now(world, events);
    CHECK(snapshot.entries.size() == kTransactions * world.store().max_writes());
    CHECK(std::is_sorted(snapshot.entries.begin(), snapshot.entries.end(),
                         [](const auto& a, const auto& b) { return a.key < b.key; }));
}
