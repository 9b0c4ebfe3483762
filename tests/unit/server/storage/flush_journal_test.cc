// Proves the flush journal by itself: what it takes and when it is full, that its two files are not
// written over before their logs are synced, what of a file counts after a crash, and what a start
// puts back.
#include "server/storage/flush_journal.h"
#include "server/storage/journal_replay.h"
#include "server/storage/limits.h"
#include "server/storage/partition_files.h"
#include "server/storage/segment.h"
#include "tests/unit/server/storage/log_fixture.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace qtool;
using namespace qtool::storage;
using namespace qtool::storage::test;
using Answer = FlushJournal::Answer;

namespace {

constexpr uint64_t kSmall = 2 * 8 * kJournalHeaderSize; // of both files

struct Fixture {
    MemoryDisk disk;
    std::unique_ptr<FlushJournal> journal;

    Fixture() {
        set_log_sink([](LogLevel, std::string_view) {});
        begin();
    }
    void begin() {
        disk = MemoryDisk();
        REQUIRE(disk.make_directory("/data"));
        REQUIRE(disk.sync_directory("/"));
        open();
    }
    void open(uint64_t bytes_max = kSmall) {
        journal = std::make_unique<FlushJournal>(disk, "/data", CoreId(0), bytes_max, 7);
    }
    static PartitionKey key(int n) { return {topic_id(1), PartitionIndex(n)}; }
    static std::string name(int n) { return "t-" + std::to_string(n); }
    static std::string segment(int n) {
        return "/data/" + name(n) + "/" + offset_file_name(Offset(0)) + ".log";
    }
    /// A partition with a segment of which nothing is synced but its name.
    void make_partition(int n) {
        REQUIRE(disk.make_directory("/data/" + name(n)));
        REQUIRE(write_partition_meta(disk, "/data/" + name(n), key(n)));
        REQUIRE(disk.open(segment(n), port::OpenMode::create));
        REQUIRE(disk.sync_directory("/data/" + name(n)));
        REQUIRE(disk.sync_directory("/data"));
    }
    /// Writes behind what the segment has, and has the journal collect it.
    void add(int n, std::string_view text) {
        const auto file = disk.open(segment(n), port::OpenMode::read_write);
        REQUIRE(file);
        const uint64_t at = (*file)->size().value();
        const ByteView piece = as_bytes(text);
        REQUIRE((*file)->write_at({&piece, 1}, at));
        REQUIRE(journal->offer(text.size()) == Answer::take);
        JournalRecord record;
        record.partition = key(n);
        const std::string directory = name(n);
        record.directory = directory;
        record.position = at;
        REQUIRE(journal->add(record, **file, static_cast<uint32_t>(text.size())));
    }
    void flush() {
        const auto file = journal->begin_flush();
        REQUIRE(file);
        REQUIRE((*file)->sync_blocking());
        REQUIRE(journal->end_flush({}));
    }
    void lose_power_and_replay() {
        journal.reset();
        disk.lose_power();
        REQUIRE(replay_journals(disk, "/data"));
        open();
    }
    std::string content(int n) {
        const std::vector<std::byte>& bytes = disk.bytes(segment(n));
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }
    /// What a test wrote into it past the journal.
    void sync_journal() {
        REQUIRE(
            (*disk.open("/data/flush-journal.0.0", port::OpenMode::read_write))->sync_blocking());
    }
    size_t to_settle() {
        size_t count = 0;
        while (journal->next_to_settle()) {
            count++;
        }
        return count;
    }
    [[nodiscard]] size_t journals() const {
        const std::vector<std::string> names = disk.names("/data");
        return static_cast<size_t>(
            std::count_if(names.begin(), names.end(), [](const std::string& file) {
                return file.starts_with(kJournalPrefix);
            }));
    }
    /// Partition 0 is in its first file, which cannot grow from now on.
    void open_on_full_disk() {
        make_partition(0);
        open(16 * MiB);
        add(0, "a");
        flush();
        disk.full_suffix = ".0.0";
        disk.is_full = true;
    }
};

} // namespace

TEST_CASE_FIXTURE(Fixture, "journal: one sync makes durable what several logs got") {
    make_partition(0);
    make_partition(1);
    add(0, "first");
    add(1, "other");
    flush();
    const int syncs = disk.syncs;
    add(0, "second");
    add(1, "more");
    flush();
    CHECK(disk.syncs == syncs + 1);
    add(0, "not flushed");
    lose_power_and_replay();
    CHECK(content(0) == "firstsecond");
    CHECK(content(1) == "othermore");
    CHECK(journals() == 0);
    lose_power_and_replay(); // what was put back is durable
    CHECK(content(0) == "firstsecond");
}

