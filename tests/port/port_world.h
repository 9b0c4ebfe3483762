// PortWorld: what the contracts need of a world: cores with ports, clients, and a way to let things
// happen. Implementations: uv_port_world.h (threads, sockets, files), sim_port_world.h (simulated).
//
// Everything the test and the cores share is under one mutex: events and actions run with it held,
// and so do the conditions of wait_until. Waiting only looks; it never wakes a core, so that a wake
// that got lost stays lost and fails the test.
#pragma once

#include "server/port/core_events.h"

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qtool::test {

/// A peer of the broker: the other end of one stream. Moves bytes while the test waits.
class Client {
public:
    virtual ~Client() = default; // closes
    virtual void send(std::string_view bytes) = 0;
    /// Off: what the broker sends stays in the stream.
    virtual void set_reading(bool on) = 0;
    virtual void close() = 0;
    /// Ends the stream as a crash of the peer does.
    virtual void reset() = 0;

    [[nodiscard]] const std::string& received() const { return received_; }
    /// The broker closed, or the stream broke, or never opened.
    [[nodiscard]] bool has_ended() const { return has_ended_; }

protected:
    std::string received_;
    bool has_ended_ = false;
};

/// A core that notes what it is told and acts as the test says.
class TestCore final : public port::CoreEvents {
public:
    struct Connection {
        uint8_t listener = 0;
        port::SocketAddress peer;
        std::string received;
        std::vector<uint64_t> sent; // each on_sent
        int closed = 0;
        int connected = 0;               // on_connected
        std::optional<Error> not_opened; // on_connect_failed
    };

    explicit TestCore(std::recursive_mutex& mutex) : mutex_(mutex) {}
    void set_ports(port::CorePorts ports) { ports_ = ports; }
    [[nodiscard]] const port::CorePorts& ports() const { return ports_; }

    // What the test says: called within the event, after it was noted.
    std::function<void(Token)> accepted;
    std::function<void(Token, std::string_view)> received;
    std::function<void(std::unique_ptr<port::Mail>)> mail;
    std::function<void()> timer;

    // What was noted.
    std::map<Token, Connection> connections;
    std::vector<Token> tokens; // in the order of on_accept
    std::map<Token, std::vector<Result<void>>> synced;
    std::map<Token, std::vector<Result<void>>> read_ins;
    int timers = 0;
    int turn_ends = 0;
    bool turn_open = false; // an event came since the last on_turn_end
    std::string violation;  // an event came from within a call, or for a dead token

    /// Runs `call` as the test's action on this core: an event from within it is a violation.
    void act(const std::function<void()>& call) {
        const std::lock_guard lock(mutex_);
        inside_ = true;
        call();
        inside_ = false;
    }

    void on_accept(Token token, uint8_t listener, const port::SocketAddress& peer) override {
        enter("on_accept", [&] {
            check(connections.count(token) == 0, "a token was used twice");
            Connection& made = connections[token];
            made.listener = listener;
            made.peer = peer;
            tokens.push_back(token);
            if (accepted) {
                accepted(token);
            }
        });
    }
    void on_connected(Token token) override {
        enter("on_connected", [&] {
            check_not_opened(token);
            connections[token].connected++;
        });
    }
    void on_connect_failed(Token token, Error error) override {
        enter("on_connect_failed", [&] {
            check_not_opened(token);
            connections[token].not_opened = std::move(error);
        });
    }
    ByteSpan receive_buffer(Token token) override {
        const std::lock_guard lock(mutex_);
        check(connections.count(token) == 1 && connections[token].closed == 0, "receive_buffer");
        return buffer_;
    }
    void on_received(Token token, size_t size) override {
        enter("on_received", [&] {
            check(size > 0 && size <= buffer_.size(), "on_received: size");
            check(connections[token].closed == 0, "on_received: the token is dead");
            const std::string_view bytes = as_text(ByteView(buffer_).first(size));
            connections[token].received += bytes;
            if (received) {
                received(token, bytes);
            }
        });
    }
    void on_sent(Token token, uint64_t queued) override {
        enter("on_sent", [&] {
            check(connections[token].closed == 0, "on_sent: the token is dead");
            connections[token].sent.push_back(queued);
        });
    }
    void on_closed(Token token) override {
        enter("on_closed", [&] { connections[token].closed++; });
    }
    void on_synced(Token token, Result<void> result) override {
        enter("on_synced", [&] { synced[token].push_back(std::move(result)); });
    }
    void on_read_in(Token token, Result<void> result) override {
        enter("on_read_in", [&] { read_ins[token].push_back(std::move(result)); });
    }
    void on_mail(std::unique_ptr<port::Mail> arrived) override {
        enter("on_mail", [&] {
            if (mail) {
                mail(std::move(arrived));
            }
        });
    }
    void on_timer() override {
        enter("on_timer", [&] {
            timers++;
            if (timer) {
                timer();
            }
        });
    }
    void on_turn_end() override {
        const std::lock_guard lock(mutex_);
        check(!inside_, "on_turn_end from within");
        turn_ends++;
        turn_open = false;
    }

private:
    void check(bool holds, const char* what) {
        if (!holds && violation.empty()) {
            violation = what;
        }
    }
    void check_not_opened(Token token) {
        const Connection& connection = connections[token]; // made here, if the test has not looked
        check(connection.connected == 0 && !connection.not_opened && connection.closed == 0,
              "a connection was told of twice");
    }
    template <class Call>
    void enter(const char* event, Call&& call) {
        const std::lock_guard lock(mutex_);
        check(!inside_, event);
        inside_ = true;
        turn_open = true;
        call();
        inside_ = false;
    }

    std::recursive_mutex& mutex_; // recursive: an event from within is noted, not a deadlock
    port::CorePorts ports_;
    std::vector<std::byte> buffer_ = std::vector<std::byte>(64 * 1024);
    bool inside_ = false;
};

class PortWorld {
public:
    virtual ~PortWorld() = default;

    /// Cores with ports, the last of which is the metadata core.
    [[nodiscard]] uint16_t core_count() const { return static_cast<uint16_t>(cores_.size()); }
    TestCore& core(size_t index) { return *cores_.at(index); }
    /// An empty directory of the disk.
    [[nodiscard]] virtual std::string directory() = 0;
    /// Runs `action` as an event of the core; returns when it has run.
    virtual void on_core(size_t index, const std::function<void()>& action) = 0;
    /// Lets things happen until `done`, which is called with the mutex held. False: a generous time
    /// has passed.
    virtual bool wait_until(const std::function<bool()>& done) = 0;
    /// Lets things happen for so long.
    virtual void wait_for(Duration duration) = 0;
    /// To what core 0 listens on.
    virtual std::unique_ptr<Client> connect(const port::SocketAddress& address) = 0;
    /// Ends all; nothing follows.
    virtual void stop() = 0;

    /// Of the first core that saw one.
    std::string violation() {
        const std::lock_guard lock(mutex_);
        for (const auto& core : cores_) {
            if (!core->violation.empty()) {
                return core->violation;
            }
        }
        return {};
    }

protected:
    std::recursive_mutex mutex_;
    std::vector<std::unique_ptr<TestCore>> cores_;
};

/// Bytes that tell their place, so that a loss or a swap is seen.
inline std::string pattern(size_t size, uint32_t seed = 1) {
    std::string bytes(size, '\0');
    uint32_t state = seed * 2654435761U + 1;
    for (char& byte : bytes) {
        state = state * 1664525U + 1013904223U;
        byte = static_cast<char>(state >> 24);
    }
    return bytes;
}

inline std::vector<std::byte> own_bytes(std::string_view text) {
    const ByteView bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
}

} // namespace qtool::test
