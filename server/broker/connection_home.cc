#include "server/broker/connection_home.h"

#include <algorithm>
#include <utility>

namespace qtool::broker {

void ConnectionHome::on_asked(CoreId owner) {
    asked_several_ = asked_several_ || (asked_ && *asked_ != owner);
    asked_ = owner;
}

void ConnectionHome::on_idle(CoreId here) {
    const uint64_t bytes = std::exchange(bytes_, 0);
    const std::optional<CoreId> asked = std::exchange(asked_, std::nullopt);
    const bool asked_several = std::exchange(asked_several_, false);
    if (!asked) {
        return; // metadata and the like: any core is good for that
    }
    if (asked_several || *asked == here || bytes > kLightExchangeMax) {
        exchanges_ = 0;
        return;
    }
    exchanges_ = exchanges_ > 0 && *asked == other_ ? std::min(exchanges_ + 1, wanted_) : 1;
    other_ = *asked;
}

void ConnectionHome::on_moved() {
    exchanges_ = 0;
    wanted_ = std::min(wanted_ * 2, kExchangesBeforeMoveMax);
}

} // namespace qtool::broker
