// Routes on client quotas: all of them, and changes of one entity.
#include "server/admin/change_pending.h"
#include "server/admin/service.h"
#include "server/metadata/decide_quotas.h"

namespace qtool::admin {

namespace {

Result<metadata::QuotaChange> to_change(const AlterQuotaRequest& request) {
    metadata::QuotaChange change;
    for (const QuotaPart& part : request.entity) {
        auto* name = part.type == metadata::kQuotaUser       ? &change.entity.user
                     : part.type == metadata::kQuotaClientId ? &change.entity.client_id
                     : part.type == metadata::kQuotaIp       ? &change.entity.ip
                                                             : nullptr;
        if (name == nullptr || *name) {
            return Error(Code::invalid_request,
                         "entity type '" + part.type +
                             (name == nullptr ? "' is unknown; user, client-id and ip are"
                                              : "' is named twice"));
        }
        *name = part.name;
    }
    for (const auto& [key, value] : request.set) {
        change.ops.push_back({key, value});
    }
    for (const std::string& key : request.remove) {
        change.ops.push_back({key, std::nullopt});
    }
    return change;
}

class AlterQuotaPending final : public ChangePending<metadata::AlterQuotas> {
public:
    AlterQuotaPending(const Exchange& exchange, metadata::QuotaChange change, bool validate_only)
        : ChangePending(exchange, {{change}, validate_only}),
          entity_(std::move(change.entity)) {}

private:
    stream::HttpReply reply(request::Services& services) override {
        if (const std::optional<Error>& error = operation_.results().at(0)) {
            return reply_error(*error);
        }
        // With validate_only these are the quotas as they still are.
        return reply_json(200, encode(view_quota(*services.image(), entity_)));
    }

    metadata::QuotaEntity entity_;
};

} // namespace

RouteOutcome get_quotas(Exchange exchange) {
    return reply_json(200, encode(view_quotas(*exchange.services.image())));
}

RouteOutcome patch_quotas(Exchange exchange) {
    const Result<AlterQuotaRequest> request = decode<AlterQuotaRequest>(exchange.request.body);
    if (!request) {
        return reply_error(request.error());
    }
    Result<metadata::QuotaChange> change = to_change(*request);
    if (!change) {
        return reply_error(change.error());
    }
    return std::make_unique<AlterQuotaPending>(exchange, *std::move(change),
                                               request->validate_only);
}

} // namespace qtool::admin
