#include "tests/sim/txn_reader.h"

#include "lib/protocol/control_record.h"
#include "lib/protocol/kafka_error.h"
#include "lib/protocol/msg/fetch.h"
#include "lib/protocol/msg/find_coordinator.h"
#include "lib/protocol/msg/offset_fetch.h"
#include "lib/protocol/record_batch.h"

#include <algorithm>

namespace qtool::sim {

namespace {

using protocol::KafkaError;

constexpr size_t kDecompressedMax = 16 * 1024 * 1024;

} // namespace

TxnReader::TxnReader(Client client, TxnLog& log, std::vector<PartitionPlace> partitions,
                     bool is_audit, std::vector<Group> groups)
    : client_(client),
      world_(*client.world),
      log_(log),
      line_(
          *client.world, *client.network, [this] { next(); }, [this] { connect_later(); }),
      is_audit_(is_audit),
      groups_(std::move(groups)) {
    for (PartitionPlace& place : partitions) {
        lanes_.emplace_back().place = std::move(place);
    }
}

void TxnReader::connect_later() {
    if (client_.directory != nullptr) {
        client_.directory->refresh();
        coordinator_.clear();
        line_.set_address(client_.directory->any());
    }
    line_.connect_later(50ms);
}

bool TxnReader::is_there() {
    if (client_.directory == nullptr) {
        return true;
    }
    std::vector<const Lane*> open;
    for (const Lane& lane : lanes_) {
        if (!lane.is_done) {
            open.push_back(&lane);
        }
    }
    if (open.empty()) {
        if (coordinator_.empty()) {
            ask_coordinator();
            return false;
        }
        return line_.go_to(coordinator_);
    }
    // Mostly where it is, if there is anything to be read there.
    const bool leads = std::any_of(open.begin(), open.end(), [&](const Lane* lane) {
        return client_.directory->leader(lane->place.topic, lane->place.index) == line_.address();
    });
    if (leads && world_.chance_percent(70)) {
        return true;
    }
    const PartitionPlace& place = open[world_.random().below(open.size())]->place;
    return line_.go_to(client_.directory->leader(place.topic, place.index));
}

void TxnReader::ask_coordinator() {
    constexpr int16_t kVersion = 4;
    protocol::FindCoordinatorRequest request;
    request.key_type = 0;
    request.coordinator_keys.push_back(groups_.back().id);
    line_.stream().ask(request, kVersion, [this](ByteView body) {
        const auto answer = protocol::FindCoordinatorResponse::decode(body, kVersion);
        if (!answer || answer->coordinators.size() != 1) {
            world_.violate("FindCoordinator: an answer that cannot be read");
            return;
        }
        if (answer->coordinators[0].error_code == 0) {
            coordinator_ = std::string(answer->coordinators[0].host);
        }
        line_.next_later(world_.between(1ms, 50ms));
    });
}

std::string TxnReader::describe() const {
    for (const Lane& lane : lanes_) {
        if (!lane.is_done) {
            return client_.checker->name(lane.place.number) + " is read up to " +
                   std::to_string(lane.position) + ", last stable offset " +
                   std::to_string(lane.stable) + ", high watermark " + std::to_string(lane.high);
        }
    }
    return groups_.empty() ? "" : "group " + groups_.back().id + " does not show its offset";
}

void TxnReader::next() {
    if (line_.is_stopped() || is_done_ || !line_.is_open()) {
        return;
    }
    const bool is_all_read =
        is_audit_ &&
        std::all_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return lane.is_done; });
    if (!(is_all_read && groups_.empty()) && !is_there()) {
        return;
    }
    if (!is_all_read) {
        ask_fetch();
        return;
    }
    if (!all_read_) {
        all_read_ = true;
        log_.on_all_read(seen_);
    }
    if (groups_.empty()) {
        is_done_ = true;
        return;
    }
    ask_offset();
}

