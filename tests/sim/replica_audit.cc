#include "tests/sim/replica_audit.h"

#include "lib/protocol/record_batch.h"

#include <algorithm>

namespace qtool::sim {

namespace {

struct StoredBatch {
    int64_t last_offset = 0;
    std::vector<std::byte> bytes;
};
using StoredLog = std::map<int64_t, StoredBatch>; // by base offset

void read_file(const std::vector<std::byte>& content, StoredLog& into) {
    protocol::BatchWalker walker{ByteView(content)};
    for (;;) {
        const auto batch = walker.next();
        if (!batch || *batch == nullptr) {
            return; // the end of what was written
        }
        const protocol::BatchHeader& header = (*batch)->header;
        StoredBatch& stored = into[header.base_offset.value()];
        stored.last_offset = header.last_offset().value();
        stored.bytes.assign((*batch)->bytes.begin(), (*batch)->bytes.end());
    }
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
            }
        }
    }
    return log;
}

std::string at_text(int64_t offset) {
    return " at offset " + std::to_string(offset);
}

} // namespace

std::optional<std::string> compare_replicas(const std::string& partition,
                                            const std::vector<ReplicaDisk>& replicas,
                                            int64_t log_start, int64_t high_watermark,
                                            bool is_whole) {
    StoredLog first;
    for (size_t i = 0; i < replicas.size(); i++) {
        StoredLog log = read_log(*replicas[i].device, partition);
        int64_t next = log_start;
        for (const auto& [base, batch] : log) {
            if (batch.last_offset < log_start || base >= high_watermark) {
                continue;
            }
            if (is_whole && base > next) {
                return partition + ": " + replicas[i].name + " has a hole" + at_text(next);
            }
            next = batch.last_offset + 1;
            if (i == 0) {
                continue;
            }
            const auto same = first.find(base);
            if (same == first.end() || same->second.bytes != batch.bytes) {
                return partition + ": " + replicas[i].name + " and " + replicas[0].name +
                       " differ" + at_text(base);
            }
        }
        if (is_whole && next < high_watermark) {
            return partition + ": " + replicas[i].name + " ends" + at_text(next) +
                   ", but the high watermark is " + std::to_string(high_watermark);
        }
        if (i == 0) {
            first = std::move(log);
        }
    }
    return std::nullopt;
}

} // namespace qtool::sim
