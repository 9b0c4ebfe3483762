// FaultyDisk: hands every call to another disk and counts it; one call of all can be made to fail.
// Calls that cannot fail in a way (a read with ENOSPC) are counted apart for each kind.
#pragma once

#include "server/port/disk.h"

#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace qtool::replica::test {

enum class Injected : uint8_t {
    no_space,      // ENOSPC: what makes or grows files, and syncs
    io_error,      // EIO: everything but asking for free space
    no_descriptor, // EMFILE: what opens
};

class FaultyDisk final : public port::Disk {
public:
    explicit FaultyDisk(port::Disk& below) : below_(below) {}

    // ---- the fault ----
    Injected kind = Injected::io_error;
    std::optional<uint64_t> fail_at; // the call of that number, from 0
    bool is_lasting = false;         // all behind it too, until fail_at is taken away
    uint64_t calls = 0;              // of calls that `kind` may hit
    bool was_hit = false;
    std::string hit_text; // the call

    // ---- flushes under way ----
    struct Sync {
        port::FileRef file;
        Token token;
    };
    std::vector<Sync> syncs;

    // ---- port::Disk ----
    Result<port::FileRef> open(const std::string& path, port::OpenMode mode) override {
        const bool makes = mode == port::OpenMode::create;
        QT_TRY(check(makes ? kMakes | kOpens : kOpens, "open " + path));
        QT_TRY_ASSIGN(port::FileRef file, below_.open(path, mode));
        return port::FileRef(std::make_shared<FaultyFile>(*this, std::move(file), path));
    }
    Result<port::FileRef> open_directory(const std::string& path) override {
        QT_TRY(check(kOpens, "open directory " + path));
        QT_TRY_ASSIGN(port::FileRef file, below_.open_directory(path));
        return port::FileRef(std::make_shared<FaultyFile>(*this, std::move(file), path));
    }
    Result<bool> exists(const std::string& path) override {
        QT_TRY(check(0, "exists " + path));
        return below_.exists(path);
    }
    Result<void> make_directory(const std::string& path) override {
        QT_TRY(check(kMakes, "mkdir " + path));
        return below_.make_directory(path);
    }
    Result<std::vector<port::DirectoryEntry>> list(const std::string& path) override {
        QT_TRY(check(kOpens, "list " + path));
        return below_.list(path);
    }
    Result<void> rename(const std::string& from, const std::string& to) override {
        QT_TRY(check(kMakes, "rename " + from));
        return below_.rename(from, to);
    }
    Result<void> remove(const std::string& path) override {
        QT_TRY(check(0, "remove " + path));
        return below_.remove(path);
    }
    Result<void> sync_directory(const std::string& path) override {
        QT_TRY(check(kMakes | kOpens, "sync directory " + path));
        return below_.sync_directory(path);
    }
    Result<void> sync_file_system(const std::string& path) override {
        QT_TRY(check(kOpens, "sync the file system of " + path));
        return below_.sync_file_system(path);
    }
    Result<port::DiskSpace> space(const std::string& path) override { return below_.space(path); }
    Result<std::unique_ptr<port::DirectoryLock>> lock(const std::string& path) override {
        QT_TRY(check(kOpens, "lock " + path));
        return below_.lock(path);
    }
    void sync(port::FileRef file, Token token) override {
        syncs.push_back({std::move(file), token});
    }
    void read_in(port::FileRange range, Token token) override {
        range.file = static_cast<FaultyFile&>(*range.file).below();
        below_.read_in(std::move(range), token);
    }
    void begin_write_back(port::FileRef file, uint64_t position, uint64_t size) override {
        below_.begin_write_back(std::move(file), position, size);
    }
    void remove_later(const std::string& path) override { below_.remove_later(path); }

private:
    static constexpr unsigned kMakes = 1; // may say ENOSPC
    static constexpr unsigned kOpens = 2; // may say EMFILE

    class FaultyFile final : public port::File {
    public:
        FaultyFile(FaultyDisk& disk, port::FileRef below, std::string path)
            : disk_(disk),
              below_(std::move(below)),
              path_(std::move(path)) {}
        Result<size_t> read_at(ByteSpan into, uint64_t position) override {
            QT_TRY(disk_.check(0, "read " + path_));
            return below_->read_at(into, position);
        }
        bool is_in_memory(uint64_t position, uint64_t size) override {
            return below_->is_in_memory(position, size);
        }
        [[nodiscard]] const port::FileRef& below() const { return below_; }
        Result<void> write_at(std::span<const ByteView> pieces, uint64_t position) override {
            if (Result<void> checked = disk_.check(kMakes, "write " + path_); !checked) {
                // A part arrives before the disk says so.
                const ByteView half = pieces[0].first(pieces[0].size() / 2);
                static_cast<void>(below_->write_at({&half, 1}, position));
                return checked;
            }
            return below_->write_at(pieces, position);
        }
        Result<uint64_t> size() override {
            QT_TRY(disk_.check(0, "size " + path_));
            return below_->size();
        }
        Result<void> truncate(uint64_t size_bytes) override {
            QT_TRY(disk_.check(0, "truncate " + path_));
            return below_->truncate(size_bytes);
        }
        Result<void> sync_blocking() override {
            QT_TRY(disk_.check(kMakes, "sync " + path_));
            return below_->sync_blocking();
        }

    private:
        FaultyDisk& disk_;
        port::FileRef below_;
        std::string path_;
    };

    Result<void> check(unsigned what, const std::string& text) {
        if ((kind == Injected::no_space && (what & kMakes) == 0) ||
            (kind == Injected::no_descriptor && (what & kOpens) == 0)) {
            return {};
        }
        const uint64_t call = calls++;
        if (!fail_at || call < *fail_at || (call > *fail_at && !is_lasting)) {
            return {};
        }
        was_hit = true;
        hit_text = text;
        switch (kind) {
        case Injected::no_space:
            return Error(Code::storage_full, text, ENOSPC);
        case Injected::io_error:
            return Error(Code::storage_io, text, EIO);
        case Injected::no_descriptor:
            return Error(Code::storage_full, text, EMFILE);
        }
        return {};
    }

    port::Disk& below_;
};

} // namespace qtool::replica::test
