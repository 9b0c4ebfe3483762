// DescribeClientQuotas (key 48): the quotas whose entity matches every component (KIP-546).
#include "lib/protocol/msg/describe_client_quotas.h"

#include "server/kafka/error_map.h"
#include "server/kafka/handlers/handlers.h"

#include <optional>
#include <string_view>

namespace qtool::kafka {

namespace {

using metadata::QuotaEntity;
using protocol::DescribeClientQuotasRequest;
using protocol::DescribeClientQuotasResponse;

constexpr int8_t kMatchExact = 0;
constexpr int8_t kMatchDefault = 1;
constexpr int8_t kMatchAny = 2;

using Component = DescribeClientQuotasRequest::ComponentData;

struct Filter {
    const Component* user = nullptr;
    const Component* client_id = nullptr;
    const Component* ip = nullptr;
    bool strict = false; // an entity has no other part than those asked for
};

Result<Filter> make_filter(const DescribeClientQuotasRequest& request) {
    Filter filter;
    filter.strict = request.strict;
    for (const Component& component : request.components) {
        const Component** part = component.entity_type == metadata::kQuotaUser ? &filter.user
                                 : component.entity_type == metadata::kQuotaClientId
                                     ? &filter.client_id
                                 : component.entity_type == metadata::kQuotaIp ? &filter.ip
                                                                               : nullptr;
        const std::string type(component.entity_type);
        if (type.empty()) {
            return Error(Code::invalid_request, "the type of a quota entity is empty");
        }
        if (part == nullptr) {
            return Error(Code::unsupported_version,
                         "quota entities have the types user, client-id and ip, not '" + type +
                             "'");
        }
        if (*part != nullptr) {
            return Error(Code::invalid_request, "entity type '" + type + "' is asked for twice");
        }
        if (component.match_type < kMatchExact || component.match_type > kMatchAny) {
            return Error(Code::invalid_request,
                         "match type " + std::to_string(component.match_type) +
                             " is unknown; 0 (exact), 1 (default) and 2 (any) are known");
        }
        if (component.match.has_value() != (component.match_type == kMatchExact)) {
            return Error(Code::invalid_request,
                         "a name goes with match type 0 (exact) and with no other");
        }
        *part = &component;
    }
    if (filter.ip != nullptr && (filter.user != nullptr || filter.client_id != nullptr)) {
        return Error(Code::invalid_request, "no quota has an ip and a user or client-id as well");
    }
    return filter;
}

bool matches(const Component* component, const std::optional<QuotaEntity::Name>& part,
             bool strict) {
    if (component == nullptr) {
        return !strict || !part;
    }
    if (!part) {
        return false;
    }
    switch (component->match_type) {
    case kMatchExact:
        return *part && **part == *component->match;
    case kMatchDefault:
        return !*part;
    default:
        return true;
    }
}

} // namespace

Outcome handle_describe_client_quotas(const Context& context) {
    KAFKA_DECODE(DescribeClientQuotasRequest, request, context);
    DescribeClientQuotasResponse response;
    response.error_message.reset();
    const Result<Filter> filter = make_filter(request);
    if (!filter) {
        response.error_code = error_code(filter.error().code);
        response.error_message = filter.error().detail;
        response.entries.reset();
        return Answer{make_answer(context.head, response)};
    }
    const metadata::ImageRef image = context.services.image(); // the answer holds views of it
    response.entries.emplace();
    for (const auto& [entity, quota] : image->quotas) {
        if (!matches(filter->user, entity.user, filter->strict) ||
            !matches(filter->client_id, entity.client_id, filter->strict) ||
            !matches(filter->ip, entity.ip, filter->strict)) {
            continue;
        }
        auto& entry = response.entries->emplace_back();
        const auto add = [&](std::string_view type, const std::optional<QuotaEntity::Name>& part) {
            if (part) {
                auto& out = entry.entity.emplace_back();
                out.entity_type = type;
                out.entity_name.reset();
                if (*part) {
                    out.entity_name = **part;
                }
            }
        };
        add(metadata::kQuotaUser, entity.user);
        add(metadata::kQuotaClientId, entity.client_id);
        add(metadata::kQuotaIp, entity.ip);
        for (const auto& [key, value] : quota.values) {
            auto& out = entry.values.emplace_back();
            out.key = key;
            out.value = value;
        }
    }
    return Answer{make_answer(context.head, response)};
}

} // namespace qtool::kafka
