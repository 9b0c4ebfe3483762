// Kernels: the pieces of work that a produce and a fetch are made of, each as one call on data that
// was made before. Timed by micro_bench, counted in instructions by instruction_count.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace qtool::bench {

struct Kernel {
    std::string name;
    std::function<void()> run; // once; owns its data
};

/// All of them; files they need lie in a folder of their own below the system's temporary one,
/// which is removed at once and lives on by its descriptors.
std::vector<Kernel> make_kernels();

} // namespace qtool::bench
