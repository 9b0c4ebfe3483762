#include "tests/sim/client_line.h"

namespace qtool::sim {

void ClientLine::connect_later(Duration low, Duration high) {
    if (connect_due_ || is_stopped_) {
        return;
    }
    connect_due_ = true;
    world_.after(world_.between(low, high), [this] {
        connect_due_ = false;
        if (!is_open() && !is_stopped_) {
            stream_.open(address_, kBrokerPort);
            next_();
        }
    });
}

bool ClientLine::go_to(const std::string& address) {
    if (address == address_) {
        return true;
    }
    if (address.empty()) {
        next_later(100ms);
        return false;
    }
    stream_.close();
    address_ = address;
    connect_later(1ms, 3ms);
    return false;
}

void ClientLine::next_later(Duration delay) {
    const uint64_t call = ++next_call_;
    world_.after(delay, [this, call] {
        if (call == next_call_ && is_idle()) {
            next_();
        }
    });
}

void ClientLine::stop() {
    is_stopped_ = true;
    stream_.close();
}

} // namespace qtool::sim
