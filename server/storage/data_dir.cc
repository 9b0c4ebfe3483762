#include "server/storage/data_dir.h"

#include "lib/base/log.h"
#include "server/storage/journal_record.h"
#include "server/storage/journal_replay.h"
#include "server/storage/partition_files.h"
#include "server/storage/segment.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace qtool::storage {

namespace {

constexpr const char* kQuarantineName = ".quarantine";
constexpr size_t kTopicNameMax = 249;
constexpr int kQuarantineTriesMax = 10'000;

bool is_topic_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

// Signs that a directory is in use, by us or by another program.
bool shows_use(const port::DirectoryEntry& entry) {
    if (entry.is_directory) {
        return parse_partition_name(entry.name).has_value();
    }
    return entry.name == "metadata.db" || entry.name == "clean-shutdown" ||
           entry.name == "meta.properties" || entry.name.starts_with("recovery-points.") ||
           entry.name.starts_with(kJournalPrefix);
}

// A segment that was moved out of a deleted partition, as remove_deleted_directory names it:
// "<end of the directory's name>.deleted.<20 digits>.log.deleted".
bool is_deleted_segment(const port::DirectoryEntry& entry) {
    constexpr std::string_view kSegmentEnd = ".log.deleted";
    constexpr std::string_view kDirectoryEnd = ".deleted.";
    constexpr size_t kDigits = 20;
    const std::string_view name = entry.name;
    if (entry.is_directory || !name.ends_with(kSegmentEnd) ||
        name.size() < kDirectoryEnd.size() + kDigits + kSegmentEnd.size()) {
        return false;
    }
    const std::string_view file =
        name.substr(name.size() - kSegmentEnd.size() - kDigits, kDigits + kLogExtension.size());
    return parse_offset_file_name(file, kLogExtension).has_value() &&
           name.substr(0, name.size() - kSegmentEnd.size() - kDigits).ends_with(kDirectoryEnd);
}

// Whether `name` is a partition that remove_all renamed: its own file says so, or the file is gone
// already and with it every segment. Everything else of such a name is somebody else's.
Result<bool> is_deleted_partition(port::Disk& disk, const std::string& parent,
                                  const std::string& name) {
    const std::string directory = parent + "/" + name;
    const Result<std::optional<PartitionKey>> owner = read_partition_meta(disk, directory);
    if (!owner) {
        if (is_disk_trouble(owner.error().code)) {
            return owner.error();
        }
        return false;
    }
    if (*owner) {
        return name.ends_with(deleted_directory_name("", **owner));
    }
    QT_TRY_ASSIGN(const std::vector<port::DirectoryEntry> entries, disk.list(directory));
    return entries.empty();
}

} // namespace

// ---- names --------------------------------------------------------------------------------------

std::optional<PartitionName> parse_partition_name(std::string_view directory_name) {
    const size_t dash = directory_name.rfind('-');
    if (dash == std::string_view::npos || dash == 0 || dash > kTopicNameMax) {
        return std::nullopt;
    }
    const std::string_view topic = directory_name.substr(0, dash);
    const std::string_view digits = directory_name.substr(dash + 1);
    int32_t index = 0;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size() || index < 0 ||
        (digits.size() > 1 && digits.front() == '0') || topic == "." || topic == ".." ||
        !std::all_of(topic.begin(), topic.end(), is_topic_char)) {
        return std::nullopt;
    }
    return PartitionName{std::string(topic), PartitionIndex(index)};
}

std::string partition_directory_name(std::string_view topic, PartitionIndex index) {
    return std::string(topic) + "-" + std::to_string(index.value());
}

Result<std::string> quarantine(port::Disk& disk, const std::string& parent,
                               const std::string& name) {
    const std::string ward = parent + "/" + kQuarantineName;
    QT_TRY(disk.make_directory(ward));
    for (int i = 0; i < kQuarantineTriesMax; i++) {
        const std::string to = ward + "/" + name + (i == 0 ? "" : "." + std::to_string(i));
        QT_TRY_ASSIGN(const bool taken, disk.exists(to));
        if (taken) {
            continue;
        }
        QT_TRY(disk.rename(parent + "/" + name, to));
        QT_TRY(disk.sync_directory(ward));
        QT_TRY(disk.sync_directory(parent));
        return to;
    }
    return Error(Code::storage_io, ward + ": no free name for " + name);
}

// ---- start --------------------------------------------------------------------------------------

