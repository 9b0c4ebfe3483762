#include "lib/config/option.h"

namespace qtool::config {
namespace {

// Names, types and defaults are Kafka's. The synonym is the broker option a group's default comes
// from. Share and streams groups are not served, so their options have no row.
constexpr OptionRow kRows[] = {
    {.name = "consumer.assignment.interval.ms",
     .type = OptionType::int32,
     .default_text = "1000",
     .valid = at_least(0),
     .unit = "ms",
     .update = UpdateMode::live,
     .synonyms = "group.consumer.assignment.interval.ms",
     .meaning = "The least time between two assignments of this consumer group."},
    {.name = "consumer.heartbeat.interval.ms",
     .type = OptionType::int32,
     .default_text = "5000",
     .valid = at_least(1),
     .unit = "ms",
     .update = UpdateMode::live,
     .synonyms = "group.consumer.heartbeat.interval.ms",
     .meaning = "How often members of this consumer group are told to send heartbeats."},
    {.name = "consumer.session.timeout.ms",
     .type = OptionType::int32,
     .default_text = "45000",
     .valid = at_least(1),
     .unit = "ms",
     .update = UpdateMode::live,
     .synonyms = "group.consumer.session.timeout.ms",
     .meaning = "A member of this consumer group silent for so long is removed."},
};

constexpr std::string_view kKafkaNames =
    "share.assignment.interval.ms share.auto.offset.reset share.delivery.count.limit "
    "share.heartbeat.interval.ms share.isolation.level share.partition.max.record.locks "
    "share.record.lock.duration.ms share.renew.acknowledge.enable share.session.timeout.ms "
    "streams.assignment.interval.ms streams.heartbeat.interval.ms "
    "streams.initial.rebalance.delay.ms streams.num.standby.replicas streams.session.timeout.ms ";

} // namespace

const OptionTable& group_options() {
    static const OptionTable table{"group option", "qbroker", kRows, kKafkaNames};
    return table;
}

} // namespace qtool::config
