// micro_bench: times the kernels with Google benchmark; its own options are in --help.
#include "tests/bench/kernels.h"

#include <benchmark/benchmark.h>

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    for (const qtool::bench::Kernel& kernel : qtool::bench::make_kernels()) {
        benchmark::RegisterBenchmark(kernel.name.c_str(), [kernel](benchmark::State& state) {
            for (auto _ : state) { // NOLINT: the loop's variable is the library's
                kernel.run();
            }
        });
    }
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
