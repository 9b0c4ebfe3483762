#include "lib/base/uuid.h"

#include "lib/base/base64.h"

#include <algorithm>

namespace qtool {

Uuid make_uuid(uint64_t high_random, uint64_t low_random) {
    Uuid uuid;
    for (size_t i = 0; i < 8; i++) {
        uuid.bytes[i] = static_cast<uint8_t>(high_random >> (56 - 8 * i));
        uuid.bytes[8 + i] = static_cast<uint8_t>(low_random >> (56 - 8 * i));
    }
    uuid.bytes[6] = static_cast<uint8_t>((uuid.bytes[6] & 0x0f) | 0x40);
    uuid.bytes[8] = static_cast<uint8_t>((uuid.bytes[8] & 0x3f) | 0x80);
    return uuid;
}

std::string to_string(const Uuid& uuid) {
    return base64_encode(std::as_bytes(std::span(uuid.bytes)), Base64Alphabet::url);
}

Result<Uuid> parse_uuid(std::string_view text) {
    auto bytes = base64_decode(text, Base64Alphabet::url);
    if (!bytes || bytes->size() != 16) {
        return Error(Code::invalid_argument,
                     "id '" + std::string(text.substr(0, 64)) + "' is not 22 characters of base64");
    }
    Uuid uuid;
    std::memcpy(uuid.bytes.data(), bytes->data(), 16);
    return uuid;
}

} // namespace qtool
