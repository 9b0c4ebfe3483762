#include "server/quota/meter.h"

#include "lib/base/assert.h"

#include <algorithm>
#include <functional>
#include <string>

namespace qtool::quota {

namespace {

using metadata::QuotaEntity;
using Name = QuotaEntity::Name;

std::string_view key_of(Kind kind) {
    switch (kind) {
    case Kind::produce:
        return metadata::kProducerByteRate;
    case Kind::fetch:
        return metadata::kConsumerByteRate;
    case Kind::request:
        return metadata::kRequestPercentage;
    case Kind::mutation:
        return metadata::kControllerMutationRate;
    case Kind::connect:
        return metadata::kConnectionCreationRate;
    }
    QT_UNREACHABLE();
}

std::optional<double> limit(const metadata::Image& image, const QuotaEntity& entity,
                            const std::string& key) {
    const auto quota = image.quotas.find(entity);
    if (quota == image.quotas.end()) {
        return std::nullopt;
    }
    const auto value = quota->second.values.find(key);
    return value == quota->second.values.end() ? std::nullopt : std::optional(value->second);
}

// Names are told apart from each other and from "no part" by their place and length.
uint64_t bucket_key(Kind kind, const std::optional<std::string_view>& user,
                    const std::optional<std::string_view>& client_id) {
    std::string text(1, static_cast<char>('a' + static_cast<int>(kind)));
    for (const auto* part : {&user, &client_id}) {
        text += *part ? std::to_string((*part)->size()) + ":" + std::string(**part) : "-";
    }
    return std::hash<std::string>()(text);
}

} // namespace

Duration Meter::capacity(Kind kind) const {
    // A mutation quota is a bucket of the whole window. The others follow Kafka's sampled rates,
    // where the sample under way counts as if it were whole: one sample less (section 15).
    if (kind == Kind::mutation) {
        return std::chrono::seconds(int64_t{controller_samples_} * controller_sample_seconds_);
    }
    return std::chrono::seconds(int64_t{std::max(window_samples_ - 1, 1)} * window_sample_seconds_);
}

std::optional<Bucket> Meter::find(Kind kind, const metadata::Image& image,
                                  const Client& client) const {
    QT_ASSERT(kind != Kind::connect);
    if (image.quotas.empty()) {
        return std::nullopt;
    }
    const std::string key(key_of(kind));
    const Name user{std::string(client.user)};
    const Name client_id{std::string(client.client_id)};
    // The lookup order of SEMANTICS section 15. A default is a limit for each of those it holds
    // for, so the bucket goes by the names of the client, not by those of the quota.
    const QuotaEntity order[] = {
        {.user = user, .client_id = client_id},
        {.user = user, .client_id = Name()},
        {.user = user},
        {.user = Name(), .client_id = client_id},
        {.user = Name(), .client_id = Name()},
        {.user = Name()},
        {.client_id = client_id},
        {.client_id = Name()},
    };
    for (const QuotaEntity& entity : order) {
        if (const std::optional<double> found = limit(image, entity, key)) {
            const auto part = [](bool is_part, std::string_view name) {
                return is_part ? std::optional(name) : std::nullopt;
            };
            const double rate = kind == Kind::request ? *found / 100 : *found;
            return Bucket{bucket_key(kind, part(entity.user.has_value(), client.user),
                                     part(entity.client_id.has_value(), client.client_id)),
                          rate, capacity(kind)};
        }
    }
    return std::nullopt;
}

std::optional<Bucket> Meter::find_address(const metadata::Image& image, std::string_view ip) const {
    if (image.quotas.empty()) {
        return std::nullopt;
    }
    const std::string key(key_of(Kind::connect));
    for (const QuotaEntity& entity :
         {QuotaEntity{.ip = Name(std::string(ip))}, QuotaEntity{.ip = Name()}}) {
        if (const std::optional<double> found = limit(image, entity, key)) {
            return Bucket{bucket_key(Kind::connect, ip, std::nullopt), *found,
                          capacity(Kind::connect)};
        }
    }
    return std::nullopt;
}

} // namespace qtool::quota
