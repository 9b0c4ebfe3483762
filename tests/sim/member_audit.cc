#include "tests/sim/member_audit.h"

#include "server/metadata/record_codec.h"
#include "tests/sim/replica_audit.h"

#include <algorithm>

namespace qtool::sim {

namespace {

constexpr Duration kInterval = 40ms; // between two partitions

} // namespace

MemberAudit::MemberAudit(const Setup& setup) : setup_(setup), world_(*setup.world) {
    setup_.store->watch(this);
}

MemberAudit::~MemberAudit() {
    setup_.store->unwatch(this);
}

void MemberAudit::start() {
    tick();
}

void MemberAudit::tick() {
    if (!members_.empty()) {
        auto at = members_.upper_bound(next_);
        at = at == members_.end() ? members_.begin() : at;
        next_ = at->first;
        check(next_);
    }
    world_.after(kInterval, [this] { tick(); });
}

void MemberAudit::on_applied(const port::StoreChange& change) {
    for (const port::StoreWrite& write : change.writes) {
        const Result<metadata::Key> key = metadata::parse_key(write.key);
        if (!key) {
            continue;
        }
        if (key->kind == metadata::KeyKind::topic && write.value) {
            if (const auto topic = metadata::decode_topic(write.key, *write.value)) {
                names_[topic->id] = key->topic_name;
            }
        } else if (key->kind == metadata::KeyKind::partition) {
            const Id id{key->topic_id, key->partition};
            members_.erase(id);
            if (!write.value) {
                continue;
            }
            if (const auto partition = metadata::decode_partition(write.key, *write.value)) {
                std::vector<BrokerId>& members = members_[id] = partition->isr;
                members.insert(members.end(), partition->elr.begin(), partition->elr.end());
                print(id, *partition);
                check(id);
            }
        }
    }
}

void MemberAudit::print(const Id& id, const metadata::PartitionImage& partition) const {
    if (!world_.is_printing()) {
        return;
    }
    const auto list = [](const std::vector<BrokerId>& brokers) {
        std::string text;
        for (const BrokerId broker : brokers) {
            text += (text.empty() ? "" : ",") + std::to_string(broker.value());
        }
        return text.empty() ? "-" : text;
    };
    const auto name = names_.find(id.first);
    world_.print("partition " + (name == names_.end() ? to_string(id.first) : name->second) + "-" +
                 std::to_string(id.second) + " leader " + std::to_string(partition.leader.value()) +
                 " epoch " + std::to_string(partition.leader_epoch.value()) + "/" +
                 std::to_string(partition.partition_epoch) + " replicas " +
                 list(partition.replicas) + " isr " + list(partition.isr) + " elr " +
                 list(partition.elr));
}

void MemberAudit::check(const Id& id) {
    const auto name = names_.find(id.first);
    if (name == names_.end() || world_.violation()) {
        return;
    }
    const auto place = std::find_if(
        setup_.partitions->begin(), setup_.partitions->end(), [&](const PartitionPlace& known) {
            return known.topic == name->second && known.index == id.second;
        });
    // Where bits flipped, a member is one until that is found.
    if (place == setup_.partitions->end() || setup_.checker->may_be_rotten(place->number)) {
        return;
    }
    for (const BrokerId broker : members_.at(id)) {
        const Machine* machine = (*setup_.machines)[static_cast<size_t>(broker.value() - 1)].get();
        if (machine->is_serving()) {
            replaced_.erase(machine);
        }
        if (replaced_.count(machine) > 0) {
            continue;
        }
        if (const auto wrong = compare(*place, broker)) {
            world_.violate(place->topic + "-" + std::to_string(place->index) + ": broker " +
                           std::to_string(broker.value()) + " is in sync, but " + *wrong);
            return;
        }
    }
}

std::optional<std::string> MemberAudit::compare(const PartitionPlace& place, BrokerId broker) {
    const std::string who = "broker " + std::to_string(broker.value());
    const Checker::Known expected = setup_.checker->known(place.number);
    const int64_t high = expected.high_watermark;
    Machine& machine = *(*setup_.machines)[static_cast<size_t>(broker.value() - 1)];
    const DurableLog log =
        read_durable(machine.device(), place.topic + "-" + std::to_string(place.index));
    if (log.end < high) {
        return "its disk ends at offset " + std::to_string(log.end) + " and all below " +
               std::to_string(high) + " is committed";
    }
    if (log.start < expected.log_start) { // KIP-107
        return "its log starts at offset " + std::to_string(log.start) + " and all below " +
               std::to_string(expected.log_start) + " was told to be deleted";
    }
    std::map<int64_t, Batch>& committed = committed_[place.number];
    for (const auto& [base, batch] : log.batches) {
        if (batch.last_offset >= high) {
            break;
        }
        if (batch.last_offset < log.start) {
            continue; // deleted, perhaps before it was synced: a file of it may be anything
        }
        const auto above = committed.upper_bound(base);
        const auto known = above == committed.begin() ? committed.end() : std::prev(above);
        if (known == committed.end() || known->second.last_offset < base) {
            committed[base] = {batch.last_offset, batch.crc, who};
        } else if (known->first != base || known->second.crc != batch.crc) {
            return "at offset " + std::to_string(base) + " it has another batch than " +
                   known->second.whose + " had";
        }
    }
    return std::nullopt;
}

} // namespace qtool::sim
