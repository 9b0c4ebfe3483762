// FakeServices and FakeHost: the core as a request handler sees it, under a test's control.
// Partition requests are recorded and answered by the test; a metadata change is decided at once on
// the image and finished when the test says commit (or at once when there is nothing to write).
#pragma once

#include "lib/base/assert.h"
#include "server/request/door.h"
#include "server/request/services.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace qtool::test {

class CountingRandom : public port::Random {
public:
    uint64_t next() override { return ++last_ * 0x9e3779b97f4a7c15; }

private:
    uint64_t last_ = 0;
};

inline std::shared_ptr<metadata::TopicImage> make_topic(std::string name, uint8_t id,
                                                        size_t partition_count) {
    auto topic = std::make_shared<metadata::TopicImage>();
    topic->name = std::move(name);
    topic->id.bytes.fill(id);
    for (size_t i = 0; i < partition_count; i++) {
        metadata::PartitionImage& partition = topic->partitions.emplace_back();
        partition.replicas = {BrokerId(1)};
        partition.isr = {BrokerId(1)};
        partition.leader = BrokerId(1);
        partition.leader_epoch = LeaderEpoch(7);
    }
    return topic;
}

inline void add_topic(metadata::Image& image, std::shared_ptr<const metadata::TopicImage> topic) {
    image.topics_by_id[topic->id] = topic;
    image.topics_by_name[topic->name] = std::move(topic);
}

/// Broker 1 at broker.example:9092; topics events (1 partition), orders (3, retention.ms=1000) and
/// __consumer_offsets (1).
inline std::shared_ptr<metadata::Image> make_image() {
    auto image = std::make_shared<metadata::Image>();
    image->revision = Revision(5);
    image->cluster_id = "test-cluster";
    metadata::BrokerImage broker;
    broker.id = BrokerId(1);
    broker.host = "broker.example";
    broker.port = 9092;
    broker.epoch = Revision(1); // live
    image->brokers[broker.id] = broker;
    add_topic(*image, make_topic("events", 1, 1));
    auto orders = make_topic("orders", 2, 3);
    orders->configs["retention.ms"] = "1000";
    add_topic(*image, orders);
    add_topic(*image, make_topic("__consumer_offsets", 3, 1));
    return image;
}

class FakeServices : public request::Services {
public:
    FakeServices() : image_(make_image()) {}

    // ---- what the test sets and sees ----------------------------------------------------------
    metadata::ImageRef image_;
    config::BrokerConfig config_;
    bool serving_ = true;
    std::vector<replica::LogDirView> log_dirs_;
    MonoTime now_{std::chrono::seconds(100)};
    request::ProducerIdBlock producer_ids_;
    std::vector<replica::PartitionRequest> submitted;
    struct Change {
        Token request;
        metadata::Operation* operation = nullptr;
        MonoTime deadline;
        port::StoreTransaction transaction;
    };
    std::vector<Change> changes;    // decided, waiting for commit
    std::vector<peer::Call> called; // call_peer, not answered yet
    std::map<Token, MonoTime> deadlines;
    std::function<void(Token, std::vector<port::Piece>)> on_finish;
    std::vector<Token> closed; // finish_and_close

    Token run(std::unique_ptr<request::Pending> pending) {
        const Token token = pending_.emplace(std::move(pending));
        start(token);
        return token;
    }
    Token keep(std::unique_ptr<request::Pending> pending) {
        return pending_.emplace(std::move(pending));
    }
    void start(Token token) {
        (*pending_.find(token))->start(token, *this);
        settle();
    }
    [[nodiscard]] size_t pending_count() const { return pending_.size(); }

