#include "tests/sim/consumer_member.h"

#include "lib/base/assert.h"
#include "lib/base/uuid.h"
#include "lib/protocol/msg/consumer_group_heartbeat.h"
#include "lib/protocol/msg/metadata.h"

#include <algorithm>
#include <set>

namespace qtool::sim {

namespace {

constexpr int32_t kJoin = 0;
constexpr int32_t kLeave = -1;
constexpr int32_t kLeaveForAWhile = -2;

bool contains(const std::vector<uint16_t>& numbers, uint16_t number) {
    return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

} // namespace

ConsumerMember::ConsumerMember(Setup setup) : GroupMember(std::move(setup)) {
    forget();
}

// The next life has another id.
void ConsumerMember::forget() {
    const uint64_t high = world().random().next();
    identity() = {to_string(make_uuid(high, world().random().next())), kJoin};
    assigned_.clear();
    gives_back_ = false;
}

void ConsumerMember::ask_topics() {
    constexpr int16_t kVersion = 12;
    protocol::MetadataRequest request;
    request.allow_auto_topic_creation = false;
    request.topics.emplace();
    for (const PartitionPlace& place : setup().partitions) {
        request.topics->emplace_back().name = place.topic;
    }
    stream().ask(request, kVersion, [this](ByteView body) {
        const auto answer = protocol::MetadataResponse::decode(body, kVersion);
        if (!answer) {
            world().violate("Metadata: an answer that cannot be read");
            return;
        }
        for (const auto& topic : answer->topics) {
            if (topic.error_code == 0 && topic.name) {
                topic_ids_[std::string(*topic.name)] = topic.topic_id;
            }
        }
        next_later(10ms);
    });
}

void ConsumerMember::ask_join() {
    if (std::any_of(setup().partitions.begin(), setup().partitions.end(),
                    [&](const auto& place) { return topic_ids_.count(place.topic) == 0; })) {
        ask_topics();
        return;
    }
    log().on_gone(identity().member_id);
    send(kJoin, true);
}

void ConsumerMember::ask_heartbeat() {
    if (gives_back_ && world().now() >= give_back_due_) {
        give_back();
        send(identity().generation, true);
        return;
    }
    // While it has more than it may, nothing said means that it still has it.
    send(identity().generation, says_all_);
}

void ConsumerMember::give_back() {
    gives_back_ = false;
    take(assigned_, true);
}

void ConsumerMember::send(int32_t epoch, bool says_all) {
    protocol::ConsumerGroupHeartbeatRequest request;
    request.group_id = log().name();
    request.member_id = identity().member_id;
    request.member_epoch = epoch;
    if (!setup().instance_id.empty()) {
        request.instance_id = setup().instance_id;
    }
    std::set<std::string> topics;
    for (const PartitionPlace& place : setup().partitions) {
        topics.insert(place.topic);
    }
    if (says_all) {
        const std::vector<uint16_t> numbers = epoch == kJoin ? std::vector<uint16_t>() : owned();
        if (epoch != kJoin) {
            log().on_kept(identity().member_id, numbers);
        }
        request.rebalance_timeout_ms = static_cast<int32_t>(setup().rebalance_timeout / 1ms);
        request.subscribed_topic_names.emplace();
        request.topic_partitions.emplace();
        for (const std::string& topic : topics) {
            request.subscribed_topic_names->push_back(topic);
            std::vector<int32_t> indexes;
            for (const PartitionPlace& place : setup().partitions) {
                if (place.topic == topic && contains(numbers, place.number)) {
                    indexes.push_back(place.index);
                }
            }
            if (!indexes.empty()) {
                auto& owned_topic = request.topic_partitions->emplace_back();
                owned_topic.topic_id = topic_ids_.at(topic);
                owned_topic.partitions = indexes;
            }
        }
        if (epoch == kJoin && world().chance_percent(50)) {
            request.server_assignor = "range";
        }
    }
    Beat beat;
    beat.sent = world().now();
    beat.epoch = epoch;
    beat.version = world().chance_percent(30) ? int16_t{0} : int16_t{1};
    stream().ask(request, beat.version, [this, beat](ByteView body) { on_beaten(body, beat); });
}

void ConsumerMember::on_beaten(ByteView body, const Beat& beat) {
    const auto answer = protocol::ConsumerGroupHeartbeatResponse::decode(body, beat.version);
    if (!answer) {
        world().violate("ConsumerGroupHeartbeat: an answer that cannot be read");
        return;
    }
    const Verdict verdict = judge("ConsumerGroupHeartbeat", answer->error_code);
    world().trace("beaten", static_cast<uint64_t>(answer->error_code),
                  static_cast<uint64_t>(answer->member_epoch));
    if (verdict != Verdict::fine) {
        set_settled(false);
        if (verdict == Verdict::rejoin) { // fenced: it has nothing any more
            log().on_gone(identity().member_id);
            lose_membership();
            forget();
        } else {
            says_all_ = true; // as Java's: what was decided may have been lost with the answer
        }
        next_later(world().between(5ms, 200ms));
        return;
    }
    if (answer->member_epoch < identity().generation) {
        world().violate("group " + log().name() + ": the epoch of " + identity().member_id +
                        " fell from " + std::to_string(identity().generation) + " to " +
                        std::to_string(answer->member_epoch));
        return;
    }
    says_all_ = false;
    if (beat.epoch == kJoin) {
        take({}, false);
        set_joined(true);
    }
    const bool is_same_epoch = answer->member_epoch == identity().generation;
    identity().generation = answer->member_epoch;
    std::vector<uint16_t> numbers = assigned_;
    if (answer->assignment) {
        numbers.clear();
        for (const auto& topic : answer->assignment->topic_partitions) {
            for (const PartitionPlace& place : setup().partitions) {
                if (topic_ids_.at(place.topic) == topic.topic_id &&
                    std::find(topic.partitions.begin(), topic.partitions.end(), place.index) !=
                        topic.partitions.end()) {
                    numbers.push_back(place.number);
                }
            }
        }
    }
    // It may be let go when it is silent for so long; or when it gives nothing back, and since when
    // it is to, a lost answer may have said: then what it has is not prolonged.
    const std::vector<uint16_t> before = owned();
    const bool is_to_give = std::any_of(
        before.begin(), before.end(), [&](uint16_t number) { return !contains(numbers, number); });
    std::vector<uint16_t> granted;
    std::copy_if(numbers.begin(), numbers.end(), std::back_inserter(granted),
                 [&](uint16_t number) { return !is_to_give || !contains(before, number); });
    log().on_granted(identity().member_id, granted,
                     beat.sent + std::min(setup().session_timeout, setup().rebalance_timeout));
    const bool is_news = numbers != assigned_ || (beat.epoch == kJoin && !numbers.empty());
    if (is_news) {
        on_assignment(numbers);
    }
    set_settled(is_same_epoch && !gives_back_ && !is_news);
    next();
}

void ConsumerMember::on_assignment(const std::vector<uint16_t>& numbers) {
    world().trace("assigned", static_cast<uint64_t>(identity().generation), numbers.size());
    assigned_ = numbers;
    std::vector<uint16_t> all = numbers; // and what is to be given back
    for (const uint16_t number : owned()) {
        if (!contains(all, number)) {
            all.push_back(number);
        }
    }
    gives_back_ = all.size() > numbers.size();
    take(all, true);
    if (gives_back_) {
        give_back_due_ = world().now() +
                         (world().chance_percent(50) ? Duration(0) : world().between(0ms, 600ms));
        heartbeat_soon();
        return;
    }
    says_all_ = true; // what was taken is said at once
    heartbeat_soon();
}

void ConsumerMember::ask_leave() {
    const bool for_a_while = !setup().instance_id.empty() && world().chance_percent(50);
    log().on_gone(identity().member_id);
    protocol::ConsumerGroupHeartbeatRequest request;
    request.group_id = log().name();
    request.member_id = identity().member_id;
    request.member_epoch = for_a_while ? kLeaveForAWhile : kLeave;
    if (!setup().instance_id.empty()) {
        request.instance_id = setup().instance_id;
    }
    constexpr int16_t kVersion = 1;
    lose_membership();
    stream().ask(request, kVersion, [this, for_a_while](ByteView body) {
        const auto answer = protocol::ConsumerGroupHeartbeatResponse::decode(body, kVersion);
        if (!answer) {
            world().violate("ConsumerGroupHeartbeat: an answer that cannot be read");
            return;
        }
        world().trace("left", static_cast<uint64_t>(answer->error_code));
        judge("ConsumerGroupHeartbeat", answer->error_code);
        if (answer->error_code == 0 && !for_a_while) {
            log().on_left(identity().member_id);
        }
        forget();
        next_later(world().between(10ms, 2s));
    });
}

} // namespace qtool::sim
