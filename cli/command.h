// How commands join the command line: each file of cli/commands has one add_<command>, which
// declares options and examples and, when that command is chosen, sets what is to run.
#pragma once

#include "cli/context.h"

#include <functional>

namespace CLI {
class App;
} // namespace CLI

namespace qtool::cli {

/// What the chosen command does, with its options inside. Set by parsing, run by main.
using Run = std::function<ExitCode(Context&)>;

void add_topic(CLI::App& root, Run& run);
void add_produce(CLI::App& root, Run& run);
void add_consume(CLI::App& root, Run& run);
void add_partition(CLI::App& root, Run& run);
void add_offsets(CLI::App& root, Run& run);
void add_bench(CLI::App& root, Run& run);
void add_group(CLI::App& root, Run& run);
void add_txn(CLI::App& root, Run& run);
void add_config(CLI::App& root, Run& run);
void add_quota(CLI::App& root, Run& run);
void add_cluster(CLI::App& root, Run& run);
void add_completion(CLI::App& root, Run& run);

} // namespace qtool::cli
