#include "tests/sim/replica_audit.h"

#include "lib/protocol/record_batch.h"
#include "server/storage/journal_record.h"
#include "server/storage/partition_files.h"
#include "server/storage/segment.h"

#include <algorithm>

namespace qtool::sim {

namespace {

struct StoredBatch {
    int64_t last_offset = 0;
    std::vector<std::byte> bytes;
};
struct StoredLog {
    int64_t start = 0;                      // as the replica has written it down
    std::map<int64_t, StoredBatch> batches; // by base offset
};

void read_file(const std::vector<std::byte>& content, StoredLog& into) {
    protocol::BatchWalker walker{ByteView(content)};
    for (;;) {
        const auto batch = walker.next();
        if (!batch || *batch == nullptr) {
            return; // the end of what was written
        }
        const protocol::BatchHeader& header = (*batch)->header;
        StoredBatch& stored = into.batches[header.base_offset.value()];
        stored.last_offset = header.last_offset().value();
        stored.bytes.assign((*batch)->bytes.begin(), (*batch)->bytes.end());
    }
}

int64_t read_start(const std::vector<std::byte>& content) {
    const Result<std::string> lines = storage::decode_text_file(ByteView(content));
    const std::optional<std::string> text =
        lines ? storage::text_value(*lines, "offset") : std::nullopt;
    return text ? std::stoll(*text) : 0;
}

StoredLog read_log(Device& device, const std::string& partition) {
    StoredLog log;
    const Result<InodeRef> parent = device.find("/var");
    if (!parent) {
        return log;
    }
    for (const auto& [name, log_dir] : (*parent)->entries) {
        const auto at = log_dir->entries.find(partition);
        if (at == log_dir->entries.end()) {
            continue;
        }
        for (const auto& [file, inode] : at->second->entries) {
            if (file.ends_with(".log")) {
                read_file(inode->content, log);
            } else if (file == storage::kLogStartName) {
                log.start = read_start(inode->content);
            }
        }
    }
    return log;
}

void read_durable_file(const std::vector<std::byte>& medium, DurableLog& into) {
    protocol::BatchWalker walker{ByteView(medium)};
    int64_t end = 0; // of this file: another log directory may have the same ones
    for (;;) {
        const auto batch = walker.next();
        if (!batch || *batch == nullptr) {
            return;
        }
        const protocol::BatchHeader& header = (*batch)->header;
        if (header.base_offset.value() < end) {
            return; // torn: of what was written last, only some of the offset's bytes
        }
        end = header.last_offset().value() + 1;
        into.batches[header.base_offset.value()] = {header.last_offset().value(), header.crc};
        into.end = std::max(into.end, end);
    }
}

// A start puts back what the flush journals have (flush_journal.h).
using Journaled = std::map<int64_t, std::vector<storage::JournalRecord>>; // by segment

Journaled journaled_of(const storage::JournalContent& content, const std::string& partition) {
    Journaled journaled;
    for (const auto& [key, records] : content) {
        for (const storage::JournalRecord& record : records) {
            if (record.directory == partition) {
                journaled[record.segment.value()].push_back(record);
            }
        }
    }
    return journaled;
}

std::vector<std::byte> put_back(std::vector<std::byte> medium,
                                const std::vector<storage::JournalRecord>& records) {
    for (const storage::JournalRecord& record : records) {
        if (record.position <= medium.size()) {
            medium.resize(std::max(medium.size(), record.position + record.bytes.size()));
            std::copy(record.bytes.begin(), record.bytes.end(),
                      medium.begin() + static_cast<ptrdiff_t>(record.position));
        }
    }
    return medium;
}

std::string at_text(int64_t offset) {
    return " at offset " + std::to_string(offset);
}

} // namespace

DurableLog read_durable(const Device& device, const std::string& partition) {
    DurableLog log;
    const auto parent = device.root().medium_entries.find("var");
    if (parent == device.root().medium_entries.end()) {
        return log;
    }
    for (const auto& [name, log_dir] : parent->second->medium_entries) {
        const auto at = log_dir->medium_entries.find(partition);
        if (at == log_dir->medium_entries.end()) {
            continue;
        }
        std::vector<storage::JournalReader> journals;
        for (const auto& [file, inode] : log_dir->medium_entries) {
            if (!file.starts_with(storage::kJournalPrefix)) {
                continue;
            }
            if (const auto reader = storage::JournalReader::open(inode->medium)) {
                journals.push_back(*reader);
            }
        }
        Journaled journaled = journaled_of(storage::read_journals(std::move(journals)), partition);
        int64_t first = INT64_MAX;
        for (const auto& [file, inode] : at->second->medium_entries) {
            if (file.ends_with(storage::kLogExtension)) {
                // One without batches carries the end of the log in its name.
                first = std::min<int64_t>(first, std::stoll(file));
                log.end = std::max<int64_t>(log.end, std::stoll(file));
                read_durable_file(put_back(inode->medium, journaled[std::stoll(file)]), log);
            } else if (file == storage::kLogStartName) {
                log.start = read_start(inode->medium);
            }
        }
        log.start = std::max(log.start, first == INT64_MAX ? 0 : first);
        log.end = std::max(log.end, log.start); // one without segments begins, and ends, there
    }
    return log;
}

std::optional<std::string> compare_replicas(const std::string& partition,
                                            const std::vector<ReplicaDisk>& replicas,
                                            const AuditedLog& expected) {
    std::vector<StoredLog> logs;
    logs.reserve(replicas.size());
    for (const ReplicaDisk& replica : replicas) {
        logs.push_back(read_log(*replica.device, partition));
    }
    const int64_t leader_start = logs[expected.leader].start;
    if (leader_start < expected.start_min) {
        return partition + ": the leader's log starts" + at_text(leader_start) +
               ", but all below " + std::to_string(expected.start_min) + " was deleted";
    }
    std::map<int64_t, const StoredBatch*> all; // of all replicas looked at so far
    std::map<int64_t, const std::string*> whose;
    for (size_t i = 0; i < replicas.size(); i++) {
        const StoredLog& log = logs[i];
        const std::string& name = replicas[i].name;
        if (log.start < leader_start || !expected.may_start_at(log.start)) {
            return partition + ": the log of " + name + " starts" + at_text(log.start) +
                   ", that of the leader" + at_text(leader_start);
        }
        int64_t next = log.start;
        for (const auto& [base, batch] : log.batches) {
            if (batch.last_offset < log.start || base >= expected.high_watermark) {
                continue;
            }
            if (base > next) {
                return partition + ": " + name + " has a hole" + at_text(next);
            }
            next = batch.last_offset + 1;
            const auto [known, is_new] = all.emplace(base, &batch);
            if (is_new) {
                whose[base] = &name;
            } else if (known->second->bytes != batch.bytes) {
                return partition + ": " + name + " and " + *whose[base] + " differ" + at_text(base);
            }
        }
        if (next < expected.high_watermark) {
            return partition + ": " + name + " ends" + at_text(next) +
                   ", but the high watermark is " + std::to_string(expected.high_watermark);
        }
    }
    // Whoever has an offset has it in the same batch: overlapping ones would have met above, unless
    // they began elsewhere.
    int64_t end = 0;
    for (const auto& [base, batch] : all) {
        if (base < end) {
            return partition + ": " + *whose[base] + " has another batch" + at_text(base);
        }
        end = batch->last_offset + 1;
    }
    return std::nullopt;
}

} // namespace qtool::sim
