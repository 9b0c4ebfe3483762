#include "server/peer/peer_links.h"

#include "lib/base/assert.h"
#include "lib/base/byte_writer.h"
#include "lib/base/log.h"
#include "lib/protocol/header.h"
#include "lib/protocol/limits.h"

#include <algorithm>
#include <utility>

namespace qtool::peer {

namespace {

// What the caller knows its call by.
Answer answer_to(const Call& call) {
    Answer made;
    made.from = call.to;
    made.purpose = call.purpose;
    made.api_key = call.api_key;
    made.version = call.version;
    made.token = call.token;
    made.index = call.index;
    made.is_partition_op = call.is_partition_op;
    made.hop = call.hop;
    return made;
}

} // namespace

PeerLinks::PeerLinks(Setup setup) : setup_(setup) {}

PeerLinks::~PeerLinks() = default;

PeerLinks::Link& PeerLinks::link(BrokerId broker, Purpose purpose) {
    const LinkKey key{broker, purpose};
    auto& found = links_[key];
    if (!found) {
        found = std::make_unique<Link>(key, setup_.answer_size_max);
    }
    return *found;
}

void PeerLinks::apply(const metadata::Image& image, MonoTime now) {
    std::map<BrokerId, Peer> peers;
    for (const auto& [id, broker] : image.brokers) {
        if (id != setup_.self && broker.is_live()) {
            peers.emplace(id, Peer{broker.host, broker.port, broker.epoch});
        }
    }
    if (peers == peers_ || is_closed_) {
        return;
    }
    peers_ = std::move(peers);
    for (auto& [key, at] : links_) {
        Link& link = *at;
        const auto peer = peers_.find(key.first);
        if (peer == peers_.end()) {
            const Error error(Code::no_broker, "broker " + std::to_string(key.first.value()) +
                                                   " is no longer there");
            drop(link, error);
            fail_queued(link, error);
            link.backoff = Duration{};
            continue;
        }
        if (link.peer == peer->second) {
            continue;
        }
        drop(link, Error(Code::connection_failed,
                         "broker " + std::to_string(key.first.value()) + " registered again"));
        link.backoff = Duration{};
        pump(link, now);
    }
    if (setup_.watches) {
        for (const auto& [id, peer] : peers_) {
            pump(link(id, Purpose::calls), now);
        }
    }
}

void PeerLinks::call(Call call, MonoTime now) {
    setup_.counters->peer_calls.add();
    if (is_closed_) {
        answer(call, Error(Code::shutting_down));
        return;
    }
    if (peers_.count(call.to) == 0) {
        answer(call, Error(Code::no_broker,
                           "broker " + std::to_string(call.to.value()) + " is not there"));
        return;
    }
    Link& to = link(call.to, call.purpose);
    if (to.queued.size() >= kQueuedMax) {
        answer(call, Error(Code::overloaded,
                           "too many calls wait for broker " + std::to_string(call.to.value())));
        return;
    }
    set_due(to, std::min(to.due, call.deadline));
    to.queued.push_back(std::move(call));
    pump(to, now);
}

void PeerLinks::probe(BrokerId broker, MonoTime now) {
    if (is_closed_ || peers_.count(broker) == 0) {
        return;
    }
    Link& to = link(broker, Purpose::calls);
    if (to.state == State::idle) {
        connect(to, now);
    }
}

// ---- one link -----------------------------------------------------------------------------------

void PeerLinks::connect(Link& link, MonoTime now) {
    QT_ASSERT(!link.token);
    link.peer = peers_.at(link.key.first);
    link.state = State::connecting;
    link.retry_at = kMonoNever;
    link.has_answered = false;
    link.received_at = now;
    link.reader = client::FrameReader(setup_.answer_size_max, "the largest answer of a broker");
    link.token = setup_.net->connect(link.peer.host, link.peer.port, kConnectDeadlineMs);
    by_token_[link.token] = &link;
}

// Sends what may be sent, after connecting where that is needed and allowed.
void PeerLinks::pump(Link& link, MonoTime now) {
    if (link.state == State::idle && (!link.queued.empty() || is_watched(link))) {
        connect(link, now);
    }
    while (link.state == State::open && !link.queued.empty() &&
           link.in_flight.size() < kInFlightMax) {
        Call call = std::move(link.queued.front());
        link.queued.pop_front();
        send(link, std::move(call), now);
    }
}

void PeerLinks::send(Link& link, Call call, MonoTime now) {
    const int32_t correlation_id = link.next_correlation_id;
    link.next_correlation_id = correlation_id == INT32_MAX ? 1 : correlation_id + 1;
    const std::string client_id = "broker-" + std::to_string(setup_.self.value());
    ByteWriter head(64);
    head.be<int32_t>(0); // the length
    protocol::encode_request_header(
        head, {call.api_key, call.version, correlation_id, std::string_view(client_id)});
    const size_t size = head.size() - protocol::kFrameLengthSize + call.body.size();
    QT_ASSERT(size <= INT32_MAX);
    head.patch_be<int32_t>(0, static_cast<int32_t>(size));
    setup_.counters->bytes_sent.add(size + protocol::kFrameLengthSize);
    std::vector<port::Piece> pieces;
    pieces.emplace_back(head.take());
    pieces.emplace_back(std::exchange(call.body, {}));
    setup_.net->send(link.token, std::move(pieces));
    link.in_flight.push_back({std::move(call), correlation_id, now, false});
}

void PeerLinks::drop(Link& link, const Error& error) {
    if (link.token) {
        by_token_.erase(link.token);
        setup_.net->close(std::exchange(link.token, Token{}));
        if (link.state == State::open) {
            count_open(-1);
        }
    }
    link.state = State::idle;
    link.retry_at = kMonoNever;
    for (const InFlight& flight : std::exchange(link.in_flight, {})) {
        if (!flight.is_answered) {
            answer(flight.call, error);
        }
    }
}

void PeerLinks::fail_queued(Link& link, const Error& error) {
    for (const Call& call : std::exchange(link.queued, {})) {
        answer(call, error);
    }
}

void PeerLinks::wait(Link& link, MonoTime now) {
    link.backoff = std::clamp(link.backoff * 2, Duration(kBackoffMin), Duration(kBackoffMax));
    // Some of it by chance, so that brokers do not come back to a restarted one all at once.
    const auto half = static_cast<uint64_t>(link.backoff.count() / 2);
    link.state = State::waiting;
    link.retry_at = now + Duration(static_cast<int64_t>(half + setup_.random->next() % (half + 1)));
    set_due(link, std::min(link.due, link.retry_at));
}

// An open connection is of no more use.
void PeerLinks::break_link(Link& link, const Error& error, MonoTime now) {
    // Each core has links of its own: one tells, the others agree.
    log_line(is_watched(link) ? LogLevel::info : LogLevel::debug, "peer_lost",
             {{"broker", link.key.first.value()}, {"error", to_string(error)}});
    const bool was_useful = link.has_answered;
    drop(link, error);
    if (was_useful) {
        link.backoff = Duration{};
        connect(link, now);
    } else {
        wait(link, now);
    }
}

// ---- events -------------------------------------------------------------------------------------

void PeerLinks::on_connected(Token connection, MonoTime now) {
    Link& link = *by_token_.at(connection);
    link.state = State::open;
    link.received_at = now;
    setup_.counters->peer_connects.add();
    count_open(1);
    pump(link, now);
}

void PeerLinks::on_connect_failed(Token connection, const Error& error, MonoTime now) {
    const auto at = by_token_.find(connection);
    Link& link = *at->second;
    by_token_.erase(at);
    link.token = Token{};
    setup_.counters->peer_connect_failures.add();
    if (link.backoff == Duration{}) { // the first of a row: the others say nothing new
        log_line(is_watched(link) ? LogLevel::info : LogLevel::debug, "peer_unreachable",
                 {{"broker", link.key.first.value()}, {"error", to_string(error)}});
    }
    if (error.code == Code::connection_refused) {
        refused_.push_back({link.key.first, link.peer.epoch});
    }
    fail_queued(link, error);
    wait(link, now);
}

ByteSpan PeerLinks::receive_buffer(Token connection) {
    return by_token_.at(connection)->reader.space();
}

void PeerLinks::on_received(Token connection, size_t size, MonoTime now) {
    Link& link = *by_token_.at(connection);
    setup_.counters->bytes_received.add(size);
    link.received_at = now;
    const Result<bool> whole = link.reader.received(size);
    if (!whole) {
        break_link(link, whole.error(), now);
        return;
    }
    if (!*whole) {
        return;
    }
    if (const Result<void> taken = take_frame(link); !taken) {
        break_link(link, taken.error(), now);
        return;
    }
    link.has_answered = true;
    link.backoff = Duration{};
    pump(link, now);
}

Result<void> PeerLinks::take_frame(Link& link) {
    client::Frame frame = link.reader.take();
    QT_TRY_ASSIGN(const int32_t correlation_id, protocol::peek_correlation_id(frame.view()));
    if (link.in_flight.empty() || link.in_flight.front().correlation_id != correlation_id) {
        return Error(Code::malformed, "answer with correlation id " +
                                          std::to_string(correlation_id) +
                                          ", which is not the oldest call's");
    }
    const Call& call = link.in_flight.front().call;
    Answer made = answer_to(call);
    QT_TRY(
        protocol::decode_response_header(frame.view(), call.api_key, call.version, made.body_at));
    if (!link.in_flight.front().is_answered) {
        made.frame = std::move(frame);
        answers_.push_back(std::move(made));
    }
    link.in_flight.pop_front();
    return {};
}

void PeerLinks::on_closed(Token connection, MonoTime now) {
    const auto at = by_token_.find(connection);
    Link& link = *at->second;
    by_token_.erase(at);
    link.token = Token{};
    count_open(-1);
    break_link(link,
               Error(Code::connection_failed,
                     "broker " + std::to_string(link.key.first.value()) + " closed the connection"),
               now);
}

// ---- time ---------------------------------------------------------------------------------------

void PeerLinks::set_due(Link& link, MonoTime due) {
    if (due == link.due) {
        return;
    }
    due_.erase({link.due, link.key});
    link.due = due;
    if (due != kMonoNever) {
        due_.insert({due, link.key});
    }
}

void PeerLinks::on_time(MonoTime now) {
    std::vector<Link*> late;
    for (auto at = due_.begin(); at != due_.end() && at->first <= now; ++at) {
        late.push_back(links_.at(at->second).get());
    }
    for (Link* link : late) {
        look_at_deadlines(*link, now);
        if (link->state == State::waiting && link->retry_at <= now) {
            link->state = State::idle;
            link->retry_at = kMonoNever;
            pump(*link, now);
        }
        MonoTime due = link->retry_at;
        for (const InFlight& flight : link->in_flight) {
            due = flight.is_answered ? due : std::min(due, flight.call.deadline);
        }
        for (const Call& call : link->queued) {
            due = std::min(due, call.deadline);
        }
        set_due(*link, due);
    }
}

void PeerLinks::look_at_deadlines(Link& link, MonoTime now) {
    const Error error(Code::timed_out, "no answer of broker " +
                                           std::to_string(link.key.first.value()) +
                                           " before the deadline of the call");
    std::erase_if(link.queued, [&](const Call& call) {
        if (call.deadline > now) {
            return false;
        }
        answer(call, error);
        return true;
    });
    bool is_silent = false;
    for (InFlight& flight : link.in_flight) {
        if (!flight.is_answered && flight.call.deadline <= now) {
            flight.is_answered = true;
            answer(flight.call, error);
            // Slow is one thing; not a byte since the call was sent is another.
            is_silent = is_silent || link.received_at <= flight.sent_at;
        }
    }
    if (is_silent) {
        break_link(link, error, now);
    }
}

void PeerLinks::answer(const Call& call, Result<void> result) {
    QT_ASSERT(!result); // answers with a frame are made in take_frame
    setup_.counters->peer_calls_failed.add();
    Answer made = answer_to(call);
    made.result = std::move(result);
    answers_.push_back(std::move(made));
}

void PeerLinks::count_open(int change) {
    open_ = change > 0 ? open_ + 1 : open_ - 1;
    setup_.counters->peer_connections_open.set(open_);
}

void PeerLinks::close() {
    is_closed_ = true;
    const Error error(Code::shutting_down);
    for (auto& [key, link] : links_) {
        drop(*link, error);
        fail_queued(*link, error);
        set_due(*link, kMonoNever);
    }
}

} // namespace qtool::peer
