#include "tests/sim/quota_check.h"

#include "lib/base/assert.h"
#include "lib/protocol/batch_builder.h"
#include "lib/protocol/kafka_error.h"
#include "lib/protocol/msg/alter_client_quotas.h"
#include "lib/protocol/msg/create_topics.h"
#include "lib/protocol/msg/fetch.h"
#include "lib/protocol/msg/produce.h"

#include <algorithm>
#include <cmath>

namespace qtool::sim {

namespace {

using protocol::KafkaError;

constexpr std::string_view kTopic = "quota";
constexpr std::string_view kHeld = "held"; // the client id with quotas
constexpr int32_t kTimeoutMs = 5000;
constexpr int16_t kProduceVersion = 9;
constexpr int16_t kFetchVersion = 12;
constexpr Duration kFreeMax = 1s; // how long an answer may take for whom no quota holds
// What must come through at the least, of what the quota allows: answers take their time, and a
// sync may be slow.
constexpr double kShareMin = 0.25;

std::vector<std::byte> make_batch(size_t value_size) {
    protocol::BatchBuilder builder;
    const std::vector<std::byte> value(value_size, std::byte{'q'});
    QT_ASSERT(builder.append({}, ByteView(value), {}, protocol::kNoTimestamp).has_value());
    Result<std::vector<std::byte>> batch = builder.finish({});
    QT_ASSERT(batch.has_value());
    return *std::move(batch);
}

protocol::ProduceRequest to_request(const std::vector<std::byte>& batch, int16_t acks) {
    protocol::ProduceRequest request;
    request.acks = acks;
    request.timeout_ms = kTimeoutMs;
    auto& topic = request.topic_data.emplace_back();
    topic.name = kTopic;
    topic.partition_data.emplace_back().records = protocol::RecordsRef{batch, 0};
    return request;
}

} // namespace

QuotaCheck::QuotaCheck(Client client, Duration window)
    : world_(*client.world),
      window_(window),
      line_(
          *client.world, *client.network, [this] { next(); },
          [this] { line_.connect_later(20ms); }),
      producer_(*client.world, *client.network,
                [this] { world_.violate("a throttled producer got no answer"); }),
      reader_(*client.world, *client.network,
              [this] { world_.violate("a throttled reader got no answer"); }),
      produced_{"producer_byte_rate",
                static_cast<double>(client.world->random().between(5'000, 40'000))},
      read_{"consumer_byte_rate", std::floor(produced_.bytes_per_second / 2)},
      is_polite_(client.world->chance_percent(50)),
      in_flight_max_(1 + client.world->random().below(4)),
      value_size_(static_cast<size_t>(produced_.bytes_per_second) /
                  (4 + client.world->random().below(12))) {
    producer_.set_client_id(std::string(kHeld));
    reader_.set_client_id(std::string(kHeld));
}

bool QuotaCheck::is_loading() const {
    return stage_ == Stage::load && world_.now() < ends_at_;
}

void QuotaCheck::next() {
    switch (stage_) {
    case Stage::topic:
        return ask_topic();
    case Stage::quotas:
        return ask_quotas();
    case Stage::load:
        if (is_loading()) {
            return ask_free();
        }
        stage_ = Stage::end;
        [[fallthrough]];
    case Stage::end:
        if (producer_.asked() > 0 || reader_.asked() > 0) {
            line_.next_later(100ms); // they are answered, or their streams say that they were not
            return;
        }
        judge(produced_);
        judge(read_);
        producer_.close();
        reader_.close();
        stage_ = Stage::done;
        return;
    case Stage::done:
        return;
    }
    QT_UNREACHABLE();
}

void QuotaCheck::ask_topic() {
    protocol::CreateTopicsRequest request;
    request.timeout_ms = kTimeoutMs;
    auto& topic = request.topics.emplace_back();
    topic.name = kTopic;
    topic.num_partitions = 1;
    topic.replication_factor = 1;
    constexpr int16_t kVersion = 5;
    line_.stream().ask(request, kVersion, [this](ByteView body) {
        const auto answer = protocol::CreateTopicsResponse::decode(body, kVersion);
        const int16_t error = answer ? answer->topics.at(0).error_code : int16_t{-1};
        if (error == 0 || error == static_cast<int16_t>(KafkaError::topic_already_exists)) {
            stage_ = Stage::quotas;
        } else if (!is_retriable(error)) {
            world_.violate("CreateTopics: error " + std::to_string(error));
        }
        line_.next_later(20ms);
    });
}

void QuotaCheck::ask_quotas() {
    protocol::AlterClientQuotasRequest request;
    auto& entry = request.entries.emplace_back();
    entry.entity.push_back({"client-id", kHeld});
    for (const Flow* flow : {&produced_, &read_}) {
        entry.ops.push_back({flow->what, flow->bytes_per_second, false});
    }
    constexpr int16_t kVersion = 1;
    line_.stream().ask(request, kVersion, [this](ByteView body) {
        const auto answer = protocol::AlterClientQuotasResponse::decode(body, kVersion);
        const int16_t error = answer ? answer->entries.at(0).error_code : int16_t{-1};
        if (error == 0) {
            begin_load();
        } else if (!is_retriable(error)) {
            world_.violate("AlterClientQuotas: error " + std::to_string(error));
            return;
        }
        line_.next_later(20ms);
    });
}

void QuotaCheck::begin_load() {
    stage_ = Stage::load;
    begun_at_ = world_.now();
    ends_at_ = begun_at_ + 2 * window_ + world_.between(3s, 8s);
    producer_.open(line_.address(), kBrokerPort);
    reader_.open(line_.address(), kBrokerPort);
    pump_producer();
    pump_reader();
}

// ---- the client without quota -------------------------------------------------------------------

void QuotaCheck::ask_free() {
    const std::vector<std::byte> batch = make_batch(50); // with acks=1: a sync may be slow
    line_.stream().ask(
        to_request(batch, 1), kProduceVersion, [this, asked_at = world_.now()](ByteView body) {
            const auto answer = protocol::ProduceResponse::decode(body, kProduceVersion);
            if (!answer || answer->responses.at(0).partition_responses.at(0).error_code != 0) {
                world_.violate("a client without quota is refused");
                return;
            }
            if (answer->throttle_time_ms != 0 || world_.now() - asked_at > kFreeMax) {
                world_.violate("a client without quota is held up");
                return;
            }
            line_.next_later(world_.between(20ms, 300ms));
        });
}

// ---- the client with quotas ---------------------------------------------------------------------

bool QuotaCheck::take(Flow& flow, int16_t error_code, int32_t throttle_time_ms) {
    world_.trace(flow.what, static_cast<uint64_t>(error_code),
                 static_cast<uint64_t>(throttle_time_ms));
    if (error_code != 0) {
        world_.violate("a throttled client is refused with error " + std::to_string(error_code));
        return false;
    }
    flow.pauses += throttle_time_ms > 0 ? 1 : 0;
    return true;
}

void QuotaCheck::pump_producer() {
    while (is_loading() && producer_.is_open() && producer_.asked() < in_flight_max_) {
        const std::vector<std::byte> batch = make_batch(1 + world_.random().below(value_size_));
        producer_.ask(to_request(batch, -1), kProduceVersion,
                      [this, bytes = batch.size()](ByteView body) { on_produced(body, bytes); });
    }
}

void QuotaCheck::on_produced(ByteView body, uint64_t bytes) {
    const auto answer = protocol::ProduceResponse::decode(body, kProduceVersion);
    if (!answer) {
        world_.violate("Produce: an answer that cannot be read");
        return;
    }
    const int16_t error = answer->responses.at(0).partition_responses.at(0).error_code;
    if (!take(produced_, error, answer->throttle_time_ms)) {
        return;
    }
    produced_.bytes += bytes;
    produced_.largest = std::max(produced_.largest, bytes);
    const Duration wait = std::chrono::milliseconds(is_polite_ ? answer->throttle_time_ms : 0);
    world_.after(wait, [this] { pump_producer(); });
}

void QuotaCheck::pump_reader() {
    if (!is_loading() || !reader_.is_open() || reader_.asked() > 0) {
        return;
    }
    protocol::FetchRequest request;
    request.min_bytes = 1;
    request.max_wait_ms = 500;
    auto& topic = request.topics.emplace_back();
    topic.topic = kTopic;
    auto& partition = topic.partitions.emplace_back();
    partition.fetch_offset = read_offset_;
    partition.partition_max_bytes = static_cast<int32_t>(read_.bytes_per_second / 2);
    reader_.ask(request, kFetchVersion, [this](ByteView body) { on_fetched(body); });
}

void QuotaCheck::on_fetched(ByteView body) {
    const auto answer = protocol::FetchResponse::decode(body, kFetchVersion);
    if (!answer) {
        world_.violate("Fetch: an answer that cannot be read");
        return;
    }
    // A client that used too much is told so by an answer without partitions.
    if (!take(read_, answer->error_code, answer->throttle_time_ms)) {
        return;
    }
    for (const auto& topic : answer->responses) {
        const auto& partition = topic.partitions.at(0);
        if (!take(read_, partition.error_code, 0)) {
            return;
        }
        const ByteView records = partition.records.value_or(protocol::RecordsRef{});
        read_.bytes += records.size();
        read_.largest = std::max<uint64_t>(read_.largest, records.size());
        protocol::BatchWalker walker(records);
        for (auto batch = walker.next(); batch && *batch != nullptr; batch = walker.next()) {
            read_offset_ = (*batch)->header.last_offset().value() + 1;
        }
    }
    const Duration wait = std::chrono::milliseconds(is_polite_ ? answer->throttle_time_ms : 0);
    world_.after(wait, [this] { pump_reader(); });
}

void QuotaCheck::judge(const Flow& flow) {
    const auto seconds = [](Duration time) { return std::chrono::duration<double>(time).count(); };
    const double allowed = flow.bytes_per_second * seconds(world_.now() - begun_at_);
    // Ahead of its rate by the window, and by what was under way when that was used up.
    const double most = allowed + flow.bytes_per_second * seconds(window_) +
                        static_cast<double>(flow.largest * (in_flight_max_ + 1));
    const double least = kShareMin * flow.bytes_per_second * seconds(ends_at_ - begun_at_);
    const auto got = static_cast<double>(flow.bytes);
    if (got > most || got < least || flow.pauses == 0) {
        world_.violate(std::string(flow.what) + ": " + std::to_string(flow.bytes) +
                       " bytes came through, of " + std::to_string(static_cast<uint64_t>(least)) +
                       " to " + std::to_string(static_cast<uint64_t>(most)) + ", with " +
                       std::to_string(flow.pauses) + " pauses");
    }
}

} // namespace qtool::sim
