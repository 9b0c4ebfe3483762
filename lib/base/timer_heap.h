// TimerHeap: what is due when, in a binary heap. Ties fire in the order they were added, so that a
// simulated run repeats exactly. Removal is lazy: the owner checks whether an entry still matters.
#pragma once

#include "lib/base/time.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace qtool {

template <class T>
class TimerHeap {
public:
    void push(MonoTime due, T value) {
        heap_.push_back(Entry{due, sequence_++, std::move(value)});
        std::push_heap(heap_.begin(), heap_.end(), later);
    }
    /// When the earliest entry is due; kMonoNever when there is none.
    [[nodiscard]] MonoTime next_due() const { return heap_.empty() ? kMonoNever : heap_[0].due; }
    /// Removes and returns the earliest entry that is due at `now`.
    std::optional<T> pop_due(MonoTime now) {
        if (heap_.empty() || heap_[0].due > now) {
            return std::nullopt;
        }
        std::pop_heap(heap_.begin(), heap_.end(), later);
        std::optional<T> value(std::move(heap_.back().value));
        heap_.pop_back();
        return value;
    }
    [[nodiscard]] size_t size() const { return heap_.size(); }
    /// Drops entries whose value `is_gone`; linear.
    template <class IsGone>
    void erase_if(IsGone&& is_gone) {
        std::erase_if(heap_, [&](const Entry& entry) { return is_gone(entry.value); });
        std::make_heap(heap_.begin(), heap_.end(), later);
    }

private:
    struct Entry {
        MonoTime due;
        uint64_t sequence;
        T value;
    };
    static bool later(const Entry& a, const Entry& b) {
        return a.due != b.due ? a.due > b.due : a.sequence > b.sequence;
    }

    std::vector<Entry> heap_;
    uint64_t sequence_ = 0;
};

} // namespace qtool
