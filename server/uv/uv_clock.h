// Clock and random bits of a core, from the system. The clock is read at each call: through the
// vDSO it costs some 20 ns, and a value cached per turn would make alarms look early.
#pragma once

#include "server/port/clock.h"
#include "server/port/random.h"

#include <array>
#include <cstddef>

namespace qtool::uv {

class UvClock final : public port::Clock {
public:
    [[nodiscard]] MonoTime mono() const override;
    [[nodiscard]] WallTime wall() const override;
};

/// getrandom(2), a block at a time. Lives on its core.
class UvRandom final : public port::Random {
public:
    uint64_t next() override;

private:
    static constexpr size_t kBlockCount = 32; // 256 bytes: the most getrandom gives uninterrupted
    std::array<uint64_t, kBlockCount> block_{};
    size_t used_ = kBlockCount;
};

} // namespace qtool::uv
