// qtool offsets: where each partition begins and ends, and where a time is.
#include "cli/command.h"
#include "cli/commands/record_options.h"
#include "cli/input/position.h"
#include "cli/output/text.h"

#include <CLI/CLI.hpp>

#include <optional>

namespace qtool::cli {

namespace {

struct OffsetsOptions {
    RecordOptions record;
    std::string time; // empty: not given
    std::string isolation;
};

struct OffsetsReport {
    std::vector<client::ListedOffset> earliest;
    std::vector<client::ListedOffset> latest;
    std::optional<std::vector<client::ListedOffset>> at_time;
};

/// Asks for everything at once; each list is in the order of the partitions.
Result<OffsetsReport> ask(client::BlockingConsumer& consumer, const Context& context,
                          const RecordOptions& options, std::optional<int64_t> time_ms) {
    QT_TRY_ASSIGN(const std::vector<int32_t> partitions,
                  choose_partitions(consumer, context, options));
    const MonoTime deadline = answer_deadline(context);
    OffsetsReport report;
    QT_TRY_ASSIGN(report.earliest, consumer.list_offsets(options.topic, partitions,
                                                         client::kEarliestOffset, deadline));
    QT_TRY_ASSIGN(report.latest, consumer.list_offsets(options.topic, partitions,
                                                       client::kLatestOffset, deadline));
    if (time_ms) {
        QT_TRY_ASSIGN(report.at_time,
                      consumer.list_offsets(options.topic, partitions, *time_ms, deadline));
    }
    return report;
}

std::string to_json(const std::string& topic, const OffsetsReport& report) {
    const auto number = [](const client::ListedOffset& one) {
        return one.result ? std::to_string(one.offset) : std::string("null");
    };
    std::string out = "{\"topic\":";
    append_json_string(out, topic);
    out.append(",\"partitions\":[");
    for (size_t i = 0; i < report.latest.size(); i++) {
        out.append(i == 0 ? "" : ",").append("{\"partition\":");
        out.append(std::to_string(report.latest[i].partition));
        out.append(",\"earliest\":").append(number(report.earliest[i]));
        out.append(",\"latest\":").append(number(report.latest[i]));
        if (report.at_time) {
            const client::ListedOffset& found = (*report.at_time)[i];
            out.append(",\"offset\":").append(number(found));
            out.append(",\"timestamp\":")
                .append(found.result ? std::to_string(found.timestamp_ms) : "null");
        }
        out.push_back('}');
    }
    return out.append("]}\n");
}

std::string to_table(const OffsetsReport& report) {
    const auto number = [](const client::ListedOffset& one, int64_t value) {
        return one.result && value >= 0 ? std::to_string(value) : std::string("-");
    };
    std::vector<std::string> headings = {"PARTITION", "EARLIEST", "LATEST"};
    if (report.at_time) {
        headings.insert(headings.end(), {"OFFSET", "TIMESTAMP"});
    }
    Table table(std::move(headings));
    for (size_t i = 0; i < report.latest.size(); i++) {
        std::vector<std::string> row = {std::to_string(report.latest[i].partition),
                                        number(report.earliest[i], report.earliest[i].offset),
                                        number(report.latest[i], report.latest[i].offset)};
        if (report.at_time) {
            const client::ListedOffset& found = (*report.at_time)[i];
            row.push_back(number(found, found.offset));
            row.push_back(number(found, found.timestamp_ms));
        }
        table.add(std::move(row));
    }
    return table.to_text();
}

/// Names each partition that did not answer.
ExitCode report_failures(const Context& context, const std::string& topic,
                         const OffsetsReport& report) {
    std::optional<ExitCode> status;
    size_t failed = 0;
    for (size_t i = 0; i < report.latest.size(); i++) {
        const client::ListedOffset* bad = !report.earliest[i].result ? &report.earliest[i]
                                          : !report.latest[i].result ? &report.latest[i]
                                          : report.at_time && !(*report.at_time)[i].result
                                              ? &(*report.at_time)[i]
                                              : nullptr;
        if (bad != nullptr) {
            failed++;
            const ExitCode code =
                context.fail(bad->result.error(),
                             "topic '" + topic + "', partition " + std::to_string(bad->partition));
            status = status ? combine(*status, code) : code;
        }
    }
    return !status ? ExitCode::done : failed == report.latest.size() ? *status : ExitCode::failed;
}

ExitCode offsets(Context& context, const OffsetsOptions& options) {
    std::optional<int64_t> time_ms;
    if (options.time == "max") {
        time_ms = client::kMaxTimestampOffset;
    } else if (!options.time.empty()) {
        const Result<int64_t> parsed = parse_time(options.time);
        if (!parsed) {
            return context.fail(parsed.error(), "--time");
        }
        time_ms = *parsed;
    }
    std::vector<std::pair<std::string, std::string>> named;
    if (!options.isolation.empty()) {
        named.emplace_back("isolation.level", options.isolation);
    }
    auto config = make_client_config(context, options.record, named);
    if (!config) {
        context.fail(config.error());
        return ExitCode::usage;
    }
    client::BlockingConsumer consumer(*std::move(config));
    const auto report = ask(consumer, context, options.record, time_ms);
    if (!report) {
        return context.fail(report.error(), "topic '" + options.record.topic + "'");
    }
    const ExitCode printed = context.print(
        context.is_json() ? to_json(options.record.topic, *report) : to_table(*report));
    const ExitCode status = report_failures(context, options.record.topic, *report);
    return printed != ExitCode::done ? printed : status;
}

} // namespace

void add_offsets(CLI::App& root, Run& run) {
    const auto options = std::make_shared<OffsetsOptions>();
    CLI::App* app =
        root.add_subcommand("offsets", "Show where partitions begin and end, or where a time is");
    add_topic_option(*app, options->record);
    add_partitions_option(*app, options->record);
    app->add_option("--time", options->time,
                    "Also the first record not older than this time: @MILLISECONDS or ISO 8601 "
                    "(UTC without a zone), or max for the record with the largest timestamp");
    app->add_option("--isolation", options->isolation,
                    "read_committed ends before the first open transaction")
        ->check(CLI::IsMember({"read_committed", "read_uncommitted"}));
    app->footer("Examples:\n"
                "  qtool offsets -t orders\n"
                "  qtool offsets -t orders --time 2026-01-31T08:00:00Z\n"
                "  qtool offsets -t orders -o json | jq '[.partitions[].latest] | add'");
    app->callback([&run, options] {
        run = [options](Context& context) { return offsets(context, *options); };
    });
}

} // namespace qtool::cli
