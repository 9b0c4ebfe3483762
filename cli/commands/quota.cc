// qtool quota list|set|remove, over AdminDoor: what clients may use.
#include "cli/command.h"
#include "cli/output/text.h"
#include "lib/admin/codec.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>

namespace qtool::cli {

namespace {

struct QuotaOptions {
    std::string user;
    std::string client_id;
    std::string ip;
    bool default_user = false;
    bool default_client_id = false;
    bool default_ip = false;
    std::vector<std::string> items; // KEY=NUMBER of set, KEY of remove
    bool dry_run = false;
};

Result<std::vector<admin::QuotaPart>> entity_of(const QuotaOptions& options) {
    struct Source {
        const char* type;
        const std::string& name;
        bool is_default;
    };
    std::vector<admin::QuotaPart> entity;
    for (const Source& source : {Source{"user", options.user, options.default_user},
                                 Source{"client-id", options.client_id, options.default_client_id},
                                 Source{"ip", options.ip, options.default_ip}}) {
        if (source.is_default) {
            entity.push_back({source.type, std::nullopt});
        } else if (!source.name.empty()) {
            entity.push_back({source.type, source.name});
        }
    }
    if (entity.empty()) {
        return Error(Code::invalid_argument,
                     "say whose quota: --user, --client-id or both, or --ip; with --default-user, "
                     "--default-client-id, --default-ip all who have none of their own");
    }
    return entity;
}

std::string describe(const std::vector<admin::QuotaPart>& entity) {
    std::string text;
    for (const auto& part : entity) {
        text.append(text.empty() ? "" : ", ").append(part.type).append(" ");
        text.append(part.name ? "'" + *part.name + "'" : "default");
    }
    return text;
}

// As short as it can be read back: 1048576, 12.5.
std::string number(double value) {
    char buffer[64];
    const auto end =
        std::to_chars(std::begin(buffer), std::end(buffer), value, std::chars_format::fixed);
    return end.ec == std::errc() ? std::string(std::begin(buffer), end.ptr) : "?";
}

ExitCode list(Context& context, const QuotaOptions&) {
    const auto found = context.admin().quotas();
    if (!found) {
        return context.fail(found.error());
    }
    if (context.is_json()) {
        return context.print(admin::encode(*found) + "\n");
    }
    Table table({"ENTITY", "QUOTA", "VALUE"});
    for (const auto& quota : found->quotas) {
        for (const auto& [key, value] : quota.values) {
            table.add({describe(quota.entity), key, number(value)});
        }
    }
    return context.print(table.to_text());
}

ExitCode alter(Context& context, const QuotaOptions& options, admin::AlterQuotaRequest request) {
    request.validate_only = options.dry_run;
    const auto altered = context.admin().alter_quota(request);
    if (!altered) {
        return context.fail(altered.error(), "quota of " + describe(request.entity));
    }
    if (context.is_json()) {
        return context.print(admin::encode(*altered) + "\n");
    }
    context.note((options.dry_run ? "would alter the quota of " : "altered the quota of ") +
                 describe(request.entity));
    return ExitCode::done;
}

ExitCode set(Context& context, const QuotaOptions& options) {
    const auto entity = entity_of(options);
    if (!entity) {
        return context.fail(entity.error());
    }
    admin::AlterQuotaRequest request;
    request.entity = *entity;
    for (const std::string& item : options.items) {
        const size_t equals = item.find('=');
        double value = 0;
        const char* begin = item.data() + std::min(equals, item.size() - 1) + 1;
        const char* end = item.data() + item.size();
        const auto parsed = std::from_chars(begin, end, value);
        if (equals == std::string::npos || equals == 0 || parsed.ec != std::errc() ||
            parsed.ptr != end) {
            return context.fail(Error(Code::invalid_argument,
                                      "quota '" + item + "' is not of the form key=number"));
        }
        request.set[item.substr(0, equals)] = value;
    }
    return alter(context, options, std::move(request));
}

ExitCode remove(Context& context, const QuotaOptions& options) {
    const auto entity = entity_of(options);
    if (!entity) {
        return context.fail(entity.error());
    }
    admin::AlterQuotaRequest request;
    request.entity = *entity;
    request.remove = options.items;
    if (request.remove.empty()) {
        const auto found = context.admin().quotas();
        if (!found) {
            return context.fail(found.error());
        }
        for (const auto& quota : found->quotas) {
            if (quota.entity == *entity) {
                for (const auto& [key, value] : quota.values) {
                    request.remove.push_back(key);
                }
            }
        }
        if (request.remove.empty()) {
            return context.fail(
                Error(Code::resource_not_found, describe(*entity) + " has no quota"));
        }
    }
    return alter(context, options, std::move(request));
}

} // namespace

void add_quota(CLI::App& root, Run& run) {
    const auto options = std::make_shared<QuotaOptions>();
    CLI::App* quota = root.add_subcommand("quota", "What clients may use");
    quota->require_subcommand(1);
    quota->footer("Keys: producer_byte_rate, consumer_byte_rate, request_percentage,\n"
                  "controller_mutation_rate; of an ip: connection_creation_rate.\n\n"
                  "Examples:\n  qtool quota set --client-id loader producer_byte_rate=1048576\n"
                  "  qtool quota list");
    using Action = ExitCode (*)(Context&, const QuotaOptions&);
    const auto add_action = [&](const char* name, const char* what, const char* examples,
                                Action action) {
        CLI::App* app = quota->add_subcommand(name, what);
        app->footer(std::string("Examples:\n") + examples);
        app->callback([&run, options, action] {
            run = [options, action](Context& context) { return action(context, *options); };
        });
        return app;
    };
    const auto entity = [&](CLI::App* app) {
        const auto part = [&](const char* name, std::string& text, const char* flag, bool& is_set,
                              const char* what, const char* what_default) {
            CLI::Option* named = app->add_option(name, text, what);
            app->add_flag(flag, is_set, what_default)->excludes(named);
        };
        part("--user", options->user, "--default-user", options->default_user,
             "Of this user (ANONYMOUS without authentication)", "Of each user without its own");
        part("--client-id", options->client_id, "--default-client-id", options->default_client_id,
             "Of clients with this client.id", "Of each client.id without its own");
        part("--ip", options->ip, "--default-ip", options->default_ip,
             "Of connections from this address", "Of each address without its own");
        app->add_flag("--dry-run", options->dry_run, "Only check whether the broker would do it");
    };

    add_action("list", "List quotas", "  qtool quota list -o json", &list);

    CLI::App* app = add_action("set", "Set quotas of a user, client-id or address",
                               "  qtool quota set --client-id loader producer_byte_rate=1048576\n"
                               "  qtool quota set --default-ip connection_creation_rate=20",
                               &set);
    entity(app);
    app->add_option("QUOTAS", options->items, "KEY=NUMBER; several are one change")->required();

    app = add_action("remove", "Remove quotas",
                     "  qtool quota remove --client-id loader producer_byte_rate\n"
                     "  qtool quota remove --client-id loader",
                     &remove);
    entity(app);
    app->add_option("KEYS", options->items, "Keys to remove (default: all)");
}

} // namespace qtool::cli
