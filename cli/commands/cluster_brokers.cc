#include "cli/commands/cluster_brokers.h"

#include "cli/commands/moves.h"

#include <CLI/CLI.hpp>

namespace qtool::cli {

namespace {

struct BrokerOptions {
    int32_t broker = 0;
    int32_t at_once = 20;
    bool yes = false;
    bool dry_run = false;
};

std::string name_of(int32_t broker) {
    return "broker " + std::to_string(broker);
}

ExitCode cordon(Context& context, const BrokerOptions& options, bool is_cordoned) {
    const auto done = context.admin().alter_broker(options.broker, {is_cordoned});
    if (!done) {
        return context.fail(done.error(), name_of(options.broker));
    }
    context.note(name_of(options.broker) +
                 (is_cordoned ? " gets no new replicas" : " may get new replicas"));
    return ExitCode::done;
}

ExitCode forget(Context& context, const BrokerOptions& options) {
    const auto done = context.admin().forget_broker(options.broker);
    if (!done) {
        return context.fail(done.error(), name_of(options.broker));
    }
    context.note(name_of(options.broker) + " is forgotten");
    return ExitCode::done;
}

// The plan goes to stdout; a plan that is carried out is followed by its progress on stderr.
ExitCode show(Context& context, const admin::MovePlan& plan) {
    return context.print(context.is_json() ? admin::encode(plan) + "\n" : describe_plan(plan));
}

ExitCode decommission(Context& context, const BrokerOptions& options) {
    if (!options.dry_run) {
        if (const ExitCode cordoned = cordon(context, options, true); cordoned != ExitCode::done) {
            return cordoned;
        }
    }
    // What is made while others move is found in a second look; the cordon sees to it that there
    // is an end to that.
    for (int look = 0; look < 3; look++) {
        const auto plan = context.admin().plan({"drain", options.broker});
        if (!plan) {
            return context.fail(plan.error(), name_of(options.broker));
        }
        if (look > 0 && plan->moves.empty() && plan->stuck.empty()) {
            break;
        }
        if (const ExitCode shown = show(context, *plan);
            shown != ExitCode::done || options.dry_run) {
            return shown;
        }
        const ExitCode moved =
            carry_out(context, plan->moves, static_cast<size_t>(options.at_once));
        if (moved != ExitCode::done) {
            return moved;
        }
        if (!plan->stuck.empty()) {
            return context.fail(
                Error(Code::invalid_replication_factor,
                      std::to_string(plan->stuck.size()) +
                          " partitions have no leader, or no other broker to go to"),
                name_of(options.broker));
        }
    }
    context.note(name_of(options.broker) +
                 " holds nothing any more: stop it, then 'qtool cluster "
                 "forget " +
                 std::to_string(options.broker) + "'");
    return ExitCode::done;
}

ExitCode rebalance(Context& context, const BrokerOptions& options) {
    const auto plan = context.admin().plan({"rebalance"});
    if (!plan) {
        return context.fail(plan.error());
    }
    if (const ExitCode shown = show(context, *plan); shown != ExitCode::done) {
        return shown;
    }
    if (plan->moves.empty()) {
        context.note("the brokers are even");
        return ExitCode::done;
    }
    if (!options.yes) {
        context.note("nothing was moved: add --yes to carry it out");
        return ExitCode::done;
    }
    return carry_out(context, plan->moves, static_cast<size_t>(options.at_once));
}

} // namespace

void add_cluster_brokers(CLI::App& cluster, Run& run) {
    const auto add = [&cluster, &run](const char* name, const char* what, const char* footer,
                                      auto command) {
        auto options = std::make_shared<BrokerOptions>();
        CLI::App* app = cluster.add_subcommand(name, what);
        app->footer(footer);
        app->callback([&run, options, command] {
            run = [options, command](Context& context) { return command(context, *options); };
        });
        return std::pair(app, options);
    };
    const auto take_broker = [](const auto& added) {
        added.first->add_option("BROKER", added.second->broker, "Its id")
            ->required()
            ->check(CLI::NonNegativeNumber);
    };
    const auto take_at_once = [](const auto& added) {
        added.first
            ->add_option("--at-once", added.second->at_once,
                         "Partitions that move at a time (default: 20)")
            ->check(CLI::Range(1, 1000));
    };

    take_broker(add("cordon", "Give a broker no new replicas",
                    "Examples:\n  qtool cluster cordon 3",
                    [](Context& context, const BrokerOptions& options) {
                        return cordon(context, options, true);
                    }));
    take_broker(add("uncordon", "Let a broker get new replicas again",
                    "Examples:\n  qtool cluster uncordon 3",
                    [](Context& context, const BrokerOptions& options) {
                        return cordon(context, options, false);
                    }));
    const auto drain =
        add("decommission", "Cordon a broker, move all its replicas to others, and wait for that",
            "Broken off, it goes on where it was when it is given again.\n\n"
            "Examples:\n  qtool cluster decommission 3 --dry-run\n"
            "  qtool cluster decommission 3",
            &decommission);
    take_broker(drain);
    take_at_once(drain);
    drain.first->add_flag("--dry-run", drain.second->dry_run, "Only show what would move");
    take_broker(add("forget", "Forget a broker that is gone for good",
                    "Examples:\n  qtool cluster forget 3", &forget));
    const auto even =
        add("rebalance",
            "Show what would have to move so that all brokers hold alike; with --yes "
            "move it",
            "Examples:\n  qtool cluster rebalance\n  qtool cluster rebalance --yes", &rebalance);
    take_at_once(even);
    even.first->add_flag("--yes", even.second->yes, "Carry the plan out, and wait for that");
}

} // namespace qtool::cli
