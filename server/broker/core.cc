#include "server/broker/core.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/admin/http_connection.h"
#include "server/broker/first_byte.h"
#include "server/broker/internal_requests.h"
#include "server/broker/log_dir_views.h"
#include "server/broker/manager_options.h"
#include "server/group/shard.h"
#include "server/kafka/api_table.h"
#include "server/kafka/connection.h"
#include "server/metrics/prometheus.h"
#include "server/txn/txn_shard.h"

#include <algorithm>
#include <utility>

namespace qtool::broker {

namespace {

constexpr uint32_t kCloseDeadlineMs = 2000; // for what is still queued when a connection closes
constexpr Duration kDrainMax = 5s;          // for requests under way when the broker stops
constexpr size_t kDeadlinesKeptMax = 1024;  // of finished requests, before they are swept
constexpr Duration kTickInterval = 5s;      // idle connections, HTTP deadlines

// The machine behind each internal topic.
std::map<std::string, coordinator::Runtime::MakeMachine> machine_makers() {
    std::map<std::string, coordinator::Runtime::MakeMachine> makers;
    makers.emplace(metadata::kGroupTopic,
                   [](PartitionIndex) { return std::make_unique<group::GroupShard>(); });
    makers.emplace(metadata::kTransactionTopic,
                   [](PartitionIndex) { return std::make_unique<txn::TxnShard>(); });
    return makers;
}

} // namespace

// What a door sees of its core and connection while it handles bytes. Short-lived, on the stack.
class Core::Host final : public request::DoorHost {
public:
    Host(Core& core, ConnectionSlot& connection) : core_(core), connection_(connection) {}

    request::Services& services() override { return core_; }
    metrics::CoreCounters& counters() override { return core_.counters_; }
    [[nodiscard]] const port::SocketAddress& peer() const override { return connection_.peer; }
    void add_pending(std::unique_ptr<request::Pending> pending, uint64_t slot) override {
        core_.add_pending(connection_, std::move(pending), slot);
    }
    void send(std::vector<port::Piece> pieces) override {
        for (const port::Piece& piece : pieces) {
            core_.counters_.bytes_sent.add(port::piece_size(piece));
        }
        core_.ports_.net->send(connection_.token, std::move(pieces));
    }
    [[nodiscard]] bool wants_requests() const override {
        return !connection_.closing && !core_.is_output_full(connection_.token);
    }
    void wake_at(MonoTime at) override { core_.door_wakes_.push(at, connection_.token); }
    void close(std::string_view reason) override {
        core_.close_connection(connection_.token, reason);
    }

private:
    Core& core_;
    ConnectionSlot& connection_;
};

Core::Core(port::CorePorts ports, Shared& shared)
    : ports_(ports),
      shared_(shared),
      counters_(*shared.counters[ports.id.value()]),
      partitions_(replica::Manager::Setup{
          ports, BrokerId(shared.config.node_id), shared.log_dirs, &counters_,
          [&shared, id = ports.id](const PartitionKey& key) { return shared.owner(key) == id; },
          manager_options(shared.config, shared.core_count)}),
      coordinators_(coordinator::Runtime::Setup{
          machine_makers(), &partitions_, ports.clock, ports.random, &shared.config,
          BrokerId(shared.config.node_id),
          [&shared, id = ports.id](const PartitionKey& key) { return shared.owner(key) == id; },
          [this] { return take_producer_id(); }, &counters_}),
      image_(std::make_shared<metadata::Image>()) {
    request_mails_.resize(shared.core_count);
    reply_mails_.resize(shared.core_count);
    cancel_mails_.resize(shared.core_count);
}

Core::~Core() = default;

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

// ---- connections --------------------------------------------------------------------------------

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
    counters_.connections_opened.add();
    ConnectionSlot& connection = connections_.open(token);
    counters_.connections_open.set(connections_.size());
    connection.listener = listener;
    connection.peer = peer;
    connection.last_active = now();
    if (life_ == Life::starting) {
        connection.is_read = false;
        ports_.net->set_reading(token, false);
    }
    if (tick_at_ == kMonoNever) {
        tick_at_ = now() + kTickInterval;
    }
}

ByteSpan Core::receive_buffer(Token token) {
    ConnectionSlot* connection = connections_.find(token);
    QT_ASSERT(connection != nullptr);
    return connection->in.space(scratch_);
}

void Core::on_received(Token token, size_t size) {
    ConnectionSlot* connection = connections_.find(token);
    QT_ASSERT(connection != nullptr);
    counters_.bytes_received.add(size);
    connection->in.commit(size);
    connection->last_active = now();
    if (connection->closing || life_ > Life::serving) {
        connection->in.consume(connection->in.unread().size());
        connection->in.settle(0);
        return;
    }
    feed(*connection);
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
    refresh_reading(token);
}

