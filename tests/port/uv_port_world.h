// UvPortWorld: the real world: server/uv on threads, clients on non-blocking sockets that the
// waiting test moves, a temporary directory.
#pragma once

#include "server/uv/uv_world.h"
#include "tests/port/port_world.h"

#include <memory>
#include <string>
#include <vector>

namespace qtool::test {

class TemporaryDirectory {
public:
    TemporaryDirectory();
    ~TemporaryDirectory();
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

/// A client whose socket is there before it connects.
class SocketClient : public Client {
public:
    virtual void connect() = 0;
    /// Sends and receives what goes without waiting.
    virtual void move() = 0;
};

class UvPortWorld final : public PortWorld {
public:
    static constexpr size_t kLargeSize = 24 * 1024 * 1024; // more than the socket buffers hold

    explicit UvPortWorld(uint16_t data_core_count);
    ~UvPortWorld() override { stop(); }
    UvPortWorld(const UvPortWorld&) = delete;
    UvPortWorld& operator=(const UvPortWorld&) = delete;

    [[nodiscard]] std::string directory() override { return directory_.path(); }
    void on_core(size_t index, const std::function<void()>& action) override;
    bool wait_until(const std::function<bool()>& done) override;
    void wait_for(Duration duration) override;
    std::unique_ptr<Client> connect(const port::SocketAddress& address) override;
    std::unique_ptr<SocketClient> make_client(const port::SocketAddress& address);
    void stop() override;

private:
    void move_clients();

    TemporaryDirectory directory_;
    std::unique_ptr<uv::UvWorld> world_;
    std::shared_ptr<std::vector<SocketClient*>> clients_; // alive; each takes itself out
};

} // namespace qtool::test
