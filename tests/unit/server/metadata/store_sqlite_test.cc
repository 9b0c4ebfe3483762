// Proves the SQLite store: guards, order of events, what is there after a reopen, files it must not
// touch, a full disk, and that a transaction of thousands of keys is quick.
#include "server/metadata/decide_topics.h"
#include "server/metadata/store_sqlite.h"
#include "tests/unit/server/metadata/metadata_world.h"

#include <doctest/doctest.h>
#include <sqlite3.h>
#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace qtool;
using namespace qtool::metadata;
using namespace qtool::test;

namespace {

class TempDir {
public:
    TempDir() {
        std::string pattern = (std::filesystem::temp_directory_path() / "metadata-XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        path_ = pattern;
    }
    ~TempDir() { std::filesystem::remove_all(path_); }
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    [[nodiscard]] std::string file() const { return path_ + "/metadata.db"; }

private:
    std::string path_;
};

struct Recorder final : port::MetadataStoreEvents {
    std::vector<std::string> trace;
    std::vector<Result<port::StoreSnapshot>> loads;
    std::vector<Result<Revision>> commits;
    std::vector<port::StoreChange> changes;

    void on_store_loaded(Result<port::StoreSnapshot> snapshot) override {
        trace.emplace_back("loaded");
        loads.push_back(std::move(snapshot));
    }
    void on_store_committed(Token token, Result<Revision> revision) override {
        trace.push_back("committed " + std::to_string(token.slot) + " " +
                        (revision ? std::to_string(revision->value())
                                  : std::string(to_string(revision.error().code))));
        commits.push_back(std::move(revision));
    }
    void on_store_changed(const port::StoreChange& change) override {
        trace.push_back("changed " + std::to_string(change.revision.value()));
        changes.push_back(change);
    }
    void on_store_reloaded(port::StoreSnapshot) override { FAIL("SQLite tells every change"); }
    void on_session_renewed(MonoTime valid_until) override {
        CHECK(valid_until == kMonoNever);
        trace.emplace_back("session");
    }
    void on_session_lost() override { FAIL("the file is ours as long as it is open"); }
    void on_session_closed() override { trace.emplace_back("session closed"); }
};

struct Open {
    explicit Open(const std::string& path) {
        Result<std::unique_ptr<SqliteStore>> opened = SqliteStore::open(path);
        if (!opened) {
            FAIL(to_string(opened.error()));
        }
        store = *std::move(opened);
        store->set_events(&events);
    }
    void commit(port::StoreTransaction transaction, uint32_t token = 1) {
        store->commit(std::move(transaction), Token{token, 1});
    }
    void deliver() {
        while (store->deliver_pending()) {
        }
    }
    Result<Revision> commit_now(port::StoreTransaction transaction) {
        commit(std::move(transaction));
        deliver();
        return events.commits.back();
    }
    port::StoreSnapshot load() {
        store->load();
        deliver();
        return events.loads.back().value();
    }

    Recorder events;
    std::unique_ptr<SqliteStore> store;
};

port::StoreTransaction put(const std::string& key, const std::string& value) {
    return {{}, {{key, value}}};
}

void run_sql(const std::string& path, const std::string& sql) {
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(path.c_str(), &db) == SQLITE_OK);
    REQUIRE(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(db);
}

Error open_error(const std::string& path) {
    const Result<std::unique_ptr<SqliteStore>> opened = SqliteStore::open(path);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().detail.find(path) != std::string::npos);
    return opened.error();
}

} // namespace

TEST_CASE("sqlite store: events come in order, never from within a call") {
    const TempDir dir;
    Open open(dir.file());
    open.store->load();
    open.commit(put("b", "1"), 1);
    open.commit({{{"b", Revision(7)}}, {{"c", "x"}}}, 2);
    open.commit({{{"b", Revision(1)}}, {{"a", "2"}, {"b", std::nullopt}}}, 3);
    CHECK(open.events.trace.empty());
    open.deliver();
    CHECK(open.events.trace == std::vector<std::string>{"loaded", "changed 1", "committed 1 1",
                                                        "committed 2 store_conflict", "changed 2",
                                                        "committed 3 2"});
    CHECK(open.events.loads.at(0)->revision == Revision(0));
    CHECK(open.events.loads.at(0)->entries.empty());
    CHECK(open.events.changes.at(1).writes ==
          std::vector<port::StoreWrite>{{"a", "2"}, {"b", std::nullopt}});
    CHECK_FALSE(open.store->deliver_pending());
}

