// TxnWorld: one TxnShard, a log that replays on append, and data partitions that take its markers
// when the test says so. A crash makes a new shard that replays the log.
#pragma once

#include "lib/base/byte_writer.h"
#include "lib/base/log.h"
#include "lib/protocol/kafka_error.h"
#include "lib/protocol/msg/add_offsets_to_txn.h"
#include "lib/protocol/msg/add_partitions_to_txn.h"
#include "lib/protocol/msg/describe_transactions.h"
#include "lib/protocol/msg/end_txn.h"
#include "lib/protocol/msg/init_producer_id.h"
#include "lib/protocol/msg/list_transactions.h"
#include "server/txn/txn_shard.h"
#include "tests/unit/server/fixed_random.h"

#include <doctest/doctest.h>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qtool::txn::test {

using protocol::KafkaError;

class TxnWorld final : public coordinator::Host {
public:
    TxnWorld() {
        set_log_sink([](LogLevel, std::string_view) {});
        add_topic("a", 1, 3);
        add_topic("b", 2, 1);
        add_topic("__consumer_offsets", 3, 50);
        restart();
    }

    // ---- what the test sets and sees ------------------------------------------------------------
    std::unique_ptr<TxnShard> shard;
    metadata::Image image_;
    config::BrokerConfig config_;
    MonoTime now_{std::chrono::seconds(100)};
    int64_t wall_ms = 1'700'000'000'000;
    std::vector<coordinator::NewRecord> log;
    std::optional<Code> append_error;               // every append fails with it
    std::optional<int64_t> next_id = 1000;          // nothing: no producer ids at hand
    std::deque<coordinator::MarkerRequest> markers; // asked for, not answered

    void add_topic(const std::string& name, uint8_t id, size_t partitions) {
        auto topic = std::make_shared<metadata::TopicImage>();
        topic->name = name;
        topic->id.bytes.fill(id);
        topic->partitions.resize(partitions);
        image_.topics_by_id[topic->id] = topic;
        image_.topics_by_name[name] = topic;
    }
    void delete_topic(const std::string& name) {
        metadata::Delta delta;
        delta.topics_deleted.push_back(image_.topic(name)->id);
        image_.topics_by_id.erase(image_.topic(name)->id);
        image_.topics_by_name.erase(name);
        shard->on_image(delta, *this);
    }
    /// A new shard of the same log; what the old one waited for is gone.
    void restart() {
        shard = std::make_unique<TxnShard>();
        markers.clear();
        for (const coordinator::NewRecord& record : log) {
            REQUIRE(shard->replay(view(record)));
        }
        shard->on_loaded(*this);
    }
    void pass_ms(int64_t ms) {
        now_ += std::chrono::milliseconds(ms);
        wall_ms += ms;
        for (int turn = 0; turn < 10 && shard->next_due() <= now_; turn++) {
            shard->on_time(*this);
        }
    }
    void answer_marker(const Result<void>& result = {}) {
        REQUIRE_FALSE(markers.empty());
        const uint64_t id = markers.front().id;
        markers.pop_front();
        shard->on_marker_written(id, result, *this);
    }
    void answer_markers() {
        while (!markers.empty()) {
            answer_marker();
        }
    }
    [[nodiscard]] TransactionState state(std::string_view id) const {
        const Transaction* transaction = shard->find(id);
        return transaction == nullptr ? TransactionState::dead : transaction->state;
    }

    /// Encodes, asks, decodes. The answer's text points into `body_`.
    template <class Response, class Request>
    Response ask(const Request& request, int16_t version) {
        ByteWriter writer;
        request.encode(writer, version);
        body_.reset();
        coordinator::Request asked;
        asked.id = Token{1, 1};
        asked.api_key = Request::kApiKey;
        asked.api_version = version;
        asked.body = writer.view();
        shard->on_request(asked, *this);
        REQUIRE(body_);
        auto response = Response::decode(*body_, version);
        REQUIRE(response);
        return *std::move(response);
    }

