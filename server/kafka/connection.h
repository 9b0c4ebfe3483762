// Connection: the Kafka door of one connection. Cuts frames, reads request headers, calls the
// handler, keeps answers in request order. Requests are pipelined: the next one is handled while
// earlier ones wait, up to connection.inflight.requests.max; then the socket is not read.
// Sans-IO; lives on the core of its connection, owned by it.
#pragma once

#include "server/kafka/context.h"
#include "server/kafka/throttle.h"
#include "server/request/door.h"

#include <vector>

namespace qtool::kafka {

class Connection : public request::Door {
public:
    Connection(uint32_t frame_bytes_max, uint32_t inflight_requests_max)
        : frame_bytes_max_(frame_bytes_max),
          inflight_requests_max_(inflight_requests_max) {}

    void on_bytes(request::ReceiveBuffer& in, request::DoorHost& host) override;
    void on_answer(uint64_t slot, std::vector<port::Piece> pieces,
                   request::DoorHost& host) override;
    void on_tick(MonoTime now, request::DoorHost& host) override;
    [[nodiscard]] bool wants_bytes() const override {
        return !closing_ && !muted_ && replies_.unanswered() < inflight_requests_max_;
    }
    [[nodiscard]] bool is_idle() const override { return replies_.unanswered() == 0; }

private:
    /// False when the connection must close.
    bool handle_frame(request::ReceiveBuffer::Taken frame, request::DoorHost& host);
    void close(request::DoorHost& host, std::string_view reason);
    void mute(request::DoorHost& host);

    /// A request without an answer yet.
    struct Asked {
        uint64_t slot;
        int16_t api_key;
        int16_t api_version;
        MonoTime received_at;
    };

    uint32_t frame_bytes_max_;
    uint32_t inflight_requests_max_;
    request::ReplyQueue replies_;
    std::vector<Asked> asked_; // at most inflight_requests_max_
    FetchSessions sessions_;
    Throttle throttle_;
    bool muted_ = false; // until throttle_.until(): no byte is wanted
    MonoTime wake_at_{}; // asked of the host
    bool closing_ = false;
};

} // namespace qtool::kafka