TEST_CASE("sqlite store: guards") {
    const TempDir dir;
    Open open(dir.file());
    REQUIRE(open.commit_now({{{"a", Revision(0)}}, {{"a", "1"}}}).value() == Revision(1));
    const auto code = [&](std::vector<port::StoreGuard> guards) {
        const Result<Revision> result = open.commit_now({std::move(guards), {{"b", "1"}}});
        return result ? std::string("ok") : std::string(to_string(result.error().code));
    };
    CHECK(code({{"a", Revision(0)}}) == "store_conflict");
    CHECK(code({{"a", Revision(2)}}) == "store_conflict");
    CHECK(code({{"x", Revision(1)}}) == "store_conflict");
    CHECK(code({{"a", Revision(1)}, {"x", Revision(1)}}) == "store_conflict");
    CHECK(open.load().entries.size() == 1);
    CHECK(code({{"a", Revision(1)}, {"x", Revision(0)}}) == "ok");
    // A deleted key is absent, and made again it has a new revision.
    REQUIRE(open.commit_now({{}, {{"a", std::nullopt}}}));
    CHECK(code({{"a", Revision(1)}}) == "store_conflict");
    CHECK(code({{"a", Revision(0)}}) == "ok");
}

TEST_CASE("sqlite store: what was committed is there after a reopen, revisions go on") {
    const TempDir dir;
    const std::string odd = std::string("nul\0 and \xc3\xb6 '", 13);
    std::vector<port::StoreEntry> expected;
    {
        Open open(dir.file());
        REQUIRE(open.commit_now(put("b", odd)));
        REQUIRE(open.commit_now(put("a/2", "")));
        REQUIRE(open.commit_now(put("a/10", "x")));
        REQUIRE(open.commit_now({{}, {{"gone", "1"}}}));
        REQUIRE(open.commit_now({{}, {{"gone", std::nullopt}, {"never", std::nullopt}}}));
        expected = open.load().entries;
    }
    CHECK(expected == std::vector<port::StoreEntry>{{"a/10", "x", Revision(3)},
                                                    {"a/2", "", Revision(2)},
                                                    {"b", odd, Revision(1)}});
    Open open(dir.file());
    const port::StoreSnapshot snapshot = open.load();
    CHECK(snapshot.entries == expected);
    CHECK(snapshot.revision == Revision(5));
    CHECK(open.commit_now(put("c", "1")).value() == Revision(6));
}

TEST_CASE("sqlite store: ephemeral keys go with the session, or with the process") {
    const TempDir dir;
    const port::StoreTransaction live{{}, {{"keep", "1"}, {"live", "2", true}}};
    {
        Open open(dir.file());
        const Result<Revision> early = open.commit_now(live);
        REQUIRE_FALSE(early);
        CHECK(early.error().code == Code::store_unavailable);
        open.events.trace.clear();
        open.store->open_session(10s);
        REQUIRE(open.commit_now(live).value() == Revision(1));
        open.commit({{}, {{"late", "3", true}}}, 2);
        open.store->close_session();
        open.deliver();
        CHECK(open.events.trace == std::vector<std::string>{"session", "changed 1", "committed 1 1",
                                                            "changed 2", "committed 2 2",
                                                            "changed 3", "session closed"});
        CHECK(open.events.changes.back().writes ==
              std::vector<port::StoreWrite>{{"late", std::nullopt}, {"live", std::nullopt}});
        REQUIRE_FALSE(open.commit_now(live));
        open.store->open_session(10s);
        REQUIRE(open.commit_now({{}, {{"live", "4", true}, {"x", "5", true}}}));
        REQUIRE(open.commit_now({{}, {{"x", "6"}}})); // no longer ephemeral
    }
    Open open(dir.file());
    CHECK(open.load().entries ==
          std::vector<port::StoreEntry>{{"keep", "1", Revision(1)}, {"x", "6", Revision(5)}});
    CHECK(open.load().revision == Revision(5)); // the file has known nothing of them
}