    protocol::InitProducerIdResponse init(std::string_view id, Producer claimed = {},
                                          int32_t timeout_ms = 60'000, int16_t version = 5) {
        protocol::InitProducerIdRequest request;
        request.transactional_id = id;
        request.transaction_timeout_ms = timeout_ms;
        request.producer_id = claimed.id.value();
        request.producer_epoch = claimed.epoch.value();
        return ask<protocol::InitProducerIdResponse>(request, version);
    }
    /// The producer of a new or idle id.
    Producer begin(std::string_view id) {
        const auto response = init(id);
        REQUIRE(response.error_code == 0);
        return {ProducerId(response.producer_id), ProducerEpoch(response.producer_epoch)};
    }
    /// The code of the first partition.
    KafkaError add(std::string_view id, Producer producer, std::string_view topic,
                   std::vector<int32_t> partitions = {0}, int16_t version = 3) {
        protocol::AddPartitionsToTxnRequest request;
        request.v3_and_below_transactional_id = id;
        request.v3_and_below_producer_id = producer.id.value();
        request.v3_and_below_producer_epoch = producer.epoch.value();
        request.v3_and_below_topics.push_back({topic, std::move(partitions)});
        const auto response = ask<protocol::AddPartitionsToTxnResponse>(request, version);
        return code(response.results_by_topic_v3_and_below.at(0)
                        .results_by_partition.at(0)
                        .partition_error_code);
    }
    KafkaError add_batched(std::string_view id, Producer producer, std::string_view topic,
                           int32_t partition, bool verify_only) {
        protocol::AddPartitionsToTxnRequest request;
        request.transactions.push_back(
            {id, producer.id.value(), producer.epoch.value(), verify_only, {{topic, {partition}}}});
        const auto response = ask<protocol::AddPartitionsToTxnResponse>(request, 5);
        return code(response.results_by_transaction.at(0)
                        .topic_results.at(0)
                        .results_by_partition.at(0)
                        .partition_error_code);
    }
    protocol::EndTxnResponse end(std::string_view id, Producer producer, bool committed,
                                 int16_t version) {
        protocol::EndTxnRequest request;
        request.transactional_id = id;
        request.producer_id = producer.id.value();
        request.producer_epoch = producer.epoch.value();
        request.committed = committed;
        return ask<protocol::EndTxnResponse>(request, version);
    }
    KafkaError end_code(std::string_view id, Producer producer, bool committed,
                        int16_t version = 4) {
        return code(end(id, producer, committed, version).error_code);
    }
    static KafkaError code(int16_t number) { return static_cast<KafkaError>(number); }

    // ---- Host -----------------------------------------------------------------------------------
    Result<void> append(const coordinator::NewBatch& batch) override {
        if (append_error) {
            return Error(*append_error);
        }
        for (const coordinator::NewRecord& record : batch.records) {
            log.push_back(record);
            REQUIRE(shard->replay(view(record)));
        }
        return {};
    }
    void answer(Token request, std::vector<std::byte> body) override {
        REQUIRE(request == Token{1, 1});
        REQUIRE_FALSE(body_);
        body_ = std::move(body);
    }
    void write_marker(const coordinator::MarkerRequest& request) override {
        markers.push_back(request);
    }
    std::optional<ProducerId> take_producer_id() override {
        if (!next_id) {
            return std::nullopt;
        }
        return ProducerId((*next_id)++);
    }
    [[nodiscard]] const metadata::Image& image() const override { return image_; }
    [[nodiscard]] const config::BrokerConfig& config() const override { return config_; }
    [[nodiscard]] MonoTime now() const override { return now_; }
    [[nodiscard]] WallTime wall_now() const override {
        return WallTime(std::chrono::milliseconds(wall_ms));
    }
    port::Random& random() override { return random_; }
    [[nodiscard]] LeaderEpoch leader_epoch() const override { return LeaderEpoch(7); }

private:
    static coordinator::Record view(const coordinator::NewRecord& record) {
        coordinator::Record out;
        out.key = record.key;
        if (record.value) {
            out.value = *record.value;
        }
        return out;
    }

    port::test::FixedRandom random_;
    std::optional<std::vector<std::byte>> body_;
};

} // namespace qtool::txn::test
