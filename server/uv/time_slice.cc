#include "server/uv/time_slice.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace qtool::uv {

namespace {

// The kernel's struct sched_attr, first version; glibc has it since 2.41.
struct SchedulingAttributes {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime; // ns
    uint64_t deadline;
    uint64_t period;
};

} // namespace

void set_time_slice(Duration slice) {
    SchedulingAttributes attributes{};
    if (::syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0 ||
        attributes.policy != SCHED_OTHER) {
        return;
    }
    attributes.runtime = static_cast<uint64_t>(slice.count());
    // Refused by some sandboxes; then it runs as it did.
    static_cast<void>(::syscall(SYS_sched_setattr, 0, &attributes, 0));
}

} // namespace qtool::uv
