// Exposition: text in Prometheus' format 0.0.4, written metric by metric. All names get the prefix
// "qbroker_".
#pragma once

#include "server/metrics/histogram.h"

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qtool::metrics {

class Exposition {
public:
    enum class Type : uint8_t { counter, gauge, histogram };
    using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

    /// Begins a metric: HELP and TYPE. What follows are its samples.
    void begin(std::string_view name, Type type, std::string_view help);
    void sample(Labels labels, uint64_t value);
    /// A value in thousandths: 1500 is written as 1.5.
    void sample_milli(Labels labels, int64_t milli);
    /// The sum of `parts` (one a core) as one histogram.
    void histogram(Labels labels, const std::vector<const Histogram*>& parts);

    [[nodiscard]] std::string take() { return std::move(text_); }

private:
    void put(std::string_view suffix, Labels labels, std::string_view le, std::string_view value);

    std::string text_;
    std::string name_; // of the metric that is being written, with prefix
};

} // namespace qtool::metrics
