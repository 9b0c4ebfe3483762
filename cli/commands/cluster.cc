// qtool cluster, over AdminDoor: who is there, is all of it served, and is there room on the disks.
#include "cli/command.h"
#include "cli/commands/cluster_brokers.h"
#include "cli/output/text.h"
#include "lib/admin/codec.h"

#include <CLI/CLI.hpp>

#include <algorithm>

namespace qtool::cli {

namespace {

bool is_bad(const admin::LogDirInfo& dir) {
    return !dir.error.empty() || dir.low_space;
}

// What is on its way from one directory to another; empty when nothing is.
std::string moves_text(const admin::MoveList& list) {
    if (list.moves.empty()) {
        return {};
    }
    Table table({"TOPIC", "PARTITION", "FROM", "TO", "COPIED", "RECORDS LEFT"});
    for (const admin::MoveInfo& move : list.moves) {
        table.add({move.topic, std::to_string(move.partition), move.log_dir, move.future_log_dir,
                   std::to_string(move.future_size_bytes), std::to_string(move.future_offset_lag)});
    }
    return "\n" + table.to_text();
}

ExitCode disks(Context& context) {
    const auto cluster = context.admin().cluster();
    if (!cluster) {
        return context.fail(cluster.error());
    }
    const auto moves = context.admin().moves();
    if (!moves) {
        return context.fail(moves.error());
    }
    const bool healthy = std::none_of(cluster->log_dirs.begin(), cluster->log_dirs.end(), is_bad);
    std::string out;
    if (context.is_json()) {
        out = admin::encode_disks(*cluster, *moves) + "\n";
    } else {
        Table table(
            {"BROKER", "DIRECTORY", "STATE", "FREE", "TOTAL", "RESERVE", "PARTITIONS", "ARRIVING"});
        for (const admin::LogDirInfo& dir : cluster->log_dirs) {
            const bool known = dir.error.empty() && dir.total_bytes > 0;
            const auto arriving = std::count_if(
                moves->moves.begin(), moves->moves.end(),
                [&](const admin::MoveInfo& move) { return move.future_log_dir == dir.path; });
            table.add({std::to_string(cluster->broker_id), dir.path,
                       !dir.error.empty() ? "offline"
                       : dir.low_space    ? "low"
                                          : "ok",
                       known ? std::to_string(dir.free_bytes) : "-",
                       known ? std::to_string(dir.total_bytes) : "-",
                       known ? std::to_string(dir.reserve_bytes) : "-",
                       std::to_string(dir.partition_count), std::to_string(arriving)});
        }
        out = table.to_text() + moves_text(*moves);
    }
    const ExitCode printed = context.print(out);
    return printed != ExitCode::done || healthy ? printed : ExitCode::check_failed;
}

std::string brokers_text(const admin::ClusterInfo& cluster) {
    Table table(
        {"BROKER", "ADDRESS", "RACK", "ADMIN", "STATE", "LEADS", "REPLICAS", "IN SYNC", "ROLE"});
    for (const auto& broker : cluster.brokers) {
        table.add({std::to_string(broker.id), to_string(config::Endpoint{broker.host, broker.port}),
                   broker.rack.empty() ? "-" : broker.rack,
                   to_string(config::Endpoint{broker.admin_host, broker.admin_port}),
                   !broker.live      ? "dead"
                   : broker.cordoned ? "cordoned"
                                     : "live",
                   std::to_string(broker.leader_count), std::to_string(broker.replica_count),
                   std::to_string(broker.in_sync_count),
                   broker.id == cluster.controller_id ? "controller" : "-"});
    }
    return table.to_text();
}

std::string problems_text(const admin::ClusterInfo& cluster) {
    std::string out;
    for (const std::string& problem : cluster.problems) {
        append_for_terminal(out, problem);
        out.append("\n");
    }
    return out;
}

ExitCode brokers(Context& context) {
    const auto cluster = context.admin().cluster();
    if (!cluster) {
        return context.fail(cluster.error());
    }
    return context.print(context.is_json() ? admin::encode_brokers(*cluster) + "\n"
                                           : brokers_text(*cluster));
}

ExitCode health(Context& context) {
    const auto cluster = context.admin().cluster();
    if (!cluster) {
        return context.fail(cluster.error());
    }
    const bool healthy = cluster->problems.empty();
    const ExitCode printed = context.print(context.is_json() ? admin::encode_health(*cluster) + "\n"
                                           : healthy         ? "healthy\n"
                                                             : problems_text(*cluster));
    return printed != ExitCode::done || healthy ? printed : ExitCode::check_failed;
}

ExitCode status(Context& context) {
    const auto cluster = context.admin().cluster();
    if (!cluster) {
        return context.fail(cluster.error());
    }
    const bool healthy = cluster->problems.empty();
    std::string out;
    if (context.is_json()) {
        out = admin::encode(*cluster) + "\n";
    } else {
        append_for_terminal(out,
                            "cluster " + cluster->cluster_id + "  version " + cluster->version);
        out.append("  ").append(healthy ? "healthy" : "NOT HEALTHY").append("\n");
        out.append(std::to_string(cluster->topic_count)).append(" topics, ");
        out.append(std::to_string(cluster->partition_count)).append(" partitions, ");
        out.append(std::to_string(cluster->offline_partition_count)).append(" without a leader, ");
        out.append(std::to_string(cluster->under_replicated_partition_count));
        out.append(" under-replicated\n").append(brokers_text(*cluster));
        out.append(problems_text(*cluster));
    }
    const ExitCode printed = context.print(out);
    return printed != ExitCode::done || healthy ? printed : ExitCode::check_failed;
}

} // namespace

void add_cluster(CLI::App& root, Run& run) {
    CLI::App* cluster =
        root.add_subcommand("cluster", "Look at the cluster, and change which brokers hold what");
    cluster->require_subcommand(1);
    CLI::App* app =
        cluster->add_subcommand("status", "Brokers, and whether all partitions are served");
    app->footer(
        "Exit status 8 when something is wrong, which is said below the brokers; see health.\n\n"
        "Examples:\n  qtool cluster status\n  qtool cluster status -o json | jq .version");
    app->callback([&run] { run = &status; });
    CLI::App* brokers_app = cluster->add_subcommand(
        "brokers", "The brokers: where they are, whether they live, what they lead and have");
    brokers_app->footer("Examples:\n  qtool cluster brokers\n"
                        "  qtool cluster brokers -o json | jq '.brokers[] | select(.live | not)'");
    brokers_app->callback([&run] { run = &brokers; });
    CLI::App* health_app = cluster->add_subcommand("health", "What is wrong, in words");
    health_app->footer(
        "Exit status 8 when a partition has no leader, fewer in-sync replicas than\n"
        "min.insync.replicas or than replicas, a broker with replicas is not there, there is no\n"
        "controller, or a log directory of the broker that answers is offline or low on space.\n\n"
        "Examples:\n  qtool cluster health\n  until qtool cluster health; do sleep 1; done");
    health_app->callback([&run] { run = &health; });
    CLI::App* disks_app = cluster->add_subcommand(
        "disks",
        "Log directories of the broker that answers, their free bytes, what moves between them");
    disks_app->footer("Exit status 8 when one is offline, or has less free than its reserve.\n\n"
                      "Examples:\n  qtool cluster disks\n"
                      "  qtool cluster disks -o json | jq '.log_dirs[].free_bytes'");
    disks_app->callback([&run] { run = &disks; });
    add_cluster_brokers(*cluster, run);
}

} // namespace qtool::cli
