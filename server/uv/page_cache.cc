#include "server/uv/page_cache.h"

#include "lib/base/units.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <optional>
#include <vector>

namespace qtool::uv {

namespace {

// The system's headers may be older than its kernel. The number is the same on all architectures
// that this is built for.
constexpr long kCachestatNumber = 451;
struct CachestatRange {
    uint64_t position;
    uint64_t size;
};
struct Cachestat {
    uint64_t cached_pages;
    uint64_t dirty_pages;
    uint64_t written_pages;
    uint64_t evicted_pages;
    uint64_t recently_evicted_pages;
};

// Without cachestat a byte of each stretch is asked for. Not of its first page: those of batch
// headers were read for themselves.
constexpr uint64_t kProbeStretch = 64 * KiB;

// One call's reading, and what one hint to the kernel asks for: it cuts larger ones short.
constexpr uint64_t kReadSize = 256 * KiB;

std::atomic<bool> cachestat_is_of_use{true};

/// Pages of the range that the page cache has, also those that are being read; nothing: not told.
std::optional<uint64_t> cached_pages(int fd, uint64_t position, uint64_t size) {
    CachestatRange range{position, size};
    Cachestat found{};
    if (::syscall(kCachestatNumber, fd, &range, &found, 0U) != 0) {
        return std::nullopt;
    }
    return found.cached_pages;
}

uint64_t pages_of(uint64_t position, uint64_t size) {
    static const auto page = static_cast<uint64_t>(::getpagesize());
    return (position + size - 1) / page - position / page + 1;
}

ssize_t read_now(int fd, ByteSpan into, uint64_t position) {
    iovec piece{into.data(), into.size()};
    return ::preadv2(fd, &piece, 1, static_cast<off_t>(position), RWF_NOWAIT);
}

/// Whether the byte is there; also when that cannot be told, or the file ends before it.
bool is_byte_there(int fd, uint64_t position) {
    std::byte byte{};
    return read_now(fd, {&byte, 1}, position) >= 0 || (errno != EAGAIN && errno != EINTR);
}

} // namespace

bool is_in_page_cache(const UvFile& file, uint64_t position, uint64_t size) {
    const uint64_t last = position + size - 1;
    if (cachestat_is_of_use.load(std::memory_order_relaxed)) {
        const std::optional<uint64_t> cached = cached_pages(file.fd(), position, size);
        if (cached) {
            // The last byte tells whether a read that brings them in is still under way.
            return *cached >= pages_of(position, size) && is_byte_there(file.fd(), last);
        }
        cachestat_is_of_use.store(false, std::memory_order_relaxed);
    }
    for (uint64_t at = position + kProbeStretch / 2; at < last; at += kProbeStretch) {
        if (!is_byte_there(file.fd(), at)) {
            return false;
        }
    }
    return is_byte_there(file.fd(), last);
}

bool read_from_page_cache(const UvFile& file, ByteSpan into, uint64_t position) {
    ssize_t got = read_now(file.fd(), into, position);
    if (got < 0 && errno == EOPNOTSUPP) {
        got = ::pread(file.fd(), into.data(), into.size(), static_cast<off_t>(position));
    }
    return got == static_cast<ssize_t>(into.size());
}

Result<uint64_t> bring_into_page_cache(UvFile& file, uint64_t position, uint64_t size) {
    if (size == 0 || is_in_page_cache(file, position, size)) {
        return 0;
    }
    // All of it is asked for at once and then waited for: the device has something to do meanwhile.
    for (uint64_t at = 0; at < size; at += kReadSize) {
        ::posix_fadvise(file.fd(), static_cast<off_t>(position + at),
                        static_cast<off_t>(std::min(kReadSize, size - at)), POSIX_FADV_WILLNEED);
    }
    thread_local std::vector<std::byte> waste(kReadSize);
    uint64_t done = 0;
    while (done < size) {
        const uint64_t wanted = std::min(kReadSize, size - done);
        QT_TRY_ASSIGN(const size_t got,
                      file.read_at(ByteSpan(waste).first(wanted), position + done));
        done += got;
        if (got < wanted) {
            break; // the end of the file
        }
    }
    if (done > 0 && cachestat_is_of_use.load(std::memory_order_relaxed) &&
        cached_pages(file.fd(), position, done) == uint64_t{0}) {
        cachestat_is_of_use.store(false, std::memory_order_relaxed); // the pages are elsewhere
    }
    return done;
}

} // namespace qtool::uv
