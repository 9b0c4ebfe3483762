#include "tests/sim/keyed_reader.h"

#include "lib/protocol/kafka_error.h"
#include "lib/protocol/msg/fetch.h"
#include "lib/protocol/msg/list_offsets.h"
#include "lib/protocol/record_batch.h"

#include <algorithm>

namespace qtool::sim {

namespace {

using protocol::KafkaError;

constexpr size_t kDecompressedMax = 16 * 1024 * 1024;

// Answers below the high watermark without anything, one after the other, before it is a violation:
// the watermark may rise while an answer is made.
constexpr uint32_t kFruitlessMax = 3;

std::optional<KeyedLog::Seen> seen_of(const protocol::ConsumedRecord& record) {
    if (!record.record.key || record.record.header_count != 1) {
        return std::nullopt;
    }
    const ByteView headers = record.record.header_bytes; // length, "id", length, id
    if (headers.size() != 4 + sizeof(KeyedLog::Id)) {
        return std::nullopt;
    }
    KeyedLog::Seen seen;
    seen.id = load_be<uint64_t>(headers.data() + 4);
    seen.offset = record.offset.value();
    seen.key = std::string(as_text(*record.record.key));
    seen.is_tombstone = !record.record.value;
    if (record.record.value) {
        const Result<Value> value = read_value(*record.record.value);
        if (!value || *value != seen.id) {
            return std::nullopt;
        }
    }
    return seen;
}

} // namespace

KeyedReader::KeyedReader(Client client, std::vector<KeyedPlace> places, bool is_audit)
    : client_(client),
      world_(*client.world),
      line_(
          *client.world, *client.network, [this] { next(); },
          [this] { line_.connect_later(50ms); }),
      is_audit_(is_audit) {
    for (KeyedPlace& place : places) {
        lanes_.emplace_back().place = std::move(place);
    }
}

bool KeyedReader::is_done() const {
    return is_audit_ &&
           std::all_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return lane.is_done; });
}

void KeyedReader::next() {
    if (line_.is_stopped() || is_done() || !line_.is_open()) {
        return;
    }
    size_t at = world_.random().below(lanes_.size());
    while (lanes_[at].is_done) {
        at = (at + 1) % lanes_.size();
    }
    Lane& lane = lanes_[at];
    lane.wants_start ? ask_start(lane) : ask_fetch(lane);
}

void KeyedReader::ask_start(Lane& lane) {
    protocol::ListOffsetsRequest request;
    request.replica_id = -1;
    auto& topic = request.topics.emplace_back();
    topic.name = lane.place.topic;
    auto& partition = topic.partitions.emplace_back();
    partition.partition_index = lane.place.index;
    partition.timestamp = -2; // earliest
    constexpr int16_t kVersion = 6;
    line_.stream().ask(request, kVersion, [this, &lane](ByteView body) {
        const auto answer = protocol::ListOffsetsResponse::decode(body, kVersion);
        if (!answer || answer->topics.size() != 1 || answer->topics[0].partitions.size() != 1) {
            fail(lane, "ListOffsets: an answer that cannot be read");
            return;
        }
        const auto& found = answer->topics[0].partitions[0];
        if (found.error_code != 0) {
            if (!is_retriable(found.error_code)) {
                fail(lane, "ListOffsets: error " + std::to_string(found.error_code));
                return;
            }
            line_.next_later(100ms);
            return;
        }
        if (found.offset > 0 && !lane.place.log->rules().may_delete) {
            fail(lane, "the log starts at " + std::to_string(found.offset));
            return;
        }
        if (found.offset < lane.reading.position && lane.fruitless > 0) {
            fail(lane, "offset " + std::to_string(lane.reading.position) +
                           " is out of range, but the log starts at " +
                           std::to_string(found.offset));
            return;
        }
        lane.fruitless = 0;
        lane.wants_start = false;
        lane.reading = {};
        lane.reading.position = found.offset;
        next();
    });
}

