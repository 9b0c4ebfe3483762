// One shard of groups with a log in memory: requests go in as structs, answers come back as
// structs, time is turned by hand. Appends are replayed at once, as the runtime does.
#pragma once

#include "lib/base/prng.h"
#include "server/group/classic_group.h"
#include "server/group/shard.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace qtool::test {

/// A record as the log keeps it.
struct LoggedRecord {
    std::vector<std::byte> key;
    std::optional<std::vector<std::byte>> value;
    ProducerId producer_id = kNoProducerId;
    ProducerEpoch producer_epoch = kNoProducerEpoch;
    std::optional<protocol::TransactionMarker> marker; // instead of a record
};

class GroupHost final : public coordinator::Host {
public:
    Result<void> append(const coordinator::NewBatch& batch) override {
        CHECK_FALSE(batch.records.empty());
        if (append_fails) {
            return Error(*append_fails);
        }
        for (const coordinator::NewRecord& record : batch.records) {
            log.push_back({record.key, record.value, batch.producer_id, batch.producer_epoch, {}});
            replay_into(*shard, log.size() - 1);
        }
        return {};
    }
    void answer(Token request, std::vector<std::byte> body) override {
        CHECK(answers.emplace(request, std::move(body)).second);
    }
    void write_marker(const coordinator::MarkerRequest&) override { FAIL("groups write none"); }
    std::optional<ProducerId> take_producer_id() override { return std::nullopt; }
    [[nodiscard]] const metadata::Image& image() const override { return image_now; }
    [[nodiscard]] const config::BrokerConfig& config() const override { return config_now; }
    [[nodiscard]] MonoTime now() const override { return MonoTime(time); }
    [[nodiscard]] WallTime wall_now() const override {
        return WallTime(1'700'000'000'000ms + duration_cast<std::chrono::milliseconds>(time));
    }
    port::Random& random() override { return random_bits; }
    [[nodiscard]] LeaderEpoch leader_epoch() const override { return LeaderEpoch(0); }

    void replay_into(group::GroupShard& target, size_t index) const {
        const LoggedRecord& logged = log[index];
        if (logged.marker) {
            target.replay_marker(*logged.marker);
            return;
        }
        coordinator::Record record;
        record.key = logged.key;
        if (logged.value) {
            record.value = *logged.value;
        }
        record.offset = Offset(static_cast<int64_t>(index));
        record.producer_id = logged.producer_id;
        record.producer_epoch = logged.producer_epoch;
        REQUIRE(target.replay(record).has_value());
    }

    class Bits final : public port::Random {
    public:
        uint64_t next() override { return prng_.next(); }

    private:
        Prng prng_{7};
    };

    group::GroupShard* shard = nullptr;
    config::BrokerConfig config_now;
    metadata::Image image_now;
    Duration time = 1h;
    Bits random_bits;
    std::vector<LoggedRecord> log;
    std::optional<Code> append_fails;
    std::map<Token, std::vector<std::byte>> answers;
};

class GroupWorld {
public:
    GroupWorld() {
        host.shard = shard.get();
        shard->on_loaded(host);
    }

    /// Sends a request; its answer is taken with take().
    template <class Request>
    Token send(const Request& request, int16_t version, std::string_view client_id = "client") {
        ByteWriter writer;
        request.encode(writer, version);
        coordinator::Request from;
        from.id = Token{next_token++, 1};
        from.api_key = Request::kApiKey;
        from.api_version = version;
        from.client_id = client_id;
        from.client_host = "/127.0.0.1";
        from.body = writer.view();
        shard->on_request(from, host);
        return from.id;
    }
    [[nodiscard]] bool is_answered(Token token) const { return host.answers.contains(token); }
    /// The answer's bytes are kept, so views in it stay valid.
    template <class Response>
    Response take(Token token, int16_t version) {
        const auto found = host.answers.find(token);
        REQUIRE(found != host.answers.end());
        bodies.push_back(std::make_unique<std::vector<std::byte>>(std::move(found->second)));
        host.answers.erase(found);
        auto response = Response::decode(*bodies.back(), version);
        REQUIRE(response.has_value());
        return std::move(*response);
    }
    template <class Response, class Request>
    Response call(const Request& request, int16_t version) {
        return take<Response>(send(request, version), version);
    }
    /// Time passes, timers fire when they are due.
    void wait(Duration duration) {
        const Duration end = host.time + duration;
        while (shard->next_due() <= MonoTime(end)) {
            host.time = std::max(host.time, shard->next_due().time_since_epoch());
            shard->on_time(host);
        }
        host.time = end;
    }
    /// A new machine reads the log from its start, as after a crash.
    void restart() {
        shard = std::make_unique<group::GroupShard>();
        host.shard = shard.get();
        for (size_t i = 0; i < host.log.size(); i++) {
            host.replay_into(*shard, i);
        }
        shard->on_loaded(host);
    }
    void end_transaction(int64_t producer_id, bool is_commit) {
        protocol::TransactionMarker marker;
        marker.type = is_commit ? protocol::ControlType::commit : protocol::ControlType::abort;
        marker.producer_id = ProducerId(producer_id);
        LoggedRecord logged;
        logged.marker = marker;
        host.log.push_back(logged);
        shard->replay_marker(marker);
    }
    TopicId add_topic(const std::string& name, size_t partition_count, uint64_t id = 1) {
        auto topic = std::make_shared<metadata::TopicImage>();
        topic->id = make_uuid(id, std::hash<std::string>()(name));
        topic->name = name;
        topic->partitions.resize(partition_count);
        host.image_now.topics_by_name[name] = topic;
        host.image_now.topics_by_id[topic->id] = topic;
        return topic->id;
    }
    void delete_topic(const std::string& name) {
        const TopicId id = host.image_now.topic(name)->id;
        host.image_now.topics_by_name.erase(name);
        host.image_now.topics_by_id.erase(id);
        metadata::Delta delta;
        delta.topics_deleted.push_back(id);
        shard->on_image(delta, host);
    }
    [[nodiscard]] const group::Group* find(const std::string& id) const {
        const auto it = shard->state().groups.find(id);
        return it == shard->state().groups.end() ? nullptr : it->second.get();
    }
    [[nodiscard]] std::string state_of(const std::string& id) const {
        const group::Group* found = find(id);
        return found == nullptr ? "none" : std::string(found->state_name());
    }

    GroupHost host;
    std::unique_ptr<group::GroupShard> shard = std::make_unique<group::GroupShard>();
    uint32_t next_token = 1;
    std::vector<std::unique_ptr<std::vector<std::byte>>> bodies;
};

} // namespace qtool::test
