// Moves between log directories: which directory is the log, as a table of marks; and whole moves
// on a disk in memory, with the power lost, the process killed or one call failing after each
// change they make: what was appended and synced is in the directory that the next start chooses,
// however many moves there were, and which directory was missing at that start.
#include "server/storage/log.h"
#include "server/storage/log_dirs.h"
#include "server/storage/log_move.h"
#include "server/storage/move_mark.h"
#include "server/storage/partition_files.h"
#include "tests/unit/server/storage/log_fixture.h"

using namespace qtool;
using namespace qtool::storage;
using namespace qtool::storage::test;

namespace {

using State = MoveMark::State;

// Log directories of the table: 'a' and 'b' work, 'o' is offline, 'f' was never ours.
Uuid directory(char name) {
    return topic_id(static_cast<uint64_t>(name));
}

LogDirectoryIs look(const Uuid& id) {
    return id == directory('o')   ? LogDirectoryIs::offline
           : id == directory('f') ? LogDirectoryIs::foreign
                                  : LogDirectoryIs::working;
}

// "a" without a mark; "a>b" leaving for b; "a=b" kept; "a<b" arrived from b.
MovePlace parse_place(const std::string& text) {
    MovePlace place{directory(text[0]), std::nullopt};
    if (text.size() > 1) {
        const State state = text[1] == '>'   ? State::leaving
                            : text[1] == '=' ? State::kept
                                             : State::arrived;
        place.mark = MoveMark{state, directory(text[2])};
    }
    return place;
}

// "a" is the log; "-b" goes; "!" the mark of the log goes; "?" nobody can say.
std::string decide(const std::vector<std::string>& places) {
    std::vector<MovePlace> parsed;
    for (const std::string& text : places) {
        parsed.push_back(parse_place(text));
    }
    const Result<MoveHome> home = choose_home(parsed, look);
    if (!home) {
        CHECK(home.error().code == Code::storage_offline);
        return "?";
    }
    std::string result = places[home->home].substr(0, 1);
    for (const size_t i : home->voids) {
        result += "-" + places[i].substr(0, 1);
    }
    return result + (home->is_mark_spent ? "!" : "");
}

constexpr int kBatches = 12;

struct World {
    MemoryDisk disk;
    std::vector<std::string> paths = {"/a", "/b", "/c"};
    std::unique_ptr<LogDirs> dirs;
    std::unique_ptr<Log> log;
    size_t home = 0;
    uint64_t next_id = 100;
    PartitionKey key{topic_id(1), PartitionIndex(0)};
    int64_t acknowledged = 0; // records

    World() {
        set_log_sink([](LogLevel, std::string_view) {});
    }

