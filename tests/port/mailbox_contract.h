// What every mailbox keeps to. `World` is a PortWorld made with a number of data cores.
#pragma once

#include "tests/port/port_world.h"

#include <doctest/doctest.h>

#include <array>
#include <atomic>

namespace qtool::test {

struct NumberMail final : port::Mail {
    NumberMail(size_t sender, uint32_t value) : from(sender), number(value) { alive++; }
    ~NumberMail() override { alive--; }
    NumberMail(const NumberMail&) = delete;
    NumberMail& operator=(const NumberMail&) = delete;

    size_t from;
    uint32_t number;
    inline static std::atomic<int> alive{0};
};

inline void post_number(TestCore& from, size_t to, uint32_t number) {
    from.ports().mailbox->post(CoreId(static_cast<uint16_t>(to)),
                               std::make_unique<NumberMail>(from.ports().id.value(), number));
}

TEST_CASE_TEMPLATE_DEFINE("mailbox: order holds between each pair of cores", World, mailbox_order) {
    constexpr size_t kCores = 3;
    constexpr uint32_t kMails = 12'000; // a pair: with oneself 9 pairs, some 100,000 in all
    constexpr uint32_t kBurst = 700;    // a turn: more than a ring holds
    {
        World world(kCores - 1);
        std::array<std::array<uint32_t, kCores>, kCores> next{}; // [to][from]
        std::array<uint32_t, kCores> posted{};
        bool in_order = true;
        const auto post_burst = [&](size_t from) {
            for (uint32_t i = 0; i < kBurst && posted[from] < kMails; i++, posted[from]++) {
                for (size_t to = 0; to < kCores; to++) {
                    post_number(world.core(from), to, posted[from]);
                }
            }
        };
        for (size_t to = 0; to < kCores; to++) {
            world.core(to).mail = [&, to](std::unique_ptr<port::Mail> mail) {
                const auto& number = static_cast<const NumberMail&>(*mail);
                in_order = in_order && next[to][number.from] == number.number;
                next[to][number.from]++;
                // The first of a burst that comes back asks for the next one.
                if (number.from == to && number.number % kBurst == 0) {
                    post_burst(to);
                }
            };
        }
        for (size_t from = 0; from < kCores; from++) {
            world.on_core(from, [&, from] { post_burst(from); });
        }
        CHECK(world.wait_until([&] {
            for (const auto& row : next) {
                for (const uint32_t count : row) {
                    if (count < kMails) {
                        return false;
                    }
                }
            }
            return true;
        }));
        world.stop();
        CHECK(in_order);
        for (size_t to = 0; to < kCores; to++) {
            for (size_t from = 0; from < kCores; from++) {
                CHECK(next[to][from] == kMails);
            }
        }
        CHECK(world.violation() == "");
    }
    CHECK(NumberMail::alive == 0);
}

TEST_CASE_TEMPLATE_DEFINE("mailbox: no wake is lost", World, mailbox_wakes) {
    World world(2);
    TestCore& a = world.core(0);
    TestCore& b = world.core(1);
    uint32_t to_a = 0;
    uint32_t to_b = 0;
    SUBCASE("one mail back and forth") {
        constexpr uint32_t kTrips = 5'000;
        b.mail = [&](std::unique_ptr<port::Mail>) { post_number(b, 0, to_b++); };
        a.mail = [&](std::unique_ptr<port::Mail>) {
            if (++to_a < kTrips) {
                post_number(a, 1, to_a);
            }
        };
        world.on_core(0, [&] { post_number(a, 1, 0); });
        CHECK(world.wait_until([&] { return to_a == kTrips; }));
    }
    SUBCASE("more than fits, from a core that then has nothing to do") {
        constexpr uint32_t kRounds = 300;
        constexpr uint32_t kBurst = 2'000;
        b.mail = [&](std::unique_ptr<port::Mail>) {
            if (++to_b % kBurst == 0) {
                post_number(b, 0, to_b);
            }
        };
        const auto burst = [&] {
            for (uint32_t i = 0; i < kBurst; i++) {
                post_number(a, 1, i);
            }
        };
        a.mail = [&](std::unique_ptr<port::Mail>) {
            if (++to_a < kRounds) {
                burst();
            }
        };
        world.on_core(0, burst);
        CHECK(world.wait_until([&] { return to_a == kRounds; }));
        CHECK(to_b == kRounds * kBurst);
    }
    CHECK(world.violation() == "");
}

TEST_CASE_TEMPLATE_DEFINE("mailbox: what nobody reads any more is freed", World, mailbox_freed) {
    {
        World world(1);
        world.core(1).mail = [](std::unique_ptr<port::Mail>) {};
        world.on_core(0, [&] {
            for (uint32_t i = 0; i < 10'000; i++) {
                post_number(world.core(0), 1, i);
            }
        });
        world.stop();
    }
    CHECK(NumberMail::alive == 0);
}

} // namespace qtool::test
