// PeerLinks: the connections of one core to the other brokers of the cluster, and the calls on
// them. Sans-IO over port::Net. Lives on its core; owned by broker::Core.
//
// Of one link (a broker and a purpose):
//
//   idle --call, probe--> connecting --on_connected--> open
//   connecting --refused, failed, deadline--> waiting --back-off over, if anything is to be sent-->
//       connecting; calls that waited fail with what was wrong
//   open --peer closed, nonsense, silence past a deadline--> connecting at once when it had
//       answered anything, else waiting; calls in flight fail, those not sent yet stay
//   any --broker gone or not live--> idle; all calls fail with no_broker
//   any --another address or epoch of the broker--> idle, or connecting if calls wait
//
// A link whose stream broke connects again even if nothing waits: a process that is gone refuses,
// and take_refused tells of it within milliseconds of its end. One core of a broker watches: it has
// a link to every live broker, called or not, so that no end goes unseen.
#pragma once

#include "lib/client/frame.h"
#include "server/metadata/image.h"
#include "server/metrics/counters.h"
#include "server/peer/call.h"
#include "server/port/net.h"
#include "server/port/random.h"

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace qtool::peer {

inline constexpr uint32_t kConnectDeadlineMs = 3000;
inline constexpr size_t kInFlightMax = 64;   // calls sent and not answered, of one link
inline constexpr size_t kQueuedMax = 10'000; // calls not sent yet, of one link
inline constexpr Duration kBackoffMin = 20ms;
inline constexpr Duration kBackoffMax = 1s;

class PeerLinks {
public:
    struct Setup {
        BrokerId self;
        port::Net* net = nullptr;
        port::Random* random = nullptr;
        metrics::CoreCounters* counters = nullptr;
        size_t answer_size_max = 0; // bytes of one answer; a larger one breaks its connection
        bool watches = false; // connected to every live broker, and again until it is not live
    };
    explicit PeerLinks(Setup setup);
    ~PeerLinks();
    PeerLinks(const PeerLinks&) = delete;
    PeerLinks& operator=(const PeerLinks&) = delete;

    /// Where the brokers are from now on. Before the first image there is nobody to call.
    void apply(const metadata::Image& image, MonoTime now);
    /// Answered exactly once by take_answers, at its deadline at the latest. `to` may be any id;
    /// calls of one link are sent in this order.
    void call(Call call, MonoTime now);
    /// Connects to the broker if nothing is connected to it, to see whether its process is there.
    void probe(BrokerId broker, MonoTime now);
    [[nodiscard]] bool has_answers() const { return !answers_.empty(); }
    std::vector<Answer> take_answers() { return std::exchange(answers_, {}); }
    std::vector<Refused> take_refused() { return std::exchange(refused_, {}); }

    // Events of the net port for connections that are ours.
    [[nodiscard]] bool owns(Token connection) const { return by_token_.count(connection) > 0; }
    void on_connected(Token connection, MonoTime now);
    void on_connect_failed(Token connection, const Error& error, MonoTime now);
    ByteSpan receive_buffer(Token connection);
    void on_received(Token connection, size_t size, MonoTime now);
    void on_closed(Token connection, MonoTime now);

    void on_time(MonoTime now);
    [[nodiscard]] MonoTime next_due() const {
        return due_.empty() ? kMonoNever : due_.begin()->first;
    }
    /// All connections close and all calls fail with shutting_down; calls after this too.
    void close();

private:
    enum class State : uint8_t { idle, connecting, open, waiting };
    using LinkKey = std::pair<BrokerId, Purpose>;
    struct Peer {
        std::string host;
        uint16_t port = 0;
        Revision epoch;

        bool operator==(const Peer&) const = default;
    };
    struct InFlight {
        Call call; // without its body
        int32_t correlation_id = 0;
        MonoTime sent_at{};
        bool is_answered = false; // timed out; its answer is thrown away when it comes
    };
    struct Link {
        explicit Link(LinkKey k, size_t answer_size_max)
            : key(k),
              reader(answer_size_max, "the largest answer of a broker") {}

        LinkKey key;
        State state = State::idle;
        Peer peer;   // that is or was tried last
        Token token; // when connecting or open
        client::FrameReader reader;
        std::deque<InFlight> in_flight; // in the order of correlation ids
        std::deque<Call> queued;
        int32_t next_correlation_id = 1;
        MonoTime received_at{};         // the last byte
        bool has_answered = false;      // since it was opened
        Duration backoff{};             // before the next attempt; 0: none failed
        MonoTime retry_at = kMonoNever; // when waiting
        MonoTime due = kMonoNever;      // as due_ has it: not later than the first deadline
    };

    Link& link(BrokerId broker, Purpose purpose);
    void connect(Link& link, MonoTime now);
    [[nodiscard]] bool is_watched(const Link& link) const {
        return setup_.watches && link.key.second == Purpose::calls &&
               peers_.count(link.key.first) > 0;
    }
    void pump(Link& link, MonoTime now);
    void send(Link& link, Call call, MonoTime now);
    Result<void> take_frame(Link& link);
    /// Ends the connection, if there is one, and fails what is in flight on it.
    void drop(Link& link, const Error& error);
    void wait(Link& link, MonoTime now);
    void fail_queued(Link& link, const Error& error);
    void break_link(Link& link, const Error& error, MonoTime now);
    void look_at_deadlines(Link& link, MonoTime now);
    void answer(const Call& call, Result<void> result);
    void set_due(Link& link, MonoTime due);
    void count_open(int change);

    Setup setup_;
    std::map<BrokerId, Peer> peers_; // live brokers but ourselves
    std::map<LinkKey, std::unique_ptr<Link>> links_;
    std::map<Token, Link*> by_token_;
    std::set<std::pair<MonoTime, LinkKey>> due_; // of links whose due is not kMonoNever
    std::vector<Answer> answers_;
    std::vector<Refused> refused_;
    uint64_t open_ = 0;
    bool is_closed_ = false;
};

} // namespace qtool::peer
