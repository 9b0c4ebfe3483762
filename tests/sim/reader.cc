#include "lib/protocol/kafka_error.h"
#include "lib/protocol/msg/fetch.h"
#include "lib/protocol/msg/list_offsets.h"
#include "lib/protocol/record_batch.h"
#include "tests/sim/workload.h"

#include <algorithm>

namespace qtool::sim {

namespace {

using protocol::KafkaError;

constexpr int64_t kEarliest = -2; // timestamps of ListOffsets
constexpr int64_t kLatest = -1;
constexpr size_t kDecompressedMax = 16 * 1024 * 1024;

} // namespace

Reader::Reader(Client client, std::vector<PartitionPlace> partitions, bool is_audit)
    : client_(client),
      world_(*client.world),
      lines_(
          client, [this](ClientLine& line) { next(line); },
          [this](ClientLine& line) {
              if (client_.directory == nullptr) {
                  line.connect_later(50ms);
              } else {
                  client_.directory->refresh();
              }
          }),
      is_audit_(is_audit) {
    for (PartitionPlace& place : partitions) {
        lanes_.emplace_back().place = std::move(place);
    }
}

void Reader::start() {
    if (client_.directory == nullptr) {
        lines_.to_any().connect_later(0ms);
    } else {
        look();
    }
}

// Of a cluster: whoever leads something gets a line.
void Reader::look() {
    if (is_stopped_ || is_done()) {
        return;
    }
    for (const Lane& lane : lanes_) {
        ClientLine* const line = lane.is_done ? nullptr : lines_.to_leader(lane.place);
        if (line != nullptr && !line->is_open()) {
            line->connect_later(5ms);
        } else if (line != nullptr && line->is_idle()) {
            line->next_later(world_.between(0ms, 100ms));
        }
    }
    for (const auto& [address, line] : lines_.all()) {
        if (line->is_idle()) { // nobody leads there any more
            line->next_later(world_.between(0ms, 100ms));
        }
    }
    world_.after(world_.between(100ms, 300ms), [this] { look(); });
}

void Reader::stop() {
    is_stopped_ = true;
    lines_.stop();
}

std::string Reader::left() const {
    std::string left;
    for (const Lane& lane : lanes_) {
        if (!lane.is_done) {
            left += " " + client_.checker->name(lane.place.number) + " at " +
                    std::to_string(lane.position);
        }
    }
    return left;
}

bool Reader::is_done() const {
    return is_audit_ &&
           std::all_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return lane.is_done; });
}

void Reader::next(ClientLine& line) {
    if (is_stopped_ || is_done() || !line.is_open()) {
        return;
    }
    std::vector<size_t> here; // to be fetched
    for (size_t i = 0; i < lanes_.size(); i++) {
        if (client_.directory != nullptr && lines_.to_leader(lanes_[i].place) != &line) {
            continue;
        }
        if (lanes_[i].position < 0) {
            ask_start(line, i);
            return;
        }
        if (!lanes_[i].is_done) {
            here.push_back(i);
        }
    }
    if (client_.directory != nullptr && (here.empty() || world_.chance_percent(10))) {
        ask_former_end(line);
        return;
    }
    if (here.empty()) {
        return;
    }
    if (client_.directory != nullptr && world_.chance_percent(5)) {
        ask_end(line, here[world_.random().below(here.size())]);
    } else {
        ask_fetch(line, here);
    }
}

void Reader::ask_end(ClientLine& line, size_t number) {
    const PartitionPlace& place = lanes_[number].place;
    protocol::ListOffsetsRequest request;
    request.replica_id = -1;
    auto& topic = request.topics.emplace_back();
    topic.name = place.topic;
    auto& partition = topic.partitions.emplace_back();
    partition.partition_index = place.index;
    partition.timestamp = kLatest;
    constexpr int16_t kVersion = 6;
    const Checker::Known known = client_.checker->known(place.number);
    const bool is_leader = lines_.to_leader(place) == &line;
    const bool was_over =
        client_.directory != nullptr && client_.directory->is_lease_over(line.address());
    line.stream().ask(
        request, kVersion, [this, &line, number, known, is_leader, was_over](ByteView body) {
            const auto answer = protocol::ListOffsetsResponse::decode(body, kVersion);
            if (!answer || answer->topics.size() != 1 || answer->topics[0].partitions.size() != 1) {
                world_.violate("ListOffsets: an answer that cannot be read");
                return;
            }
            const auto& found = answer->topics[0].partitions[0];
            const bool is_over =
                client_.directory != nullptr && client_.directory->is_lease_over(line.address());
            if (found.error_code == 0 && is_over && was_over &&
                found.offset < known.high_watermark) {
                world_.violate(client_.checker->name(lanes_[number].place.number) + ": " +
                               line.address() + " said that the log ends at " +
                               std::to_string(found.offset) +
                               ", though its session was over, and " +
                               std::to_string(known.high_watermark) + " is committed elsewhere");
                return;
            }
            if (found.error_code == 0 && is_leader) {
                client_.checker->on_end(lanes_[number].place.number, known, found.offset);
            } else if (found.error_code != 0 && !is_retriable(found.error_code)) {
                world_.violate("ListOffsets: error " + std::to_string(found.error_code));
                return;
            }
            if (is_leader) {
                on_error(found.error_code);
            }
            line.next_later(world_.between(1ms, 50ms));
        });
}

