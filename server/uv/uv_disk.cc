#include "server/uv/uv_disk.h"

#include "lib/base/log.h"
#include "server/uv/uv_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

namespace qtool::uv {

namespace {

constexpr size_t kHintsMax = 64; // of begin_write_back, that wait for the pool

class FlockedFile final : public port::DirectoryLock {
public:
    explicit FlockedFile(int fd) : fd_(fd) {}
    ~FlockedFile() override { ::close(fd_); } // releases the lock; the file stays
    FlockedFile(const FlockedFile&) = delete;
    FlockedFile& operator=(const FlockedFile&) = delete;

private:
    int fd_;
};

Error locked_error(const std::string& path, int fd) {
    std::array<char, 24> text{};
    const ssize_t n = ::pread(fd, text.data(), text.size() - 1, 0);
    std::string holder;
    for (ssize_t i = 0;
         i < n && text[static_cast<size_t>(i)] >= '0' && text[static_cast<size_t>(i)] <= '9'; i++) {
        holder += text[static_cast<size_t>(i)];
    }
    return Error(Code::storage_locked, "directory '" + path + "' is used by another process" +
                                           (holder.empty() ? "" : " (pid " + holder + ")") +
                                           ": stop that one, or choose another directory");
}

} // namespace

Result<port::FileRef> UvDisk::open(const std::string& path, port::OpenMode mode) {
    return UvFile::open(path, mode);
}

Result<port::FileRef> UvDisk::open_directory(const std::string& path) {
    return UvDirectory::open(path);
}

Result<bool> UvDisk::exists(const std::string& path) {
    struct stat info {};
    if (::lstat(path.c_str(), &info) == 0) {
        return true;
    }
    if (errno == ENOENT || errno == ENOTDIR) {
        return false;
    }
    return disk_error("look up", path, errno);
}

Result<void> UvDisk::make_directory(const std::string& path) {
    if (::mkdir(path.c_str(), 0755) == 0) {
        return {};
    }
    const int problem = errno;
    struct stat info {};
    if (problem == EEXIST && ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
        return {};
    }
    return disk_error("create directory", path, problem);
}

Result<std::vector<port::DirectoryEntry>> UvDisk::list(const std::string& path) {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), &::closedir);
    if (directory == nullptr) {
        if (errno == ENOENT) {
            return Error(Code::resource_not_found, "cannot list '" + path + "'", ENOENT);
        }
        return disk_error("list", path, errno);
    }
    std::vector<port::DirectoryEntry> entries;
    while (true) {
        errno = 0;
        const dirent* at = ::readdir(directory.get());
        if (at == nullptr) {
            if (errno != 0) {
                return disk_error("list", path, errno);
            }
            break;
        }
        port::DirectoryEntry entry;
        entry.name = at->d_name;
        if (entry.name == "." || entry.name == "..") {
            continue;
        }
        struct stat info {};
        if (::fstatat(::dirfd(directory.get()), at->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
            if (errno == ENOENT) {
                continue; // removed while we were listing
            }
            return disk_error("stat", path + "/" + entry.name, errno);
        }
        entry.is_directory = S_ISDIR(info.st_mode);
        entry.size = entry.is_directory ? 0 : static_cast<uint64_t>(info.st_size);
        entries.push_back(std::move(entry));
    }
    std::sort(entries.begin(), entries.end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
    return entries;
}

Result<void> UvDisk::rename(const std::string& from, const std::string& to) {
    if (::rename(from.c_str(), to.c_str()) != 0) {
        return disk_error(("rename to '" + to + "' from").c_str(), from, errno);
    }
    return {};
}

Result<void> UvDisk::remove(const std::string& path) {
    if (::remove(path.c_str()) != 0 && errno != ENOENT) {
        return disk_error("remove", path, errno);
    }
    return {};
}

Result<void> UvDisk::sync_directory(const std::string& path) {
    QT_TRY_ASSIGN(const port::FileRef directory, open_directory(path));
    return directory->sync_blocking();
}

// Linux 5.8 and newer tell of every write that failed since the descriptor was opened; what failed
// before that, recovery writes once more.
Result<void> UvDisk::sync_file_system(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return disk_error("open", path, errno);
    }
    const int problem = ::syncfs(fd) == 0 ? 0 : errno;
    ::close(fd);
    return problem == 0 ? Result<void>() : disk_error("sync the file system of", path, problem);
}

Result<port::DiskSpace> UvDisk::space(const std::string& path) {
    struct statvfs info {};
    if (::statvfs(path.c_str(), &info) != 0) {
        return disk_error("ask for free space of", path, errno);
    }
    // f_bavail: what is left for us, without the blocks kept for root.
    return port::DiskSpace{.free_bytes = static_cast<uint64_t>(info.f_bavail) * info.f_frsize,
                           .total_bytes = static_cast<uint64_t>(info.f_blocks) * info.f_frsize};
}

Result<std::unique_ptr<port::DirectoryLock>> UvDisk::lock(const std::string& path) {
    const std::string file = path + "/.lock";
    const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        return disk_error("open", file, errno);
    }
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
        const int problem = errno;
        Error error =
            problem == EWOULDBLOCK ? locked_error(path, fd) : disk_error("lock", file, problem);
        ::close(fd);
        return error;
    }
    auto held = std::make_unique<FlockedFile>(fd);
    // For people and for the error above only, so a full disk does not keep us from starting.
    const std::string pid = std::to_string(::getpid()) + "\n";
    if (::ftruncate(fd, 0) != 0 ||
        ::pwrite(fd, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
        log_line(LogLevel::warn, "lock_pid_not_written", {{"path", file}, {"errno", errno}});
    }
    return std::unique_ptr<port::DirectoryLock>(std::move(held));
}

void UvDisk::sync(port::FileRef file, Token token) {
    pool_.submit(IoPool::Urgency::now, [this, file = std::move(file), token] {
        on_synced_(SyncDone{token, file->sync_blocking()});
    });
}

void UvDisk::read_in(port::FileRange range, Token token) {
    read_in_.read(ReadInFor::disk, token, {std::move(range)});
}

void UvDisk::begin_write_back(port::FileRef file, uint64_t position, uint64_t size) {
    if (pool_.later_count() >= kHintsMax) {
        return; // the device is behind already
    }
    pool_.submit(IoPool::Urgency::later, [file = std::move(file), position, size] {
        // Waits for nothing but room in the device's queue. An error stays with the file, and its
        // next fdatasync tells of it.
        static_cast<void>(::sync_file_range(static_cast<const UvFile&>(*file).fd(),
                                            static_cast<off_t>(position), static_cast<off_t>(size),
                                            SYNC_FILE_RANGE_WRITE));
    });
}

void UvDisk::remove_later(const std::string& path) {
    pool_.submit(IoPool::Urgency::later, [path] {
        if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
            log_line(LogLevel::warn, "file_not_removed", {{"path", path}, {"errno", errno}});
        }
    });
}

} // namespace qtool::uv
