// qtool partition move, over AdminDoor: which brokers hold a partition, and in which log directory.
#include "cli/command.h"
#include "cli/commands/moves.h"
#include "cli/output/text.h"
#include "lib/admin/codec.h"

#include <CLI/CLI.hpp>

#include <memory>

namespace qtool::cli {

namespace {

struct MoveOptions {
    std::string topic;
    int32_t partition = 0;
    std::vector<int32_t> to;
    std::string log_dir;
    bool cancel = false;
    bool no_wait = false;
};

// Between log directories of the broker that answers.
ExitCode move_dir(Context& context, const MoveOptions& options) {
    admin::MovePartition request;
    request.topic = options.topic;
    request.partition = options.partition;
    request.log_dir = options.log_dir;
    const auto moved = context.admin().move_partition(request);
    if (!moved) {
        return context.fail(moved.error(), "partition " + std::to_string(request.partition) +
                                               " of topic '" + request.topic + "'");
    }
    if (context.is_json()) {
        return context.print(admin::encode(*moved) + "\n");
    }
    context.note("it goes to " + moved->log_dir + "; 'qtool cluster disks' shows how far it is");
    return ExitCode::done;
}

ExitCode begin(Context& context, const MoveOptions& options) {
    admin::ReassignmentWish wish{options.topic, options.partition, std::nullopt};
    if (!options.cancel) {
        wish.replicas = options.to;
    }
    const auto answer = context.admin().reassign({{wish}});
    const std::string name = options.topic + "-" + std::to_string(options.partition);
    if (!answer) {
        return context.fail(answer.error(), name);
    }
    if (answer->results.size() != 1) {
        return context.fail(Error(Code::malformed, "the broker answered with another number"));
    }
    const admin::ReassignmentResult& result = answer->results[0];
    if (!result.error.empty()) {
        return context.fail(
            Error(admin::parse_code(result.error).value_or(Code::internal), result.detail), name);
    }
    context.note((options.cancel ? "took back the move of " : "began to move ") + name);
    return ExitCode::done;
}

ExitCode move(Context& context, const MoveOptions& options) {
    const int wishes =
        (options.to.empty() ? 0 : 1) + (options.cancel ? 1 : 0) + (options.log_dir.empty() ? 0 : 1);
    if (wishes != 1) {
        return context.fail(
            Error(Code::invalid_argument,
                  "say where to with --to BROKER,... or --log-dir DIR, or --cancel"));
    }
    if (!options.log_dir.empty()) {
        return move_dir(context, options);
    }
    // The first look says what is wrong with the wish by the status of its error.
    if (const ExitCode begun = begin(context, options);
        begun != ExitCode::done || options.cancel || options.no_wait) {
        return begun;
    }
    return carry_out(context, {{options.topic, options.partition, {}, options.to}}, 1);
}

} // namespace

void add_partition(CLI::App& root, Run& run) {
    CLI::App* partition = root.add_subcommand("partition", "Where partitions live");
    partition->require_subcommand(1);
    const auto options = std::make_shared<MoveOptions>();
    CLI::App* app = partition->add_subcommand(
        "move", "Move a partition to other brokers, or to another log directory of one");
    app->add_option("TOPIC", options->topic, "Topic")->required();
    app->add_option("PARTITION", options->partition, "Number of the partition")
        ->required()
        ->check(CLI::NonNegativeNumber);
    app->add_option("--to", options->to, "Brokers that shall hold it, the preferred leader first")
        ->delimiter(',')
        ->check(CLI::NonNegativeNumber);
    app->add_option(
        "--log-dir", options->log_dir,
        "Directory of the broker that answers, as 'qtool cluster disks' shows it; where "
        "it is: end a move");
    app->add_flag("--cancel", options->cancel, "Take back the move to other brokers");
    app->add_flag("--no-wait", options->no_wait, "With --to: only begin the move");
    app->footer(
        "With --to old replicas stay until all new ones are in sync. With --log-dir the command\n"
        "returns at once. The partition is served all the while.\n\n"
        "Examples:\n  qtool partition move orders 0 --to 2,3,4\n"
        "  qtool partition move orders 0 --cancel\n"
        "  qtool partition move orders 3 --log-dir /disk2/qbroker");
    app->callback(
        [&run, options] { run = [options](Context& context) { return move(context, *options); }; });
}

} // namespace qtool::cli
