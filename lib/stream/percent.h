// Percent-encoding of the parts of a URL (RFC 3986 section 2.1).
#pragma once

#include "lib/base/result.h"

#include <string>
#include <string_view>

namespace qtool::stream {

/// Encodes all but RFC 3986's unreserved characters.
std::string encode_path_segment(std::string_view text);

/// %XX to bytes; with `plus_is_blank` also '+' to ' ', as in a query. Errors: malformed (a cut or
/// non-hex escape).
Result<std::string> decode_percent(std::string_view text, bool plus_is_blank);

} // namespace qtool::stream
