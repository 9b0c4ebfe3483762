// Decision on topic configs: replace all options of a topic (AlterConfigs) or alter single ones
// (IncrementalAlterConfigs, PATCH). All or nothing for each topic.
// Lives on the core of the connection that asked (see operation.h).
#pragma once

#include "lib/config/broker_config.h"
#include "server/metadata/operation.h"

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace qtool::metadata {

struct TopicConfigChange {
    std::string name;
    /// All options the topic shall have from now on, or what to alter of those it has.
    std::variant<std::vector<config::RequestedOption>, std::vector<config::Alteration>> change;
};

/// Per-item errors: unknown_topic, invalid_config, invalid_request (a topic or an option twice, an
/// operation nobody knows, a null value where one is needed).
class AlterTopicConfigs final : public Operation {
public:
    /// `broker` must outlive the operation.
    AlterTopicConfigs(std::vector<TopicConfigChange> changes, bool validate_only,
                      const config::BrokerConfig& broker);

    port::StoreTransaction decide(const Image& image, port::Random& random) override;
    void finish(Result<void> result) override;
    /// One for each change, in that order; empty: success. Valid after finish.
    [[nodiscard]] const std::vector<std::optional<Error>>& results() const { return results_; }

private:
    std::vector<TopicConfigChange> changes_;
    bool validate_only_;
    const config::BrokerConfig* broker_;
    std::vector<std::optional<Error>> results_;
};

} // namespace qtool::metadata
