#include "cli/commands/record_options.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <map>

namespace qtool::cli {

void add_topic_option(CLI::App& app, RecordOptions& options) {
    app.add_option("-t,--topic,TOPIC", options.topic, "Name of the topic")->required();
    app.add_option("-X", options.client,
                   "Option of the client, key=value, as Kafka's clients name it; repeatable")
        ->allow_extra_args(false);
}

void add_partitions_option(CLI::App& app, RecordOptions& options) {
    app.add_option("-p,--partition", options.partitions,
                   "Only these partitions, comma separated; repeatable (default: all)")
        ->delimiter(',')
        ->allow_extra_args(false)
        ->check(CLI::NonNegativeNumber);
}

Result<config::ClientConfig>
make_client_config(const Context& context, const RecordOptions& options,
                   const std::vector<std::pair<std::string, std::string>>& named) {
    std::map<std::string, std::string> all;
    for (const auto& [name, value] : named) {
        QT_TRY(config::add_client_option(all, name + "=" + value));
    }
    for (const std::string& assignment : options.client) {
        QT_TRY(config::add_client_option(all, assignment));
    }
    const bool brokers_named = all.contains("bootstrap.servers");
    QT_TRY_ASSIGN(config::ClientConfig client, config::make_client_config(all));
    if (!brokers_named) {
        client.bootstrap_servers = context.brokers();
    }
    return client;
}

Result<std::vector<int32_t>> choose_partitions(client::BlockingConsumer& consumer,
                                               const Context& context,
                                               const RecordOptions& options) {
    QT_TRY_ASSIGN(const int32_t count,
                  consumer.partition_count(options.topic, answer_deadline(context)));
    std::vector<int32_t> partitions = options.partitions;
    if (partitions.empty()) {
        for (int32_t partition = 0; partition < count; partition++) {
            partitions.push_back(partition);
        }
    }
    std::sort(partitions.begin(), partitions.end());
    partitions.erase(std::unique(partitions.begin(), partitions.end()), partitions.end());
    if (partitions.back() >= count) {
        return Error(Code::unknown_partition, "topic '" + options.topic + "' has " +
                                                  std::to_string(count) +
                                                  " partition(s), there is no partition " +
                                                  std::to_string(partitions.back()));
    }
    return partitions;
}

MonoTime answer_deadline(const Context& context) {
    return client::mono_now() + context.timeout();
}

} // namespace qtool::cli
