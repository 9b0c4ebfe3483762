// The version of both programs; the same number as in the top CMakeLists.txt.
#pragma once

#include <string_view>

namespace qtool {

inline constexpr std::string_view kVersion = "0.1.0";

} // namespace qtool