TEST_CASE_FIXTURE(Fixture, "journal: one flush at a time, and nothing large") {
    make_partition(0);
    CHECK(journal->offer(kJournaledFlushMax + 1) == Answer::refuse);
    add(0, "a");
    const auto file = journal->begin_flush();
    REQUIRE(file);
    CHECK(journal->offer(1) == Answer::wait);
    REQUIRE(journal->end_flush({}));
    CHECK(journal->offer(1) == Answer::take);
    open(0);
    CHECK(journal->offer(1) == Answer::refuse);
}

TEST_CASE_FIXTURE(Fixture, "journal: a file is written over when the logs in it are synced") {
    make_partition(0);
    make_partition(1);
    const std::string text(kJournalHeaderSize, 'x');
    add(0, text);
    flush();
    while (!journal->is_settling()) {
        add(1, text);
        flush();
    }
    CHECK(to_settle() == 2);
    while (journal->offer(text.size()) == Answer::take) {
        add(1, text);
        flush();
    }
    CHECK(journal->offer(text.size()) == Answer::full);
    CHECK(journal->end_settling({key(0)}) == nullptr); // which could not be
    CHECK(to_settle() == 1);
    CHECK(journal->offer(text.size()) == Answer::full);
    const size_t size = content(1).size();

    SUBCASE("a crash before") {
        lose_power_and_replay();
        CHECK(content(0) == text);
        CHECK(content(1).size() == size);
    }
    SUBCASE("and behind") {
        for (int n = 0; n < 2; n++) {
            REQUIRE((*disk.open(segment(n), port::OpenMode::read_write))->sync_blocking());
        }
        const port::FileRef file = journal->end_settling({});
        REQUIRE(file);
        CHECK(journal->offer(text.size()) == Answer::full); // until it is durably empty
        CHECK(journal->holds(key(0)));
        REQUIRE(file->sync_blocking());
        journal->end_emptying({});
        CHECK(!journal->holds(key(0)));
        CHECK(journal->holds(key(1)));
        add(1, text);
        flush();
        lose_power_and_replay();
        CHECK(content(0) == text);
        CHECK(content(1).size() == size + text.size());
    }
}

// A device may write any of the pages of a flush that a power loss interrupts.
TEST_CASE_FIXTURE(Fixture, "journal: of a file that is written over no old part comes back") {
    make_partition(0);
    make_partition(1);
    const std::string filler(kJournalHeaderSize, 'x');
    add(0, "old");
    flush();
    add(1, filler);
    flush();
    REQUIRE(journal->leave(name(0), key(0)));
    disk.bytes(segment(0)).assign(3, std::byte{'n'}); // cut, and written anew
    const auto turn_over = [&] {
        while (!journal->is_settling()) {
            add(1, filler);
            flush();
        }
        to_settle();
        REQUIRE(disk.sync_file_system("/data"));
        const port::FileRef file = journal->end_settling({});
        REQUIRE(file);
        REQUIRE(file->sync_blocking());
        journal->end_emptying({});
    };
    turn_over();
    turn_over();
    const std::vector<std::byte> before = disk.bytes("/data/flush-journal.0.0");
    add(1, filler);
    flush(); // over what was there
    auto& after = disk.bytes("/data/flush-journal.0.0");
    std::copy_n(before.begin(), kJournalHeaderSize + 1024, after.begin());
    REQUIRE(disk.sync_file_system("/data"));
    lose_power_and_replay();
    CHECK(content(0) == "nnn");
}

TEST_CASE_FIXTURE(Fixture, "journal: of two files the older one goes first") {
    for (int kept = 0; kept < 2; kept++) {
        CAPTURE(kept);
        begin();
        make_partition(0);
        make_partition(1);
        add(0, "old");
        flush();
        while (!journal->is_settling()) {
            add(1, std::string(kJournalHeaderSize, 'x'));
            flush();
        }
        REQUIRE(journal->leave(name(0), key(0))); // in the newer file
        disk.bytes(segment(0)).assign(3, std::byte{'n'});
        REQUIRE(disk.sync_file_system("/data"));
        disk.unremovable_suffix = kept == 0 ? ".0.0" : ".0.1";
        CHECK(!journal->remove());
        disk.unremovable_suffix.clear();
        lose_power_and_replay();
        CHECK(content(0) == "nnn");
    }
}