    /// Answers the oldest partition request.
    void answer_partition(Result<replica::PartitionResult> result,
                          replica::AppendRefusal refusal = {}) {
        QT_ASSERT(!submitted.empty());
        replica::PartitionRequest request = std::move(submitted.front());
        submitted.erase(submitted.begin());
        if (auto* pending = pending_.find(request.request)) {
            (*pending)->on_partition_reply(replica::PartitionReply{request.request, request.index,
                                                                   std::move(result),
                                                                   std::move(refusal)},
                                           *this);
        }
        settle();
    }
    /// Answers the oldest call to another broker; `body` without header.
    void answer_peer(Result<std::vector<std::byte>> body) {
        QT_ASSERT(!called.empty());
        const peer::Call call = std::move(called.front());
        called.erase(called.begin());
        peer::Answer answer;
        answer.from = call.to;
        answer.api_key = call.api_key;
        answer.version = call.version;
        answer.token = call.token;
        answer.index = call.index;
        if (body) {
            answer.frame.size = body->size();
            answer.frame.bytes = std::make_unique<std::byte[]>(body->size());
            std::copy(body->begin(), body->end(), answer.frame.bytes.get());
        } else {
            answer.result = std::move(body).error();
        }
        if (auto* pending = pending_.find(call.token)) {
            (*pending)->on_peer_answer(std::move(answer), *this);
        }
        settle();
    }
    /// Finishes the oldest change.
    void commit(Result<void> result = {}) {
        QT_ASSERT(!changes.empty());
        const Change change = std::move(changes.front());
        changes.erase(changes.begin());
        change.operation->finish(std::move(result));
        (*pending_.find(change.request))->on_changed(*this);
        settle();
    }

    /// Time passes to the deadline of every request that set one.
    void pass_deadlines() {
        for (const auto& entry : std::exchange(deadlines, {})) {
            if (auto* pending = pending_.find(entry.first)) {
                (*pending)->on_deadline(*this);
            }
        }
        settle();
    }

    // ---- request::Services --------------------------------------------------------------------
    [[nodiscard]] const metadata::ImageRef& image() const override { return image_; }
    [[nodiscard]] MonoTime partitions_changed_at() const override { return MonoTime{}; }
    [[nodiscard]] const config::BrokerConfig& config() const override { return config_; }
    [[nodiscard]] BrokerId broker_id() const override { return BrokerId(1); }
    [[nodiscard]] CoreId core_id() const override { return CoreId(0); }
    [[nodiscard]] MonoTime now() const override { return now_; }
    [[nodiscard]] WallTime wall_now() const override { return WallTime(1'700'000'000'000ms); }
    port::Random& random() override { return random_; }
    [[nodiscard]] WallTime started_at() const override { return WallTime(1'600'000'000'000ms); }
    [[nodiscard]] bool is_serving() const override { return serving_; }
    [[nodiscard]] std::string metrics_text(const metrics::Survey& survey) const override {
        std::string text = "qbroker_test " + std::to_string(survey.lag.size()) + " left out " +
                           std::to_string(survey.lag_left_out) + "\n";
        for (const metrics::LagRow& row : survey.lag) {
            text += row.committed.group + "/" + row.committed.topic + "-" +
                    std::to_string(row.committed.partition) + " " + std::to_string(row.records) +
                    " " + std::to_string(row.ms) + "\n";
        }
        return text;
    }
    size_t survey(Token request, uint32_t offsets_max) override {
        replica::PartitionRequest asked;
        asked.request = request;
        asked.op = replica::SurveyOp{offsets_max};
        submitted.push_back(std::move(asked));
        return 1;
    }
    [[nodiscard]] std::vector<replica::LogDirView> log_dirs() override { return log_dirs_; }
    request::ProducerIdBlock& producer_ids() override { return producer_ids_; }
    quota::Meter& quotas() override { return quotas_; }
    const std::shared_ptr<std::atomic<uint32_t>>& fetch_session_count() override {
        return fetch_sessions_;
    }
    void submit(std::vector<replica::PartitionRequest> requests) override {
        std::move(requests.begin(), requests.end(), std::back_inserter(submitted));
    }
    void cancel_watches(Token, const std::vector<PartitionKey>&) override {}
    void change(Token request, metadata::Operation& operation, MonoTime deadline) override {
        Change change{request, &operation, deadline, operation.decide(*image_, random_)};
        if (change.transaction.writes.empty()) {
            operation.finish({});
            unwritten_.push_back(request);
        } else {
            changes.push_back(std::move(change));
        }
    }
    void submit_to_leaders(std::vector<replica::PartitionRequest> requests) override {
        submit(std::move(requests)); // of this broker is every leader
    }
    void call_peer(Token request, peer::Call call) override {
        call.token = request;
        called.push_back(std::move(call));
    }
    void set_deadline(Token request, MonoTime due) override { deadlines[request] = due; }
    void finish(Token request, std::vector<port::Piece> pieces) override {
        bury(request);
        if (on_finish) {
            on_finish(request, std::move(pieces));
        }
    }
    void finish_and_close(Token request) override {
        bury(request);
        closed.push_back(request);
    }

private:
    void bury(Token request) {
        auto* pending = pending_.find(request);
        QT_ASSERT(pending != nullptr);
        graveyard_.push_back(std::move(*pending)); // it may be the caller
        pending_.erase(request);
    }
    // Changes without writes are finished, though never from within change().
    void settle() {
        while (!unwritten_.empty()) {
            const Token request = unwritten_.front();
            unwritten_.pop_front();
            if (auto* pending = pending_.find(request)) {
                (*pending)->on_changed(*this);
            }
        }
        graveyard_.clear();
    }

