// A Kafka client in front of kafka::Connection with fake services: sends requests as frames and
// decodes what comes back, header included.
#pragma once

#include "lib/base/byte_writer.h"
#include "server/kafka/connection.h"
#include "tests/unit/server/request/fake_services.h"

#include <doctest/doctest.h>

namespace qtool::test {

inline constexpr int16_t kApiVersionsKey = 18;

inline std::vector<std::byte> make_frame(int16_t key, int16_t version, int32_t correlation,
                                         bool flexible, ByteView body) {
    ByteWriter writer;
    writer.be<int32_t>(0);
    writer.be(key);
    writer.be(version);
    writer.be(correlation);
    writer.be<int16_t>(4);
    writer.bytes(as_bytes("test"));
    if (flexible) {
        writer.uvarint(0);
    }
    writer.bytes(body);
    writer.patch_be<int32_t>(0, static_cast<int32_t>(writer.size() - 4));
    return writer.take();
}

template <class Request>
std::vector<std::byte> make_frame(const Request& request, int16_t version, int32_t correlation) {
    ByteWriter body;
    request.encode(body, version);
    return make_frame(Request::kApiKey, version, correlation, version >= Request::kFlexibleFrom,
                      body.view());
}

class KafkaFixture {
public:
    FakeServices services;
    kafka::Connection connection{1024 * 1024, 4};
    FakeHost host{services, connection};

    template <class Request>
    void send(const Request& request, int16_t version) {
        host.feed(make_frame(request, version, ++correlation_));
    }

    /// The next answer. Its views are valid as long as the fixture.
    template <class Response>
    Response receive(int16_t version) {
        REQUIRE(host.sent.size() >= 8);
        const auto length = static_cast<size_t>(load_be<int32_t>(host.sent.data()));
        REQUIRE(host.sent.size() >= 4 + length);
        auto& frame = frames_.emplace_back(host.sent.begin() + 4,
                                           host.sent.begin() + 4 + static_cast<ptrdiff_t>(length));
        host.sent.erase(host.sent.begin(), host.sent.begin() + 4 + static_cast<ptrdiff_t>(length));
        correlation = load_be<int32_t>(frame.data());
        const bool tagged =
            version >= Response::kFlexibleFrom && Response::kApiKey != kApiVersionsKey;
        Result<Response> response =
            Response::decode(ByteView(frame).subspan(tagged ? 5 : 4), version);
        REQUIRE_MESSAGE(response.has_value(), to_string(response.error()));
        return *std::move(response);
    }

    /// A request that is answered at once.
    template <class Response, class Request>
    Response call(const Request& request, int16_t version) {
        send(request, version);
        Response response = receive<Response>(version);
        CHECK(correlation == correlation_);
        CHECK(host.sent.empty());
        return response;
    }

    int32_t correlation = 0; // of the answer received last

private:
    int32_t correlation_ = 0;
    std::deque<std::vector<std::byte>> frames_;
};

} // namespace qtool::test
