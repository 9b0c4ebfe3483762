// The driver's turns: a turn that waits ends by an event or by its time, and by nothing else.
#include "lib/client/driver_uv.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <array>

using namespace qtool;
using namespace qtool::client;

TEST_CASE("driver: it waits for a descriptor, turn after turn, as long as it was told to") {
    const config::ClientConfig config;
    Cluster cluster(config, false, 1);
    DriverUv driver(cluster);
    std::array<std::array<int, 2>, 2> pipes{};
    for (auto& pipe : pipes) {
        REQUIRE(::pipe(pipe.data()) == 0);
    }
    for (const auto& pipe : pipes) {
        for (int i = 0; i < 3; i++) {
            const MonoTime until = net::Loop::now() + 3ms;
            CHECK_FALSE(driver.turn_readable(pipe[0], until));
            CHECK(net::Loop::now() >= until); // else its caller turns round and round
        }
        REQUIRE(::write(pipe[1], "a", 1) == 1);
        CHECK(driver.turn_readable(pipe[0], net::Loop::now() + 60s));
        CHECK(driver.turn_readable(pipe[0], net::Loop::now() + 60s)); // still
    }
    const MonoTime until = net::Loop::now() + 3ms;
    driver.turn(until); // a descriptor that is readable is of no interest here
    CHECK(net::Loop::now() >= until);
    REQUIRE(::close(pipes[1][1]) == 0);
    char byte = 0;
    REQUIRE(::read(pipes[1][0], &byte, 1) == 1);
    CHECK(driver.turn_readable(pipes[1][0], net::Loop::now() + 60s)); // its end
}
