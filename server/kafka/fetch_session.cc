#include "server/kafka/fetch_session.h"

#include <algorithm>

namespace qtool::kafka {

void FetchSession::put(FetchItem item) {
    const auto known = by_key_.find(item.key);
    if (known == by_key_.end()) {
        items_.push_back(std::move(item));
        const auto at = std::prev(items_.end());
        by_key_.emplace(at->key, at);
        return;
    }
    FetchItem& old = *known->second;
    item.told_high_watermark = old.told_high_watermark;
    item.told_log_start = old.told_log_start;
    old = std::move(item);
}

void FetchSession::forget(const FetchKey& key) {
    const auto known = by_key_.find(key);
    if (known != by_key_.end()) {
        items_.erase(known->second);
        by_key_.erase(known);
    }
}

void FetchSession::move_to_end(const FetchKey& key) {
    const auto known = by_key_.find(key);
    if (known != by_key_.end()) {
        items_.splice(items_.end(), items_, known->second);
    }
}

FetchItem* FetchSession::find(const FetchKey& key) {
    const auto known = by_key_.find(key);
    return known == by_key_.end() ? nullptr : &*known->second;
}

FetchSessions::~FetchSessions() {
    if (open_count_ != nullptr) {
        open_count_->fetch_sub(static_cast<uint32_t>(sessions_.size()), std::memory_order_relaxed);
    }
}

FetchSession* FetchSessions::open(int32_t id, bool by_id,
                                  const std::shared_ptr<std::atomic<uint32_t>>& open_count,
                                  uint32_t slots_max) {
    if (sessions_.size() == kFetchSessionsPerConnectionMax) {
        close(sessions_.front().id());
    }
    if (open_count->fetch_add(1, std::memory_order_relaxed) >= slots_max) {
        open_count->fetch_sub(1, std::memory_order_relaxed);
        return nullptr;
    }
    open_count_ = open_count;
    sessions_.emplace_back(id, by_id);
    return &sessions_.back();
}

FetchSession* FetchSessions::find(int32_t id) {
    const auto found = std::find_if(sessions_.begin(), sessions_.end(),
                                    [id](const FetchSession& s) { return s.id() == id; });
    return found == sessions_.end() ? nullptr : &*found;
}

void FetchSessions::close(int32_t id) {
    const auto found = std::find_if(sessions_.begin(), sessions_.end(),
                                    [id](const FetchSession& s) { return s.id() == id; });
    if (found != sessions_.end()) {
        sessions_.erase(found);
        open_count_->fetch_sub(1, std::memory_order_relaxed);
    }
}

} // namespace qtool::kafka
