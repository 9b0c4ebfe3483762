// Start and stop of a core: it listens, serves, drains, closes.
#include "lib/base/assert.h"
#include "server/broker/core.h"

#include <utility>

namespace qtool::broker {

namespace {
constexpr Duration kDrainMax = 5s; // for requests under way when the broker stops
} // namespace

void Core::start() {
    if (ports_.id != CoreId(0)) {
        return;
    }
    auto mail = std::make_unique<ListeningMail>(ports_.id);
    const auto listen_all = [&](const std::vector<config::Endpoint>& endpoints, ListenerKind kind,
                                std::vector<port::SocketAddress>& bound) -> Result<void> {
        for (const config::Endpoint& endpoint : endpoints) {
            QT_TRY_ASSIGN(
                port::SocketAddress address,
                ports_.net->listen(endpoint.host, endpoint.port, static_cast<uint8_t>(kind)));
            bound.push_back(std::move(address));
        }
        return {};
    };
    const bool admin_apart = !shared_.config.admin_listeners.empty();
    std::vector<port::SocketAddress> bound;
    Result<void> result =
        listen_all(shared_.config.listeners,
                   admin_apart ? ListenerKind::kafka_only : ListenerKind::kafka_and_http, bound);
    if (result) {
        result = listen_all(shared_.config.admin_listeners, ListenerKind::http_only,
                            mail->admin_listeners);
    }
    if (result) {
        mail->listeners = std::move(bound);
    } else {
        mail->listeners = std::move(result).error();
    }
    ports_.mailbox->post(shared_.metadata_core(), std::move(mail));
}

void Core::serve() {
    QT_ASSERT(life_ == Life::starting);
    life_ = Life::serving;
    connections_.for_each(
        [&](ConnectionSlot& connection) { refresh_.push_back(connection.token); });
}

void Core::begin_drain() {
    if (life_ > Life::serving) {
        return;
    }
    life_ = Life::draining;
    drain_deadline_ = now() + kDrainMax;
    if (ports_.id == CoreId(0)) {
        ports_.net->stop_listening();
    }
    connections_.for_each(
        [&](ConnectionSlot& connection) { refresh_.push_back(connection.token); });
    replica::Outbox out;
    coordinators_.begin_drain(out);
    deliver(out);
    std::vector<Token> waiting;
    pending_.for_each([&](Token token, PendingSlot& slot) {
        if (slot.connection) {
            waiting.push_back(token);
        }
    });
    for (const Token token : waiting) {
        if (PendingSlot* slot = pending_.find(token)) {
            slot->pending->on_draining(*this);
        }
    }
}

void Core::continue_drain() {
    const bool late = now() >= drain_deadline_;
    if (late) {
        replica::Outbox out;
        partitions_.release_waiters(Code::shutting_down, out);
        deliver(out);
        run_answers();
    }
    if (!late && (pending_.size() > 0 || partitions_.is_flushing())) {
        return;
    }
    life_ = Life::drained;
    drain_deadline_ = kMonoNever;
    ports_.mailbox->post(shared_.metadata_core(), std::make_unique<DrainedMail>(ports_.id));
}

void Core::close_partitions() {
    QT_ASSERT(life_ == Life::drained);
    life_ = Life::closed;
    replica::Outbox out;
    partitions_.release_waiters(Code::shutting_down, out);
    deliver(out);
    coordinators_.close(out);
    deliver(out);
    peers_.close();
    auto mail = std::make_unique<ClosedMail>(ports_.id);
    mail->dirs = partitions_.close();
    connections_.for_each([&](ConnectionSlot& connection) {
        if (!connection.closing) {
            connection.closing = true;
            ports_.net->close_when_sent(connection.token, kCloseDeadlineMs);
        }
    });
    ports_.mailbox->post(shared_.metadata_core(), std::move(mail));
}

} // namespace qtool::broker
