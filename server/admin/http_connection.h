// HttpConnection: the HTTP door of one connection: parses requests, routes them, keeps one in work
// at a time, so that answers are in order. Sans-IO; lives on the core of its connection.
#pragma once

#include "lib/stream/http1.h"
#include "server/request/door.h"

namespace qtool::admin {

class HttpConnection : public request::Door {
public:
    void on_bytes(request::ReceiveBuffer& in, request::DoorHost& host) override;
    void on_answer(uint64_t slot, std::vector<port::Piece> pieces,
                   request::DoorHost& host) override;
    void on_tick(MonoTime now, request::DoorHost& host) override;
    [[nodiscard]] bool wants_bytes() const override { return !busy_ && !closing_; }
    [[nodiscard]] bool is_idle() const override { return !busy_; }

private:
    void handle(stream::HttpRequest request, request::DoorHost& host);
    void refuse(int status, const Error& error, request::DoorHost& host);
    void answer(const stream::HttpReply& reply, request::DoorHost& host);

    stream::HttpRequestParser parser_;
    stream::HttpRequestParser::State phase_ = stream::HttpRequestParser::State::idle;
    MonoTime phase_began_{};
    bool keep_alive_ = true; // of the request in work
    bool busy_ = false;      // a request is being worked on
    bool closing_ = false;
};

} // namespace qtool::admin