// What the flush under way had is lost to it, and nobody knows yet: the next sync succeeds.
TEST_CASE_FIXTURE(Fixture, "journal: who leaves does not rely on a flush under way") {
    make_partition(0);
    make_partition(1);
    add(0, "old");
    flush();
    const std::vector<std::byte> before = disk.bytes("/data/flush-journal.0.0");
    add(1, "under way");
    REQUIRE(journal->begin_flush());
    auto& bytes = disk.bytes("/data/flush-journal.0.0");
    bytes = before; // as the device has it
    REQUIRE(journal->leave(name(0), key(0)));
    REQUIRE(journal->leave(name(1), key(1)));
    lose_power_and_replay();
    CHECK(content(0).empty());
    CHECK(content(1).empty());
}

// Salted: its bytes are none of this process's.
TEST_CASE_FIXTURE(Fixture, "journal: a record within what somebody produced is none") {
    make_partition(0);
    make_partition(1);
    ByteWriter forged;
    JournalRecord record;
    record.partition = key(0);
    const std::string directory = name(0);
    record.directory = directory;
    const ByteSpan into = open_journal_record(forged, (uint64_t{7} << 32) + 1, record, 6);
    std::memcpy(into.data(), "FORGED", 6);
    close_journal_record(forged, 0);
    std::string payload;
    for (int i = 0; i < 100; i++) {
        payload.append(reinterpret_cast<const char*>(forged.view().data()), forged.size());
    }
    add(1, payload);
    flush();
    auto& bytes = disk.bytes("/data/flush-journal.0.0");
    bytes[kJournalHeaderSize + 20] ^= std::byte{1}; // torn
    sync_journal();
    lose_power_and_replay();
    CHECK(content(0).empty());
    CHECK(content(1).empty());
}

TEST_CASE_FIXTURE(Fixture, "journal: what a log has left is not put back") {
    make_partition(0);
    make_partition(1);
    add(0, "cut");
    add(1, "kept");
    flush();
    REQUIRE(journal->leave(name(0), key(0)));
    CHECK(!journal->holds(key(0)));
    const int syncs = disk.syncs;
    REQUIRE(journal->leave(name(0), key(0)));
    CHECK(disk.syncs == syncs); // nothing was to be done
    SUBCASE("and nothing follows") {
        lose_power_and_replay();
        CHECK(content(0).empty());
    }
    SUBCASE("what comes later is") {
        disk.bytes(segment(0)).clear();
        add(0, "new");
        flush();
        lose_power_and_replay();
        CHECK(content(0) == "new");
    }
    CHECK(content(1) == "kept");
}

TEST_CASE_FIXTURE(Fixture, "journal: leaving brings the flush under way, too") {
    make_partition(0);
    make_partition(1);
    add(0, "gone");
    add(1, "kept");
    REQUIRE(journal->begin_flush());
    REQUIRE(journal->leave(name(0), key(0)));
    lose_power_and_replay();
    CHECK(content(0).empty());
    CHECK(content(1) == "kept");
}

TEST_CASE_FIXTURE(Fixture, "journal: a flush that a crash tore counts up to there, at most") {
    make_partition(0);
    make_partition(1);
    add(0, "old");
    flush();
    add(0, "torn");
    add(1, "behind");
    flush();
    auto& bytes = disk.bytes("/data/flush-journal.0.0");
    const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    bytes[all.find("torn")] = std::byte{'T'};
    sync_journal();
    lose_power_and_replay();
    CHECK(content(0) == "old");
    CHECK(content(1).empty());
}

TEST_CASE_FIXTURE(Fixture, "journal: a start leaves out what is gone, or somebody else's") {
    for (int n = 0; n < 4; n++) {
        make_partition(n);
        add(n, "text");
    }
    flush();
    REQUIRE(disk.remove(segment(0))); // by retention
    REQUIRE(disk.sync_directory("/data/" + name(0)));
    REQUIRE(write_partition_meta(disk, "/data/" + name(1), {topic_id(2), PartitionIndex(1)}));
    REQUIRE(disk.rename("/data/" + name(2), "/data/elsewhere"));
    REQUIRE(disk.sync_directory("/data"));
    lose_power_and_replay();
    CHECK(!disk.has(segment(0)));
    CHECK(content(1).empty());
    CHECK(!disk.has(segment(2)));
    CHECK(content(3) == "text");
}

TEST_CASE_FIXTURE(Fixture, "journal: a start that fails is done again, whatever memory says then") {
    make_partition(0);
    add(0, "text");
    flush();
    journal.reset();
    disk.fails_sync = true;
    CHECK(replay_journals(disk, "/data").error().code == Code::storage_io);
    disk.fails_sync = false;
    CHECK(journals() == 2);
    CHECK(content(0) == "text"); // as the page cache has it, and the disk maybe not
    REQUIRE(replay_journals(disk, "/data"));
    lose_power_and_replay();
    CHECK(content(0) == "text");
}

