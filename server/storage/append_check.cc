#include "server/storage/append_check.h"

#include "lib/protocol/batch_check.h"

#include <algorithm>
#include <limits>
#include <string>

namespace qtool::storage {

namespace {

int64_t saturating_sub(int64_t a, int64_t b) {
    int64_t result = 0;
    return __builtin_sub_overflow(a, b, &result) ? std::numeric_limits<int64_t>::min() : result;
}
int64_t saturating_add(int64_t a, int64_t b) {
    int64_t result = 0;
    return __builtin_add_overflow(a, b, &result) ? std::numeric_limits<int64_t>::max() : result;
}

protocol::BatchRules rules_of(const LogConfig& config, WallTime now) {
    protocol::BatchRules rules;
    rules.size_bytes_max = config.max_message_bytes;
    rules.key_required = config.compacted;
    if (config.timestamp_type == protocol::TimestampType::create_time) {
        const int64_t now_ms = now.time_since_epoch().count();
        rules.timestamp_min = saturating_sub(now_ms, config.timestamp_before_max_ms);
        rules.timestamp_max = saturating_add(now_ms, config.timestamp_after_max_ms);
    }
    return rules;
}

constexpr const char* kNoKey = "has no key, which a compacted topic needs";

std::string outside(const protocol::BatchRules& rules) {
    return "has a time outside [" + std::to_string(rules.timestamp_min) + ", " +
           std::to_string(rules.timestamp_max) +
           "] (message.timestamp.before.max.ms, message.timestamp.after.max.ms)";
}

} // namespace

Result<CheckedBatch> check_append(ByteView batch, const LogConfig& config, WallTime now) {
    // One per core, since a core is a thread: compressed batches need a window to look through.
    static thread_local protocol::CheckScratch scratch;
    const protocol::BatchRules rules = rules_of(config, now);
    QT_TRY_ASSIGN(const protocol::BatchFacts facts,
                  protocol::check_producer_batch(batch, rules, scratch));
    const protocol::BatchHeader& header = facts.header;
    if (batch.size() > config.segment_bytes) {
        return Error(Code::record_list_too_large,
                     "a batch of " + std::to_string(batch.size()) +
                         " bytes does not fit into a segment of segment.bytes=" +
                         std::to_string(config.segment_bytes));
    }
    // One record whose time is outside makes it a matter of times, whatever else is wrong.
    const bool lacks_key = config.compacted && facts.null_key_index;
    if (lacks_key && !facts.timestamp_outside_index) {
        return Error(Code::invalid_record,
                     "record " + std::to_string(*facts.null_key_index) + " " + kNoKey);
    }
    if (header.timestamp_type() == protocol::TimestampType::log_append_time) {
        return Error(Code::invalid_timestamp,
                     "the batch says LogAppendTime, which only a broker may set");
    }
    if (facts.timestamp_outside_index) {
        return Error(Code::invalid_timestamp, "record " +
                                                  std::to_string(*facts.timestamp_outside_index) +
                                                  " " + outside(rules));
    }
    return CheckedBatch{header, facts.max_timestamp};
}

std::vector<RefusedRecord> refused_records(ByteView batch, const LogConfig& config, WallTime now) {
    protocol::BatchRules rules = rules_of(config, now);
    rules.lists_records = true;
    const Result<protocol::BatchFacts> facts = protocol::check_producer_batch(batch, rules);
    if (!facts) {
        return {}; // as a whole: check_append says why
    }
    std::vector<RefusedRecord> refused;
    if (config.compacted) {
        for (const int32_t index : facts->null_keys) {
            refused.push_back({index, "the record " + std::string(kNoKey)});
        }
    }
    for (const int32_t index : facts->timestamps_outside) {
        refused.push_back({index, "the record " + outside(rules)});
    }
    std::sort(refused.begin(), refused.end(),
              [](const RefusedRecord& x, const RefusedRecord& y) { return x.index < y.index; });
    return refused;
}

void set_batch_time(ByteSpan batch, const LogConfig& config, WallTime now, CheckedBatch& checked) {
    protocol::BatchHeader& header = checked.header;
    if (config.timestamp_type != protocol::TimestampType::create_time) {
        protocol::patch_log_append_time(batch, now);
        header.attributes = static_cast<int16_t>(header.attributes | protocol::kBatchLogAppendTime);
        header.max_timestamp = now.time_since_epoch().count();
    } else if (checked.max_timestamp != header.max_timestamp) {
        protocol::patch_max_timestamp(batch, checked.max_timestamp);
        header.max_timestamp = checked.max_timestamp;
    }
}

} // namespace qtool::storage
