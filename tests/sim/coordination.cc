#include "tests/sim/coordination.h"

#include "tests/sim/classic_member.h"
#include "tests/sim/consumer_member.h"

#include <algorithm>

namespace qtool::sim {

namespace {

constexpr uint32_t kGroupsPercent = 40; // of all seeds
// Of all consumer groups: the broker's option, not the member's.
constexpr Duration kConsumerSession = 2s;
constexpr uint32_t kTransactionsPercent = 40; // ... these and those apart

} // namespace

void Coordination::configure(World& world, config::BrokerConfig& config) {
    Prng& random = world.random();
    config.group_session_timeout_min_ms = 100;
    config.group_initial_rebalance_delay_ms = static_cast<int32_t>(random.below(600));
    config.offsets_topic_num_partitions = static_cast<int32_t>(1 + random.below(3));
    config.offsets_topic_segment_bytes = 1024 * 1024;
    config.consumer_groups.assignment_interval_ms = static_cast<int32_t>(random.below(400));
    config.consumer_groups.session_timeout_min_ms = 100;
    config.consumer_groups.session_timeout_ms = static_cast<int32_t>(kConsumerSession / 1ms);
    config.consumer_groups.heartbeat_interval_min_ms = 10;
    config.consumer_groups.heartbeat_interval_ms = static_cast<int32_t>(kConsumerSession / 5ms);
    config.transaction_state_partitions = static_cast<int32_t>(1 + random.below(3));
    config.transaction_state_segment_bytes = 1024 * 1024;
    config.transaction_abort_interval_ms = static_cast<int32_t>(random.between(100, 1000));
}

Coordination::Coordination(Client client, std::vector<PartitionPlace> partitions,
                           int16_t replication_factor)
    : client_(client),
      world_(*client.world),
      partitions_(std::move(partitions)),
      txn_log_(*client.world) {
    if (world_.chance_percent(kGroupsPercent)) {
        const uint64_t groups = 1 + world_.random().below(2);
        for (uint64_t i = 0; i < groups; i++) {
            make_group(world_.chance_percent(50));
        }
    }
    if (world_.chance_percent(kTransactionsPercent)) {
        make_transactions(replication_factor);
    }
}

void Coordination::make_transactions(int16_t replication_factor) {
    Prng& random = world_.random();
    const Operator::Topic topic{
        "x", static_cast<int32_t>(1 + random.below(3)), {}, replication_factor};
    topics_.push_back(topic);
    for (int32_t index = 0; index < topic.partitions; index++) {
        const std::string name = topic.name + "-" + std::to_string(index);
        txn_partitions_.push_back({topic.name, index, client_.checker->add_partition(name)});
    }
    const uint64_t producers = 1 + random.below(3);
    for (uint64_t i = 0; i < producers; i++) {
        TxnProducer::Setup setup;
        setup.client = client_;
        setup.log = &txn_log_;
        setup.id = "txn" + std::to_string(i);
        setup.partitions = txn_partitions_;
        setup.input = partitions_[random.below(partitions_.size())];
        setup.is_version_2 = random.chance(500'000);
        setup.timeout = world_.between(800ms, 4s);
        setup.is_abandoned = random.chance(300'000);
        const PartitionPlace input = setup.input;
        txn_producers_.push_back(std::make_unique<TxnProducer>(std::move(setup)));
        txn_groups_.push_back(
            {txn_producers_.back()->group(), txn_producers_.back()->number(), input});
    }
    if (random.chance(500'000)) {
        Producer::Setup setup;
        setup.client = client_;
        setup.partitions = txn_partitions_;
        setup.batches = static_cast<uint32_t>(10 + random.below(30));
        setup.interval = world_.between(20ms, 200ms);
        plain_producer_ = std::make_unique<Producer>(std::move(setup));
    }
    txn_readers_.push_back(std::make_unique<TxnReader>(client_, txn_log_, txn_partitions_, false));
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
        setup.session_timeout = is_classic ? world_.between(800ms, 3s) : kConsumerSession;
        setup.rebalance_timeout = world_.between(800ms, 3s);
        if (is_classic) {
            group.members.push_back(std::make_unique<ClassicMember>(std::move(setup)));
        } else {
            group.members.push_back(std::make_unique<ConsumerMember>(std::move(setup)));
        }
    }
}

void Coordination::start() {
    for (Group& group : groups_) {
        for (const auto& member : group.members) {
            member->start();
        }
    }
    for (const auto& producer : txn_producers_) {
        producer->start();
    }
    if (plain_producer_) {
        plain_producer_->start();
    }
    for (const auto& reader : txn_readers_) {
        reader->start();
    }
}

void Coordination::finish() {
    for (Group& group : groups_) {
        for (const auto& member : group.members) {
            member->finish();
        }
    }
    for (const auto& producer : txn_producers_) {
        producer->finish();
    }
}

void Coordination::start_audit() {
    if (!txn_producers_.empty()) {
        audits_.push_back(
            std::make_unique<TxnReader>(client_, txn_log_, txn_partitions_, true, txn_groups_));
        audits_.back()->start();
    }
}

std::string Coordination::audit_left() const {
    return audits_.empty() || audits_.back()->is_done() ? ""
                                                        : "(" + audits_.back()->describe() + ")";
}

void Coordination::stop_audit() {
    if (!audits_.empty()) {
        audits_.back()->stop();
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
    for (const auto& producer : txn_producers_) {
        if (!producer->is_done()) {
            return producer->describe() + " is not done";
        }
    }
    if (plain_producer_ && !plain_producer_->is_done()) {
        return "the producer without transactions is not done";
    }
    return {};
}

} // namespace qtool::sim
