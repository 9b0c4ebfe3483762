// HTTP requests of one owner to servers outside (etcd), and an alarm for whoever waits for them.
// Lives on one core; implementation: server/uv/uv_http.
#pragma once

#include "lib/base/result.h"
#include "lib/base/slot_map.h"
#include "lib/base/time.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::port {

struct HttpRequest {
    std::string url;
    std::vector<std::string> headers; // "Name: value"
    std::string body;                 // empty: GET, else POST
    Duration timeout{};               // of the whole; zero: none, for a stream
    bool is_stream = false;           // the answer is told in parts as they come, without an end
    size_t answer_bytes_max = 0;      // of an answer that is no stream
};

struct HttpAnswer {
    int status = 0;
    std::string body; // of a stream that was told in parts: empty
};

struct HttpFailure {
    Error error;           // connection_failed, timed_out, too_large
    bool was_sent = false; // a byte of the request may have reached the server
};

class HttpEvents {
public:
    virtual ~HttpEvents() = default;
    virtual void on_http_part(Token token, std::string_view bytes) = 0;
    /// Ends the request; so does on_http_failed.
    virtual void on_http_answer(Token token, HttpAnswer answer) = 0;
    virtual void on_http_failed(Token token, HttpFailure failure) = 0;
    virtual void on_http_alarm() = 0;
};

/// Events come from the loop, never from within a call.
class Http {
public:
    virtual ~Http() = default;
    virtual void set_events(HttpEvents* events) = 0;
    virtual Token start(HttpRequest request) = 0;
    /// No event follows. A token that has ended does nothing.
    virtual void cancel(Token token) = 0;
    /// on_http_alarm at `due` or later (kMonoNever: never). Replaces the earlier alarm.
    virtual void set_alarm(MonoTime due) = 0;
};

} // namespace qtool::port
