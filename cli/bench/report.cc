#include "cli/bench/report.h"

#include "cli/output/text.h"
#include "lib/base/version.h"

#include <algorithm>
#include <cstdio>

namespace qtool::cli::bench {

namespace {

std::string fixed(double value, int digits) {
    char text[64];
    const int size = std::snprintf(text, sizeof text, "%.*f", digits, value);
    return std::string(text, static_cast<size_t>(std::clamp(size, 0, 63)));
}

std::string json_string(const std::string& text) {
    std::string out;
    if (is_utf8(text)) {
        append_json_string(out, text);
    } else {
        std::string safe;
        append_for_terminal(safe, text);
        append_json_string(out, safe);
    }
    return out;
}

std::string field(const char* name, const std::string& json) {
    return std::string("\"") + name + "\":" + json;
}

std::string micros(double ns) {
    return fixed(ns / 1e3, 3);
}

std::string latency_json(const Histogram& latency) {
    std::string out = "{" + field("count", std::to_string(latency.count()));
    const auto add = [&](const char* name, double ns) {
        out.append("," + field(name, micros(ns)));
    };
    add("min", static_cast<double>(latency.min()));
    add("mean", latency.mean());
    for (const NamedPercentile& one : kPercentiles) {
        add(one.name, static_cast<double>(latency.percentile(one.per_million)));
    }
    add("max", static_cast<double>(latency.max()));
    return out + "}";
}

std::string flow_json(const Flow& flow, bool is_produce) {
    std::string out = "{";
    const auto count = [&](const char* name, uint64_t value) {
        out.append(field(name, std::to_string(value))).append(",");
    };
    count("records", flow.records);
    count("bytes", flow.bytes);
    if (is_produce) {
        count("sent", flow.sent);
        count("failed", flow.failed);
        count("undelivered", flow.undelivered);
        count("not_sent", flow.overdue);
        out.append(field("generator_late_max_us", micros(flow.late_max_ms * 1e6))).append(",");
    } else {
        count("missing", flow.missing);
        count("foreign", flow.foreign);
    }
    out.append(field("elapsed_s", fixed(flow.elapsed_s, 6))).append(",");
    out.append(field("records_per_s", fixed(flow.records_per_s(), 3))).append(",");
    out.append(field("bytes_per_s", fixed(flow.bytes_per_s(), 3))).append(",");
    out.append(field("intended_records_per_s",
                     flow.intended_rate ? fixed(*flow.intended_rate, 3) : "null"));
    out.append("," + field("latency_from", json_string(flow.latency_from)));
    out.append("," + field("latency_us", latency_json(flow.latency)) + ",\"errors\":[");
    for (const auto& [error, times] : flow.errors) {
        out.append(out.back() == '[' ? "{" : ",{").append(field("error", json_string(error)));
        out.append("," + field("count", std::to_string(times)) + "}");
    }
    return out + "]}";
}

std::string flow_text(const char* name, const Flow& flow, bool is_produce) {
    std::string out = std::string("\n") + name + ": " + std::to_string(flow.records) +
                      (is_produce ? " records delivered, " : " records, ") +
                      fixed(static_cast<double>(flow.bytes) / 1e6, 2) + " MB in " +
                      fixed(flow.elapsed_s, 2) + " s\n  " + fixed(flow.records_per_s(), 1) +
                      " records/s";
    if (flow.intended_rate) {
        out.append(" of " + fixed(*flow.intended_rate, 1) + " intended");
    }
    out.append(", " + fixed(flow.bytes_per_s() / 1e6, 2) + " MB/s\n");
    const auto note = [&](uint64_t count, const char* what) {
        if (count > 0) {
            out.append("  " + std::to_string(count) + " " + what + "\n");
        }
    };
    note(flow.failed, "failed");
    note(flow.undelivered, "not delivered when it ended");
    note(flow.overdue,
         "due but not sent: the rate was not kept, and the latency of these is unknown");
    note(flow.missing, "delivered but not consumed");
    note(flow.foreign, "of other runs in the topic, not counted");
    if (is_produce && flow.intended_rate) {
        out.append("  at worst " + fixed(flow.late_max_ms, 3) +
                   " ms from when a record was due until the client took it\n");
    }
    for (const auto& [error, times] : flow.errors) {
        append_for_terminal(out, "  " + std::to_string(times) + " x " + error + "\n");
    }
    out.append("  latency in ms, from " + flow.latency_from + ":\n");
    std::vector<std::string> headings{"  MIN", "MEAN"};
    std::vector<std::string> cells{"  " + fixed(static_cast<double>(flow.latency.min()) / 1e6, 3),
                                   fixed(flow.latency.mean() / 1e6, 3)};
    for (const NamedPercentile& one : kPercentiles) {
        headings.emplace_back(one.name);
        cells.push_back(
            fixed(static_cast<double>(flow.latency.percentile(one.per_million)) / 1e6, 3));
    }
    headings.emplace_back("MAX");
    cells.push_back(fixed(static_cast<double>(flow.latency.max()) / 1e6, 3));
    Table table(headings);
    table.add(cells);
    return out + table.to_text();
}

} // namespace

double Flow::records_per_s() const {
    return elapsed_s > 0 ? static_cast<double>(records) / elapsed_s : 0;
}

double Flow::bytes_per_s() const {
    return elapsed_s > 0 ? static_cast<double>(bytes) / elapsed_s : 0;
}

std::unique_ptr<Flow> sum_up(const std::vector<std::unique_ptr<Tally>>& tallies,
                             MonoTime measured_from) {
    auto flow = std::make_unique<Flow>();
    MonoTime finished = measured_from;
    for (const auto& tally : tallies) {
        flow->sent += tally->sent.value();
        flow->records += tally->done.value();
        flow->bytes += tally->done_bytes.value();
        flow->failed += tally->failed.value();
        flow->undelivered += tally->undelivered;
        flow->overdue += tally->overdue;
        flow->foreign += tally->foreign.value();
        flow->latency.add(tally->latency);
        const double late_ms = std::chrono::duration<double, std::milli>(tally->late_max).count();
        flow->late_max_ms = std::max(flow->late_max_ms, late_ms);
        finished = std::max(finished, tally->finished);
        for (const auto& [error, times] : tally->errors) {
            flow->errors[error] += times;
        }
        // One that ended a worker before anything was sent is told as well.
        if (tally->fatal) {
            flow->errors.try_emplace(to_string(*tally->fatal), 1);
        }
    }
    flow->elapsed_s = std::chrono::duration<double>(finished - measured_from).count();
    return flow;
}

Parameter text_parameter(std::string name, const std::string& value) {
    return {std::move(name), value, json_string(value)};
}

Parameter number_parameter(std::string name, uint64_t value) {
    return {std::move(name), std::to_string(value), std::to_string(value)};
}

Parameter number_parameter(std::string name, std::optional<double> value) {
    if (!value) {
        return {std::move(name), "-", "null"};
    }
    char text[40];
    std::snprintf(text, sizeof text, "%.12g", *value);
    return {std::move(name), text, text};
}

std::string to_text(const Report& report) {
    std::string out = "qtool bench " + report.workload;
    if (report.partial) {
        out.append(" (PARTIAL: it ended before all was done)");
    }
    out.append("\n");
    std::string line = " ";
    for (const Parameter& one : report.parameters) {
        const std::string word = " " + one.name + "=" + one.text;
        if (line.size() + word.size() > 98) {
            append_for_terminal(out, line + "\n");
            line = " ";
        }
        line.append(word);
    }
    append_for_terminal(out, line + "\n");
    if (report.produce != nullptr) {
        out.append(flow_text("produce", *report.produce, true));
    }
    if (report.consume != nullptr) {
        out.append(flow_text("consume", *report.consume, false));
    }
    return out;
}

std::string to_json(const Report& report) {
    std::string out = "{" + field("workload", json_string(report.workload));
    out.append("," + field("qtool", json_string(std::string(kVersion))));
    out.append("," + field("partial", report.partial ? "true" : "false") + ",\"parameters\":{");
    for (const Parameter& one : report.parameters) {
        out.append(out.back() == '{' ? "" : ",").append(json_string(one.name) + ":" + one.json);
    }
    out.append("}," + field("produce", report.produce ? flow_json(*report.produce, true) : "null"));
    out.append("," + field("consume", report.consume ? flow_json(*report.consume, false) : "null"));
    return out + "}";
}

} // namespace qtool::cli::bench
