// A clock that tests move by hand.
#pragma once

#include "server/port/clock.h"
#include "tests/unit/server/storage/log_fixture.h"

namespace qtool::replica::test {

class StepClock final : public port::Clock {
public:
    Duration passed{};
    [[nodiscard]] MonoTime mono() const override { return MonoTime(1s) + passed; }
    [[nodiscard]] WallTime wall() const override {
        return WallTime(std::chrono::milliseconds(storage::test::kNowMs)) +
               duration_cast<std::chrono::milliseconds>(passed);
    }
};

} // namespace qtool::replica::test
