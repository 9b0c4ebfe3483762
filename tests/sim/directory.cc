#include "tests/sim/directory.h"

#include "lib/protocol/msg/metadata.h"

#include <utility>

namespace qtool::sim {

namespace {

constexpr Duration kInterval = 700ms;
constexpr Duration kAnswerMax = 2s;

} // namespace

Directory::Directory(World& world, Network& network, std::vector<std::string> addresses)
    : world_(world),
      addresses_(std::move(addresses)),
      line_(
          world, network, [this] { ask(); },
          [this] {
              line_.set_address(any());
              line_.connect_later(10ms);
          }) {
    line_.stream().set_answer_max(kAnswerMax);
}

void Directory::start() {
    line_.set_address(any());
    line_.connect_later(0ms);
}

std::string Directory::any() {
    return addresses_[world_.random().below(addresses_.size())];
}

std::string Directory::address(int32_t broker) const {
    const auto at = brokers_.find(broker);
    return at == brokers_.end() ? std::string() : at->second;
}

std::string Directory::leader(const std::string& topic, int32_t index) const {
    const auto at = leaders_.find({topic, index});
    return at == leaders_.end() ? std::string() : address(at->second.broker);
}

std::string Directory::former_leader(const std::string& topic, int32_t index) const {
    const auto at = leaders_.find({topic, index});
    return at == leaders_.end() ? std::string() : address(at->second.former);
}

int32_t Directory::leader_epoch(const std::string& topic, int32_t index) const {
    const auto at = leaders_.find({topic, index});
    return at == leaders_.end() ? -1 : at->second.epoch;
}

void Directory::refresh() {
    line_.next_later(world_.between(5ms, 80ms));
}

// Now and then another broker is asked, whose image may be older.
void Directory::ask() {
    if (world_.chance_percent(10)) {
        line_.stream().close();
        line_.set_address(any());
        line_.connect_later(1ms);
        return;
    }
    protocol::MetadataRequest request;
    request.topics.reset(); // all
    constexpr int16_t kVersion = 9;
    line_.stream().ask(request, kVersion, [this](ByteView body) {
        const auto answer = protocol::MetadataResponse::decode(body, kVersion);
        if (!answer) {
            world_.violate("Metadata: " + to_string(answer.error()));
            return;
        }
        for (const auto& broker : answer->brokers) {
            brokers_[broker.node_id] = std::string(broker.host);
        }
        const auto before = std::exchange(leaders_, {});
        for (const auto& topic : answer->topics) {
            for (const auto& partition : topic.partitions) {
                const std::pair key{std::string(topic.name.value_or("")),
                                    partition.partition_index};
                const auto known = before.find(key);
                Leader& leader = leaders_[key];
                if (known != before.end()) {
                    leader = known->second;
                }
                // A broker that is behind names who led before: clients do not go back (KIP-320).
                if (partition.leader_epoch < leader.epoch) {
                    continue;
                }
                if (leader.broker != partition.leader_id && leader.broker >= 0) {
                    leader.former = leader.broker;
                }
                leader.broker = partition.leader_id;
                leader.epoch = partition.leader_epoch;
            }
        }
        line_.next_later(kInterval);
    });
}

} // namespace qtool::sim
