// What every disk keeps to. `World` is a PortWorld that can be made with a number of data cores.
#pragma once

#include "tests/port/port_world.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>

namespace qtool::test {

inline port::FileRef open_file(port::Disk& disk, const std::string& path, port::OpenMode mode) {
    Result<port::FileRef> file = disk.open(path, mode);
    if (!file) {
        FAIL(to_string(file.error()));
    }
    return *std::move(file);
}

inline void write_text(port::File& file, std::string_view text, uint64_t position = 0) {
    const ByteView bytes = as_bytes(text);
    REQUIRE(file.write_at({&bytes, 1}, position));
}

inline std::string read_text(port::File& file, uint64_t position, size_t size) {
    std::string text(size, '?');
    const Result<size_t> got =
        file.read_at({reinterpret_cast<std::byte*>(text.data()), text.size()}, position);
    REQUIRE(got);
    text.resize(*got);
    return text;
}

inline std::string names_in(port::Disk& disk, const std::string& path) {
    const Result<std::vector<port::DirectoryEntry>> entries = disk.list(path);
    REQUIRE(entries);
    std::string names;
    for (const port::DirectoryEntry& entry : *entries) {
        names += entry.name + (entry.is_directory ? "/ " : ":" + std::to_string(entry.size) + " ");
    }
    return names;
}

TEST_CASE_TEMPLATE_DEFINE("disk: a file is opened, written, read and truncated", World, disk_file) {
    World world(1);
    port::Disk& disk = *world.core(0).ports().disk;
    const std::string path = world.directory() + "/a";

    for (const port::OpenMode mode : {port::OpenMode::read, port::OpenMode::read_write}) {
        const Result<port::FileRef> absent = disk.open(path, mode);
        REQUIRE_FALSE(absent);
        CHECK(absent.error().code == Code::resource_not_found);
    }
    const port::FileRef file = open_file(disk, path, port::OpenMode::create);
    CHECK(file->size().value() == 0);
    CHECK(read_text(*file, 0, 10).empty());

    // More pieces than one system call takes, empty ones among them.
    const std::string text = pattern(5000);
    std::vector<ByteView> pieces;
    for (size_t at = 0; at < text.size(); at += 10) {
        pieces.push_back(as_bytes(std::string_view(text).substr(at, 10)));
        pieces.push_back({});
    }
    REQUIRE(file->write_at(pieces, 3));
    CHECK(file->size().value() == 5003);
    CHECK(read_text(*file, 0, 3) == std::string(3, '\0')); // a gap reads as zeros
    CHECK(read_text(*file, 3, 5000) == text);
    CHECK(read_text(*file, 5000, 100) == text.substr(4997)); // short at the end only
    CHECK(read_text(*file, 9000, 100).empty());

    write_text(*file, "xyz", 3);
    CHECK(read_text(*file, 2, 5) == std::string(1, '\0') + "xyz" + text[3]);
    REQUIRE(file->truncate(4));
    CHECK(file->size().value() == 4);
    REQUIRE(file->truncate(6));
    CHECK(read_text(*file, 3, 10) == std::string("x\0\0", 3));
    REQUIRE(file->sync_blocking());

    // `create` keeps what is there.
    const port::FileRef again = open_file(disk, path, port::OpenMode::create);
    CHECK(again->size().value() == 6);
    CHECK(open_file(disk, path, port::OpenMode::read)->size().value() == 6);
}

TEST_CASE_TEMPLATE_DEFINE("disk: names come, move and go", World, disk_names) {
    World world(1);
    port::Disk& disk = *world.core(0).ports().disk;
    const std::string top = world.directory();

    REQUIRE(disk.make_directory(top + "/d"));
    CHECK(disk.make_directory(top + "/d"));
    CHECK_FALSE(disk.make_directory(top + "/absent/d"));
    CHECK_FALSE(disk.open(top + "/absent/file", port::OpenMode::create));
    write_text(*open_file(disk, top + "/d/b", port::OpenMode::create), "22");
    write_text(*open_file(disk, top + "/d/a", port::OpenMode::create), "1");
    REQUIRE(disk.make_directory(top + "/d/c"));
    CHECK(names_in(disk, top + "/d") == "a:1 b:2 c/ ");
    CHECK(disk.list(top + "/none").error().code == Code::resource_not_found);

    CHECK(disk.exists(top + "/d/a").value());
    CHECK(disk.exists(top + "/d/c").value());
    CHECK_FALSE(disk.exists(top + "/d/x").value());
    CHECK_FALSE(disk.exists(top + "/none/x").value());

    // A rename replaces; who had the old file open reads it still.
    const port::FileRef old = open_file(disk, top + "/d/a", port::OpenMode::read);
    REQUIRE(disk.rename(top + "/d/b", top + "/d/a"));
    CHECK(names_in(disk, top + "/d") == "a:2 c/ ");
    CHECK(read_text(*old, 0, 9) == "1");
    REQUIRE(disk.rename(top + "/d/a", top + "/d/c/a"));
    CHECK(names_in(disk, top + "/d/c") == "a:2 ");
    CHECK_FALSE(disk.rename(top + "/d/none", top + "/d/other"));

    CHECK_FALSE(disk.remove(top + "/d/c")); // not empty
    REQUIRE(disk.remove(top + "/d/c/a"));
    REQUIRE(disk.remove(top + "/d/c"));
    CHECK(disk.remove(top + "/d/c")); // absent
    CHECK(names_in(disk, top + "/d").empty());
    CHECK(disk.sync_directory(top + "/d"));
    CHECK(disk.sync_directory(top));
    CHECK(disk.sync_file_system(top));
    // The same as something to be synced later.
    const Result<port::FileRef> directory = disk.open_directory(top + "/d");
    REQUIRE(directory);
    CHECK((*directory)->sync_blocking());
    std::array<std::byte, 4> bytes{};
    const ByteView piece = bytes;
    CHECK_FALSE((*directory)->read_at(bytes, 0));
    CHECK_FALSE((*directory)->write_at({&piece, 1}, 0));
    CHECK_FALSE((*directory)->truncate(0));
    CHECK_FALSE((*directory)->size());
    CHECK_FALSE(disk.open_directory(top + "/none"));
    const Result<port::DiskSpace> space = disk.space(top);
    REQUIRE(space);
    CHECK(space->free_bytes <= space->total_bytes);
}

TEST_CASE_TEMPLATE_DEFINE("disk: a directory is locked once", World, disk_lock) {
    World world(1);
    port::Disk& disk = *world.core(0).ports().disk;
    Result<std::unique_ptr<port::DirectoryLock>> held = disk.lock(world.directory());
    REQUIRE(held);
    const Result<std::unique_ptr<port::DirectoryLock>> second = disk.lock(world.directory());
    REQUIRE_FALSE(second);
    CHECK(second.error().code == Code::storage_locked);
    held->reset();
    CHECK(disk.lock(world.directory()));
}

TEST_CASE_TEMPLATE_DEFINE("disk: each sync is answered once, later", World, disk_sync) {
    World world(2);
    constexpr uint32_t kSyncCount = 100;
    for (uint32_t i = 0; i < kSyncCount; i++) {
        world.on_core(1, [&] {
            port::Disk& disk = *world.core(1).ports().disk;
            const std::string path = world.directory() + "/" + std::to_string(i);
            const port::FileRef file = open_file(disk, path, port::OpenMode::create);
            write_text(*file, "data");
            disk.sync(file, Token{i, 1});
            const Result<port::FileRef> directory = disk.open_directory(world.directory());
            REQUIRE(directory);
            disk.sync(*directory, Token{i, 2});
            disk.remove_later(path); // the sync holds the file
        });
    }
    CHECK(world.wait_until(
        [&] { return world.core(1).synced.size() == 2 * kSyncCount && !world.core(1).turn_open; }));
    CHECK(world.wait_until(
        [&] { return names_in(*world.core(0).ports().disk, world.directory()).empty(); }));
    world.stop();
    for (const auto& [token, results] : world.core(1).synced) {
        REQUIRE(results.size() == 1);
        CHECK(results[0]);
    }
    CHECK(world.core(0).synced.empty());
    CHECK(world.violation() == "");
}

TEST_CASE_TEMPLATE_DEFINE("disk: what is read in is answered once, later", World, disk_read_in) {
    World world(2);
    constexpr uint32_t kFileCount = 50;
    const std::string text = pattern(300'000);
    port::Disk& disk = *world.core(1).ports().disk;
    std::vector<port::FileRef> files;
    for (uint32_t i = 0; i < kFileCount; i++) {
        const std::string path = world.directory() + "/" + std::to_string(i);
        files.push_back(open_file(disk, path, port::OpenMode::create));
        write_text(*files[i], text);
        world.on_core(1, [&] {
            disk.read_in({files[i], 10, 100'000}, Token{i, 1});
            disk.read_in({files[i], text.size() - 5, 10}, Token{i, 2});
            disk.read_in({files[i], text.size() + 5, 10}, Token{i, 3});
            disk.remove_later(path); // the files stay open
        });
    }
    CHECK(world.wait_until([&] {
        return world.core(1).read_ins.size() == 3 * kFileCount && !world.core(1).turn_open;
    }));
    for (const auto& [token, results] : world.core(1).read_ins) {
        CHECK(results.size() == 1);
    }
    // Mostly it is there now, and can be read in any case.
    const auto in_memory = std::count_if(files.begin(), files.end(), [](const port::FileRef& file) {
        return file->is_in_memory(10, 100'000);
    });
    CHECK(in_memory > kFileCount / 2);
    for (const port::FileRef& file : files) {
        CHECK(read_text(*file, 10, 100'000) == text.substr(10, 100'000));
    }
    world.stop();
    CHECK(world.core(0).read_ins.empty());
    CHECK(world.core(1).synced.empty());
    CHECK(world.violation() == "");
}

} // namespace qtool::test
