// MailRing: mail from one core to another, in order. The ring in the middle is lock-free for one
// producer and one consumer; what does not fit waits on the producer's side, so that posting never
// blocks, fails or drops.
//
//   producer: overflow_ (deque) -> slots_[tail] -> slots_[head] :consumer
//
// Waking is not done here: after push() the producer wakes the consumer (Wake), and after drain()
// the consumer wakes a producer that waits for room.
#pragma once

#include "lib/base/assert.h"
#include "server/port/mailbox.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <deque>
#include <memory>
#include <utility>

namespace qtool::uv {

class MailRing {
public:
    static constexpr size_t kSlotCount = 512; // mails of one busy turn; 4 KiB of pointers, a page

    MailRing() {} // not defaulted: that would write, and so make resident, the slots of every pair
    MailRing(const MailRing&) = delete;
    MailRing& operator=(const MailRing&) = delete;
    ~MailRing() {
        const size_t tail = tail_.load(std::memory_order_relaxed);
        for (size_t at = head_.load(std::memory_order_relaxed); at != tail; at++) {
            delete slots_[at % kSlotCount];
        }
    }

    // The producer's side.

    void push(std::unique_ptr<port::Mail> mail) {
        if (!overflow_.empty() || !put(mail.get())) {
            overflow_.push_back(std::move(mail));
        } else {
            static_cast<void>(mail.release()); // the ring owns it now
        }
    }
    /// Moves waiting mail into the ring as far as there is room. True when any moved: the consumer
    /// must be woken. What still waits is announced, and the consumer wakes us once it made room.
    bool push_waiting() {
        if (overflow_.empty()) {
            return false;
        }
        const size_t before = overflow_.size();
        move_waiting();
        if (!overflow_.empty()) {
            producer_waits_.exchange(true, std::memory_order_acq_rel);
            move_waiting(); // the consumer may have drained before it could see the announcement
        }
        return overflow_.size() != before;
    }
    [[nodiscard]] size_t waiting() const { return overflow_.size(); }

    // The consumer's side.

    [[nodiscard]] bool is_empty() const {
        return head_.load(std::memory_order_relaxed) == tail_.load(std::memory_order_acquire);
    }
    /// Calls deliver(unique_ptr<Mail>) for what is in the ring now, not for what is put meanwhile.
    /// Returns whether the producer must be woken.
    template <class Deliver>
    bool drain(Deliver&& deliver) {
        size_t head = head_.load(std::memory_order_relaxed);
        const size_t tail = tail_.load(std::memory_order_acquire);
        if (head == tail) {
            return false;
        }
        while (head != tail) {
            std::unique_ptr<port::Mail> mail(slots_[head % kSlotCount]);
            head++;
            head_.store(head, std::memory_order_release);
            deliver(std::move(mail));
        }
        return producer_waits_.exchange(false, std::memory_order_acq_rel);
    }

private:
    bool put(port::Mail* mail) {
        const size_t tail = tail_.load(std::memory_order_relaxed);
        if (tail - head_.load(std::memory_order_acquire) == kSlotCount) {
            return false;
        }
        slots_[tail % kSlotCount] = mail;
        tail_.store(tail + 1, std::memory_order_release);
        return true;
    }
    void move_waiting() {
        while (!overflow_.empty() && put(overflow_.front().get())) {
            static_cast<void>(overflow_.front().release());
            overflow_.pop_front();
        }
    }

    // Positions count up for ever; the slot is the position modulo kSlotCount. On lines of their
    // own: head_ is written by the consumer, tail_ by the producer.
    alignas(64) std::atomic<size_t> head_{0};
    alignas(64) std::atomic<size_t> tail_{0};
    alignas(64) std::atomic<bool> producer_waits_{false};
    std::array<port::Mail*, kSlotCount> slots_;
    std::deque<std::unique_ptr<port::Mail>> overflow_; // the producer's
};

} // namespace qtool::uv
