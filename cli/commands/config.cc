// qtool config list|describe|set|unset, over AdminDoor: options of topics, brokers and groups.
#include "cli/command.h"
#include "cli/output/text.h"
#include "lib/admin/codec.h"

#include <CLI/CLI.hpp>

namespace qtool::cli {

namespace {

struct ConfigOptions {
    admin::ConfigResource resource;
    std::vector<std::string> items; // NAME=VALUE of set, NAME of unset
    std::string type;               // of list; empty: all
    bool all = false;
    bool dry_run = false;
};

std::string quoted(const admin::ConfigResource& resource) {
    return resource.type + " '" + resource.name + "'";
}

ExitCode list(Context& context, const ConfigOptions& options) {
    auto found = context.admin().config_resources();
    if (!found) {
        return context.fail(found.error());
    }
    if (!options.type.empty()) {
        std::erase_if(found->resources, [&](const admin::ConfigResource& resource) {
            return resource.type != options.type;
        });
    }
    if (context.is_json()) {
        return context.print(admin::encode(*found) + "\n");
    }
    Table table({"TYPE", "NAME"});
    for (const auto& resource : found->resources) {
        table.add({resource.type, resource.name});
    }
    return context.print(table.to_text());
}

ExitCode describe(Context& context, const ConfigOptions& options) {
    const auto found = context.admin().describe_configs(options.resource);
    if (!found) {
        return context.fail(found.error(), quoted(options.resource));
    }
    if (context.is_json()) {
        return context.print(admin::encode(*found) + "\n");
    }
    Table table({"CONFIG", "VALUE", "SOURCE", "CHANGE"});
    for (const auto& config : found->configs) {
        const bool is_own = config.source == options.resource.type ||
                            (config.source == "cluster" && options.resource.name == "default");
        if (options.all || is_own) {
            table.add({config.name,
                       config.value       ? *config.value
                       : config.sensitive ? "(hidden)"
                                          : "(null)",
                       config.source, config.read_only ? "restart" : "any time"});
        }
    }
    return context.print(table.to_text());
}

ExitCode alter(Context& context, const ConfigOptions& options,
               std::vector<admin::ConfigChange> changes) {
    admin::AlterConfigsRequest request;
    request.configs = std::move(changes);
    request.validate_only = options.dry_run;
    const auto altered = context.admin().alter_configs(options.resource, request);
    if (!altered) {
        return context.fail(altered.error(), quoted(options.resource));
    }
    if (context.is_json()) {
        return context.print(admin::encode(*altered) + "\n");
    }
    context.note((options.dry_run ? "would alter " : "altered ") + quoted(options.resource));
    return ExitCode::done;
}

ExitCode set(Context& context, const ConfigOptions& options) {
    std::vector<admin::ConfigChange> changes;
    for (const std::string& item : options.items) {
        const size_t equals = item.find('=');
        if (equals == std::string::npos || equals == 0) {
            return context.fail(Error(Code::invalid_argument,
                                      "option '" + item + "' is not of the form name=value"));
        }
        changes.push_back({admin::ConfigOp::set, item.substr(0, equals), item.substr(equals + 1)});
    }
    return alter(context, options, std::move(changes));
}

ExitCode unset(Context& context, const ConfigOptions& options) {
    std::vector<admin::ConfigChange> changes;
    for (const std::string& item : options.items) {
        changes.push_back({admin::ConfigOp::remove, item, {}});
    }
    return alter(context, options, std::move(changes));
}

} // namespace

void add_config(CLI::App& root, Run& run) {
    const auto options = std::make_shared<ConfigOptions>();
    CLI::App* config = root.add_subcommand("config", "Options of topics, brokers and groups");
    config->require_subcommand(1);
    config->footer("Examples:\n  qtool config set broker default log.retention.ms=86400000\n"
                   "  qtool config describe broker 1 --all-configs\n"
                   "  qtool config unset group readers consumer.session.timeout.ms");
    using Action = ExitCode (*)(Context&, const ConfigOptions&);
    const auto add_action = [&](const char* name, const char* what, const char* examples,
                                Action action) {
        CLI::App* app = config->add_subcommand(name, what);
        app->footer(std::string("Examples:\n") + examples);
        app->callback([&run, options, action] {
            run = [options, action](Context& context) { return action(context, *options); };
        });
        return app;
    };
    const auto resource = [&](CLI::App* app) {
        app->add_option("TYPE", options->resource.type, "topic, broker or group")
            ->required()
            ->check(CLI::IsMember({"topic", "broker", "group"}));
        app->add_option("RESOURCE", options->resource.name,
                        "Its name; of a broker its id, or default for all brokers")
            ->required();
    };
    const auto dry_run = [&](CLI::App* app) {
        app->add_flag("--dry-run", options->dry_run, "Only check whether the broker would do it");
    };

    CLI::App* app =
        add_action("list", "List what has options", "  qtool config list --type group", &list);
    app->add_option("--type", options->type, "Only this type: topic, broker or group")
        ->check(CLI::IsMember({"topic", "broker", "group"}));

    app = add_action("describe", "Show options set on a resource",
                     "  qtool config describe broker 1\n"
                     "  qtool config describe topic orders -a",
                     &describe);
    resource(app);
    app->add_flag("-a,--all-configs", options->all,
                  "All options in force, not only those set on it");

    app = add_action("set", "Set options while the broker runs",
                     "  qtool config set broker default log.retention.ms=86400000\n"
                     "  qtool config set group readers consumer.heartbeat.interval.ms=6000",
                     &set);
    resource(app);
    app->add_option("OPTIONS", options->items, "NAME=VALUE; several are one change")->required();
    dry_run(app);

    app = add_action("unset", "Return options to their defaults",
                     "  qtool config unset broker default log.retention.ms", &unset);
    resource(app);
    app->add_option("OPTIONS", options->items, "Names of options; several are one change")
        ->required();
    dry_run(app);
}

} // namespace qtool::cli
