// Random bits for ids and jitter: from the system in production, from the seed in simulation.
#pragma once

#include <cstdint>

namespace qtool::port {

class Random {
public:
    virtual ~Random() = default;
    virtual uint64_t next() = 0;
};

} // namespace qtool::port
