// UvDisk: the disk of one core, plain POSIX calls; what waits for the device goes to the core's
// IoPool, and what is to be read in to its ReadIn. Lives on its core.
#pragma once

#include "server/port/disk.h"
#include "server/uv/io_pool.h"
#include "server/uv/read_in.h"

#include <functional>

namespace qtool::uv {

/// What became of a sync; travels from the pool to the core.
struct SyncDone {
    Token token;
    Result<void> result;
};

class UvDisk final : public port::Disk {
public:
    /// `on_synced` is called on a pool thread; it hands the result to the core. What comes of
    /// read_in goes the way of `read_in`.
    UvDisk(std::function<void(SyncDone)> on_synced, ReadIn& read_in)
        : on_synced_(std::move(on_synced)),
          read_in_(read_in) {}

    Result<port::FileRef> open(const std::string& path, port::OpenMode mode) override;
    Result<port::FileRef> open_directory(const std::string& path) override;
    Result<bool> exists(const std::string& path) override;
    Result<void> make_directory(const std::string& path) override;
    Result<std::vector<port::DirectoryEntry>> list(const std::string& path) override;
    Result<void> rename(const std::string& from, const std::string& to) override;
    Result<void> remove(const std::string& path) override;
    Result<void> sync_directory(const std::string& path) override;
    Result<void> sync_file_system(const std::string& path) override;
    Result<port::DiskSpace> space(const std::string& path) override;
    /// Locks `<path>/.lock`, where our process id is written for people.
    Result<std::unique_ptr<port::DirectoryLock>> lock(const std::string& path) override;

    void sync(port::FileRef file, Token token) override;
    void read_in(port::FileRange range, Token token) override;
    void begin_write_back(port::FileRef file, uint64_t position, uint64_t size) override;
    void remove_later(const std::string& path) override;

    /// Finishes what the pool has; nothing may be submitted after.
    void stop() { pool_.stop(); }

private:
    std::function<void(SyncDone)> on_synced_;
    ReadIn& read_in_;
    IoPool pool_;
};

} // namespace qtool::uv
