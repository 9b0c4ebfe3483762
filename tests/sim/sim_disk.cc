#include "tests/sim/sim_disk.h"

#include "lib/base/units.h"

#include <cerrno>

namespace qtool::sim {

namespace {

class SimFile final : public port::File {
public:
    SimFile(Device& device, InodeRef inode, bool writable)
        : device_(device),
          inode_(std::move(inode)),
          writable_(writable) {}

    Result<size_t> read_at(ByteSpan into, uint64_t position) override {
        QT_TRY(check_is_file());
        return device_.read(*inode_, into, position);
    }
    bool is_in_memory(uint64_t position, uint64_t size) override {
        return inode_->is_directory || device_.is_in_memory(*inode_, position, size);
    }
    Result<void> write_at(std::span<const ByteView> pieces, uint64_t position) override {
        QT_TRY(check_is_file());
        QT_ASSERT(writable_);
        return device_.write(*inode_, pieces, position);
    }
    Result<uint64_t> size() override {
        QT_TRY(check_is_file());
        return uint64_t{inode_->content.size()};
    }
    Result<void> truncate(uint64_t size_bytes) override {
        QT_TRY(check_is_file());
        QT_ASSERT(writable_);
        return device_.truncate(*inode_, size_bytes);
    }
    Result<void> sync_blocking() override { return device_.sync(*inode_, device_.sync_mark()); }

    [[nodiscard]] const InodeRef& inode() const { return inode_; }

private:
    [[nodiscard]] Result<void> check_is_file() const {
        if (inode_->is_directory) {
            return Error(Code::storage_io, "it is a directory", EISDIR);
        }
        return {};
    }

    Device& device_;
    InodeRef inode_;
    bool writable_;
};

class SimLock final : public port::DirectoryLock {
public:
    SimLock(Device& device, std::string path) : device_(device), path_(std::move(path)) {}
    ~SimLock() override { device_.drop_lock(path_); }
    SimLock(const SimLock&) = delete;
    SimLock& operator=(const SimLock&) = delete;

private:
    Device& device_;
    std::string path_;
};

} // namespace

Result<port::FileRef> SimDisk::open(const std::string& path, port::OpenMode mode) {
    QT_TRY_ASSIGN(InodeRef inode, device_.open(path, mode == port::OpenMode::create));
    return port::FileRef(
        std::make_shared<SimFile>(device_, std::move(inode), mode != port::OpenMode::read));
}

Result<port::FileRef> SimDisk::open_directory(const std::string& path) {
    QT_TRY_ASSIGN(InodeRef inode, device_.find(path));
    if (!inode->is_directory) {
        return Error(Code::storage_io, path + " is no directory", ENOTDIR);
    }
    return port::FileRef(std::make_shared<SimFile>(device_, std::move(inode), false));
}

Result<bool> SimDisk::exists(const std::string& path) {
    return device_.exists(path);
}

Result<void> SimDisk::make_directory(const std::string& path) {
    return device_.make_directory(path);
}

Result<std::vector<port::DirectoryEntry>> SimDisk::list(const std::string& path) {
    QT_TRY_ASSIGN(const InodeRef directory, device_.find(path));
    std::vector<port::DirectoryEntry> entries;
    for (const auto& [name, inode] : directory->entries) {
        entries.push_back({name, inode->is_directory, inode->content.size()});
    }
    return entries;
}

Result<void> SimDisk::rename(const std::string& from, const std::string& to) {
    return device_.rename(from, to);
}

Result<void> SimDisk::remove(const std::string& path) {
    return device_.remove(path);
}

Result<void> SimDisk::sync_directory(const std::string& path) {
    return device_.sync_directory(path);
}

Result<void> SimDisk::sync_file_system(const std::string&) {
    return device_.sync_all();
}

Result<port::DiskSpace> SimDisk::space(const std::string&) {
    return port::DiskSpace{.free_bytes = device_.free_bytes(), .total_bytes = 2 * GiB};
}

Result<std::unique_ptr<port::DirectoryLock>> SimDisk::lock(const std::string& path) {
    QT_TRY(device_.open(path + "/.lock", true));
    if (!device_.take_lock(path)) {
        return Error(Code::storage_locked, "directory '" + path + "' is used by another process");
    }
    return std::unique_ptr<port::DirectoryLock>(std::make_unique<SimLock>(device_, path));
}

void SimDisk::sync(port::FileRef file, Token token) {
    Duration delay = world_.between(20us, 2ms);
    if (world_.chance_percent(1)) {
        world_.hit(Fault::sync_slow);
        delay = world_.between(50ms, 1500ms);
    }
    delay += device_.sync_delay();
    const InodeRef inode = static_cast<SimFile&>(*file).inode();
    // What is written after the start of a sync may or may not be covered; here it is not.
    world_.after(delay, [inode, mark = device_.sync_mark(), token, device = &device_,
                         alive = alive_, on_synced = on_synced_] {
        if (*alive) {
            on_synced(token, device->sync(*inode, mark));
        }
    });
}

// What it brings in may be gone again when the core looks.
void SimDisk::read_in(port::FileRange range, Token token) {
    Duration delay = world_.between(50us, 5ms);
    if (world_.chance_percent(2)) {
        world_.hit(Fault::read_in_slow);
        delay = world_.between(50ms, 1500ms);
    }
    delay += device_.sync_delay();
    world_.after(delay, [file = std::move(range.file), token, world = &world_, alive = alive_,
                         on_read_in = on_read_in_] {
        if (!*alive) {
            return;
        }
        if (world->chance_percent(2)) {
            world->hit(Fault::read_in_error);
            on_read_in(token, Error(Code::storage_io, "cannot read", EIO));
        } else {
            on_read_in(token, {});
        }
    });
}

// Unsynced bytes may survive a power loss anyway.
void SimDisk::begin_write_back(port::FileRef /*file*/, uint64_t /*position*/, uint64_t /*size*/) {}

void SimDisk::remove_later(const std::string& path) {
    world_.after(world_.between(1ms, 50ms), [device = &device_, alive = alive_, path] {
        if (*alive) {
            static_cast<void>(device->remove(path));
        }
    });
}

} // namespace qtool::sim
