// SlotMap: values addressed by tokens (slot + generation). A token of a removed value finds
// nothing, so a late completion can be dropped instead of reaching a stranger.
#pragma once

#include "lib/base/assert.h"

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

namespace qtool {

struct Token {
    uint32_t slot = 0;
    uint32_t generation = 0; // 0: no token

    explicit operator bool() const { return generation != 0; }
    auto operator<=>(const Token&) const = default;
};

template <class T>
class SlotMap {
public:
    template <class... Args>
    Token emplace(Args&&... args) {
        uint32_t slot = 0;
        if (free_.empty()) {
            slot = static_cast<uint32_t>(slots_.size());
            slots_.emplace_back();
        } else {
            slot = free_.back();
            free_.pop_back();
        }
        Slot& s = slots_[slot];
        s.value.emplace(std::forward<Args>(args)...);
        size_++;
        return Token{slot, s.generation};
    }
    /// The value, or nullptr when it is gone. Valid until the value is erased.
    [[nodiscard]] T* find(Token token) {
        if (token.slot >= slots_.size()) {
            return nullptr;
        }
        Slot& s = slots_[token.slot];
        return s.generation == token.generation && s.value ? &*s.value : nullptr;
    }
    /// Returns false when the value was gone already.
    bool erase(Token token) {
        if (find(token) == nullptr) {
            return false;
        }
        Slot& s = slots_[token.slot];
        s.value.reset();
        s.generation = s.generation + 1 == 0 ? 1 : s.generation + 1;
        free_.push_back(token.slot);
        size_--;
        return true;
    }
    [[nodiscard]] size_t size() const { return size_; }

    /// Calls f(Token, T&) for each value in slot order; f must not add or remove values.
    template <class F>
    void for_each(F&& f) {
        for (uint32_t slot = 0; slot < slots_.size(); slot++) {
            if (slots_[slot].value) {
                f(Token{slot, slots_[slot].generation}, *slots_[slot].value);
            }
        }
    }

private:
    struct Slot {
        std::optional<T> value;
        uint32_t generation = 1;
    };
    std::deque<Slot> slots_; // a deque, so that values never move
    std::vector<uint32_t> free_;
    size_t size_ = 0;
};

} // namespace qtool