TEST_CASE("sqlite store: ephemeral keys are guarded and seen as others, and not in the file") {
    const TempDir dir;
    Open open(dir.file());
    open.store->open_session(10s);
    REQUIRE(open.commit_now({{}, {{"live", "1", true}}}).value() == Revision(1));
    CHECK(open.load().entries == std::vector<port::StoreEntry>{{"live", "1", Revision(1)}});
    CHECK(open.commit_now({{{"live", Revision(0)}}, {{"a", "1"}}}).error().code ==
          Code::store_conflict);
    REQUIRE(open.commit_now({{{"live", Revision(1)}}, {{"a", "1"}}}).value() == Revision(2));
    REQUIRE(open.commit_now({{{"a", Revision(2)}}, {{"live", "2", true}}}).value() == Revision(3));
    CHECK(open.commit_now({{{"live", Revision(1)}}, {{"b", "1"}}}).error().code ==
          Code::store_conflict);
    REQUIRE(open.commit_now({{{"live", Revision(3)}}, {{"live", std::nullopt}}}));
    REQUIRE(open.commit_now({{{"live", Revision(0)}}, {{"a", "2", true}}})); // leaves the file
    REQUIRE(open.commit_now({{}, {{"b", "1"}}}).value() == Revision(6));
    CHECK(open.load().entries ==
          std::vector<port::StoreEntry>{{"a", "2", Revision(5)}, {"b", "1", Revision(6)}});
}

TEST_CASE("sqlite store: a file of schema version 1 is upgraded, nothing lost") {
    const TempDir dir;
    run_sql(dir.file(),
            "CREATE TABLE store (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT "
            "NULL);"
            "INSERT INTO store VALUES (1, 7);"
            "CREATE TABLE entries (key TEXT PRIMARY KEY, value TEXT NOT NULL, mod_revision INTEGER "
            "NOT NULL) WITHOUT ROWID;"
            "INSERT INTO entries VALUES ('a', '1', 7);"
            "PRAGMA application_id = 1902277227; PRAGMA user_version = 1;");
    for (int round = 0; round < 2; round++) {
        Open open(dir.file());
        const port::StoreSnapshot snapshot = open.load();
        CHECK(snapshot.revision == Revision(7));
        CHECK(snapshot.entries == std::vector<port::StoreEntry>{{"a", "1", Revision(7)}});
    }
}

