#include "server/kafka/connection.h"

#include "lib/base/assert.h"
#include "server/kafka/dispatch.h"

#include <algorithm>

namespace qtool::kafka {

namespace {
constexpr size_t kLengthSize = 4;
}

void Connection::on_bytes(request::ReceiveBuffer& in, request::DoorHost& host) {
    size_t frame_size = 0; // of the frame that is not whole yet, length field included
    while (wants_bytes() && host.wants_requests()) {
        const ByteView unread = in.unread();
        if (unread.size() < kLengthSize) {
            frame_size = unread.empty() ? 0 : kLengthSize;
            break;
        }
        const auto length = load_be<int32_t>(unread.data());
        if (length < 0 || static_cast<uint32_t>(length) > frame_bytes_max_) {
            host.counters().frames_oversized.add();
            close(host, "frame of " + std::to_string(length) + " bytes, the limit is " +
                            std::to_string(frame_bytes_max_) + " (socket.request.max.bytes)");
            break;
        }
        frame_size = kLengthSize + static_cast<size_t>(length);
        if (unread.size() < frame_size) {
            break;
        }
        in.consume(kLengthSize);
        if (!handle_frame(in.take(static_cast<size_t>(length)), host)) {
            break;
        }
        frame_size = 0;
    }
    if (closing_) {
        in.consume(in.unread().size());
    }
    in.settle(frame_size);
}

bool Connection::handle_frame(request::ReceiveBuffer::Taken frame, request::DoorHost& host) {
    const uint64_t slot = replies_.open();
    if (frame.bytes.size() >= 2 * sizeof(int16_t)) { // else it gets no answer
        asked_.push_back({slot, load_be<int16_t>(frame.bytes.data()),
                          load_be<int16_t>(frame.bytes.data() + sizeof(int16_t)),
                          host.services().now()});
    }
    Outcome outcome = dispatch(std::move(frame), sessions_, throttle_, host);
    if (auto* answer = std::get_if<Answer>(&outcome)) {
        on_answer(slot, std::move(answer->pieces), host);
    } else if (auto* pending = std::get_if<std::unique_ptr<request::Pending>>(&outcome)) {
        host.add_pending(std::move(*pending), slot);
    } else if (std::holds_alternative<NoAnswer>(outcome)) {
        on_answer(slot, {}, host);
    } else {
        close(host, std::get<Close>(outcome).reason);
        return false;
    }
    mute(host);
    return !closing_;
}

void Connection::on_answer(uint64_t slot, std::vector<port::Piece> pieces,
                           request::DoorHost& host) {
    const auto asked = std::find_if(asked_.begin(), asked_.end(),
                                    [slot](const Asked& entry) { return entry.slot == slot; });
    QT_ASSERT(asked != asked_.end());
    const MonoTime now = host.services().now();
    if (asked->api_key >= 0 && static_cast<size_t>(asked->api_key) < metrics::kApiCount) {
        host.counters().api[static_cast<size_t>(asked->api_key)].total.observe(now -
                                                                               asked->received_at);
    }
    if (const int32_t throttle_time_ms = throttle_.remaining_ms(now)) {
        set_throttle_time(pieces, asked->api_key, asked->api_version, throttle_time_ms);
    }
    asked_.erase(asked);
    mute(host);
    std::vector<port::Piece> leaving = replies_.fill(slot, std::move(pieces));
    if (!leaving.empty()) {
        host.send(std::move(leaving));
    }
}

void Connection::mute(request::DoorHost& host) {
    muted_ = throttle_.until() > host.services().now();
    if (muted_ && wake_at_ <= host.services().now()) {
        wake_at_ = throttle_.until();
        host.wake_at(wake_at_);
    }
}

void Connection::on_tick(MonoTime, request::DoorHost& host) {
    mute(host);
}

void Connection::close(request::DoorHost& host, std::string_view reason) {
    closing_ = true;
    host.close(reason);
}

} // namespace qtool::kafka
