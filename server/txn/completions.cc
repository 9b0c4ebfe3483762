#include "server/txn/completions.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/txn/limits.h"

#include <algorithm>
#include <utility>

namespace qtool::txn {

namespace {

Duration backoff(uint32_t failures) {
    constexpr uint32_t kDoublingsMax = 6; // 20 ms * 2^6 is above the maximum
    const auto wait = kMarkerBackoffMin * (int64_t{1} << std::min(failures, kDoublingsMax));
    return std::min<Duration>(wait, kMarkerBackoffMax);
}

} // namespace

void Completions::begin(std::string_view id, const Transaction& prepared, coordinator::Host& host) {
    QT_ASSERT(prepared.is_prepared());
    const auto [effort, is_new] = efforts_.try_emplace(std::string(id));
    QT_ASSERT(is_new);
    auto& request = effort->second.request;
    request.marker.type = prepared.state == TransactionState::prepare_commit
                              ? protocol::ControlType::commit
                              : protocol::ControlType::abort;
    request.marker.producer_id = prepared.producer_id;
    request.marker.producer_epoch = prepared.producer_epoch;
    request.marker.coordinator_epoch = host.leader_epoch().value();
    request.transaction_version = prepared.client_version;
    effort->second.missing = partition_count(prepared.partitions);
    if (effort->second.missing == 0) {
        finished_.push_back(effort->first);
    }
    for (const auto& [topic, indexes] : prepared.partitions) {
        for (const int32_t index : indexes) {
            const uint64_t number = ++last_number_;
            const auto marker =
                markers_.emplace(number, Marker{std::string(id), topic, PartitionIndex(index)})
                    .first;
            if (is_gone(marker->second, host)) {
                arrived(marker);
            } else {
                send(number, marker->second, host);
            }
        }
    }
}

bool Completions::is_gone(const Marker& marker, const coordinator::Host& host) {
    const metadata::TopicImage* topic = host.image().topic(marker.topic);
    return topic == nullptr || marker.partition.value() < 0 ||
           static_cast<size_t>(marker.partition.value()) >= topic->partitions.size();
}

void Completions::send(uint64_t number, const Marker& marker, coordinator::Host& host) {
    coordinator::MarkerRequest request = efforts_.find(marker.id)->second.request;
    request.id = number;
    request.partition = {host.image().topic(marker.topic)->id, marker.partition};
    request.marker.timestamp = host.wall_now_ms();
    host.write_marker(request);
}

void Completions::arrived(std::map<uint64_t, Marker>::iterator marker) {
    const auto effort = efforts_.find(marker->second.id);
    QT_ASSERT(effort != efforts_.end());
    QT_ASSERT(effort->second.missing > 0);
    markers_.erase(marker);
    if (--effort->second.missing == 0) {
        finished_.push_back(effort->first);
    }
}

void Completions::on_marker_written(uint64_t number, const Result<void>& result,
                                    coordinator::Host& host) {
    const auto marker = markers_.find(number);
    if (marker == markers_.end()) {
        return; // its topic went meanwhile, or the effort ended
    }
    Marker& missing = marker->second;
    if (result) {
        written_count_++;
        arrived(marker);
        return;
    }
    const auto log = [&](LogLevel level, std::string_view event) {
        log_line(level, event,
                 {{"transactional_id", missing.id},
                  {"topic", missing.topic},
                  {"partition", missing.partition.value()},
                  {"error", to_string(result.error())}});
    };
    if (result.error().code == Code::invalid_producer_epoch) {
        log(LogLevel::warn, "marker_superseded");
        arrived(marker);
        return;
    }
    if (result.error().code == Code::coordinator_fenced) {
        log(LogLevel::error, "markers_given_up");
        const std::string id = missing.id;
        efforts_.erase(id);
        std::erase_if(markers_, [&](const auto& other) { return other.second.id == id; });
        return;
    }
    if (missing.failures == 0) {
        log(LogLevel::info, "marker_delayed");
    }
    due_.push(host.now() + backoff(missing.failures), Due{number, {}});
    missing.failures++;
}

void Completions::on_image(const coordinator::Host& host) {
    for (auto marker = markers_.begin(); marker != markers_.end();) {
        const auto next = std::next(marker);
        if (is_gone(marker->second, host)) {
            arrived(marker);
        }
        marker = next;
    }
}

void Completions::on_time(coordinator::Host& host) {
    while (std::optional<Due> due = due_.pop_due(host.now())) {
        if (due->marker == 0) {
            finished_.push_back(std::move(due->id));
            continue;
        }
        const auto marker = markers_.find(due->marker);
        if (marker == markers_.end()) {
            continue;
        }
        if (is_gone(marker->second, host)) {
            arrived(marker);
        } else {
            send(due->marker, marker->second, host);
        }
    }
}

std::vector<std::string> Completions::take_finished() {
    std::vector<std::string> finished = std::exchange(finished_, {});
    for (const std::string& id : finished) {
        efforts_.erase(id);
    }
    return finished;
}

void Completions::retry(const std::string& id, MonoTime now) {
    due_.push(now + kMarkerBackoffMax, Due{0, id});
}

} // namespace qtool::txn