TEST_CASE("sqlite store: a copy of the files taken at any commit has that commit") {
    // What a killed process leaves: the files as they are, without a close.
    const TempDir dir;
    const TempDir copy;
    Open open(dir.file());
    for (int i = 1; i <= 20; i++) {
        REQUIRE(open.commit_now(put("k" + std::to_string(i), std::string(10'000, 'v'))));
        for (const char* suffix : {"", "-wal"}) {
            std::filesystem::copy_file(dir.file() + suffix, copy.file() + suffix,
                                       std::filesystem::copy_options::overwrite_existing);
        }
        Open crashed(copy.file());
        const port::StoreSnapshot snapshot = crashed.load();
        CHECK(snapshot.revision == Revision(i));
        CHECK(snapshot.entries.size() == static_cast<size_t>(i));
    }
}

TEST_CASE("sqlite store: files that are not ours, newer, damaged or open elsewhere") {
    const TempDir dir;
    const std::string path = dir.file();
    SUBCASE("not a database") {
        std::ofstream(path) << std::string(8192, 'x');
        CHECK(open_error(path).code == Code::storage_damaged);
    }
    SUBCASE("another program's") {
        run_sql(path, "CREATE TABLE t (x)");
        CHECK(open_error(path).code == Code::storage_damaged);
    }
    SUBCASE("newer") {
        { const Open open(path); }
        run_sql(path, "PRAGMA user_version = 3");
        const Error error = open_error(path);
        CHECK(error.code == Code::unsupported_version);
        CHECK(error.detail.find("newer") != std::string::npos);
    }
    SUBCASE("damaged pages") {
        {
            Open open(path);
            for (int i = 0; i < 50; i++) {
                REQUIRE(open.commit_now(put("k" + std::to_string(i), std::string(3000, 'v'))));
            }
        }
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        for (int page = 2; page < 12; page++) {
            file.seekp(page * 4096);
            file << std::string(64, '\xff');
        }
        file.close();
        CHECK(open_error(path).code == Code::storage_damaged);
    }
    SUBCASE("open already") {
        const Open open(path);
        CHECK(open_error(path).code == Code::storage_locked);
    }
    SUBCASE("no such folder") {
        CHECK(open_error(path + "/no/metadata.db").code == Code::storage_io);
    }
}

TEST_CASE("sqlite store: a failed write is an error of its transaction, none of it stays") {
    const TempDir dir;
    const std::string big(3 << 20, 'v');
    {
        Open open(dir.file());
        REQUIRE(open.commit_now(put("a", "1")));
        // A bound on the size of files stands in for a disk that cannot take the write.
        rlimit before{};
        ::getrlimit(RLIMIT_FSIZE, &before);
        const auto handler = std::signal(SIGXFSZ, SIG_IGN);
        rlimit small = before;
        small.rlim_cur = 1 << 20;
        ::setrlimit(RLIMIT_FSIZE, &small);
        const Result<Revision> failed = open.commit_now({{}, {{"b", "2"}, {"big", big}}});
        ::setrlimit(RLIMIT_FSIZE, &before);
        std::signal(SIGXFSZ, handler);
        REQUIRE_FALSE(failed);
        CHECK(
            (failed.error().code == Code::storage_io || failed.error().code == Code::storage_full));
        CHECK(open.events.changes.size() == 1);
        const bool goes_on = failed.error().code == Code::storage_full;
        CHECK(open.commit_now(put("c", "3")).has_value() == goes_on);
    }
    Open open(dir.file());
    CHECK(open.load().entries.at(0) == port::StoreEntry{"a", "1", Revision(1)});
    CHECK(open.load().entries.size() <= 2);
}

TEST_CASE("sqlite store: a queue beyond its bound is refused, the rest is committed") {
    const TempDir dir;
    Open open(dir.file());
    for (uint32_t i = 0; i <= kStoreQueueMax; i++) {
        open.commit(put("k", std::to_string(i)), i);
    }
    open.deliver();
    CHECK(open.events.trace.at(0) ==
          "committed " + std::to_string(kStoreQueueMax) + " store_unavailable");
    CHECK(open.events.commits.size() == kStoreQueueMax + 1);
    CHECK(open.load().entries.at(0).value == std::to_string(kStoreQueueMax - 1));
}

TEST_CASE("sqlite store: 5,000 partitions are created, stored, replayed and deleted quickly") {
    const TempDir dir;
    Open open(dir.file());
    World world;
    const auto start = std::chrono::steady_clock::now();
    NewTopic topic;
    topic.name = "wide";
    topic.partition_count = 5000;
    CreateTopics create({topic}, false, world.config);
    REQUIRE(open.commit_now(create.decide(*world.image, world.random)));
    Replay replay(world.config);
    Result<Replay::Step> step = replay.apply(open.events.changes.back());
    REQUIRE(step);
    CHECK(step->image->topic("wide")->partitions.size() == 5000);
    DeleteTopics remove({{"wide", TopicId{}}});
    REQUIRE(open.commit_now(remove.decide(*step->image, world.random)));
    step = replay.apply(open.events.changes.back());
    REQUIRE(step);
    CHECK(step->delta.topics_deleted.size() == 1);
    CHECK(open.load().entries.size() == 1);
    const auto took = std::chrono::steady_clock::now() - start;
    MESSAGE("took " << std::chrono::duration_cast<std::chrono::milliseconds>(took).count()
                    << " ms");
    CHECK(took < std::chrono::seconds(5)); // about 0.1 s; the slack is for sanitizers and load
}
