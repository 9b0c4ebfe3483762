#include "lib/base/base64.h"

namespace qtool {

namespace {

constexpr std::string_view kStandard =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrl =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

} // namespace

std::string base64_encode(ByteView bytes, Base64Alphabet alphabet) {
    const std::string_view letters = alphabet == Base64Alphabet::url ? kUrl : kStandard;
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    uint32_t bits = 0;
    int held = 0;
    for (std::byte b : bytes) {
        bits = (bits << 8) | static_cast<uint32_t>(b);
        held += 8;
        while (held >= 6) {
            held -= 6;
            text += letters[(bits >> held) & 63];
        }
    }
    if (held > 0) {
        text += letters[(bits << (6 - held)) & 63];
    }
    if (alphabet == Base64Alphabet::standard) {
        text.append((4 - text.size() % 4) % 4, '=');
    }
    return text;
}

Result<std::vector<std::byte>> base64_decode(std::string_view text, Base64Alphabet alphabet) {
    const std::string_view letters = alphabet == Base64Alphabet::url ? kUrl : kStandard;
    while (!text.empty() && text.back() == '=') {
        text.remove_suffix(1);
    }
    if (text.size() % 4 == 1) {
        return Error(Code::malformed, "base64 text has an impossible length");
    }
    std::vector<std::byte> bytes;
    bytes.reserve(text.size() * 3 / 4);
    uint32_t bits = 0;
    int held = 0;
    for (char c : text) {
        const size_t value = letters.find(c);
        if (value == std::string_view::npos) {
            return Error(Code::malformed, "base64 text has a character outside its alphabet");
        }
        bits = (bits << 6) | static_cast<uint32_t>(value);
        held += 6;
        if (held >= 8) {
            held -= 8;
            bytes.push_back(static_cast<std::byte>((bits >> held) & 255));
        }
    }
    return bytes;
}

} // namespace qtool
