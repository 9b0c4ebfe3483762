// EtcdStore: the metadata store of a cluster, in etcd. Puts together the calls, the committer, the
// watcher and the session, and keeps their events for deliver_pending(). Sans-IO on port::Http;
// lives on the metadata core.
//
//   /qbroker/<cluster>/meta/<key>               the store's keys
//   /qbroker/<cluster>/writers/<process>/...    slots of a process, on a lease (committer.h)
#pragma once

#include "server/etcd/calls.h"
#include "server/etcd/committer.h"
#include "server/etcd/session.h"
#include "server/etcd/watcher.h"
#include "server/port/metadata_store.h"
#include "server/port/random.h"

#include <deque>
#include <functional>
#include <string>
#include <vector>

namespace qtool::etcd {

class EtcdStore final : public port::MetadataStore, private port::HttpEvents {
public:
    struct Setup {
        std::vector<std::string> endpoints; // "http://host:port" or "https://...", at least one
        std::string cluster;                // its name; many can share an etcd
        std::string user;                   // empty: no login
        std::string password;
        metrics::StoreCounters* counters = nullptr; // outlive the store; nullptr: nobody looks
    };
    /// All must outlive the store.
    EtcdStore(Setup setup, port::Http& http, const port::Clock& clock, port::Random& random);
    ~EtcdStore() override;
    EtcdStore(const EtcdStore&) = delete;
    EtcdStore& operator=(const EtcdStore&) = delete;

    void set_events(port::MetadataStoreEvents* events) override { events_ = events; }
    void load() override;
    void commit(port::StoreTransaction transaction, Token token) override;
    [[nodiscard]] size_t max_writes() const override { return kCommitWritesMax; }
    void open_session(Duration ttl) override;
    void close_session() override;
    bool deliver_pending() override;

private:
    using Event = std::function<void(port::MetadataStoreEvents&)>;

    void on_http_part(Token token, std::string_view bytes) override;
    void on_http_answer(Token token, port::HttpAnswer answer) override;
    void on_http_failed(Token token, port::HttpFailure failure) override;
    void on_http_alarm() override;
    /// What is due is done, and the alarm is set for what is not.
    void step();

    port::Http& http_;
    const port::Clock& clock_;
    metrics::StoreCounters own_counters_;
    metrics::StoreCounters& counters_;
    port::MetadataStoreEvents* events_ = nullptr;
    std::deque<Event> ready_; // not delivered yet
    Calls calls_;
    Committer committer_;
    Session session_;
    Watcher watcher_;
};

} // namespace qtool::etcd
