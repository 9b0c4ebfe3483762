// Reading and writing JSON values for the codecs of this folder: what a field must be, in words for
// people. Private to the .cc files of lib/admin.
#pragma once

#include "lib/admin/codec.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace qtool::admin {

// Fields keep the order they are written in: answers read the same for people each time.
using Json = nlohmann::ordered_json;

inline Error shape_error(std::string_view field, std::string_view wanted) {
    std::string detail = "field '";
    detail.append(field).append("' must be ").append(wanted);
    return {Code::invalid_request, std::move(detail)};
}

inline std::string dump(const Json& json) {
    // Invalid UTF-8 (a name from elsewhere) becomes U+FFFD rather than an exception.
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

inline Result<Json> parse_object(std::string_view text) {
    // The parser itself is not recursive, but Json's destructor and ours may be: depth first.
    size_t depth = 0;
    bool too_deep = false;
    const auto watch = [&](int at, Json::parse_event_t, Json&) {
        depth = std::max(depth, static_cast<size_t>(at));
        too_deep = too_deep || depth > kJsonDepthMax;
        return !too_deep;
    };
    Json json = Json::parse(text.begin(), text.end(), watch, false);
    if (too_deep) {
        return Error(Code::malformed,
                     "JSON is nested deeper than " + std::to_string(kJsonDepthMax));
    }
    if (json.is_discarded()) {
        return Error(Code::malformed, "not JSON");
    }
    if (!json.is_object()) {
        return Error(Code::invalid_request, "a JSON object is expected");
    }
    return json;
}

inline Result<void> check_known(const Json& json, std::initializer_list<std::string_view> names) {
    for (const auto& item : json.items()) {
        if (std::find(names.begin(), names.end(), item.key()) == names.end()) {
            std::string detail = "unknown field '" + item.key() + "'; known are";
            for (const std::string_view name : names) {
                detail.append(" ").append(name);
            }
            return Error(Code::invalid_request, std::move(detail));
        }
    }
    return {};
}

// ---- one value ----------------------------------------------------------------------------------

inline Result<void> read(const Json& json, std::string_view field, std::string& out) {
    if (!json.is_string()) {
        return shape_error(field, "a string");
    }
    out = json.get_ref<const std::string&>();
    return {};
}

inline Result<void> read(const Json& json, std::string_view field, bool& out) {
    if (!json.is_boolean()) {
        return shape_error(field, "true or false");
    }
    out = json.get<bool>();
    return {};
}

template <class T>
requires std::is_integral_v<T> Result<void> read(const Json& json, std::string_view field, T& out) {
    using Limits = std::numeric_limits<T>;
    const std::string wanted =
        "an integer from " + std::to_string(Limits::min()) + " to " + std::to_string(Limits::max());
    if (json.is_number_unsigned()) {
        const auto value = json.get<uint64_t>();
        if (value <= static_cast<uint64_t>(Limits::max())) {
            out = static_cast<T>(value);
            return {};
        }
    } else if (json.is_number_integer()) {
        const auto value = json.get<int64_t>(); // negative, else it would be unsigned
        if (std::is_signed_v<T> && value >= static_cast<int64_t>(Limits::min()) && value < 0) {
            out = static_cast<T>(value);
            return {};
        }
    }
    return shape_error(field, wanted);
}

template <class T>
Result<void> read(const Json& json, std::string_view field, std::optional<T>& out) {
    if (json.is_null()) {
        out.reset();
        return {};
    }
    T value{};
    QT_TRY(read(json, field, value));
    out = std::move(value);
    return {};
}

inline Result<void> read(const Json& json, std::string_view field, double& out) {
    if (!json.is_number()) {
        return shape_error(field, "a number");
    }
    out = json.get<double>();
    return {};
}

template <class T>
Result<void> read(const Json& json, std::string_view field, std::map<std::string, T>& out) {
    if (!json.is_object()) {
        return shape_error(field, std::is_same_v<T, double> ? "an object of numbers"
                                                            : "an object of strings");
    }
    for (const auto& item : json.items()) {
        QT_TRY(read(item.value(), std::string(field) + "." + item.key(), out[item.key()]));
    }
    return {};
}

template <class T>
Result<void> read(const Json& json, std::string_view field, std::vector<T>& out);

/// A field that must be there.
template <class T>
Result<void> need(const Json& json, const char* field, T& out) {
    const auto it = json.find(field);
    if (it == json.end()) {
        return Error(Code::invalid_request, std::string("field '") + field + "' is missing");
    }
    return read(*it, field, out);
}

/// A field that keeps its default when absent.
template <class T>
Result<void> maybe(const Json& json, const char* field, T& out) {
    const auto it = json.find(field);
    return it == json.end() ? Result<void>() : read(*it, field, out);
}

template <class T>
Json to_json(const std::optional<T>& value) {
    return value ? Json(*value) : Json(nullptr);
}

// ---- arrays ---------------------------------------------------------------------------------

template <class T>
Json to_json(const std::vector<T>& values) {
    Json json = Json::array();
    for (const T& value : values) {
        json.push_back(to_json(value));
    }
    return json;
}

template <class T>
Result<void> read(const Json& json, std::string_view field, std::vector<T>& out) {
    if (!json.is_array()) {
        return shape_error(field, "an array");
    }
    out.clear();
    out.reserve(json.size());
    for (const Json& item : json) {
        T value{};
        if constexpr (std::is_integral_v<T> || std::is_same_v<T, std::string>) {
            QT_TRY(read(item, field, value));
        } else {
            if (!item.is_object()) {
                return shape_error(field, "an array of objects");
            }
            QT_TRY(read_object(item, value));
        }
        out.push_back(std::move(value));
    }
    return {};
}

} // namespace qtool::admin
