// etcd's v3 API as its HTTP/JSON gateway speaks it: requests as text, answers as values. Keys and
// values travel as base64, 64-bit numbers as text, and what is zero is left out.
// Source: etcd's rpc.proto and kv.proto, 3.4 to 3.6.
#pragma once

#include "lib/base/ids.h"
#include "lib/base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::etcd {

using LeaseId = int64_t; // 0: none

// ---- requests -----------------------------------------------------------------------------------

struct Compare {
    std::string key;
    Revision mod_revision; // 0: the key is absent
};
struct Operation {
    enum class Kind : uint8_t { put, erase, read };
    Kind kind = Kind::put;
    std::string key;
    std::string value;   // put
    LeaseId lease = 0;   // put
    std::string key_end; // read: with it, all keys from `key` up to it
};
struct Txn {
    std::vector<Compare> compares;
    std::vector<Operation> success;
    std::vector<Operation> failure;
};
struct Range {
    std::string key;
    std::string key_end;
    Revision revision; // 0: the newest
    uint32_t limit = 0;
};

/// Behind every key that starts with `prefix`, which must not be empty or end with 0xff.
std::string end_of_prefix(std::string prefix);

std::string encode_txn(const Txn& txn);
std::string encode_range(const Range& range);
std::string encode_watch(const std::string& key, const std::string& key_end, Revision start);
std::string encode_lease_grant(LeaseId id, int64_t ttl_s);
std::string encode_lease(LeaseId id); // keep-alive and revoke
std::string encode_user(const std::string& name, const std::string& password);

// ---- answers ------------------------------------------------------------------------------------

struct KeyValue {
    std::string key;
    std::string value;
    Revision mod_revision;
    LeaseId lease = 0;
};
struct Header {
    uint64_t cluster_id = 0; // 0: the answer has none
    Revision revision;
};
struct Answer {
    Header header;
    bool succeeded = false;           // txn
    std::vector<KeyValue> key_values; // range; txn: of its reads
    bool has_more = false;            // range
    int64_t ttl_s = 0;                // lease grant and keep-alive; 0: the lease is gone
    std::string token;                // authenticate
};
struct WatchAnswer {
    struct Event {
        KeyValue key_value;
        bool is_delete = false;
    };
    Header header;
    bool is_created = false;
    bool is_canceled = false;
    bool is_fragment = false;  // more of the same follows
    Revision compact_revision; // not 0: what was asked for is no longer there
    std::string reason;        // canceled, or an error
    std::vector<Event> events; // in order
};

/// What an error of etcd means for a request.
enum class Fault : uint8_t {
    unavailable, // try again, here or elsewhere; whether the request took effect is not known
    token,       // the login is no longer good; the request had no effect
    refused,     // it had no effect and will not have one
};
struct Refusal {
    Fault fault = Fault::unavailable;
    Error error;
};

/// An answer with status 200. Errors: malformed.
Result<Answer> decode_answer(std::string_view body);
/// One line of a watch. Errors: malformed.
Result<WatchAnswer> decode_watch(std::string_view line);
/// An answer with another status.
Refusal decode_refusal(int status, std::string_view body);
/// "3.4.23" of the answer to GET /version. Errors: malformed (it is no etcd that answers).
Result<std::string> decode_version(std::string_view body);
/// Errors: unsupported_version (older than 3.4).
Result<void> check_version(const std::string& version);

} // namespace qtool::etcd