Result<std::unique_ptr<DataDir>> DataDir::open(port::Disk& disk, std::string path, BrokerId self,
                                               const Uuid& new_directory_id) {
    std::unique_ptr<DataDir> dir(new DataDir(disk, std::move(path), self));
    QT_TRY_ASSIGN(const bool there, disk.exists(dir->path_));
    if (!there) {
        QT_TRY(disk.make_directory(dir->path_));
    }
    QT_TRY_ASSIGN(dir->lock_, disk.lock(dir->path_));
    QT_TRY(dir->load_identity(new_directory_id));
    QT_TRY(dir->finish_deletions());
    QT_TRY(replay_journals(disk, dir->path_));
    QT_TRY_ASSIGN(std::optional<PartitionStates> clean, take_clean_shutdown(disk, dir->path_));
    dir->was_clean_ = clean.has_value();
    if (clean) {
        dir->states_ = *std::move(clean);
    } else {
        QT_TRY_ASSIGN(dir->states_, load_recovery_points(disk, dir->path_));
        if (Result<void> merged = merge_recovery_points(disk, dir->path_, dir->states_); !merged) {
            // They are still where they were; a full disk must not keep the broker from starting.
            log_line(LogLevel::warn, "recovery_points_not_merged",
                     {{"directory", dir->path_}, {"error", to_string(merged.error())}});
        }
    }
    return dir;
}

Result<void> DataDir::load_identity(const Uuid& new_directory_id) {
    const std::string name = path_ + "/" + kIdentityName;
    const Result<std::optional<std::string>> lines = read_text_file(disk_, name);
    if (!lines) {
        const Error& error = lines.error();
        if (is_disk_trouble(error.code) || error.code == Code::unsupported_version) {
            return error;
        }
        return Error(Code::storage_damaged,
                     name + " cannot be read, so it is not known whose directory this is: " +
                         to_string(error));
    }
    if (!*lines) {
        // The identity is written before anything else, so its absence means a new directory, or
        // one that is not ours to write into.
        QT_TRY_ASSIGN(const std::vector<port::DirectoryEntry> entries, disk_.list(path_));
        const auto used = std::find_if(entries.begin(), entries.end(), shows_use);
        if (used != entries.end()) {
            return Error(Code::storage_damaged,
                         path_ + " has no " + kIdentityName + " but holds '" + used->name +
                             "': it belongs to another program, or the file was lost");
        }
        // It may be there because an earlier start made it and could not sync its entry. A parent
        // that we may not open was somebody else's work, and so was the entry.
        if (Result<void> synced = disk_.sync_directory(parent_directory(path_));
            !synced && synced.error().sys_errno != EACCES) {
            return synced;
        }
        directory_id_ = new_directory_id;
        return write_identity();
    }
    const std::string text_id = text_value(**lines, "directory.id").value_or("");
    const std::string text_node = text_value(**lines, "node.id").value_or("");
    const Result<Uuid> id = parse_uuid(text_id);
    if (!id || text_node.empty()) {
        return Error(Code::storage_damaged, name + ": no directory.id or node.id");
    }
    if (text_node != std::to_string(self_.value())) {
        return Error(Code::invalid_config, path_ + " is the data directory of node " + text_node +
                                               ", but this is node " +
                                               std::to_string(self_.value()) + " (node.id)");
    }
    directory_id_ = *id;
    cluster_id_ = text_value(**lines, "cluster.id").value_or("");
    return {};
}

Result<void> DataDir::write_identity() {
    std::string lines = "version=" + std::to_string(kDataDirVersion) +
                        "\ndirectory.id=" + to_string(directory_id_) +
                        "\nnode.id=" + std::to_string(self_.value()) + "\n";
    if (!cluster_id_.empty()) {
        lines += "cluster.id=" + cluster_id_ + "\n";
    }
    return write_small_file(disk_, {path_, kIdentityName, true}, as_bytes(encode_text_file(lines)));
}

Result<void> DataDir::finish_deletions() {
    QT_TRY_ASSIGN(const std::vector<port::DirectoryEntry> entries, disk_.list(path_));
    for (const port::DirectoryEntry& entry : entries) {
        if (is_deleted_segment(entry)) {
            disk_.remove_later(path_ + "/" + entry.name);
            continue;
        }
        if (!entry.is_directory || !entry.name.ends_with(kDeletedExtension)) {
            continue;
        }
        QT_TRY_ASSIGN(const bool is_ours, is_deleted_partition(disk_, path_, entry.name));
        if (!is_ours) {
            continue;
        }
        // What cannot be removed only takes space; the next start tries again.
        if (Result<void> removed = remove_deleted_directory(disk_, path_, entry.name); !removed) {
            log_line(LogLevel::warn, "deleted_partition_kept",
                     {{"directory", entry.name}, {"error", to_string(removed.error())}});
        }
    }
    return {};
}

