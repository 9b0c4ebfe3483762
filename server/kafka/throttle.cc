#include "server/kafka/throttle.h"

#include "lib/base/assert.h"
#include "lib/protocol/msg/api_versions.h"
#include "lib/protocol/msg/produce.h"
#include "server/kafka/context.h"

#include <algorithm>

namespace qtool::kafka {

namespace {

Counter& counter_of(quota::Kind kind, metrics::CoreCounters& counters) {
    switch (kind) {
    case quota::Kind::produce:
        return counters.throttled_produce;
    case quota::Kind::fetch:
        return counters.throttled_fetch;
    case quota::Kind::request:
        return counters.throttled_request;
    case quota::Kind::mutation:
        return counters.throttled_mutation;
    case quota::Kind::connect:
        return counters.throttled_connect;
    }
    QT_UNREACHABLE();
}

std::optional<quota::Bucket> bucket_of(quota::Kind kind, std::string_view client_id,
                                       request::Services& services) {
    return services.quotas().find(kind, *services.image(), {quota::kAnonymousUser, client_id});
}

// The first version whose answers begin with throttle_time_ms; a key without a row: all do.
struct FirstVersion {
    int16_t api_key;
    int16_t version;
};
constexpr FirstVersion kFirstVersions[] = {
    {2, 2},  // ListOffsets
    {3, 3},  // Metadata
    {8, 3},  // OffsetCommit
    {9, 3},  // OffsetFetch
    {10, 1}, // FindCoordinator
    {11, 2}, // JoinGroup
    {12, 1}, // Heartbeat
    {13, 1}, // LeaveGroup
    {14, 1}, // SyncGroup
    {15, 1}, // DescribeGroups
    {16, 1}, // ListGroups
};

constexpr int16_t kOffsetDelete = 47; // has its error code before

// Produce and ApiVersions have the field behind lists: read, set, written again. Only answers of
// connections that pause come here, so the work is no matter.
template <class Response>
void rewrite(std::vector<port::Piece>& pieces, std::vector<std::byte>& bytes, size_t header_size,
             int16_t version, int32_t throttle_time_ms) {
    Result<Response> response = Response::decode(ByteView(bytes).subspan(header_size), version);
    if (!response) {
        return; // ApiVersions of an unknown version is answered in another layout
    }
    response->throttle_time_ms = throttle_time_ms;
    ByteWriter writer(bytes.size());
    writer.bytes(ByteView(bytes).first(header_size));
    response->encode(writer, version);
    pieces = end_answer(std::move(writer));
}

} // namespace

void Throttle::pause(quota::Kind kind, Duration wait, request::Services& services,
                     metrics::CoreCounters& counters) {
    if (wait <= Duration{}) {
        return;
    }
    counter_of(kind, counters).add();
    counters.stage(metrics::Stage::throttle).observe(wait);
    until_ = std::max(until_, services.now() + wait);
}

void Throttle::charge(quota::Kind kind, std::string_view client_id, double cost,
                      request::Services& services, metrics::CoreCounters& counters) {
    const std::optional<quota::Bucket> bucket = bucket_of(kind, client_id, services);
    if (!bucket) {
        return;
    }
    Duration wait = services.quotas().buckets().take(*bucket, cost, services.now());
    if (kind == quota::Kind::request) {
        wait = std::min(wait, services.quotas().request_pause_max());
    }
    pause(kind, wait, services, counters);
}

void Throttle::take(quota::Kind kind, std::string_view client_id, double cost,
                    request::Services& services) {
    if (const std::optional<quota::Bucket> bucket = bucket_of(kind, client_id, services)) {
        services.quotas().buckets().take(*bucket, cost, services.now());
    }
}

bool Throttle::is_overdrawn(quota::Kind kind, std::string_view client_id,
                            request::Services& services, metrics::CoreCounters& counters) {
    const std::optional<quota::Bucket> bucket = bucket_of(kind, client_id, services);
    if (!bucket) {
        return false;
    }
    const Duration wait = services.quotas().buckets().wait(*bucket, services.now());
    pause(kind, wait, services, counters);
    return wait > Duration{};
}

bool Throttle::take_mutations(std::string_view client_id, double partitions,
                              request::Services& services, metrics::CoreCounters& counters) {
    const std::optional<quota::Bucket> bucket =
        bucket_of(quota::Kind::mutation, client_id, services);
    if (!bucket || partitions <= 0) {
        return true;
    }
    const Duration wait =
        services.quotas().buckets().take_or_refuse(*bucket, partitions, services.now());
    pause(quota::Kind::mutation, wait, services, counters);
    return wait == Duration{};
}

std::optional<uint64_t> Throttle::allowance(quota::Kind kind, std::string_view client_id,
                                            request::Services& services) const {
    const std::optional<quota::Bucket> bucket = bucket_of(kind, client_id, services);
    if (!bucket) {
        return std::nullopt;
    }
    const double seconds = std::chrono::duration<double>(bucket->capacity).count();
    return static_cast<uint64_t>(std::min(bucket->rate * seconds, 1e15));
}

int32_t Throttle::remaining_ms(MonoTime now) const {
    if (until_ <= now) {
        return 0;
    }
    // Bounded by quota::kDebtMax.
    return static_cast<int32_t>(std::chrono::ceil<std::chrono::milliseconds>(until_ - now).count());
}

void set_throttle_time(std::vector<port::Piece>& pieces, int16_t api_key, int16_t api_version,
                       int32_t throttle_time_ms) {
    auto* bytes = pieces.empty() ? nullptr : std::get_if<std::vector<std::byte>>(&pieces[0]);
    if (bytes == nullptr) {
        return;
    }
    ByteWriter head;
    protocol::encode_response_header(head, api_key, api_version, 0);
    size_t position = 4 + head.size(); // behind the frame length
    if (api_key == protocol::ProduceResponse::kApiKey) {
        rewrite<protocol::ProduceResponse>(pieces, *bytes, position, api_version, throttle_time_ms);
        return;
    }
    if (api_key == protocol::ApiVersionsResponse::kApiKey) {
        rewrite<protocol::ApiVersionsResponse>(pieces, *bytes, position, api_version,
                                               throttle_time_ms);
        return;
    }
    for (const FirstVersion& row : kFirstVersions) {
        if (row.api_key == api_key && api_version < row.version) {
            return;
        }
    }
    if (api_key == kOffsetDelete) {
        position += sizeof(int16_t);
    }
    QT_ASSERT(bytes->size() >= position + sizeof(int32_t));
    ByteWriter field;
    field.be<int32_t>(throttle_time_ms);
    const ByteView view = field.view();
    std::copy(view.begin(), view.end(), bytes->begin() + static_cast<ptrdiff_t>(position));
}

} // namespace qtool::kafka
