// What every alarm and clock keeps to. `World` is a PortWorld made with a number of data cores.
#pragma once

#include "tests/port/port_world.h"

#include <doctest/doctest.h>

#include <optional>

namespace qtool::test {

TEST_CASE_TEMPLATE_DEFINE("timer: an alarm rings once, not early, and its turn ends", World,
                          timer_rings) {
    World world(1);
    TestCore& core = world.core(0);
    std::optional<MonoTime> rung;
    MonoTime due{};
    core.timer = [&] { rung = core.ports().clock->mono(); };
    for (const Duration delay : {Duration(0), Duration(300us), Duration(1ms), Duration(7ms)}) {
        rung.reset();
        const int before = core.timers;
        world.on_core(0, [&] {
            due = core.ports().clock->mono() + delay;
            core.ports().timer->set_alarm(due);
        });
        REQUIRE(world.wait_until([&] { return rung && !core.turn_open; }));
        CHECK(*rung >= due);
        world.wait_for(5ms);
        CHECK(world.wait_until([&] { return core.timers == before + 1; }));
    }
    CHECK(world.violation() == "");
}

TEST_CASE_TEMPLATE_DEFINE("timer: a new alarm replaces the old one", World, timer_replaced) {
    World world(1);
    TestCore& core = world.core(0);
    const auto set = [&](Duration delay) {
        core.ports().timer->set_alarm(core.ports().clock->mono() + delay);
    };
    world.on_core(0, [&] {
        set(1ms);
        core.ports().timer->set_alarm(kMonoNever);
    });
    world.wait_for(20ms);
    CHECK(world.wait_until([&] { return core.timers == 0; }));
    world.on_core(0, [&] {
        set(1h);
        set(-1s); // due already
        CHECK(core.timers == 0);
    });
    CHECK(world.wait_until([&] { return core.timers == 1; }));
    // From within on_timer too.
    core.timer = [&] {
        if (core.timers < 10) {
            set(100us);
        }
    };
    world.on_core(0, [&] { set(0us); });
    CHECK(world.wait_until([&] { return core.timers == 10; }));
    CHECK(world.violation() == "");
}

} // namespace qtool::test
