#include "lib/config/dynamic_config.h"

#include "lib/base/assert.h"

namespace qtool::config {
namespace {

Overrides known_only(const Overrides& overrides) {
    Overrides known;
    for (const auto& [name, value] : overrides) {
        const OptionRow* row = find_option(broker_options(), name);
        if (row != nullptr && row->update == UpdateMode::live) {
            known.emplace(name, value);
        }
    }
    return known;
}

Result<void> require_live(std::string_view name) {
    QT_TRY_ASSIGN(const OptionRow* const row, require_option(broker_options(), name));
    if (row->update != UpdateMode::live) {
        return Error(Code::invalid_request,
                     "broker option '" + std::string(name) +
                         "' is read-only: set it in the broker's file or with --set and restart");
    }
    return {};
}

} // namespace

Result<BrokerConfig> with_dynamic(const BrokerConfig& base, const Overrides& cluster_default,
                                  const Overrides& own) {
    BrokerConfig broker = base;
    broker.dynamic_default = known_only(cluster_default);
    broker.dynamic_own = known_only(own);
    if (broker == base) {
        return broker;
    }
    for (const Overrides* layer : {&broker.dynamic_default, &broker.dynamic_own}) {
        for (const auto& [name, value] : *layer) {
            QT_TRY(normalize(*find_option(broker_options(), name), value));
        }
    }
    QT_TRY(read_typed(broker));
    return broker;
}

Result<Overrides> make_broker_overrides(std::span<const RequestedOption> options) {
    for (const RequestedOption& option : options) {
        QT_TRY(require_live(option.name));
    }
    return make_overrides(broker_options(), options);
}

Result<Overrides> alter_broker_overrides(const Overrides& current,
                                         std::span<const Alteration> alterations,
                                         const BrokerConfig& broker) {
    for (const Alteration& alteration : alterations) {
        const bool forgets = alteration.op == static_cast<int8_t>(AlterOp::remove) &&
                             (current.contains(alteration.name) ||
                              find_option(broker_options(), alteration.name) == nullptr);
        if (!forgets) {
            QT_TRY(require_live(alteration.name));
        }
    }
    return alter_overrides(broker_options(), current, alterations, [&](const OptionRow& row) {
        return broker.value(row.name).value_or("");
    });
}

std::vector<DescribedOption> describe_cluster_default(const Overrides& cluster_default) {
    std::vector<DescribedOption> described;
    for (const auto& [name, value] : cluster_default) {
        const OptionRow* row = find_option(broker_options(), name);
        if (row == nullptr) {
            continue;
        }
        QT_ASSERT_MSG(!row->sensitive, "cluster defaults are shown; a sensitive one needs hiding");
        DescribedOption& option = described.emplace_back();
        option.name = name;
        option.value = value;
        option.source = ConfigSource::dynamic_default;
        option.type = row->type;
        option.documentation = row->meaning;
        option.synonyms.push_back({name, value, ConfigSource::dynamic_default});
    }
    return described;
}

} // namespace qtool::config
