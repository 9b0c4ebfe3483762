// Base64 (RFC 4648): standard with padding, and URL-safe without.
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace qtool {

enum class Base64Alphabet : uint8_t { standard, url };

std::string base64_encode(ByteView bytes, Base64Alphabet alphabet);

/// Padding is optional on input. Errors: malformed.
Result<std::vector<std::byte>> base64_decode(std::string_view text, Base64Alphabet alphabet);

} // namespace qtool
