// Decision on client quotas (AlterClientQuotas, KIP-546): each entity alone, all or nothing.
// Lives on the core of the connection that asked (see operation.h).
#pragma once

#include "server/metadata/item_operation.h"

#include <optional>
#include <string>
#include <vector>

namespace qtool::metadata {

/// Entities with quotas; each costs a lookup in an ordered map for every request.
inline constexpr size_t kQuotasMax = 10'000;

struct QuotaChange {
    QuotaEntity entity;
    struct Op {
        std::string key;
        std::optional<double> value; // nothing: the quota is removed
    };
    std::vector<Op> ops;
    /// What is wrong with the request for this entity already; it then becomes its result.
    std::optional<Error> refused = {};
};

/// Per-item errors: invalid_request (an entity or a key twice, see check_quota_entity and
/// check_quota_value), policy_violation (the bound above).
class AlterQuotas final : public ItemOperation {
public:
    AlterQuotas(std::vector<QuotaChange> changes, bool validate_only)
        : changes_(std::move(changes)),
          validate_only_(validate_only) {}

    port::StoreTransaction decide(const Image& image, port::Random& random) override;

private:
    Result<void> decide_one(const QuotaChange& change, const Image& image, size_t& entity_count,
                            port::StoreTransaction& transaction) const;

    std::vector<QuotaChange> changes_;
    bool validate_only_;
};

} // namespace qtool::metadata
