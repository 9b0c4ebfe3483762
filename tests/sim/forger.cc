#include "tests/sim/forger.h"

#include "server/replica/fetcher.h"

#include <utility>

namespace qtool::sim {

namespace {

constexpr int64_t kAheadMax = 20; // of what is known to be committed

} // namespace

Forger::Forger(Client client, std::vector<PartitionPlace> partitions, int32_t brokers)
    : client_(client),
      world_(*client.world),
      lines_(
          client, [this](ClientLine& line) { next(line); }, [](ClientLine&) {}),
      partitions_(std::move(partitions)),
      brokers_(brokers) {}

void Forger::start() {
    tick();
}

void Forger::tick() {
    for (const PartitionPlace& place : partitions_) {
        ClientLine* const line = lines_.to_leader(place);
        if (line != nullptr && !line->is_open()) {
            line->connect_later(5ms);
        } else if (line != nullptr && line->is_idle()) {
            line->next_later(world_.between(0ms, 50ms));
        }
    }
    world_.after(world_.between(50ms, 300ms), [this] { tick(); });
}

void Forger::name_old_epochs(metadata::ImageRef image, LatestImage latest) {
    is_naming_ = true;
    image_ = std::move(image);
    latest_ = std::move(latest);
}

// A new leader may not know the epoch of one that is gone.
bool Forger::lives_on(BrokerId broker) const {
    if (!image_) {
        return false;
    }
    const metadata::BrokerImage* known = image_->find_broker(broker);
    const metadata::ImageRef latest = latest_();
    const metadata::BrokerImage* now = latest->find_broker(broker);
    return known != nullptr && known->is_live() && now != nullptr && now->epoch == known->epoch;
}

void Forger::next(ClientLine& line) {
    if (!is_naming_) {
        ask_without_epoch(line);
    } else if (image_) {
        ask_with_old_epoch(line);
    }
}

void Forger::ask_with_old_epoch(ClientLine& line) {
    const BrokerId victim(
        static_cast<int32_t>(1 + world_.random().below(static_cast<uint64_t>(brokers_))));
    if (!lives_on(victim)) {
        return;
    }
    protocol::FetchRequest request;
    request.replica_state.replica_id = victim.value();
    request.replica_state.replica_epoch = image_->find_broker(victim)->epoch.value() - 1;
    request.max_bytes = 1000;
    request.session_epoch = -1;
    for (const PartitionPlace& place : partitions_) {
        const metadata::TopicImage* named = image_->topic(place.topic);
        if (named == nullptr || lines_.to_leader(place) != &line) {
            continue;
        }
        auto& topic = request.topics.emplace_back();
        topic.topic_id = named->id;
        auto& partition = topic.partitions.emplace_back();
        partition.partition = place.index;
        partition.fetch_offset = client_.checker->known(place.number).high_watermark;
        partition.partition_max_bytes = 1000;
    }
    ask(line, request, replica::kReplicaFetchVersion, [this, victim](const std::string&) {
        if (lives_on(victim)) {
            world_.violate("a fetch in the name of broker " + std::to_string(victim.value()) +
                           " was answered, though it named an epoch that is over");
        }
    });
}

void Forger::ask_without_epoch(ClientLine& line) {
    protocol::FetchRequest request;
    request.replica_id =
        static_cast<int32_t>(1 + world_.random().below(static_cast<uint64_t>(brokers_)));
    request.max_bytes = 1000;
    for (const PartitionPlace& place : partitions_) {
        if (lines_.to_leader(place) != &line) {
            continue;
        }
        auto& topic = request.topics.emplace_back();
        topic.topic = place.topic;
        auto& partition = topic.partitions.emplace_back();
        partition.partition = place.index;
        partition.fetch_offset = client_.checker->known(place.number).high_watermark +
                                 world_.random().between(0, kAheadMax);
        partition.partition_max_bytes = 1000;
    }
    constexpr int16_t kVersion = 12; // the last one that need not name a broker epoch and names
    ask(line, request, kVersion, [this](const std::string& partition) {
        world_.violate(partition + ": a fetch in the name of a replica was answered, though it did "
                                   "not name that broker's epoch");
    });
}

void Forger::ask(ClientLine& line, const protocol::FetchRequest& request, int16_t version,
                 std::function<void(const std::string& partition)> on_served) {
    auto on_answer = [this, version, on_served = std::move(on_served)](ByteView body) {
        const auto answer = protocol::FetchResponse::decode(body, version);
        if (!answer) {
            world_.violate("Fetch of a forger: an answer that cannot be read");
            return;
        }
        for (const auto& topic : answer->responses) {
            for (const auto& partition : topic.partitions) {
                if (partition.error_code == 0) {
                    on_served(std::string(topic.topic) + "-" +
                              std::to_string(partition.partition_index));
                    return;
                }
            }
        }
    };
    line.stream().ask(request, version, std::move(on_answer));
}

} // namespace qtool::sim
