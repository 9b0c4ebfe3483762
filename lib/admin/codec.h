// The types of model.h to and from JSON text, and what an error Code is in HTTP.
// Strict: a missing field or one of another type is an error. Unknown fields are refused in
// requests (a misspelt option must not be lost) and ignored in responses (newer brokers).
// Pure functions; called on any thread. Decoding errors: malformed (not JSON), invalid_request
// (JSON of another shape; the detail names the field).
#pragma once

#include "lib/admin/model.h"
#include "lib/base/result.h"

#include <optional>
#include <string>
#include <string_view>

namespace qtool::admin {

inline constexpr size_t kJsonDepthMax = 32; // nesting of arrays and objects accepted

std::string encode(const ClusterInfo& value);
/// Controller id and brokers alone.
std::string encode_brokers(const ClusterInfo& value);
/// Problems alone, and whether there are none.
std::string encode_health(const ClusterInfo& value);
/// Of the cluster broker id and log_dirs alone; and the moves.
std::string encode_disks(const ClusterInfo& cluster, const MoveList& moves);
std::string encode(const TopicList& value);
std::string encode(const TopicSummary& value);
std::string encode(const TopicDescription& value);
std::string encode(const CreateTopicRequest& value);
std::string encode(const AlterTopicRequest& value);
std::string encode(const BrokerConfigs& value);
std::string encode(const ConfigResourceList& value);
std::string encode(const ResourceConfigs& value);
std::string encode(const AlterConfigsRequest& value);
std::string encode(const QuotaEntry& value);
std::string encode(const QuotaList& value);
std::string encode(const AlterQuotaRequest& value);
std::string encode(const MoveList& value);
std::string encode(const MovePartition& value);
std::string encode(const ErrorBody& value);

/// decode<ClusterInfo>(text) and so on, for each type above.
template <class T>
Result<T> decode(std::string_view text);

template <>
Result<ClusterInfo> decode<ClusterInfo>(std::string_view text);
template <>
Result<TopicList> decode<TopicList>(std::string_view text);
template <>
Result<TopicSummary> decode<TopicSummary>(std::string_view text);
template <>
Result<TopicDescription> decode<TopicDescription>(std::string_view text);
template <>
Result<CreateTopicRequest> decode<CreateTopicRequest>(std::string_view text);
template <>
Result<AlterTopicRequest> decode<AlterTopicRequest>(std::string_view text);
template <>
Result<BrokerConfigs> decode<BrokerConfigs>(std::string_view text);
template <>
Result<ConfigResourceList> decode<ConfigResourceList>(std::string_view text);
template <>
Result<ResourceConfigs> decode<ResourceConfigs>(std::string_view text);
template <>
Result<AlterConfigsRequest> decode<AlterConfigsRequest>(std::string_view text);
template <>
Result<QuotaEntry> decode<QuotaEntry>(std::string_view text);
template <>
Result<QuotaList> decode<QuotaList>(std::string_view text);
template <>
Result<AlterQuotaRequest> decode<AlterQuotaRequest>(std::string_view text);
template <>
Result<MoveList> decode<MoveList>(std::string_view text);
template <>
Result<MovePartition> decode<MovePartition>(std::string_view text);
template <>
Result<ErrorBody> decode<ErrorBody>(std::string_view text);

/// What the server answers for an error: message from the code, detail from the error.
ErrorBody make_error_body(const Error& error);
/// encode(make_error_body(error)).
std::string encode_error(const Error& error);

/// One switch; every Code has its status.
int http_status(Code code) noexcept;

/// The Code whose to_string is `name`; nothing for a newer broker's code.
std::optional<Code> parse_code(std::string_view name);

} // namespace qtool::admin
