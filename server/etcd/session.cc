#include "server/etcd/session.h"

#include "lib/base/assert.h"

#include <algorithm>
#include <utility>

namespace qtool::etcd {

namespace {

constexpr Duration kForgetTime = 5s;

} // namespace

void Session::open(Duration ttl) {
    QT_ASSERT(life_ == Life::none && ttl > Duration::zero());
    ttl_ = ttl;
    over_at_ = clock_.mono() + std::max(ttl, kOpenWaitMin);
    life_ = Life::opening;
    grant();
}

// A number of our own choice, so that a grant whose answer was lost can be recognized.
void Session::grant() {
    lease_ = static_cast<LeaseId>((random_.next() >> 1) | 1);
    const auto ttl_s = std::chrono::ceil<std::chrono::seconds>(ttl_).count();
    call(kGrant, "/v3/lease/grant", encode_lease_grant(lease_, ttl_s), over_at_);
}

void Session::keep_alive() {
    renew_at_ = kMonoNever;
    call(kKeepAlive, "/v3/lease/keepalive", encode_lease(lease_), kMonoNever);
}

void Session::call(What what, const char* path, std::string body, MonoTime give_up_at) {
    Call call;
    call.path = path;
    call.body = std::move(body);
    // Short, so that other members are asked well before the time is over.
    call.attempt_time = std::clamp<Duration>(ttl_ / 6, 300ms, 2s);
    call.give_up_at = give_up_at;
    call.user = this;
    call.what = what;
    const Token token = calls_.start(std::move(call));
    if (what != kForget) {
        call_ = token;
    }
}

void Session::on_called(uint32_t what, Outcome outcome) {
    if (what == kForget) {
        return;
    }
    call_ = {};
    switch (static_cast<What>(what)) {
    case kGrant:
        if (!outcome.answer) {
            const bool is_ours = outcome.is_repeated && outcome.answer.error().detail.find(
                                                            "already exists") != std::string::npos;
            if (is_ours) {
                keep_alive(); // tells until when
            } else {
                lose();
            }
            return;
        }
        on_renewed(outcome);
        return;
    case kKeepAlive:
        if (!outcome.answer || outcome.answer->ttl_s == 0) {
            lose();
            return;
        }
        on_renewed(outcome);
        return;
    case kRevoke:
        life_ = Life::none;
        told_.closed();
        return;
    case kForget:
        break;
    }
    QT_UNREACHABLE();
}

void Session::on_renewed(const Outcome& outcome) {
    const Duration granted = std::chrono::seconds(outcome.answer->ttl_s);
    const MonoTime until = outcome.sent_at + std::min(ttl_, granted);
    if (until <= clock_.mono()) {
        lose(); // the answer was slow, or this process was
        return;
    }
    life_ = Life::open;
    over_at_ = until;
    renew_at_ = outcome.sent_at + ttl_ / 3;
    told_.renewed(until);
}

void Session::lose() {
    calls_.cancel(std::exchange(call_, {}));
    life_ = Life::none;
    // Most likely gone; if it is not, its keys need not wait for its time.
    call(kForget, "/v3/lease/revoke", encode_lease(lease_), clock_.mono() + kForgetTime);
    told_.lost();
}

void Session::close() {
    QT_ASSERT(life_ == Life::opening || life_ == Life::open);
    calls_.cancel(std::exchange(call_, {}));
    life_ = Life::closing;
    call(kRevoke, "/v3/lease/revoke", encode_lease(lease_), clock_.mono() + kCloseWaitMax);
}

void Session::on_time() {
    const MonoTime now = clock_.mono();
    if ((life_ == Life::open || life_ == Life::opening) && over_at_ <= now) {
        lose();
    } else if (life_ == Life::open && renew_at_ <= now) {
        keep_alive();
    }
}

MonoTime Session::next_due() const {
    switch (life_) {
    case Life::none:
    case Life::closing:
        return kMonoNever;
    case Life::opening:
        return over_at_;
    case Life::open:
        return std::min(over_at_, renew_at_);
    }
    QT_UNREACHABLE();
}

} // namespace qtool::etcd
