// Proves what http1.h promises: requests are read whole and exactly whatever way the bytes are cut,
// each way to smuggle or overload is refused with its status, and no value can add a header.
// Table-driven, over plain strings; no socket, no clock.
#include "lib/stream/http1.h"
#include "lib/stream/percent.h"

#include <doctest/doctest.h>

using namespace qtool;
using namespace qtool::stream;

namespace {

struct Refusal {
    std::string what;
    std::string bytes;
    int status;
};

HttpRequestParser parsed(std::string_view text, size_t* taken = nullptr) {
    HttpRequestParser parser;
    const size_t n = parser.feed(as_bytes(text));
    if (taken != nullptr) {
        *taken = n;
    }
    return parser;
}

const std::string kHost = "Host: a\r\n";

} // namespace

TEST_CASE("http1: a request with query, headers and body is read") {
    auto parser =
        parsed("POST /v1/topics/a%20b?x=1&y=a+b%2B&flag HTTP/1.1\r\nHost: h\r\nX-One: 1\r\n"
               "x-one: 2\r\nContent-Length: 5\r\n\r\nhello");
    REQUIRE(parser.state() == HttpRequestParser::State::ready);
    const HttpRequest request = parser.take();
    CHECK(request.method == "POST");
    CHECK(request.path == "/v1/topics/a b");
    CHECK(request.query.at("x") == "1");
    CHECK(request.query.at("y") == "a b+");
    CHECK(request.query.at("flag").empty());
    CHECK(request.header("x-one") == "1, 2");
    CHECK(request.header("absent").empty());
    CHECK(request.body == "hello");
    CHECK(request.keep_alive);
    CHECK(parser.state() == HttpRequestParser::State::idle);
}

TEST_CASE("http1: an escaped slash is part of its segment of the path") {
    struct Case {
        std::string target;
        std::vector<std::string> segments;
    };
    for (const Case& c : {Case{"/", {""}}, Case{"/a/b", {"a", "b"}}, Case{"/a%2Fb", {"a/b"}},
                          Case{"/v1/g/%2f%2F/x%20y?q=/", {"v1", "g", "//", "x y"}},
                          Case{"//a/", {"", "a", ""}}, Case{"http://h/a%2fb/c", {"a/b", "c"}}}) {
        CAPTURE(c.target);
        auto parser = parsed("GET " + c.target + " HTTP/1.1\r\n" + kHost + "\r\n");
        REQUIRE(parser.state() == HttpRequestParser::State::ready);
        CHECK(parser.take().segments == c.segments);
    }
}

TEST_CASE("http1: pipelined requests come out the same wherever the bytes are cut") {
    const std::string wire = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
                             "\r\nPUT /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                             "3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nHost: evil\r\n\r\n"
                             "HEAD /c HTTP/1.0\r\n\r\n"
                             "GET /d HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    for (size_t step = 1; step <= wire.size(); step++) {
        HttpRequestParser parser;
        std::vector<HttpRequest> requests;
        for (size_t at = 0; at < wire.size(); at += step) {
            std::string_view piece = std::string_view(wire).substr(at, step);
            while (!piece.empty()) {
                const size_t taken = parser.feed(as_bytes(piece));
                piece.remove_prefix(taken);
                if (parser.state() == HttpRequestParser::State::ready) {
                    requests.push_back(parser.take());
                } else {
                    REQUIRE(taken > 0);
                    REQUIRE(parser.state() != HttpRequestParser::State::failed);
                }
            }
        }
        REQUIRE(requests.size() == 4);
        CHECK(requests[0].path == "/a");
        CHECK(requests[1].body == "abcde");
        CHECK(requests[1].header("host") == "h"); // a trailer does not reach the headers
        CHECK(requests[2].is_head());
        CHECK(!requests[2].keep_alive);
        CHECK(!requests[3].keep_alive);
    }
}

