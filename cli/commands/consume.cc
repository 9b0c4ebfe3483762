// qtool consume: records to stdout. One thread: poll, print, flush when nothing more is at hand. A
// slow reader of stdout blocks the write, and then nothing is fetched either.
#include "cli/command.h"
#include "cli/commands/consume_group.h"
#include "cli/commands/record_options.h"
#include "cli/commands/resolve_position.h"
#include "cli/input/position.h"
#include "cli/output/record_printer.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <limits>
#include <optional>

namespace qtool::cli {

namespace {

constexpr Duration kWakeTime = 100ms; // how soon a signal or a gone reader is noticed when idle
constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

struct ConsumeOptions {
    RecordOptions record;
    std::string from = "beginning";
    std::string to;     // empty: none
    uint64_t count = 0; // 0: no limit
    bool exit_at_end = false;
    std::string format;    // empty: not given
    std::string isolation; // empty: not given
    std::optional<std::string> group;
};

struct Range {
    int32_t partition = 0;
    int64_t from = 0;
    int64_t to = kNoLimit; // the first offset that is not wanted
    bool done = false;
};

bool is_bounded(const Range& range) {
    return range.to != kNoLimit;
}

int64_t wall_now_ms() {
    return duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

Result<std::vector<Range>> make_ranges(client::BlockingConsumer& consumer, const Context& context,
                                       const ConsumeOptions& options, const Position& from,
                                       const std::optional<Position>& to) {
    QT_TRY_ASSIGN(const std::vector<int32_t> partitions,
                  choose_partitions(consumer, context, options.record));
    const std::string& topic = options.record.topic;
    QT_TRY_ASSIGN(const std::vector<int64_t> starts,
                  resolve_position(consumer, topic, partitions, from, answer_deadline(context)));
    std::vector<Range> ranges;
    for (size_t i = 0; i < partitions.size(); i++) {
        ranges.push_back({.partition = partitions[i], .from = starts[i]});
    }
    const auto limit = [&](const Position& position) -> Result<void> {
        QT_TRY_ASSIGN(
            const std::vector<int64_t> ends,
            resolve_position(consumer, topic, partitions, position, answer_deadline(context)));
        for (size_t i = 0; i < ranges.size(); i++) {
            ranges[i].to = std::min(ranges[i].to, ends[i]);
        }
        return {};
    };
    if (to) {
        QT_TRY(limit(*to));
    }
    if (options.exit_at_end) {
        QT_TRY(limit(Position{Position::Kind::end, 0}));
    }
    return ranges;
}

/// Reads the ranges and prints what is in them.
class Reading {
public:
    Reading(Context& context, client::BlockingConsumer& consumer, const ConsumeOptions& options,
            const RecordPrinter& printer, std::vector<Range> ranges)
        : context_(context),
          consumer_(consumer),
          options_(options),
          printer_(printer),
          ranges_(std::move(ranges)),
          left_(options.count == 0 ? std::numeric_limits<uint64_t>::max() : options.count) {}

    ExitCode run();

private:
    void begin();
    bool settle();
    bool print(const std::vector<client::ConsumerRecord>& records);
    ExitCode end_output(const Error& error);
    Range* find(int32_t partition);

    Context& context_;
    client::BlockingConsumer& consumer_;
    const ConsumeOptions& options_;
    const RecordPrinter& printer_;
    std::vector<Range> ranges_; // by partition
    uint64_t left_;             // records still wanted
    Result<void> written_;
};

Range* Reading::find(int32_t partition) {
    const auto it = std::lower_bound(
        ranges_.begin(), ranges_.end(), partition,
        [](const Range& range, int32_t wanted) { return range.partition < wanted; });
    return it != ranges_.end() && it->partition == partition ? &*it : nullptr;
}

void Reading::begin() {
    std::vector<client::PartitionOffset> positions;
    for (Range& range : ranges_) {
        range.done = range.from >= range.to;
        if (!range.done) {
            positions.push_back({options_.record.topic, range.partition, range.from});
        }
    }
    if (!positions.empty()) {
        consumer_.assign(positions);
    }
}

/// Stops fetching where all that is wanted was read. True: nothing more is wanted.
bool Reading::settle() {
    bool all = true;
    for (Range& range : ranges_) {
        if (!range.done && is_bounded(range) &&
            consumer_.position(options_.record.topic, range.partition) >= range.to) {
            range.done = true;
            consumer_.pause(options_.record.topic, range.partition);
        }
        all = all && range.done;
    }
    return all;
}

/// False: enough, or the output failed.
bool Reading::print(const std::vector<client::ConsumerRecord>& records) {
    for (const client::ConsumerRecord& record : records) {
        const Range* range = find(record.partition);
        if (range == nullptr || range->done || record.offset < range->from ||
            record.offset >= range->to) {
            continue;
        }
        printer_.append(context_.out().buffer(), record);
        left_--;
        written_ = context_.out().flush_if_full();
        if (!written_ || left_ == 0) {
            return false;
        }
    }
    return true;
}

ExitCode Reading::end_output(const Error& error) {
    return context_.out().is_closed() ? ExitCode::done : context_.fail(error);
}

ExitCode Reading::run() {
    begin();
    const bool bounded = std::all_of(ranges_.begin(), ranges_.end(), is_bounded);
    bool complete = settle();
    MonoTime stalled = answer_deadline(context_);
    while (!complete && stop_requested == 0) {
        const auto records = consumer_.poll(client::mono_now() + kWakeTime);
        if (!records) {
            static_cast<void>(context_.out().flush().has_value()); // the error below counts more
            return context_.fail(records.error(), "topic '" + options_.record.topic + "'");
        }
        const bool more = print(**records);
        if (written_ && !consumer_.has_ready()) {
            written_ = context_.out().flush();
        }
        if (!written_) {
            return end_output(written_.error());
        }
        complete = !more || settle();
        if (!(*records)->empty()) {
            stalled = answer_deadline(context_);
        } else if (is_reader_gone()) {
            return ExitCode::done;
        } else if (bounded && !complete && client::mono_now() >= stalled) {
            return context_.fail(
                Error(Code::timed_out, "no records came, though not all were read"));
        }
    }
    if (const Result<void> flushed = context_.out().flush(); !flushed) {
        return end_output(flushed.error());
    }
    if (!complete && (bounded || options_.count != 0)) {
        context_.note("qtool: stopped before all was read");
        return ExitCode::failed;
    }
    return ExitCode::done; // following has no end but this one
}

Result<std::optional<Position>> parse_to(const ConsumeOptions& options) {
    if (options.to.empty()) {
        return std::optional<Position>();
    }
    QT_TRY_ASSIGN(const Position to, parse_position(options.to));
    if (to.kind == Position::Kind::time && to.value > wall_now_ms()) {
        return Error(Code::invalid_argument, "--to '" + options.to + "' lies in the future");
    }
    return std::optional(to);
}

/// What does not go together with a group, or nothing.
std::string group_conflict(const ConsumeOptions& options) {
    if (options.group->empty()) {
        return "-g needs the name of a group";
    }
    if (!options.record.partitions.empty()) {
        return "-g and -p exclude each other: the group says who reads which partition";
    }
    if (!options.to.empty()) {
        return "-g and --to exclude each other: a group goes on where it was; -n and "
               "--exit-at-end end it";
    }
    return {};
}

std::vector<std::string> split_topics(const std::string& list) {
    std::vector<std::string> topics;
    for (size_t at = 0; at <= list.size();) {
        const size_t comma = std::min(list.find(',', at), list.size());
        topics.push_back(list.substr(at, comma - at));
        at = comma + 1;
    }
    std::sort(topics.begin(), topics.end());
    topics.erase(std::unique(topics.begin(), topics.end()), topics.end());
    return topics;
}

ExitCode consume(Context& context, const ConsumeOptions& options) {
    if (options.group) {
        if (const std::string conflict = group_conflict(options); !conflict.empty()) {
            return context.fail(Error(Code::invalid_argument, conflict));
        }
    }
    const Result<Position> from = parse_position(options.from);
    if (!from) {
        return context.fail(from.error(), "--from");
    }
    const auto to = parse_to(options);
    if (!to) {
        return context.fail(to.error(), "--to");
    }
    std::optional<FormatString> format;
    if (!options.format.empty()) {
        auto parsed = FormatString::parse(options.format);
        if (!parsed || context.is_json()) {
            return context.fail(parsed ? Error(Code::invalid_argument, "-f and -o json exclude "
                                                                       "each other")
                                       : parsed.error());
        }
        format = *std::move(parsed);
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
    const RecordPrinter printer(context.is_json(), std::move(format), context.stdout_is_terminal());
    const bool is_read_committed =
        config->isolation_level == config::IsolationLevel::read_committed;
    client::BlockingConsumer consumer(*std::move(config));
    if (options.group) {
        const GroupReadingOptions reading{*options.group,
                                          split_topics(options.record.topic),
                                          *from,
                                          options.count,
                                          options.exit_at_end,
                                          is_read_committed};
        return read_as_member(context, consumer, reading, printer);
    }
    auto ranges = make_ranges(consumer, context, options, *from, *to);
    if (!ranges) {
        return context.fail(ranges.error(), "topic '" + options.record.topic + "'");
    }
    return Reading(context, consumer, options, printer, *std::move(ranges)).run();
}

} // namespace

void add_consume(CLI::App& root, Run& run) {
    const auto options = std::make_shared<ConsumeOptions>();
    CLI::App* app = root.add_subcommand("consume", "Print records to stdout");
    add_topic_option(*app, options->record);
    add_partitions_option(*app, options->record);
    app->add_option("-g,--group", options->group,
                    "Read as a member of this consumer group: partitions are shared among its "
                    "members, and reading goes on where the group was; -t then also takes several "
                    "topics, comma separated");
    app->add_option("--from", options->from,
                    "Where to start in each partition (with -g: where the group has no offset): "
                    "beginning (default), end, an offset, -N for "
                    "the last N, @MILLISECONDS or ISO 8601 (UTC without a zone)");
    app->add_option("--to", options->to,
                    "Where to stop, in the same words: the first record that is not printed");
    app->add_option("-n,--count", options->count, "Stop after this many records")
        ->check(CLI::PositiveNumber);
    app->add_flag("-e,--exit-at-end", options->exit_at_end,
                  "Stop at what is the end when qtool starts, instead of following");
    app->add_option("-f,--format", options->format,
                    "How a record is printed: %t topic, %p partition, %o offset, %T milliseconds, "
                    "%k key, %s value, %h headers, %K %S sizes, %R size in binary, \\n \\t \\xHH "
                    "(default: %s\\n)");
    app->add_option("--isolation", options->isolation,
                    "read_committed hides records of open and aborted transactions")
        ->check(CLI::IsMember({"read_committed", "read_uncommitted"}));
    app->footer("Follows the topic until Ctrl-C unless --to, --count or --exit-at-end is given.\n\n"
                "Examples:\n"
                "  qtool consume -t orders\n"
                "  qtool consume -t orders --from -10 --exit-at-end\n"
                "  qtool consume -t orders --from 2026-01-31T08:00:00Z --to 2026-01-31T09:00:00Z\n"
                "  qtool consume -t orders -p 0,3 --from end -f '%k: %s\\n'\n"
                "  qtool consume -t orders -e -o json > orders.jsonl\n"
                "  qtool consume -t orders -g billing");
    app->callback([&run, options] {
        run = [options](Context& context) { return consume(context, *options); };
    });
}

} // namespace qtool::cli
