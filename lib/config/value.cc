// Text to value and back: the one place that knows how each type is spelled.
#include "lib/base/assert.h"
#include "lib/base/trim.h"
#include "lib/config/option.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace qtool::config {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";

std::vector<std::string_view> split(std::string_view text) {
    std::vector<std::string_view> parts;
    while (!text.empty()) {
        const size_t comma = text.find(',');
        parts.push_back(trim(text.substr(0, comma), kBlanks));
        if (comma == std::string_view::npos) {
            return parts;
        }
        text.remove_prefix(comma + 1);
        if (text.empty()) {
            parts.push_back({}); // "a," ends in an empty element
        }
    }
    return parts;
}

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (c >= 'A' && c <= 'Z') {
            c = static_cast<char>(c - 'A' + 'a');
        }
    }
    return out;
}

Error refuse(const OptionRow& row, std::string_view text, const std::string& why) {
    constexpr size_t kShownSizeMax = 100;
    const std::string shown = row.sensitive ? "(hidden)"
                              : text.size() > kShownSizeMax
                                  ? std::string(text.substr(0, kShownSizeMax)) + "..."
                                  : std::string(text);
    return {Code::invalid_config,
            "invalid value '" + shown + "' for " + std::string(row.name) + ": " + why};
}

std::string must_be(const OptionRow& row) {
    const std::string limit = describe_valid(row);
    return "must be " + (limit.empty() ? "any " + std::string(to_string(row.type)) : limit);
}

Result<std::string> normalize_integer(const OptionRow& row, std::string_view text) {
    const bool wide = row.type == OptionType::int64;
    const int64_t type_min =
        wide ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int32_t>::min();
    const int64_t type_max =
        wide ? std::numeric_limits<int64_t>::max() : std::numeric_limits<int32_t>::max();
    std::string_view digits = text;
    if (digits.size() > 1 && digits[0] == '+' && digits[1] != '-') {
        digits.remove_prefix(1); // from_chars knows no plus; Kafka's parser does
    }
    int64_t value = 0;
    const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    const bool whole = end == digits.data() + digits.size() && !digits.empty();
    if (!whole || (ec != std::errc() && ec != std::errc::result_out_of_range)) {
        return refuse(row, text, "not a whole number; " + must_be(row));
    }
    if (ec == std::errc::result_out_of_range || value < type_min || value > type_max) {
        return refuse(row, text,
                      "a " + std::string(to_string(row.type)) + " must be " +
                          std::to_string(type_min) + " to " + std::to_string(type_max));
    }
    const bool below = row.valid.min && value < *row.valid.min;
    const bool above = row.valid.max && value > *row.valid.max;
    if ((below || above) && !(row.valid.also && value == *row.valid.also)) {
        return refuse(row, text, must_be(row));
    }
    return std::to_string(value);
}

Result<std::string> normalize_float(const OptionRow& row, std::string_view text) {
    double value = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || ec != std::errc() || end != text.data() + text.size() ||
        !std::isfinite(value)) {
        return refuse(row, text, "not a number; " + must_be(row));
    }
    if ((row.valid.min && value < static_cast<double>(*row.valid.min)) ||
        (row.valid.max && value > static_cast<double>(*row.valid.max))) {
        return refuse(row, text, must_be(row));
    }
    char buffer[64];
    const auto out = std::to_chars(std::begin(buffer), std::end(buffer), value);
    QT_ASSERT(out.ec == std::errc());
    return std::string(std::begin(buffer), out.ptr);
}

/// The spelling of the table, or empty when the value is none of the allowed ones.
std::string_view find_allowed(const OptionRow& row, std::string_view text) {
    for (const std::string_view name : split(row.valid.one_of)) {
        if (name == text || (row.valid.fold_case && lower(name) == lower(text))) {
            return name;
        }
    }
    return {};
}

Result<std::string> normalize_string(const OptionRow& row, std::string_view text) {
    if (text.empty() && row.valid.empty_refused) {
        return refuse(row, text, "must not be empty");
    }
    if (row.valid.one_of.empty()) {
        return std::string(text);
    }
    const std::string_view allowed = find_allowed(row, text);
    if (allowed.empty()) {
        return refuse(row, text, must_be(row));
    }
    return std::string(allowed);
}

/// Beyond what Valid can say: the options that name throttled replicas (KIP-73).
bool names_replicas(const OptionRow& row) {
    return row.name.ends_with(".replication.throttled.replicas");
}

bool is_replica(std::string_view text) {
    const auto is_number = [](std::string_view part) {
        return !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
    };
    const size_t colon = text.find(':');
    return colon != std::string_view::npos && is_number(text.substr(0, colon)) &&
           is_number(text.substr(colon + 1));
}