void Core::on_sent(Token token, uint64_t) {
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
    drop_connection(token);
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
    counters_.connections_closed.add();
    counters_.connections_open.set(connections_.size());
    shared_.connections_open.fetch_sub(1, std::memory_order_relaxed);
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

// ---- pending requests ---------------------------------------------------------------------------

void Core::add_pending(ConnectionSlot& connection, std::unique_ptr<request::Pending> pending,
                       uint64_t slot) {
    request::Pending& object = *pending;
    const Token token = pending_.emplace(PendingSlot{std::move(pending), connection.token, slot});
    connection.pending.push_back(token);
    counters_.requests_pending.set(pending_.size());
    object.start(token, *this);
}

void Core::add_internal(std::unique_ptr<request::Pending> pending) {
    request::Pending& object = *pending;
    const Token token = pending_.emplace(PendingSlot{std::move(pending), Token{}, 0, true});
    counters_.requests_pending.set(pending_.size());
    object.start(token, *this);
}

std::optional<ProducerId> Core::take_producer_id() {
    if (producer_ids_.next < producer_ids_.end) {
        return ProducerId(producer_ids_.next++);
    }
    if (!std::exchange(is_refilling_producer_ids_, true)) {
        add_internal(
            std::make_unique<ProducerIdRefill>([this] { is_refilling_producer_ids_ = false; }));
    }
    return std::nullopt;
}

std::unique_ptr<request::Pending> Core::take_pending(Token request) {
    PendingSlot* slot = pending_.find(request);
    QT_ASSERT(slot != nullptr);
    std::unique_ptr<request::Pending> pending = std::move(slot->pending);
    if (ConnectionSlot* connection = connections_.find(slot->connection)) {
        std::erase(connection->pending, request);
    }
    pending_.erase(request);
    counters_.requests_pending.set(pending_.size());
    return pending;
}

void Core::submit(std::vector<replica::PartitionRequest> requests) {
    for (replica::PartitionRequest& request : requests) {
        const CoreId owner = shared_.owner(request.key);
        if (owner == ports_.id) {
            local_requests_.push_back(std::move(request));
        } else {
            requests_to(owner).requests.push_back(std::move(request));
        }
    }
}

void Core::cancel_watches(Token request, const std::vector<PartitionKey>& partitions) {
    for (const PartitionKey& key : partitions) {
        const CoreId owner = shared_.owner(key);
        if (owner == ports_.id) {
            local_cancels_.push_back({request, key}); // behind the reads that may arm them
            continue;
        }
        auto& mail = cancel_mails_[owner.value()];
        if (!mail) {
            mail = std::make_unique<CancelWatchesMail>(ports_.id);
        }
        mail->items.push_back({request, key});
    }
}

void Core::change(Token request, metadata::Operation& operation, MonoTime deadline) {
    changes_.start(request, operation, deadline, *image_, *ports_.random);
}

void Core::set_deadline(Token request, MonoTime due) {
    deadlines_.push(due, request);
    // Requests usually end before their deadline; what they leave here must not pile up.
    if (deadlines_.size() > 2 * pending_.size() + kDeadlinesKeptMax) {
        deadlines_.erase_if([this](const Token& token) { return pending_.find(token) == nullptr; });
    }
}

void Core::finish(Token request, std::vector<port::Piece> pieces) {
    PendingSlot* slot = pending_.find(request);
    QT_ASSERT(slot != nullptr);
    const Token token = slot->connection;
    const uint64_t reply_slot = slot->slot;
    graveyard_.push_back(take_pending(request)); // it may be the caller
    ConnectionSlot* connection = connections_.find(token);
    if (connection == nullptr) {
        return;
    }
    connection->last_active = now();
    if (!connection->closing) {
        Host host(*this, *connection);
        connection->door->on_answer(reply_slot, std::move(pieces), host);
        refresh_.push_back(token);
    }
}

std::string Core::metrics_text() const {
    std::vector<const metrics::CoreCounters*> all;
    for (const auto& counters : shared_.counters) {
        all.push_back(counters.get());
    }
    std::vector<metrics::LogDirGauges> dirs;
    for (replica::LogDirView& dir : view_log_dirs(*shared_.log_dirs, *ports_.disk, now())) {
        dirs.push_back({std::move(dir.path), dir.failure.has_value(), dir.is_low, dir.free_bytes,
                        dir.total_bytes, dir.reserve_bytes, dir.partition_count});
    }
    return metrics::render_prometheus(all, dirs, [](size_t key) { return kafka::api_name(key); });
}

std::vector<replica::LogDirView> Core::log_dirs() {
    return view_log_dirs(*shared_.log_dirs, *ports_.disk, now());
}

void Core::finish_and_close(Token request) {
    PendingSlot* slot = pending_.find(request);
    QT_ASSERT(slot != nullptr);
    const Token token = slot->connection;
    graveyard_.push_back(take_pending(request));
    close_connection(token, "the request failed and its client asked for no answer (acks=0)");
}

// ---- the turn -----------------------------------------------------------------------------------

void Core::on_synced(Token token, Result<void> result) {
    replica::Outbox out;
    const bool known = partitions_.on_synced(token, std::move(result), out);
    QT_ASSERT(known);
    deliver(out);
}

void Core::on_timer() {
    alarm_at_ = kMonoNever;
    const MonoTime at = now();
    while (const std::optional<Token> request = deadlines_.pop_due(at)) {
        if (PendingSlot* slot = pending_.find(*request); slot != nullptr && slot->is_wanted()) {
            slot->pending->on_deadline(*this);
        }
    }
    while (const std::optional<Token> token = door_wakes_.pop_due(at)) {
        ConnectionSlot* connection = connections_.find(*token);
        if (connection != nullptr && connection->door && !connection->closing) {
            Host host(*this, *connection);
            connection->door->on_tick(at, host);
            refresh_.push_back(*token);
        }
    }
    changes_.on_time(at, *image_, *ports_.random);
    if (partitions_.next_due() <= at) {
        replica::Outbox out;
        partitions_.on_time(out);
        deliver(out);
    }
    if (coordinators_.next_due() <= at) {
        replica::Outbox out;
        coordinators_.on_time(out);
        deliver(out);
    }
    if (tick_at_ <= at) {
        tick_connections(at);
    }
}

void Core::on_turn_end() {
    do {
        run_to_quiet();
        replica::Outbox out;
        partitions_.begin_flushes(out);
        deliver(out); // a log that broke just now answers its waiters
    } while (!replies_.empty() || !wakes_.empty());
    graveyard_.clear();
    if (life_ == Life::draining) {
        continue_drain();
    }
    post_mails();
    MonoTime due =
        std::min({deadlines_.next_due(), door_wakes_.next_due(), changes_.next_due(),
                  partitions_.next_due(), coordinators_.next_due(), tick_at_, drain_deadline_});
    if (due != alarm_at_) {
        alarm_at_ = due;
        ports_.timer->set_alarm(due);
    }
}

void Core::run_to_quiet() {
    do {
        run_partition_requests();
        run_answers();
        for (const Token request : changes_.take_finished()) {
            if (PendingSlot* slot = pending_.find(request)) {
                slot->pending->on_changed(*this);
            }
        }
        for (const Token token : std::exchange(refresh_, {})) {
            refresh_reading(token);
        }
        run_coordinators(); // last: answers of markers and appends above are effects on them
    } while (!local_requests_.empty() || !local_cancels_.empty() || !replies_.empty() ||
             !wakes_.empty() || !refresh_.empty() || changes_.has_finished());
}

void Core::handle_partition_request(replica::PartitionRequest& request, CoreId from,
                                    replica::Outbox& out) {
    if (std::holds_alternative<replica::CoordinatorOp>(request.op)) {
        coordinators_.handle(request, from, out);
    } else {
        partitions_.handle(request, from, out);
    }
}

void Core::run_coordinators() {
    replica::Outbox out;
    coordinators_.on_progress(out);
    deliver(out);
    for (coordinator::Runtime::Marker& marker : coordinators_.take_markers()) {
        add_internal(std::make_unique<MarkerWrite>(
            std::move(marker),
            [this](const coordinator::Runtime::Marker& done, Result<void> result) {
                coordinators_.on_marker_written(done.shard, done.request.id, result);
            }));
    }
}

void Core::run_partition_requests() {
    replica::Outbox out;
    for (replica::PartitionRequest& request : std::exchange(local_requests_, {})) {
        handle_partition_request(request, ports_.id, out);
    }
    for (const CancelWatchesMail::Item& item : std::exchange(local_cancels_, {})) {
        partitions_.cancel_watch(ports_.id, item.request, item.partition);
    }
    deliver(out);
}

void Core::run_answers() {
    for (replica::PartitionReply& reply : std::exchange(replies_, {})) {
        const Token request = reply.request;
        PendingSlot* slot = pending_.find(request);
        if (slot == nullptr) {
            continue; // finished without it
        }
        slot->pending->on_partition_reply(std::move(reply), *this);
        slot = pending_.find(request);
        if (slot != nullptr && !slot->is_wanted() && !slot->pending->holds_borrowed_bytes()) {
            graveyard_.push_back(take_pending(request));
        }
    }
    for (const replica::PartitionWake& wake : std::exchange(wakes_, {})) {
        if (PendingSlot* slot = pending_.find(wake.request); slot != nullptr && slot->connection) {
            slot->pending->on_partition_wake(wake.index, *this);
        }
    }
}

void Core::deliver(replica::Outbox& out) {
    for (replica::Outbox::Answer& answer : out.answers) {
        if (answer.core == ports_.id) {
            replies_.push_back(std::move(answer.reply));
        } else {
            replies_to(answer.core).replies.push_back(std::move(answer.reply));
        }
    }
    for (const replica::Outbox::Wake& wake : out.wakes) {
        if (wake.core == ports_.id) {
            wakes_.push_back(wake.wake);
        } else {
            replies_to(wake.core).wakes.push_back(wake.wake);
        }
    }
    out.answers.clear();
    out.wakes.clear();
}

PartitionRequestsMail& Core::requests_to(CoreId core) {
    auto& mail = request_mails_[core.value()];
    if (!mail) {
        mail = std::make_unique<PartitionRequestsMail>(ports_.id);
    }
    return *mail;
}

PartitionRepliesMail& Core::replies_to(CoreId core) {
    auto& mail = reply_mails_[core.value()];
    if (!mail) {
        mail = std::make_unique<PartitionRepliesMail>(ports_.id);
    }
    return *mail;
}

void Core::post_mails() {
    const auto post_all = [&](auto& mails) {
        for (uint16_t core = 0; core < shared_.core_count; core++) {
            if (mails[core]) {
                counters_.mails.add();
                ports_.mailbox->post(CoreId(core), std::move(mails[core]));
            }
        }
    };
    post_all(request_mails_);
    post_all(reply_mails_);
    post_all(cancel_mails_);
    for (ChangeRunner::Commit& commit : changes_.take_commits()) {
        auto mail = std::make_unique<CommitMail>(ports_.id);
        mail->change = commit.change;
        mail->transaction = std::move(commit.transaction);
        ports_.mailbox->post(shared_.metadata_core(), std::move(mail));
    }
}

void Core::on_mail(std::unique_ptr<port::Mail> mail) {
    auto& broker_mail = static_cast<BrokerMail&>(*mail);
    switch (broker_mail.kind) {
    case MailKind::partition_requests: {
        replica::Outbox out;
        for (replica::PartitionRequest& request :
             static_cast<PartitionRequestsMail&>(broker_mail).requests) {
            handle_partition_request(request, broker_mail.from, out);
        }
        deliver(out);
        return;
    }
    case MailKind::partition_replies: {
        auto& answers = static_cast<PartitionRepliesMail&>(broker_mail);
        std::move(answers.replies.begin(), answers.replies.end(), std::back_inserter(replies_));
        wakes_.insert(wakes_.end(), answers.wakes.begin(), answers.wakes.end());
        return;
    }
    case MailKind::cancel_watches:
        for (const auto& item : static_cast<CancelWatchesMail&>(broker_mail).items) {
            partitions_.cancel_watch(broker_mail.from, item.request, item.partition);
        }
        return;
    case MailKind::image:
        apply_image(static_cast<ImageMail&>(broker_mail));
        return;
    case MailKind::committed: {
        auto& committed = static_cast<CommittedMail&>(broker_mail);
        changes_.on_committed(committed.change, std::move(committed.result), now(), *ports_.random);
        return;
    }
    case MailKind::serve:
        serve();
        return;
    case MailKind::drain:
        begin_drain();
        return;
    case MailKind::close:
        close_partitions();
        return;
    case MailKind::image_applied:
    case MailKind::commit:
    case MailKind::listening:
    case MailKind::drained:
    case MailKind::closed:
        break;
    }
    QT_UNREACHABLE(); // mail for the metadata core
}

void Core::apply_image(ImageMail& mail) {
    image_ = std::move(mail.image);
    if (life_ < Life::drained) {
        replica::Outbox out;
        coordinators_.forget_deleted(mail.delta, out);
        partitions_.set_options(manager_options(config(), shared_.core_count));
        partitions_.apply(*image_, mail.delta, out);
        coordinators_.apply(image_, mail.delta);
        deliver(out);
    }
    ports_.mailbox->post(shared_.metadata_core(),
                         std::make_unique<ImageAppliedMail>(ports_.id, image_->revision));
}

// ---- life ---------------------------------------------------------------------------------------

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
