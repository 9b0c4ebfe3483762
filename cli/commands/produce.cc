// qtool produce: lines from stdin or a file become records. One thread: read what is there, send
// it, let the client work while the input is idle. The client's buffer.memory is the only store
// beside one read of the input: when it is full, reading waits, and so does who writes to us.
#include "cli/command.h"
#include "cli/commands/progress.h"
#include "cli/commands/record_options.h"
#include "cli/input/line_reader.h"
#include "cli/input/record_parser.h"

#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

namespace qtool::cli {

namespace {

constexpr Duration kWakeTime = 100ms;    // how soon a signal is noticed
constexpr double kBurstTime_s = 0.01;    // --rate counts in slices of this length
constexpr Duration kCatchUpTime = 100ms; // --rate makes up for a pause of at most this length
// batch.size when none is given. Lines come in bulk, so that what counts is few answers of the disk
// behind the broker; a slow input is sent by linger.ms all the same. Below message.max.bytes.
constexpr std::string_view kBatchBytes = "1000000";
constexpr size_t kJsonGrowth = 8; // a byte may take \u0000 in JSON, and names come on top

struct ProduceOptions {
    RecordOptions record;
    std::string input = "-";
    std::string delimiter = "\\n";
    std::string key_separator; // empty: lines have no key
    std::optional<std::string> key;
    std::optional<std::string> null_marker;
    std::vector<std::string> headers;
    std::optional<int32_t> partition;
    bool json = false;
    bool keep_partition = false;
    std::string compression; // empty: not given
    std::string acks;        // empty: not given
    double rate = 0;         // records a second; 0: no limit
    bool quiet = false;
};

/// An error of one record says nothing about the next one.
bool is_about_record(Code code) {
    return code == Code::too_large || code == Code::message_too_large ||
           code == Code::record_list_too_large || code == Code::invalid_record ||
           code == Code::invalid_timestamp || code == Code::unknown_partition;
}

/// One run over the input.
class Producing {
public:
    Producing(Context& context, const ProduceOptions& options, config::ClientConfig client,
              RecordParser parser, LineReader& lines, int fd)
        : context_(context),
          options_(options),
          parser_(std::move(parser)),
          lines_(lines),
          fd_(fd),
          progress_(context, !options.quiet && context.stderr_is_terminal()),
          producer_(std::move(client),
                    [this](const client::Delivery& delivery) { on_delivery(delivery); }) {}

    ExitCode run();

private:
    void on_delivery(const client::Delivery& delivery);
    void fail_line(uint64_t number, const Error& error);
    void produce_line(std::string_view line);
    void send(const client::ProducerRecord& record, uint64_t number);
    void keep_rate();
    bool read_more();
    void finish();
    ExitCode report();
    /// A signal came, or further records would fail as well.
    [[nodiscard]] bool is_stopping() const { return stop_requested != 0 || hopeless_; }

