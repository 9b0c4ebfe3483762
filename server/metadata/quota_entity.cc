#include "server/metadata/quota_entity.h"

#include <arpa/inet.h>

#include <cmath>

namespace qtool::metadata {
namespace {

constexpr std::string_view kDefaultText = "<default>"; // '<' is never in an escaped name

bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

std::string escape(const QuotaEntity::Name& name) {
    if (!name) {
        return std::string(kDefaultText);
    }
    constexpr char kDigits[] = "0123456789ABCDEF";
    std::string text;
    for (const char c : *name) {
        if (is_plain(c)) {
            text += c;
        } else {
            const auto byte = static_cast<unsigned char>(c);
            text += '%';
            text += kDigits[byte >> 4];
            text += kDigits[byte & 15];
        }
    }
    return text;
}

int digit_of(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

std::optional<QuotaEntity::Name> unescape(std::string_view text) {
    if (text == kDefaultText) {
        return QuotaEntity::Name();
    }
    std::string name;
    for (size_t i = 0; i < text.size(); i++) {
        if (is_plain(text[i])) {
            name += text[i];
            continue;
        }
        const int high = i + 2 < text.size() ? digit_of(text[i + 1]) : -1;
        const int low = i + 2 < text.size() ? digit_of(text[i + 2]) : -1;
        if (text[i] != '%' || high < 0 || low < 0) {
            return std::nullopt;
        }
        name += static_cast<char>(high * 16 + low);
        i += 2;
    }
    return QuotaEntity::Name(std::move(name));
}

Error refuse(const std::string& why) {
    return {Code::invalid_request, why};
}

Result<void> check_name(std::string_view what, const std::optional<QuotaEntity::Name>& part) {
    if (!part || !*part) {
        return {};
    }
    if ((*part)->empty()) {
        return refuse("the " + std::string(what) +
                      " of a quota is empty; a null name is the default");
    }
    if ((*part)->size() > kQuotaNameSizeMax) {
        return refuse("the " + std::string(what) + " of a quota has " +
                      std::to_string((*part)->size()) + " bytes; at most " +
                      std::to_string(kQuotaNameSizeMax) + " are allowed");
    }
    return {};
}

} // namespace

Result<void> check_quota_entity(const QuotaEntity& entity) {
    if (!entity.user && !entity.client_id && !entity.ip) {
        return refuse("a quota needs a user, a client-id, both, or an ip");
    }
    if (entity.ip && (entity.user || entity.client_id)) {
        return refuse("a quota of an ip cannot have a user or client-id as well");
    }
    QT_TRY(check_name(kQuotaUser, entity.user));
    QT_TRY(check_name(kQuotaClientId, entity.client_id));
    QT_TRY(check_name(kQuotaIp, entity.ip));
    if (entity.ip && *entity.ip) {
        unsigned char address[sizeof(in6_addr)];
        const char* text = (*entity.ip)->c_str();
        if (inet_pton(AF_INET, text, address) != 1 && inet_pton(AF_INET6, text, address) != 1) {
            return refuse("'" + **entity.ip + "' is no IP address");
        }
    }
    return {};
}

Result<void> check_quota_key(const QuotaEntity& entity, std::string_view key) {
    const bool fits = entity.ip ? key == kConnectionCreationRate
                                : key == kProducerByteRate || key == kConsumerByteRate ||
                                      key == kRequestPercentage || key == kControllerMutationRate;
    if (!fits) {
        return refuse("'" + std::string(key) + "' is no quota of " +
                      (entity.ip ? "an ip; that is connection_creation_rate"
                                 : "users and client-ids; those are producer_byte_rate, "
                                   "consumer_byte_rate, request_percentage and "
                                   "controller_mutation_rate"));
    }
    return {};
}

Result<void> check_quota_value(const QuotaEntity& entity, std::string_view key, double value) {
    QT_TRY(check_quota_key(entity, key));
    if (!std::isfinite(value) || value <= 0) {
        return refuse("quota " + std::string(key) + " must be greater than 0");
    }
    const bool whole =
        key == kProducerByteRate || key == kConsumerByteRate || key == kConnectionCreationRate;
    const double max = key == kConnectionCreationRate ? 2147483647.0 : 9223372036854774784.0;
    if (whole && (value > max || std::fabs(value - std::round(value)) > 1e-6 || value < 0.5)) {
        return refuse("quota " + std::string(key) + " must be a whole number");
    }
    return {};
}

std::string to_string(const QuotaEntity& entity) {
    std::string text;
    const auto add = [&text](std::string_view what, const std::optional<QuotaEntity::Name>& part) {
        if (part) {
            text += text.empty() ? "" : ",";
            text += what;
            text += '=';
            text += escape(*part);
        }
    };
    add(kQuotaUser, entity.user);
    add(kQuotaClientId, entity.client_id);
    add(kQuotaIp, entity.ip);
    return text;
}

std::optional<QuotaEntity> parse_quota_entity(std::string_view text) {
    QuotaEntity entity;
    std::string_view rest = text;
    while (!rest.empty()) {
        const size_t comma = rest.find(',');
        const std::string_view part = rest.substr(0, comma);
        rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
        const size_t equals = part.find('=');
        if (equals == std::string_view::npos) {
            return std::nullopt;
        }
        const std::string_view what = part.substr(0, equals);
        const auto name = unescape(part.substr(equals + 1));
        if (!name) {
            return std::nullopt;
        }
        if (what == kQuotaUser) {
            entity.user = *name;
        } else if (what == kQuotaClientId) {
            entity.client_id = *name;
        } else if (what == kQuotaIp) {
            entity.ip = *name;
        } else {
            return std::nullopt;
        }
    }
    if (to_string(entity) != text || !check_quota_entity(entity)) {
        return std::nullopt;
    }
    return entity;
}

} // namespace qtool::metadata
