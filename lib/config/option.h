// OptionRow: one option as data. A row feeds parsing, checking, --help, the man page,
// DescribeConfigs and JSON, so that none of them can disagree. Rows are constants; everything here
// is a pure value and may be used from any thread.
#pragma once

#include "lib/base/result.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::config {

/// The numbers are DescribeConfigs' config types.
enum class OptionType : int8_t {
    boolean = 1,
    string = 2,
    int32 = 3,
    int64 = 5,
    float64 = 6,
    list = 7
};

std::string_view to_string(OptionType type) noexcept; // "boolean", "string", "int", "long", ...

enum class UpdateMode : uint8_t {
    read_only, // takes a restart
    live,      // may be altered while the program runs
};

enum class Served : uint8_t {
    yes,          // every accepted value has its effect
    default_only, // known to Kafka, not built yet: any other value than the default is refused
};

/// What a value may be, beyond its type. Bounds are inclusive and hold for numbers (float64 too).
struct Valid {
    std::optional<int64_t> min = {};
    std::optional<int64_t> max = {};
    std::optional<int64_t> also = {}; // one number outside the bounds that is allowed as well
    std::string_view one_of = {};     // comma separated; for string, and for each element of a list
    bool empty_refused = false;       // string and list only
    bool fold_case = false; // one_of is matched in any case and normalized to its spelling
};

constexpr Valid at_least(int64_t min) {
    return Valid{.min = min};
}
constexpr Valid between(int64_t min, int64_t max) {
    return Valid{.min = min, .max = max};
}
constexpr Valid one_of(std::string_view names) {
    return Valid{.one_of = names};
}
constexpr Valid not_empty() {
    return Valid{.empty_refused = true};
}

struct OptionRow {
    std::string_view name = {};
    OptionType type = OptionType::string;
    std::string_view default_text = {}; // normalized; meaningless when default_is_null
    bool default_is_null = false;
    Valid valid = {};
    std::string_view unit = {}; // "ms", "bytes", ... or empty
    UpdateMode update = UpdateMode::read_only;
    bool sensitive = false;
    Served served = Served::yes;
    std::string_view reason = {}; // why other values are refused; set exactly when default_only
    std::string_view synonyms =
        {}; // comma separated, falling priority: where the default comes from
    std::string_view meaning = {}; // one sentence
    bool ours = false;             // not an option of Kafka
};

/// Rows sorted by name, with what error texts say about them.
struct OptionTable {
    std::string_view what;             // "topic option", "broker option", ...
    std::string_view program;          // who would serve it: "qbroker", "qtool"
    std::span<const OptionRow> rows;   // sorted by name
    std::string_view kafka_names = {}; // blank separated: all names Kafka knows for this table
};

const OptionTable& topic_options();
const OptionTable& broker_options();
const OptionTable& client_options();
const OptionTable& group_options();

/// The row, or nullptr.
const OptionRow* find_option(const OptionTable& table, std::string_view name);
/// The row; the error says whether Kafka knows the name, and the nearest name that is served.
/// Errors: invalid_config.
Result<const OptionRow*> require_option(const OptionTable& table, std::string_view name);

/// Longest name or value accepted, in bytes; Kafka's bound for altered values (32767 characters).
inline constexpr size_t kOptionTextSizeMax = 32767;

/// Checks type, bounds and Served, and gives the one spelling of the value: blanks trimmed,
/// "TRUE" -> "true", "+07" -> "7", "a, b" -> "a,b". The error names option, value and limit.
/// Errors: invalid_config.
Result<std::string> normalize(const OptionRow& row, std::string_view text);

/// "at least -1", "1 to 9, or -1", "one of: a, b", or empty when every value of the type is
/// allowed.
std::string describe_valid(const OptionRow& row);

/// Readers of normalized values. They assert the form: normalize() has checked it.
bool to_bool(std::string_view normalized);
int32_t to_int32(std::string_view normalized);
int64_t to_int64(std::string_view normalized);
std::vector<std::string> to_list(std::string_view normalized);
double to_double(std::string_view normalized);
/// A number in [0, 1] as a whole number of millionths: decisions do not hang on floating point.
int32_t to_millionths(std::string_view normalized);

/// "host:port", "[v6]:port", ":port" (all interfaces, 0.0.0.0), each with or without PLAINTEXT://.
struct Endpoint {
    std::string host;
    uint16_t port = 0; // 0 where a listener may take any free port

    bool operator==(const Endpoint&) const = default;
};
/// `option` is named in the error. Errors: invalid_config.
Result<Endpoint> parse_endpoint(std::string_view option, std::string_view text);
std::string to_string(const Endpoint& endpoint);
/// True for 127.0.0.0/8, ::1 and localhost.
bool is_loopback(const Endpoint& endpoint);

} // namespace qtool::config
