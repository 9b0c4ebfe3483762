// Proves when a connection is to move to another core: after enough exchanges in a row that asked
// that core alone and were light.
#include "server/broker/connection_home.h"

#include <doctest/doctest.h>

using namespace qtool;
using namespace qtool::broker;

namespace {

constexpr CoreId kHere{0};
constexpr CoreId kThere{1};
constexpr CoreId kElsewhere{2};

void exchange(ConnectionHome& home, CoreId asked, uint64_t bytes = 300) {
    home.on_bytes(bytes);
    home.on_asked(asked);
    home.on_idle(kHere);
}

ConnectionHome almost_moving() {
    ConnectionHome home;
    for (uint32_t i = 1; i < kExchangesBeforeMove; i++) {
        exchange(home, kThere);
    }
    CHECK(!home.better());
    return home;
}

} // namespace

TEST_CASE("connection home: who asks one other core moves there") {
    ConnectionHome home = almost_moving();
    exchange(home, kThere);
    CHECK(home.better() == kThere);
    exchange(home, kThere); // there was no time to move
    CHECK(home.better() == kThere);
}

TEST_CASE("connection home: an exchange of another kind begins anew") {
    ConnectionHome home = almost_moving();
    SUBCASE("with the own core") {
        exchange(home, kHere);
    }
    SUBCASE("with two cores") {
        home.on_asked(kElsewhere);
        exchange(home, kThere);
    }
    SUBCASE("with many bytes") {
        exchange(home, kThere, kLightExchangeMax + 1);
    }
    exchange(home, kThere);
    CHECK(!home.better());
}

TEST_CASE("connection home: another core counts from one") {
    ConnectionHome home = almost_moving();
    for (uint32_t i = 1; i < kExchangesBeforeMove; i++) {
        exchange(home, kElsewhere);
        CHECK(!home.better());
    }
    exchange(home, kElsewhere);
    CHECK(home.better() == kElsewhere);
}

TEST_CASE("connection home: what asks no core does not count") {
    ConnectionHome home = almost_moving();
    home.on_bytes(500);
    home.on_idle(kHere);
    CHECK(!home.better());
    exchange(home, kThere);
    CHECK(home.better() == kThere);
}

TEST_CASE("connection home: a large request that comes along does not move") {
    ConnectionHome home = almost_moving();
    exchange(home, kThere);
    home.on_bytes(kLightExchangeMax + 1);
    CHECK(!home.better());
}

TEST_CASE("connection home: who is refused begins anew") {
    ConnectionHome home = almost_moving();
    exchange(home, kThere);
    CHECK(home.better());
    home.on_refused();
    for (uint32_t i = 1; i < kExchangesBeforeMove; i++) {
        exchange(home, kThere);
        CHECK(!home.better());
    }
    exchange(home, kThere);
    CHECK(home.better());
}

TEST_CASE("connection home: each move makes the next one harder") {
    ConnectionHome home;
    uint32_t wanted = kExchangesBeforeMove;
    for (int move = 0; move < 10; move++) {
        for (uint32_t i = 1; i < wanted; i++) {
            exchange(home, kThere);
        }
        CHECK(!home.better());
        exchange(home, kThere);
        CHECK(home.better() == kThere);
        home.on_moved();
        CHECK(!home.better());
        wanted *= 2;
    }
}
