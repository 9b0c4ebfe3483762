// LogDirs: the log directories of a broker (log.dirs): which there are, which of them work, and in
// which a partition lives.
//
// A partition lives in one directory. At start it is found by its own directory, or by the
// checkpoint of the one that remembers it without files; a new one goes where the fewest are. The
// first directory also holds what the broker cannot do without (metadata.db), so it has to open.
//
// `log-dirs.meta` in the first directory lists the identities of all. It tells a disk that is not
// mounted (the path is there, empty) from a new one: the former is offline, and partitions found
// nowhere are taken to live there, instead of starting empty elsewhere. A directory that is taken
// out of log.dirs is given up, and forgotten with all it held.
//
// Opened before the cores start. place, leave, note_failure and the const functions may be called
// by any core once quarantine_unlisted is done; the others by the thread that opened it. Two cores
// that place at the same time may choose the same directory: the counts differ by a few then.
#pragma once

#include "server/storage/log_dir.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::storage {

class LogDirs {
public:
    struct Setup {
        std::vector<std::string> paths; // at least one, each once
        BrokerId self;
        int64_t reserve_bytes = -1;   // LogDir
        std::function<Uuid()> new_id; // random; called once for each path
    };
    /// Errors: those of DataDir::open for the first directory; for the others only what says that
    /// the configuration is wrong (storage_locked, invalid_config, unsupported_version): else they
    /// are offline.
    static Result<std::unique_ptr<LogDirs>> open(port::Disk& disk, const Setup& setup);
    /// Of one directory, for tests.
    static std::unique_ptr<LogDirs> of(port::Disk& disk, std::unique_ptr<DataDir> only);

    [[nodiscard]] size_t size() const { return dirs_.size(); }
    [[nodiscard]] LogDir& at(size_t i) const { return *dirs_.at(i); }

    /// DataDir::bind_cluster for each. One that is not the first goes offline when it cannot be
    /// written. Errors: as there.
    Result<void> bind_cluster(std::string_view cluster_id);
    /// DataDir::quarantine_unlisted for each, then looks which partitions are where. Returns paths.
    Result<std::vector<std::string>>
    quarantine_unlisted(const std::function<bool(const PartitionName&)>& is_listed,
                        const std::function<bool(const PartitionKey&)>& may_go,
                        const DataDir::Expected& expected = {});

    /// Identities of the directories that are ours, offline ones too; those given up are not.
    [[nodiscard]] std::vector<Uuid> identities() const;
    /// Files of the partition, or a checkpoint that remembers it, are in a directory that works.
    [[nodiscard]] bool holds(port::Disk& disk, std::string_view topic,
                             const PartitionKey& key) const;
    /// How often the broker has started with these directories, as it last wrote; 0: never wrote.
    /// A copy of the directories that is put back shows by a number that was there before. Errors:
    /// storage_io, storage_damaged.
    [[nodiscard]] Result<int64_t> start_count(port::Disk& disk) const;
    /// Durable when it returns. Errors: storage_io, storage_full.
    Result<void> write_start_count(port::Disk& disk, int64_t count) const;

    enum class Arrival : uint8_t {
        known,   // in the first image of this start
        created, // since
    };
    /// The directory of the partition, from now on until leave. Errors: storage_offline (it must
    /// live in a directory that is offline; or all are).
    Result<size_t> place(port::Disk& disk, std::string_view topic, const PartitionKey& key,
                         Arrival arrival);
    void leave(size_t dir);
    /// The partition lives in another directory from now on.
    void move(size_t from, size_t to) {
        at(to).add_partition();
        leave(from);
    }
    /// Whereto the partition was on its way when the broker stopped; nothing was kept of that.
    [[nodiscard]] std::optional<size_t> interrupted_move(const PartitionKey& key) const;

    /// A partition of `dir` saw its disk fail. With several directories the whole one goes offline;
    /// a single one does not, since there is nobody else to go on: its partitions go one by one.
    void note_failure(size_t dir, const Error& reason);
    /// Rises whenever a directory goes offline.
    [[nodiscard]] uint64_t failure_count() const {
        return failure_count_.load(std::memory_order_acquire);
    }
    [[nodiscard]] uint32_t offline_count() const;

    struct Closed {
        std::vector<PartitionState> states;
        Result<void> result; // an error: the directory must not get a clean-shutdown checkpoint
    };
    /// `closed` has one entry a directory. The first error of all, offline directories included;
    /// those that closed cleanly get their checkpoint all the same.
    Result<void> write_clean_shutdown(std::vector<Closed> closed) const;
    /// Every directory was closed cleanly before this start.
    [[nodiscard]] bool was_clean() const;

private:
    struct Known { // a line of log-dirs.meta
        Uuid id;
        std::string path;
    };
    LogDirs() = default;
    Result<void> open_first(port::Disk& disk, const Setup& setup);
    Result<void> open_other(port::Disk& disk, const Setup& setup, const std::string& path);
    Result<void> load_known(port::Disk& disk);
    Result<void> write_known(port::Disk& disk, const Setup& setup);
    void add(const Setup& setup, const std::string& path, Result<std::unique_ptr<DataDir>> data);
    Result<void> take_futures(size_t i);
    void finish_moves();
    Result<void> finish_move(const std::string& name, std::vector<size_t>& places);
    [[nodiscard]] std::optional<size_t> find(port::Disk& disk, std::string_view topic,
                                             const PartitionKey& key) const;

    std::vector<std::unique_ptr<LogDir>> dirs_;
    std::vector<Known> known_;
    bool some_missing_ = false; // a directory of ours did not open at this start
    std::atomic<uint64_t> failure_count_{0};

    std::map<std::string, std::vector<size_t>> found_; // partition directories at start, by name
    std::map<PartitionKey, size_t> interrupted_moves_; // to which directory
    std::map<std::string, Error> undecided_; // partition directories that may have moved away
};

} // namespace qtool::storage
