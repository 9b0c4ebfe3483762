#include "tests/unit/server/etcd/fake_etcd.h"

#include "lib/base/assert.h"
#include "lib/base/base64.h"

#include <algorithm>
#include <utility>

namespace qtool::test {

namespace {

std::string encoded(const std::string& text) {
    return base64_encode(as_bytes(text), Base64Alphabet::standard);
}
std::string decoded(const nlohmann::json& json, const char* name) {
    if (!json.contains(name)) {
        return {};
    }
    const std::vector<std::byte> bytes =
        base64_decode(json[name].get<std::string>(), Base64Alphabet::standard).value();
    return std::string(as_text(bytes));
}
int64_t number(const nlohmann::json& json, const char* name) {
    return json.contains(name) ? std::stoll(json[name].get<std::string>()) : 0;
}
port::HttpAnswer refusal(int status, int code, const std::string& message) {
    return {status,
            nlohmann::json{{"error", message}, {"message", message}, {"code", code}}.dump()};
}

} // namespace

// ---- time ---------------------------------------------------------------------------------------

void FakeEtcd::at(MonoTime time, std::function<void()> action) {
    due_.emplace(std::max(time, now_), std::move(action));
}

bool FakeEtcd::happens(const char* fault, uint64_t percent) {
    const bool does = has_faults && below(100) < percent;
    hits[fault] += does ? 1 : 0;
    return does;
}

bool FakeEtcd::step() {
    const MonoTime next = due_.empty() ? kMonoNever : due_.begin()->first;
    if (alarm_ == kMonoNever && next == kMonoNever) {
        return false;
    }
    if (alarm_ < next) {
        now_ = std::max(now_, std::exchange(alarm_, kMonoNever));
        end_leases();
        events_->on_http_alarm();
        return true;
    }
    now_ = next;
    end_leases();
    const std::function<void()> action = std::move(due_.begin()->second);
    due_.erase(due_.begin());
    action();
    return true;
}

bool FakeEtcd::run_until(const std::function<bool()>& done, Duration at_most) {
    const MonoTime limit = now_ + at_most;
    while (!done()) {
        if (now_ > limit || !step()) {
            return false;
        }
    }
    return true;
}

// ---- network ------------------------------------------------------------------------------------

Token FakeEtcd::start(port::HttpRequest request) {
    const Token token = requests_.emplace(Request{std::move(request)});
    const port::HttpRequest& made = requests_.find(token)->request;
    if (made.is_stream) {
        at(now_ + soon(), [this, token] { open_watch(token); });
        return token;
    }
    const MonoTime late = now_ + made.timeout;
    if (is_silent) {
        fail(token, late, Error(Code::timed_out, "silent"), true);
        return token;
    }
    if (happens("refused", 5)) {
        fail(token, now_ + soon(), Error(Code::connection_failed, "refused"), false);
        return token;
    }
    if (happens("lost", 5)) {
        fail(token, late, Error(Code::timed_out, "lost"), true);
        return token;
    }
    if (happens("late", 8)) { // long after the client has given up on it
        fail(token, below(2) == 0 ? late : now_ + soon(), Error(Code::timed_out, "late"), true);
        at(now_ + std::chrono::milliseconds(below(20'000)),
           [this, copy = made] { static_cast<void>(apply(copy)); });
        return token;
    }
    const bool is_answer_lost = happens("answer lost", 8);
    const bool is_unsure = happens("unsure", 10);
    at(now_ + soon(), [this, token, late, copy = made, is_answer_lost, is_unsure] {
        if (is_unsure) {
            answer(token, now_ + soon(), refusal(503, 14, "etcdserver: request timed out"));
            if (below(3) != 0) { // or now, or later, or never
                at(now_ + std::chrono::milliseconds(below(3) * 700),
                   [this, copy] { static_cast<void>(apply(copy)); });
            }
            return;
        }
        port::HttpAnswer result = apply(copy);
        if (is_answer_lost) {
            fail(token, below(2) == 0 ? late : now_ + soon(),
                 Error(Code::connection_failed, "the answer is lost"), true);
        } else {
            answer(token, now_ + soon(), std::move(result));
        }
    });
    return token;
}

void FakeEtcd::answer(Token token, MonoTime when, port::HttpAnswer answer) {
    at(when, [this, token, answer = std::move(answer)] {
        if (requests_.erase(token)) {
            events_->on_http_answer(token, answer);
        }
    });
}

void FakeEtcd::fail(Token token, MonoTime when, Error error, bool was_sent) {
    at(when, [this, token, error = std::move(error), was_sent] {
        if (requests_.erase(token)) {
            events_->on_http_failed(token, {error, was_sent});
        }
    });
}

// ---- etcd ---------------------------------------------------------------------------------------

FakeEtcd::Json FakeEtcd::header() const {
    return {{"cluster_id", "7"}, {"revision", std::to_string(revision_)}};
}

FakeEtcd::Json FakeEtcd::kv(const std::string& key, const Entry& entry) const {
    Json json = {{"key", encoded(key)},
                 {"value", encoded(entry.value)},
                 {"mod_revision", std::to_string(entry.mod_revision)}};
    if (entry.lease != 0) {
        json["lease"] = std::to_string(entry.lease);
    }
    return json;
}

port::HttpAnswer FakeEtcd::apply(const port::HttpRequest& request) {
    const std::string path = request.url.substr(request.url.find('/', 7));
    if (path == "/version") {
        return {200, R"({"etcdserver":"3.4.23","etcdcluster":"3.4.0"})"};
    }
    const Json json = Json::parse(request.body);
    if (path == "/v3/kv/txn") {
        return txn(json);
    }
    if (path == "/v3/kv/range") {
        return range(json);
    }
    return lease(path, json);
}

port::HttpAnswer FakeEtcd::txn(const Json& json) {
    bool holds = true;
    for (const Json& compare : json["compare"]) {
        const auto found = entries_.find(decoded(compare, "key"));
        const int64_t revision = found == entries_.end() ? 0 : found->second.mod_revision;
        holds = holds && revision == number(compare, "mod_revision");
    }
    const Json& operations = json[holds ? "success" : "failure"];
    for (const Json& operation : operations) {
        if (operation.contains("request_put")) {
            const int64_t id = number(operation["request_put"], "lease");
            if (id != 0 && !leases.contains(id)) {
                return refusal(404, 5, "etcdserver: requested lease not found");
            }
        }
    }
    Change change{revision_ + 1, {}};
    Json responses = Json::array();
    for (const Json& operation : operations) {
        if (operation.contains("request_put")) {
            const Json& put = operation["request_put"];
            const Entry entry{decoded(put, "value"), change.revision, number(put, "lease")};
            entries_[decoded(put, "key")] = entry;
            change.writes.push_back({decoded(put, "key"), entry.value, entry.lease});
        } else if (operation.contains("request_delete_range")) {
            const std::string key = decoded(operation["request_delete_range"], "key");
            if (entries_.erase(key) != 0) {
                change.writes.push_back({key, std::nullopt, 0});
            }
        } else {
            const std::string key = decoded(operation["request_range"], "key");
            Json list = Json::array();
            if (const auto found = entries_.find(key); found != entries_.end()) {
                list.push_back(kv(key, found->second));
            }
            responses.push_back({{"response_range", {{"kvs", std::move(list)}}}});
        }
    }
    if (!change.writes.empty()) {
        revision_ = change.revision;
        history.push_back(std::move(change));
        tell_all();
    }
    Json answer = {{"header", header()}, {"responses", std::move(responses)}};
    if (holds) {
        answer["succeeded"] = true;
    }
    return {200, answer.dump()};
}

// Of the newest revision alone: a page of an older one is answered as if that was compacted.
port::HttpAnswer FakeEtcd::range(const Json& json) {
    if (const int64_t wanted = number(json, "revision"); wanted != 0 && wanted != revision_) {
        return refusal(400, 11, "etcdserver: mvcc: required revision has been compacted");
    }
    Json list = Json::array();
    const std::string end = decoded(json, "range_end");
    for (auto at = entries_.lower_bound(decoded(json, "key"));
         at != entries_.end() && at->first < end; ++at) {
        list.push_back(kv(at->first, at->second));
    }
    return {200, Json{{"header", header()}, {"kvs", std::move(list)}}.dump()};
}

port::HttpAnswer FakeEtcd::lease(const std::string& path, const Json& json) {
    const int64_t id = number(json, "ID");
    if (path == "/v3/lease/grant") {
        if (leases.contains(id)) {
            return refusal(412, 9, "etcdserver: lease already exists");
        }
        const int64_t ttl_s = number(json, "TTL");
        leases[id] = {ttl_s, now_ + std::chrono::seconds(ttl_s)};
        return {
            200,
            Json{{"header", header()}, {"ID", std::to_string(id)}, {"TTL", std::to_string(ttl_s)}}
                .dump()};
    }
    if (path == "/v3/lease/keepalive") {
        Json result = {{"header", header()}, {"ID", std::to_string(id)}};
        if (const auto found = leases.find(id); found != leases.end()) {
            found->second.ends_at = now_ + std::chrono::seconds(found->second.ttl_s);
            result["TTL"] = std::to_string(found->second.ttl_s);
        }
        return {200, Json{{"result", std::move(result)}}.dump()};
    }
    QT_ASSERT(path == "/v3/lease/revoke");
    if (!leases.contains(id)) {
        return refusal(404, 5, "etcdserver: requested lease not found");
    }
    drop_lease(id);
    return {200, Json{{"header", header()}}.dump()};
}

void FakeEtcd::end_leases() {
    std::vector<int64_t> ended;
    for (const auto& [id, lease] : leases) {
        if (lease.ends_at <= now_) {
            ended.push_back(id);
        }
    }
    for (const int64_t id : ended) {
        drop_lease(id);
    }
}

void FakeEtcd::drop_lease(int64_t id) {
    leases.erase(id);
    Change change{revision_ + 1, {}};
    for (auto at = entries_.begin(); at != entries_.end();) {
        if (at->second.lease == id) {
            change.writes.push_back({at->first, std::nullopt, 0});
            at = entries_.erase(at);
        } else {
            ++at;
        }
    }
    if (!change.writes.empty()) {
        revision_ = change.revision;
        history.push_back(std::move(change));
        tell_all();
    }
}

// ---- watch --------------------------------------------------------------------------------------

void FakeEtcd::open_watch(Token token) {
    Request* stream = requests_.find(token);
    if (stream == nullptr || is_silent) {
        return;
    }
    const Json create = Json::parse(stream->request.body)["create_request"];
    stream->watched = number(create, "start_revision");
    if (stream->watched <= compacted_) {
        const Json gone = {{"result",
                            {{"header", header()},
                             {"created", true},
                             {"canceled", true},
                             {"compact_revision", std::to_string(compacted_ + 1)}}}};
        events_->on_http_part(token, gone.dump() + "\n");
        return;
    }
    stream->is_watching = true;
    stream->is_stuck = happens("watch stuck", 10);
    events_->on_http_part(
        token, Json{{"result", {{"header", header()}, {"created", true}}}}.dump() + "\n");
    tell(token);
}

void FakeEtcd::tell_all() {
    std::vector<Token> streams;
    requests_.for_each([&](Token token, const Request& request) {
        if (request.is_watching) {
            streams.push_back(token);
        }
    });
    for (const Token token : streams) {
        at(now_ + soon(), [this, token] { tell(token); });
    }
}

void FakeEtcd::tell(Token token) {
    Request* stream = requests_.find(token);
    if (stream == nullptr || stream->is_stuck || is_silent) {
        return;
    }
    if (happens("watch cut", 2)) {
        fail(token, now_, Error(Code::connection_failed, "cut"), true);
        return;
    }
    const Json create = Json::parse(stream->request.body)["create_request"];
    const std::string first = decoded(create, "key");
    const std::string end = decoded(create, "range_end");
    std::string text;
    for (const Change& change : history) {
        if (change.revision < stream->watched) {
            continue;
        }
        stream->watched = change.revision + 1;
        std::vector<Json> events;
        for (const Write& write : change.writes) {
            if (write.key >= first && write.key < end) {
                Json event = {{"kv", kv(write.key,
                                        {write.value.value_or(""), change.revision, write.lease})}};
                if (!write.value) {
                    event["type"] = "DELETE";
                }
                events.push_back(std::move(event));
            }
        }
        // A large change comes in fragments.
        const size_t cut = events.size() > 1 && below(2) == 0 ? 1 : events.size();
        const auto message = [&](size_t from, size_t to, bool fragment) {
            Json list = Json::array();
            for (size_t i = from; i < to; i++) {
                list.push_back(events[i]);
            }
            Json result = {{"header", header()}, {"events", std::move(list)}};
            if (fragment) {
                result["fragment"] = true;
            }
            text += Json{{"result", std::move(result)}}.dump() + "\n";
        };
        if (!events.empty()) {
            message(0, cut, cut < events.size());
        }
        if (cut < events.size()) {
            message(cut, events.size(), false);
        }
    }
    if (!text.empty()) {
        const size_t half = below(text.size());
        events_->on_http_part(token, text.substr(0, half));
        if (requests_.find(token) != nullptr) {
            events_->on_http_part(token, text.substr(half));
        }
    }
}

void FakeEtcd::cut_streams() {
    requests_.for_each([&](Token token, const Request& request) {
        if (request.request.is_stream) {
            fail(token, now_, Error(Code::connection_failed, "cut"), true);
        }
    });
}

} // namespace qtool::test
