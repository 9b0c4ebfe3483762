// instruction_count: runs each kernel under valgrind --tool=callgrind --instr-atstart=no, which
// writes a file of counts for each, named in it. scripts/instructions.sh runs it and compares.
#include "tests/bench/kernels.h"

#include <valgrind/callgrind.h>

#include <cstdio>

int main() {
    constexpr int kRuns = 500; // tests/bench/instructions.py divides by it
    constexpr int kWarmUpRuns = 20;
    for (const qtool::bench::Kernel& kernel : qtool::bench::make_kernels()) {
        for (int i = 0; i < kWarmUpRuns; i++) {
            kernel.run();
        }
        CALLGRIND_START_INSTRUMENTATION;
        CALLGRIND_ZERO_STATS;
        for (int i = 0; i < kRuns; i++) {
            kernel.run();
        }
        CALLGRIND_DUMP_STATS_AT(kernel.name.c_str());
        CALLGRIND_STOP_INSTRUMENTATION;
    }
    std::printf("%d\n", kRuns);
    return 0;
}
