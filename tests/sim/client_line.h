// ClientLine: a client's connection that is made again whenever it ends, and the client's next step
// on it. What is asked is up to the machine that owns it.
#pragma once

#include "tests/sim/kafka_stream.h"

#include <functional>
#include <string>
#include <utility>

namespace qtool::sim {

class ClientLine {
public:
    /// `next` takes the client's next step: on each new connection, and when next_later() is due.
    /// `on_end`: the connection was lost, not closed; it is for the client to connect again.
    ClientLine(World& world, Network& network, std::function<void()> next,
               std::function<void()> on_end)
        : world_(world),
          stream_(world, network, std::move(on_end)),
          next_(std::move(next)) {}

    /// Whom the next connections are made to; else the only broker of the world.
    void set_address(std::string address) { address_ = std::move(address); }
    [[nodiscard]] const std::string& address() const { return address_; }
    /// True: it is there. False: it closes and connects to that address, where the next step is
    /// taken; with an empty address (nobody knows it) the next step is taken later.
    bool go_to(const std::string& address);
    KafkaStream& stream() { return stream_; }
    [[nodiscard]] bool is_open() const { return stream_.is_open(); }
    /// Open, and no answer is due.
    [[nodiscard]] bool is_idle() const { return stream_.is_open() && stream_.asked() == 0; }
    [[nodiscard]] bool is_stopped() const { return is_stopped_; }

    /// Between `low` and `high` from now, unless that is under way.
    void connect_later(Duration low, Duration high);
    /// The usual wait after `delay`.
    void connect_later(Duration delay) { connect_later(delay + 1ms, delay + 100ms); }
    /// A later call replaces an earlier one. Nothing happens when an answer is due at that time: it
    /// leads on.
    void next_later(Duration delay);
    /// Closes it for good.
    void stop();

private:
    World& world_;
    KafkaStream stream_;
    std::function<void()> next_;
    std::string address_ = "127.0.0.1";
    bool connect_due_ = false;
    bool is_stopped_ = false;
    uint64_t next_call_ = 0;
};

} // namespace qtool::sim
