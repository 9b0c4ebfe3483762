// Proves the loop's ends: what wakes it, what lets it return, and alarms that are never early.
#include "lib/net/loop.h"
#include "lib/net/timer.h"

#include <doctest/doctest.h>

#include <memory>
#include <thread>
#include <vector>

using namespace qtool;
using namespace qtool::net;

TEST_CASE("loop: with nothing to do run returns") {
    Loop loop;
    loop.run();
    CHECK_FALSE(loop.run_once(Loop::Wait::yes));
}

TEST_CASE("loop: another thread wakes it, several times may be once") {
    Loop loop;
    int woken = 0;
    WakeUp wake(loop, [&] {
        woken++;
        loop.stop();
    });
    std::thread other([&] {
        for (int i = 0; i < 100; i++) {
            wake.wake();
        }
    });
    loop.run();
    other.join();
    CHECK(woken >= 1);
    CHECK(woken <= 100);
    while (loop.run_once(Loop::Wait::no) && woken == 0) {
    }
}

TEST_CASE("loop: an unreferenced wake-up does not keep it running") {
    Loop loop;
    WakeUp wake(loop, [] {});
    wake.unref();
    loop.run();
}

TEST_CASE("timer: rings once, not early, and from the loop only") {
    Loop loop;
    int rung = 0;
    MonoTime at{};
    Timer timer(loop, [&] {
        rung++;
        at = Loop::now();
    });
    for (const Duration delay : {Duration(-1s), Duration(0), Duration(300us), Duration(5ms)}) {
        const MonoTime due = Loop::now() + delay;
        timer.set(due);
        CHECK(rung == 0);
        loop.run(); // ends when no alarm is left
        CHECK(rung == 1);
        CHECK(at >= due);
        rung = 0;
    }
}

TEST_CASE("timer: a new alarm replaces the old one, never cancels it") {
    Loop loop;
    int rung = 0;
    Timer timer(loop, [&] { rung++; });
    timer.set(Loop::now() + 1h);
    timer.set(Loop::now() + 1ms);
    loop.run();
    CHECK(rung == 1);
    timer.set(Loop::now());
    timer.set(kMonoNever);
    loop.run();
    CHECK(rung == 1);
}

TEST_CASE("timer: its callback may set it again, and may destroy it") {
    Loop loop;
    int rung = 0;
    std::unique_ptr<Timer> timer;
    timer = std::make_unique<Timer>(loop, [&] {
        if (++rung == 3) {
            timer.reset();
        } else {
            timer->set(Loop::now());
        }
    });
    timer->set(Loop::now());
    loop.run();
    CHECK(rung == 3);
    CHECK(timer == nullptr);
}
