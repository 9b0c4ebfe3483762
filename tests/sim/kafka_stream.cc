#include "tests/sim/kafka_stream.h"

#include <utility>

namespace qtool::sim {

void KafkaStream::open(const std::string& address, uint16_t port) {
    QT_ASSERT(!is_open());
    in_.clear();
    asked_.clear();
    stream_ = network_.connect(this, address, port);
}

void KafkaStream::close() {
    asked_.clear();
    if (const StreamId stream = std::exchange(stream_, 0); stream != 0) {
        network_.close(stream);
    }
}

void KafkaStream::send(ByteWriter& out, int16_t api_key, int16_t version, OnAnswer on_answer) {
    QT_ASSERT(is_open());
    out.patch_be<int32_t>(0, static_cast<int32_t>(out.size() - sizeof(int32_t)));
    const int32_t correlation = next_correlation_++;
    asked_.push_back({api_key, version, correlation, std::move(on_answer)});
    network_.send(stream_, out.view());
    world_.after(answer_max_, [this, stream = stream_, correlation] {
        if (stream_ == stream && !asked_.empty() && asked_.front().correlation <= correlation) {
            world_.trace("request_timeout", stream);
            close();
            on_end_();
        }
    });
}

void KafkaStream::on_end(StreamId stream) {
    if (stream == stream_) {
        stream_ = 0;
        asked_.clear();
        on_end_();
    }
}

void KafkaStream::on_bytes(StreamId stream, ByteView bytes) {
    if (stream != stream_) {
        return;
    }
    in_.insert(in_.end(), bytes.begin(), bytes.end());
    while (stream == stream_ && take_frame()) {
    }
}

bool KafkaStream::take_frame() {
    if (in_.size() < sizeof(int32_t)) {
        return false;
    }
    const auto size = load_be<int32_t>(in_.data());
    if (size < 4 || size > 64 * 1024 * 1024) {
        world_.violate("an answer's frame has length " + std::to_string(size));
        return false;
    }
    const size_t whole = sizeof(int32_t) + static_cast<size_t>(size);
    if (in_.size() < whole) {
        return false;
    }
    const std::vector<std::byte> frame(in_.begin() + sizeof(int32_t),
                                       in_.begin() + static_cast<ptrdiff_t>(whole));
    in_.erase(in_.begin(), in_.begin() + static_cast<ptrdiff_t>(whole));
    if (asked_.empty()) {
        world_.violate("an answer to nothing that was asked");
        return false;
    }
    const Asked asked = std::move(asked_.front());
    asked_.pop_front();
    size_t header_size = 0;
    const Result<int32_t> correlation =
        protocol::decode_response_header(frame, asked.api_key, asked.version, header_size);
    if (!correlation || *correlation != asked.correlation) {
        world_.violate(
            "answer out of order: correlation id " +
            (correlation ? std::to_string(*correlation) : to_string(correlation.error())) +
            " instead of " + std::to_string(asked.correlation));
        return false;
    }
    asked.on_answer(ByteView(frame).subspan(header_size));
    return true;
}

} // namespace qtool::sim