void TxnReader::ask_fetch() {
    protocol::FetchRequest request;
    request.max_wait_ms = static_cast<int32_t>(world_.random().between(1, 300));
    request.min_bytes = static_cast<int32_t>(world_.random().between(0, 300));
    request.max_bytes = static_cast<int32_t>(world_.random().between(1, 100'000));
    request.isolation_level = 1;
    for (Lane& lane : lanes_) {
        if (lane.is_done ||
            (client_.directory != nullptr &&
             client_.directory->leader(lane.place.topic, lane.place.index) != line_.address())) {
            continue;
        }
        auto& topic = request.topics.emplace_back();
        topic.topic = lane.place.topic;
        auto& partition = topic.partitions.emplace_back();
        partition.partition = lane.place.index;
        partition.fetch_offset = lane.position;
        partition.partition_max_bytes = static_cast<int32_t>(world_.random().between(1, 30'000));
        if (client_.directory != nullptr && world_.chance_percent(60)) {
            partition.current_leader_epoch =
                client_.directory->leader_epoch(lane.place.topic, lane.place.index);
        }
        lane.asked_epoch = partition.current_leader_epoch;
    }
    const int16_t version = world_.chance_percent(50) ? int16_t{11} : int16_t{12};
    line_.stream().ask(request, version,
                       [this, version](ByteView body) { on_fetched(body, version); });
}

void TxnReader::on_fetched(ByteView body, int16_t version) {
    const auto answer = protocol::FetchResponse::decode(body, version);
    if (!answer || answer->error_code != 0) {
        world_.violate("Fetch, read_committed: an answer that cannot be used");
        return;
    }
    bool any = false;
    for (const auto& topic : answer->responses) {
        for (const auto& partition : topic.partitions) {
            const auto lane = std::find_if(lanes_.begin(), lanes_.end(), [&](const Lane& l) {
                return l.place.topic == topic.topic && l.place.index == partition.partition_index;
            });
            if (lane == lanes_.end()) {
                world_.violate("Fetch: a partition that was not asked for");
                return;
            }
            const std::string& name = client_.checker->name(lane->place.number);
            const bool is_out_of_range =
                partition.error_code == static_cast<int16_t>(KafkaError::offset_out_of_range);
            // See Reader: who leads no more may not have it.
            const bool may_be_old = client_.directory != nullptr &&
                                    (lane->asked_epoch < 0 || lane->asked_epoch < lane->epoch);
            if (partition.error_code != 0) {
                if (!is_retriable(partition.error_code) && !(is_out_of_range && may_be_old)) {
                    world_.violate(name + ": Fetch error " + std::to_string(partition.error_code));
                    return;
                }
                if (client_.directory != nullptr) {
                    client_.directory->refresh();
                }
                continue;
            }
            // It never falls while one leader leads.
            int64_t& stable = lane->stable_in[lane->asked_epoch];
            const bool is_one_leader = client_.directory == nullptr || lane->asked_epoch >= 0;
            if (partition.last_stable_offset > partition.high_watermark ||
                (partition.last_stable_offset < stable && is_one_leader)) {
                world_.violate(name + ": the last stable offset is " +
                               std::to_string(partition.last_stable_offset) + " after " +
                               std::to_string(stable) + ", high watermark " +
                               std::to_string(partition.high_watermark));
                return;
            }
            stable = partition.last_stable_offset;
            lane->stable = partition.last_stable_offset;
            lane->high = partition.high_watermark;
            if (partition.records && !partition.records->empty()) {
                any = true;
                std::vector<Aborted> aborted;
                if (partition.aborted_transactions) {
                    for (const auto& entry : *partition.aborted_transactions) {
                        aborted.push_back({entry.producer_id, entry.first_offset});
                    }
                }
                if (!take_records(*lane, *partition.records, std::move(aborted))) {
                    return;
                }
            }
            const int64_t known = client_.checker->known(lane->place.number).high_watermark;
            lane->is_done =
                is_audit_ && lane->position >= std::max(partition.high_watermark, known);
        }
    }
    line_.next_later(any ? world_.between(0ms, 10ms) : world_.between(5ms, 120ms));
}

bool TxnReader::take_records(Lane& lane, ByteView records, std::vector<Aborted> aborted) {
    const std::string& name = client_.checker->name(lane.place.number);
    std::sort(aborted.begin(), aborted.end(),
              [](const Aborted& a, const Aborted& b) { return a.first_offset < b.first_offset; });
    auto next_aborted = aborted.begin();
    std::set<int64_t> aborting; // producers whose records do not count here
    protocol::BatchWalker walker(records);
    for (;;) {
        const auto batch = walker.next();
        if (!batch) {
            world_.violate(name + ": a fetched batch: " + to_string(batch.error()));
            return false;
        }
        if (*batch == nullptr) {
            return true;
        }
        const protocol::BatchHeader& header = (*batch)->header;
        const int64_t end = header.next_offset().value();
        if (header.base_offset.value() > lane.position) {
            world_.violate(name + ": offset " + std::to_string(header.base_offset.value()) +
                           " came where " + std::to_string(lane.position) + " was next");
            return false;
        }
        if (end > lane.stable) {
            world_.violate(name + ": a read_committed reader got records up to " +
                           std::to_string(end) + " beyond the last stable offset " +
                           std::to_string(lane.stable));
            return false;
        }
        lane.epoch = std::max(lane.epoch, header.partition_leader_epoch.value());
        const int64_t producer_id = header.producer_id.value();
        while (next_aborted != aborted.end() && next_aborted->first_offset < end) {
            aborting.insert(next_aborted++->producer_id);
        }
        if (header.is_control()) {
            const auto marker = protocol::parse_transaction_marker(**batch);
            if (marker && *marker && (*marker)->type == protocol::ControlType::abort) {
                aborting.erase(producer_id);
            }
            lane.position = std::max(lane.position, end);
            continue;
        }
        if (header.is_transactional() && aborting.count(producer_id) > 0) {
            lane.position = std::max(lane.position, end);
            continue;
        }
        auto opened = protocol::BatchRecords::open(**batch, kDecompressedMax);
        if (!opened) {
            world_.violate(name + ": a fetched batch: " + to_string(opened.error()));
            return false;
        }
        while (const protocol::ConsumedRecord* record = opened->next()) {
            const int64_t offset = record->offset.value();
            if (offset < lane.position) {
                continue;
            }
            const Result<Value> value = record->record.value
                                            ? read_value(*record->record.value)
                                            : Result<Value>(Error(Code::malformed, "null"));
            if (!value) {
                world_.violate(name + ": offset " + std::to_string(offset) + ": " +
                               value.error().detail);
                return false;
            }
            client_.checker->on_read(lane.place.number, offset, *value);
            log_.on_visible(*value);
            if (is_audit_) {
                seen_[lane.place.number].insert(*value);
            }
            lane.position = offset + 1;
        }
        lane.position = std::max(lane.position, end);
    }
}

void TxnReader::ask_offset() {
    constexpr int16_t kVersion = 7;
    const Group& group = groups_.back();
    protocol::OffsetFetchRequest request;
    request.group_id = group.id;
    request.require_stable = true;
    auto& topic = request.topics.emplace().emplace_back();
    topic.name = group.input.topic;
    topic.partition_indexes.push_back(group.input.index);
    line_.stream().ask(request, kVersion, [this](ByteView body) {
        const auto answer = protocol::OffsetFetchResponse::decode(body, kVersion);
        if (!answer) {
            world_.violate("OffsetFetch: an answer that cannot be read");
            return;
        }
        // Errors are of a coordinator that loads, or of offsets whose marker is not there yet.
        if (answer->error_code != 0 || answer->topics.size() != 1 ||
            answer->topics[0].partitions.at(0).error_code != 0) {
            coordinator_.clear();
            line_.next_later(world_.between(10ms, 100ms));
            return;
        }
        const Group& asked = groups_.back();
        const auto& shown = answer->topics[0].partitions.at(0);
        log_.on_offset_shown(asked.producer, log_.last_certain(asked.producer),
                             shown.committed_offset, shown.metadata.value_or(""));
        groups_.pop_back();
        coordinator_.clear();
        next();
    });
}

} // namespace qtool::sim
