#include "tests/sim/sim_outgoing.h"

#include "lib/base/assert.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace qtool::sim {

void Outgoing::deliver(const std::function<void(port::CoreEvents&)>& action) {
    if (*alive_) {
        setup_.process->deliver(setup_.core, action);
    }
}

// ---- opening and ending -------------------------------------------------------------------------

void Outgoing::connect(Network* far, std::string peer, uint16_t port, Duration patience) {
    peer_ = std::move(peer);
    World& world = *setup_.world;
    world.after(patience, [this] {
        if (state_ == State::connecting) {
            fail(Error(Code::timed_out, "no answer from " + peer_));
        }
    });
    world.after(world.between(10us, 400us), [this, far, port] {
        if (state_ != State::connecting) {
            return;
        }
        if (far == nullptr) {
            fail(Error(Code::connection_failed, "cannot resolve the host of " + peer_));
            return;
        }
        if (far->is_silent()) {
            return; // the deadline tells
        }
        if (!far->listens_on(port)) {
            fail(Error(Code::connection_refused, "cannot connect to " + peer_));
            return;
        }
        far_ = far;
        stream_ = far->connect(this);
        far->send(stream_, std::exchange(early_, {}));
        far->client_set_reading(stream_, is_read_);
    });
}

void Outgoing::on_open(StreamId) {
    World& world = *setup_.world;
    world.after(world.between(10us, 400us), [this] {
        if (state_ == State::connecting) {
            state_ = State::open;
            setup_.world->trace("connected", stream_, setup_.core.value());
            deliver([this](port::CoreEvents& core) { core.on_connected(setup_.token); });
            schedule_pump();
        }
    });
}

void Outgoing::forget() {
    state_ = State::gone;
    stream_ = 0;
    early_.clear();
    arrived_.clear();
    setup_.near->forget_outgoing(setup_.core, setup_.token);
}

void Outgoing::fail(Error error) {
    setup_.world->trace("connect_failed", setup_.core.value());
    const StreamId stream = stream_;
    forget();
    if (far_ != nullptr) {
        far_->close(stream);
    }
    deliver(
        [&](port::CoreEvents& core) { core.on_connect_failed(setup_.token, std::move(error)); });
}

void Outgoing::lose() {
    forget();
    deliver([this](port::CoreEvents& core) { core.on_closed(setup_.token); });
}

void Outgoing::on_end(StreamId stream) {
    if (state_ == State::gone || stream != stream_) {
        return;
    }
    stream_ = 0;
    if (state_ == State::connecting) {
        fail(Error(Code::connection_refused, "cannot connect to " + peer_));
        return;
    }
    has_ended_ = true;
    if (arrived_.empty() || !is_read_) {
        lose(); // a broken stream is told of even to who does not read
    } else {
        schedule_pump();
    }
}

void Outgoing::close() {
    const StreamId stream = stream_;
    forget();
    if (far_ != nullptr) {
        far_->close(stream);
    }
}

void Outgoing::close_when_sent(Duration patience) {
    if (state_ == State::connecting) {
        close();
        return;
    }
    if (finishing_ || state_ == State::gone) {
        return;
    }
    finishing_ = true;
    is_read_ = false;
    arrived_.clear();
    if (has_stream()) {
        far_->client_finish(stream_);
    }
    setup_.world->after(patience, [this] {
        if (state_ == State::open) {
            if (has_stream()) {
                far_->close(stream_);
            }
            lose();
        }
    });
}

void Outgoing::drop(bool silently) {
    const StreamId stream = stream_;
    state_ = State::gone;
    stream_ = 0;
    if (far_ != nullptr && !silently) {
        far_->close(stream);
    }
}

// ---- bytes --------------------------------------------------------------------------------------

void Outgoing::send(std::vector<port::Piece> pieces) {
    if (state_ == State::gone || finishing_ || (state_ == State::open && !has_stream())) {
        return;
    }
    std::vector<std::byte> bytes;
    for (const port::Piece& piece : pieces) {
        if (const auto* own = std::get_if<std::vector<std::byte>>(&piece)) {
            bytes.insert(bytes.end(), own->begin(), own->end());
        } else if (const auto* chunk = std::get_if<port::ChunkPiece>(&piece)) {
            bytes.insert(bytes.end(), chunk->bytes.begin(), chunk->bytes.end());
        } else {
            const auto& range = std::get<port::FileRange>(piece);
            const size_t at = bytes.size();
            bytes.resize(at + range.size);
            const Result<size_t> got =
                range.file->read_at(ByteSpan(bytes).subspan(at), range.position);
            QT_ASSERT(got && *got == range.size); // brokers send each other no file ranges
        }
    }
    if (has_stream()) {
        far_->send(stream_, bytes);
    } else {
        early_.insert(early_.end(), bytes.begin(), bytes.end());
    }
}

uint64_t Outgoing::queued() const {
    return has_stream() ? far_->client_queued(stream_) : early_.size();
}

void Outgoing::on_written(StreamId) {
    if (written_due_ || state_ != State::open) {
        return;
    }
    written_due_ = true;
    setup_.world->after(0us, [this] {
        written_due_ = false;
        if (state_ == State::open && !finishing_) {
            deliver([this](port::CoreEvents& core) { core.on_sent(setup_.token, queued()); });
        }
    });
}

void Outgoing::set_reading(bool on) {
    if (finishing_ || state_ == State::gone) {
        return;
    }
    is_read_ = on;
    if (has_stream()) {
        far_->client_set_reading(stream_, on);
    }
    schedule_pump();
}

void Outgoing::on_bytes(StreamId stream, ByteView bytes) {
    if (state_ == State::gone || stream != stream_ || finishing_) {
        return;
    }
    arrived_.insert(arrived_.end(), bytes.begin(), bytes.end());
    schedule_pump();
}

void Outgoing::schedule_pump() {
    if (pump_due_ || !is_read_ || state_ != State::open || arrived_.empty()) {
        return;
    }
    pump_due_ = true;
    setup_.world->after(setup_.world->between(0us, 20us), [this] {
        pump_due_ = false;
        pump();
    });
}

// One read of the core.
void Outgoing::pump() {
    if (state_ != State::open || !is_read_ || arrived_.empty()) {
        return;
    }
    deliver([&](port::CoreEvents& core) {
        const ByteSpan into = core.receive_buffer(setup_.token);
        QT_ASSERT(!into.empty());
        const size_t size = std::min(into.size(), arrived_.size());
        std::memcpy(into.data(), arrived_.data(), size);
        arrived_.erase(arrived_.begin(), arrived_.begin() + static_cast<ptrdiff_t>(size));
        core.on_received(setup_.token, size); // may close the stream
    });
    if (state_ == State::open && has_ended_ && arrived_.empty()) {
        lose();
        return;
    }
    schedule_pump();
}

} // namespace qtool::sim
