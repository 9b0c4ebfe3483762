// A broker within the test's process, on real ports and an empty folder, and one connection to it.
#pragma once

#include "lib/base/byte_writer.h"
#include "lib/base/bytes.h"
#include "server/broker/broker.h"
#include "server/uv/uv_world.h"

#include <future>
#include <memory>
#include <string>
#include <vector>

namespace qtool::bench {

class BenchBroker final : public broker::BrokerEvents {
public:
    /// `options`: as --set takes them. Serves when it returns.
    BenchBroker(uint16_t core_count, const std::vector<std::string>& options);
    ~BenchBroker() override;
    BenchBroker(const BenchBroker&) = delete;
    BenchBroker& operator=(const BenchBroker&) = delete;

    /// Sends a request and waits for its answer, whose body is returned.
    template <class Request>
    std::vector<std::byte> ask(const Request& request, int16_t version) {
        ByteWriter body;
        request.encode(body, version);
        return exchange(Request::kApiKey, version, body.view());
    }
    /// The same with a request encoded before.
    std::vector<std::byte> exchange(int16_t api_key, int16_t version, ByteView body);

    // broker::BrokerEvents
    void on_serving(const std::vector<port::SocketAddress>& listeners,
                    const std::vector<port::SocketAddress>& admin_listeners) override;
    void on_ended(Result<void> result) override;

private:
    void connect(uint16_t port);

    std::string folder_;
    uint16_t core_count_;
    std::unique_ptr<uv::UvWorld> world_;
    std::unique_ptr<broker::Broker> broker_;
    std::promise<uint16_t> port_;
    std::promise<bool> ended_;
    int fd_ = -1;
    int32_t correlation_id_ = 0;
};

} // namespace qtool::bench
