// qtool topic create|list|describe|alter|delete, over AdminDoor.
#include "cli/command.h"
#include "cli/output/text.h"
#include "lib/admin/codec.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <iostream>

namespace qtool::cli {

namespace {

struct TopicOptions {
    std::vector<std::string> names;
    int32_t partitions = 0;  // 0: not given
    int32_t replication = 0; // 0: not given
    std::vector<std::string> configs;
    std::vector<std::string> append;
    std::vector<std::string> subtract;
    std::vector<std::string> unset;
    bool if_not_exists = false;
    bool if_exists = false;
    bool dry_run = false;
    bool yes = false;
    bool internal = false;
    bool all_configs = false;
};

Result<std::pair<std::string, std::string>> split_config(const std::string& text) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
        return Error(Code::invalid_argument, "config '" + text + "' is not of the form name=value");
    }
    return std::pair(text.substr(0, equals), text.substr(equals + 1));
}

std::string quoted_topic(std::string_view name) {
    return "topic '" + std::string(name) + "'";
}

ExitCode create(Context& context, const TopicOptions& options) {
    admin::CreateTopicRequest request;
    request.validate_only = options.dry_run;
    if (options.partitions != 0) {
        request.partitions = options.partitions;
    }
    if (options.replication != 0) {
        request.replication_factor = options.replication;
    }
    for (const std::string& text : options.configs) {
        const auto config = split_config(text);
        if (!config) {
            return context.fail(config.error());
        }
        request.configs[config->first] = config->second;
    }
    std::optional<ExitCode> status;
    for (const std::string& name : options.names) {
        request.name = name;
        const auto created = context.admin().create_topic(request);
        if (!created && created.error().code == Code::topic_exists && options.if_not_exists) {
            context.note(quoted_topic(name) + " exists already");
            fold(status, ExitCode::done);
        } else if (!created) {
            fold(status, context.fail(created.error(), quoted_topic(name)));
        } else if (context.is_json()) {
            fold(status, context.print(admin::encode(*created) + "\n"));
        } else {
            context.note((options.dry_run ? "would create " : "created ") + quoted_topic(name) +
                         " with " + std::to_string(created->partition_count) + " partition(s), " +
                         std::to_string(created->replication_factor) + " replica(s) each");
            fold(status, ExitCode::done);
        }
    }
    return *status;
}

ExitCode list(Context& context, const TopicOptions& options) {
    auto topics = context.admin().topics();
    if (!topics) {
        return context.fail(topics.error());
    }
    if (!options.internal) {
        std::erase_if(topics->topics, [](const admin::TopicSummary& t) { return t.internal; });
    }
    if (context.is_json()) {
        return context.print(admin::encode(*topics) + "\n");
    }
    Table table({"NAME", "PARTITIONS", "REPLICAS"});
    for (const auto& topic : topics->topics) {
        table.add({topic.name, std::to_string(topic.partition_count),
                   std::to_string(topic.replication_factor)});
    }
    return context.print(table.to_text());
}

std::string join(const std::vector<int32_t>& ids) {
    std::string out;
    for (const int32_t id : ids) {
        out.append(out.empty() ? "" : ",").append(std::to_string(id));
    }
    return out;
}

std::string or_dash(const std::optional<int64_t>& value) {
    return value ? std::to_string(*value) : "-";
}

// How far each replica is; of a topic with one replica the partitions say it already.
std::string replicas_text(const admin::TopicDescription& topic) {
    Table table({"PARTITION", "REPLICA", "ROLE", "STATE", "END", "LAG", "BYTES"});
    bool is_replicated = false;
    for (const auto& p : topic.partitions) {
        is_replicated = is_replicated || p.replica_states.size() > 1;
        const auto is_in = [](const std::vector<int32_t>& ids, int32_t id) {
            return std::find(ids.begin(), ids.end(), id) != ids.end();
        };
        for (const admin::ReplicaState& replica : p.replica_states) {
            const char* role = replica.broker == p.leader                   ? "leader"
                               : is_in(p.adding_replicas, replica.broker)   ? "adding"
                               : is_in(p.removing_replicas, replica.broker) ? "removing"
                                                                            : "follower";
            const char* state = !replica.live                  ? "dead"
                                : replica.in_sync              ? "in sync"
                                : is_in(p.elr, replica.broker) ? "eligible"
                                                               : "behind";
            table.add({std::to_string(p.partition), std::to_string(replica.broker), role, state,
                       or_dash(replica.log_end_offset), or_dash(replica.lag),
                       or_dash(replica.size_bytes)});
        }
    }
    return is_replicated ? table.to_text() : std::string();
}