void Reader::ask_former_end(ClientLine& line) {
    std::vector<size_t> here;
    for (size_t i = 0; i < lanes_.size(); i++) {
        const PartitionPlace& place = lanes_[i].place;
        if (client_.directory->former_leader(place.topic, place.index) == line.address()) {
            here.push_back(i);
        }
    }
    if (!here.empty()) {
        ask_end(line, here[world_.random().below(here.size())]);
    } else {
        line.next_later(world_.between(1ms, 50ms));
    }
}

// Nobody reads on where it went wrong before it is known who leads.
void Reader::on_error(int16_t error_code) {
    if (client_.directory != nullptr && is_retriable(error_code)) {
        client_.directory->refresh();
    }
}

void Reader::ask_start(ClientLine& line, size_t number) {
    const Lane& lane = lanes_[number];
    protocol::ListOffsetsRequest request;
    request.replica_id = -1;
    auto& topic = request.topics.emplace_back();
    topic.name = lane.place.topic;
    auto& partition = topic.partitions.emplace_back();
    partition.partition_index = lane.place.index;
    partition.timestamp = kEarliest;
    constexpr int16_t kVersion = 6;
    line.stream().ask(request, kVersion, [this, &line, number](ByteView body) {
        const auto answer = protocol::ListOffsetsResponse::decode(body, kVersion);
        if (!answer || answer->topics.size() != 1 || answer->topics[0].partitions.size() != 1) {
            world_.violate("ListOffsets: an answer that cannot be read");
            return;
        }
        const auto& found = answer->topics[0].partitions[0];
        if (found.error_code != 0) {
            if (!is_retriable(found.error_code)) {
                world_.violate("ListOffsets: error " + std::to_string(found.error_code));
            }
            on_error(found.error_code);
            line.next_later(100ms);
            return;
        }
        Lane& answered = lanes_[number];
        const std::string& name = client_.checker->name(answered.place.number);
        if (!client_.checker->may_start_at(answered.place.number, found.offset)) {
            world_.violate(name + ": the log starts at " + std::to_string(found.offset));
        } else if (found.offset <= answered.out_of_range && client_.directory == nullptr) {
            world_.violate(name + ": offset " + std::to_string(answered.out_of_range) +
                           " was out of range, but the log starts at " +
                           std::to_string(found.offset));
        }
        answered.position = found.offset;
        answered.out_of_range = -1;
        next(line);
    });
}