    CountingRandom random_;
    quota::Meter quotas_{config::BrokerConfig{}};
    std::shared_ptr<std::atomic<uint32_t>> fetch_sessions_ =
        std::make_shared<std::atomic<uint32_t>>(0);
    SlotMap<std::unique_ptr<request::Pending>> pending_;
    std::deque<Token> unwritten_;
    std::vector<std::unique_ptr<request::Pending>> graveyard_;
};

/// One connection with its door: what the peer would see is in `sent`.
class FakeHost : public request::DoorHost {
public:
    FakeHost(FakeServices& services, request::Door& door) : services_(services), door_(door) {
        services.on_finish = [this](Token request, std::vector<port::Piece> pieces) {
            door_.on_answer(slots_.at(request), std::move(pieces), *this);
        };
    }

    metrics::CoreCounters counters_;
    bool output_full = false;
    std::vector<std::byte> sent;
    std::vector<std::string> closes; // reasons
    std::vector<MonoTime> wakes;

    /// Hands bytes to the door as one read would.
    void feed(ByteView bytes) {
        while (!bytes.empty()) {
            const ByteSpan space = in_.space(scratch_);
            const size_t size = std::min(space.size(), bytes.size());
            std::copy_n(bytes.begin(), size, space.begin());
            in_.commit(size);
            bytes = bytes.subspan(size);
            door_.on_bytes(in_, *this);
        }
    }
    /// Bytes that were left because the door wanted none.
    void feed_again() { door_.on_bytes(in_, *this); }
    [[nodiscard]] size_t left() const { return in_.unread().size(); }

    request::Services& services() override { return services_; }
    metrics::CoreCounters& counters() override { return counters_; }
    [[nodiscard]] const port::SocketAddress& peer() const override { return peer_; }
    void add_pending(std::unique_ptr<request::Pending> pending, uint64_t slot) override {
        const Token token = services_.keep(std::move(pending));
        slots_[token] = slot;
        services_.start(token);
    }
    [[nodiscard]] bool wants_requests() const override { return !output_full; }
    void wake_at(MonoTime at) override { wakes.push_back(at); }
    void send(std::vector<port::Piece> pieces) override {
        for (const port::Piece& piece : pieces) {
            if (const auto* own = std::get_if<std::vector<std::byte>>(&piece)) {
                sent.insert(sent.end(), own->begin(), own->end());
            } else if (const auto* chunk = std::get_if<port::ChunkPiece>(&piece)) {
                sent.insert(sent.end(), chunk->bytes.begin(), chunk->bytes.end());
            }
        }
    }
    void close(std::string_view reason) override { closes.emplace_back(reason); }

private:
    FakeServices& services_;
    request::Door& door_;
    request::Scratch scratch_;
    request::ReceiveBuffer in_;
    port::SocketAddress peer_{"127.0.0.1", 40000};
    std::map<Token, uint64_t> slots_;
};

} // namespace qtool::test
