#include "server/replica/append_refusal.h"

#include "server/storage/append_check.h"

namespace qtool::replica {

namespace {

// Found before the log is looked at, or without asking where it begins.
bool hides_log_start(Code code) {
    switch (code) {
    case Code::corrupt:
    case Code::message_too_large:
    case Code::record_list_too_large:
    case Code::storage_full:
    case Code::storage_io:
    case Code::storage_offline:
    case Code::storage_damaged:
        return true;
    default:
        return false;
    }
}

} // namespace

AppendRefusal refusal_of(Code code, ByteView batch, const storage::Log& log,
                         const storage::LogConfig& config, WallTime now) {
    AppendRefusal refusal;
    const Result<protocol::BatchHeader> header = protocol::parse_batch_header(batch);
    const bool is_one_batch = header && header->size_bytes == batch.size();
    if (!is_one_batch || hides_log_start(code)) {
        return refusal;
    }
    refusal.log_start_offset = log.log_start_offset();
    if (code == Code::invalid_record || code == Code::invalid_timestamp) {
        for (storage::RefusedRecord& record : storage::refused_records(batch, config, now)) {
            refusal.records.push_back({record.index, std::move(record.message)});
        }
    }
    return refusal;
}

} // namespace qtool::replica
