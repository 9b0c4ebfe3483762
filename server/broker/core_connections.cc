// The connections of a core: from accepted to closed, and when their sockets are read.
#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/admin/http_connection.h"
#include "server/broker/core.h"
#include "server/broker/core_host.h"
#include "server/broker/first_byte.h"
#include "server/kafka/connection.h"

#include <utility>

namespace qtool::broker {

namespace {
constexpr Duration kTickInterval = 5s; // idle connections, HTTP deadlines
} // namespace

void Core::on_accept(Token token, uint8_t listener, const port::SocketAddress& peer) {
    const auto limit = static_cast<uint64_t>(config().connections_max);
    if (shared_.connections_open.load(std::memory_order_relaxed) >= limit ||
        life_ > Life::serving) {
        counters_.connections_refused.add();
        ports_.net->close(token);
        return;
    }
    if (const auto bucket = shared_.quotas->find_address(*image_, peer.host);
        bucket && shared_.quotas->buckets().take_or_refuse(*bucket, 1, now()) > Duration{}) {
        counters_.throttled_connect.add();
        ports_.net->close(token);
        return;
    }
    shared_.connections_open.fetch_add(1, std::memory_order_relaxed);
    shared_.cores[ports_.id.value()]->connections.fetch_add(1, std::memory_order_relaxed);
    counters_.connections_opened.add();
    ConnectionSlot& connection = connections_.open(token);
    connection.listener = listener;
    connection.peer = peer;
    connection.last_active = now();
    begin_connection(connection);
}

// One that is new in the table; serve() reads those that come before it.
void Core::begin_connection(ConnectionSlot& connection) {
    counters_.connections_open.set(connections_.size());
    if (tick_at_ == kMonoNever) {
        tick_at_ = now() + kTickInterval;
    }
    if (life_ == Life::starting) {
        connection.is_read = false;
        ports_.net->set_reading(connection.token, false);
    }
}

// Connections that this core opened go to other brokers, and PeerLinks knows them.
void Core::on_connected(Token token) {
    peers_.on_connected(token, now());
}

void Core::on_connect_failed(Token token, Error error) {
    peers_.on_connect_failed(token, error, now());
}

ByteSpan Core::receive_buffer(Token token) {
    ConnectionSlot* connection = connections_.find(token);
    return connection != nullptr ? connection->in.space(scratch_) : peers_.receive_buffer(token);
}

void Core::on_received(Token token, size_t size) {
    ConnectionSlot* connection = connections_.find(token);
    if (connection == nullptr) {
        peers_.on_received(token, size, now());
        return;
    }
    counters_.bytes_received.add(size);
    connection->in.commit(size);
    connection->home.on_bytes(size);
    connection->last_active = now();
    if (connection->closing || life_ > Life::serving) {
        connection->in.consume(connection->in.unread().size());
        connection->in.settle(0);
        return;
    }
    if (!move_connection(*connection)) {
        feed(*connection);
    }
}

// Takes the request that just came along, so that nothing has to wait for it.
bool Core::move_connection(ConnectionSlot& connection) {
    const std::optional<CoreId> to = connection.home.better();
    if (!to || !connection.can_move() || ports_.net->queued_bytes(connection.token) > 0) {
        return false;
    }
    CoreStatus& here = *shared_.cores[ports_.id.value()];
    CoreStatus& there = *shared_.cores[to->value()];
    if (there.connections.load(std::memory_order_relaxed) >
            here.connections.load(std::memory_order_relaxed) + kConnectionsAheadMax ||
        // What a client was told of topics is not taken back by a core that is behind.
        there.revision.load(std::memory_order_acquire) < image_->revision.value()) {
        connection.home.on_refused();
        return false;
    }
    here.connections.fetch_sub(1, std::memory_order_relaxed);
    there.connections.fetch_add(1, std::memory_order_relaxed);
    connection.in.leave_core();
    connection.home.on_moved();
    std::unique_ptr<port::DetachedConnection> socket = ports_.net->detach(connection.token);
    ports_.mailbox->post(*to,
                         std::make_unique<ConnectionMail>(ports_.id, std::move(socket),
                                                          connections_.take(connection.token)));
    counters_.connections_moved.add();
    counters_.connections_open.set(connections_.size());
    return true;
}

void Core::take_over(ConnectionMail& mail) {
    const Token token = ports_.net->attach(std::move(mail.socket));
    if (!token) { // the port has said why
        count_closed();
        return;
    }
    ConnectionSlot& connection = connections_.put(token, std::move(mail.connection));
    begin_connection(connection);
    if (life_ > Life::serving) {
        connection.in.consume(connection.in.unread().size());
        connection.in.settle(0);
        close_connection(token, "the broker stops");
    } else if (life_ == Life::serving) {
        feed(connection);
    }
}

void Core::feed(ConnectionSlot& connection) {
    const Token token = connection.token;
    if (!connection.door) {
        const ByteView unread = connection.in.unread();
        if (unread.empty()) {
            return;
        }
        Result<Protocol> protocol =
            recognize(unread[0], static_cast<ListenerKind>(connection.listener));
        if (!protocol) {
            counters_.protocol_unknown.add();
            close_connection(token, protocol.error().detail);
            connection.in.consume(unread.size());
            connection.in.settle(0);
            return;
        }
        if (*protocol == Protocol::http) {
            connection.door = std::make_unique<admin::HttpConnection>();
        } else {
            connection.door = std::make_unique<kafka::Connection>(
                static_cast<uint32_t>(shared_.config.socket_request_bytes_max),
                static_cast<uint32_t>(shared_.config.connection_inflight_requests_max));
        }
    }
    Host host(*this, connection);
    connection.door->on_bytes(connection.in, host);
    if (connection.pending.empty() && connection.in.unread().empty()) {
        connection.home.on_idle(ports_.id); // all was answered at once
    }
    refresh_reading(token);
}

void Core::on_sent(Token token, uint64_t queued) {
    if (const ConnectionSlot* connection = connections_.find(token); queued == 0 && connection) {
        counters_.stage(metrics::Stage::send).observe(now() - connection->send_began);
    }
    refresh_.push_back(token);
}

bool Core::is_output_full(Token connection) const {
    return ports_.net->queued_bytes(connection) >
           static_cast<uint64_t>(shared_.config.connection_output_bytes_max);
}

// Reads the socket exactly while the door wants bytes and the output queue is short.
void Core::refresh_reading(Token token) {
    ConnectionSlot* connection = connections_.find(token);
    if (connection == nullptr || connection->closing || life_ == Life::starting) {
        return;
    }
    const bool read = life_ == Life::serving && !is_output_full(token) &&
                      (!connection->door || connection->door->wants_bytes());
    if (read == connection->is_read) {
        return;
    }
    connection->is_read = read;
    ports_.net->set_reading(token, read);
    if (!read) {
        counters_.reading_paused.add();
    } else if (connection->door && !connection->in.unread().empty()) {
        Host host(*this, *connection);
        connection->door->on_bytes(connection->in, host); // frames that were left in the buffer
        refresh_.push_back(token);
    }
}

void Core::on_closed(Token token) {
    if (peers_.owns(token)) {
        peers_.on_closed(token, now());
    } else {
        drop_connection(token);
    }
}

void Core::close_connection(Token token, std::string_view reason) {
    ConnectionSlot* connection = connections_.find(token);
    if (connection == nullptr || connection->closing) {
        return;
    }
    log_line(
        LogLevel::debug, "connection_closed",
        {{"peer", connection->peer.host}, {"port", connection->peer.port}, {"reason", reason}});
    connection->closing = true;
    ports_.net->close_when_sent(token, kCloseDeadlineMs); // on_closed follows
}

// The connection is gone from the net port; what waits for it is abandoned.
void Core::drop_connection(Token token) {
    ConnectionSlot* connection = connections_.find(token);
    if (connection == nullptr) {
        return;
    }
    for (const Token request : std::exchange(connection->pending, {})) {
        PendingSlot* slot = pending_.find(request);
        QT_ASSERT(slot != nullptr);
        slot->connection = Token{};
        slot->pending->on_abandoned(*this);
        changes_.abandon(request);
        if (!slot->pending->holds_borrowed_bytes()) {
            take_pending(request);
        }
    }
    connections_.erase(token);
    counters_.connections_open.set(connections_.size());
    count_closed();
}

void Core::count_closed() {
    counters_.connections_closed.add();
    shared_.connections_open.fetch_sub(1, std::memory_order_relaxed);
    shared_.cores[ports_.id.value()]->connections.fetch_sub(1, std::memory_order_relaxed);
}

void Core::tick_connections(MonoTime at) {
    const int64_t idle_max_ms = shared_.config.connections_idle_max_ms;
    std::vector<Token> idle;
    connections_.for_each([&](ConnectionSlot& connection) {
        if (connection.door && !connection.closing) {
            Host host(*this, connection);
            connection.door->on_tick(at, host);
        }
        if (idle_max_ms >= 0 && connection.pending.empty() &&
            at - connection.last_active > clamped_ms(idle_max_ms)) {
            idle.push_back(connection.token);
        }
    });
    for (const Token token : idle) {
        counters_.connections_idle.add();
        ports_.net->close(token);
        drop_connection(token);
    }
    tick_at_ = connections_.size() > 0 ? at + kTickInterval : kMonoNever;
}

} // namespace qtool::broker
