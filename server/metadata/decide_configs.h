// Decision on options set at run time: replace all of a resource (AlterConfigs) or alter single
// ones (IncrementalAlterConfigs, PATCH). All or nothing for each resource: a topic, this broker,
// the cluster's defaults of brokers, a group. Lives on the core of the connection that asked (see
// operation.h).
#pragma once

#include "lib/config/broker_config.h"
#include "server/metadata/item_operation.h"

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace qtool::metadata {

enum class Resource : uint8_t { topic, broker, group };

struct ResourceChange {
    /// Of a topic or group; of a broker its id, or "" for the defaults of all brokers.
    std::string name;
    /// All options the resource shall have from now on, or what to alter of those it has.
    std::variant<std::vector<config::RequestedOption>, std::vector<config::Alteration>> change;
    Resource resource = Resource::topic;
};

/// Groups that may have options of their own; they need not exist, so nothing else bounds them.
inline constexpr size_t kGroupConfigsMax = 10'000;

/// Per-item errors: unknown_topic, invalid_config, invalid_request (a resource or an option twice,
/// an operation nobody knows, a null value where one is needed, a broker option that takes a
/// restart, another broker than this one), policy_violation (the bound above).
class AlterConfigs final : public ItemOperation {
public:
    /// `broker` is what this broker was started with, in force where the image has no options of
    /// its own (made by no replay); must outlive the operation then.
    AlterConfigs(std::vector<ResourceChange> changes, bool validate_only,
                 const config::BrokerConfig& broker);

    port::StoreTransaction decide(const Image& image, port::Random& random) override;

private:
    [[nodiscard]] Result<void> decide_one(const ResourceChange& change, const Image& image,
                                          port::StoreTransaction& transaction) const;

    std::vector<ResourceChange> changes_;
    bool validate_only_;
    const config::BrokerConfig* broker_;
};

} // namespace qtool::metadata
