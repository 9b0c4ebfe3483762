#include "server/metrics/prometheus.h"

#include <unistd.h>

#include <cstdio>

namespace qtool::metrics {

namespace {

struct Row {
    std::string_view name;
    std::string_view help;
    bool is_gauge;
    Counter CoreCounters::*counter;
};

constexpr Row kRows[] = {
    {"connections_open", "connections open now", true, &CoreCounters::connections_open},
    {"connections_opened_total", "connections accepted", false, &CoreCounters::connections_opened},
    {"connections_closed_total", "connections ended", false, &CoreCounters::connections_closed},
    {"connections_refused_total", "connections over max.connections", false,
     &CoreCounters::connections_refused},
    {"connections_idle_closed_total", "connections closed by connections.max.idle.ms", false,
     &CoreCounters::connections_idle},
    {"protocol_unknown_total", "connections whose first byte is of no protocol", false,
     &CoreCounters::protocol_unknown},
    {"frames_oversized_total", "frames over socket.request.max.bytes or negative", false,
     &CoreCounters::frames_oversized},
    {"frames_malformed_total", "requests that do not parse", false,
     &CoreCounters::frames_malformed},
    {"requests_unsupported_total", "requests of an API or version not served", false,
     &CoreCounters::requests_unsupported},
    {"reading_paused_total", "times a connection was not read for backpressure", false,
     &CoreCounters::reading_paused},
    {"requests_pending", "requests waiting for an answer now", true,
     &CoreCounters::requests_pending},
    {"received_bytes_total", "bytes read from sockets", false, &CoreCounters::bytes_received},
    {"sent_bytes_total", "bytes queued to sockets", false, &CoreCounters::bytes_sent},
    {"throttled_produce_total", "produces over producer_byte_rate", false,
     &CoreCounters::throttled_produce},
    {"throttled_fetch_total", "fetches over consumer_byte_rate", false,
     &CoreCounters::throttled_fetch},
    {"throttled_request_total", "requests over request_percentage", false,
     &CoreCounters::throttled_request},
    {"throttled_mutation_total", "changes of topics over controller_mutation_rate", false,
     &CoreCounters::throttled_mutation},
    {"throttled_connections_total", "connections closed over connection_creation_rate", false,
     &CoreCounters::throttled_connect},
    {"http_requests_total", "HTTP requests", false, &CoreCounters::http_requests},
    {"http_errors_total", "HTTP answers of status 400 and above", false,
     &CoreCounters::http_errors},
    {"batches_appended_total", "record batches written", false, &CoreCounters::batches_appended},
    {"records_appended_total", "records written", false, &CoreCounters::records_appended},
    {"appended_bytes_total", "bytes of batches written", false, &CoreCounters::bytes_appended},
    {"batches_duplicate_total", "idempotent retries answered without writing", false,
     &CoreCounters::batches_duplicate},
    {"append_errors_total", "batches refused or failed", false, &CoreCounters::append_errors},
    {"transaction_markers_total", "transaction markers written", false,
     &CoreCounters::transaction_markers},
    {"transactions_verified_total", "batches held back until the coordinator was asked", false,
     &CoreCounters::transactions_verified},
    {"fetched_bytes_total", "bytes of batches handed to fetches", false,
     &CoreCounters::fetch_bytes},
    {"fetch_watches_total", "fetches parked until there is more to read", false,
     &CoreCounters::fetch_watches},
    {"fetch_sessions_refused_total", "fetches without a session: all slots taken", false,
     &CoreCounters::fetch_sessions_refused},
    {"flushes_total", "group commits", false, &CoreCounters::flushes},
    {"flush_batches_total", "batches covered by group commits", false,
     &CoreCounters::flush_batches},
    {"flush_errors_total", "failed fsyncs; each takes a log offline", false,
     &CoreCounters::flush_errors},
    {"segments_deleted_total", "segments deleted by retention", false,
     &CoreCounters::segments_deleted},
    {"compactions_total", "compactions of a log that came to their end", false,
     &CoreCounters::compactions},
    {"compaction_bytes_total", "bytes that compactions read and wrote", false,
     &CoreCounters::compaction_bytes},
    {"compaction_records_dropped_total", "records that a later one of their key replaced", false,
     &CoreCounters::compaction_records_dropped},
    {"compaction_errors_total", "compactions that failed; they are tried again", false,
     &CoreCounters::compaction_errors},
    {"storage_full_total", "appends refused because the disk is full", false,
     &CoreCounters::storage_full},
    {"produce_timeouts_total", "appends not durable at their deadline", false,
     &CoreCounters::produce_timeouts},
    {"partitions", "partitions owned", true, &CoreCounters::partitions},
    {"partitions_offline", "partitions damaged or failed", true, &CoreCounters::partitions_offline},
    {"partitions_uncleanable", "partitions not compacted because of damage", true,
     &CoreCounters::partitions_uncleanable},
    {"mails_total", "messages sent to other cores", false, &CoreCounters::mails},
};

void append_header(std::string& text, std::string_view name, std::string_view help, bool is_gauge) {
    text.append("# HELP qbroker_").append(name).append(" ").append(help).append("\n");
    text.append("# TYPE qbroker_").append(name).append(is_gauge ? " gauge\n" : " counter\n");
}

// The value of a label: quotes, backslashes and line ends are escaped.
std::string label_value(const std::string& value) {
    std::string text;
    for (const char c : value) {
        if (c == '\\' || c == '"') {
            text += '\\';
        }
        c == '\n' ? text.append("\\n") : text.append(1, c);
    }
    return text;
}

void append_log_dirs(std::string& text, const std::vector<LogDirGauges>& log_dirs) {
    const auto gauge = [&](std::string_view name, std::string_view help, auto value) {
        append_header(text, name, help, true);
        for (const LogDirGauges& dir : log_dirs) {
            text.append("qbroker_").append(name).append("{directory=\"");
            text.append(label_value(dir.path)).append("\"} ");
            text.append(std::to_string(value(dir))).append("\n");
        }
    };
    gauge("log_dir_offline", "1: the log directory failed or did not open",
          [](const LogDirGauges& dir) { return dir.is_offline ? 1 : 0; });
    gauge("log_dir_low_space", "1: less free than the reserve, so produce is refused",
          [](const LogDirGauges& dir) { return dir.is_low ? 1 : 0; });
    gauge("log_dir_free_bytes", "free bytes of the file system, for this user",
          [](const LogDirGauges& dir) { return dir.free_bytes; });
    gauge("log_dir_total_bytes", "size of the file system",
          [](const LogDirGauges& dir) { return dir.total_bytes; });
    gauge("log_dir_reserve_bytes", "free bytes below which produce is refused",
          [](const LogDirGauges& dir) { return dir.reserve_bytes; });
    gauge("log_dir_partitions", "partitions that live in the log directory",
          [](const LogDirGauges& dir) { return dir.partition_count; });
}

// Resident memory as the kernel counts it; 0 when /proc is not there.
uint64_t resident_bytes() {
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    if (file == nullptr) {
        return 0;
    }
    unsigned long long size = 0;
    unsigned long long resident = 0;
    const int fields = std::fscanf(file, "%llu %llu", &size, &resident);
    std::fclose(file);
    return fields == 2 ? resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

} // namespace

std::string render_prometheus(const std::vector<const CoreCounters*>& cores,
                              const std::vector<LogDirGauges>& log_dirs,
                              const std::function<std::string_view(size_t)>& api_name) {
    std::string text;
    for (const Row& row : kRows) {
        append_header(text, row.name, row.help, row.is_gauge);
        for (size_t core = 0; core < cores.size(); core++) {
            text.append("qbroker_").append(row.name).append("{core=\"");
            text.append(std::to_string(core)).append("\"} ");
            text.append(std::to_string((cores[core]->*row.counter).value())).append("\n");
        }
    }
    const auto by_api = [&](std::string_view name, std::string_view help,
                            Counter ApiCounters::*counter) {
        append_header(text, name, help, false);
        for (size_t key = 0; key < kApiCount; key++) {
            uint64_t requests = 0;
            uint64_t value = 0;
            for (const CoreCounters* core : cores) {
                requests += core->api[key].requests.value();
                value += (core->api[key].*counter).value();
            }
            const std::string_view label = api_name(key);
            if (requests > 0 && !label.empty()) {
                text.append("qbroker_").append(name).append("{api=\"").append(label);
                text.append("\"} ").append(std::to_string(value)).append("\n");
            }
        }
    };
    append_log_dirs(text, log_dirs);
    by_api("requests_total", "requests by API", &ApiCounters::requests);
    by_api("request_errors_total", "requests whose answer carries an error", &ApiCounters::errors);
    append_header(text, "resident_memory_bytes", "resident memory of the process", true);
    text.append("qbroker_resident_memory_bytes ").append(std::to_string(resident_bytes()));
    text.append("\n");
    return text;
}

} // namespace qtool::metrics
