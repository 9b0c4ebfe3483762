// Randomness that is the same in each run.
#pragma once

#include "server/port/random.h"

namespace qtool::port::test {

struct FixedRandom final : port::Random {
    uint64_t next() override { return 4; }
};

} // namespace qtool::port::test