std::string describe_text(const admin::TopicDescription& topic, bool all_configs) {
    std::string out;
    append_for_terminal(out, topic.name);
    out.append("  id ").append(topic.id).append(topic.internal ? "  internal\n" : "\n");
    Table partitions(
        {"PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR", "START", "END", "COMMITTED", "BYTES"});
    for (const auto& p : topic.partitions) {
        partitions.add({std::to_string(p.partition),
                        p.leader < 0 ? "none" : std::to_string(p.leader),
                        std::to_string(p.leader_epoch), join(p.replicas), join(p.isr),
                        or_dash(p.log_start_offset), or_dash(p.log_end_offset),
                        or_dash(p.high_watermark), or_dash(p.size_bytes)});
    }
    out.append(partitions.to_text()).append(replicas_text(topic));
    for (const auto& p : topic.partitions) {
        if (p.future_log_dir) {
            append_for_terminal(out, "partition " + std::to_string(p.partition) + " moves from " +
                                         p.log_dir.value_or("-") + " to " + *p.future_log_dir +
                                         ": " + or_dash(p.future_offset_lag) + " records left");
            out.append("\n");
        }
    }
    Table configs({"CONFIG", "VALUE", "SOURCE"});
    for (const auto& config : topic.configs) {
        if (all_configs || config.source == "topic") {
            configs.add({config.name,
                         config.value       ? *config.value
                         : config.sensitive ? "(hidden)"
                                            : "(null)",
                         config.source});
        }
    }
    return out + configs.to_text();
}

ExitCode describe(Context& context, const TopicOptions& options) {
    std::optional<ExitCode> status;
    for (const std::string& name : options.names) {
        const auto topic = context.admin().describe_topic(name);
        if (!topic) {
            fold(status, context.fail(topic.error(), quoted_topic(name)));
        } else {
            fold(status,
                 context.print(context.is_json() ? admin::encode(*topic) + "\n"
                                                 : describe_text(*topic, options.all_configs)));
        }
    }
    return *status;
}

Result<admin::AlterTopicRequest> make_alter(const TopicOptions& options) {
    admin::AlterTopicRequest request;
    request.validate_only = options.dry_run;
    if (options.partitions != 0) {
        request.partitions = options.partitions;
    }
    struct Source {
        admin::ConfigOp op;
        const std::vector<std::string>& texts;
    };
    for (const Source& source : {Source{admin::ConfigOp::set, options.configs},
                                 Source{admin::ConfigOp::append, options.append},
                                 Source{admin::ConfigOp::subtract, options.subtract}}) {
        for (const std::string& text : source.texts) {
            QT_TRY_ASSIGN(auto config, split_config(text));
            request.configs.push_back(
                {source.op, std::move(config.first), std::move(config.second)});
        }
    }
    for (const std::string& name : options.unset) {
        request.configs.push_back({admin::ConfigOp::remove, name, {}});
    }
    if (request.configs.empty() && !request.partitions) {
        return Error(Code::invalid_argument,
                     "nothing to alter: give --config, --append, --subtract, "
                     "--unset or --partitions");
    }
    return request;
}

ExitCode alter(Context& context, const TopicOptions& options) {
    const auto request = make_alter(options);
    if (!request) {
        return context.fail(request.error());
    }
    std::optional<ExitCode> status;
    for (const std::string& name : options.names) {
        const auto altered = context.admin().alter_topic(name, *request);
        if (!altered) {
            fold(status, context.fail(altered.error(), quoted_topic(name)));
        } else if (context.is_json()) {
            fold(status, context.print(admin::encode(*altered) + "\n"));
        } else {
            context.note((options.dry_run ? "would alter " : "altered ") + quoted_topic(name));
            fold(status, ExitCode::done);
        }
    }
    return *status;
}

/// Asks a person; a script (no terminal) has decided already.
bool confirmed(Context& context, const TopicOptions& options) {
    if (options.yes || !context.stdin_is_terminal() || !context.stderr_is_terminal()) {
        return true;
    }
    std::string question = "delete";
    for (const std::string& name : options.names) {
        question.append(" ").append(name);
    }
    context.note(question + " with all records? Type yes:");
    std::string answer;
    std::getline(std::cin, answer);
    return answer == "yes";
}

