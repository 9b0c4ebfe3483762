#include "server/group/offset_store.h"

#include "lib/base/assert.h"

#include <utility>

namespace qtool::group {

namespace {

// Erases one partition, and the maps that became empty. Returns whether it was there.
template <class Groups>
bool erase_from(Groups& groups, std::string_view group, std::string_view topic, int32_t partition) {
    const auto in_group = groups.find(group);
    if (in_group == groups.end()) {
        return false;
    }
    const auto in_topic = in_group->second.find(topic);
    if (in_topic == in_group->second.end() || in_topic->second.erase(partition) == 0) {
        return false;
    }
    if (in_topic->second.empty()) {
        in_group->second.erase(in_topic);
        if (in_group->second.empty()) {
            groups.erase(in_group);
        }
    }
    return true;
}

// The place of a partition, made when it is not there.
template <class Groups>
auto& place_in(Groups& groups, std::string_view group, std::string_view topic, int32_t partition) {
    auto in_group = groups.find(group);
    if (in_group == groups.end()) {
        in_group = groups.try_emplace(std::string(group)).first;
    }
    auto in_topic = in_group->second.find(topic);
    if (in_topic == in_group->second.end()) {
        in_topic = in_group->second.try_emplace(std::string(topic)).first;
    }
    return in_topic->second[partition];
}

template <class Groups>
auto find_in(Groups& groups, std::string_view group, std::string_view topic, int32_t partition)
    -> decltype(&groups.begin()->second.begin()->second.begin()->second) {
    const auto in_group = groups.find(group);
    if (in_group == groups.end()) {
        return nullptr;
    }
    const auto in_topic = in_group->second.find(topic);
    if (in_topic == in_group->second.end()) {
        return nullptr;
    }
    const auto found = in_topic->second.find(partition);
    return found == in_topic->second.end() ? nullptr : &found->second;
}

} // namespace

void OffsetStore::put(std::string_view group, std::string_view topic, int32_t partition,
                      CommittedOffset offset, ProducerId producer_id) {
    if (producer_id == kNoProducerId) {
        put_committed(group, topic, partition, std::move(offset));
        return;
    }
    Groups& pending = pending_[producer_id];
    if (find_in(pending, group, topic, partition) == nullptr) {
        size_++;
    }
    place_in(pending, group, topic, partition) = std::move(offset);
    place_in(open_, group, topic, partition).insert(producer_id);
}

void OffsetStore::put_committed(std::string_view group, std::string_view topic, int32_t partition,
                                CommittedOffset offset) {
    if (find(group, topic, partition) == nullptr) {
        size_++;
    }
    place_in(committed_, group, topic, partition) = std::move(offset);
}

void OffsetStore::erase(std::string_view group, std::string_view topic, int32_t partition) {
    if (erase_from(committed_, group, topic, partition)) {
        size_--;
    }
    const auto* producers = find_in(open_, group, topic, partition);
    if (producers == nullptr) {
        return;
    }
    for (const ProducerId producer_id : *producers) {
        const auto pending = pending_.find(producer_id);
        QT_ASSERT(pending != pending_.end());
        QT_ASSERT(erase_from(pending->second, group, topic, partition));
        size_--;
        if (pending->second.empty()) {
            pending_.erase(pending);
        }
    }
    erase_from(open_, group, topic, partition);
}

void OffsetStore::end_transaction(ProducerId producer_id, bool is_commit) {
    const auto found = pending_.find(producer_id);
    if (found == pending_.end()) {
        return;
    }
    Groups ended = std::move(found->second);
    pending_.erase(found);
    for (auto& [group, topics] : ended) {
        for (auto& [topic, partitions] : topics) {
            for (auto& [partition, offset] : partitions) {
                size_--;
                auto* producers = find_in(open_, group, topic, partition);
                QT_ASSERT(producers != nullptr);
                producers->erase(producer_id);
                if (producers->empty()) {
                    erase_from(open_, group, topic, partition);
                }
                const CommittedOffset* known = find(group, topic, partition);
                if (is_commit && (known == nullptr || known->position < offset.position)) {
                    put_committed(group, topic, partition, std::move(offset));
                }
            }
        }
    }
}

const CommittedOffset* OffsetStore::find(std::string_view group, std::string_view topic,
                                         int32_t partition) const {
    return find_in(committed_, group, topic, partition);
}

const TopicOffsets* OffsetStore::find_group(std::string_view group) const {
    const auto found = committed_.find(group);
    return found == committed_.end() ? nullptr : &found->second;
}

bool OffsetStore::has_pending(std::string_view group, std::string_view topic,
                              int32_t partition) const {
    return find_in(open_, group, topic, partition) != nullptr;
}

bool OffsetStore::has_pending(std::string_view group) const {
    return open_.contains(group);
}

} // namespace qtool::group
