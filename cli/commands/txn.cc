// qtool txn: transactional producers and what they have open, over AdminDoor.
#include "cli/command.h"
#include "cli/output/text.h"

#include <CLI/CLI.hpp>

#include <optional>

namespace qtool::cli {

namespace {

using Ids = std::vector<std::string>;

std::string quoted_id(std::string_view id) {
    return "transactional id '" + std::string(id) + "'";
}

ExitCode list(Context& context, const Ids&) {
    const auto found = context.admin().transactions();
    if (!found) {
        return context.fail(found.error());
    }
    if (context.is_json()) {
        return context.print(admin::encode(*found) + "\n");
    }
    Table table({"TRANSACTIONAL ID", "PRODUCER ID", "STATE"});
    for (const admin::TransactionSummary& one : found->transactions) {
        table.add({one.transactional_id, std::to_string(one.producer_id), one.state});
    }
    return context.print(table.to_text());
}

std::string describe_text(const admin::TransactionDescription& one) {
    std::string out;
    append_for_terminal(out, "transactional id " + one.transactional_id + "  " + one.state);
    out.append("\nproducer ").append(std::to_string(one.producer_id)).append(" epoch ");
    out.append(std::to_string(one.producer_epoch)).append(", timeout ");
    out.append(std::to_string(one.timeout_ms)).append(" ms");
    if (one.start_ms >= 0) {
        out.append(", open since @").append(std::to_string(one.start_ms));
    }
    out.append("\n");
    Table table({"TOPIC", "PARTITION"});
    for (const admin::TopicPartitions& topic : one.partitions) {
        for (const int32_t partition : topic.partitions) {
            table.add({topic.topic, std::to_string(partition)});
        }
    }
    return out + table.to_text();
}

ExitCode describe(Context& context, const Ids& ids) {
    std::optional<ExitCode> status;
    for (const std::string& id : ids) {
        const auto found = context.admin().describe_transaction(id);
        fold(status, found ? context.print(context.is_json() ? admin::encode(*found) + "\n"
                                                             : describe_text(*found))
                           : context.fail(found.error(), quoted_id(id)));
    }
    return *status;
}

ExitCode abort_open(Context& context, const Ids& ids) {
    std::optional<ExitCode> status;
    for (const std::string& id : ids) {
        if (const auto aborted = context.admin().abort_transaction(id); !aborted) {
            fold(status, context.fail(aborted.error(), quoted_id(id)));
            continue;
        }
        context.note("aborted what " + quoted_id(id) + " had open; its producer is fenced");
        fold(status, ExitCode::done);
    }
    return *status;
}

} // namespace

void add_txn(CLI::App& root, Run& run) {
    const auto ids = std::make_shared<Ids>();
    CLI::App* txn = root.add_subcommand("txn", "Transactional producers and their transactions");
    txn->require_subcommand(1);
    txn->footer("Examples:\n  qtool txn list\n  qtool txn describe billing-1");
    const auto action = [&](const std::string& name, const std::string& what,
                            const std::string& example, ExitCode (*act)(Context&, const Ids&)) {
        CLI::App* app = txn->add_subcommand(name, what);
        app->footer("Examples:\n" + example);
        app->callback([&run, ids, act] {
            run = [ids, act](Context& context) { return act(context, *ids); };
        });
        return app;
    };
    const auto names = [&](CLI::App* app) {
        app->add_option("ID", *ids, "Transactional id; several are allowed")->required();
    };
    action("list", "List transactional ids",
           "  qtool txn list\n"
           "  qtool txn list -o json | jq '.transactions[] | select(.state == \"Ongoing\")'",
           &list);
    names(action("describe", "Show a transaction, its producer and partitions",
                 "  qtool txn describe billing-1", &describe));
    names(action("abort", "Fence a producer and abort what it has open",
                 "  qtool txn abort billing-1", &abort_open));
}

} // namespace qtool::cli
