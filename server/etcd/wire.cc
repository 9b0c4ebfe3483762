#include "server/etcd/wire.h"

#include "lib/base/assert.h"
#include "lib/base/base64.h"
#include "lib/base/bytes.h"

#include <nlohmann/json.hpp>

#include <charconv>

namespace qtool::etcd {

namespace {

using Json = nlohmann::json;

std::string encoded(std::string_view bytes) {
    return base64_encode(as_bytes(bytes), Base64Alphabet::standard);
}

Json operation_json(const Operation& operation) {
    Json fields = {{"key", encoded(operation.key)}};
    switch (operation.kind) {
    case Operation::Kind::put:
        fields["value"] = encoded(operation.value);
        if (operation.lease != 0) {
            fields["lease"] = std::to_string(operation.lease);
        }
        return {{"request_put", std::move(fields)}};
    case Operation::Kind::erase:
        return {{"request_delete_range", std::move(fields)}};
    case Operation::Kind::read:
        if (!operation.key_end.empty()) {
            fields["range_end"] = encoded(operation.key_end);
        }
        return {{"request_range", std::move(fields)}};
    }
    QT_UNREACHABLE();
}

Json operations_json(const std::vector<Operation>& operations) {
    Json list = Json::array();
    for (const Operation& operation : operations) {
        list.push_back(operation_json(operation));
    }
    return list;
}

// ---- answers: a field that is absent is zero, one of a wrong form makes the answer malformed ----

const Json* field(const Json& object, const char* name) {
    if (!object.is_object()) {
        return nullptr;
    }
    const auto at = object.find(name);
    return at == object.end() || at->is_null() ? nullptr : &*at;
}

Error malformed(const char* name) {
    return {Code::malformed, std::string("etcd's answer has an odd field '") + name + "'"};
}

template <class Integer>
Result<Integer> integer(const Json& object, const char* name) {
    const Json* value = field(object, name);
    if (value == nullptr) {
        return Integer{0};
    }
    if (value->is_number_integer()) {
        return value->get<Integer>();
    }
    Integer number = 0;
    if (value->is_string()) {
        const auto& text = value->get_ref<const std::string&>();
        const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (status == std::errc{} && end == text.data() + text.size()) {
            return number;
        }
    }
    return malformed(name);
}

Result<bool> boolean(const Json& object, const char* name) {
    const Json* value = field(object, name);
    if (value == nullptr) {
        return false;
    }
    return value->is_boolean() ? Result<bool>(value->get<bool>()) : malformed(name);
}

std::string text(const Json& object, const char* name) {
    const Json* value = field(object, name);
    return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

Result<std::string> bytes(const Json& object, const char* name) {
    QT_TRY_ASSIGN(const std::vector<std::byte> decoded,
                  base64_decode(text(object, name), Base64Alphabet::standard));
    return std::string(as_text(decoded));
}

Result<Header> header_of(const Json& object) {
    Header header;
    if (const Json* found = field(object, "header")) {
        QT_TRY_ASSIGN(header.cluster_id, integer<uint64_t>(*found, "cluster_id"));
        QT_TRY_ASSIGN(const int64_t revision, integer<int64_t>(*found, "revision"));
        header.revision = Revision(revision);
    }
    return header;
}

Result<KeyValue> key_value_of(const Json& object) {
    KeyValue found;
    QT_TRY_ASSIGN(found.key, bytes(object, "key"));
    QT_TRY_ASSIGN(found.value, bytes(object, "value"));
    QT_TRY_ASSIGN(const int64_t revision, integer<int64_t>(object, "mod_revision"));
    found.mod_revision = Revision(revision);
    QT_TRY_ASSIGN(found.lease, integer<int64_t>(object, "lease"));
    return found;
}

Result<void> add_key_values(const Json& object, std::vector<KeyValue>& all) {
    if (const Json* list = field(object, "kvs")) {
        if (!list->is_array()) {
            return malformed("kvs");
        }
        for (const Json& entry : *list) {
            QT_TRY_ASSIGN(KeyValue found, key_value_of(entry));
            all.push_back(std::move(found));
        }
    }
    return {};
}

Result<Json> parsed(std::string_view body) {
    Json json = Json::parse(body, nullptr, false);
    if (!json.is_object()) {
        return Error(Code::malformed,
                     "the answer is not etcd's: '" + std::string(body.substr(0, 80)) + "'");
    }
    return json;
}

std::string message_of(const Json& object) {
    const std::string message = text(object, "message");
    return message.empty() ? text(object, "error") : message;
}

} // namespace

// ---- requests -----------------------------------------------------------------------------------

std::string end_of_prefix(std::string prefix) {
    QT_ASSERT(!prefix.empty() && prefix.back() != '\xff');
    prefix.back() = static_cast<char>(prefix.back() + 1);
    return prefix;
}

std::string encode_txn(const Txn& txn) {
    Json compares = Json::array();
    for (const Compare& compare : txn.compares) {
        compares.push_back({{"target", "MOD"},
                            {"key", encoded(compare.key)},
                            {"mod_revision", std::to_string(compare.mod_revision.value())}});
    }
    return Json{{"compare", std::move(compares)},
                {"success", operations_json(txn.success)},
                {"failure", operations_json(txn.failure)}}
        .dump();
}

std::string encode_range(const Range& range) {
    Json json = {{"key", encoded(range.key)},
                 {"range_end", encoded(range.key_end)},
                 {"limit", std::to_string(range.limit)}};
    if (range.revision != Revision{0}) {
        json["revision"] = std::to_string(range.revision.value());
    }
    return json.dump();
}

std::string encode_watch(const std::string& key, const std::string& key_end, Revision start) {
    return Json{{"create_request",
                 {{"key", encoded(key)},
                  {"range_end", encoded(key_end)},
                  {"start_revision", std::to_string(start.value())},
                  {"fragment", true}}}}
        .dump();
}

std::string encode_lease_grant(LeaseId id, int64_t ttl_s) {
    return Json{{"ID", std::to_string(id)}, {"TTL", std::to_string(ttl_s)}}.dump();
}

std::string encode_lease(LeaseId id) {
    return Json{{"ID", std::to_string(id)}}.dump();
}

std::string encode_user(const std::string& name, const std::string& password) {
    return Json{{"name", name}, {"password", password}}.dump(-1, ' ', false,
                                                             Json::error_handler_t::replace);
}

// ---- answers ------------------------------------------------------------------------------------

Result<Answer> decode_answer(std::string_view body) {
    QT_TRY_ASSIGN(const Json whole, parsed(body));
    const Json* inner = field(whole, "result"); // the keep-alive is a stream of one
    const Json& json = inner != nullptr ? *inner : whole;
    Answer answer;
    QT_TRY_ASSIGN(answer.header, header_of(json));
    QT_TRY_ASSIGN(answer.succeeded, boolean(json, "succeeded"));
    QT_TRY_ASSIGN(answer.has_more, boolean(json, "more"));
    QT_TRY_ASSIGN(answer.ttl_s, integer<int64_t>(json, "TTL"));
    answer.token = text(json, "token");
    QT_TRY(add_key_values(json, answer.key_values));
    if (const Json* responses = field(json, "responses")) {
        if (!responses->is_array()) {
            return malformed("responses");
        }
        for (const Json& response : *responses) {
            if (const Json* range = field(response, "response_range")) {
                QT_TRY(add_key_values(*range, answer.key_values));
            }
        }
    }
    return answer;
}

Result<WatchAnswer> decode_watch(std::string_view line) {
    QT_TRY_ASSIGN(const Json whole, parsed(line));
    WatchAnswer answer;
    if (const Json* error = field(whole, "error")) {
        answer.is_canceled = true;
        answer.reason = error->is_string() ? error->get<std::string>() : message_of(*error);
        return answer;
    }
    const Json* json = field(whole, "result");
    if (json == nullptr) {
        return malformed("result");
    }
    QT_TRY_ASSIGN(answer.header, header_of(*json));
    QT_TRY_ASSIGN(answer.is_created, boolean(*json, "created"));
    QT_TRY_ASSIGN(answer.is_canceled, boolean(*json, "canceled"));
    QT_TRY_ASSIGN(answer.is_fragment, boolean(*json, "fragment"));
    QT_TRY_ASSIGN(const int64_t compacted, integer<int64_t>(*json, "compact_revision"));
    answer.compact_revision = Revision(compacted);
    answer.reason = text(*json, "cancel_reason");
    if (const Json* events = field(*json, "events")) {
        if (!events->is_array()) {
            return malformed("events");
        }
        for (const Json& event : *events) {
            const Json* entry = field(event, "kv");
            if (entry == nullptr) {
                return malformed("kv");
            }
            QT_TRY_ASSIGN(KeyValue found, key_value_of(*entry));
            answer.events.push_back({std::move(found), text(event, "type") == "DELETE"});
        }
    }
    return answer;
}

Refusal decode_refusal(int status, std::string_view body) {
    const Json json = Json::parse(body, nullptr, false);
    const Json* code = field(json, "code");
    if (code == nullptr || !code->is_number_integer()) {
        // Not the gateway's: a proxy, another program, or an etcd before 3.4 (no /v3).
        const Error error(Code::store_unavailable,
                          "HTTP status " + std::to_string(status) + " instead of etcd's answer");
        return {Fault::unavailable, error};
    }
    const std::string message = message_of(json);
    const auto has = [&](std::string_view part) { return message.find(part) != std::string::npos; };
    switch (code->get<int64_t>()) { // gRPC's codes
    case 8:                         // resource exhausted
        if (has("database space exceeded")) {
            return {Fault::refused, {Code::storage_full, message}};
        }
        if (has("request is too large") || has("too large")) {
            return {Fault::refused, {Code::too_large, message}};
        }
        return {Fault::unavailable, {Code::store_unavailable, message}}; // too many requests
    case 16:                                                             // unauthenticated
        return {Fault::token, {Code::not_authorized, message}};
    case 7: // permission denied
        return {Fault::refused, {Code::not_authorized, message}};
    case 3: // invalid argument
        if (has("invalid auth token") || has("revision of auth store is old")) {
            return {Fault::token, {Code::not_authorized, message}};
        }
        if (has("authentication failed") || has("user name is empty")) {
            return {Fault::refused, {Code::not_authorized, message}};
        }
        return {Fault::refused,
                {has("too large") || has("too many operations") ? Code::too_large : Code::internal,
                 message}};
    case 5:  // not found
    case 6:  // already exists
    case 9:  // failed precondition
    case 11: // out of range
        return {Fault::refused, {Code::store_unavailable, message}};
    default:
        return {Fault::unavailable, {Code::store_unavailable, message}};
    }
}

Result<std::string> decode_version(std::string_view body) {
    const Json json = Json::parse(body, nullptr, false);
    std::string version = text(json, "etcdserver");
    if (version.empty()) {
        return Error(Code::malformed, "it does not answer GET /version as etcd does");
    }
    return version;
}

Result<void> check_version(const std::string& version) {
    int major = 0;
    int minor = 0;
    const char* end = version.data() + version.size();
    const auto first = std::from_chars(version.data(), end, major);
    if (first.ec == std::errc{} && first.ptr != end && *first.ptr == '.') {
        std::from_chars(first.ptr + 1, end, minor);
    }
    if (major < 3 || (major == 3 && minor < 4)) {
        return Error(Code::unsupported_version,
                     "etcd " + version + " is too old; 3.4 or newer is needed");
    }
    return {};
}

} // namespace qtool::etcd
