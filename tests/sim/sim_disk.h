// SimDisk: the disk port of one core, on the machine's Device. Dies with its process.
#pragma once

#include "server/port/disk.h"
#include "tests/sim/sim_device.h"

#include <functional>
#include <memory>

namespace qtool::sim {

class SimDisk final : public port::Disk {
public:
    using OnDone = std::function<void(Token, Result<void>)>;
    /// `on_synced` and `on_read_in` carry a result to the core. `alive` becomes false with the
    /// process: what it left unfinished then stays undone.
    SimDisk(World& world, Device& device, std::shared_ptr<const bool> alive, OnDone on_synced,
            OnDone on_read_in)
        : world_(world),
          device_(device),
          alive_(std::move(alive)),
          on_synced_(std::move(on_synced)),
          on_read_in_(std::move(on_read_in)) {}

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
    Result<std::unique_ptr<port::DirectoryLock>> lock(const std::string& path) override;
    void sync(port::FileRef file, Token token) override;
    void read_in(port::FileRange range, Token token) override;
    void begin_write_back(port::FileRef file, uint64_t position, uint64_t size) override;
    void remove_later(const std::string& path) override;

private:
    World& world_;
    Device& device_;
    std::shared_ptr<const bool> alive_;
    OnDone on_synced_;
    OnDone on_read_in_;
};

} // namespace qtool::sim
