#include "server/admin/http_connection.h"

#include "lib/admin/codec.h"
#include "lib/base/bytes.h"
#include "server/admin/routes.h"

namespace qtool::admin {

namespace {

std::vector<port::Piece> as_pieces(std::string_view text) {
    const ByteView bytes = as_bytes(text);
    std::vector<port::Piece> pieces;
    pieces.emplace_back(std::vector<std::byte>(bytes.begin(), bytes.end()));
    return pieces;
}

} // namespace

void HttpConnection::on_bytes(request::ReceiveBuffer& in, request::DoorHost& host) {
    while (wants_bytes() && host.wants_requests() && !in.unread().empty()) {
        in.consume(parser_.feed(in.unread()));
        if (parser_.state() != phase_) {
            phase_ = parser_.state();
            phase_began_ = host.services().now();
        }
        if (parser_.wants_continue()) {
            host.send(as_pieces(stream::kHttpContinue));
        }
        if (parser_.state() == stream::HttpRequestParser::State::failed) {
            refuse(parser_.status(), parser_.error(), host);
        } else if (parser_.state() == stream::HttpRequestParser::State::ready) {
            handle(parser_.take(), host);
            phase_ = parser_.state();
        }
    }
    if (closing_) {
        in.consume(in.unread().size());
    }
    in.settle(0);
}

void HttpConnection::handle(stream::HttpRequest request, request::DoorHost& host) {
    host.counters().http_requests.add();
    keep_alive_ = request.keep_alive;
    busy_ = true;
    RouteOutcome outcome = route(std::move(request), host.services(), host.counters());
    if (auto* reply = std::get_if<stream::HttpReply>(&outcome)) {
        answer(*reply, host);
    } else {
        host.add_pending(std::move(std::get<std::unique_ptr<request::Pending>>(outcome)), 0);
    }
}

void HttpConnection::answer(const stream::HttpReply& reply, request::DoorHost& host) {
    if (reply.status >= 400) {
        host.counters().http_errors.add();
    }
    on_answer(0, as_pieces(stream::encode_response(reply)), host);
}

void HttpConnection::on_answer(uint64_t, std::vector<port::Piece> pieces, request::DoorHost& host) {
    busy_ = false;
    phase_began_ = host.services().now();
    host.send(std::move(pieces));
    if (!keep_alive_ && !closing_) {
        closing_ = true;
        host.close("HTTP without keep-alive");
    }
}

void HttpConnection::refuse(int status, const Error& error, request::DoorHost& host) {
    keep_alive_ = false;
    stream::HttpReply reply;
    reply.status = status;
    reply.body = encode_error(error);
    reply.keep_alive = false;
    answer(reply, host);
}

void HttpConnection::on_tick(MonoTime now, request::DoorHost& host) {
    if (busy_ || closing_ || now - phase_began_ <= parser_.time_max()) {
        return;
    }
    if (phase_ == stream::HttpRequestParser::State::idle) {
        closing_ = true;
        host.close("HTTP connection idle");
        return;
    }
    refuse(408, Error(Code::timed_out, "the request did not arrive whole in time"), host);
}

} // namespace qtool::admin
