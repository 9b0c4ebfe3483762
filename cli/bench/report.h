// Report: what a benchmark found, as text for people and as JSON for programs. Names and types of
// the JSON are frozen like all of qtool's: fields are added, never renamed or retyped.
#pragma once

#include "cli/bench/tally.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qtool::cli::bench {

/// One direction of a run: the tallies of its workers together.
struct Flow {
    uint64_t sent = 0; // produce only
    uint64_t records = 0;
    uint64_t bytes = 0;
    uint64_t failed = 0;
    uint64_t undelivered = 0;
    uint64_t overdue = 0;                // not sent though due
    uint64_t missing = 0;                // end to end: delivered, but not consumed
    uint64_t foreign = 0;                // end to end: consumed, but of somebody else
    double elapsed_s = 0;                // from the end of the warm-up to the last record
    std::optional<double> intended_rate; // records a second; nothing: closed loop
    double late_max_ms = 0;              // of the load generator itself
    std::string latency_from;            // what latency counts from
    Histogram latency;                   // nanoseconds
    std::map<std::string, uint64_t> errors;

    [[nodiscard]] double records_per_s() const;
    [[nodiscard]] double bytes_per_s() const;
};

/// Adds up workers that have ended.
std::unique_ptr<Flow> sum_up(const std::vector<std::unique_ptr<Tally>>& tallies,
                             MonoTime measured_from);

/// One parameter of a run: its value as people and as JSON write it.
struct Parameter {
    std::string name;
    std::string text;
    std::string json;
};

Parameter text_parameter(std::string name, const std::string& value);
Parameter number_parameter(std::string name, uint64_t value);
/// Nothing: null in JSON, "-" in text.
Parameter number_parameter(std::string name, std::optional<double> value);

struct Report {
    std::string workload; // produce, consume, e2e, mixed
    bool partial = false; // ended by a signal or a failure
    std::vector<Parameter> parameters;
    std::unique_ptr<Flow> produce; // nullptr: not part of the workload
    std::unique_ptr<Flow> consume;
};

std::string to_text(const Report& report);
/// One line, without the newline.
std::string to_json(const Report& report);

} // namespace qtool::cli::bench
