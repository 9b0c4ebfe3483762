// Arrivals: which cores have put mail into their ring to this one, a bit each, so that a core does
// not look at the rings of all others each time: with 64 cores that was a third of what a produce
// cost. Any thread announces, after its mail is in the ring; the receiving core takes.
#pragma once

#include "lib/base/ids.h"

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace qtool::uv {

class alignas(64) Arrivals { // a line of its own: others write it
public:
    static constexpr size_t kSenderCountMax = 320; // 256 data cores and the metadata core

    /// The sender's side.
    void announce(CoreId from) {
        words_[from.value() / kWordBits].fetch_or(uint64_t{1} << (from.value() % kWordBits),
                                                  std::memory_order_acq_rel);
    }

    // The receiver's side.

    [[nodiscard]] bool any() const {
        for (const std::atomic<uint64_t>& word : words_) {
            if (word.load(std::memory_order_acquire) != 0) {
                return true;
            }
        }
        return false;
    }
    /// Calls look(CoreId) for each sender that announced since the last call, in rising order. What
    /// one puts meanwhile it announces again.
    template <class Look>
    void take(Look&& look) {
        for (size_t i = 0; i < words_.size(); i++) {
            if (words_[i].load(std::memory_order_relaxed) == 0) {
                continue;
            }
            uint64_t bits = words_[i].exchange(0, std::memory_order_acq_rel);
            for (; bits != 0; bits &= bits - 1) {
                look(CoreId(static_cast<uint16_t>(i * kWordBits +
                                                  static_cast<size_t>(std::countr_zero(bits)))));
            }
        }
    }

private:
    static constexpr size_t kWordBits = 64;

    std::array<std::atomic<uint64_t>, kSenderCountMax / kWordBits> words_{};
};

} // namespace qtool::uv
