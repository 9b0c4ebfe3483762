// qtool bench: load on any Kafka broker and what came of it. Options and output; the run itself is
// cli/bench.
#include "cli/bench/payload.h"
#include "cli/bench/run.h"
#include "cli/command.h"
#include "cli/commands/record_options.h"
#include "lib/client/blocking_topics.h"

#include <CLI/CLI.hpp>

#include <algorithm>

namespace qtool::cli {

namespace {

using bench::Workload;

constexpr double kDefaultDuration_s = 10; // of producing, when neither end is given
constexpr uint32_t kWorkersMax = 1024;    // threads
constexpr double kSecondsMax = 7 * 86'400;

struct BenchOptions {
    RecordOptions record;
    bench::RunOptions run;
    bool create = false;
    std::optional<int32_t> partitions;
    std::optional<int16_t> replication;
    std::vector<std::string> configs;
    bool remove = false;
    bool progress = false;
};

const char* name_of(Workload workload) {
    switch (workload) {
    case Workload::produce:
        return "produce";
    case Workload::consume:
        return "consume";
    case Workload::e2e:
        return "e2e";
    case Workload::mixed:
        return "mixed";
    }
    return "";
}

const char* name_of(config::CompressionType type) {
    switch (type) {
    case config::CompressionType::none:
        return "none";
    case config::CompressionType::gzip:
        return "gzip";
    case config::CompressionType::snappy:
        return "snappy";
    case config::CompressionType::lz4:
        return "lz4";
    case config::CompressionType::zstd:
        return "zstd";
    }
    return "";
}

/// What does not fit together. Nothing of it needs a broker.
Result<client::NewTopic> check(const BenchOptions& options) {
    if (options.run.workload == Workload::e2e && options.run.record_bytes < bench::kStampBytes) {
        return Error(Code::invalid_argument, "--record-size: e2e stamps each value, which takes " +
                                                 std::to_string(bench::kStampBytes) + " bytes");
    }
    if (!options.create &&
        (options.partitions || options.replication || !options.configs.empty())) {
        return Error(Code::invalid_argument,
                     "-p, --replication and --config describe the topic of --create");
    }
    client::NewTopic topic;
    topic.name = options.record.topic;
    topic.partitions = options.partitions.value_or(-1);
    topic.replication_factor = options.replication.value_or(-1);
    for (const std::string& assignment : options.configs) {
        const size_t at = assignment.find('=');
        if (at == std::string::npos || at == 0) {
            return Error(Code::invalid_argument, "--config '" + assignment + "' is not NAME=VALUE");
        }
        topic.configs[assignment.substr(0, at)] = assignment.substr(at + 1);
    }
    return topic;
}

std::vector<bench::Parameter> parameters(const BenchOptions& options, const bench::RunOptions& run,
                                         int32_t partition_count) {
    using bench::number_parameter;
    using bench::text_parameter;
    const config::ClientConfig& client = run.client;
    std::string brokers;
    for (const config::Endpoint& endpoint : client.bootstrap_servers) {
        brokers.append(brokers.empty() ? "" : ",");
        brokers.append(endpoint.host + ":" + std::to_string(endpoint.port));
    }
    const auto whole = [](std::optional<uint64_t> value) {
        return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
    };
    std::vector<bench::Parameter> all{
        text_parameter("brokers", brokers),
        text_parameter("topic", run.topic),
        number_parameter("partitions", static_cast<uint64_t>(partition_count)),
        text_parameter("loop", run.rate > 0 ? "open" : "closed"),
        number_parameter("rate", run.rate > 0 ? std::optional(run.rate) : std::nullopt),
        number_parameter("records", whole(run.records)),
        number_parameter("duration_s", run.duration_s),
        number_parameter("warmup_s", std::optional(run.warmup_s))};
    if (run.workload != Workload::consume) {
        all.push_back(number_parameter("producers", uint64_t{run.producers}));
        all.push_back(text_parameter("one_in_flight", run.one_in_flight ? "true" : "false"));
        all.push_back(number_parameter("record_size", uint64_t{run.record_bytes}));
        all.push_back(number_parameter("key_count", run.key_count));
        all.push_back(
            text_parameter("acks", client.acks == -1 ? "all" : std::to_string(client.acks)));
        all.push_back(number_parameter("linger.ms", static_cast<uint64_t>(client.linger_ms)));
        all.push_back(
            number_parameter("batch.size", static_cast<uint64_t>(client.batch_size_bytes)));
        all.push_back(text_parameter("compression.type", name_of(client.compression_type)));
        all.push_back(
            text_parameter("enable.idempotence", client.enable_idempotence ? "true" : "false"));
    }
    if (run.workload != Workload::produce) {
        all.push_back(number_parameter("consumers", uint64_t{run.consumers}));
        all.push_back(
            number_parameter("fetch.min.bytes", static_cast<uint64_t>(client.fetch_min_bytes)));
        all.push_back(
            number_parameter("fetch.max.wait.ms", static_cast<uint64_t>(client.fetch_max_wait_ms)));
    }
    std::string given;
    for (const std::string& option : options.record.client) {
        given.append(given.empty() ? "" : " ").append(option);
    }
    all.push_back(text_parameter("client_options", given));
    return all;
}

ExitCode measure(Context& context, const BenchOptions& options, const bench::RunOptions& run) {
    bench::RunHooks hooks;
    hooks.is_stopped = [] { return stop_requested != 0; };
    if (options.progress || context.stderr_is_terminal()) {
        hooks.on_progress = [&](std::string_view line) { context.note(line); };
    }
    auto finished = bench::run(run, hooks);
    if (!finished) {
        return context.fail(finished.error(), "topic '" + run.topic + "'");
    }
    finished->report.workload = name_of(run.workload);
    finished->report.parameters = parameters(options, run, finished->partition_count);
    const ExitCode printed = context.print(context.is_json() ? to_json(finished->report) + "\n"
                                                             : to_text(finished->report));
    if (finished->fatal) {
        return context.fail(*finished->fatal, "topic '" + run.topic + "'");
    }
    if (!finished->is_complete()) {
        context.note(finished->report.partial
                         ? "qtool: stopped before its end; the report is partial"
                         : "qtool: not all records arrived, see the report");
        return ExitCode::failed;
    }
    return printed;
}

ExitCode bench_command(Context& context, const BenchOptions& options) {
    const auto topic = check(options);
    if (!topic) {
        return context.fail(topic.error());
    }
    auto config = make_client_config(context, options.record, {});
    if (!config) {
        context.fail(config.error());
        return ExitCode::usage;
    }
    bench::RunOptions run = options.run;
    run.client = *std::move(config);
    run.topic = topic->name;
    run.answer_time = context.timeout();
    run.topic_is_new = options.create;
    if (run.workload != Workload::consume && !run.records && !run.duration_s) {
        run.duration_s = kDefaultDuration_s;
    }
    if (options.create) {
        if (const auto made = client::create_topic(run.client, *topic, answer_deadline(context));
            !made) {
            return context.fail(made.error());
        }
    }
    ExitCode status = measure(context, options, run);
    if (options.remove) {
        if (const auto gone =
                client::delete_topic(run.client, topic->name, answer_deadline(context));
            !gone) {
            const ExitCode failed = context.fail(gone.error(), "--delete");
            status = status == ExitCode::done ? failed : status;
        }
    }
    return status;
}

void add_producing_options(CLI::App& app, BenchOptions& options) {
    app.add_option("-s,--record-size", options.run.record_bytes,
                   "Bytes of each value (default: 1000)")
        ->check(CLI::Range(0, 100'000'000));
    app.add_option("--key-count", options.run.key_count,
                   "Keys of the records are drawn from this many (default: 0, no key)")
        ->check(CLI::Range(uint64_t{0}, uint64_t{1'000'000'000'000}));
    app.add_option("--producers", options.run.producers,
                   "Producers, each a thread with connections of its own (default: 1)")
        ->check(CLI::Range(1u, kWorkersMax));
    app.add_flag("--one-in-flight", options.run.one_in_flight,
                 "Each producer sends a record only when the one before is acknowledged");
    app.add_flag("--create", options.create, "Create the topic first; it must not exist");
    app.add_option("-p,--partitions", options.partitions,
                   "With --create: its partitions (default: the broker's)")
        ->check(CLI::PositiveNumber);
    app.add_option("--replication,--replication-factor", options.replication,
                   "With --create: copies of each partition (default: the broker's)")
        ->check(CLI::PositiveNumber);
    app.add_option("--config", options.configs,
                   "With --create: an option of the topic, NAME=VALUE; repeatable")
        ->allow_extra_args(false);
}

void add_workload(CLI::App& bench, Run& run, Workload workload, const std::string& what,
                  const std::string& footer) {
    const auto options = std::make_shared<BenchOptions>();
    options->run.workload = workload;
    CLI::App* app = bench.add_subcommand(name_of(workload), what);
    const bool is_consume = workload == Workload::consume;
    add_topic_option(*app, options->record);
    app->add_option("-n,--records", options->run.records,
                    is_consume ? "Stop after this many records, warm-up not counted"
                               : "Send this many records, warm-up not counted")
        ->check(CLI::PositiveNumber);
    app->add_option("-d,--duration", options->run.duration_s,
                    is_consume ? "Stop after this many seconds, warm-up not counted"
                               : "Send for this many seconds, warm-up not counted (default: 10 "
                                 "without --records)")
        ->check(CLI::Range(0.001, kSecondsMax));
    app->add_option("--warmup", options->run.warmup_s,
                    "Seconds of load before counting begins (default: 0)")
        ->check(CLI::Range(0.0, kSecondsMax));
    app->add_option("-r,--rate", options->run.rate,
                    "Records a second of all together, each counted from when it was due (default: "
                    "as fast as possible)")
        ->check(CLI::Range(0.001, 1e9));
    if (!is_consume) {
        add_producing_options(*app, *options);
    }
    if (workload != Workload::produce) {
        app->add_option("--consumers", options->run.consumers,
                        "Consumers, each a thread that reads its share of the partitions (default: "
                        "1)")
            ->check(CLI::Range(1u, kWorkersMax));
    }
    app->add_flag("--delete", options->remove, "Delete the topic afterwards, whoever made it");
    app->add_flag("--progress", options->progress,
                  "A line each second on stderr even if that is no terminal");
    app->footer(footer);
    app->callback([&run, options] {
        run = [options](Context& context) { return bench_command(context, *options); };
    });
}

} // namespace

void add_bench(CLI::App& root, Run& run) {
    CLI::App* bench = root.add_subcommand("bench", "Measure throughput and latency of a cluster");
    bench->require_subcommand(1);
    bench->footer(
        "With --rate, latency counts from when each record was due, so that a stall shows in "
        "every\nrecord it delayed. Without, records go as fast as possible and latency counts "
        "from the call.\n\n"
        "Examples:\n"
        "  qtool bench produce -t load --create -p 6 --delete\n"
        "  qtool bench e2e -t load --rate 5000 --duration 60 -o json");
    add_workload(
        *bench, run, Workload::produce, "Send records, measure their acknowledgements",
        "Examples:\n"
        "  qtool bench produce -t load --create -p 6 --delete\n"
        "  qtool bench produce -t load -r 20000 -d 60 --warmup 5 -X acks=all -X linger.ms=0\n"
        "  qtool bench produce -t load -n 1000000 -s 100 --producers 4 -o json");
    add_workload(*bench, run, Workload::consume,
                 "Read the topic from its beginning to its present end",
                 "Examples:\n"
                 "  qtool bench consume -t load\n"
                 "  qtool bench consume -t load --consumers 4 -n 1000000 -o json");
    add_workload(*bench, run, Workload::e2e, "Measure from sending a record to consuming it",
                 "Examples:\n"
                 "  qtool bench e2e -t load --create --delete -r 1000 -X linger.ms=0\n"
                 "  qtool bench e2e -t load -r 20000 -d 60 --producers 2 --consumers 2 -o json");
    add_workload(*bench, run, Workload::mixed,
                 "Send records while consumers read the topic from its beginning",
                 "Examples:\n"
                 "  qtool bench mixed -t load -r 20000 -d 60 --consumers 2");
}

} // namespace qtool::cli
