// qtool cluster status, over AdminDoor: who is there, and is all of it served.
#include "cli/command.h"
#include "cli/output/text.h"
#include "lib/admin/codec.h"

#include <CLI/CLI.hpp>

namespace qtool::cli {

namespace {

ExitCode status(Context& context) {
    const auto cluster = context.admin().cluster();
    if (!cluster) {
        return context.fail(cluster.error());
    }
    const bool healthy =
        cluster->offline_partition_count == 0 && cluster->under_replicated_partition_count == 0;
    std::string out;
    if (context.is_json()) {
        out = admin::encode(*cluster) + "\n";
    } else {
        Table table({"BROKER", "ADDRESS", "RACK", "ADMIN", "ROLE"});
        for (const auto& broker : cluster->brokers) {
            table.add({std::to_string(broker.id),
                       to_string(config::Endpoint{broker.host, broker.port}),
                       broker.rack.empty() ? "-" : broker.rack,
                       to_string(config::Endpoint{broker.admin_host, broker.admin_port}),
                       broker.id == cluster->controller_id ? "controller" : "-"});
        }
        append_for_terminal(out,
                            "cluster " + cluster->cluster_id + "  version " + cluster->version);
        out.append("  ").append(healthy ? "healthy" : "NOT HEALTHY").append("\n");
        out.append(std::to_string(cluster->topic_count)).append(" topics, ");
        out.append(std::to_string(cluster->partition_count)).append(" partitions, ");
        out.append(std::to_string(cluster->offline_partition_count)).append(" without a leader, ");
        out.append(std::to_string(cluster->under_replicated_partition_count));
        out.append(" under-replicated\n").append(table.to_text());
    }
    const ExitCode printed = context.print(out);
    return printed != ExitCode::done || healthy ? printed : ExitCode::check_failed;
}

} // namespace

void add_cluster(CLI::App& root, Run& run) {
    CLI::App* cluster = root.add_subcommand("cluster", "Look at the cluster");
    cluster->require_subcommand(1);
    CLI::App* app =
        cluster->add_subcommand("status", "Brokers, and whether all partitions are served");
    app->footer("Exit status 8 when a partition has no leader or too few in-sync replicas.\n\n"
                "Examples:\n  qtool cluster status\n  qtool cluster status -o json | jq .version");
    app->callback([&run] { run = &status; });
}

} // namespace qtool::cli