    Context& context_;
    const ProduceOptions& options_;
    RecordParser parser_;
    LineReader& lines_;
    int fd_;
    Progress progress_;
    uint64_t delivered_ = 0;
    uint64_t failed_ = 0;
    uint64_t slice_left_ = 0; // records that may go out before slice_end_
    MonoTime slice_end_{};
    std::optional<int64_t> read_at_ms_; // when the lines at hand were read; with --rate: not used
    std::optional<ExitCode> status_;    // of what failed so far
    bool hopeless_ = false;
    bool cut_ = false;                  // input was left unread
    client::BlockingProducer producer_; // last: calls on_delivery
};

void Producing::on_delivery(const client::Delivery& delivery) {
    if (delivery.result) {
        delivered_++;
    } else {
        fail_line(delivery.tag, delivery.result.error());
    }
}

void Producing::fail_line(uint64_t number, const Error& error) {
    failed_++;
    progress_.clear();
    const ExitCode code = context_.fail(error, "line " + std::to_string(number));
    status_ = status_ ? combine(*status_, code) : code;
    hopeless_ = hopeless_ || !is_about_record(error.code);
}

void Producing::produce_line(std::string_view line) {
    const Result<InputRecord> parsed = parser_.parse(line);
    if (!parsed) {
        fail_line(lines_.number(), parsed.error());
        return;
    }
    client::ProducerRecord record;
    record.topic = options_.record.topic;
    record.partition = options_.partition ? options_.partition : parsed->partition;
    record.timestamp_ms = parsed->timestamp_ms ? parsed->timestamp_ms : read_at_ms_;
    record.key = parsed->key;
    record.value = parsed->value;
    for (const InputHeader& header : parsed->headers) {
        record.headers.push_back({header.key, header.value});
    }
    send(record, lines_.number());
    const size_t size = record.key.value_or("").size() + record.value.value_or("").size();
    progress_.add(1, size);
}

/// Waits while the client's memory is full; its own delivery.timeout.ms ends that in the end.
void Producing::send(const client::ProducerRecord& record, uint64_t number) {
    MonoTime deadline = MonoTime::min(); // most often there is room: the clock is not looked at
    for (;;) {
        const Result<void> sent = producer_.send(record, number, deadline);
        if (sent) {
            return;
        }
        deadline = client::mono_now() + kWakeTime;
        if (sent.error().code != Code::timed_out) {
            fail_line(number, sent.error());
            return;
        }
        progress_.show(delivered_);
        if (hopeless_) {
            fail_line(number, Error(Code::cancelled, "not sent, because records before it failed"));
            return;
        }
    }
}

/// Before each record: waits for the next slice of --rate when this one is used up.
void Producing::keep_rate() {
    if (options_.rate <= 0) {
        return;
    }
    while (slice_left_ == 0 && client::mono_now() < slice_end_ && !is_stopping()) {
        const MonoTime until = std::min(slice_end_, client::mono_now() + kWakeTime);
        // What is out is sent now rather than lingering; an answer that is late harms nothing.
        static_cast<void>(producer_.flush(until).has_value());
        const auto left = duration_cast<std::chrono::milliseconds>(until - client::mono_now());
        ::poll(nullptr, 0, std::max(0, static_cast<int>(left.count())));
        progress_.show(delivered_);
    }
    if (slice_left_ == 0) {
        slice_left_ = static_cast<uint64_t>(std::max(1.0, options_.rate * kBurstTime_s));
        const MonoTime start = std::max(slice_end_, client::mono_now() - kCatchUpTime);
        slice_end_ =
            start +
            Duration(static_cast<int64_t>(static_cast<double>(slice_left_) / options_.rate * 1e9));
    }
    slice_left_--;
}

/// Waits for more input while the client works. False: no more is to be read.
bool Producing::read_more() {
    while (!is_stopping()) {
        const bool readable = producer_.wait_readable(fd_, client::mono_now() + kWakeTime);
        progress_.show(delivered_);
        if (!readable || is_stopping()) {
            continue;
        }
        const Result<bool> more = lines_.fill();
        if (!more) {
            fail_line(lines_.number() + 1, more.error());
            hopeless_ = true; // what follows cannot be told apart from this one
            break;
        }
        if (*more) {
            if (options_.rate <= 0) {
                read_at_ms_ = client::wall_now_ms();
            }
            return true;
        }
        if (stop_requested == 0) {
            return false; // the end; a last line without delimiter is taken still
        }
    }
    cut_ = true;
    return false;
}

void Producing::finish() {
    // delivery.timeout.ms ends every record, so this ends too; a second signal ends it at once.
    while (producer_.undelivered_count() > 0) {
        if (producer_.flush(client::mono_now() + kWakeTime)) {
            break;
        }
        progress_.show(delivered_);
    }
}

ExitCode Producing::report() {
    progress_.finish(delivered_);
    if (cut_ && (hopeless_ || ::isatty(fd_) == 0)) { // Ctrl-C is how a person ends typing
        context_.note("qtool: stopped after line " + std::to_string(lines_.number()) + ", " +
                      std::to_string(delivered_) + " record(s) delivered");
        status_ = status_.value_or(ExitCode::failed);
    }
    if (context_.is_json()) {
        const ExitCode printed = context_.print("{\"delivered\":" + std::to_string(delivered_) +
                                                ",\"failed\":" + std::to_string(failed_) + "}\n");
        status_ = printed == ExitCode::done ? status_ : printed;
    }
    // A part that arrived makes it a failure in part, whatever stopped the rest.
    return !status_ ? ExitCode::done : delivered_ > 0 ? ExitCode::failed : *status_;
}

ExitCode Producing::run() {
    bool more = true;
    while (more) {
        more = read_more();
        // After a signal the lines read so far still go out; one that is cut does not.
        while (!hopeless_ && !(cut_ && lines_.at_end())) {
            const auto line = lines_.take();
            if (!line) {
                break;
            }
            keep_rate();
            produce_line(*line);
        }
    }
    finish();
    return report();
}

Result<ParseOptions> make_parse_options(const ProduceOptions& options) {
    ParseOptions parse;
    parse.json = options.json;
    parse.keep_partition = options.keep_partition;
    parse.fixed_key = options.key;
    parse.null_marker = options.null_marker;
    QT_TRY_ASSIGN(parse.key_separator, unescape(options.key_separator));
    if (options.json && (!parse.key_separator.empty() || options.null_marker)) {
        return Error(Code::invalid_argument,
                     "--json lines say themselves what is a key and what is null");
    }
    if (options.keep_partition && !options.json) {
        return Error(Code::invalid_argument, "--keep-partition asks for --json");
    }
    for (const std::string& text : options.headers) {
        QT_TRY_ASSIGN(auto header, parse_header(text));
        parse.headers.push_back(std::move(header));
    }
    return parse;
}

std::vector<std::pair<std::string, std::string>> named_options(const ProduceOptions& options) {
    std::vector<std::pair<std::string, std::string>> named;
    named.emplace_back("batch.size", kBatchBytes);
    if (!options.compression.empty()) {
        named.emplace_back("compression.type", options.compression);
    }
    if (!options.acks.empty()) {
        named.emplace_back("acks", options.acks);
    }
    return named;
}

/// Learns early, and with the short --timeout, whether anybody answers and the partition exists.
/// A topic that is unknown yet may be made by the broker when the first record comes.
Result<void> check_reachable(const Context& context, const ProduceOptions& options,
                             const config::ClientConfig& config) {
    client::BlockingConsumer probe(config);
    const auto count = probe.partition_count(options.record.topic, answer_deadline(context));
    if (!count) {
        return count.error().code == Code::unknown_topic ? Result<void>() : count.error();
    }
    if (options.partition && *options.partition >= *count) {
        return Error(Code::unknown_partition, "there is no partition " +
                                                  std::to_string(*options.partition) + " of " +
                                                  std::to_string(*count));
    }
    return {};
}

/// Closes the input file; stdin stays.
class InputFile {
public:
    explicit InputFile(const std::string& path)
        : fd_(path == "-" ? 0 : ::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
    ~InputFile() {
        if (fd_ > 0) {
            ::close(fd_);
        }
    }
    InputFile(const InputFile&) = delete;
    InputFile& operator=(const InputFile&) = delete;
    [[nodiscard]] int fd() const { return fd_; }

private:
    int fd_;
};

ExitCode produce(Context& context, const ProduceOptions& options) {
    const auto parse = make_parse_options(options);
    if (!parse) {
        return context.fail(parse.error());
    }
    const Result<std::string> delimiter = unescape(options.delimiter);
    if (!delimiter) {
        return context.fail(delimiter.error(), "--delimiter");
    }
    const auto config = make_client_config(context, options.record, named_options(options));
    if (!config) {
        context.fail(config.error());
        return ExitCode::usage;
    }
    const InputFile input(options.input);
    if (input.fd() < 0) {
        return context.fail(Error(Code::storage_io, "cannot open the input", errno), options.input);
    }
    if (const Result<void> reachable = check_reachable(context, options, *config); !reachable) {
        return context.fail(reachable.error(), "topic '" + options.record.topic + "'");
    }
    FdSource source(input.fd(), stop_requested);
    const auto record_bytes_max = static_cast<size_t>(config->max_request_bytes);
    LineReader lines(source, *delimiter,
                     options.json ? record_bytes_max * kJsonGrowth : record_bytes_max);
    return Producing(context, options, *config, RecordParser(*parse), lines, input.fd()).run();
}

} // namespace

void add_produce(CLI::App& root, Run& run) {
    const auto options = std::make_shared<ProduceOptions>();
    CLI::App* app = root.add_subcommand("produce", "Turn lines into records");
    add_topic_option(*app, options->record);
    app->add_option("-i,--input", options->input, "File to read, - for stdin (default: -)");
    app->add_option("-D,--delimiter", options->delimiter,
                    "What ends a record: text with \\n \\t \\0 \\xHH; empty makes all input one "
                    "record (default: \\n)");
    app->add_option("-k,--key-separator", options->key_separator,
                    "What stands between key and value in a line (default: lines have no key)");
    app->add_option("--key", options->key, "Key of every record");
    app->add_option("-N,--null", options->null_marker, "A key or value of exactly this is null");
    app->add_option("-H,--header", options->headers,
                    "Header of every record: name=value; "
                    "repeatable")
        ->allow_extra_args(false);
    app->add_flag("-J,--json", options->json,
                  "Lines are JSON as 'consume -o json' prints it: key, value, headers, timestamp");
    app->add_option("-p,--partition", options->partition,
                    "Partition of every record (default: by key, in turns without one)")
        ->check(CLI::NonNegativeNumber);
    app->add_flag("--keep-partition", options->keep_partition,
                  "With --json: each record goes to the partition it names");
    app->add_option("-z,--compression", options->compression,
                    "none, gzip, snappy, lz4 or zstd (default: none)")
        ->check(CLI::IsMember({"none", "gzip", "snappy", "lz4", "zstd"}));
    app->add_option("-a,--acks", options->acks,
                    "Who must have a record: all in-sync replicas, 1 the leader, 0 nobody "
                    "(default: all)")
        ->check(CLI::IsMember({"all", "-1", "0", "1"}));
    app->add_option("-r,--rate", options->rate, "At most so many records a second")
        ->check(CLI::Range(0.001, 1e9));
    app->add_flag("-q,--quiet", options->quiet, "No progress on stderr (none without a terminal)");
    app->footer("A record that was not delivered is named by its line, and the status is not 0.\n"
                "Ctrl-C: what was read is delivered first.\n\n"
                "Examples:\n"
                "  echo hello | qtool produce -t orders\n"
                "  qtool produce -t orders -k : < pairs.txt\n"
                "  qtool produce -t orders -i orders.log -z zstd\n"
                "  qtool consume -t orders -e -o json | qtool produce -t copy --json");
    app->callback([&run, options] {
        run = [options](Context& context) { return produce(context, *options); };
    });
}

} // namespace qtool::cli
