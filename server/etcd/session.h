// Session: the lease of this process. Granted, renewed at a third of its time, given up as soon as
// it could be over. Sans-IO on Calls; metadata core.
//
//   none -> opening -> open -> none     lost: told by etcd, or no renewal in time
//              |         +---> closing -> none
//              +-------------> closing
#pragma once

#include "server/etcd/calls.h"
#include "server/port/random.h"

#include <functional>
#include <string_view>

namespace qtool::etcd {

/// How long closing waits for etcd: a stop should not hang on it.
inline constexpr Duration kCloseWaitMax = 2s;
/// Opening waits for etcd at least so long.
inline constexpr Duration kOpenWaitMin = 10s;

class Session final : public CallUser {
public:
    struct Told {
        std::function<void(MonoTime valid_until)> renewed;
        std::function<void()> lost;
        std::function<void()> closed;
    };
    Session(Calls& calls, const port::Clock& clock, port::Random& random, Told told)
        : calls_(calls),
          clock_(clock),
          random_(random),
          told_(std::move(told)) {}

    void open(Duration ttl);
    void close();
    /// 0: not open.
    [[nodiscard]] LeaseId lease() const { return life_ == Life::open ? lease_ : 0; }

    void on_time();
    [[nodiscard]] MonoTime next_due() const;

    void on_called(uint32_t what, Outcome outcome) override;
    void on_stream_part(std::string_view) override {}
    void on_stream_end(Error) override {}

private:
    enum class Life : uint8_t { none, opening, open, closing };
    enum What : uint32_t { kGrant, kKeepAlive, kRevoke, kForget };

    void call(What what, const char* path, std::string body, MonoTime give_up_at);
    void grant();
    void keep_alive();
    void on_renewed(const Outcome& outcome);
    void lose();

    Calls& calls_;
    const port::Clock& clock_;
    port::Random& random_;
    Told told_;
    Life life_ = Life::none;
    Duration ttl_{};
    LeaseId lease_ = 0;
    Token call_;          // under way
    MonoTime over_at_{};  // opening: give up; open: the lease may be gone
    MonoTime renew_at_{}; // open, none under way
};

} // namespace qtool::etcd
