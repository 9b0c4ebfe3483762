#include "lib/stream/http1.h"

#include "lib/base/assert.h"
#include "lib/stream/percent.h"

// Beast 1.74 asserts "n >= 5" on a last chunk that is cut after "0\r\n\r" when no data came before
// it: bytes from outside must not abort us, and what follows the assertion is right without it
// (found and covered by tests/fuzz/http_fuzz.cc). This is the only file with Boost, so nothing else
// is affected.
#define BOOST_DISABLE_ASSERTS
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <algorithm>
#include <cstring>
#include <optional>

namespace qtool::stream {

namespace beast_http = boost::beast::http;
using BeastError = boost::beast::error_code;

namespace {

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string lower_copy(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), lower);
    return out;
}

std::string_view view(boost::beast::string_view text) {
    return {text.data(), text.size()};
}

bool is_token(std::string_view text) {
    static constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               kMarks.find(c) != std::string_view::npos;
    });
}

/// RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF.
bool is_utf8(std::string_view text) {
    for (size_t i = 0; i < text.size();) {
        const auto first = static_cast<uint8_t>(text[i]);
        if (first < 0x80) {
            i++;
            continue;
        }
        const size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
        if (first < 0xc2 || first > 0xf4 || text.size() - i < size) {
            return false;
        }
        const auto second = static_cast<uint8_t>(text[i + 1]);
        const uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
        const uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
        if (second < low || second > high) {
            return false;
        }
        for (size_t k = 2; k < size; k++) {
            if ((static_cast<uint8_t>(text[i + k]) & 0xc0) != 0x80) {
                return false;
            }
        }
        i += size;
    }
    return true;
}

/// Appends "name: value\r\n".
void add_header(std::string& out, std::string_view name, std::string_view value) {
    QT_ASSERT(is_token(name));
    out.append(name).append(": ");
    for (const char c : value) {
        const auto byte = static_cast<uint8_t>(c);
        out.push_back((byte < 0x20 && c != '\t') || byte == 0x7f ? '?' : c);
    }
    out.append("\r\n");
}

template <class Fields>
HttpHeaders copy_headers(const Fields& fields) {
    HttpHeaders headers;
    for (const auto& field : fields) {
        std::string& value = headers[lower_copy(view(field.name_string()))];
        if (!value.empty()) {
            value.append(", ");
        }
        value.append(view(field.value()));
    }
    return headers;
}

std::string describe(const BeastError& error) {
    return "HTTP: " + error.message();
}

/// Splits an origin-form target. Returns what is wrong with it, empty when nothing is.
std::string split_target(std::string_view target, HttpRequest& request) {
    // Absolute form (RFC 9112 section 3.2.2): the authority says no more than Host does.
    if (lower_copy(target.substr(0, 7)) == "http://") {
        const size_t slash = target.find('/', 7);
        target = slash == std::string_view::npos ? std::string_view("/") : target.substr(slash);
    }
    if (target.empty() || target.front() != '/') {
        return "the request target must start with '/'";
    }
    const size_t mark = target.find('?');
    const std::string_view path = target.substr(0, mark);
    auto decoded = decode_percent(path, false);
    if (!decoded || !is_utf8(*decoded) || decoded->find('\0') != std::string::npos) {
        return "the path has an escape that is not two hex digits, or is not UTF-8";
    }
    request.path = *std::move(decoded);
    for (size_t slash = 0; slash != std::string_view::npos;) {
        const size_t next = path.find('/', slash + 1);
        auto segment = decode_percent(path.substr(slash + 1, next - slash - 1), false);
        QT_ASSERT(segment); // the whole path is good, and an escape has no slash in it
        request.segments.push_back(*std::move(segment));
        slash = next;
    }
    if (mark == std::string_view::npos) {
        return {};
    }
    std::string_view query = target.substr(mark + 1);
    while (!query.empty()) {
        const std::string_view pair = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(query.size(), pair.size() + 1));
        if (pair.empty()) {
            continue;
        }
        const size_t equals = pair.find('=');
        auto name = decode_percent(pair.substr(0, equals), true);
        auto value = decode_percent(
            equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1), true);
        if (!name || !value || !is_utf8(*name) || !is_utf8(*value)) {
            return "the query has an escape that is not two hex digits, or is not UTF-8";
        }
        if (request.query.size() >= kHttpQueryParametersMax) {
            return "the query has more than " + std::to_string(kHttpQueryParametersMax) +
                   " parameters";
        }
        if (!request.query.emplace(*name, *value).second) {
            return "the query names '" + *name + "' twice";
        }
    }
    return {};
}

} // namespace

// ---- requests -----------------------------------------------------------------------------------

