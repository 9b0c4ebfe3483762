#include "cli/input/position.h"

#include <charconv>
#include <chrono>
#include <optional>
#include <string>

namespace qtool::cli {

namespace {

/// All of `text` as a number without sign.
std::optional<int64_t> whole_number(std::string_view text) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || text[0] == '-' || error != std::errc() ||
        end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

/// Reads ISO 8601 from the left, field by field.
class IsoReader {
public:
    explicit IsoReader(std::string_view text) : rest_(text) {}

    [[nodiscard]] bool at_end() const { return rest_.empty(); }
    bool skip(char c) {
        if (rest_.empty() || rest_[0] != c) {
            return false;
        }
        rest_.remove_prefix(1);
        return true;
    }
    /// Exactly `digits` digits, at most `max`.
    std::optional<int> number(size_t digits, int max) {
        const auto value = whole_number(rest_.substr(0, digits));
        if (rest_.size() < digits || !value || *value > max) {
            return std::nullopt;
        }
        rest_.remove_prefix(digits);
        return static_cast<int>(*value);
    }
    /// Digits after the point as milliseconds; further ones are cut off.
    std::optional<int> fraction_ms() {
        int value = 0;
        size_t count = 0;
        for (; count < rest_.size() && rest_[count] >= '0' && rest_[count] <= '9'; count++) {
            value = count < 3 ? value * 10 + (rest_[count] - '0') : value;
        }
        rest_.remove_prefix(count);
        for (size_t i = count; i < 3; i++) {
            value *= 10;
        }
        return count > 0 ? std::optional(value) : std::nullopt;
    }

private:
    std::string_view rest_;
};

std::optional<std::chrono::sys_days> read_date(IsoReader& in) {
    const auto year = in.number(4, 9999);
    const bool first_dash = in.skip('-');
    const auto month = in.number(2, 12);
    const bool second_dash = in.skip('-');
    const auto day = in.number(2, 31);
    if (!year || !first_dash || !month || !second_dash || !day) {
        return std::nullopt;
    }
    const std::chrono::year_month_day date(std::chrono::year(*year),
                                           std::chrono::month(static_cast<unsigned>(*month)),
                                           std::chrono::day(static_cast<unsigned>(*day)));
    return date.ok() ? std::optional(std::chrono::sys_days(date)) : std::nullopt;
}

std::optional<std::chrono::milliseconds> read_clock(IsoReader& in) {
    const auto hour = in.number(2, 23);
    const bool colon = in.skip(':');
    const auto minute = in.number(2, 59);
    if (!hour || !colon || !minute) {
        return std::nullopt;
    }
    std::chrono::milliseconds time = std::chrono::hours(*hour) + std::chrono::minutes(*minute);
    if (in.skip(':')) {
        const auto second = in.number(2, 60); // 60: a leap second
        if (!second) {
            return std::nullopt;
        }
        time += std::chrono::seconds(*second);
        if (in.skip('.') || in.skip(',')) {
            const auto fraction = in.fraction_ms();
            if (!fraction) {
                return std::nullopt;
            }
            time += std::chrono::milliseconds(*fraction);
        }
    }
    return time;
}

/// Minutes east of UTC; no zone is UTC.
std::optional<std::chrono::minutes> read_zone(IsoReader& in) {
    if (in.at_end() || in.skip('Z')) {
        return std::chrono::minutes(0);
    }
    const bool west = in.skip('-');
    if (!west && !in.skip('+')) {
        return std::nullopt;
    }
    const auto hour = in.number(2, 23);
    in.skip(':');
    const auto minute = in.at_end() ? std::optional(0) : in.number(2, 59);
    if (!hour || !minute) {
        return std::nullopt;
    }
    const std::chrono::minutes east = std::chrono::hours(*hour) + std::chrono::minutes(*minute);
    return west ? -east : east;
}

std::optional<int64_t> read_iso(std::string_view text) {
    IsoReader in(text);
    const auto date = read_date(in);
    if (!date) {
        return std::nullopt;
    }
    std::chrono::milliseconds time = date->time_since_epoch();
    if (in.skip('T') || in.skip(' ')) {
        const auto clock = read_clock(in);
        const auto zone = clock ? read_zone(in) : std::nullopt;
        if (!clock || !zone) {
            return std::nullopt;
        }
        time += *clock - *zone;
    }
    return in.at_end() && time.count() >= 0 ? std::optional(int64_t{time.count()}) : std::nullopt;
}

} // namespace

Result<int64_t> parse_time(std::string_view text) {
    const auto time = text.starts_with('@') ? whole_number(text.substr(1)) : read_iso(text);
    if (!time) {
        return Error(Code::invalid_argument,
                     "'" + std::string(text) +
                         "' is not a time: give @MILLISECONDS or ISO 8601, 2026-01-31T08:30:00Z");
    }
    return *time;
}

Result<Position> parse_position(std::string_view text) {
    if (text == "beginning") {
        return Position{Position::Kind::beginning, 0};
    }
    if (text == "end") {
        return Position{Position::Kind::end, 0};
    }
    if (const auto offset = whole_number(text)) {
        return Position{Position::Kind::offset, *offset};
    }
    if (text.starts_with('-')) {
        if (const auto count = whole_number(text.substr(1))) {
            return Position{Position::Kind::last, *count};
        }
    }
    const Result<int64_t> time = parse_time(text);
    if (!time) {
        return Error(Code::invalid_argument,
                     "'" + std::string(text) +
                         "' is not a position: give beginning, end, an offset, -N for the last N, "
                         "@MILLISECONDS or a time like 2026-01-31T08:30:00Z");
    }
    return Position{Position::Kind::time, *time};
}

} // namespace qtool::cli
