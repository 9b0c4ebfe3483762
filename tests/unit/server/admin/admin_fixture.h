// An HTTP client in front of admin::HttpConnection with fake services.
#pragma once

#include "lib/admin/codec.h"
#include "server/admin/http_connection.h"
#include "tests/unit/server/request/fake_services.h"

#include <doctest/doctest.h>

namespace qtool::test {

class AdminFixture {
public:
    FakeServices services;
    admin::HttpConnection connection;
    FakeHost host{services, connection};

    /// Sends a request with Host 127.0.0.1:9092 unless `headers` has one.
    void send(std::string_view method, std::string_view target, std::string_view body = {},
              std::string_view headers = {}) {
        std::string text = std::string(method) + " " + std::string(target) + " HTTP/1.1\r\n";
        if (headers.find("Host:") == std::string_view::npos) {
            text += "Host: 127.0.0.1:9092\r\n";
        }
        text += headers;
        if (!body.empty()) {
            text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
        }
        text += "\r\n";
        text += body;
        host.feed(as_bytes(text));
    }

    stream::HttpResponse receive() {
        stream::HttpResponseParser parser;
        REQUIRE(!host.sent.empty());
        Result<void> fed = parser.feed(host.sent);
        REQUIRE_MESSAGE(fed.has_value(), (fed ? "" : to_string(fed.error())));
        REQUIRE(parser.is_done());
        host.sent.clear();
        return parser.take();
    }

    stream::HttpResponse call(std::string_view method, std::string_view target,
                              std::string_view body = {}, std::string_view headers = {}) {
        send(method, target, body, headers);
        return receive();
    }
};

/// The code of an error body.
inline Code code_of(const stream::HttpResponse& response) {
    Result<admin::ErrorBody> body = admin::decode<admin::ErrorBody>(response.body);
    REQUIRE(body.has_value());
    CHECK(!body->message.empty());
    return body->code;
}

} // namespace qtool::test
