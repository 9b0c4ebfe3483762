// UvFile: a file by its descriptor. Reads, writes and the destructor may run on any thread (a reply
// under way, the I/O pool); who writes and truncates is the core that owns the segment.
#pragma once

#include "server/port/disk.h"

#include <string>

namespace qtool::uv {

/// storage_full for ENOSPC, EDQUOT, EMFILE and ENFILE, else storage_io; the detail says what and
/// where.
Error disk_error(const char* action, const std::string& path, int sys_errno);

class UvFile final : public port::File {
public:
    static Result<port::FileRef> open(const std::string& path, port::OpenMode mode);
    UvFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
    ~UvFile() override;
    UvFile(const UvFile&) = delete;
    UvFile& operator=(const UvFile&) = delete;

    Result<size_t> read_at(ByteSpan into, uint64_t position) override;
    [[nodiscard]] bool is_in_memory(uint64_t position, uint64_t size) override;
    Result<void> write_at(std::span<const ByteView> pieces, uint64_t position) override;
    [[nodiscard]] Result<uint64_t> size() override;
    Result<void> truncate(uint64_t size_bytes) override;
    Result<void> sync_blocking() override;

    [[nodiscard]] int fd() const { return fd_; }
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    int fd_;
    std::string path_;
};

/// A directory, opened to be synced.
class UvDirectory final : public port::File {
public:
    static Result<port::FileRef> open(const std::string& path);
    UvDirectory(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
    ~UvDirectory() override;
    UvDirectory(const UvDirectory&) = delete;
    UvDirectory& operator=(const UvDirectory&) = delete;

    Result<size_t> read_at(ByteSpan into, uint64_t position) override;
    [[nodiscard]] bool is_in_memory(uint64_t position, uint64_t size) override;
    Result<void> write_at(std::span<const ByteView> pieces, uint64_t position) override;
    [[nodiscard]] Result<uint64_t> size() override;
    Result<void> truncate(uint64_t size_bytes) override;
    Result<void> sync_blocking() override;

private:
    int fd_;
    std::string path_;
};

} // namespace qtool::uv
