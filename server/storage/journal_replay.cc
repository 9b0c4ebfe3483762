#include "server/storage/journal_replay.h"

#include "lib/base/log.h"
#include "server/storage/checkpoint.h"
#include "server/storage/data_dir.h"
#include "server/storage/journal_record.h"
#include "server/storage/limits.h"
#include "server/storage/partition_files.h"
#include "server/storage/segment.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace qtool::storage {

namespace {

struct Outcome {
    uint64_t bytes_put = 0;
    std::vector<port::FileRef> first_segments; // to be synced, if they are all
    size_t segments = 0;
};

// What a segment has at these places is written all the same. That it reads so tells nothing: after
// a sync that failed memory may say so, and the next sync would find nothing to do.
Result<void> restore(port::Disk& disk, const std::string& directory,
                     const std::vector<JournalRecord>& records, Outcome& outcome) {
    std::map<Offset, std::vector<const JournalRecord*>> segments;
    for (const JournalRecord& record : records) {
        segments[record.segment].push_back(&record);
    }
    for (const auto& [segment, pieces] : segments) {
        const std::string path =
            directory + "/" + offset_file_name(segment) + std::string(kLogExtension);
        QT_TRY_ASSIGN(const bool is_there, disk.exists(path));
        if (!is_there) {
            continue; // deleted
        }
        QT_TRY_ASSIGN(port::FileRef file, disk.open(path, port::OpenMode::read_write));
        QT_TRY_ASSIGN(uint64_t size, file->size());
        for (const JournalRecord* piece : pieces) {
            if (piece->position > size) {
                // What lies between was never synced, so neither was anything behind it told of.
                log_line(LogLevel::warn, "flush_journal_gap",
                         {{"segment", path}, {"size", size}, {"position", piece->position}});
                break;
            }
            QT_TRY(file->write_at({&piece->bytes, 1}, piece->position));
            size = std::max(size, piece->position + piece->bytes.size());
            outcome.bytes_put += piece->bytes.size();
        }
        if (outcome.segments++ < kSettledOneByOneMax) {
            outcome.first_segments.push_back(std::move(file));
        }
    }
    return {};
}

// Before what vouches for them goes.
Result<void> settle(port::Disk& disk, const std::string& log_directory, const Outcome& outcome) {
    if (outcome.segments > outcome.first_segments.size()) {
        return disk.sync_file_system(log_directory);
    }
    for (const port::FileRef& file : outcome.first_segments) {
        QT_TRY(file->sync_blocking());
    }
    return {};
}

// The directory of that name is the partition's.
Result<bool> is_of(port::Disk& disk, const std::string& directory, const PartitionKey& partition) {
    QT_TRY_ASSIGN(const bool is_there, disk.exists(directory));
    if (!is_there) {
        return false;
    }
    Result<std::optional<PartitionKey>> owner = read_partition_meta(disk, directory);
    if (!owner) {
        if (is_disk_trouble(owner.error().code)) {
            return std::move(owner).error();
        }
        return false; // who opens it says what is wrong
    }
    return *owner == partition;
}

} // namespace

Result<void> replay_journals(port::Disk& disk, const std::string& log_directory) {
    QT_TRY_ASSIGN(const std::vector<port::DirectoryEntry> entries, disk.list(log_directory));
    std::vector<std::pair<uint64_t, std::string>> paths; // by generation
    std::vector<std::vector<std::byte>> files;           // what the readers look at
    std::vector<JournalReader> readers;
    for (const port::DirectoryEntry& entry : entries) {
        if (entry.is_directory || !entry.name.starts_with(kJournalPrefix)) {
            continue;
        }
        const std::string path = log_directory + "/" + entry.name;
        QT_TRY_ASSIGN(auto bytes, read_small_file(disk, path, UINT64_MAX));
        files.push_back(bytes ? *std::move(bytes) : std::vector<std::byte>());
        const Result<JournalReader> reader = JournalReader::open(files.back());
        if (!reader && reader.error().code == Code::unsupported_version) {
            return Error(Code::unsupported_version, path + ": " + reader.error().detail);
        }
        if (!reader && !files.back().empty()) { // its making was interrupted, or it is damaged
            log_line(LogLevel::warn, "flush_journal_ignored",
                     {{"file", path}, {"error", to_string(reader.error())}});
        }
        paths.emplace_back(reader ? reader->generation() : 0, path);
        if (reader) {
            readers.push_back(*reader);
        }
    }
    if (paths.empty()) {
        return {};
    }
    const JournalContent content = read_journals(std::move(readers));
    Outcome outcome;
    for (const auto& [partition, records] : content) {
        const std::string name(records.front().directory);
        const std::string directory = log_directory + "/" + name;
        if (!parse_partition_name(name)) {
            continue;
        }
        QT_TRY_ASSIGN(const bool is_its, is_of(disk, directory, partition));
        if (is_its) {
            if (Result<void> restored = restore(disk, directory, records, outcome); !restored) {
                return restored.error().code == Code::storage_full
                           ? Error(Code::storage_full,
                                   log_directory +
                                       ": no room to put back what a crash left in the flush "
                                       "journal alone; make some and start again: " +
                                       restored.error().detail)
                           : std::move(restored).error();
            }
        }
    }
    QT_TRY(settle(disk, log_directory, outcome));
    log_line(LogLevel::info, "flush_journal_replayed",
             {{"directory", log_directory},
              {"partitions", content.size()},
              {"bytes_put_back", outcome.bytes_put}});
    // The older ones first, durably: they may have what only a newer one says is void.
    std::sort(paths.begin(), paths.end());
    for (const auto& [generation, path] : paths) {
        QT_TRY(disk.remove(path));
        QT_TRY(disk.sync_directory(log_directory));
    }
    return {};
}

} // namespace qtool::storage
