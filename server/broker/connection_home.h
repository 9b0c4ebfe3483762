// ConnectionHome: on which core a connection is best off. Whatever it asks of a partition of
// another core takes two mails, and wakes a core that sleeps: a tenth of the time of a record that
// is alone. So a connection that asks one other core only, and a little at a time, is to live
// there. One that moves much by then stays where it is, since two cores do more than one. It is not
// sent back when it grows: where it is, it asks its own core. Lives with its connection.
#pragma once

#include "lib/base/ids.h"
#include "lib/base/units.h"

#include <cstdint>
#include <optional>

namespace qtool::broker {

// An exchange is what happens between two moments in which nothing is asked and nothing half read.
inline constexpr uint32_t kExchangesBeforeMove = 16; // in a row; twice as many after each move
inline constexpr uint32_t kExchangesBeforeMoveMax = 1U << 20;
inline constexpr uint64_t kLightExchangeMax = 64 * KiB; // bytes, both ways
// Who has more connections than we and so many is not given another one: its time is worth more
// than the mails.
inline constexpr uint64_t kConnectionsAheadMax = 2;

class ConnectionHome {
public:
    void on_bytes(uint64_t size) { bytes_ += size; }
    /// A request asks a partition (or a coordinator) of that core.
    void on_asked(CoreId owner);
    /// No request is unanswered, and none half read.
    void on_idle(CoreId here);
    /// The core where it should be instead; nothing: here is fine.
    [[nodiscard]] std::optional<CoreId> better() const {
        return exchanges_ >= wanted_ && bytes_ <= kLightExchangeMax ? std::optional<CoreId>(other_)
                                                                    : std::nullopt;
    }
    void on_moved();
    /// That core has enough of them: the count begins anew.
    void on_refused() { exchanges_ = 0; }

private:
    // Of the exchange under way.
    uint64_t bytes_ = 0;
    std::optional<CoreId> asked_;
    bool asked_several_ = false;

    CoreId other_;
    uint32_t exchanges_ = 0; // in a row that asked `other_` alone
    uint32_t wanted_ = kExchangesBeforeMove;
};

} // namespace qtool::broker
