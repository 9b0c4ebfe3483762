#include "cli/commands/resolve_position.h"

#include <algorithm>

namespace qtool::cli {

Result<std::vector<int64_t>> resolve_position(client::BlockingConsumer& consumer,
                                              const std::string& topic,
                                              const std::vector<int32_t>& partitions,
                                              const Position& position, MonoTime deadline) {
    if (position.kind == Position::Kind::offset) {
        return std::vector<int64_t>(partitions.size(), position.value);
    }
    const auto ask = [&](int64_t timestamp_ms) -> Result<std::vector<int64_t>> {
        QT_TRY_ASSIGN(const auto listed,
                      consumer.list_offsets(topic, partitions, timestamp_ms, deadline));
        std::vector<int64_t> offsets;
        for (const client::ListedOffset& one : listed) {
            if (!one.result) {
                Error error = one.result.error();
                error.detail = "partition " + std::to_string(one.partition) + ": " + error.detail;
                return error;
            }
            offsets.push_back(one.offset);
        }
        return offsets;
    };
    if (position.kind == Position::Kind::beginning) {
        return ask(client::kEarliestOffset);
    }
    QT_TRY_ASSIGN(std::vector<int64_t> ends, ask(client::kLatestOffset));
    if (position.kind == Position::Kind::last) {
        QT_TRY_ASSIGN(const std::vector<int64_t> starts, ask(client::kEarliestOffset));
        for (size_t i = 0; i < ends.size(); i++) {
            ends[i] = std::max(starts[i], ends[i] - std::min(ends[i], position.value));
        }
    } else if (position.kind == Position::Kind::time) {
        QT_TRY_ASSIGN(const std::vector<int64_t> found, ask(position.value));
        for (size_t i = 0; i < ends.size(); i++) {
            ends[i] = found[i] >= 0 ? found[i] : ends[i]; // no record is that young
        }
    }
    return ends;
}

} // namespace qtool::cli
