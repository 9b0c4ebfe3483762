#include "tests/sim/coordination.h"

#include "tests/sim/classic_member.h"

#include <algorithm>

namespace qtool::sim {

namespace {

constexpr uint32_t kGroupsPercent = 40; // of all seeds

} // namespace

void Coordination::configure(World& world, config::BrokerConfig& config) {
    Prng& random = world.random();
    config.group_session_timeout_min_ms = 100;
    config.group_initial_rebalance_delay_ms = static_cast<int32_t>(random.below(600));
    config.offsets_topic_num_partitions = static_cast<int32_t>(1 + random.below(3));
    config.offsets_topic_segment_bytes = 1024 * 1024;
}

Coordination::Coordination(Client client, std::vector<PartitionPlace> partitions)
    : client_(client),
      world_(*client.world),
      partitions_(std::move(partitions)) {
    if (world_.chance_percent(kGroupsPercent)) {
        const uint64_t groups = 1 + world_.random().below(2);
        for (uint64_t i = 0; i < groups; i++) {
            make_group(true);
        }
    }
}

void Coordination::make_group(bool is_classic) {
    Prng& random = world_.random();
    Group& group = groups_.emplace_back();
    group.log = std::make_unique<GroupLog>(world_, (is_classic ? "classic" : "consumer") +
                                                       std::to_string(groups_.size()));
    group.partitions = partitions_;
    const uint64_t members = 2 + random.below(3);
    for (uint64_t i = 0; i < members; i++) {
        GroupMember::Setup setup;
        setup.client = client_;
        setup.log = group.log.get();
        setup.partitions = group.partitions;
        if (random.chance(350'000)) {
            setup.instance_id = "instance" + std::to_string(i);
        }
        setup.session_timeout = world_.between(800ms, 3s);
        setup.rebalance_timeout = world_.between(800ms, 3s);
        group.members.push_back(std::make_unique<ClassicMember>(std::move(setup)));
    }
}

void Coordination::start() {
    for (Group& group : groups_) {
        for (const auto& member : group.members) {
            member->start();
        }
    }
}

void Coordination::finish() {
    for (Group& group : groups_) {
        for (const auto& member : group.members) {
            member->finish();
        }
    }
}

bool Coordination::is_done() const {
    return describe().empty();
}

std::string Coordination::describe() const {
    for (const Group& group : groups_) {
        for (const PartitionPlace& place : group.partitions) {
            const int64_t end = client_.checker->known(place.number).high_watermark;
            if (group.log->committed(place.number) < end && end > 0) {
                return "group " + group.log->name() + " has committed " +
                       std::to_string(group.log->committed(place.number)) + " of " +
                       std::to_string(end) + " in " + client_.checker->name(place.number);
            }
        }
        if (!std::all_of(group.members.begin(), group.members.end(),
                         [](const auto& member) { return member->is_settled(); })) {
            return "group " + group.log->name() + " is not stable";
        }
    }
    return {};
}

} // namespace qtool::sim