    LogConfig config() const {
        LogConfig config;
        config.segment_bytes = 600;
        return config;
    }
    Result<void> start() {
        log.reset();
        dirs.reset();
        QT_TRY_ASSIGN(dirs, LogDirs::open(disk, {paths, BrokerId(1), 0,
                                                 [this] { return topic_id(next_id++); }}));
        QT_TRY(dirs->quarantine_unlisted([](const PartitionName&) { return true; },
                                         [](const PartitionKey&) { return false; }));
        QT_TRY_ASSIGN(home, dirs->place("t", key, LogDirs::Arrival::known));
        QT_TRY_ASSIGN(log, Log::open(disk, dirs->at(home).path() + "/t-0", config(),
                                     dirs->at(home).data()->hint(key.topic_id, key.index),
                                     WallTime(std::chrono::milliseconds(kNowMs))));
        return {};
    }
    void stop(bool power_loss) {
        log.reset();
        dirs.reset();
        power_loss ? disk.lose_power() : disk.kill();
    }
    Result<void> append() {
        BatchShape shape;
        std::vector<std::byte> batch = make_batch(shape);
        QT_TRY_ASSIGN(
            const AppendInfo info,
            log->append(batch, LeaderEpoch(0), WallTime(std::chrono::milliseconds(kNowMs))));
        QT_TRY(flush());
        acknowledged = info.last_offset.value() + 1;
        return {};
    }
    Result<void> flush() {
        QT_TRY_ASSIGN(const auto work, log->begin_flush());
        if (work) {
            for (const port::FileRef& file : work->files) {
                if (Result<void> synced = file->sync_blocking(); !synced) {
                    log->fail(synced.error());
                    return synced;
                }
            }
            QT_TRY(log->finish_flush(*work));
        }
        return {};
    }
    MoveEnd end(size_t i) const { return {paths[i], dirs->at(i).data()->directory_id()}; }
    // As Mover does, but for its pauses. An append comes in the middle.
    Result<void> move(size_t to) {
        QT_TRY(dirs->settle_mark(disk, home, "t-0", key));
        QT_TRY(write_move_wish(disk, *log, end(to)));
        QT_TRY_ASSIGN(const auto files, LogMove::begin(disk, *log, end(home), end(to)));
        for (int i = 0;; i++) {
            if (i == 3) {
                QT_TRY(append());
            }
            QT_TRY_ASSIGN(const LogMoveStep step, files->step(*log, 500));
            if (step.to_sync) {
                files->synced(step.to_sync->sync_blocking());
            }
            if (step.is_caught_up) {
                break;
            }
        }
        QT_TRY_ASSIGN(const bool is_done, files->finish(*log, kMoveTailBytesMax));
        CHECK(is_done);
        home = to;
        return {};
    }
    void check() {
        CHECK(!log->failure());
        CHECK(log->log_end_offset() >= Offset(acknowledged));
        Offset next(0);
        while (next < log->log_end_offset()) {
            const Result<ReadInfo> read = log->read(next, log->log_end_offset(), 100'000);
            REQUIRE(read);
            REQUIRE(read->range.size > 0);
            std::vector<std::byte> bytes(read->range.size);
            REQUIRE(read->range.file->read_at(bytes, read->range.position) == bytes.size());
            protocol::BatchWalker walker(bytes);
            for (;;) {
                const auto batch = walker.next();
                REQUIRE(batch);
                if (*batch == nullptr) {
                    break;
                }
                CHECK((*batch)->header.base_offset == next);
                next = (*batch)->header.next_offset();
            }
        }
    }
    // The log directories that have something of the partition, but for what waits to be moved.
    int copies() const {
        int count = 0;
        for (const std::string& path : paths) {
            count += disk.has(path + "/t-0") ? 1 : 0;
        }
        return count;
    }
};

} // namespace

TEST_CASE("move marks: which of the directories is the log") {
    // One alone.
    CHECK(decide({"a"}) == "a");
    CHECK(decide({"a=b"}) == "a!");
    CHECK(decide({"a=o"}) == "a"); // a copy may be in there: no move until that is known
    CHECK(decide({"a=f"}) == "a!");
    CHECK(decide({"a>b"}) == "a!"); // it came to nothing
    CHECK(decide({"a>o"}) == "?");
    CHECK(decide({"a>f"}) == "a!"); // that one was given up
    CHECK(decide({"b<a"}) == "b!");
    CHECK(decide({"b<o"}) == "?"); // it may have been kept there
    CHECK(decide({"b<f"}) == "b!");
    // The two of a move.
    CHECK(decide({"a>b", "b<a"}) == "b-a!");
    CHECK(decide({"b<a", "a>b"}) == "b-a!");
    CHECK(decide({"a=b", "b<a"}) == "a-b!");
    CHECK(decide({"a", "b<a"}) == "a-b");
    CHECK(decide({"a>b", "b"}) == "b-a");
    // What no move leaves: somebody copied, or a directory that was given up came back.
    CHECK(decide({"a", "b"}) == "?");
    CHECK(decide({"a=c", "b<a"}) == "?");
    CHECK(decide({"a>c", "b<a"}) == "?");
    CHECK(decide({"a<b", "b<a"}) == "?");
    CHECK(decide({"a", "b<c"}) == "?");
    CHECK(decide({"a>b", "b<a", "c"}) == "?");
}

TEST_CASE("move marks: what was written is read again, and damage is an error") {
    MemoryDisk disk;
    REQUIRE(disk.make_directory("/p"));
    CHECK(*read_move_mark(disk, "/p") == std::nullopt);
    for (const State state : {State::leaving, State::kept, State::arrived}) {
        const MoveMark mark{state, directory('b')};
        REQUIRE(write_move_mark(disk, "/p", mark));
        CHECK(*read_move_mark(disk, "/p") == mark);
    }
    disk.bytes("/p/move")[12] ^= std::byte{1};
    CHECK(read_move_mark(disk, "/p").error().code == Code::corrupt);
    REQUIRE(remove_move_mark(disk, "/p"));
    REQUIRE(remove_move_mark(disk, "/p"));
    CHECK(*read_move_mark(disk, "/p") == std::nullopt);
}

TEST_CASE("log move: records and indexes are in the new place, and nothing is in the old one") {
    World world;
    REQUIRE(world.start());
    for (int i = 0; i < kBatches; i++) {
        REQUIRE(world.append());
    }
    REQUIRE(world.move(1));
    CHECK(world.copies() == 1);
    CHECK(world.disk.has("/b/t-0"));
    CHECK_FALSE(world.disk.has("/b/t-0/move"));
    world.check();
    REQUIRE(world.append());
    REQUIRE(world.move(2));
    REQUIRE(world.move(0));
    world.check();
    world.stop(true);
    REQUIRE(world.start());
    CHECK(world.home == 0);
    world.check();
}

TEST_CASE("log move: a long tail is not brought at once") {
    World world;
    REQUIRE(world.start());
    REQUIRE(world.append());
    REQUIRE(write_move_wish(world.disk, *world.log, world.end(1)));
    const auto files = LogMove::begin(world.disk, *world.log, world.end(0), world.end(1));
    REQUIRE(files);
    for (;;) {
        const Result<LogMoveStep> step = (*files)->step(*world.log, 10'000);
        REQUIRE(step);
        if (step->to_sync) {
            (*files)->synced(step->to_sync->sync_blocking());
        }
        if (step->is_caught_up) {
            break;
        }
    }
    REQUIRE(world.append());
    CHECK((*files)->finish(*world.log, 10) == false);
    CHECK(world.home == 0);
    CHECK(world.log->directory() == "/a/t-0");
    CHECK((*files)->finish(*world.log, 10'000) == true);
    CHECK(world.log->directory() == "/b/t-0");
    world.check();
}

TEST_CASE("log move: an index that becomes shorter while it is copied is no trouble of the disk") {
    World world;
    REQUIRE(world.start());
    for (int i = 0; i < kBatches; i++) {
        REQUIRE(world.append());
    }
    REQUIRE(write_move_wish(world.disk, *world.log, world.end(1)));
    const auto files = LogMove::begin(world.disk, *world.log, world.end(0), world.end(1));
    REQUIRE(files);
    for (bool is_caught_up = false; !is_caught_up;) {
        for (const std::string& name : world.disk.names("/a/t-0")) {
            if (name.ends_with(".qindex")) {
                world.disk.bytes("/a/t-0/" + name).resize(3);
            }
        }
        const Result<LogMoveStep> step = (*files)->step(*world.log, 7);
        REQUIRE(step);
        if (step->to_sync) {
            (*files)->synced(step->to_sync->sync_blocking());
        }
        is_caught_up = step->is_caught_up;
    }
    CHECK((*files)->finish(*world.log, 10'000) == true);
    world.check();
}

TEST_CASE("log move: whatever change is the last, nothing that was synced is lost") {
    enum class End : uint8_t { kill, power, error };
    for (const End how : {End::kill, End::power, End::error}) {
        CAPTURE(static_cast<int>(how));
        bool has_ended = false;
        for (int changes = 0; !has_ended; changes++) {
            CAPTURE(changes);
            World world;
            REQUIRE(world.start());
            for (int i = 0; i < kBatches; i++) {
                REQUIRE(world.append());
            }
            world.disk.changes_left = changes;
            has_ended = static_cast<bool>(world.move(1)) && static_cast<bool>(world.move(2)) &&
                        static_cast<bool>(world.move(0));
            if (how == End::error) { // the disk is well again at once, and the log may be in use
                world.disk.changes_left.reset();
                if (!world.log->failure()) {
                    REQUIRE(world.append());
                    REQUIRE(world.append());
                    world.check();
                    REQUIRE(world.move((world.home + 1) % 3));
                    REQUIRE(world.append());
                }
            }
            world.stop(how != End::kill);
            // Not every directory is there at the next start: then it is the log, or nobody's.
            for (size_t missing = 1; missing < 3; missing++) {
                const std::string& path = world.paths[missing];
                REQUIRE(world.disk.rename(path, path + "-away"));
                REQUIRE(world.disk.make_directory(path));
                if (world.start()) {
                    world.check();
                }
                world.stop(false);
                for (const std::string& name : world.disk.names(path)) {
                    REQUIRE(world.disk.remove(path + "/" + name));
                }
                REQUIRE(world.disk.remove(path));
                REQUIRE(world.disk.rename(path + "-away", path));
            }
            REQUIRE(world.start());
            CHECK(world.copies() == 1);
            world.check();
            REQUIRE(world.append());
            REQUIRE(world.move((world.home + 1) % 3));
            world.stop(true);
            REQUIRE(world.start());
            CHECK(world.copies() == 1);
            world.check();
        }
    }
}

TEST_CASE("log move: a wish outlives the process, two of them do not") {
    World world;
    REQUIRE(world.start());
    REQUIRE(world.append());
    REQUIRE(write_move_wish(world.disk, *world.log, world.end(2)));
    world.stop(false);
    REQUIRE(world.start());
    CHECK(world.dirs->interrupted_move(world.key) == size_t{2});
    REQUIRE(write_move_wish(world.disk, *world.log, world.end(1)));
    world.stop(false);
    REQUIRE(world.start());
    CHECK(world.dirs->interrupted_move(world.key) == std::nullopt);
    REQUIRE(write_move_wish(world.disk, *world.log, world.end(1)));
    REQUIRE(remove_move_wish(world.disk, *world.log, world.end(1)));
    world.stop(true);
    REQUIRE(world.start());
    CHECK(world.dirs->interrupted_move(world.key) == std::nullopt);
}
