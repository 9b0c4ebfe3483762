// RecordParser: what one line of input means: key, value, headers. Pure but for its scratch memory.
//
//   mode    line          becomes
//   text    a             value "a"
//   text    k:v  (-k :)   key "k", value "v"; no separator in the line: key null
//   json    {"key":...}   the schema of cli/output/record_json.h, read back exactly
#pragma once

#include "lib/base/result.h"

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qtool::cli {

struct InputHeader {
    std::string_view key;
    std::optional<std::string_view> value; // absent: null

    bool operator==(const InputHeader&) const = default;
};

/// Views into the line and the parser: valid until the next parse or the end of the line's bytes.
struct InputRecord {
    std::optional<std::string_view> key;
    std::optional<std::string_view> value;
    std::vector<InputHeader> headers;
    std::optional<int64_t> timestamp_ms; // absent: now
    std::optional<int32_t> partition;    // absent: by key
};

struct ParseOptions {
    bool json = false;
    std::string key_separator = {};              // empty: lines have no key
    std::optional<std::string> fixed_key = {};   // of every record
    std::optional<std::string> null_marker = {}; // a key or value of exactly this text is null
    std::vector<std::pair<std::string, std::string>> headers = {}; // before those of the line
    bool keep_partition = false;                                   // json: "partition" decides
};

class RecordParser {
public:
    explicit RecordParser(ParseOptions options) : options_(std::move(options)) {}

    /// Errors: invalid_record; the detail names field and reason.
    Result<InputRecord> parse(std::string_view line);

private:
    Result<InputRecord> parse_json(std::string_view line);

    ParseOptions options_;
    std::deque<std::string>
        scratch_; // decoded texts of the last JSON line; a deque keeps them in place
};

/// "name=value" of --header. Errors: invalid_argument.
Result<std::pair<std::string, std::string>> parse_header(std::string_view text);

/// \n \r \t \0 \\ \xHH in -D and -k, as people type them in a shell. Errors: invalid_argument.
Result<std::string> unescape(std::string_view text);

} // namespace qtool::cli
