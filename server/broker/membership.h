// Membership: this process's place among the brokers. It keeps the session with the metadata store,
// sees to it that no other process has this broker's id, retakes its replicas, writes `live/<id>`,
// writes it again when it is gone, and leaves in good order. Sans-IO but for the store's port;
// lives on the metadata core.
//
//   idle -> checking -> fencing -> retaking -> registering -> member -> resigning -> resigned
//             |  ^         |                    ^         |
//             |  +---------+                    +---------+  session lost, or live/<id> gone
//             +-- another process has the id, and it is not one of ours that died: failed
//
// leave() ends the session from any state.
#pragma once

#include "lib/base/time.h"
#include "server/broker/change_runner.h"
#include "server/metadata/decide_brokers.h"
#include "server/port/metadata_store.h"

#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace qtool::broker {

/// A step of registration: long enough for a store that is slow, short enough to say so.
inline constexpr Duration kRegisterMax = 30s;
/// Between attempts to come back, and to open a session.
inline constexpr Duration kRejoinAfter = 200ms;
/// A stop does not wait longer for others to take over.
inline constexpr Duration kResignMax = 10s;

/// What the log directories tell of this broker's earlier lives.
struct DiskLife {
    std::vector<Uuid> identities;
    int64_t start_count = 0; // of the earlier life
    bool was_clean = true;
    /// Files of that partition are there, or it is known to have been empty.
    std::function<bool(std::string_view topic, const PartitionKey& key)> holds;
    /// Remembers that another life has begun.
    std::function<Result<void>(int64_t count)> write_start_count;
};

class Membership {
public:
    struct Setup {
        BrokerId self;
        Uuid incarnation; // of this process
        Duration session_ttl;
        port::MetadataStore* store = nullptr;
        ChangeRunner* changes = nullptr; // the metadata core's
        port::Random* random = nullptr;
    };
    /// The request under which its operations run in `changes`.
    static constexpr Token kRequest{0, 2};

    explicit Membership(const Setup& setup);

    /// Before anything else; the session opens while the store loads.
    void open_session();
    /// `self`: addresses and rack; the rest is filled in. A store whose sessions never end is of
    /// this process alone: nothing is compared with earlier lives then.
    void begin(metadata::BrokerImage self, DiskLife disks, const metadata::Image& image,
               MonoTime now);
    /// Begins to leave: is_resigned() some time later. Needs a member.
    void resign(const metadata::Image& image, MonoTime now);
    /// Ends the session: has_left() later.
    void leave();

    void on_session_renewed(MonoTime valid_until, const metadata::Image& image, MonoTime now);
    void on_session_lost(MonoTime now);
    void on_session_closed() { session_ = Session::left; }
    void on_image(const metadata::Image& image, MonoTime now);
    /// An operation under kRequest is finished.
    void on_finished(const metadata::Image& image, MonoTime now);
    void on_time(const metadata::Image& image, MonoTime now);
    [[nodiscard]] MonoTime next_due() const;

    [[nodiscard]] bool is_member() const {
        return state_ == State::member || state_ == State::resigning || state_ == State::resigned;
    }
    [[nodiscard]] bool is_resigned() const { return state_ == State::resigned; }
    [[nodiscard]] bool has_left() const { return session_ == Session::left; }
    /// Why this process can be no member.
    [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }
    /// Until when it may act as leader; zero while it is no member.
    [[nodiscard]] MonoTime valid_until() const {
        return is_member() ? session_valid_until_ : MonoTime{};
    }
    /// Revision of the controller's key when this process wrote it as it registered, else 0.
    [[nodiscard]] Revision claim() const { return claim_; }

private:
    enum class State : uint8_t {
        idle,
        checking,
        fencing,
        retaking,
        registering,
        member,
        resigning,
        resigned,
        failed,
    };
    enum class Session : uint8_t { none, opening, open, closing, left };

    void compare_lives(const metadata::Image& image);
    void check(const metadata::Image& image, MonoTime now);
    void retake(const metadata::Image& image, MonoTime now);
    void enroll(const metadata::Image& image, MonoTime now);
    void run(std::unique_ptr<metadata::PlainOperation> operation, const metadata::Image& image,
             MonoTime deadline);
    void on_registered(const metadata::Image& image);
    void note_lost_copies() const;
    void fail(Error error);
    void try_again(const Error& reason, MonoTime now);

    Setup setup_;
    State state_ = State::idle;
    Session session_ = Session::none;
    MonoTime session_valid_until_{};
    metadata::BrokerImage self_;
    DiskLife disks_;
    bool is_lost_ = false; // all that an earlier life had
    bool is_partly_lost_ = false;
    bool was_member_ = false;
    Revision claim_{0};
    std::unique_ptr<metadata::PlainOperation> operation_; // running, or the last one
    bool is_running_ = false;
    std::optional<Error> failure_;
    MonoTime give_up_at_ = kMonoNever;  // checking: the other process must be gone by then
    MonoTime start_until_ = kMonoNever; // a store that is away is waited for until then
    MonoTime again_at_ = kMonoNever;
};

} // namespace qtool::broker
