// Proves: what a connection sends comes out of its ReceiveBuffer byte for byte, however the reads
// cut it; an idle connection owns no memory; of large frames little goes through the scratch. A
// model of the door takes frames of a length field and a body, as the Kafka door does.
#include "lib/base/prng.h"
#include "server/request/receive_buffer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <vector>

using namespace qtool;
using request::ReceiveBuffer;
using request::Scratch;

namespace {

constexpr size_t kLengthSize = 4;

std::vector<std::byte> frame_of(size_t body_size, uint8_t fill) {
    std::vector<std::byte> frame(kLengthSize + body_size, std::byte{fill});
    store_be<uint32_t>(frame.data(), static_cast<uint32_t>(body_size));
    return frame;
}

/// A connection: takes whole frames as they come.
struct Taker {
    ReceiveBuffer in;
    std::vector<std::vector<std::byte>> frames;
    std::vector<size_t> reads; // bytes each read was offered

    /// One read of what is left of `sent`; returns how much it took.
    size_t read(Scratch& scratch, ByteView sent, size_t size_max) {
        const ByteSpan space = in.space(scratch);
        reads.push_back(space.size());
        const size_t size = std::min({space.size(), sent.size(), size_max});
        std::memcpy(space.data(), sent.data(), size);
        in.commit(size);
        parse();
        return size;
    }

private:
    void parse() {
        size_t frame_size = 0;
        for (;;) {
            const ByteView unread = in.unread();
            frame_size = 0;
            if (unread.size() < kLengthSize) {
                frame_size = unread.empty() ? 0 : kLengthSize;
                break;
            }
            frame_size = kLengthSize + load_be<uint32_t>(unread.data());
            if (unread.size() < frame_size) {
                break;
            }
            in.consume(kLengthSize);
            const ReceiveBuffer::Taken taken = in.take(frame_size - kLengthSize);
            frames.emplace_back(taken.bytes.begin(), taken.bytes.end());
        }
        in.settle(frame_size);
    }
};

} // namespace

TEST_CASE("receive buffer: frames of all sizes come out whole, however the reads cut them") {
    Prng random(20261127);
    for (int run = 0; run < 200; run++) {
        CAPTURE(run);
        std::vector<std::byte> sent;
        std::vector<size_t> sizes;
        for (int i = 0; i < 12; i++) {
            const size_t size = random.below(3) == 0 ? random.below(600'000) : random.below(3000);
            sizes.push_back(size);
            const std::vector<std::byte> frame = frame_of(size, static_cast<uint8_t>(i + 1));
            sent.insert(sent.end(), frame.begin(), frame.end());
        }
        Scratch scratch;
        Taker taker;
        for (size_t at = 0; at < sent.size();) {
            const size_t size_max = random.below(4) == 0 ? 1 + random.below(7) : 1'000'000;
            at += taker.read(scratch, ByteView(sent).subspan(at), size_max);
        }
        REQUIRE(taker.frames.size() == sizes.size());
        for (size_t i = 0; i < sizes.size(); i++) {
            REQUIRE(taker.frames[i].size() == sizes[i]);
            CHECK(std::all_of(taker.frames[i].begin(), taker.frames[i].end(),
                              [&](std::byte b) { return b == std::byte(i + 1); }));
        }
        CHECK(taker.in.unread().empty());
    }
}

TEST_CASE("receive buffer: after a large frame little of the next goes through the scratch") {
    Scratch scratch;
    Taker taker;
    const std::vector<std::byte> large = frame_of(500'000, 1);
    const auto send = [&](const std::vector<std::byte>& frame) {
        taker.reads.clear();
        for (size_t at = 0; at < frame.size();) {
            at += taker.read(scratch, ByteView(frame).subspan(at), 1'000'000);
        }
        return taker.reads;
    };
    // 500,004 bytes: what fits the scratch is copied to a chunk of the frame's size.
    CHECK(send(large) ==
          std::vector<size_t>{request::kScratchSize, large.size() - request::kScratchSize});
    CHECK(send(large) ==
          std::vector<size_t>{request::kLargeFirstRead, large.size() - request::kLargeFirstRead});
    // A small one ends that.
    CHECK(send(frame_of(100, 2)) == std::vector<size_t>{request::kLargeFirstRead});
    CHECK(send(frame_of(100, 2)) == std::vector<size_t>{request::kScratchSize});
    CHECK(taker.frames.size() == 4);
}

TEST_CASE("receive buffer: a connection between frames shares the scratch with others") {
    Scratch scratch;
    Taker one;
    Taker other;
    const std::vector<std::byte> frame = frame_of(1000, 3);
    one.read(scratch, frame, frame.size());
    const std::byte* const at = one.in.space(scratch).data();
    one.in.settle(0);
    CHECK(other.in.space(scratch).data() == at);
    other.in.settle(0);
}
