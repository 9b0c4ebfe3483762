// MemoryDisk: port::Disk in memory for tests. It knows which bytes and directory entries are on the
// device and which only in the page cache, so a power loss can be played; it can run full, fail a
// sync, be cold, and stop working after a number of changes, as if the process had died there.
#pragma once

#include "server/port/disk.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace qtool::storage::test {

class MemoryDisk final : public port::Disk {
public:
    MemoryDisk() : root_(std::make_shared<Node>()) { root_->is_directory = true; }

    // ---- faults ----
    bool is_full = false;           // creating and growing files: storage_full
    std::string full_suffix;        // is_full concerns writes to files with this ending alone
    bool fails_sync = false;        // syncs of files: storage_io
    bool fails_open = false;        // opens: storage_io
    std::string unremovable_suffix; // of files that cannot be removed: storage_io
    bool is_cold = false;           // nothing is in memory but what read_in was asked for since
    port::DiskSpace free_space{1, 1};
    std::optional<int> changes_left; // then every change fails with storage_io and does nothing

    /// The machine loses power: only what was synced is there. Open files must be gone.
    void lose_power() {
        forget(*root_);
        locks_.clear();
        changes_left.reset();
    }
    /// The process dies, the page cache lives.
    void kill() {
        locks_.clear();
        changes_left.reset();
    }

    // ---- looking in ----
    struct ReadIn {
        std::string path;
        uint64_t position = 0;
        uint64_t size = 0;
        Token token;
    };
    std::vector<ReadIn> read_ins;   // asked for; the test says when they are done
    std::vector<std::string> waits; // is_cold: files that were read where they are not in memory
    std::vector<std::pair<uint64_t, uint64_t>> write_backs; // asked for: position, size
    int syncs = 0; // that succeeded, of files and directories
    int reads = 0; // of files
    [[nodiscard]] int open_files() const { return *open_files_; }
    [[nodiscard]] int opens() const { return opens_; } // since the start
    [[nodiscard]] bool has(const std::string& path) const { return find(path) != nullptr; }
    /// Direct children of `path`.
    [[nodiscard]] std::vector<std::string> names(const std::string& path) const {
        std::vector<std::string> result;
        if (const auto node = find(path)) {
            for (const auto& [name, child] : node->entries) {
                result.push_back(name);
            }
        }
        return result;
    }
    std::vector<std::byte>& bytes(const std::string& path) { return find(path)->written; }
    /// Puts a whole, synced file there.
    void put(const std::string& path, std::vector<std::byte> content) {
        auto node = std::make_shared<Node>();
        node->written = content;
        node->synced = std::move(content);
        const auto parent = parent_of(path);
        parent->entries[leaf_of(path)] = node;
        parent->durable[leaf_of(path)] = node;
    }