void Reader::ask_fetch(ClientLine& line, const std::vector<size_t>& lanes) {
    protocol::FetchRequest request;
    request.max_wait_ms = static_cast<int32_t>(world_.random().between(1, 400));
    request.min_bytes = static_cast<int32_t>(world_.random().between(0, 500));
    request.max_bytes = static_cast<int32_t>(world_.random().between(1, 200'000));
    std::vector<Asked> asked;
    for (const size_t i : lanes) {
        const Lane& lane = lanes_[i];
        auto topic = std::find_if(request.topics.begin(), request.topics.end(),
                                  [&](const auto& t) { return t.topic == lane.place.topic; });
        if (topic == request.topics.end()) {
            topic = request.topics.emplace(request.topics.end());
            topic->topic = lane.place.topic;
        }
        auto& partition = topic->partitions.emplace_back();
        partition.partition = lane.place.index;
        partition.fetch_offset = lane.position;
        partition.partition_max_bytes = static_cast<int32_t>(world_.random().between(1, 60'000));
        // Some clients name the epoch of the leader they mean, older ones do not (KIP-320).
        if (client_.directory != nullptr && world_.chance_percent(60)) {
            partition.current_leader_epoch =
                client_.directory->leader_epoch(lane.place.topic, lane.place.index);
        }
        asked.push_back(
            {i, client_.checker->known(lane.place.number, partition.current_leader_epoch)});
    }
    const int16_t version = world_.chance_percent(50) ? int16_t{11} : int16_t{12};
    line.stream().ask(request, version,
                      [this, &line, version, asked = std::move(asked)](ByteView body) {
                          on_fetched(line, body, version, asked);
                      });
}

void Reader::on_fetched(ClientLine& line, ByteView body, int16_t version,
                        const std::vector<Asked>& asked) {
    const auto answer = protocol::FetchResponse::decode(body, version);
    if (!answer || answer->error_code != 0) {
        world_.violate("Fetch: " + (answer ? "error " + std::to_string(answer->error_code)
                                           : to_string(answer.error())));
        return;
    }
    size_t answered = 0;
    bool any = false;
    for (const auto& topic : answer->responses) {
        for (const auto& partition : topic.partitions) {
            const auto item = std::find_if(asked.begin(), asked.end(), [&](const Asked& a) {
                const PartitionPlace& place = lanes_[a.lane].place;
                return place.topic == topic.topic && place.index == partition.partition_index;
            });
            if (item == asked.end()) {
                world_.violate("Fetch: a partition that was not asked for");
                return;
            }
            answered++;
            Lane& lane = lanes_[item->lane];
            const uint16_t number = lane.place.number;
            const std::string& name = client_.checker->name(number);
            if (lane.position < 0) {
                continue; // another broker said meanwhile that it is out of range
            }
            if (partition.error_code == static_cast<int16_t>(KafkaError::offset_out_of_range)) {
                // Who leads no more and does not know it may not have what was read elsewhere; who
                // is asked as the leader of an epoch has all that was committed in it and before.
                const bool may_be_old = client_.directory != nullptr &&
                                        (item->known.epoch < 0 || item->known.epoch < lane.epoch);
                if (may_be_old && !client_.checker->may_start_at(number, lane.position + 1)) {
                    client_.directory->refresh();
                    continue;
                }
                if (!client_.checker->may_start_at(number, lane.position + 1)) {
                    world_.violate(name + ": offset " + std::to_string(lane.position) +
                                   " is out of range, but was readable");
                    return;
                }
                lane.out_of_range = lane.position;
                lane.position = -1;
                continue;
            }
            if (partition.error_code != 0) {
                if (!is_retriable(partition.error_code)) {
                    world_.violate(name + ": Fetch error " + std::to_string(partition.error_code));
                    return;
                }
                on_error(partition.error_code);
                continue;
            }
            client_.checker->on_watermarks(number, item->known, partition.high_watermark,
                                           partition.log_start_offset);
            if (partition.records && !partition.records->empty()) {
                any = true;
                if (!take_records(lane, *partition.records, partition.high_watermark)) {
                    return;
                }
            }
            lane.is_done = is_audit_ && lane.position >= std::max(partition.high_watermark,
                                                                  item->known.high_watermark);
        }
    }
    if (answered != asked.size()) {
        world_.violate("Fetch: " + std::to_string(answered) + " partitions answered of " +
                       std::to_string(asked.size()));
        return;
    }
    line.next_later(any ? world_.between(0ms, 10ms) : world_.between(5ms, 120ms));
}

bool Reader::take_records(Lane& lane, ByteView records, int64_t high_watermark) {
    const std::string& name = client_.checker->name(lane.place.number);
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
        if (!protocol::batch_crc_ok((*batch)->bytes)) {
            if (client_.checker->may_be_rotten(lane.place.number)) {
                return true; // it is read again, as a client would
            }
            world_.violate(name + ": a fetched batch has a wrong checksum");
            return false;
        }
        const int32_t epoch = (*batch)->header.partition_leader_epoch.value();
        auto opened = protocol::BatchRecords::open(**batch, kDecompressedMax);
        if (!opened) {
            world_.violate(name + ": a fetched batch: " + to_string(opened.error()));
            return false;
        }
        while (const protocol::ConsumedRecord* record = opened->next()) {
            const int64_t offset = record->offset.value();
            if (offset < lane.position) {
                continue; // of the first batch, before what was asked for
            }
            if (offset != lane.position || offset >= high_watermark) {
                world_.violate(name + ": offset " + std::to_string(offset) + " came where " +
                               std::to_string(lane.position) + " was next, high watermark " +
                               std::to_string(high_watermark));
                return false;
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
            client_.checker->on_epoch(lane.place.number, offset, epoch);
            lane.epoch = epoch;
            lane.position = offset + 1;
        }
        if (Result<void> status = opened->status(); !status) {
            world_.violate(name + ": a fetched batch: " + to_string(status.error()));
            return false;
        }
    }
}

} // namespace qtool::sim