TEST_CASE_FIXTURE(Fixture, "journal: a start dies at any step, and the next one has all") {
    for (int steps = 0;; steps++) {
        CAPTURE(steps);
        begin();
        make_partition(0);
        make_partition(1);
        add(0, "one");
        add(1, "two");
        flush();
        journal.reset();
        disk.lose_power();
        disk.changes_left = steps;
        const bool is_done = replay_journals(disk, "/data").has_value();
        lose_power_and_replay();
        CHECK(content(0) == "one");
        CHECK(content(1) == "two");
        if (is_done) {
            break;
        }
    }
}

TEST_CASE_FIXTURE(Fixture, "journal: on a full disk it makes do with what it has") {
    open_on_full_disk();
    const std::string text(kJournaledFlushMax, 'x');
    while (true) {
        REQUIRE(journal->offer(text.size()) == Answer::take);
        add(0, text);
        const auto file = journal->begin_flush();
        if (!file) {
            CHECK(file.error().code == Code::storage_full);
            break;
        }
        REQUIRE(journal->end_flush({}));
    }
    CHECK(!journal->is_flushing());
    CHECK(disk.bytes("/data/flush-journal.0.0").size() == 128 * KiB);
    REQUIRE(journal->leave(name(0), key(0))); // room is kept for that
    add(0, text);
    CHECK(journal->is_settling()); // it goes to the other file
    flush();
}

TEST_CASE_FIXTURE(Fixture, "journal: on a full disk what leaves has room") {
    open_on_full_disk();
    while (true) { // to the brim
        REQUIRE(journal->offer(1) == Answer::take);
        add(0, "b");
        if (!journal->begin_flush()) {
            break;
        }
        REQUIRE(journal->end_flush({}));
    }
    CHECK(journal->leave(name(0), key(0)));
    CHECK(!journal->holds(key(0)));
}

TEST_CASE_FIXTURE(Fixture, "journal: one that cannot be opened is tried again") {
    make_partition(0);
    disk.fails_open = true;
    CHECK(journal->offer(1) == Answer::refuse);
    disk.fails_open = false;
    int offers = 0;
    while (journal->offer(1) == Answer::refuse) {
        offers++;
    }
    CHECK(offers == 1000);
}

TEST_CASE_FIXTURE(Fixture, "journal: a sync that failed ends it, and it goes when all is synced") {
    make_partition(0);
    make_partition(1);
    add(0, "a");
    flush();
    add(0, "b");
    REQUIRE(journal->begin_flush());
    CHECK(!journal->end_flush(Error(Code::storage_io, "sync")));
    CHECK(journal->offer(1) == Answer::refuse);
    CHECK(journal->leave(name(0), key(0)).error().code == Code::storage_full); // not yet
    CHECK(journal->leave(name(1), key(1))); // it has nothing of that one
    REQUIRE(journal->is_settling());
    CHECK(to_settle() == 1);
    CHECK(journal->end_settling({}) == nullptr);
    CHECK(journals() == 0);
    CHECK(journal->leave(name(0), key(0)));
}

// The device lost what the flush had, and told it to whoever left meanwhile.
TEST_CASE_FIXTURE(Fixture, "journal: a flush under way fails with what leaves during it") {
    make_partition(0);
    make_partition(1);
    add(0, "a");
    flush();
    add(1, "b");
    REQUIRE(journal->begin_flush());
    disk.fails_sync = true;
    CHECK(!journal->leave(name(0), key(0)));
    disk.fails_sync = false;
    CHECK(!journal->end_flush({}));
}

TEST_CASE_FIXTURE(Fixture, "journal: what could not be removed is still held, and removed later") {
    make_partition(0);
    add(0, "a");
    flush();
    add(0, "b");
    REQUIRE(journal->begin_flush());
    CHECK(!journal->end_flush(Error(Code::storage_io, "sync")));
    to_settle();
    disk.unremovable_suffix = ".0.0";
    CHECK(journal->end_settling({}) == nullptr);
    CHECK(journal->holds(key(0)));
    CHECK(!journal->leave(name(0), key(0)));
    REQUIRE(journal->is_settling());
    disk.unremovable_suffix.clear();
    CHECK(journal->end_settling({}) == nullptr);
    CHECK(!journal->holds(key(0)));
    CHECK(journals() == 0);
}

TEST_CASE_FIXTURE(Fixture, "journal: one of a newer version is not thrown away") {
    make_partition(0);
    add(0, "a");
    flush();
    disk.bytes("/data/flush-journal.0.0")[7] = std::byte{9};
    CHECK(replay_journals(disk, "/data").error().code == Code::unsupported_version);
    CHECK(journals() == 2);
}
