#include "server/etcd/etcd_store.h"

#include "lib/base/assert.h"

#include <algorithm>
#include <utility>

namespace qtool::etcd {

namespace {

std::string root_of(const std::string& cluster) {
    return "/qbroker/" + cluster + "/";
}

std::string process_name(port::Random& random) {
    return std::to_string(random.next()) + "-" + std::to_string(random.next());
}

} // namespace

EtcdStore::EtcdStore(Setup setup, port::Http& http, const port::Clock& clock, port::Random& random)
    : http_(http),
      clock_(clock),
      counters_(setup.counters != nullptr ? *setup.counters : own_counters_),
      calls_({setup.endpoints, setup.user, setup.password}, http, clock, counters_),
      committer_({root_of(setup.cluster) + "meta/",
                  root_of(setup.cluster) + "writers/" + process_name(random) + "/",
                  static_cast<LeaseId>((random.next() >> 2) | 1)},
                 calls_, clock,
                 [this](Token token, Result<Revision> result) {
                     if (result) {
                         counters_.commits.add();
                         watcher_.expect(*result);
                     } else if (result.error().code == Code::store_conflict) {
                         counters_.conflicts.add();
                     }
                     ready_.push_back([token, result = std::move(result)](auto& events) {
                         events.on_store_committed(token, result);
                     });
                 }),
      session_(calls_, clock, random,
               {[this](MonoTime until) {
                    ready_.push_back([until](auto& events) { events.on_session_renewed(until); });
                },
                [this] { ready_.push_back([](auto& events) { events.on_session_lost(); }); },
                [this] { ready_.push_back([](auto& events) { events.on_session_closed(); }); }}),
      watcher_(root_of(setup.cluster) + "meta/", calls_, clock, counters_,
               {[this](Result<port::StoreSnapshot> snapshot) {
                    ready_.push_back([snapshot = std::move(snapshot)](auto& events) mutable {
                        events.on_store_loaded(std::move(snapshot));
                    });
                },
                [this](port::StoreSnapshot snapshot) {
                    ready_.push_back([snapshot = std::move(snapshot)](auto& events) mutable {
                        events.on_store_reloaded(std::move(snapshot));
                    });
                },
                [this](port::StoreChange change) {
                    ready_.push_back([change = std::move(change)](auto& events) {
                        events.on_store_changed(change);
                    });
                }}) {
    http_.set_events(this);
}

EtcdStore::~EtcdStore() {
    http_.set_events(nullptr);
}

void EtcdStore::load() {
    watcher_.load();
    step();
}

void EtcdStore::commit(port::StoreTransaction transaction, Token token) {
    committer_.commit(std::move(transaction), token, session_.lease());
    step();
}

void EtcdStore::open_session(Duration ttl) {
    session_.open(ttl);
    step();
}

void EtcdStore::close_session() {
    session_.close();
    step();
}

bool EtcdStore::deliver_pending() {
    QT_ASSERT(events_ != nullptr);
    std::deque<Event> ready = std::exchange(ready_, {});
    for (Event& event : ready) {
        event(*events_);
    }
    return !ready.empty();
}

void EtcdStore::on_http_part(Token token, std::string_view bytes) {
    calls_.on_http_part(token, bytes);
    step();
}
void EtcdStore::on_http_answer(Token token, port::HttpAnswer answer) {
    calls_.on_http_answer(token, std::move(answer));
    step();
}
void EtcdStore::on_http_failed(Token token, port::HttpFailure failure) {
    calls_.on_http_failed(token, std::move(failure));
    step();
}
void EtcdStore::on_http_alarm() {
    step();
}

void EtcdStore::step() {
    // First who may give up: an answer that came too late must not count.
    session_.on_time();
    committer_.on_time();
    watcher_.on_time();
    calls_.on_time();
    http_.set_alarm(std::min(
        {session_.next_due(), committer_.next_due(), watcher_.next_due(), calls_.next_due()}));
}

} // namespace qtool::etcd
