// HTTP/1.1 (RFC 9110, RFC 9112) without I/O: the server's request parser and reply encoder, the
// client's request encoder and response parser. An object lives wherever its connection lives.
// The grammar is Boost.Beast's, used in http1.cc alone; what Beast leaves to its caller is refused
// there: see lib/stream/README.md for the list.
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/base/time.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qtool::stream {

inline constexpr size_t kHttpHeadBytesMax = 16 * 1024;      // request line and headers: 431
inline constexpr size_t kHttpBodyBytesMax = 1024 * 1024;    // request body: 413
inline constexpr size_t kHttpQueryParametersMax = 64;       // ours; above: 400
inline constexpr size_t kHttpReplyHeadBytesMax = 64 * 1024; // what the client accepts
inline constexpr size_t kHttpReplyBodyBytesMax = 256 * 1024 * 1024;

// How long the caller waits, from the start of the phase: total times, so that a peer who sends a
// byte now and then does not hold a connection.
inline constexpr Duration kHttpIdleTimeMax = 60s;   // between requests; then close silently
inline constexpr Duration kHttpHeaderTimeMax = 10s; // first byte to the end of headers: 408
inline constexpr Duration kHttpBodyTimeMax = 30s;   // end of headers to the end of the body: 408

/// To send at once when HttpRequestParser::wants_continue() says so.
inline constexpr std::string_view kHttpContinue = "HTTP/1.1 100 Continue\r\n\r\n";

/// Names in lower case. Equal names are joined by ", " as RFC 9110 section 5.2 allows.
using HttpHeaders = std::map<std::string, std::string, std::less<>>;

struct HttpRequest {
    std::string method; // as sent: "GET"
    std::string path;   // decoded; starts with '/'; valid UTF-8
    /// What stands between the slashes of the path, decoded one by one: an escaped slash is part of
    /// a name and separates nothing. "/v1/groups/a%2Fb": v1, groups, a/b. At least one.
    std::vector<std::string> segments;
    std::map<std::string, std::string, std::less<>> query; // decoded; no name twice
    HttpHeaders headers;                                   // of the head; trailers are dropped
    std::string body;
    bool keep_alive = false;

    [[nodiscard]] bool is_head() const { return method == "HEAD"; }
    /// Empty when absent.
    [[nodiscard]] std::string_view header(std::string_view lower_case_name) const;
};

/// One connection's requests, one after the other:
///
///   idle -> head -> body -> ready -> (take) idle      any state but ready -> failed, for good
class HttpRequestParser {
public:
    enum class State : uint8_t {
        idle,   // nothing of the next request has arrived
        head,   // inside request line or headers
        body,   // headers are complete
        ready,  // take() the request before feeding again
        failed, // status() and error() say why: answer, then close
    };

    HttpRequestParser();
    ~HttpRequestParser();
    HttpRequestParser(HttpRequestParser&&) noexcept;
    HttpRequestParser& operator=(HttpRequestParser&&) noexcept;

    /// Takes bytes until the request is ready or refused; returns how many were taken. The rest is
    /// the next (pipelined) request: feed it after take(). Takes nothing when ready or failed.
    size_t feed(ByteView bytes);

    [[nodiscard]] State state() const { return state_; }
    /// How long the present phase may last in all; the caller keeps the clock and answers 408.
    [[nodiscard]] Duration time_max() const;
    /// True once per request whose client waits for "100 Continue" before it sends the body.
    [[nodiscard]] bool wants_continue();
    /// The request; the state is idle afterwards. Only when ready.
    HttpRequest take();
    /// HTTP status of the refusal: 400, 413, 417, 431, 501, 505. Only when failed.
    [[nodiscard]] int status() const { return status_; }
    [[nodiscard]] const Error& error() const { return error_; }

private:
    struct Impl; // the Beast parser of the request under way

    size_t feed_head(ByteView bytes);
    size_t feed_body(ByteView bytes);
    void finish_head();
    void fail(int status, Code code, std::string detail);

    State state_ = State::idle;
    bool wants_continue_ = false;
    int status_ = 0;
    size_t line_size_ = 0; // bytes of the header line under way
    Error error_;
    HttpRequest request_;
    std::string
        buffer_; // the head, later a chunk header cut by the end of input; bounded by limits
    std::unique_ptr<Impl> impl_;
};

struct HttpReply {
    int status = 200;
    std::string content_type = "application/json"; // empty: no such header
    std::string body = {};
    bool keep_alive = true;
    bool head_only = false; // answer to HEAD: Content-Length of the body, without the body
    std::vector<std::pair<std::string, std::string>> headers = {}; // extra ones
};

/// Control bytes in header values become '?', so that no value can add a header or a body.
/// Header names are ours and must be tokens (asserted).
std::string encode_response(const HttpReply& reply);

/// "Not Found"; "Unknown" for a status we never send.
std::string_view http_reason(int status) noexcept;

/// `target` is encoded already (see encode_path_segment in percent.h) and starts with '/'. Same
/// rule on values.
std::string encode_request(std::string_view method, std::string_view target, std::string_view host,
                           std::string_view body,
                           const std::vector<std::pair<std::string, std::string>>& headers);

struct HttpResponse {
    int status = 0;
    HttpHeaders headers;
    std::string body;
    bool keep_alive = false;
};

/// The answer to one request that was not HEAD. Interim (1xx) answers are skipped.
class HttpResponseParser {
public:
    HttpResponseParser();
    ~HttpResponseParser();
    HttpResponseParser(HttpResponseParser&&) noexcept;
    HttpResponseParser& operator=(HttpResponseParser&&) noexcept;

    /// Takes all bytes up to the end of the response. Errors: malformed, too_large.
    Result<void> feed(ByteView bytes);
    /// The peer closed. Ends a body without length; else: truncated.
    Result<void> end_of_stream();
    [[nodiscard]] bool is_done() const { return done_; }
    /// Only when done; ready for the next response afterwards.
    HttpResponse take();

private:
    struct Impl;

    Result<void> put(ByteView& bytes);
    Result<void> complete();

    bool done_ = false;
    std::string buffer_; // bytes Beast wants to see again, together with what follows
    HttpResponse response_;
    std::unique_ptr<Impl> impl_;
};

} // namespace qtool::stream
