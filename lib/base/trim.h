// Blanks off both ends of a text; which bytes are blanks is the format's to say.
#pragma once

#include <string_view>

namespace qtool {

/// A part of `text`, without the bytes of `blanks` at its ends; empty when it has no others.
constexpr std::string_view trim(std::string_view text, std::string_view blanks) {
    const size_t first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos) {
        return {};
    }
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

} // namespace qtool
