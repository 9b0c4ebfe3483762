// KafkaStream: a client's connection to the broker: frames, correlation ids, a deadline for each
// request. What is asked and what the answers mean is up to the machine that owns it.
#pragma once

#include "lib/protocol/header.h"
#include "tests/sim/sim_net.h"

#include <deque>
#include <functional>

namespace qtool::sim {

class KafkaStream final : public StreamEvents {
public:
    /// The body of an answer; valid during the call.
    using OnAnswer = std::function<void(ByteView body)>;
    /// `on_end`: the stream is gone and with it every answer that is still due.
    KafkaStream(World& world, Network& network, std::function<void()> on_end)
        : world_(world),
          network_(network),
          on_end_(std::move(on_end)) {}

    [[nodiscard]] bool is_open() const { return stream_ != 0; }
    [[nodiscard]] size_t asked() const { return asked_.size(); }
    void open(const std::string& address, uint16_t port);
    /// How long an answer may take before the client gives the connection up.
    void set_answer_max(Duration duration) { answer_max_ = duration; }
    void set_client_id(std::string id) { client_id_ = std::move(id); }
    /// on_end does not follow.
    void close();

    template <class Request>
    void ask(const Request& request, int16_t version, OnAnswer on_answer) {
        ByteWriter out(256);
        out.be<int32_t>(0);
        protocol::encode_request_header(
            out, {Request::kApiKey, version, next_correlation_, std::string_view(client_id_)});
        request.encode(out, version);
        send(out, Request::kApiKey, version, std::move(on_answer));
    }

    // StreamEvents
    void on_bytes(StreamId stream, ByteView bytes) override;
    void on_end(StreamId stream) override;

private:
    struct Asked {
        int16_t api_key = 0;
        int16_t version = 0;
        int32_t correlation = 0;
        OnAnswer on_answer;
    };
    void send(ByteWriter& out, int16_t api_key, int16_t version, OnAnswer on_answer);
    bool take_frame();

    World& world_;
    Network& network_;
    std::function<void()> on_end_;
    StreamId stream_ = 0; // 0: closed
    std::string client_id_ = "sim";
    Duration answer_max_ = 8s;
    int32_t next_correlation_ = 1;
    std::deque<Asked> asked_; // answers come in this order
    std::vector<std::byte> in_;
};

} // namespace qtool::sim