    // ---- port::Disk ----
    Result<port::FileRef> open(const std::string& path, port::OpenMode mode) override {
        if (fails_open) {
            return Error(Code::storage_io, "open " + path);
        }
        auto node = find(path);
        if (!node) {
            if (mode != port::OpenMode::create) {
                return Error(Code::resource_not_found, "open " + path);
            }
            const auto parent = parent_of(path);
            if (!parent) {
                return Error(Code::storage_io, "no directory for " + path);
            }
            if (is_full && full_suffix.empty()) {
                return Error(Code::storage_full, "open " + path);
            }
            QT_TRY(change(path));
            node = std::make_shared<Node>();
            parent->entries[leaf_of(path)] = node;
        }
        opens_++;
        return port::FileRef(std::make_shared<MemoryFile>(*this, std::move(node), path));
    }
    Result<port::FileRef> open_directory(const std::string& path) override {
        auto node = find(path);
        if (fails_open || !node || !node->is_directory) {
            return Error(Code::storage_io, "open directory " + path);
        }
        return port::FileRef(std::make_shared<MemoryFile>(*this, std::move(node), path));
    }
    Result<bool> exists(const std::string& path) override { return has(path); }
    Result<void> make_directory(const std::string& path) override {
        if (has(path)) {
            return {};
        }
        const auto parent = parent_of(path);
        if (!parent || is_full) {
            return Error(is_full ? Code::storage_full : Code::storage_io, "mkdir " + path);
        }
        QT_TRY(change(path));
        auto node = std::make_shared<Node>();
        node->is_directory = true;
        parent->entries[leaf_of(path)] = node;
        return {};
    }
    Result<std::vector<port::DirectoryEntry>> list(const std::string& path) override {
        const auto node = find(path);
        if (!node || !node->is_directory) {
            return Error(Code::resource_not_found, "list " + path);
        }
        std::vector<port::DirectoryEntry> result;
        for (const auto& [name, child] : node->entries) {
            result.push_back({name, child->is_directory, child->written.size()});
        }
        return result;
    }
    Result<void> rename(const std::string& from, const std::string& to) override {
        const auto node = find(from);
        if (!node || !parent_of(to)) {
            return Error(Code::storage_io, "rename " + from);
        }
        QT_TRY(change(from));
        parent_of(from)->entries.erase(leaf_of(from));
        parent_of(to)->entries[leaf_of(to)] = node;
        return {};
    }
    Result<void> remove(const std::string& path) override {
        const auto node = find(path);
        if (!node) {
            return {};
        }
        if (!unremovable_suffix.empty() && path.ends_with(unremovable_suffix)) {
            return Error(Code::storage_io, "remove " + path);
        }
        if (!node->entries.empty()) {
            return Error(Code::storage_io, "not empty: " + path);
        }
        QT_TRY(change(path));
        parent_of(path)->entries.erase(leaf_of(path));
        return {};
    }
    Result<void> sync_directory(const std::string& path) override {
        const auto node = find(path);
        if (!node) {
            return Error(Code::storage_io, "sync " + path);
        }
        QT_TRY(change(path));
        syncs++;
        node->durable = node->entries;
        return {};
    }
    Result<void> sync_file_system(const std::string& path) override {
        if (fails_sync) {
            return Error(Code::storage_io, "sync the file system of " + path);
        }
        QT_TRY(change(path));
        sync_below(*root_);
        return {};
    }
    Result<port::DiskSpace> space(const std::string& /*path*/) override { return free_space; }
    Result<std::unique_ptr<port::DirectoryLock>> lock(const std::string& path) override {
        if (!locks_.insert(path).second) {
            return Error(Code::storage_locked, path);
        }
        return std::unique_ptr<port::DirectoryLock>(std::make_unique<Lock>(locks_, path));
    }
    void sync(port::FileRef /*file*/, Token /*token*/) override {}
    void read_in(port::FileRange range, Token token) override {
        auto& file = static_cast<MemoryFile&>(*range.file);
        file.bring_in(range.position, range.size);
        read_ins.push_back({file.path(), range.position, range.size, token});
    }
    /// The system wants its memory back.
    void forget_memory() { in_memory_.clear(); }
    void begin_write_back(port::FileRef /*file*/, uint64_t position, uint64_t size) override {
        write_backs.emplace_back(position, size);
    }
    void remove_later(const std::string& path) override { static_cast<void>(remove(path)); }

private:
    struct Node {
        bool is_directory = false;
        std::vector<std::byte> written;
        std::vector<std::byte> synced;
        std::map<std::string, std::shared_ptr<Node>> entries;
        std::map<std::string, std::shared_ptr<Node>> durable;
    };

    class MemoryFile final : public port::File {
    public:
        MemoryFile(MemoryDisk& disk, std::shared_ptr<Node> node, std::string path)
            : disk_(disk),
              open_files_(disk.open_files_),
              node_(std::move(node)),
              path_(std::move(path)) {
            ++*open_files_;
        }
        ~MemoryFile() override { --*open_files_; }
        MemoryFile(const MemoryFile&) = delete;
        MemoryFile& operator=(const MemoryFile&) = delete;

