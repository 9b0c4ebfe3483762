// Calls: requests to an etcd of several members that end in an answer. One member at a time is used
// for everything; when it fails, the next one is. Logs in when there is a user, and again when etcd
// forgot. Checks that all members are of one cluster. Sans-IO on port::Http; metadata core.
//
// A call is repeated until etcd answers, so whoever makes one makes it so that having been applied
// twice does no harm, or is seen.
#pragma once

#include "server/etcd/wire.h"
#include "server/metrics/store_counters.h"
#include "server/port/clock.h"
#include "server/port/http.h"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::etcd {

/// An answer's size; a page of a load is far below.
inline constexpr size_t kAnswerBytesMax = 64 * 1024 * 1024;
/// Attempts that end without an answer are repeated after a wait that grows to this.
inline constexpr Duration kRetryWaitMax = 1s;
/// An attempt's time grows to this: etcd itself gives up after 7 s.
inline constexpr Duration kAttemptTimeMax = 8s;

struct Outcome {
    Result<Answer> answer; // or why it was refused, or why there was none when it was given up
    std::string body;      // of a plain call
    MonoTime sent_at;      // the attempt that was answered
    bool is_repeated;      // an attempt before that may have reached etcd, or may still
};

class CallUser {
public:
    virtual ~CallUser() = default;
    virtual void on_called(uint32_t what, Outcome outcome) = 0;
    virtual void on_stream_part(std::string_view bytes) = 0;
    virtual void on_stream_end(Error error) = 0;
};

struct Call {
    const char* path = nullptr;
    std::string body;
    Duration attempt_time{};
    MonoTime give_up_at = kMonoNever;
    bool gives_up_only_unsent = false; // what may have reached etcd is asked until it answers
    bool is_plain = false;             // a GET whose body is not an answer of the API
    CallUser* user = nullptr;
    uint32_t what = 0; // the user's own
};

class Calls final {
public:
    struct Setup {
        std::vector<std::string> endpoints; // "http://host:port", at least one
        std::string user;                   // empty: no login
        std::string password;
    };
    Calls(Setup setup, port::Http& http, const port::Clock& clock, metrics::StoreCounters& counters)
        : setup_(std::move(setup)),
          http_(http),
          clock_(clock),
          counters_(counters) {}

    /// on_called follows, never from within.
    Token start(Call call);
    void cancel(Token token);
    /// A stream at the member in use; ends with on_stream_end, or by close_stream.
    Token open_stream(const char* path, std::string body, CallUser& user);
    void close_stream(Token stream);
    /// The member in use does not do what it should: use the next one.
    void leave_member(const Error& why);

    /// Grows whenever another member is used.
    [[nodiscard]] uint64_t member_changes() const { return member_changes_; }
    [[nodiscard]] Revision seen_revision() const { return seen_revision_; }
    void saw(const Header& header);

    // From port::Http, passed on by the owner.
    void on_http_part(Token http, std::string_view bytes);
    void on_http_answer(Token http, port::HttpAnswer answer);
    void on_http_failed(Token http, port::HttpFailure failure);
    void on_time();
    [[nodiscard]] MonoTime next_due();

private:
    enum class Login : uint8_t { needed, asked, done };
    struct State {
        Call call;
        Token http;                 // of the attempt under way
        MonoTime retry_at{};        // without one; kMonoNever: waits for the login
        MonoTime sent_at{};         // of the attempt under way
        uint64_t member_change = 0; // ... and the member it went to
        std::string login;          // ... and the login it used
        uint32_t attempts = 0;
        bool was_sent = false; // by an attempt that had no answer
        Error last_error;
    };

    void attempt(Token token, State& state);
    /// Whose stream it was that is over now; nullptr: it is none.
    CallUser* take_stream(Token http);
    /// Whose attempt it was that is over now.
    Token take_call(Token http);
    void answered(const State& state, bool is_refused);
    void failed(Token token, State& state, Error error, bool may_be_sent, bool leave);
    void end(Token token, Result<Answer> answer, std::string body);
    void ask_login();
    void on_login(const port::HttpAnswer& answer);
    void login_refused(const Error& error);
    [[nodiscard]] const std::string& endpoint() const { return setup_.endpoints[member_]; }
    [[nodiscard]] std::vector<std::string> headers() const;
    [[nodiscard]] bool is_of_cluster(const Header& header) const;

    Setup setup_;
    port::Http& http_;
    const port::Clock& clock_;
    metrics::StoreCounters& counters_;
    SlotMap<State> calls_;
    std::map<Token, Token> by_http_;     // calls under way
    std::map<Token, CallUser*> streams_; // by their http token
    Login login_ = Login::needed;
    Token login_http_;
    MonoTime login_at_{}; // not before
    std::string login_token_;
    size_t member_ = 0; // index of the endpoint in use
    uint64_t member_changes_ = 0;
    uint64_t cluster_id_ = 0; // 0: not known yet
    Revision seen_revision_;
    std::string last_logged_; // so that an outage is not one line a second
};

} // namespace qtool::etcd