std::string_view HttpRequest::header(std::string_view lower_case_name) const {
    const auto it = headers.find(lower_case_name);
    return it == headers.end() ? std::string_view() : std::string_view(it->second);
}

struct HttpRequestParser::Impl {
    beast_http::request_parser<beast_http::string_body> parser;
};

HttpRequestParser::HttpRequestParser() = default;
HttpRequestParser::~HttpRequestParser() = default;
HttpRequestParser::HttpRequestParser(HttpRequestParser&&) noexcept = default;
HttpRequestParser& HttpRequestParser::operator=(HttpRequestParser&&) noexcept = default;

void HttpRequestParser::fail(int status, Code code, std::string detail) {
    state_ = State::failed;
    status_ = status;
    error_ = Error(code, std::move(detail));
    impl_.reset();
    buffer_ = {};
}

Duration HttpRequestParser::time_max() const {
    switch (state_) {
    case State::head:
        return kHttpHeaderTimeMax;
    case State::body:
        return kHttpBodyTimeMax;
    case State::idle:
    case State::ready:
    case State::failed:
        return kHttpIdleTimeMax;
    }
    QT_UNREACHABLE();
}

bool HttpRequestParser::wants_continue() {
    return std::exchange(wants_continue_, false);
}

HttpRequest HttpRequestParser::take() {
    QT_ASSERT(state_ == State::ready);
    state_ = State::idle;
    wants_continue_ = false;
    return std::exchange(request_, {});
}

size_t HttpRequestParser::feed(ByteView bytes) {
    size_t taken = 0;
    if (state_ == State::idle || state_ == State::head) {
        taken = feed_head(bytes);
    }
    if (state_ == State::body) {
        taken += feed_body(bytes.subspan(taken));
    }
    return taken;
}

// Collects the head here instead of feeding Beast as bytes come: the limit covers all of it, every
// line is scanned once, and a bare LF or a folded line (both ways to smuggle) never reaches Beast.
size_t HttpRequestParser::feed_head(ByteView bytes) {
    const std::string_view text = as_text(bytes);
    size_t taken = 0;
    // RFC 9112 section 2.2: an empty line before the request line is to be ignored.
    while (state_ == State::idle && taken < text.size() &&
           (text[taken] == '\r' || text[taken] == '\n')) {
        taken++;
    }
    while (taken < text.size()) {
        state_ = State::head;
        const size_t newline = text.find('\n', taken);
        const bool whole_line = newline != std::string_view::npos;
        const size_t size = (whole_line ? newline + 1 : text.size()) - taken;
        if (buffer_.size() + size > kHttpHeadBytesMax) {
            fail(431, Code::too_large,
                 "request line and headers exceed " + std::to_string(kHttpHeadBytesMax) + " bytes");
            return taken;
        }
        buffer_.append(text.substr(taken, size));
        taken += size;
        line_size_ += size;
        if (!whole_line) {
            break;
        }
        const std::string_view line(buffer_.data() + buffer_.size() - line_size_, line_size_);
        line_size_ = 0;
        if (line.size() < 2 || line[line.size() - 2] != '\r') {
            fail(400, Code::malformed, "a header line does not end in CR LF");
            return taken;
        }
        if (line.front() == ' ' || line.front() == '\t') {
            fail(400, Code::malformed, "a header is folded over two lines");
            return taken;
        }
        if (line.size() == 2) {
            finish_head();
            return taken;
        }
    }
    return taken;
}

