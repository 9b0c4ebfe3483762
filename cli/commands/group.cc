// qtool group: consumer groups and their committed offsets, over AdminDoor. What rewrites offsets
// only says what it would do, unless --execute is given.
#include "cli/command.h"
#include "cli/commands/record_options.h"
#include "cli/commands/resolve_position.h"
#include "cli/input/line_reader.h"
#include "cli/output/text.h"

#include <CLI/CLI.hpp>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>

namespace qtool::cli {

namespace {

constexpr size_t kImportLineBytesMax = 1024 * 1024;

struct GroupOptions {
    std::vector<std::string> names;
    bool execute = false;
    RecordOptions record; // reset-offsets
    std::string to;
};

std::string quoted_group(std::string_view group) {
    return "group '" + std::string(group) + "'";
}

std::string partitions_text(const std::vector<admin::TopicPartitions>& assignment) {
    std::string out;
    for (const admin::TopicPartitions& topic : assignment) {
        for (const int32_t partition : topic.partitions) {
            out.append(out.empty() ? "" : " ").append(topic.topic).append("-");
            out.append(std::to_string(partition));
        }
    }
    return out.empty() ? "-" : out;
}

std::string number(const std::optional<int64_t>& value) {
    return value ? std::to_string(*value) : "-";
}

ExitCode list(Context& context, const GroupOptions&) {
    const auto groups = context.admin().groups();
    if (!groups) {
        return context.fail(groups.error());
    }
    if (context.is_json()) {
        return context.print(admin::encode(*groups) + "\n");
    }
    Table table({"GROUP", "TYPE", "STATE", "PROTOCOL"});
    for (const admin::GroupSummary& group : groups->groups) {
        table.add({group.group, group.type.empty() ? "-" : group.type,
                   group.state.empty() ? "-" : group.state,
                   group.protocol_type.empty() ? "-" : group.protocol_type});
    }
    return context.print(table.to_text());
}

// How long ago the first record that is not committed was written: "12.3s".
std::string behind(const std::optional<int64_t>& lag_ms) {
    if (!lag_ms) {
        return "-";
    }
    return std::to_string(*lag_ms / 1000) + "." + std::to_string(*lag_ms % 1000 / 100) + "s";
}

std::string describe_text(const admin::GroupDescription& group) {
    std::string out;
    append_for_terminal(out, "group " + group.group + "  " + group.type + "  " + group.state +
                                 (group.protocol.empty() ? "" : "  " + group.protocol));
    out.append("  ").append(std::to_string(group.members.size())).append(" members\n");
    std::map<std::pair<std::string_view, int32_t>, std::string_view> owners;
    for (const admin::GroupMember& member : group.members) {
        for (const admin::TopicPartitions& topic : member.assignment) {
            for (const int32_t partition : topic.partitions) {
                owners[{topic.topic, partition}] = member.client_id;
            }
        }
    }
    Table offsets({"TOPIC", "PARTITION", "OFFSET", "END", "LAG", "BEHIND", "CLIENT"});
    for (const admin::GroupOffset& one : group.offsets) {
        const auto owner = owners.find({one.topic, one.partition});
        offsets.add({one.topic, std::to_string(one.partition), std::to_string(one.offset),
                     number(one.high_watermark), number(one.lag), behind(one.lag_ms),
                     owner == owners.end() ? "-" : std::string(owner->second)});
    }
    out.append(offsets.to_text());
    Table members({"MEMBER", "CLIENT", "HOST", "PARTITIONS"});
    for (const admin::GroupMember& member : group.members) {
        members.add({member.member_id, member.client_id, member.client_host,
                     partitions_text(member.assignment)});
    }
    return out + members.to_text();
}

ExitCode describe(Context& context, const GroupOptions& options) {
    std::optional<ExitCode> status;
    for (const std::string& name : options.names) {
        const auto group = context.admin().describe_group(name);
        fold(status, group ? context.print(context.is_json() ? admin::encode(*group) + "\n"
                                                             : describe_text(*group))
                           : context.fail(group.error(), quoted_group(name)));
    }
    return *status;
}

ExitCode remove(Context& context, const GroupOptions& options) {
    std::optional<ExitCode> status;
    for (const std::string& name : options.names) {
        const auto deleted = context.admin().delete_group(name);
        if (!deleted) {
            fold(status, context.fail(deleted.error(), quoted_group(name)));
            continue;
        }
        context.note("deleted " + quoted_group(name));
        fold(status, ExitCode::done);
    }
    return *status;
}

/// Prints what is or would be set, and sets it when asked to.
ExitCode set_offsets(Context& context, const std::string& group,
                     const admin::SetGroupOffsets& request, bool execute) {
    if (execute) {
        if (const auto done = context.admin().set_group_offsets(group, request); !done) {
            return context.fail(done.error(), quoted_group(group));
        }
    }
    if (context.is_json()) {
        std::string line = "{\"group\":";
        append_json_string(line, group);
        line.append(execute ? ",\"executed\":true," : ",\"executed\":false,");
        line.append(admin::encode(request).substr(1)); // its one field
        return context.print(line + "\n");
    }
    Table table({"GROUP", "TOPIC", "PARTITION", "NEW OFFSET"});
    for (const admin::OffsetToSet& one : request.offsets) {
        table.add({group, one.topic, std::to_string(one.partition), std::to_string(one.offset)});
    }
    const ExitCode printed = context.print(table.to_text());
    if (!execute) {
        context.note("nothing was changed; --execute does it");
    }
    return printed;
}

ExitCode reset_offsets(Context& context, const GroupOptions& options) {
    const Result<Position> position = parse_position(options.to);
    if (!position) {
        context.fail(position.error(), "--to");
        return ExitCode::usage;
    }
    auto config = make_client_config(context, options.record, {});
    if (!config) {
        context.fail(config.error());
        return ExitCode::usage;
    }
    client::BlockingConsumer consumer(*std::move(config));
    const std::string& topic = options.record.topic;
    const auto partitions = choose_partitions(consumer, context, options.record);
    if (!partitions) {
        return context.fail(partitions.error(), "topic '" + topic + "'");
    }
    const auto offsets =
        resolve_position(consumer, topic, *partitions, *position, answer_deadline(context));
    if (!offsets) {
        return context.fail(offsets.error(), "topic '" + topic + "'");
    }
    admin::SetGroupOffsets request;
    for (size_t i = 0; i < partitions->size(); i++) {
        request.offsets.push_back({topic, (*partitions)[i], (*offsets)[i], {}});
    }
    return set_offsets(context, options.names.front(), request, options.execute);
}

// One line of JSON an offset, the same whatever -o says: what import reads.
ExitCode export_offsets(Context& context, const GroupOptions& options) {
    const auto group = context.admin().describe_group(options.names.front());
    if (!group) {
        return context.fail(group.error(), quoted_group(options.names.front()));
    }
    std::string out;
    for (const admin::GroupOffset& one : group->offsets) {
        out.append(
            admin::encode(admin::OffsetToSet{one.topic, one.partition, one.offset, one.metadata}));
        out.push_back('\n');
    }
    return context.print(out);
}

ExitCode import_offsets(Context& context, const GroupOptions& options) {
    FdSource source(STDIN_FILENO, stop_requested);
    LineReader reader(source, "\n", kImportLineBytesMax);
    admin::SetGroupOffsets request;
    while (true) {
        const std::optional<std::string_view> line = reader.take();
        if (!line) {
            if (reader.at_end()) {
                break;
            }
            if (const Result<bool> more = reader.fill(); !more) {
                return context.fail(more.error(), "stdin");
            }
            continue;
        }
        if (line->empty()) {
            continue;
        }
        const auto offset = admin::decode<admin::OffsetToSet>(*line);
        if (!offset) {
            context.fail(offset.error(), "line " + std::to_string(reader.number()));
            return ExitCode::failed; // nothing is set of a file that does not read
        }
        request.offsets.push_back(*offset);
    }
    if (stop_requested != 0) {
        return context.fail(Error(Code::cancelled, "interrupted; nothing was set"));
    }
    if (request.offsets.empty()) {
        return context.fail(Error(Code::invalid_argument, "stdin holds no offset"));
    }
    return set_offsets(context, options.names.front(), request, options.execute);
}

using Action = ExitCode (*)(Context&, const GroupOptions&);

} // namespace

void add_group(CLI::App& root, Run& run) {
    const auto options = std::make_shared<GroupOptions>();
    CLI::App* group = root.add_subcommand("group", "Consumer groups and their committed offsets");
    group->require_subcommand(1);
    group->footer("Examples:\n  qtool group list\n  qtool group describe billing\n"
                  "  qtool group reset-offsets billing -t orders --to beginning --execute");
    const auto action = [&](const std::string& name, const std::string& what,
                            const std::string& examples, Action act) {
        CLI::App* app = group->add_subcommand(name, what);
        app->footer("Examples:\n" + examples);
        app->callback([&run, options, act] {
            run = [options, act](Context& context) { return act(context, *options); };
        });
        return app;
    };
    const auto names = [&](CLI::App* app, int count) {
        CLI::Option* option =
            app->add_option("NAME", options->names, "Name of the group")->required();
        if (count > 0) {
            option->expected(count);
        }
    };
    const auto execute = [&](CLI::App* app) {
        app->add_flag("--execute", options->execute,
                      "Do it; without this only what would be set is shown");
    };

    action("list", "List groups",
           "  qtool group list\n  qtool group list -o json | jq -r '.groups[].group'", &list);
    names(action("describe", "Show members, committed offsets and lag",
                 "  qtool group describe billing\n"
                 "  qtool group describe billing -o json | jq '[.offsets[].lag] | add'",
                 &describe),
          0);
    CLI::App* app =
        action("reset-offsets", "Set committed offsets of a group without members",
               "  qtool group reset-offsets billing -t orders --to beginning\n"
               "  qtool group reset-offsets billing -t orders --to 2026-01-31T08:00:00Z --execute",
               &reset_offsets);
    names(app, 1);
    app->add_option("-t,--topic", options->record.topic, "Name of the topic")->required();
    add_partitions_option(*app, options->record);
    app->add_option("--to", options->to,
                    "beginning, end, an offset, -N for the last N, @MILLISECONDS or ISO 8601")
        ->required();
    execute(app);
    names(action("delete", "Delete groups without members, with their offsets",
                 "  qtool group delete billing", &remove),
          0);
    names(action("export", "Print committed offsets, one JSON object a line",
                 "  qtool group export billing > billing.offsets", &export_offsets),
          1);
    app = action("import", "Set committed offsets from stdin, as export prints them",
                 "  qtool group import billing < billing.offsets\n"
                 "  qtool group export a | qtool group import b --execute",
                 &import_offsets);
    names(app, 1);
    execute(app);
}

} // namespace qtool::cli
