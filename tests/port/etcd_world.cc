#include "tests/port/etcd_world.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>

namespace qtool::test {

namespace {

constexpr auto kWaitMax = std::chrono::seconds(60); // only a failing test takes that long

uint16_t free_port() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    socklen_t size = sizeof address;
    REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    ::close(fd);
    return ntohs(address.sin_port);
}

std::string url(uint16_t port) {
    return "http://127.0.0.1:" + std::to_string(port);
}

} // namespace

EtcdProcesses::EtcdProcesses(size_t member_count) : members_(member_count) {
    for (Member& member : members_) {
        member.client_port = free_port();
        member.peer_port = free_port();
    }
    for (size_t i = 0; i < member_count; i++) {
        start(i);
    }
}

EtcdProcesses::~EtcdProcesses() {
    for (size_t i = 0; i < members_.size(); i++) {
        kill(i);
    }
}

std::vector<std::string> EtcdProcesses::endpoints() const {
    std::vector<std::string> all;
    for (const Member& member : members_) {
        all.push_back(url(member.client_port));
    }
    return all;
}

void EtcdProcesses::start(size_t index) {
    std::string all;
    for (size_t i = 0; i < members_.size(); i++) {
        all += (i == 0 ? "m" : ",m") + std::to_string(i) + "=" + url(members_[i].peer_port);
    }
    Member& member = members_[index];
    const std::string name = "m" + std::to_string(index);
    const std::vector<std::string> arguments = {"etcd",
                                                "--name",
                                                name,
                                                "--data-dir",
                                                directory_.path() + "/" + name,
                                                "--listen-client-urls",
                                                url(member.client_port),
                                                "--advertise-client-urls",
                                                url(member.client_port),
                                                "--listen-peer-urls",
                                                url(member.peer_port),
                                                "--initial-advertise-peer-urls",
                                                url(member.peer_port),
                                                "--initial-cluster",
                                                all,
                                                "--logger",
                                                "zap",
                                                "--log-level",
                                                "error"};
    std::vector<char*> argv;
    for (const std::string& argument : arguments) {
        argv.push_back(const_cast<char*>(argument.c_str()));
    }
    argv.push_back(nullptr);
    const std::string log = directory_.path() + "/" + name + ".log";
    member.pid = ::fork();
    REQUIRE(member.pid >= 0);
    if (member.pid == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL); // not left behind by a test that is killed
        const int fd = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
        ::dup2(fd, 1);
        ::dup2(fd, 2);
        ::execvp("etcd", argv.data());
        ::_exit(127);
    }
}

void EtcdProcesses::kill(size_t index) {
    Member& member = members_[index];
    if (member.pid > 0) {
        ::kill(member.pid, SIGKILL);
        int status = 0;
        ::waitpid(member.pid, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
            FAIL("etcd is not installed (scripts/install-deps.sh --tests)");
        }
        member.pid = -1;
    }
}

void EtcdProcesses::pause(size_t index) {
    REQUIRE(::kill(members_[index].pid, SIGSTOP) == 0);
}

void EtcdProcesses::resume(size_t index) {
    REQUIRE(::kill(members_[index].pid, SIGCONT) == 0);
}

// ---- loop ---------------------------------------------------------------------------------------

HttpLoop::HttpLoop() {
    REQUIRE(uv_loop_init(&context_.loop) == 0);
    Result<std::unique_ptr<uv::UvHttp>> opened = uv::UvHttp::open(context_, {});
    REQUIRE(opened);
    http_ = *std::move(opened);
    uv_timer_init(&context_.loop, &tick_);
    uv_timer_start(
        &tick_, [](uv_timer_t*) {}, 5, 5);
}

HttpLoop::~HttpLoop() {
    http_->close();
    uv_close(reinterpret_cast<uv_handle_t*>(&tick_), nullptr);
    uv_run(&context_.loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&context_.loop) == 0);
}

void HttpLoop::turn() {
    uv_run(&context_.loop, UV_RUN_ONCE);
}

std::string etcd_post(const std::string& endpoint, const std::string& path,
                      const std::string& body) {
    struct Events final : port::HttpEvents {
        std::optional<std::string> answer;
        std::string error;
        void on_http_part(Token, std::string_view) override {}
        void on_http_answer(Token, port::HttpAnswer got) override { answer = got.body; }
        void on_http_failed(Token, port::HttpFailure failure) override {
            error = to_string(failure.error);
        }
        void on_http_alarm() override {}
    };
    HttpLoop loop;
    Events events;
    loop.http().set_events(&events);
    const auto limit = std::chrono::steady_clock::now() + kWaitMax;
    while (!events.answer && std::chrono::steady_clock::now() < limit) {
        events.error.clear();
        loop.http().start({endpoint + path, {}, body, 10s, false, 1024 * 1024});
        while (!events.answer && events.error.empty()) {
            loop.turn();
        }
    }
    REQUIRE_MESSAGE(events.answer.has_value(), events.error);
    return *events.answer;
}

// ---- store --------------------------------------------------------------------------------------

EtcdStoreProcess::EtcdStoreProcess(std::vector<std::string> endpoints, std::string cluster,
                                   std::string user, std::string password) {
    store_ = std::make_unique<etcd::EtcdStore>(
        etcd::EtcdStore::Setup{std::move(endpoints), std::move(cluster), std::move(user),
                               std::move(password)},
        loop_.http(), loop_.clock(), loop_.random());
}

bool EtcdStoreProcess::wait_until(const std::function<bool()>& done) {
    const auto limit = std::chrono::steady_clock::now() + kWaitMax;
    while (true) {
        store_->deliver_pending();
        if (done()) {
            return true;
        }
        if (std::chrono::steady_clock::now() > limit) {
            return false;
        }
        loop_.turn();
    }
}

void EtcdStoreProcess::wait_for(Duration duration) {
    const auto limit = std::chrono::steady_clock::now() + duration;
    wait_until([&] { return std::chrono::steady_clock::now() >= limit; });
}

EtcdStoreWorld::EtcdStoreWorld() {
    static int count = 0;
    cluster_ = "contract-" + std::to_string(count++);
    reopen();
}

void EtcdStoreWorld::reopen() {
    static EtcdProcesses shared(1);
    process_.reset();
    process_ = std::make_unique<EtcdStoreProcess>(shared.endpoints(), cluster_);
}

} // namespace qtool::test
