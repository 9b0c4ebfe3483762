#include "server/etcd/calls.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"

#include <algorithm>
#include <utility>

namespace qtool::etcd {

namespace {

constexpr Duration kRetryWait = 50ms;
constexpr Duration kLoginWait = 1s; // after a refusal
constexpr Duration kLoginTime = 5s;
constexpr const char* kLoginPath = "/v3/auth/authenticate";

} // namespace

Token Calls::start(Call call) {
    QT_ASSERT(call.user != nullptr && call.path != nullptr);
    const Token token = calls_.emplace();
    State& state = *calls_.find(token);
    state.call = std::move(call);
    attempt(token, state);
    return token;
}

void Calls::cancel(Token token) {
    const State* state = calls_.find(token);
    if (state == nullptr) {
        return;
    }
    if (state->http) {
        http_.cancel(state->http);
        by_http_.erase(state->http);
    }
    calls_.erase(token);
}

Token Calls::open_stream(const char* path, std::string body, CallUser& user) {
    port::HttpRequest request;
    request.url = endpoint() + path;
    request.headers = headers();
    // A member cut off from the others ends the stream instead of being silent.
    request.headers.emplace_back("Grpc-Metadata-hasleader: true");
    request.body = std::move(body);
    request.is_stream = true;
    const Token http = http_.start(std::move(request));
    streams_.emplace(http, &user);
    return http;
}

void Calls::close_stream(Token stream) {
    if (streams_.erase(stream) != 0) {
        http_.cancel(stream);
    }
}

void Calls::leave_member(const Error& why) {
    const std::string text = endpoint() + ": " + to_string(why);
    if (text != last_logged_) {
        last_logged_ = text;
        log_line(LogLevel::warn, "etcd_member_failed",
                 {{"url", endpoint()}, {"error", to_string(why)}});
    }
    member_ = (member_ + 1) % setup_.endpoints.size();
    member_changes_++;
    counters_.member_changes.add();
}

void Calls::saw(const Header& header) {
    if (header.cluster_id != 0 && cluster_id_ == 0) {
        cluster_id_ = header.cluster_id;
    }
    seen_revision_ = std::max(seen_revision_, header.revision);
}

bool Calls::is_of_cluster(const Header& header) const {
    return header.cluster_id == 0 || cluster_id_ == 0 || header.cluster_id == cluster_id_;
}

std::vector<std::string> Calls::headers() const {
    std::vector<std::string> all = {"Content-Type: application/json"};
    if (!login_token_.empty()) {
        all.push_back("Authorization: " + login_token_);
    }
    return all;
}

// ---- attempts -----------------------------------------------------------------------------------

void Calls::attempt(Token token, State& state) {
    if (!setup_.user.empty() && login_ != Login::done && !state.call.is_plain) {
        state.retry_at = kMonoNever;
        ask_login();
        return;
    }
    state.sent_at = clock_.mono();
    state.member_change = member_changes_;
    state.login = login_token_;
    state.attempts++;
    counters_.requests.add();
    counters_.request_retries.add(state.attempts > 1 ? 1 : 0);
    const auto growth = 1 + (state.attempts - 1) / static_cast<uint32_t>(setup_.endpoints.size());
    port::HttpRequest request;
    request.url = endpoint() + state.call.path;
    request.headers = headers();
    request.body = state.call.body;
    request.timeout = std::min<Duration>(state.call.attempt_time * growth,
                                         std::max(kAttemptTimeMax, state.call.attempt_time));
    request.answer_bytes_max = kAnswerBytesMax;
    state.http = http_.start(std::move(request));
    by_http_.emplace(state.http, token);
}

void Calls::on_http_answer(Token http, port::HttpAnswer answer) {
    if (http == login_http_) {
        login_http_ = {};
        on_login(answer);
        return;
    }
    if (CallUser* user = take_stream(http); user != nullptr) {
        user->on_stream_end(answer.status == 200
                                ? Error(Code::store_unavailable, "the watch ended")
                                : decode_refusal(answer.status, answer.body).error);
        return;
    }
    const Token token = take_call(http);
    State& state = *calls_.find(token);
    answered(state, answer.status != 200);
    if (answer.status == 200 && state.call.is_plain) {
        end(token, Answer{}, std::move(answer.body));
        return;
    }
    if (answer.status == 200) {
        Result<Answer> decoded = decode_answer(answer.body);
        if (!decoded) {
            failed(token, state, std::move(decoded).error(), true, true);
        } else if (!is_of_cluster(decoded->header)) {
            failed(token, state,
                   Error(Code::store_unavailable, "it belongs to another etcd cluster"), false,
                   true);
        } else {
            saw(decoded->header);
            last_logged_.clear();
            end(token, std::move(decoded), {});
        }
        return;
    }
    Refusal refusal = decode_refusal(answer.status, answer.body);
    const bool wants_login = refusal.fault == Fault::token ||
                             (refusal.error.code == Code::not_authorized && state.login.empty());
    if (wants_login && !setup_.user.empty()) {
        if (login_ == Login::done && login_token_ == state.login) {
            login_ = Login::needed;
        }
        failed(token, state, std::move(refusal.error), false, false);
        return;
    }
    if (refusal.fault == Fault::unavailable) {
        failed(token, state, std::move(refusal.error), true, true);
        return;
    }
    end(token, std::move(refusal.error), {});
}

void Calls::on_http_failed(Token http, port::HttpFailure failure) {
    if (http == login_http_) {
        login_http_ = {};
        login_ = Login::needed;
        login_at_ = clock_.mono() + kRetryWait;
        leave_member(failure.error);
        return;
    }
    if (CallUser* user = take_stream(http); user != nullptr) {
        user->on_stream_end(std::move(failure.error));
        return;
    }
    const Token token = take_call(http);
    State& state = *calls_.find(token);
    counters_.request_errors.add();
    failed(token, state, std::move(failure.error), failure.was_sent, true);
}

CallUser* Calls::take_stream(Token http) {
    const auto found = streams_.find(http);
    if (found == streams_.end()) {
        return nullptr;
    }
    CallUser* user = found->second;
    streams_.erase(found);
    return user;
}

Token Calls::take_call(Token http) {
    const auto found = by_http_.find(http);
    QT_ASSERT(found != by_http_.end());
    const Token token = found->second;
    by_http_.erase(found);
    calls_.find(token)->http = {};
    return token;
}

void Calls::answered(const State& state, bool is_refused) {
    counters_.request_time.observe(clock_.mono() - state.sent_at);
    counters_.request_errors.add(is_refused ? 1 : 0);
}

void Calls::on_http_part(Token http, std::string_view bytes) {
    if (const auto stream = streams_.find(http); stream != streams_.end()) {
        stream->second->on_stream_part(bytes);
    }
}

// The attempt has no answer. `leave`: its member is to blame.
void Calls::failed(Token token, State& state, Error error, bool may_be_sent, bool leave) {
    if (leave && state.member_change == member_changes_) {
        leave_member(error);
    }
    state.was_sent = state.was_sent || may_be_sent;
    state.last_error = std::move(error);
    // Each member once without waiting, then ever more slowly.
    const size_t members = setup_.endpoints.size();
    Duration wait{};
    if (state.attempts >= members) {
        const size_t doublings = std::min<size_t>(state.attempts / members - 1, 10);
        wait = std::min<Duration>(kRetryWait * (1 << doublings), kRetryWaitMax);
    }
    state.retry_at = clock_.mono() + wait;
    static_cast<void>(token); // on_time goes on with it
}

void Calls::end(Token token, Result<Answer> answer, std::string body) {
    const State& state = *calls_.find(token);
    CallUser* user = state.call.user;
    const uint32_t what = state.call.what;
    Outcome outcome{std::move(answer), std::move(body), state.sent_at, state.was_sent};
    calls_.erase(token);
    user->on_called(what, std::move(outcome));
}

void Calls::on_time() {
    const MonoTime now = clock_.mono();
    if (login_ == Login::needed && login_at_ <= now) {
        bool is_wanted = false;
        calls_.for_each([&](Token, State& state) {
            is_wanted = is_wanted || (!state.http && state.retry_at == kMonoNever);
        });
        if (is_wanted) {
            ask_login();
        }
    }
    std::vector<Token> given_up;
    calls_.for_each([&](Token token, State& state) {
        // An attempt under way may reach etcd, whatever became of those before.
        const bool is_sent = state.was_sent || state.http;
        if (state.call.give_up_at <= now && !(state.call.gives_up_only_unsent && is_sent)) {
            given_up.push_back(token);
        } else if (!state.http && state.retry_at <= now) {
            attempt(token, state);
        }
    });
    for (const Token token : given_up) {
        State* state = calls_.find(token);
        if (state == nullptr) {
            continue; // a user who heard of another one cancelled it
        }
        if (state->http) {
            http_.cancel(state->http);
            by_http_.erase(state->http);
            state->was_sent = true;
        }
        Error error = state->last_error.detail.empty()
                          ? Error(Code::store_unavailable, "no answer in time")
                          : state->last_error;
        error.code = error.code == Code::not_authorized ? error.code : Code::store_unavailable;
        error.detail = "etcd at " + endpoint() + ": " + error.detail;
        end(token, std::move(error), {});
    }
}

MonoTime Calls::next_due() {
    MonoTime due = kMonoNever;
    bool waits_for_login = false;
    calls_.for_each([&](Token, State& state) {
        if (!state.http) {
            due = std::min(due, state.retry_at);
            waits_for_login = waits_for_login || state.retry_at == kMonoNever;
        }
        if (!(state.call.gives_up_only_unsent && (state.was_sent || state.http))) {
            due = std::min(due, state.call.give_up_at);
        }
    });
    return waits_for_login && login_ == Login::needed ? std::min(due, login_at_) : due;
}

// ---- login --------------------------------------------------------------------------------------

void Calls::ask_login() {
    if (login_ != Login::needed || login_at_ > clock_.mono()) {
        return;
    }
    login_ = Login::asked;
    login_token_.clear();
    port::HttpRequest request;
    request.url = endpoint() + kLoginPath;
    request.headers = headers();
    request.body = encode_user(setup_.user, setup_.password);
    request.timeout = kLoginTime;
    request.answer_bytes_max = kAnswerBytesMax;
    login_http_ = http_.start(std::move(request));
}

void Calls::on_login(const port::HttpAnswer& answer) {
    if (answer.status == 200) {
        Result<Answer> decoded = decode_answer(answer.body);
        if (decoded && !decoded->token.empty()) {
            login_token_ = decoded->token;
            login_ = Login::done;
        }
    } else {
        const Refusal refusal = decode_refusal(answer.status, answer.body);
        if (refusal.error.detail.find("authentication is not enabled") != std::string::npos) {
            login_ = Login::done; // etcd asks nobody who they are
        } else if (refusal.error.code == Code::not_authorized) {
            login_refused(refusal.error);
            return;
        }
    }
    if (login_ != Login::done) {
        login_ = Login::needed;
        login_at_ = clock_.mono() + kRetryWait;
        leave_member(Error(Code::store_unavailable, "the login has no answer"));
        return;
    }
    const MonoTime now = clock_.mono();
    calls_.for_each([&](Token, State& state) {
        if (!state.http && state.retry_at == kMonoNever) {
            state.retry_at = now;
        }
    });
}

// What was never sent ends here; the others ask again later, since they must know.
void Calls::login_refused(const Error& error) {
    login_ = Login::needed;
    login_at_ = clock_.mono() + kLoginWait;
    log_line(LogLevel::error, "etcd_login_failed",
             {{"url", endpoint()}, {"user", setup_.user}, {"error", error.detail}});
    std::vector<Token> refused;
    calls_.for_each([&](Token token, State& state) {
        state.last_error = error;
        if (!state.http && !state.was_sent && state.retry_at == kMonoNever) {
            refused.push_back(token);
        }
    });
    for (const Token token : refused) {
        if (calls_.find(token) != nullptr) {
            end(token,
                Error(Code::not_authorized,
                      "etcd at " + endpoint() + ": user '" + setup_.user + "': " + error.detail),
                {});
        }
    }
}

} // namespace qtool::etcd