void KeyedReader::ask_fetch(Lane& lane) {
    protocol::FetchRequest request;
    request.max_wait_ms = static_cast<int32_t>(world_.random().between(1, 200));
    request.min_bytes = static_cast<int32_t>(world_.random().between(0, 500));
    request.max_bytes = static_cast<int32_t>(world_.random().between(1, 100'000));
    auto& topic = request.topics.emplace_back();
    topic.topic = lane.place.topic;
    auto& partition = topic.partitions.emplace_back();
    partition.partition = lane.place.index;
    partition.fetch_offset = lane.reading.position;
    partition.partition_max_bytes = static_cast<int32_t>(world_.random().between(1, 60'000));
    const int16_t version = world_.chance_percent(50) ? int16_t{11} : int16_t{12};
    line_.stream().ask(request, version,
                       [this, &lane, version, known = lane.place.log->known(),
                        asked_at = world_.now()](ByteView body) {
                           on_fetched(lane, body, version, known, asked_at);
                       });
}

void KeyedReader::on_fetched(Lane& lane, ByteView body, int16_t version, KeyedLog::Known known,
                             MonoTime asked_at) {
    const auto answer = protocol::FetchResponse::decode(body, version);
    if (!answer || answer->error_code != 0 || answer->responses.size() != 1 ||
        answer->responses[0].partitions.size() != 1) {
        fail(lane, "Fetch: " + (answer ? "error " + std::to_string(answer->error_code)
                                       : to_string(answer.error())));
        return;
    }
    const auto& partition = answer->responses[0].partitions[0];
    if (partition.error_code == static_cast<int16_t>(KafkaError::offset_out_of_range) &&
        lane.place.log->rules().may_delete) {
        lane.wants_start = true;
        lane.fruitless = 1; // the start must be behind this place
        line_.next_later(1ms);
        return;
    }
    if (partition.error_code != 0) {
        if (!is_retriable(partition.error_code)) {
            fail(lane, "Fetch error " + std::to_string(partition.error_code) + " at offset " +
                           std::to_string(lane.reading.position));
            return;
        }
        line_.next_later(world_.between(5ms, 120ms));
        return;
    }
    lane.place.log->on_watermarks(known, partition.high_watermark, partition.log_start_offset);
    const int64_t before = lane.reading.position;
    const bool has_bytes = partition.records && !partition.records->empty();
    if (has_bytes) {
        const std::optional<size_t> count =
            take_records(lane, *partition.records, partition.high_watermark, asked_at);
        if (!count) {
            return;
        }
        if (*count == 0 && lane.reading.position < partition.high_watermark) {
            fail(lane, "a fetch at offset " + std::to_string(before) +
                           " brought batches without records alone, up to " +
                           std::to_string(lane.reading.position) + " of " +
                           std::to_string(partition.high_watermark));
            return;
        }
    }
    const bool is_behind = before < known.high_watermark;
    lane.fruitless = is_behind && lane.reading.position == before ? lane.fruitless + 1 : 0;
    if (lane.fruitless >= kFruitlessMax) {
        fail(lane, "fetches at offset " + std::to_string(before) + " bring no progress, though " +
                       std::to_string(known.high_watermark) + " is readable");
        return;
    }
    if (lane.reading.position >= partition.high_watermark) {
        lane.is_done = is_audit_;
        if (!is_audit_ && world_.chance_percent(30)) {
            restart(lane);
        }
    }
    line_.next_later(has_bytes ? world_.between(0ms, 10ms) : world_.between(5ms, 60ms));
}

// As a new consumer, from the start or from anywhere.
void KeyedReader::restart(Lane& lane) {
    lane.fruitless = 0;
    if (world_.chance_percent(70)) {
        lane.wants_start = true;
        return;
    }
    const KeyedLog::Known known = lane.place.log->known();
    lane.reading = {};
    lane.reading.position = world_.random().between(known.log_start, known.high_watermark);
}

std::optional<size_t> KeyedReader::take_records(Lane& lane, ByteView records,
                                                int64_t high_watermark, MonoTime asked_at) {
    size_t count = 0; // of all, also those before what was asked for
    protocol::BatchWalker walker(records);
    for (;;) {
        const auto batch = walker.next();
        if (!batch) {
            fail(lane, "a fetched batch: " + to_string(batch.error()));
            return std::nullopt;
        }
        if (*batch == nullptr) {
            return count;
        }
        const protocol::BatchHeader& header = (*batch)->header;
        if (!protocol::batch_crc_ok((*batch)->bytes) ||
            header.last_offset().value() < lane.reading.position ||
            header.base_offset.value() >= high_watermark) {
            fail(lane, "the batch " + std::to_string(header.base_offset.value()) + " to " +
                           std::to_string(header.last_offset().value()) + " came at offset " +
                           std::to_string(lane.reading.position) + ", or its checksum is wrong");
            return std::nullopt;
        }
        auto opened = protocol::BatchRecords::open(**batch, kDecompressedMax);
        if (!opened) {
            fail(lane, "a fetched batch: " + to_string(opened.error()));
            return std::nullopt;
        }
        std::vector<KeyedLog::Seen> seen;
        while (const protocol::ConsumedRecord* record = opened->next()) {
            count++;
            std::optional<KeyedLog::Seen> one = seen_of(*record);
            if (!one || (!seen.empty() && seen.back().offset >= one->offset)) {
                fail(lane, "offset " + std::to_string(record->offset.value()) +
                               " holds what was never written, or is out of order");
                return std::nullopt;
            }
            if (one->offset >= lane.reading.position) {
                seen.push_back(*std::move(one));
            }
        }
        if (Result<void> status = opened->status(); !status) {
            fail(lane, "a fetched batch: " + to_string(status.error()));
            return std::nullopt;
        }
        lane.place.log->on_passed(lane.reading, header.next_offset().value(), seen, asked_at);
        if (world_.violation()) {
            return std::nullopt;
        }
    }
}

} // namespace qtool::sim