// ---- later --------------------------------------------------------------------------------------

Result<void> DataDir::bind_cluster(std::string_view cluster_id) {
    if (cluster_id.empty() || cluster_id.find('\n') != std::string_view::npos) {
        return Error(Code::invalid_config, "a cluster id must be one line, and not empty");
    }
    if (cluster_id_ == cluster_id) {
        return {};
    }
    if (!cluster_id_.empty()) {
        return Error(Code::invalid_config, path_ + " belongs to cluster " + cluster_id_ +
                                               ", not to " + std::string(cluster_id));
    }
    cluster_id_ = cluster_id;
    if (Result<void> written = write_identity(); !written) {
        cluster_id_.clear();
        return written;
    }
    return {};
}

// Only the files of partitions that no checkpoint names are looked at.
bool DataDir::is_of_another(const PartitionName& name, const Expected& expected) const {
    const std::optional<PartitionKey> wanted = expected ? expected(name) : std::nullopt;
    if (!wanted || knows(*wanted)) {
        return false;
    }
    const Result<std::optional<PartitionKey>> key =
        read_partition_meta(disk_, partition_path(name.topic, name.index));
    return key && *key && **key != *wanted;
}

Result<std::vector<std::string>>
DataDir::quarantine_unlisted(const std::function<bool(const PartitionName&)>& is_listed,
                             const std::function<bool(const PartitionKey&)>& may_go,
                             const Expected& expected) {
    QT_TRY_ASSIGN(const std::vector<port::DirectoryEntry> entries, disk_.list(path_));
    std::vector<std::string> moved;
    for (const port::DirectoryEntry& entry : entries) {
        const std::optional<PartitionName> name =
            entry.is_directory ? parse_partition_name(entry.name) : std::nullopt;
        if (!name || (is_listed(*name) && !is_of_another(*name, expected))) {
            continue;
        }
        const std::string directory = path_ + "/" + entry.name;
        const Result<std::optional<PartitionKey>> key = read_partition_meta(disk_, directory);
        if (key && *key && may_go(**key)) {
            log_line(LogLevel::info, "stale_replica_removed", {{"directory", directory}});
            const std::string deleted = deleted_directory_name(directory, **key);
            QT_TRY(disk_.rename(directory, path_ + "/" + deleted));
            QT_TRY(disk_.sync_directory(path_));
            QT_TRY(remove_deleted_directory(disk_, path_, deleted));
            continue;
        }
        QT_TRY(quarantine(disk_, path_, entry.name));
        moved.push_back(entry.name);
    }
    return moved;
}

Result<std::vector<std::string>> DataDir::partition_directories() const {
    QT_TRY_ASSIGN(std::vector<port::DirectoryEntry> entries, disk_.list(path_));
    std::vector<std::string> names;
    for (port::DirectoryEntry& entry : entries) {
        if (entry.is_directory && parse_partition_name(entry.name)) {
            names.push_back(std::move(entry.name));
        }
    }
    return names;
}

Result<void> DataDir::write_clean_shutdown(std::vector<PartitionState> states) const {
    return storage::write_clean_shutdown(disk_, path_, states);
}

Result<void> DataDir::write_recovery_points(port::Disk& disk, CoreId core,
                                            std::span<const PartitionState> states) const {
    return storage::write_recovery_points(disk, path_, core, states);
}

std::string DataDir::partition_path(std::string_view topic, PartitionIndex index) const {
    return path_ + "/" + partition_directory_name(topic, index);
}

OpenHint DataDir::hint(const TopicId& topic_id, PartitionIndex index) const {
    OpenHint hint;
    hint.key = PartitionKey{topic_id, index};
    const auto at = states_.find(hint.key);
    if (at != states_.end()) {
        hint.recovery_point = at->second.synced_end_offset;
        hint.high_watermark = at->second.high_watermark;
        if (was_clean_ && at->second.is_clean) {
            hint.clean = at->second;
        }
    }
    return hint;
}

} // namespace qtool::storage
