#include "lib/client/driver_uv.h"

#include <uv.h>

#include <random>
#include <utility>

namespace qtool::client {

uint64_t random_seed() {
    std::random_device source;
    return (uint64_t{source()} << 32) | source();
}

DriverUv::DriverUv(Cluster& cluster) : cluster_(cluster), timer_(loop_, [] {}) {}

DriverUv::~DriverUv() = default;

void DriverUv::apply(Outbox& out) {
    for (const LinkId link : out.closes) {
        links_.erase(link);
    }
    for (const Outbox::Connect& wanted : out.connects) {
        const LinkId link = wanted.link;
        net::TcpCallbacks callbacks;
        callbacks.on_connected = [this, link] {
            cluster_.on_connected(link, net::Loop::now(), pending_);
        };
        callbacks.receive_buffer = [this, link] { return cluster_.receive_space(link); };
        callbacks.on_read = [this, link](ByteView bytes) {
            cluster_.on_received(link, bytes.size(), net::Loop::now(), pending_);
        };
        callbacks.on_written = [this, link](uint64_t queued) { cluster_.on_written(link, queued); };
        callbacks.on_closed = [this, link](const Error& error) {
            cluster_.on_closed(link, error, net::Loop::now());
            if (const auto found = links_.find(link); found != links_.end()) {
                gone_.push_back(std::move(found->second));
                links_.erase(found);
            }
        };
        auto tcp = std::make_unique<net::Tcp>(loop_, std::move(callbacks));
        tcp->connect(wanted.host, wanted.port);
        links_.emplace(link, std::move(tcp));
    }
    for (Outbox::Write& write : out.writes) {
        if (const auto found = links_.find(write.link); found != links_.end()) {
            found->second->write(std::move(write.buffers));
        }
    }
    out.clear();
}

void DriverUv::turn(MonoTime until) {
    const bool wait = until > net::Loop::now();
    timer_.set(wait ? until : kMonoNever);
    loop_.run_once(wait ? net::Loop::Wait::yes : net::Loop::Wait::no);
    gone_.clear();
    apply(pending_);
}

bool DriverUv::turn_readable(int fd, MonoTime until) {
    if (watched_ != fd) {
        if (watch_) {
            watch_.close();
            watched_ = -1;
            turn(net::Loop::now()); // its end, for which the next one would not wait
        }
        // epoll refuses regular files with EPERM: they can always be read.
        if (watch_.open(nullptr, [&](uv_poll_t* made) {
                return uv_poll_init(loop_.get(), made, fd);
            }) != 0) {
            turn(net::Loop::now());
            return true;
        }
        watched_ = fd;
    }
    bool readable = false;
    watch_.get()->data = &readable;
    const int status =
        uv_poll_start(watch_.get(), UV_READABLE | UV_DISCONNECT, [](uv_poll_t* handle, int, int) {
            *static_cast<bool*>(handle->data) = true;
        });
    if (status != 0) {
        return true; // the read itself will say what is wrong
    }
    turn(until);
    uv_poll_stop(watch_.get()); // nobody may look at it in turns that wait for something else
    return readable;
}

} // namespace qtool::client
