// RecordOptions: what produce, consume and offsets have in common: the topic, its partitions, and
// options of the client library.
#pragma once

#include "cli/context.h"
#include "lib/client/blocking.h"

#include <string>
#include <utility>
#include <vector>

namespace CLI {
class App;
} // namespace CLI

namespace qtool::cli {

struct RecordOptions {
    std::string topic;
    std::vector<int32_t> partitions; // empty: all
    std::vector<std::string> client; // -X key=value
};

/// -t/--topic or the first word after the command, and -X.
void add_topic_option(CLI::App& app, RecordOptions& options);
/// -p/--partition, repeatable and comma separated.
void add_partitions_option(CLI::App& app, RecordOptions& options);

/// Named options of a command as client options; -X wins over them. Brokers come from the context.
/// Errors: invalid_config.
Result<config::ClientConfig>
make_client_config(const Context& context, const RecordOptions& options,
                   const std::vector<std::pair<std::string, std::string>>& named);

/// Sorted, without doubles; all when none was asked for. Errors: unknown_topic, unknown_partition,
/// no_broker, timed_out.
Result<std::vector<int32_t>> choose_partitions(client::BlockingConsumer& consumer,
                                               const Context& context,
                                               const RecordOptions& options);

/// When an answer that is asked for now is too late.
MonoTime answer_deadline(const Context& context);

} // namespace qtool::cli
