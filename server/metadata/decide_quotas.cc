#include "server/metadata/decide_quotas.h"

#include "server/metadata/record_codec.h"

#include <cmath>
#include <map>
#include <set>
#include <utility>

namespace qtool::metadata {

port::StoreTransaction AlterQuotas::decide(const Image& image, port::Random&) {
    port::StoreTransaction transaction;
    results_.assign(changes_.size(), std::nullopt);
    std::map<QuotaEntity, size_t> times;
    for (const QuotaChange& change : changes_) {
        times[change.entity]++;
    }
    size_t entity_count = image.quotas.size();
    for (size_t i = 0; i < changes_.size(); i++) {
        const QuotaChange& change = changes_[i];
        if (change.refused) {
            results_[i] = change.refused;
        } else if (times[change.entity] > 1) {
            results_[i] = Error(Code::invalid_request, "quota entity " + to_string(change.entity) +
                                                           " is in the request more than once");
        } else if (Result<void> done = decide_one(change, image, entity_count, transaction);
                   !done) {
            results_[i] = std::move(done).error();
        }
    }
    return transaction;
}

Result<void> AlterQuotas::decide_one(const QuotaChange& change, const Image& image,
                                     size_t& entity_count,
                                     port::StoreTransaction& transaction) const {
    QT_TRY(check_quota_entity(change.entity));
    const auto at = image.quotas.find(change.entity);
    const bool exists = at != image.quotas.end();
    std::map<std::string, double> values;
    if (exists) {
        values = at->second.values;
    }
    std::set<std::string_view> keys;
    for (const QuotaChange::Op& op : change.ops) {
        if (!keys.insert(op.key).second) {
            return Error(Code::invalid_request, "quota " + op.key + " is in the request twice");
        }
        if (!op.value) {
            QT_TRY(check_quota_key(change.entity, op.key));
            values.erase(op.key);
            continue;
        }
        QT_TRY(check_quota_value(change.entity, op.key, *op.value));
        const bool whole = op.key != kRequestPercentage && op.key != kControllerMutationRate;
        values[op.key] = whole ? std::round(*op.value) : *op.value;
    }
    if (!exists && !values.empty() && ++entity_count > kQuotasMax) {
        return Error(Code::policy_violation,
                     std::to_string(kQuotasMax) + " entities have quotas, which is the most");
    }
    const bool same = exists ? values == at->second.values : values.empty();
    if (validate_only_ || same) {
        return {};
    }
    const std::string key = quotas_key(change.entity);
    transaction.guards.push_back({key, exists ? at->second.revision : Revision{0}});
    if (values.empty()) {
        transaction.writes.push_back({key, std::nullopt});
    } else {
        transaction.writes.push_back({key, encode_quotas(values)});
    }
    return {};
}

} // namespace qtool::metadata