ExitCode remove(Context& context, const TopicOptions& options) {
    if (!confirmed(context, options)) {
        context.note("qtool: not deleted");
        return ExitCode::failed;
    }
    std::optional<ExitCode> status;
    for (const std::string& name : options.names) {
        const auto deleted = context.admin().delete_topic(name);
        if (!deleted && deleted.error().code == Code::unknown_topic && options.if_exists) {
            context.note(quoted_topic(name) + " does not exist");
            fold(status, ExitCode::done);
        } else if (!deleted) {
            fold(status, context.fail(deleted.error(), quoted_topic(name)));
        } else if (context.is_json()) {
            std::string line = "{\"deleted\":";
            append_json_string(line, name);
            fold(status, context.print(line + "}\n"));
        } else {
            context.note("deleted " + quoted_topic(name));
            fold(status, ExitCode::done);
        }
    }
    return *status;
}

using Action = ExitCode (*)(Context&, const TopicOptions&);

CLI::App* add_action(CLI::App& topic, Run& run, const std::string& name, const std::string& what,
                     const std::string& examples, const std::shared_ptr<TopicOptions>& options,
                     Action action) {
    CLI::App* app = topic.add_subcommand(name, what);
    app->footer("Examples:\n" + examples);
    app->callback([&run, options, action] {
        run = [options, action](Context& context) { return action(context, *options); };
    });
    return app;
}

} // namespace

void add_topic(CLI::App& root, Run& run) {
    const auto options = std::make_shared<TopicOptions>();
    CLI::App* topic = root.add_subcommand("topic", "Create, list, describe, alter, delete topics");
    topic->require_subcommand(1);
    topic->footer("Examples:\n  qtool topic create orders -p 12\n  qtool topic list\n"
                  "  qtool topic describe orders");
    const auto names = [&](CLI::App* app) {
        app->add_option("NAME", options->names, "Name of the topic; several are allowed")
            ->required();
    };
    const auto configs = [&](CLI::App* app) {
        app->add_option("--config", options->configs, "Set an option: name=value; repeatable")
            ->allow_extra_args(false);
    };
    const auto dry_run = [&](CLI::App* app) {
        app->add_flag("--dry-run", options->dry_run, "Only check whether the broker would do it");
    };

    CLI::App* app =
        add_action(*topic, run, "create", "Create topics",
                   "  qtool topic create orders\n"
                   "  qtool topic create orders -p 12 -r 3 --config retention.ms=86400000\n"
                   "  qtool topic create orders --if-not-exists",
                   options, &create);
    names(app);
    app->add_option("-p,--partitions", options->partitions,
                    "Number of partitions (default: the broker's num.partitions)")
        ->check(CLI::PositiveNumber);
    app->add_option("-r,--replication,--replication-factor", options->replication,
                    "Copies of each partition (default: the broker's default.replication.factor)")
        ->check(CLI::PositiveNumber);
    configs(app);
    app->add_flag("--if-not-exists", options->if_not_exists, "A topic that exists is no failure");
    dry_run(app);

    app = add_action(*topic, run, "list", "List topics",
                     "  qtool topic list\n  qtool topic list -o json | jq -r '.topics[].name'",
                     options, &list);
    app->add_flag("--internal", options->internal, "Internal topics (__...) too");

    app = add_action(*topic, run, "describe", "Show partitions, replicas, offsets, configuration",
                     "  qtool topic describe orders\n"
                     "  qtool topic describe orders -o json | jq '.partitions[].high_watermark'",
                     options, &describe);
    names(app);
    app->add_flag("-a,--all-configs", options->all_configs,
                  "All options in force, not only those set on the topic");

    app = add_action(*topic, run, "alter", "Change options or raise the number of partitions",
                     "  qtool topic alter orders --config retention.ms=3600000\n"
                     "  qtool topic alter orders --unset retention.ms --partitions 24",
                     options, &alter);
    names(app);
    configs(app);
    app->add_option("--append", options->append, "Add to a list option: name=value; repeatable")
        ->allow_extra_args(false);
    app->add_option("--subtract", options->subtract,
                    "Take from a list option: name=value; repeatable")
        ->allow_extra_args(false);
    app->add_option("--unset", options->unset, "Return an option to its default; repeatable")
        ->allow_extra_args(false);
    app->add_option("-p,--partitions", options->partitions, "New number of partitions; rises only")
        ->check(CLI::PositiveNumber);
    dry_run(app);

    app = add_action(*topic, run, "delete", "Delete topics with all their records",
                     "  qtool topic delete orders\n  qtool topic delete orders --if-exists --yes",
                     options, &remove);
    names(app);
    app->add_flag("--if-exists", options->if_exists, "A topic that does not exist is no failure");
    app->add_flag("-y,--yes", options->yes, "Do not ask (nobody is asked without a terminal)");
}

} // namespace qtool::cli
