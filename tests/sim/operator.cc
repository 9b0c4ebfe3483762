#include "lib/base/assert.h"
#include "lib/protocol/batch_builder.h"
#include "lib/protocol/kafka_error.h"
#include "lib/protocol/msg/alter_partition_reassignments.h"
#include "lib/protocol/msg/create_topics.h"
#include "lib/protocol/msg/delete_records.h"
#include "lib/protocol/msg/delete_topics.h"
#include "lib/protocol/msg/elect_leaders.h"
#include "lib/protocol/msg/fetch.h"
#include "lib/protocol/msg/metadata.h"
#include "lib/protocol/msg/produce.h"
#include "tests/sim/workload.h"

#include <algorithm>
#include <set>
#include <utility>

namespace qtool::sim {

namespace {

using protocol::KafkaError;

constexpr size_t kChurnCount = 3; // topics that come and go
constexpr int32_t kTimeoutMs = 5000;

} // namespace

Operator::Operator(Client client, std::vector<Topic> topics, std::vector<PartitionPlace> partitions,
                   bool deletes_records)
    : client_(client),
      world_(*client.world),
      line_(
          *client.world, *client.network, [this] { next(); }, [this] { connect_later(); }),
      topics_(std::move(topics)),
      partitions_(std::move(partitions)),
      deletes_records_(deletes_records) {
    for (size_t i = 0; i < kChurnCount; i++) {
        churns_.emplace_back().name = "churn" + std::to_string(i);
    }
}

void Operator::start() {
    if (client_.directory != nullptr) {
        line_.set_address(client_.directory->any());
    }
    line_.connect_later(0ms);
}

void Operator::connect_later() {
    if (client_.directory != nullptr) {
        wanted_ = nullptr;
        client_.directory->refresh();
        line_.set_address(client_.directory->any());
        if (std::any_of(churns_.begin(), churns_.end(),
                        [](const Churn& c) { return c.in_doubt; })) {
            // Whoever was asked may still do it: when its store answers again, on what is there
            // then.
            line_.connect_later(std::chrono::milliseconds(kTimeoutMs));
            return;
        }
    }
    line_.connect_later(50ms);
}

void Operator::at_leader(const std::string& topic, int32_t index, std::function<void()> step) {
    if (client_.directory == nullptr) {
        step();
        return;
    }
    const std::string leader = client_.directory->leader(topic, index);
    if (leader == line_.address()) {
        step();
    } else if (leader.empty()) {
        client_.directory->refresh();
        line_.next_later(world_.between(5ms, 200ms));
    } else {
        wanted_ = std::move(step);
        line_.stream().close();
        line_.set_address(leader);
        line_.connect_later(1ms);
    }
}

void Operator::at_other(std::function<void()> step) {
    std::string other = client_.directory->any();
    while (other == line_.address()) {
        other = client_.directory->any();
    }
    wanted_ = std::move(step);
    line_.stream().close();
    line_.set_address(std::move(other));
    line_.connect_later(1ms, 5ms);
}

bool Operator::try_elsewhere(int16_t error_code) {
    if (is_retriable(error_code) && client_.directory != nullptr) {
        client_.directory->refresh();
    }
    return is_retriable(error_code);
}

// A change in doubt is asked for again before anything else, until its answer comes.
void Operator::next() {
    if (wanted_) {
        std::exchange(wanted_, nullptr)();
        return;
    }
    if (!has_topics()) {
        ask_create(topics_[created_], [this](bool) {
            created_++;
            line_.next_later(world_.between(5ms, has_topics() ? 700ms : 20ms));
        });
        return;
    }
    const auto doubt = std::find_if(churns_.begin(), churns_.end(),
                                    [](const Churn& churn) { return churn.in_doubt; });
    Churn& churn = doubt != churns_.end() ? *doubt : churns_[world_.random().below(churns_.size())];
    if (finishing_ && !churn.in_doubt) {
        const auto unread = std::find_if(churns_.begin(), churns_.end(), [](const Churn& c) {
            return c.has_records && !c.is_checked;
        });
        if (unread != churns_.end()) {
            at_leader(unread->name, 0, [this, &churn = *unread] { ask_read(churn); });
        } else if (!verified_) {
            ask_metadata();
        }
        return;
    }
    if (!churn.in_doubt && deletes_records_ && world_.chance_percent(30)) {
        const PartitionPlace& place = partitions_[world_.random().below(partitions_.size())];
        at_leader(place.topic, place.index, [this, &place] { ask_delete_records(place); });
        return;
    }
    if (!churn.in_doubt && brokers_ > 1 && world_.chance_percent(20)) {
        world_.chance_percent(70) ? ask_reassign() : ask_elect();
        return;
    }
    if (churn.is_there && !churn.has_records && !churn.in_doubt) {
        at_leader(churn.name, 0, [this, &churn] { ask_write(churn); });
        return;
    }
    if (churn.is_there && !churn.in_doubt && world_.chance_percent(50)) {
        at_leader(churn.name, 0, [this, &churn] { ask_read(churn); });
        return;
    }
    ask_change(churn);
}

// Whoever is asked knows of every change that anybody has acknowledged, though the store may not
// have told him yet.
void Operator::next_after_change(Churn& churn) {
    if (changes_broker_ && !finishing_ && client_.directory->addresses().size() > 1 &&
        world_.chance_percent(50)) {
        at_other([this, &churn] { ask_change(churn); });
    } else {
        line_.next_later(world_.between(5ms, 700ms));
    }
}

void Operator::ask_change(Churn& churn) {
    if (!churn.is_there && !churn.in_doubt) {
        churn.generation++;
    }
    churn.in_doubt = true;
    churn.tries++;
    if (churn.is_there) {
        ask_delete(churn);
    } else {
        ask_create(Topic{churn.name, 2, {}, churn_replication_factor_}, [this, &churn](bool was) {
            if (was && churn.tries == 1) {
                world_.violate("CreateTopics " + churn.name + ": it exists, but was deleted");
            }
            churn.is_there = true;
            churn.in_doubt = false;
            churn.tries = 0;
            next_after_change(churn);
        });
    }
}

void Operator::ask_create(const Topic& topic, std::function<void(bool was_there)> on_done) {
    protocol::CreateTopicsRequest request;
    request.timeout_ms = kTimeoutMs;
    auto& item = request.topics.emplace_back();
    item.name = topic.name;
    item.num_partitions = topic.partitions;
    item.replication_factor = topic.replication_factor;
    for (const auto& [name, value] : topic.configs) {
        auto& config = item.configs.emplace_back();
        config.name = name;
        config.value = value;
    }
    constexpr int16_t kVersion = 5;
    line_.stream().ask(
        request, kVersion, [this, name = topic.name, on_done = std::move(on_done)](ByteView body) {
            const auto answer = protocol::CreateTopicsResponse::decode(body, kVersion);
            if (!answer || answer->topics.size() != 1) {
                world_.violate("CreateTopics: an answer that cannot be read");
                return;
            }
            const int16_t error = answer->topics[0].error_code;
            world_.trace("created", static_cast<uint64_t>(error));
            // Not enough brokers live: somebody comes back.
            const bool is_short =
                client_.directory != nullptr &&
                error == static_cast<int16_t>(KafkaError::invalid_replication_factor);
            if (error == 0 || error == static_cast<int16_t>(KafkaError::topic_already_exists)) {
                on_done(error != 0);
            } else if (is_retriable(error) || is_short) {
                line_.next_later(world_.between(5ms, has_topics() ? 700ms : 20ms));
            } else {
                world_.violate("CreateTopics " + name + ": error " + std::to_string(error));
            }
        });
}

void Operator::ask_delete(Churn& churn) {
    protocol::DeleteTopicsRequest request;
    request.timeout_ms = kTimeoutMs;
    request.topic_names.emplace_back(churn.name);
    constexpr int16_t kVersion = 5;
    line_.stream().ask(request, kVersion, [this, &churn](ByteView body) {
        const auto answer = protocol::DeleteTopicsResponse::decode(body, kVersion);
        if (!answer || answer->responses.size() != 1) {
            world_.violate("DeleteTopics: an answer that cannot be read");
            return;
        }
        const int16_t error = answer->responses[0].error_code;
        world_.trace("deleted", static_cast<uint64_t>(error));
        if (error == 0 || error == static_cast<int16_t>(KafkaError::unknown_topic_or_partition)) {
            // Whoever is asked knows of every change that anybody has acknowledged.
            if (error != 0 && churn.tries == 1) {
                world_.violate("DeleteTopics " + churn.name + ": it is not there, but was created");
            }
            churn.tries = 0;
            churn.is_there = false;
            churn.in_doubt = false;
            churn.has_records = false;
            next_after_change(churn);
        } else if (is_retriable(error)) {
            line_.next_later(world_.between(5ms, 700ms));
        } else {
            world_.violate("DeleteTopics " + churn.name + ": error " + std::to_string(error));
        }
    });
}

// ---- replicas -----------------------------------------------------------------------------------

// Somewhere else, as many replicas as it has; the one that is under way may be given up.
void Operator::ask_reassign() {
    Prng& random = world_.random();
    const size_t number = random.below(partitions_.size());
    const PartitionPlace& place = partitions_[number];
    const auto topic = std::find_if(topics_.begin(), topics_.end(),
                                    [&](const Topic& t) { return t.name == place.topic; });
    protocol::AlterPartitionReassignmentsRequest request;
    request.timeout_ms = kTimeoutMs;
    auto& asked = request.topics.emplace_back();
    asked.name = place.topic;
    auto& partition = asked.partitions.emplace_back();
    partition.partition_index = place.index;
    partition.replicas.reset();
    if (topic != topics_.end() && random.chance(800'000)) {
        std::vector<int32_t> brokers;
        for (int32_t id = 1; id <= brokers_; id++) {
            brokers.push_back(id);
        }
        for (size_t i = brokers.size(); i > 1; i--) {
            std::swap(brokers[i - 1], brokers[random.below(i)]);
        }
        brokers.resize(static_cast<size_t>(topic->replication_factor));
        partition.replicas = std::move(brokers);
    }
    constexpr int16_t kVersion = 0;
    line_.stream().ask(request, kVersion, [this](ByteView body) {
        const auto answer = protocol::AlterPartitionReassignmentsResponse::decode(body, kVersion);
        if (!answer) {
            world_.violate("AlterPartitionReassignments: an answer that cannot be read");
            return;
        }
        if (answer->error_code == 0 && answer->responses.size() == 1) {
            const int16_t error = answer->responses[0].partitions.at(0).error_code;
            world_.trace("reassigned", static_cast<uint64_t>(error));
            if (error == 0) {
                world_.hit(Fault::reassignment);
            }
        }
        line_.next_later(world_.between(5ms, 700ms));
    });
}

void Operator::ask_elect() {
    protocol::ElectLeadersRequest request;
    request.election_type = 0; // preferred
    request.topic_partitions.reset();
    request.timeout_ms = kTimeoutMs;
    constexpr int16_t kVersion = 2;
    line_.stream().ask(request, kVersion, [this](ByteView body) {
        const auto answer = protocol::ElectLeadersResponse::decode(body, kVersion);
        if (!answer) {
            world_.violate("ElectLeaders: an answer that cannot be read");
            return;
        }
        world_.trace("elected", static_cast<uint64_t>(answer->error_code));
        line_.next_later(world_.between(5ms, 700ms));
    });
}

// ---- records of its own topics ------------------------------------------------------------------

Value Operator::value_of(const Churn& churn) {
    return (Value{0xffff} << 48) | (Value{static_cast<uint8_t>(churn.name.back())} << 32) |
           churn.generation;
}

void Operator::ask_write(Churn& churn) {
    protocol::BatchBuilder builder;
    const std::vector<std::byte> value = value_bytes(value_of(churn), 100);
    const auto timestamp = static_cast<int64_t>(
        1'790'000'000'000 + world_.now().time_since_epoch() / std::chrono::milliseconds(1));
    QT_ASSERT(builder.append({}, ByteView(value), {}, timestamp).has_value());
    const Result<std::vector<std::byte>> batch = builder.finish({});
    QT_ASSERT(batch.has_value());
    protocol::ProduceRequest request;
    request.acks = -1;
    request.timeout_ms = kTimeoutMs;
    auto& topic = request.topic_data.emplace_back();
    topic.name = churn.name;
    auto& data = topic.partition_data.emplace_back();
    data.records = protocol::RecordsRef{*batch, 0};
    constexpr int16_t kVersion = 9;
    line_.stream().ask(request, kVersion, [this, &churn](ByteView body) {
        const auto answer = protocol::ProduceResponse::decode(body, kVersion);
        if (!answer || answer->responses.size() != 1 ||
            answer->responses[0].partition_responses.size() != 1) {
            world_.violate("Produce: an answer that cannot be read");
            return;
        }
        const int16_t error = answer->responses[0].partition_responses[0].error_code;
        if (error == 0) {
            churn.has_records = true;
        } else if (!try_elsewhere(error)) {
            world_.violate("Produce to " + churn.name + ": error " + std::to_string(error));
            return;
        }
        line_.next_later(world_.between(5ms, 200ms));
    });
}

void Operator::ask_read(Churn& churn) {
    protocol::FetchRequest request;
    auto& topic = request.topics.emplace_back();
    topic.topic = churn.name;
    topic.partitions.emplace_back().partition_max_bytes = 1'000'000;
    constexpr int16_t kVersion = 12;
    line_.stream().ask(request, kVersion, [this, &churn](ByteView body) {
        const auto answer = protocol::FetchResponse::decode(body, kVersion);
        if (!answer || answer->responses.size() != 1 ||
            answer->responses[0].partitions.size() != 1) {
            world_.violate("Fetch: an answer that cannot be read");
            return;
        }
        const auto& partition = answer->responses[0].partitions[0];
        if (partition.error_code == 0) {
            const ByteView records = partition.records.value_or(protocol::RecordsRef{});
            if (!records.empty() || !asks_again()) { // a new leader's high watermark may be older
                check_records(churn, records);
                churn.is_checked = true;
            }
        } else if (!try_elsewhere(partition.error_code)) {
            world_.violate("Fetch of " + churn.name + ": error " +
                           std::to_string(partition.error_code));
            return;
        }
        line_.next_later(world_.between(5ms, 200ms));
    });
}

bool Operator::asks_again() {
    constexpr uint32_t kDoubtsMax = 200;
    return client_.directory != nullptr && ++doubts_ < kDoubtsMax;
}

// A write that was retried may be there more than once.
void Operator::check_records(Churn& churn, ByteView records) {
    uint32_t count = 0;
    protocol::BatchWalker walker(records);
    for (;;) {
        const auto batch = walker.next();
        if (!batch || *batch == nullptr) {
            break;
        }
        auto opened = protocol::BatchRecords::open(**batch, 1'000'000);
        while (const protocol::ConsumedRecord* record = opened ? opened->next() : nullptr) {
            const Result<Value> value = record->record.value
                                            ? read_value(*record->record.value)
                                            : Result<Value>(Error(Code::malformed, "null"));
            if (!value || *value != value_of(churn)) {
                world_.violate("topic " + churn.name + " holds what was not written to it: " +
                               (value ? to_text(*value) : value.error().detail));
                return;
            }
            count++;
        }
    }
    if (count == 0) {
        world_.violate("topic " + churn.name + " lost an acknowledged record");
    }
}

// ---- the rest -----------------------------------------------------------------------------------

void Operator::ask_delete_records(const PartitionPlace& place) {
    const int64_t high_watermark = client_.checker->known(place.number).high_watermark;
    // The latest ones are those of which a new leader may not know yet that they are committed.
    const bool is_late = client_.directory != nullptr && world_.chance_percent(30);
    const int64_t offset = world_.random().between(
        is_late ? std::max<int64_t>(0, high_watermark - 10) : 0, high_watermark);
    client_.checker->on_delete_asked(place.number, offset);
    protocol::DeleteRecordsRequest request;
    request.timeout_ms = kTimeoutMs;
    auto& topic = request.topics.emplace_back();
    topic.name = place.topic;
    auto& partition = topic.partitions.emplace_back();
    partition.partition_index = place.index;
    partition.offset = offset;
    constexpr int16_t kVersion = 2;
    line_.stream().ask(request, kVersion, [this, offset, number = place.number](ByteView body) {
        const auto answer = protocol::DeleteRecordsResponse::decode(body, kVersion);
        if (!answer || answer->topics.size() != 1 || answer->topics[0].partitions.size() != 1) {
            world_.violate("DeleteRecords: an answer that cannot be read");
            return;
        }
        const auto& result = answer->topics[0].partitions[0];
        if (result.error_code == 0) {
            if (result.low_watermark < offset) {
                world_.violate("DeleteRecords up to " + std::to_string(offset) +
                               " left the log start at " + std::to_string(result.low_watermark));
            }
            client_.checker->on_delete_done(number, result.low_watermark);
        } else if (!try_elsewhere(result.error_code)) {
            world_.violate("DeleteRecords: error " + std::to_string(result.error_code));
            return;
        }
        line_.next_later(world_.between(5ms, 700ms));
    });
}

void Operator::ask_metadata() {
    protocol::MetadataRequest request;
    request.topics.reset(); // all
    constexpr int16_t kVersion = 9;
    line_.stream().ask(request, kVersion, [this](ByteView body) {
        const auto answer = protocol::MetadataResponse::decode(body, kVersion);
        if (!answer) {
            world_.violate("Metadata: " + to_string(answer.error()));
            return;
        }
        std::set<std::string> there;
        for (const auto& topic : answer->topics) {
            if (topic.error_code != 0 || topic.partitions.empty()) {
                line_.next_later(100ms);
                return;
            }
            there.emplace(topic.name.value_or(""));
        }
        for (const Topic& topic : topics_) {
            if (there.count(topic.name) == 0) {
                if (asks_again()) {
                    line_.next_later(100ms);
                    return;
                }
                world_.violate("topic " + topic.name + " was created and is gone");
            }
        }
        for (const Churn& churn : churns_) {
            if ((there.count(churn.name) > 0) != churn.is_there) {
                if (asks_again()) {
                    line_.next_later(100ms);
                    return;
                }
                world_.violate(
                    "topic " + churn.name +
                    (churn.is_there ? " was created and is gone" : " was deleted and is back"));
            }
        }
        verified_ = true;
    });
}

} // namespace qtool::sim