void HttpRequestParser::finish_head() {
    impl_ = std::make_unique<Impl>();
    auto& parser = impl_->parser;
    parser.eager(false);
    parser.header_limit(static_cast<uint32_t>(kHttpHeadBytesMax + 1));
    parser.body_limit(kHttpBodyBytesMax);
    BeastError beast_error;
    const size_t used = parser.put(boost::asio::buffer(buffer_), beast_error);
    if (beast_error == beast_http::error::body_limit) {
        return fail(413, Code::too_large,
                    "the body exceeds " + std::to_string(kHttpBodyBytesMax) + " bytes");
    }
    if (beast_error == beast_http::error::bad_version) {
        return fail(505, Code::unsupported_version, "only HTTP/1.0 and HTTP/1.1 are served");
    }
    if (beast_error || !parser.is_header_done() || used != buffer_.size()) {
        return fail(400, Code::malformed,
                    beast_error ? describe(beast_error) : std::string("HTTP: the head is cut"));
    }
    buffer_.clear();

    const auto& message = parser.get();
    const bool is_http_11 = message.version() == 11;
    const auto count = [&](beast_http::field field) {
        const auto range = message.equal_range(field);
        return std::distance(range.first, range.second);
    };
    const auto host_count = count(beast_http::field::host);
    if (host_count > 1 || (is_http_11 && host_count == 0)) {
        return fail(400, Code::malformed, "HTTP/1.1 asks for exactly one Host header");
    }
    const auto length = view(message[beast_http::field::content_length]);
    if (count(beast_http::field::content_length) > 1 ||
        length.find_first_not_of("0123456789") != std::string_view::npos) {
        // Beast takes "1, 1"; another parser on the way may take the first or the last of a list.
        return fail(400, Code::malformed, "Content-Length must be one plain number, once");
    }
    if (const auto encodings = count(beast_http::field::transfer_encoding); encodings > 0) {
        if (!is_http_11) {
            return fail(400, Code::malformed, "HTTP/1.0 has no Transfer-Encoding");
        }
        if (count(beast_http::field::content_length) > 0) {
            return fail(400, Code::malformed, "both Content-Length and Transfer-Encoding");
        }
        const std::string encoding =
            lower_copy(view(message[beast_http::field::transfer_encoding]));
        if (encodings > 1 || !parser.chunked()) {
            return fail(400, Code::malformed, "the Transfer-Encoding must end in 'chunked', once");
        }
        if (encoding != "chunked") {
            return fail(501, Code::malformed, "the only Transfer-Encoding served is 'chunked'");
        }
    }

    request_ = {};
    request_.method = view(message.method_string());
    request_.keep_alive = parser.keep_alive();
    request_.headers = copy_headers(message);
    if (std::string wrong = split_target(view(message.target()), request_); !wrong.empty()) {
        return fail(400, Code::malformed, std::move(wrong));
    }
    if (const std::string_view expect = request_.header("expect"); !expect.empty() && is_http_11) {
        if (lower_copy(expect) != "100-continue") {
            return fail(417, Code::malformed, "the only Expect served is '100-continue'");
        }
        wants_continue_ = !parser.is_done();
    }
    if (parser.is_done()) {
        impl_.reset();
        state_ = State::ready;
        return;
    }
    parser.eager(true);
    state_ = State::body;
}

size_t HttpRequestParser::feed_body(ByteView bytes) {
    // Beast wants a cut chunk header again, whole: it waits in buffer_.
    const size_t kept = buffer_.size();
    std::string_view input = as_text(bytes);
    if (kept > 0) {
        buffer_.append(input);
        input = buffer_;
    }
    auto& parser = impl_->parser;
    size_t used = 0;
    BeastError beast_error;
    while (used < input.size() && !parser.is_done()) {
        const size_t n =
            parser.put(boost::asio::buffer(input.data() + used, input.size() - used), beast_error);
        used += n;
        if (beast_error || n == 0) {
            break;
        }
    }
    if (beast_error && beast_error != beast_http::error::need_more) {
        if (beast_error == beast_http::error::body_limit) {
            fail(413, Code::too_large,
                 "the body exceeds " + std::to_string(kHttpBodyBytesMax) + " bytes");
        } else {
            fail(400, Code::malformed, describe(beast_error));
        }
        return bytes.size();
    }
    if (parser.is_done()) {
        request_.body = std::move(parser.get().body());
        impl_.reset();
        buffer_.clear();
        state_ = State::ready;
        wants_continue_ = false;
        // What was kept from earlier input belongs to this request, so used > kept.
        return used > kept ? used - kept : 0;
    }
    if (input.size() - used > kHttpHeadBytesMax) {
        fail(431, Code::too_large,
             "a chunk header or trailer exceeds " + std::to_string(kHttpHeadBytesMax) + " bytes");
        return bytes.size();
    }
    buffer_ = std::string(input.substr(used));
    return bytes.size();
}

// ---- replies and what goes out ------------------------------------------------------------------

std::string_view http_reason(int status) noexcept {
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 304:
        return "Not Modified";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 406:
        return "Not Acceptable";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 413:
        return "Content Too Large";
    case 415:
        return "Unsupported Media Type";
    case 417:
        return "Expectation Failed";
    case 422:
        return "Unprocessable Content";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    case 507:
        return "Insufficient Storage";
    default:
        return "Unknown";
    }
}

std::string encode_response(const HttpReply& reply) {
    const bool has_body = reply.status != 204 && reply.status != 304 && reply.status >= 200;
    std::string out;
    out.reserve(256 + (reply.head_only ? 0 : reply.body.size()));
    out.append("HTTP/1.1 ").append(std::to_string(reply.status)).append(" ");
    out.append(http_reason(reply.status)).append("\r\n");
    if (has_body) {
        if (!reply.content_type.empty()) {
            add_header(out, "Content-Type", reply.content_type);
        }
        add_header(out, "Content-Length", std::to_string(reply.body.size()));
    }
    // Answers hold names others chose; a browser must not guess that they are HTML.
    add_header(out, "X-Content-Type-Options", "nosniff");
    add_header(out, "Cache-Control", "no-store");
    add_header(out, "Connection", reply.keep_alive ? "keep-alive" : "close");
    for (const auto& [name, value] : reply.headers) {
        add_header(out, name, value);
    }
    out.append("\r\n");
    if (has_body && !reply.head_only) {
        out.append(reply.body);
    }
    return out;
}

