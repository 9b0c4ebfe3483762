#include "server/metrics/exposition.h"

namespace qtool::metrics {

namespace {

// The value of a label: quotes, backslashes and line ends are escaped.
void append_label_value(std::string& text, std::string_view value) {
    for (const char c : value) {
        if (c == '\\' || c == '"') {
            text += '\\';
        }
        c == '\n' ? text.append("\\n") : text.append(1, c);
    }
}

// Nanoseconds as seconds, without going through a double: "0.000250000".
std::string seconds(uint64_t ns) {
    constexpr uint64_t kSecond = 1'000'000'000;
    std::string rest = std::to_string(ns % kSecond);
    return std::to_string(ns / kSecond) + "." + std::string(9 - rest.size(), '0') + rest;
}

} // namespace

void Exposition::begin(std::string_view name, Type type, std::string_view help) {
    name_ = "qbroker_";
    name_.append(name);
    text_.append("# HELP ").append(name_).append(" ").append(help).append("\n");
    text_.append("# TYPE ").append(name_);
    switch (type) {
    case Type::counter:
        text_.append(" counter\n");
        return;
    case Type::gauge:
        text_.append(" gauge\n");
        return;
    case Type::histogram:
        text_.append(" histogram\n");
        return;
    }
}

void Exposition::put(std::string_view suffix, Labels labels, std::string_view le,
                     std::string_view value) {
    text_.append(name_).append(suffix);
    char separator = '{';
    const auto put_label = [&](std::string_view name, std::string_view text) {
        text_ += separator;
        separator = ',';
        text_.append(name).append("=\"");
        append_label_value(text_, text);
        text_ += '"';
    };
    for (const auto& [name, text] : labels) {
        put_label(name, text);
    }
    if (!le.empty()) {
        put_label("le", le);
    }
    if (separator == ',') {
        text_ += '}';
    }
    text_.append(" ").append(value).append("\n");
}

void Exposition::sample(Labels labels, uint64_t value) {
    put("", labels, "", std::to_string(value));
}

void Exposition::sample_milli(Labels labels, int64_t milli) {
    const int64_t whole = milli < 0 ? 0 : milli;
    std::string rest = std::to_string(whole % 1000);
    put("", labels, "",
        std::to_string(whole / 1000) + "." + std::string(3 - rest.size(), '0') + rest);
}

void Exposition::histogram(Labels labels, const std::vector<const Histogram*>& parts) {
    uint64_t count = 0;
    uint64_t sum_ns = 0;
    for (size_t i = 0; i < Histogram::kBucketCount; i++) {
        for (const Histogram* part : parts) {
            count += part->in_bucket(i);
        }
        const bool has_bound = i < Histogram::kBounds.size();
        put("_bucket", labels, has_bound ? Histogram::kBounds[i].seconds : "+Inf",
            std::to_string(count));
    }
    for (const Histogram* part : parts) {
        sum_ns += part->sum_ns();
    }
    put("_sum", labels, "", seconds(sum_ns));
    put("_count", labels, "", std::to_string(count)); // the same as +Inf, whatever came meanwhile
}

} // namespace qtool::metrics
