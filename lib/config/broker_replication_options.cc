// Broker options about replication: how followers fetch, when they count as in sync, and who reads
// from them.
#include "lib/config/broker_option_rows.h"

namespace qtool::config {
namespace {

constexpr std::string_view kUnlimited = "9223372036854775807";

constexpr OptionRow kRows[] = {
    {.name = "follower.replication.throttled.rate",
     .type = OptionType::int64,
     .default_text = kUnlimited,
     .valid = at_least(0),
     .unit = "bytes",
     .update = UpdateMode::live,
     .meaning = "Bytes a second that followers of this broker fetch, of the partitions named by "
                "follower.replication.throttled.replicas that are not in sync."},
    {.name = "leader.replication.throttled.rate",
     .type = OptionType::int64,
     .default_text = kUnlimited,
     .valid = at_least(0),
     .unit = "bytes",
     .update = UpdateMode::live,
     .meaning = "Bytes a second that leaders of this broker send to followers not in sync, of the "
                "partitions named by leader.replication.throttled.replicas."},
    {.name = "replica.fetch.backoff.ms",
     .type = OptionType::int32,
     .default_text = "1000",
     .valid = at_least(0),
     .unit = "ms",
     .meaning = "The longest pause of a follower before it fetches again after an error; the first "
                "pauses are shorter."},
    {.name = "replica.fetch.max.bytes",
     .type = OptionType::int32,
     .default_text = "1048576",
     .valid = at_least(0),
     .unit = "bytes",
     .meaning = "What a follower fetches of one partition at once; a larger batch comes whole."},
    {.name = "replica.fetch.min.bytes",
     .type = OptionType::int32,
     .default_text = "1",
     .unit = "bytes",
     .meaning = "A fetch of a follower waits until there is so much."},
    {.name = "replica.fetch.response.max.bytes",
     .type = OptionType::int32,
     .default_text = "10485760",
     .valid = at_least(0),
     .unit = "bytes",
     .meaning = "What a follower fetches of all its partitions at once."},
    {.name = "replica.fetch.wait.max.ms",
     .type = OptionType::int32,
     .default_text = "500",
     .unit = "ms",
     .meaning = "How long a fetch of a follower waits for new records; below "
                "replica.lag.time.max.ms."},
    {.name = "replica.lag.time.max.ms",
     .type = OptionType::int64,
     .default_text = "30000",
     .valid = at_least(1),
     .unit = "ms",
     .meaning = "A follower that has not had all records of its leader for so long is in sync no "
                "longer."},
    {.name = "replica.selector.class",
     .type = OptionType::string,
     .default_is_null = true,
     .valid = {.one_of = "org.apache.kafka.common.replica.RackAwareReplicaSelector,"
                         "org.apache.kafka.common.replica.LeaderSelector"},
     .meaning = "Whom consumers are told to read from: a replica in their rack "
                "(RackAwareReplicaSelector), else the leader."},
};

} // namespace

std::span<const OptionRow> broker_replication_rows() {
    return kRows;
}

} // namespace qtool::config