std::string encode_request(std::string_view method, std::string_view target, std::string_view host,
                           std::string_view body,
                           const std::vector<std::pair<std::string, std::string>>& headers) {
    QT_ASSERT(is_token(method));
    std::string out;
    out.reserve(256 + body.size());
    out.append(method).append(" ");
    for (const char c : target) {
        out.push_back(static_cast<uint8_t>(c) <= 0x20 || c == 0x7f ? '?' : c);
    }
    out.append(" HTTP/1.1\r\n");
    add_header(out, "Host", host);
    if (!body.empty() || method == "POST" || method == "PUT" || method == "PATCH") {
        add_header(out, "Content-Length", std::to_string(body.size()));
    }
    for (const auto& [name, value] : headers) {
        add_header(out, name, value);
    }
    out.append("\r\n").append(body);
    return out;
}

// ---- responses ----------------------------------------------------------------------------------

struct HttpResponseParser::Impl {
    beast_http::response_parser<beast_http::string_body> parser;
};

HttpResponseParser::HttpResponseParser() = default;
HttpResponseParser::~HttpResponseParser() = default;
HttpResponseParser::HttpResponseParser(HttpResponseParser&&) noexcept = default;
HttpResponseParser& HttpResponseParser::operator=(HttpResponseParser&&) noexcept = default;

Result<void> HttpResponseParser::feed(ByteView bytes) {
    buffer_.append(as_text(bytes));
    ByteView rest = as_bytes(buffer_);
    while (!done_ && !rest.empty()) {
        const size_t before = rest.size();
        QT_TRY(put(rest));
        if (rest.size() == before) {
            break;
        }
    }
    buffer_.erase(0, buffer_.size() - rest.size());
    if (!done_ && buffer_.size() > kHttpReplyHeadBytesMax) {
        return Error(Code::too_large, "response headers exceed " +
                                          std::to_string(kHttpReplyHeadBytesMax) + " bytes");
    }
    return {};
}

Result<void> HttpResponseParser::put(ByteView& bytes) {
    if (impl_ == nullptr) {
        impl_ = std::make_unique<Impl>();
        impl_->parser.eager(true);
        impl_->parser.header_limit(static_cast<uint32_t>(kHttpReplyHeadBytesMax));
        impl_->parser.body_limit(kHttpReplyBodyBytesMax);
    }
    auto& parser = impl_->parser;
    BeastError beast_error;
    const size_t used = parser.put(boost::asio::buffer(bytes.data(), bytes.size()), beast_error);
    bytes = bytes.subspan(used);
    if (beast_error == beast_http::error::body_limit ||
        beast_error == beast_http::error::header_limit) {
        return Error(Code::too_large, "the response exceeds the client's limit of " +
                                          std::to_string(kHttpReplyBodyBytesMax) + " bytes");
    }
    if (beast_error && beast_error != beast_http::error::need_more) {
        return Error(Code::malformed, describe(beast_error));
    }
    return parser.is_done() ? complete() : Result<void>();
}

Result<void> HttpResponseParser::complete() {
    auto& message = impl_->parser.get();
    if (message.result_int() < 100) {
        return Error(Code::malformed, "HTTP: status " + std::to_string(message.result_int()));
    }
    if (message.result_int() >= 200) {
        response_.status = static_cast<int>(message.result_int());
        response_.headers = copy_headers(message);
        response_.keep_alive = impl_->parser.keep_alive();
        response_.body = std::move(message.body());
        done_ = true;
    }
    impl_.reset(); // an interim answer: the real one follows
    return {};
}

Result<void> HttpResponseParser::end_of_stream() {
    if (done_) {
        return {};
    }
    if (impl_ == nullptr || !impl_->parser.is_header_done()) {
        return Error(Code::truncated, "the connection was closed before the response was complete");
    }
    BeastError beast_error;
    impl_->parser.put_eof(beast_error);
    if (beast_error || !impl_->parser.is_done()) {
        return Error(Code::truncated, "the connection was closed inside the response body");
    }
    return complete();
}

HttpResponse HttpResponseParser::take() {
    QT_ASSERT(done_);
    done_ = false;
    return std::exchange(response_, {});
}

} // namespace qtool::stream