        Result<size_t> read_at(ByteSpan into, uint64_t position) override {
            disk_.reads++;
            const std::vector<std::byte>& bytes = node_->written;
            if (position >= bytes.size()) {
                return size_t{0};
            }
            const size_t size = std::min<size_t>(into.size(), bytes.size() - position);
            if (!is_in_memory(position, size)) {
                disk_.waits.push_back(path_);
            }
            if (size > 0) {
                std::memcpy(into.data(), bytes.data() + position, size);
            }
            return size;
        }
        bool is_in_memory(uint64_t position, uint64_t size) override {
            if (position + size > node_->written.size()) {
                return false;
            }
            const auto at = disk_.in_memory_.find(path_);
            return !disk_.is_cold ||
                   (at != disk_.in_memory_.end() && at->second.first <= position &&
                    position + size <= at->second.second);
        }
        void bring_in(uint64_t position, uint64_t size) {
            disk_.in_memory_[path_] = {position, position + size};
        }
        [[nodiscard]] const std::string& path() const { return path_; }
        Result<void> write_at(std::span<const ByteView> pieces, uint64_t position) override {
            QT_TRY(disk_.change(path_));
            for (const ByteView piece : pieces) {
                const size_t end = position + piece.size();
                // A full disk takes a part before it says so.
                const size_t size = disk_.is_full && path_.ends_with(disk_.full_suffix) &&
                                            end > node_->written.size()
                                        ? piece.size() / 2
                                        : piece.size();
                node_->written.resize(std::max(node_->written.size(), position + size));
                std::copy_n(piece.begin(), size,
                            node_->written.begin() + static_cast<ptrdiff_t>(position));
                if (size < piece.size()) {
                    return Error(Code::storage_full, "write " + path_);
                }
                position = end;
            }
            return {};
        }
        Result<uint64_t> size() override { return uint64_t{node_->written.size()}; }
        Result<void> truncate(uint64_t size_bytes) override {
            QT_TRY(disk_.change(path_));
            node_->written.resize(size_bytes);
            return {};
        }
        Result<void> sync_blocking() override {
            if (disk_.fails_sync) {
                return Error(Code::storage_io, "sync " + path_);
            }
            QT_TRY(disk_.change(path_));
            disk_.syncs++;
            node_->synced = node_->written;
            node_->durable = node_->entries;
            return {};
        }

    private:
        MemoryDisk& disk_;
        std::shared_ptr<int> open_files_;
        std::shared_ptr<Node> node_;
        std::string path_;
    };

    class Lock final : public port::DirectoryLock {
    public:
        Lock(std::set<std::string>& locks, std::string path)
            : locks_(locks),
              path_(std::move(path)) {}
        ~Lock() override { locks_.erase(path_); }
        Lock(const Lock&) = delete;
        Lock& operator=(const Lock&) = delete;

    private:
        std::set<std::string>& locks_;
        std::string path_;
    };

    Result<void> change(const std::string& path) {
        if (changes_left) {
            if (*changes_left == 0) {
                return Error(Code::storage_io, "the process is dead: " + path);
            }
            --*changes_left;
        }
        return {};
    }
    static void forget(Node& node) {
        node.written = node.synced;
        node.entries = node.durable;
        for (auto& [name, child] : node.entries) {
            forget(*child);
        }
    }
    static void sync_below(Node& node) {
        node.synced = node.written;
        node.durable = node.entries;
        for (auto& [name, child] : node.entries) {
            sync_below(*child);
        }
    }
    static std::string leaf_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }
    [[nodiscard]] std::shared_ptr<Node> parent_of(const std::string& path) const {
        return find(path.substr(0, path.rfind('/')));
    }
    [[nodiscard]] std::shared_ptr<Node> find(const std::string& path) const {
        std::shared_ptr<Node> node = root_;
        for (size_t at = 0; at < path.size();) {
            const size_t end = std::min(path.find('/', at), path.size());
            if (end > at) {
                const auto child = node->entries.find(path.substr(at, end - at));
                if (child == node->entries.end()) {
                    return nullptr;
                }
                node = child->second;
            }
            at = end + 1;
        }
        return node;
    }

    std::shared_ptr<Node> root_;
    std::set<std::string> locks_;
    std::map<std::string, std::pair<uint64_t, uint64_t>> in_memory_; // of each file one range
    std::shared_ptr<int> open_files_ = std::make_shared<int>(0);
    int opens_ = 0;
};

} // namespace qtool::storage::test
