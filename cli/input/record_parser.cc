#include "cli/input/record_parser.h"

#include "lib/base/base64.h"

#include <nlohmann/json.hpp>

#include <limits>

namespace qtool::cli {

namespace {

using Json = nlohmann::json;

constexpr size_t kHeadersMax =
    10'000; // of one record; a batch holds less than that many bytes often

Error record_error(std::string_view field, std::string_view reason) {
    std::string detail = "field '";
    detail.append(field).append("' ").append(reason);
    return {Code::invalid_record, std::move(detail)};
}

Result<std::string> from_base64(const Json& json, std::string_view field) {
    if (!json.is_string()) {
        return record_error(field, "must be a string of base64");
    }
    const auto bytes = base64_decode(json.get_ref<const std::string&>(), Base64Alphabet::standard);
    if (!bytes) {
        return record_error(field, "is not base64");
    }
    return std::string(as_text(*bytes));
}

/// A string, or {"base64": ...}.
Result<std::string> header_part(const Json& json) {
    if (json.is_string()) {
        return json.get_ref<const std::string&>();
    }
    if (json.is_object() && json.size() == 1 && json.begin().key() == "base64") {
        return from_base64(json.front(), "headers.base64");
    }
    return record_error("headers", "must be an array of [\"name\", \"value\"], where both may be "
                                   "{\"base64\":\"...\"} and the value null");
}

int hex_value(char c) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    const char lower = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
    const size_t at = kDigits.find(lower);
    return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

} // namespace

Result<InputRecord> RecordParser::parse(std::string_view line) {
    if (options_.json) {
        return parse_json(line);
    }
    InputRecord record;
    record.value = line;
    if (!options_.key_separator.empty()) {
        const size_t at = line.find(options_.key_separator);
        if (at != std::string_view::npos) {
            record.key = line.substr(0, at);
            record.value = line.substr(at + options_.key_separator.size());
        }
    }
    if (options_.null_marker) {
        for (auto* bytes : {&record.key, &record.value}) {
            if (*bytes && **bytes == *options_.null_marker) {
                bytes->reset();
            }
        }
    }
    if (options_.fixed_key) {
        record.key = *options_.fixed_key;
    }
    for (const auto& [name, value] : options_.headers) {
        record.headers.push_back({name, value});
    }
    return record;
}

Result<InputRecord> RecordParser::parse_json(std::string_view line) {
    const Json json = Json::parse(line.begin(), line.end(), nullptr, false);
    if (json.is_discarded()) {
        return Error(Code::invalid_record, "not JSON");
    }
    if (!json.is_object()) {
        return Error(Code::invalid_record, "a JSON object is expected");
    }
    scratch_.clear();
    InputRecord record;
    for (const auto& [name, value] : options_.headers) {
        record.headers.push_back({name, value});
    }
    const auto keep = [this](std::string text) -> std::string_view {
        return scratch_.emplace_back(std::move(text));
    };
    for (const auto& item : json.items()) {
        const std::string& name = item.key();
        const Json& value = item.value();
        if (name == "key" || name == "value") {
            auto& target = name == "key" ? record.key : record.value;
            if (json.contains(name + "_base64")) {
                return record_error(name, "is there in text and in base64");
            }
            if (!value.is_string() && !value.is_null()) {
                return record_error(name, "must be a string or null");
            }
            if (value.is_string()) {
                target = keep(value.get<std::string>());
            }
        } else if (name == "key_base64" || name == "value_base64") {
            auto& target = name == "key_base64" ? record.key : record.value;
            QT_TRY_ASSIGN(std::string bytes, from_base64(value, name));
            target = keep(std::move(bytes));
        } else if (name == "headers") {
            if (!value.is_array() || value.size() > kHeadersMax) {
                return record_error(name, "must be an array of at most " +
                                              std::to_string(kHeadersMax) + " headers");
            }
            for (const Json& header : value) {
                if (!header.is_array() || header.size() != 2) {
                    return record_error(name, "must hold pairs [\"name\", \"value\"]");
                }
                QT_TRY_ASSIGN(std::string key, header_part(header[0]));
                InputHeader& target = record.headers.emplace_back();
                target.key = keep(std::move(key));
                if (!header[1].is_null()) {
                    QT_TRY_ASSIGN(std::string text, header_part(header[1]));
                    target.value = keep(std::move(text));
                }
            }
        } else if (name == "timestamp") {
            if (!value.is_number_integer() || value.get<int64_t>() < -1) {
                return record_error(name, "must be milliseconds since 1970, or -1");
            }
            if (const auto timestamp = value.get<int64_t>(); timestamp >= 0) {
                record.timestamp_ms = timestamp;
            }
        } else if (name == "partition") {
            if (!value.is_number_integer() || value.get<int64_t>() < 0 ||
                value.get<int64_t>() > std::numeric_limits<int32_t>::max()) {
                return record_error(name, "must be a partition number");
            }
            if (options_.keep_partition) {
                record.partition = value.get<int32_t>();
            }
        } else if (name != "topic" && name != "offset" && name != "timestamp_type") {
            return record_error(name, "is unknown; known are topic partition offset timestamp "
                                      "timestamp_type key value key_base64 value_base64 headers");
        }
    }
    if (options_.fixed_key) {
        record.key = *options_.fixed_key;
    }
    return record;
}

Result<std::pair<std::string, std::string>> parse_header(std::string_view text) {
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos || equals == 0) {
        return Error(Code::invalid_argument,
                     "header '" + std::string(text) + "' is not of the form name=value");
    }
    return std::pair(std::string(text.substr(0, equals)), std::string(text.substr(equals + 1)));
}

Result<std::string> unescape(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size(); i++) {
        if (text[i] != '\\') {
            out.push_back(text[i]);
            continue;
        }
        i++;
        const char letter = i < text.size() ? text[i] : '\0';
        constexpr std::string_view kLetters = "nrt0\\";
        constexpr std::string_view kBytes("\n\r\t\0\\", 5);
        const size_t known = kLetters.find(letter);
        if (i < text.size() && known != std::string_view::npos) {
            out.push_back(kBytes[known]);
        } else if (letter == 'x' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 &&
                   hex_value(text[i + 2]) >= 0) {
            out.push_back(static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2])));
            i += 2;
        } else {
            return Error(Code::invalid_argument, "unknown escape in '" + std::string(text) +
                                                     "'; known are \\n \\r \\t \\0 \\\\ \\xHH");
        }
    }
    return out;
}

} // namespace qtool::cli
