#include "tests/sim/group_member.h"

#include "lib/base/assert.h"
#include "lib/protocol/kafka_error.h"
#include "lib/protocol/msg/fetch.h"
#include "lib/protocol/msg/find_coordinator.h"
#include "lib/protocol/msg/offset_commit.h"
#include "lib/protocol/msg/offset_fetch.h"
#include "lib/protocol/record_batch.h"

#include <algorithm>

namespace qtool::sim {

namespace {

using protocol::KafkaError;

constexpr int16_t kMemberEpochFrom = 9; // of OffsetCommit and OffsetFetch
constexpr int16_t kGroupsFrom = 8;      // of OffsetFetch

} // namespace

GroupMember::GroupMember(Setup setup)
    : setup_(std::move(setup)),
      world_(*setup_.client.world),
      line_(
          *setup_.client.world, *setup_.client.network, [this] { next(); }, [this] { on_end(); }) {}

void GroupMember::start() {
    if (setup_.client.directory != nullptr) {
        line_.set_address(setup_.client.directory->any());
    }
    line_.connect_later(world_.between(0ms, 2s));
    live();
}

void GroupMember::on_end() {
    is_settled_ = false;
    is_leaving_ = false;
    has_coordinator_ = false;
    on_reconnect();
    if (setup_.client.directory != nullptr) {
        line_.set_address(setup_.client.directory->any());
    }
    line_.connect_later(50ms);
}

// Life and death, for as long as faults happen.
void GroupMember::live() {
    if (finishing_) {
        return;
    }
    world_.after(world_.between(200ms, 2s), [this] {
        if (finishing_) {
            return;
        }
        if (world_.chance_percent(25)) {
            crash();
        } else if (world_.chance_percent(15)) {
            is_leaving_ = is_joined_;
        }
        live();
    });
}

void GroupMember::crash() {
    world_.trace("member_crash");
    leave_ghost();
    line_.stream().close();
    forget();
    lose_membership();
    has_coordinator_ = false;
    is_leaving_ = false;
    line_.connect_later(world_.between(10ms, 3s));
}

// What the member had read and not committed.
void GroupMember::leave_ghost() {
    if (!is_joined_ || lanes_.empty() || ghost_ || !world_.chance_percent(50)) {
        return;
    }
    const auto lane =
        std::next(lanes_.begin(), static_cast<ptrdiff_t>(world_.random().below(lanes_.size())));
    if (lane->second.position >= 0) {
        ghost_ = Ghost{identity_, setup_.instance_id, lane->first, lane->second.position,
                       world_.now() + world_.between(0ms, 6s)};
    }
}

void GroupMember::lose_membership() {
    is_joined_ = false;
    is_settled_ = false;
    lanes_.clear();
}

void GroupMember::take(const std::vector<uint16_t>& numbers, bool keeps_positions) {
    std::map<uint16_t, Lane> lanes;
    for (const uint16_t number : numbers) {
        const auto before = lanes_.find(number);
        lanes[number] = keeps_positions && before != lanes_.end() ? before->second : Lane{};
    }
    lanes_ = std::move(lanes);
    drop_own_ghost();
}

// The same life goes on, also when a leave was not heard: it would commit backwards itself.
void GroupMember::drop_own_ghost() {
    if (ghost_ && ghost_->identity.member_id == identity_.member_id &&
        ghost_->identity.generation == identity_.generation) {
        ghost_.reset();
    }
}

std::vector<uint16_t> GroupMember::owned() const {
    std::vector<uint16_t> numbers;
    for (const auto& [number, lane] : lanes_) {
        numbers.push_back(number);
    }
    return numbers;
}

std::optional<uint16_t> GroupMember::number_of(std::string_view topic, int32_t index) const {
    for (const PartitionPlace& place : setup_.partitions) {
        if (place.topic == topic && place.index == index) {
            return place.number;
        }
    }
    return std::nullopt;
}

const PartitionPlace* GroupMember::place_of(uint16_t number) const {
    const auto at = std::find_if(setup_.partitions.begin(), setup_.partitions.end(),
                                 [&](const PartitionPlace& p) { return p.number == number; });
    return at == setup_.partitions.end() ? nullptr : &*at;
}

GroupMember::Verdict GroupMember::judge(const char* api, int16_t error_code) {
    if (error_code == static_cast<int16_t>(KafkaError::not_coordinator)) {
        has_coordinator_ = setup_.client.directory == nullptr; // else it may have moved
    }
    switch (static_cast<KafkaError>(error_code)) {
    case KafkaError::none:
        return Verdict::fine;
    case KafkaError::coordinator_load_in_progress:
    case KafkaError::coordinator_not_available:
    case KafkaError::not_coordinator:
    case KafkaError::request_timed_out:
    case KafkaError::rebalance_in_progress:
    case KafkaError::unstable_offset_commit:
    case KafkaError::unreleased_instance_id:
    case KafkaError::stale_member_epoch:
        return Verdict::retry;
    case KafkaError::unknown_member_id:
    case KafkaError::illegal_generation:
    case KafkaError::fenced_instance_id:
    case KafkaError::fenced_member_epoch:
    case KafkaError::group_id_not_found:
        return Verdict::rejoin;
    default:
        if (is_retriable(error_code)) {
            return Verdict::retry;
        }
        world_.violate("group " + log().name() + ": " + api + " error " +
                       std::to_string(error_code));
        return Verdict::unexpected;
    }
}

void GroupMember::next() {
    if (!line_.is_idle()) {
        return;
    }
    if (!has_coordinator_) {
        ask_coordinator();
        return;
    }
    if (is_joined_) {
        drop_own_ghost();
    }
    if (ghost_ && world_.now() >= ghost_->due) {
        const Ghost ghost = *std::exchange(ghost_, std::nullopt);
        send_commit(ghost.identity, ghost.instance_id, {{ghost.partition, ghost.offset}}, true);
        return;
    }
    if (!is_joined_) {
        ask_join();
        return;
    }
    if (is_leaving_) {
        is_leaving_ = false;
        leave_ghost();
        ask_leave();
        return;
    }
    if (world_.now() >= heartbeat_due_) {
        heartbeat_due_ = world_.now() + setup_.session_timeout / 5;
        ask_heartbeat();
        return;
    }
    if (std::any_of(lanes_.begin(), lanes_.end(),
                    [](const auto& entry) { return entry.second.position < 0; })) {
        ask_offsets();
        return;
    }
    if (world_.now() >= commit_due_ && ask_commit()) {
        return;
    }
    if (lanes_.empty()) {
        next_later(heartbeat_due_ - world_.now() + 1ms);
        return;
    }
    ask_fetch();
}

void GroupMember::ask_coordinator() {
    constexpr int16_t kVersion = 4;
    protocol::FindCoordinatorRequest request;
    request.key_type = 0;
    request.coordinator_keys.push_back(log().name());
    line_.stream().ask(request, kVersion, [this](ByteView body) {
        const auto answer = protocol::FindCoordinatorResponse::decode(body, kVersion);
        if (!answer || answer->coordinators.size() != 1) {
            world_.violate("FindCoordinator: an answer that cannot be read");
            return;
        }
        const auto& found = answer->coordinators[0];
        has_coordinator_ = judge("FindCoordinator", found.error_code) == Verdict::fine;
        if (has_coordinator_ && setup_.client.directory != nullptr &&
            found.host != line_.address()) {
            line_.stream().close();
            line_.set_address(std::string(found.host));
            on_reconnect();
            line_.connect_later(1ms);
            return;
        }
        has_coordinator_ ? next() : next_later(100ms);
    });
}

// ---- offsets ------------------------------------------------------------------------------------

void GroupMember::ask_offsets() {
    const auto version =
        static_cast<int16_t>(is_classic() ? world_.random().between(5, 9) : kMemberEpochFrom);
    protocol::OffsetFetchRequest request;
    request.require_stable = world_.chance_percent(50);
    protocol::OffsetFetchRequest::OffsetFetchRequestGroup group;
    group.group_id = log().name();
    if (version >= kMemberEpochFrom && !is_classic()) {
        group.member_id = identity_.member_id;
        group.member_epoch = identity_.generation;
    }
    group.topics.emplace();
    request.group_id = log().name();
    request.topics.emplace();
    for (const auto& [number, lane] : lanes_) {
        if (lane.position < 0) {
            const PartitionPlace& place = *place_of(number);
            auto& topic = group.topics->emplace_back();
            topic.name = place.topic;
            topic.partition_indexes.push_back(place.index);
            auto& old = request.topics->emplace_back();
            old.name = place.topic;
            old.partition_indexes.push_back(place.index);
        }
    }
    if (version < 7) {
        request.require_stable = false;
    }
    if (version >= kGroupsFrom) {
        request.group_id = {};
        request.topics.emplace();
        request.groups.push_back(std::move(group));
    }
    line_.stream().ask(request, version, [this, version, asked = log().moment()](ByteView body) {
        on_offsets(body, version, asked);
    });
}

void GroupMember::on_offsets(ByteView body, int16_t version, uint64_t asked) {
    const auto answer = protocol::OffsetFetchResponse::decode(body, version);
    if (!answer || (version >= kGroupsFrom && answer->groups.size() != 1)) {
        world_.violate("OffsetFetch: an answer that cannot be read");
        return;
    }
    Verdict worst = judge("OffsetFetch", version >= kGroupsFrom ? answer->groups[0].error_code
                                                                : answer->error_code);
    const auto take_one = [&](std::string_view name, const auto& partition) {
        const auto number = number_of(name, partition.partition_index);
        const Verdict verdict = judge("OffsetFetch", partition.error_code);
        if (!number || verdict != Verdict::fine) {
            worst = std::max(worst, verdict);
            return;
        }
        log().on_fetched(*number, asked, partition.committed_offset,
                         partition.metadata.value_or(""));
        if (const auto lane = lanes_.find(*number); lane != lanes_.end()) {
            lane->second.committed = partition.committed_offset;
            lane->second.position = partition.committed_offset < 0
                                        ? setup_.client.checker->known(*number).log_start
                                        : partition.committed_offset;
        }
    };
    if (worst == Verdict::fine && version >= kGroupsFrom) {
        for (const auto& topic : answer->groups[0].topics) {
            for (const auto& partition : topic.partitions) {
                take_one(topic.name, partition);
            }
        }
    } else if (worst == Verdict::fine) {
        for (const auto& topic : answer->topics) {
            for (const auto& partition : topic.partitions) {
                take_one(topic.name, partition);
            }
        }
    }
    if (worst == Verdict::rejoin) {
        forget();
        lose_membership();
    }
    worst == Verdict::fine ? next() : next_later(world_.between(10ms, 100ms));
}

bool GroupMember::ask_commit() {
    commit_due_ = world_.now() + world_.between(20ms, 400ms);
    std::vector<std::pair<uint16_t, int64_t>> offsets;
    for (const auto& [number, lane] : lanes_) {
        if (lane.position > lane.committed) {
            offsets.emplace_back(number, lane.position);
        }
    }
    if (offsets.empty()) {
        return false;
    }
    send_commit(identity_, setup_.instance_id, offsets, false);
    return true;
}

void GroupMember::send_commit(const Identity& who, const std::string& instance_id,
                              const std::vector<std::pair<uint16_t, int64_t>>& offsets,
                              bool is_ghost) {
    const auto version =
        static_cast<int16_t>(is_classic() ? world_.random().between(7, 9) : kMemberEpochFrom);
    protocol::OffsetCommitRequest request;
    request.group_id = log().name();
    request.member_id = who.member_id;
    request.generation_id_or_member_epoch = who.generation;
    if (!instance_id.empty()) {
        request.group_instance_id = instance_id;
    }
    std::map<uint16_t, uint64_t> commits;
    std::map<uint16_t, std::string> texts; // that the request has views of
    for (const auto& [number, offset] : offsets) {
        const uint64_t commit =
            log().on_commit_sent(number, offset, is_classic() ? who.generation : -1, who.member_id);
        commits[number] = commit;
        texts[number] = std::to_string(commit);
        const PartitionPlace& place = *place_of(number);
        auto& topic = request.topics.emplace_back();
        topic.name = place.topic;
        auto& partition = topic.partitions.emplace_back();
        partition.partition_index = place.index;
        partition.committed_offset = offset;
        partition.committed_metadata = texts[number];
    }
    line_.stream().ask(
        request, version, [this, version, commits, offsets, is_ghost](ByteView body) {
            const auto answer = protocol::OffsetCommitResponse::decode(body, version);
            if (!answer) {
                world_.violate("OffsetCommit: an answer that cannot be read");
                return;
            }
            Verdict worst = Verdict::fine;
            for (const auto& topic : answer->topics) {
                for (const auto& partition : topic.partitions) {
                    const auto number = number_of(topic.name, partition.partition_index);
                    const Verdict verdict = judge("OffsetCommit", partition.error_code);
                    worst = std::max(worst, verdict);
                    world_.trace("committed", number.value_or(0),
                                 static_cast<uint64_t>(partition.error_code));
                    if (!number || verdict != Verdict::fine || commits.count(*number) == 0) {
                        continue;
                    }
                    log().on_commit_done(commits.at(*number));
                    const auto lane = lanes_.find(*number);
                    if (lane != lanes_.end() && !is_ghost) {
                        lane->second.committed =
                            std::find_if(offsets.begin(), offsets.end(), [&](const auto& o) {
                                return o.first == *number;
                            })->second;
                    }
                }
            }
            if (worst == Verdict::rejoin && !is_ghost) {
                forget();
                lose_membership();
            }
            if (worst == Verdict::retry) {
                heartbeat_soon();
            }
            worst == Verdict::fine ? next() : next_later(world_.between(5ms, 100ms));
        });
}

// ---- records ------------------------------------------------------------------------------------

// What is in the records is the readers' to check: here it is how far they go.
void GroupMember::ask_fetch() {
    if (setup_.client.directory != nullptr) { // the leaders are elsewhere: it reads in its mind
        for (auto& [number, lane] : lanes_) {
            const int64_t end = setup_.client.checker->known(number).high_watermark;
            lane.position +=
                end > lane.position ? world_.random().between(0, end - lane.position) : 0;
        }
        next_later(world_.between(5ms, 100ms));
        return;
    }
    constexpr int16_t kVersion = 11;
    protocol::FetchRequest request;
    const int64_t wait = std::chrono::duration_cast<std::chrono::milliseconds>(
                             std::max<Duration>(heartbeat_due_ - world_.now(), 1ms))
                             .count();
    request.max_wait_ms = static_cast<int32_t>(std::min<int64_t>(wait, 250));
    request.min_bytes = 1;
    request.max_bytes = 100'000;
    for (const auto& [number, lane] : lanes_) {
        const PartitionPlace& place = *place_of(number);
        auto& topic = request.topics.emplace_back();
        topic.topic = place.topic;
        auto& partition = topic.partitions.emplace_back();
        partition.partition = place.index;
        partition.fetch_offset = lane.position;
        partition.partition_max_bytes = static_cast<int32_t>(world_.random().between(1, 30'000));
    }
    line_.stream().ask(request, kVersion, [this](ByteView body) {
        const auto answer = protocol::FetchResponse::decode(body, kVersion);
        if (!answer || answer->error_code != 0) {
            world_.violate("Fetch of a member: an answer that cannot be used");
            return;
        }
        bool any = false;
        for (const auto& topic : answer->responses) {
            for (const auto& partition : topic.partitions) {
                const auto number = number_of(topic.topic, partition.partition_index);
                const auto lane = number ? lanes_.find(*number) : lanes_.end();
                if (lane == lanes_.end()) {
                    continue;
                }
                int64_t& position = lane->second.position;
                if (partition.error_code == static_cast<int16_t>(KafkaError::offset_out_of_range)) {
                    const int64_t deleted = setup_.client.checker->delete_asked(*number);
                    if (position >= deleted) {
                        world_.violate("group " + log().name() + ": offset " +
                                       std::to_string(position) + " is out of range");
                        return;
                    }
                    position = deleted;
                } else if (partition.error_code == 0 && partition.records) {
                    protocol::BatchWalker walker(*partition.records);
                    for (auto batch = walker.next(); batch && *batch != nullptr;
                         batch = walker.next()) {
                        position = std::max(position, (*batch)->header.next_offset().value());
                        any = true;
                    }
                }
            }
        }
        any ? next() : next_later(world_.between(1ms, 50ms));
    });
}

} // namespace qtool::sim
