// DataDir: the data directory of a broker: whose it is, that nobody else uses it, and what its last
// owner left: a clean-shutdown checkpoint or recovery points.
//
// Opened before the cores start. While they run it does not change: any core may call the const
// functions, each with its own disk port; the others belong to the thread that opened it.
#pragma once

#include "lib/base/ids.h"
#include "lib/base/result.h"
#include "lib/base/uuid.h"
#include "server/port/disk.h"
#include "server/storage/checkpoint.h"

#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::storage {

inline constexpr uint32_t kDataDirVersion = 1;

/// Whose directory it is; written before anything else.
inline constexpr const char* kIdentityName = "data-dir.meta";

/// "orders-3" into its parts; nothing when the name is not of that form.
struct PartitionName {
    std::string topic;
    PartitionIndex index;
};
std::optional<PartitionName> parse_partition_name(std::string_view directory_name);
std::string partition_directory_name(std::string_view topic, PartitionIndex index);

/// Moves `<parent>/<name>` into `<parent>/.quarantine`, durably, under a name that is free there.
/// Nothing in it is touched. Returns the new path. Errors: storage_io.
Result<std::string> quarantine(port::Disk& disk, const std::string& parent,
                               const std::string& name);

class DataDir {
public:
    /// Creates `path` when absent (its parent must exist), locks it, reads or writes the identity,
    /// finishes deletions that a crash interrupted, takes the clean-shutdown checkpoint.
    ///   new_directory_id  random; used when the directory is new
    /// Errors: storage_locked; unsupported_version (a newer format); invalid_config (another
    /// broker's directory); storage_damaged (identity file unreadable); storage_io, storage_full.
    static Result<std::unique_ptr<DataDir>> open(port::Disk& disk, std::string path, BrokerId self,
                                                 const Uuid& new_directory_id);

    /// Writes the cluster's id into a new directory; later holds it against the one there.
    /// Errors: invalid_config (belongs to another cluster); storage_io, storage_full.
    Result<void> bind_cluster(std::string_view cluster_id);

    /// Moves partition directories into quarantine for which `is_listed` says no: the metadata
    /// store does not know them, or not here. Those that `may_go` (of a topic that was deleted, or
    /// a replica that lives elsewhere now) are removed instead. With `expected`, a directory that
    /// is listed but belongs to another partition (an older topic of that name) counts as not
    /// listed. Call when all partitions are known and before they are opened. Returns the names
    /// moved. Errors: storage_io.
    using Expected = std::function<std::optional<PartitionKey>(const PartitionName&)>;
    Result<std::vector<std::string>>
    quarantine_unlisted(const std::function<bool(const PartitionName&)>& is_listed,
                        const std::function<bool(const PartitionKey&)>& may_go,
                        const Expected& expected = {});

    /// Everything was closed: the next start trusts `states` and opens no partition.
    Result<void> write_clean_shutdown(std::vector<PartitionState> states) const;

    Result<void> write_recovery_points(port::Disk& disk, CoreId core,
                                       std::span<const PartitionState> states) const;

    [[nodiscard]] std::string partition_path(std::string_view topic, PartitionIndex index) const;
    [[nodiscard]] OpenHint hint(const TopicId& topic_id, PartitionIndex index) const;
    /// A checkpoint of the last run names the partition, with or without files.
    [[nodiscard]] bool knows(const PartitionKey& key) const { return states_.contains(key); }
    /// Names of the directories of partitions. Errors: storage_io.
    [[nodiscard]] Result<std::vector<std::string>> partition_directories() const;

    /// For the thread that opened it, before the cores start.
    [[nodiscard]] port::Disk& disk() const { return disk_; }
    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] const std::string& cluster_id() const { return cluster_id_; } // empty: not bound
    [[nodiscard]] const Uuid& directory_id() const { return directory_id_; }
    [[nodiscard]] bool was_clean() const { return was_clean_; }

private:
    DataDir(port::Disk& disk, std::string path, BrokerId self)
        : disk_(disk),
          path_(std::move(path)),
          self_(self) {}
    Result<void> load_identity(const Uuid& new_directory_id);
    Result<void> write_identity();
    Result<void> finish_deletions();
    [[nodiscard]] bool is_of_another(const PartitionName& name, const Expected& expected) const;

    port::Disk& disk_;
    std::string path_;
    BrokerId self_;
    std::string cluster_id_;
    Uuid directory_id_;
    std::unique_ptr<port::DirectoryLock> lock_;
    bool was_clean_ = false;
    PartitionStates states_; // clean, or recovery points
};

} // namespace qtool::storage
