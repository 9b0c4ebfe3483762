#pragma once

#include <cstdint>

namespace qtool {

inline constexpr uint64_t KiB = 1024;
inline constexpr uint64_t MiB = 1024 * KiB;
inline constexpr uint64_t GiB = 1024 * MiB;

} // namespace qtool
