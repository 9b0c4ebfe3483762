// ApiVersions (key 18): which APIs and versions this broker serves. The one request that is
// answered at any version, so that an unknown client can find out which version to use.
#include "lib/protocol/msg/api_versions.h"

#include "server/kafka/api_table.h"
#include "server/kafka/error_map.h"
#include "server/kafka/handlers/handlers.h"

#include <algorithm>

namespace qtool::kafka {

namespace {

using protocol::ApiVersionsRequest;
using protocol::ApiVersionsResponse;

constexpr int16_t kSoftwareVersionMin = 3; // the client names itself (KIP-511)

/// What clients ask for before they use a protocol that needs more than one API. Listed only when
/// all of it is served.
struct Feature {
    std::string_view name;
    int16_t level_max; // from 0
    int16_t finalized; // 0: not in use
};
constexpr Feature kFeatures[] = {
    {"group.version", 1, 1},       // KIP-848: the consumer protocol of groups
    {"transaction.version", 2, 2}, // KIP-890: an epoch each transaction
};
constexpr int16_t kLevelZeroVersionMin = 4; // older clients fail on a feature that starts at 0

bool is_alphanumeric(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?
bool is_software_name(std::string_view text) {
    return !text.empty() && is_alphanumeric(text.front()) && is_alphanumeric(text.back()) &&
           std::all_of(text.begin(), text.end(),
                       [](char c) { return is_alphanumeric(c) || c == '-' || c == '.'; });
}

// Version 0 layout, whatever was asked: error 35 and the versions of ApiVersions itself.
Outcome answer_unknown_version(const Context& context) {
    ApiVersionsResponse response;
    response.error_code = error_code(Code::unsupported_version);
    auto& entry = response.api_keys.emplace_back();
    entry.api_key = ApiVersionsRequest::kApiKey;
    entry.min_version = ApiVersionsRequest::kVersionMin;
    entry.max_version = ApiVersionsRequest::kVersionMax;
    ReplyHead head = context.head;
    head.api_version = 0;
    return Answer{make_answer(head, response)};
}

} // namespace

Outcome handle_api_versions(const Context& context) {
    const int16_t version = context.head.api_version;
    if (version < ApiVersionsRequest::kVersionMin || version > ApiVersionsRequest::kVersionMax) {
        return answer_unknown_version(context);
    }
    KAFKA_DECODE(ApiVersionsRequest, request, context);
    ApiVersionsResponse response;
    if (version >= kSoftwareVersionMin && !(is_software_name(request.client_software_name) &&
                                            is_software_name(request.client_software_version))) {
        response.error_code = error_code(Code::invalid_request);
        return Answer{make_answer(context.head, response)};
    }
    for (const ApiRow& row : api_table()) {
        auto& entry = response.api_keys.emplace_back();
        entry.api_key = row.key;
        entry.min_version = row.advertised_min;
        entry.max_version = row.version_max;
    }
    for (const Feature& feature : kFeatures) {
        if (version >= kLevelZeroVersionMin) {
            auto& supported = response.supported_features.emplace_back();
            supported.name = feature.name;
            supported.max_version = feature.level_max;
        }
        if (feature.finalized > 0) {
            auto& finalized = response.finalized_features.emplace_back();
            finalized.name = feature.name;
            finalized.min_version_level = feature.finalized;
            finalized.max_version_level = feature.finalized;
        }
    }
    // The epoch orders later answers, so it is that of the metadata.
    response.finalized_features_epoch = context.services.image()->revision.value();
    return Answer{make_answer(context.head, response)};
}

} // namespace qtool::kafka