Result<std::string> normalize_list(const OptionRow& row, std::string_view text) {
    if (text.empty() && row.valid.empty_refused) {
        return refuse(row, text, "must name at least one");
    }
    std::string out;
    std::vector<std::string_view> seen;
    for (std::string_view element : split(text)) {
        if (element.empty()) {
            return refuse(row, text, "an element of the list is empty");
        }
        if (!row.valid.one_of.empty()) {
            element = find_allowed(row, element);
            if (element.empty()) {
                return refuse(row, text, must_be(row));
            }
        }
        if (names_replicas(row) && text != "*" && !is_replica(element)) {
            return refuse(row, text,
                          "must be * alone, or a list of partition:broker, such as 0:1,0:2,1:1");
        }
        seen.push_back(element);
        out += out.empty() ? "" : ",";
        out += element;
    }
    std::sort(seen.begin(), seen.end());
    if (const auto twice = std::adjacent_find(seen.begin(), seen.end()); twice != seen.end()) {
        return refuse(row, text, "'" + std::string(*twice) + "' is named twice");
    }
    return out;
}

Result<std::string> normalize_type(const OptionRow& row, std::string_view text) {
    switch (row.type) {
    case OptionType::boolean: {
        const std::string folded = lower(text);
        if (folded != "true" && folded != "false") {
            return refuse(row, text, "must be true or false");
        }
        return folded;
    }
    case OptionType::int32:
    case OptionType::int64:
        return normalize_integer(row, text);
    case OptionType::float64:
        return normalize_float(row, text);
    case OptionType::string:
        return normalize_string(row, text);
    case OptionType::list:
        return normalize_list(row, text);
    }
    QT_UNREACHABLE();
}

} // namespace

Result<std::string> normalize(const OptionRow& row, std::string_view text) {
    if (text.size() > kOptionTextSizeMax) {
        return refuse(row, "...",
                      std::to_string(text.size()) + " bytes; at most " +
                          std::to_string(kOptionTextSizeMax) + " are allowed");
    }
    const std::string_view trimmed = trim(text, kBlanks);
    for (const char c : trimmed) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            return Error(Code::invalid_config, "invalid value for " + std::string(row.name) +
                                                   ": control bytes are not allowed");
        }
    }
    QT_TRY_ASSIGN(std::string value, normalize_type(row, trimmed));
    if (row.served == Served::default_only && (row.default_is_null || value != row.default_text)) {
        const std::string keep =
            row.default_is_null ? "leave it unset"
            : row.default_text.empty()
                ? "only the empty default is served"
                : "only the default '" + std::string(row.default_text) + "' is served";
        return refuse(row, trimmed, std::string(row.reason) + "; " + keep);
    }
    return value;
}

std::string describe_valid(const OptionRow& row) {
    const Valid& valid = row.valid;
    std::string text;
    if (row.type == OptionType::boolean) {
        return "true or false";
    }
    if (!valid.one_of.empty()) {
        text = row.type == OptionType::list ? "a list of: " : "one of: ";
        for (const std::string_view name : split(valid.one_of)) {
            text += (text.back() == ' ' ? "" : ", ") + std::string(name);
        }
        return text;
    }
    if (valid.min && valid.max) {
        text = std::to_string(*valid.min) + " to " + std::to_string(*valid.max);
    } else if (valid.min) {
        text = "at least " + std::to_string(*valid.min);
    } else if (valid.max) {
        text = "at most " + std::to_string(*valid.max);
    } else if (valid.empty_refused) {
        return "not empty";
    }
    if (valid.also) {
        text += ", or " + std::to_string(*valid.also);
    }
    return text;
}

bool to_bool(std::string_view normalized) {
    QT_ASSERT(normalized == "true" || normalized == "false");
    return normalized == "true";
}

int64_t to_int64(std::string_view normalized) {
    int64_t value = 0;
    const auto [end, ec] =
        std::from_chars(normalized.data(), normalized.data() + normalized.size(), value);
    QT_ASSERT(ec == std::errc() && end == normalized.data() + normalized.size());
    return value;
}

double to_double(std::string_view normalized) {
    double value = 0;
    const char* end = normalized.data() + normalized.size();
    const auto parsed = std::from_chars(normalized.data(), end, value);
    QT_ASSERT(parsed.ec == std::errc() && parsed.ptr == end);
    return value;
}

int32_t to_millionths(std::string_view normalized) {
    const double value = to_double(normalized);
    QT_ASSERT(value >= 0 && value <= 1);
    return static_cast<int32_t>(std::lround(value * 1e6));
}

int32_t to_int32(std::string_view normalized) {
    const int64_t value = to_int64(normalized);
    QT_ASSERT(value >= std::numeric_limits<int32_t>::min());
    QT_ASSERT(value <= std::numeric_limits<int32_t>::max());
    return static_cast<int32_t>(value);
}

std::vector<std::string> to_list(std::string_view normalized) {
    const std::vector<std::string_view> parts = split(normalized);
    return {parts.begin(), parts.end()};
}

} // namespace qtool::config
