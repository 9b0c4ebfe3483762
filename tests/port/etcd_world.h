// Real etcd processes for the tests, and the store on them in the test's own thread.
#pragma once

#include "server/etcd/etcd_store.h"
#include "server/uv/uv_clock.h"
#include "server/uv/uv_http.h"
#include "tests/port/uv_port_world.h"

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace qtool::test {

/// Members of one etcd cluster on this machine, each a process of its own; ended with this.
class EtcdProcesses {
public:
    explicit EtcdProcesses(size_t member_count);
    ~EtcdProcesses();
    EtcdProcesses(const EtcdProcesses&) = delete;
    EtcdProcesses& operator=(const EtcdProcesses&) = delete;

    [[nodiscard]] std::vector<std::string> endpoints() const;
    void start(size_t member);
    void kill(size_t member);
    void pause(size_t member);  // SIGSTOP
    void resume(size_t member); // SIGCONT

private:
    struct Member {
        uint16_t client_port = 0;
        uint16_t peer_port = 0;
        pid_t pid = -1;
    };

    TemporaryDirectory directory_;
    std::vector<Member> members_;
};

/// A loop of the test's own with an HTTP client on it.
class HttpLoop {
public:
    HttpLoop();
    ~HttpLoop();
    HttpLoop(const HttpLoop&) = delete;
    HttpLoop& operator=(const HttpLoop&) = delete;

    port::Http& http() { return *http_; }
    const port::Clock& clock() { return clock_; }
    port::Random& random() { return random_; }
    /// One turn: waits some milliseconds at most.
    void turn();

private:
    class NoEvents;
    uv::CoreContext context_;
    uv::UvClock clock_;
    uv::UvRandom random_;
    std::unique_ptr<uv::UvHttp> http_;
    uv_timer_t tick_{};
};

/// Posts to etcd and waits for the answer's body. Fails the test when there is none.
std::string etcd_post(const std::string& endpoint, const std::string& path,
                      const std::string& body);

/// A store on some etcd, as a process would have it.
class EtcdStoreProcess {
public:
    EtcdStoreProcess(std::vector<std::string> endpoints, std::string cluster, std::string user = {},
                     std::string password = {});

    port::MetadataStore& store() { return *store_; }
    const port::Clock& clock() { return loop_.clock(); }
    bool wait_until(const std::function<bool()>& done);
    void wait_for(Duration duration);

private:
    HttpLoop loop_;
    std::unique_ptr<etcd::EtcdStore> store_;
};

/// For the contract: an etcd of one member that all tests share, with a cluster name of its own.
class EtcdStoreWorld {
public:
    EtcdStoreWorld();
    port::MetadataStore& store() { return process_->store(); }
    bool wait_until(const std::function<bool()>& done) { return process_->wait_until(done); }
    void reopen();

private:
    std::string cluster_;
    std::unique_ptr<EtcdStoreProcess> process_;
};

} // namespace qtool::test
