#include "server/uv/uv_file.h"

#include "server/uv/page_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace qtool::uv {

namespace {

constexpr size_t kWritePieceCountMax =
    64; // a system call; IOV_MAX is 1024, the array is on the stack

/// Repeats a call that a signal cut short.
template <class Call>
auto retry(Call&& call) {
    decltype(call()) result;
    do {
        result = call();
    } while (result < 0 && errno == EINTR);
    return result;
}

} // namespace

Error disk_error(const char* action, const std::string& path, int sys_errno) {
    // Out of descriptors is no trouble of the disk: it must take no directory offline.
    const bool is_full =
        sys_errno == ENOSPC || sys_errno == EDQUOT || sys_errno == EMFILE || sys_errno == ENFILE;
    const Code code = is_full ? Code::storage_full : Code::storage_io;
    return Error(code, std::string("cannot ") + action + " '" + path + "'", sys_errno);
}

Result<port::FileRef> UvFile::open(const std::string& path, port::OpenMode mode) {
    int flags = O_CLOEXEC;
    switch (mode) {
    case port::OpenMode::read:
        flags |= O_RDONLY;
        break;
    case port::OpenMode::read_write:
        flags |= O_RDWR;
        break;
    case port::OpenMode::create:
        flags |= O_RDWR | O_CREAT;
        break;
    }
    const int fd = retry([&] { return ::open(path.c_str(), flags, 0644); });
    if (fd < 0) {
        if (errno == ENOENT) {
            return Error(Code::resource_not_found, "cannot open '" + path + "'", ENOENT);
        }
        return disk_error("open", path, errno);
    }
    return port::FileRef(std::make_shared<UvFile>(fd, path));
}

UvFile::~UvFile() {
    ::close(fd_); // nothing is lost here: what must be durable was synced before
}

Result<size_t> UvFile::read_at(ByteSpan into, uint64_t position) {
    size_t done = 0;
    while (done < into.size()) {
        const ssize_t n = retry([&] {
            return ::pread(fd_, into.data() + done, into.size() - done,
                           static_cast<off_t>(position + done));
        });
        if (n < 0) {
            return disk_error("read", path_, errno);
        }
        if (n == 0) {
            break; // the end of the file
        }
        done += static_cast<size_t>(n);
    }
    return done;
}

bool UvFile::is_in_memory(uint64_t position, uint64_t size) {
    return is_in_page_cache(*this, position, size);
}

Result<void> UvFile::write_at(std::span<const ByteView> pieces, uint64_t position) {
    size_t skip = 0; // bytes of pieces[0] that are written
    while (!pieces.empty()) {
        if (pieces[0].size() == skip) {
            pieces = pieces.subspan(1);
            skip = 0;
            continue;
        }
        std::array<iovec, kWritePieceCountMax> vectors;
        const size_t count = std::min(pieces.size(), vectors.size());
        for (size_t i = 0; i < count; i++) {
            const ByteView bytes = i == 0 ? pieces[0].subspan(skip) : pieces[i];
            vectors[i] = {const_cast<std::byte*>(bytes.data()), bytes.size()};
        }
        const ssize_t n = retry([&] {
            return ::pwritev(fd_, vectors.data(), static_cast<int>(count),
                             static_cast<off_t>(position));
        });
        if (n < 0) {
            return disk_error("write", path_, errno);
        }
        if (n == 0) {
            return disk_error("write", path_, EIO); // no progress and no reason given
        }
        position += static_cast<uint64_t>(n);
        auto left = static_cast<size_t>(n);
        while (left > 0) {
            const size_t here = std::min(left, pieces[0].size() - skip);
            left -= here;
            skip += here;
            if (skip == pieces[0].size()) {
                pieces = pieces.subspan(1);
                skip = 0;
            }
        }
    }
    return {};
}

Result<uint64_t> UvFile::size() {
    struct stat info {};
    if (::fstat(fd_, &info) != 0) {
        return disk_error("stat", path_, errno);
    }
    return static_cast<uint64_t>(info.st_size);
}

Result<void> UvFile::truncate(uint64_t size_bytes) {
    if (retry([&] { return ::ftruncate(fd_, static_cast<off_t>(size_bytes)); }) != 0) {
        return disk_error("truncate", path_, errno);
    }
    return {};
}

Result<void> UvFile::sync_blocking() {
    // Not repeated on EINTR: a failed fdatasync may have dropped the dirty pages' error state, so
    // every failure counts.
    if (::fdatasync(fd_) != 0) {
        return disk_error("sync", path_, errno);
    }
    return {};
}

// ---- directories --------------------------------------------------------------------------------

Result<port::FileRef> UvDirectory::open(const std::string& path) {
    const int fd = retry([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    if (fd < 0) {
        return disk_error("open directory", path, errno);
    }
    return port::FileRef(std::make_shared<UvDirectory>(fd, path));
}

UvDirectory::~UvDirectory() {
    ::close(fd_);
}

Result<size_t> UvDirectory::read_at(ByteSpan /*into*/, uint64_t /*position*/) {
    return disk_error("read", path_, EISDIR);
}

bool UvDirectory::is_in_memory(uint64_t /*position*/, uint64_t /*size*/) {
    return true; // its calls fail without the device
}

Result<void> UvDirectory::write_at(std::span<const ByteView> /*pieces*/, uint64_t /*position*/) {
    return disk_error("write", path_, EISDIR);
}

Result<uint64_t> UvDirectory::size() {
    return disk_error("stat", path_, EISDIR);
}

Result<void> UvDirectory::truncate(uint64_t /*size_bytes*/) {
    return disk_error("truncate", path_, EISDIR);
}

// Not fdatasync: ext4 takes a directory whose size is the same for one that has nothing to sync.
Result<void> UvDirectory::sync_blocking() {
    if (::fsync(fd_) != 0) {
        return disk_error("sync directory", path_, errno);
    }
    return {};
}

} // namespace qtool::uv
