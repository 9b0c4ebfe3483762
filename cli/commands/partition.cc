// qtool partition, over AdminDoor: where a partition of the broker that answers lives.
#include "cli/command.h"
#include "cli/output/text.h"
#include "lib/admin/codec.h"

#include <CLI/CLI.hpp>

namespace qtool::cli {

namespace {

ExitCode move(Context& context, const admin::MovePartition& request) {
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

} // namespace

void add_partition(CLI::App& root, Run& run) {
    CLI::App* partition = root.add_subcommand("partition", "Move partitions between disks");
    partition->require_subcommand(1);
    const auto request = std::make_shared<admin::MovePartition>();
    CLI::App* app = partition->add_subcommand(
        "move", "Move a partition to another log directory of the broker that answers");
    app->add_option("TOPIC", request->topic, "Topic")->required();
    app->add_option("PARTITION", request->partition, "Number of the partition")->required();
    app->add_option("--log-dir", request->log_dir,
                    "Where to, as 'qtool cluster disks' shows it; where it is: end a move")
        ->required();
    app->footer(
        "Returns at once: the partition is served all the while, and goes on from a restart.\n"
        "\nExamples:\n  qtool partition move orders 3 --log-dir /disk2/qbroker\n"
        "  qtool cluster disks -o json | jq '.moves[].future_offset_lag'");
    app->callback(
        [&run, request] { run = [request](Context& context) { return move(context, *request); }; });
}

} // namespace qtool::cli
