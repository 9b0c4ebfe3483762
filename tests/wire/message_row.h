// What the generated table of messages is made of: random values for a message at a version, and
// the ways through its codec as plain functions. Randomness is seeded; a filler keeps the bytes
// that the messages it filled point to.
#pragma once

#include "lib/base/prng.h"
#include "lib/protocol/primitive.h"

#include <deque>
#include <string>
#include <vector>

namespace qtool::protocol::test {

class Filler {
public:
    explicit Filler(uint64_t seed) : prng_(seed) {}

    bool bool_() { return prng_.chance(500'000); }
    int8_t int8_() { return static_cast<int8_t>(prng_.next()); }
    int16_t int16_() { return static_cast<int16_t>(prng_.next()); }
    uint16_t uint16_() { return static_cast<uint16_t>(prng_.next()); }
    int32_t int32_() { return static_cast<int32_t>(prng_.next()); }
    uint32_t uint32_() { return static_cast<uint32_t>(prng_.next()); }
    int64_t int64_() { return static_cast<int64_t>(prng_.next()); }
    double float64_() { return static_cast<double>(int32_()) / 8; }
    Uuid uuid_() { return make_uuid(prng_.next(), prng_.next()); }
    std::string_view string_() {
        std::string& text = kept_.emplace_back();
        // Now and then longer than one byte of a compact length can say.
        const size_t size = prng_.chance(50'000) ? 200 : prng_.below(12);
        for (size_t i = 0; i < size; i++) {
            text.push_back(static_cast<char>('a' + prng_.below(26)));
        }
        return text;
    }
    ByteView bytes_() { return as_bytes(string_()); }
    RecordsRef records_() { return RecordsRef{bytes_(), 0}; }

    template <class T>
    std::vector<T>& resized(std::vector<T>& items) {
        items.resize(prng_.below(4));
        return items;
    }
    bool chooses_null() { return prng_.chance(250'000); }
    bool chooses_tagged() { return prng_.chance(600'000); }

private:
    Prng prng_;
    std::deque<std::string> kept_;
};

struct MessageRow {
    std::string_view name;
    int16_t api_key; // -1: not a request or response
    bool is_request;
    int16_t version_min;
    int16_t version_max;
    int16_t flexible_from;
    /// A random message, encoded. Fails the test if decoding does not give the same value.
    std::vector<std::byte> (*round_trip)(Filler& filler, int16_t version, bool& is_same);
    /// Decodes and encodes again.
    Result<std::vector<std::byte>> (*recode)(ByteView bytes, int16_t version);
};

template <class Message>
std::vector<std::byte> round_trip(Filler& filler, int16_t version, bool& is_same) {
    Message message;
    fill(filler, message, version);
    ByteWriter writer;
    message.encode(writer, version);
    std::vector<std::byte> bytes = writer.take();
    const auto decoded = Message::decode(bytes, version);
    is_same = decoded.has_value() && *decoded == message;
    return bytes;
}

template <class Message>
Result<std::vector<std::byte>> recode(ByteView bytes, int16_t version) {
    QT_TRY_ASSIGN(const Message message, Message::decode(bytes, version));
    ByteWriter writer;
    message.encode(writer, version);
    return writer.take();
}

template <class Message>
MessageRow make_row(std::string_view name, int16_t api_key, bool is_request) {
    return {name,
            api_key,
            is_request,
            Message::kVersionMin,
            Message::kVersionMax,
            Message::kFlexibleFrom,
            &round_trip<Message>,
            &recode<Message>};
}

} // namespace qtool::protocol::test
