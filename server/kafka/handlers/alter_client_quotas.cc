// AlterClientQuotas (key 49): sets and removes quotas, each entity alone (KIP-546).
#include "lib/protocol/msg/alter_client_quotas.h"

#include "server/kafka/handlers/change_pending.h"
#include "server/kafka/handlers/handlers.h"
#include "server/metadata/decide_quotas.h"

namespace qtool::kafka {

namespace {

using protocol::AlterClientQuotasRequest;
using protocol::AlterClientQuotasResponse;

metadata::QuotaChange to_change(const AlterClientQuotasRequest::EntryData& entry) {
    metadata::QuotaChange change;
    for (const auto& part : entry.entity) {
        auto* name = part.entity_type == metadata::kQuotaUser       ? &change.entity.user
                     : part.entity_type == metadata::kQuotaClientId ? &change.entity.client_id
                     : part.entity_type == metadata::kQuotaIp       ? &change.entity.ip
                                                                    : nullptr;
        if (name == nullptr) {
            change.refused =
                Error(Code::invalid_request, "entity type '" + std::string(part.entity_type) +
                                                 "' is unknown; user, client-id and ip are");
            return change;
        }
        name->emplace(); // of a type named twice the last one counts, as in Kafka
        if (part.entity_name) {
            **name = std::string(*part.entity_name);
        }
    }
    for (const auto& op : entry.ops) {
        change.ops.push_back(
            {std::string(op.key), op.remove ? std::nullopt : std::optional<double>(op.value)});
    }
    return change;
}

class AlterClientQuotasPending final : public ChangePending<metadata::AlterQuotas> {
public:
    AlterClientQuotasPending(const Context& context, AlterClientQuotasRequest request)
        : ChangePending(context, metadata::AlterQuotas(changes(request), request.validate_only),
                        kTimeoutMs),
          request_(std::move(request)) {}

private:
    static constexpr int32_t kTimeoutMs = 60'000; // the request carries none

    static std::vector<metadata::QuotaChange> changes(const AlterClientQuotasRequest& request) {
        std::vector<metadata::QuotaChange> changes;
        for (const auto& entry : request.entries) {
            changes.push_back(to_change(entry));
        }
        return changes;
    }

    Answer answer(request::Services&) override {
        const auto& results = operation_.results();
        QT_ASSERT(results.size() == request_.entries.size());
        AlterClientQuotasResponse response;
        for (size_t i = 0; i < results.size(); i++) {
            auto& out = response.entries.emplace_back();
            fill_error(results[i] ? &*results[i] : nullptr, out);
            const auto& parts = request_.entries[i].entity;
            for (size_t n = 0; n < parts.size(); n++) {
                const auto& part = parts[n];
                const bool is_overruled = std::any_of(
                    parts.begin() + static_cast<std::ptrdiff_t>(n) + 1, parts.end(),
                    [&](const auto& later) { return later.entity_type == part.entity_type; });
                if (is_overruled) {
                    continue;
                }
                auto& entity = out.entity.emplace_back();
                entity.entity_type = part.entity_type;
                entity.entity_name = part.entity_name;
            }
        }
        return Answer{make_answer(head(), response)};
    }

    AlterClientQuotasRequest request_;
};

} // namespace

Outcome handle_alter_client_quotas(const Context& context) {
    KAFKA_DECODE(AlterClientQuotasRequest, request, context);
    return std::make_unique<AlterClientQuotasPending>(context, std::move(request));
}

} // namespace qtool::kafka
