#include "server/uv/time_slice.h"

#include <doctest/doctest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <thread>

using namespace qtool;

namespace {

struct Scheduling {
    uint32_t policy = 0;
    int32_t nice = 0;
    uint64_t slice_ns = 0; // 0: the system does not tell (Linux before 6.12)
    bool operator==(const Scheduling&) const = default;
};

Scheduling scheduling_of_this_thread() {
    std::array<std::byte, 48> attributes{}; // struct sched_attr
    REQUIRE(::syscall(SYS_sched_getattr, 0, attributes.data(), attributes.size(), 0) == 0);
    Scheduling found;
    std::memcpy(&found.policy, attributes.data() + 4, 4);
    std::memcpy(&found.nice, attributes.data() + 16, 4);
    std::memcpy(&found.slice_ns, attributes.data() + 24, 8);
    return found;
}

} // namespace

TEST_CASE("a thread and those it starts get the slice they ask for, and the system's again") {
    std::thread([] {
        const Scheduling before = scheduling_of_this_thread();
        Scheduling wanted = before;
        if (before.slice_ns > 0) {
            wanted.slice_ns = 100'000;
        }
        uv::set_time_slice(uv::kShortTimeSlice);
        CHECK(scheduling_of_this_thread() == wanted);
        std::thread([&] { CHECK(scheduling_of_this_thread() == wanted); }).join();
        uv::set_time_slice(uv::kDefaultTimeSlice);
        CHECK(scheduling_of_this_thread() == before);
    }).join();
}