TEST_CASE("http1: each malformed or oversized request is refused with its status") {
    const std::string big(kHttpHeadBytesMax, 'a');
    const Refusal cases[] = {
        {"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
        {"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
        {"length and chunked",
         "POST / HTTP/1.1\r\n" + kHost + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         400},
        {"chunked and length",
         "POST / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
         400},
        {"encoding without chunked",
         "POST / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: gzip\r\n\r\n", 400},
        {"chunked not last",
         "POST / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked, gzip\r\n\r\n", 400},
        {"chunked twice",
         "POST / HTTP/1.1\r\n" + kHost +
             "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
         400},
        {"encoding we do not know",
         "POST / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"chunked on 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"two lengths",
         "POST / HTTP/1.1\r\n" + kHost + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
        {"negative length", "POST / HTTP/1.1\r\n" + kHost + "Content-Length: -1\r\n\r\n", 400},
        {"list of lengths", "POST / HTTP/1.1\r\n" + kHost + "Content-Length: 1, 1\r\n\r\n", 400},
        {"bare LF", "GET / HTTP/1.1\nHost: a\n\n", 400},
        {"folded header", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400},
        {"blank before colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
        {"version 2", "GET / HTTP/2.0\r\n" + kHost + "\r\n", 505},
        {"no version", "GET /\r\n\r\n", 400},
        {"relative target", "GET v1 HTTP/1.1\r\n" + kHost + "\r\n", 400},
        {"cut escape", "GET /%4 HTTP/1.1\r\n" + kHost + "\r\n", 400},
        {"escape not hex", "GET /%zz HTTP/1.1\r\n" + kHost + "\r\n", 400},
        {"cut escape before a slash", "GET /a%2/b HTTP/1.1\r\n" + kHost + "\r\n", 400},
        {"escaped zero", "GET /a%00b HTTP/1.1\r\n" + kHost + "\r\n", 400},
        {"path not UTF-8", "GET /%ff HTTP/1.1\r\n" + kHost + "\r\n", 400},
        {"query name twice", "GET /?a=1&a=2 HTTP/1.1\r\n" + kHost + "\r\n", 400},
        {"head too long", "GET / HTTP/1.1\r\n" + kHost + "X: " + big + "\r\n\r\n", 431},
        {"endless request line", "GET /" + big, 431},
        {"body too long", "POST / HTTP/1.1\r\n" + kHost + "Content-Length: 1048577\r\n\r\n", 413},
        {"chunk too long",
         "POST / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n100001\r\n", 413},
        {"chunk size not hex",
         "POST / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400},
        {"endless chunk header",
         "POST / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n1;" + big, 431},
        {"unknown Expect", "POST / HTTP/1.1\r\n" + kHost + "Expect: magic\r\n\r\n", 417},
    };
    for (const Refusal& refusal : cases) {
        CAPTURE(refusal.what);
        const auto parser = parsed(refusal.bytes);
        REQUIRE(parser.state() == HttpRequestParser::State::failed);
        CHECK(parser.status() == refusal.status);
        CHECK(!parser.error().detail.empty());
    }
}

TEST_CASE("http1: the largest head and body that are allowed are taken") {
    std::string head = "POST / HTTP/1.1\r\n" + kHost + "Content-Length: 1048576\r\nX: ";
    head.append(kHttpHeadBytesMax - head.size() - 4, 'a').append("\r\n\r\n");
    REQUIRE(head.size() == kHttpHeadBytesMax);
    HttpRequestParser parser;
    CHECK(parser.feed(as_bytes(head)) == head.size());
    CHECK(parser.state() == HttpRequestParser::State::body);
    CHECK(parser.time_max() == kHttpBodyTimeMax);
    const std::string body(kHttpBodyBytesMax, 'b');
    CHECK(parser.feed(as_bytes(body)) == body.size());
    REQUIRE(parser.state() == HttpRequestParser::State::ready);
    CHECK(parser.take().body.size() == kHttpBodyBytesMax);
}

TEST_CASE("http1: a client that waits for 100 Continue is told once, before the body") {
    auto parser =
        parsed("POST / HTTP/1.1\r\n" + kHost + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    CHECK(parser.wants_continue());
    CHECK(!parser.wants_continue());
    parser.feed(as_bytes("ok"));
    CHECK(parser.take().body == "ok");
}

TEST_CASE("http1: the phases have their own total times") {
    HttpRequestParser parser;
    CHECK(parser.time_max() == kHttpIdleTimeMax);
    parser.feed(as_bytes("G"));
    CHECK(parser.state() == HttpRequestParser::State::head);
    CHECK(parser.time_max() == kHttpHeaderTimeMax);
}

TEST_CASE("http1: an empty chunked body may be cut anywhere") {
    const std::string wire =
        "POST / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    HttpRequestParser parser;
    for (const char c : wire) {
        CHECK(parser.feed(as_bytes({&c, 1})) == 1);
    }
    REQUIRE(parser.state() == HttpRequestParser::State::ready);
    CHECK(parser.take().body.empty());
}

TEST_CASE("http1: a reply cannot be split by a header value, and HEAD gets no body") {
    const std::string text = encode_response({.status = 404,
                                              .content_type = "text/plain\r\nX: 1",
                                              .body = "gone",
                                              .keep_alive = false,
                                              .head_only = true,
                                              .headers = {{"Location", "/a\r\n\r\n<script>"}}});
    CHECK(text.find("HTTP/1.1 404 Not Found\r\n") == 0);
    CHECK(text.find("Content-Type: text/plain??X: 1\r\n") != std::string::npos);
    CHECK(text.find("Location: /a???\?<script>\r\n") != std::string::npos);
    CHECK(text.find("Content-Length: 4\r\n") != std::string::npos);
    CHECK(text.find("Connection: close\r\n") != std::string::npos);
    CHECK(text.ends_with("\r\n\r\n"));
    CHECK(encode_response({.status = 204}).find("Content-Length") == std::string::npos);
}

TEST_CASE("http1: what the client encodes is what the server reads") {
    const std::string wire = encode_request("PATCH", "/v1/topics/" + encode_path_segment("ü /?%"),
                                            "h:1\r\nX: y", "{}", {{"Accept", "a\nb"}});
    auto parser = parsed(wire);
    REQUIRE(parser.state() == HttpRequestParser::State::ready);
    const HttpRequest request = parser.take();
    CHECK(request.path == "/v1/topics/ü /?%");
    CHECK(request.segments == std::vector<std::string>{"v1", "topics", "ü /?%"});
    CHECK(request.header("host") == "h:1??X: y");
    CHECK(request.header("accept") == "a?b");
    CHECK(request.body == "{}");
}

TEST_CASE("http1: responses end by length, by chunks or by close, wherever the bytes are cut") {
    const std::string head = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nX-A: b\r\n";
    const std::string by_length = head + "Content-Length: 3\r\n\r\nabc";
    const std::string by_chunks =
        head + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
    const std::string by_close = head + "\r\nabc";
    for (const std::string& wire : {by_length, by_chunks, by_close}) {
        for (size_t step = 1; step <= wire.size(); step++) {
            HttpResponseParser parser;
            for (size_t at = 0; at < wire.size(); at += step) {
                REQUIRE(parser.feed(as_bytes(std::string_view(wire).substr(at, step))));
            }
            CHECK(parser.is_done() == (&wire != &by_close && wire != by_close));
            REQUIRE(parser.end_of_stream());
            const HttpResponse response = parser.take();
            CHECK(response.status == 201);
            CHECK(response.headers.at("x-a") == "b");
            CHECK(response.body == "abc");
            CHECK(response.keep_alive == (wire != by_close));
        }
    }
}

TEST_CASE("http1: a broken or cut response is an error") {
    HttpResponseParser garbage;
    CHECK(garbage.feed(as_bytes("garbage\r\n\r\n")).error().code == Code::malformed);
    HttpResponseParser cut;
    REQUIRE(cut.feed(as_bytes("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")));
    CHECK(cut.end_of_stream().error().code == Code::truncated);
    HttpResponseParser nothing;
    CHECK(nothing.end_of_stream().error().code == Code::truncated);
    HttpResponseParser endless;
    CHECK(
        endless.feed(as_bytes("HTTP/1.1 200 OK\r\nX: " + std::string(70'000, 'a'))).error().code ==
        Code::too_large);
}
