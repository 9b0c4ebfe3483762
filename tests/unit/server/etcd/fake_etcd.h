// FakeEtcd: an etcd in memory behind port::Http, in simulated time, on a network that loses, delays
// and repeats nothing but what the seed says. It knows the truth, so that a test can compare.
#pragma once

#include "lib/base/prng.h"
#include "server/port/clock.h"
#include "server/port/http.h"
#include "server/port/random.h"

#include <nlohmann/json.hpp>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace qtool::test {

class FakeEtcd final : public port::Http, public port::Clock, public port::Random {
public:
    struct Write {
        std::string key;
        std::optional<std::string> value;
        int64_t lease = 0;
    };
    struct Change {
        int64_t revision = 0;
        std::vector<Write> writes;
    };
    struct Lease {
        int64_t ttl_s = 0;
        MonoTime ends_at{};
    };

    explicit FakeEtcd(uint64_t seed) : prng_(seed) {}

    // What the test sets and sees.
    bool has_faults = false;
    bool is_silent = false; // no request arrives, none is answered
    std::vector<Change> history;
    std::map<int64_t, Lease> leases;
    std::map<std::string, int> hits; // faults that happened

    void compact() { compacted_ = revision_; }
    void cut_streams();
    /// Lets the next thing happen. False: nothing is left.
    bool step();
    /// Things happen until `done`, or so much time has passed.
    bool run_until(const std::function<bool()>& done, Duration at_most);

    // port::Http, Clock, Random
    void set_events(port::HttpEvents* events) override { events_ = events; }
    Token start(port::HttpRequest request) override;
    void cancel(Token token) override { requests_.erase(token); }
    void set_alarm(MonoTime due) override { alarm_ = due; }
    [[nodiscard]] MonoTime mono() const override { return now_; }
    [[nodiscard]] WallTime wall() const override { return {}; }
    uint64_t next() override { return prng_.next(); }
    uint64_t below(uint64_t bound) { return prng_.next() % bound; }

private:
    using Json = nlohmann::json;
    struct Request {
        port::HttpRequest request;
        int64_t watched = 0; // a stream: next revision to tell
        bool is_watching = false;
        bool is_stuck = false;
    };
    struct Entry {
        std::string value;
        int64_t mod_revision = 0;
        int64_t lease = 0;
    };

    void at(MonoTime time, std::function<void()> action);
    Duration soon() { return std::chrono::microseconds(100 + below(20'000)); }
    bool happens(const char* fault, uint64_t percent);
    void answer(Token token, MonoTime when, port::HttpAnswer answer);
    void fail(Token token, MonoTime when, Error error, bool was_sent);
    port::HttpAnswer apply(const port::HttpRequest& request);
    port::HttpAnswer txn(const Json& json);
    port::HttpAnswer range(const Json& json);
    port::HttpAnswer lease(const std::string& path, const Json& json);
    void end_leases();
    void drop_lease(int64_t id);
    void open_watch(Token token);
    void tell(Token token);
    void tell_all();
    Json header() const;
    Json kv(const std::string& key, const Entry& entry) const;

    Prng prng_;
    port::HttpEvents* events_ = nullptr;
    MonoTime now_{};
    MonoTime alarm_ = kMonoNever;
    std::multimap<MonoTime, std::function<void()>> due_;
    SlotMap<Request> requests_;
    std::map<std::string, Entry> entries_;
    int64_t revision_ = 1;
    int64_t compacted_ = 0;
};

} // namespace qtool::test
