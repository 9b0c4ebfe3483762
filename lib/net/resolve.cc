#include "lib/net/resolve.h"

#include "lib/net/timer.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <uv.h>

#include <array>
#include <cstring>
#include <utility>

namespace qtool::net {

namespace {

std::vector<Address> to_addresses(const addrinfo* list) {
    std::vector<Address> addresses;
    for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
        if (at->ai_family == AF_INET || at->ai_family == AF_INET6) {
            Address address;
            std::memcpy(&address.storage, at->ai_addr, at->ai_addrlen);
            address.size = at->ai_addrlen;
            addresses.push_back(address);
        }
    }
    return addresses;
}

} // namespace

std::string to_string(const Address& address) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (address.storage.ss_family == AF_INET) {
        const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address.storage);
        inet_ntop(AF_INET, &v4->sin_addr, text.data(), text.size());
        return std::string(text.data()) + ":" + std::to_string(ntohs(v4->sin_port));
    }
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
    inet_ntop(AF_INET6, &v6->sin6_addr, text.data(), text.size());
    return "[" + std::string(text.data()) + "]:" + std::to_string(ntohs(v6->sin6_port));
}

struct Resolve::State {
    uv_getaddrinfo_t request{};
    std::string host;
    OnDone on_done;                   // empty: answered or cancelled
    std::unique_ptr<Timer> refused;   // tells of a name that was not even asked for
    std::shared_ptr<State> under_way; // itself, while libuv holds the request

    void answer(int status, const addrinfo* list) {
        if (!on_done) {
            return;
        }
        const OnDone done = std::exchange(on_done, nullptr);
        std::vector<Address> addresses = to_addresses(list);
        if (addresses.empty()) {
            done(Error(Code::connection_failed,
                       "cannot resolve '" + host + "': " +
                           (status == 0 ? "it has no IPv4 or IPv6 address" : uv_strerror(status))));
        } else {
            done(std::move(addresses));
        }
    }
};

Resolve::Resolve(Loop& loop, const std::string& host, uint16_t port, OnDone on_done)
    : state_(std::make_shared<State>()) {
    state_->host = host;
    state_->on_done = std::move(on_done);
    state_->request.data = state_.get();
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV;
    const std::string service = std::to_string(port);
    const auto on_resolved = [](uv_getaddrinfo_t* request, int status, addrinfo* list) {
        const std::shared_ptr<State> state =
            std::move(static_cast<State*>(request->data)->under_way);
        state->answer(status, list);
        uv_freeaddrinfo(list);
    };
    const int status = uv_getaddrinfo(loop.get(), &state_->request, on_resolved, host.c_str(),
                                      service.c_str(), &hints);
    if (status == 0) {
        state_->under_way = state_;
        return;
    }
    // The name is longer than a name may be, or not valid Unicode: answered later all the same.
    state_->refused = std::make_unique<Timer>(loop, [state = state_.get(), status] {
        const std::shared_ptr<State> alive = state->under_way;
        state->answer(status, nullptr);
        alive->under_way.reset();
    });
    state_->under_way = state_;
    state_->refused->set(Loop::now());
}

Resolve::~Resolve() {
    state_->on_done = nullptr;
    if (state_->refused != nullptr) {
        state_->under_way.reset();
    } else if (state_->under_way != nullptr) {
        // Not started yet: the callback comes soon with UV_ECANCELED. Running: it comes when done.
        uv_cancel(reinterpret_cast<uv_req_t*>(&state_->request));
    }
}

} // namespace qtool::net
