// The contracts on threads, sockets and files, and what only the real world can show: descriptors
// that run out, a full device, a core that sleeps.
#include "server/metadata/store_sqlite.h"
#include "tests/port/disk_contract.h"
#include "tests/port/mailbox_contract.h"
#include "tests/port/net_contract.h"
#include "tests/port/store_contract.h"
#include "tests/port/timer_contract.h"
#include "tests/port/uv_port_world.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

namespace qtool::test {

namespace {

class SqliteStoreWorld {
public:
    SqliteStoreWorld() { reopen(); }
    port::MetadataStore& store() { return *store_; }
    bool wait_until(const std::function<bool()>& done) {
        while (!done()) {
            if (!store_->deliver_pending()) {
                return done(); // it has nothing more to say
            }
        }
        return true;
    }
    void reopen() {
        store_.reset();
        Result<std::unique_ptr<metadata::SqliteStore>> opened =
            metadata::SqliteStore::open(directory_.path() + "/metadata.db");
        REQUIRE(opened);
        store_ = *std::move(opened);
    }

private:
    TemporaryDirectory directory_;
    std::unique_ptr<metadata::SqliteStore> store_;
};

/// Of the whole process, by all its threads.
Duration cpu_used() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto to_duration = [](const timeval& time) {
        return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
    };
    return to_duration(usage.ru_utime) + to_duration(usage.ru_stime);
}

/// Files that may be open, lowered while it lives.
class DescriptorLimit {
public:
    explicit DescriptorLimit(rlim_t count_max) {
        REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
        rlimit lowered = before_;
        lowered.rlim_cur = count_max;
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &lowered) == 0);
    }
    ~DescriptorLimit() { ::setrlimit(RLIMIT_NOFILE, &before_); }
    DescriptorLimit(const DescriptorLimit&) = delete;
    DescriptorLimit& operator=(const DescriptorLimit&) = delete;

private:
    rlimit before_{};
};

/// The number the next file would get.
rlim_t next_descriptor() {
    const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    ::close(fd);
    return static_cast<rlim_t>(fd);
}

} // namespace

} // namespace qtool::test

using namespace qtool;
using namespace qtool::test;

TYPE_TO_STRING(UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(disk_file, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(disk_names, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(disk_lock, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(disk_sync, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(disk_read_in, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(timer_rings, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(timer_replaced, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(mailbox_order, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(mailbox_wakes, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(mailbox_freed, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_echo, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_dealing, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_detach, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_detached_end, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_backpressure, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_pieces, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_large_file, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_close_when_sent, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_close_deadline, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_peer_gone, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_close, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_short_file, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_stop_listening, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_connect, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_connect_early, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_connect_backpressure, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_connect_refused, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_connect_given_up, UvPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_connect_unknown, UvPortWorld);
TYPE_TO_STRING(SqliteStoreWorld);
TEST_CASE_TEMPLATE_INVOKE(store_transactions, SqliteStoreWorld);
TEST_CASE_TEMPLATE_INVOKE(store_order, SqliteStoreWorld);
TEST_CASE_TEMPLATE_INVOKE(store_session, SqliteStoreWorld);

TEST_CASE("uv disk: out of descriptors is storage_full, and passes") {
    UvPortWorld world(1);
    port::Disk& disk = *world.core(0).ports().disk;
    const std::string path = world.directory() + "/f";
    write_text(*open_file(disk, path, port::OpenMode::create), "text");
    {
        const DescriptorLimit limit(next_descriptor());
        const auto opened = disk.open(path, port::OpenMode::read_write);
        REQUIRE_FALSE(opened);
        CHECK(opened.error().code == Code::storage_full);
        CHECK(opened.error().sys_errno == EMFILE);
        CHECK(disk.list(world.directory()).error().sys_errno == EMFILE);
        CHECK(disk.sync_directory(world.directory()).error().sys_errno == EMFILE);
    }
    CHECK(disk.open(path, port::OpenMode::read_write));
}

TEST_CASE("uv disk: a full device is storage_full, other trouble is storage_io") {
    UvPortWorld world(1);
    port::Disk& disk = *world.core(0).ports().disk;
    const ByteView bytes = as_bytes("0123456789");

    const port::FileRef full = open_file(disk, "/dev/full", port::OpenMode::read_write);
    const Result<void> refused = full->write_at({&bytes, 1}, 0);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::storage_full);
    CHECK(refused.error().sys_errno == ENOSPC);
    CHECK(refused.error().detail.find("/dev/full") != std::string::npos);

    const std::string path = world.directory() + "/f";
    write_text(*open_file(disk, path, port::OpenMode::create), "text");
    const port::FileRef read_only = open_file(disk, path, port::OpenMode::read);
    CHECK(read_only->write_at({&bytes, 1}, 0).error().code == Code::storage_io);
    CHECK(disk.list(path).error().code == Code::storage_io);
    CHECK(disk.open(path + "/below", port::OpenMode::create).error().code == Code::storage_io);
    CHECK(disk.make_directory(path).error().code == Code::storage_io);
    CHECK_FALSE(disk.exists(path + "/below").value());
    CHECK(disk.sync_directory(world.directory() + "/none").error().code == Code::storage_io);
    CHECK(disk.sync_file_system(world.directory() + "/none").error().code == Code::storage_io);
}

TEST_CASE("uv disk: a sync that fails is told with its token") {
    UvPortWorld world(1);
    TestCore& core = world.core(0);
    world.on_core(0, [&] { // this device has nothing to sync: EINVAL
        core.ports().disk->sync(open_file(*core.ports().disk, "/dev/full", port::OpenMode::read),
                                Token{5, 6});
    });
    REQUIRE(world.wait_until([&] { return core.synced.count(Token{5, 6}) == 1; }));
    REQUIRE(core.synced[Token{5, 6}].size() == 1);
    CHECK(core.synced[Token{5, 6}][0].error().code == Code::storage_io);
}

TEST_CASE("uv disk: who holds the lock is named") {
    UvPortWorld world(1);
    port::Disk& disk = *world.core(0).ports().disk;
    const Result<std::unique_ptr<port::DirectoryLock>> held = disk.lock(world.directory());
    REQUIRE(held);
    const std::string detail = disk.lock(world.directory()).error().detail;
    CHECK(detail.find(std::to_string(::getpid())) != std::string::npos);
    CHECK(detail.find(world.directory()) != std::string::npos);
}

TEST_CASE("uv net: where one may listen") {
    UvPortWorld world(1);
    TestCore& core = world.core(0);
    const port::SocketAddress address = listen_on(world);
    CHECK(address.host == "127.0.0.1");
    CHECK(address.port != 0);
    Result<port::SocketAddress> taken = Error(Code::internal);
    Result<port::SocketAddress> unknown = Error(Code::internal);
    Result<port::SocketAddress> foreign = Error(Code::internal);
    world.on_core(0, [&] {
        taken = net_of(world).listen(address.host, address.port, 0);
        unknown = net_of(world).listen("no such host", 0, 0);
        foreign = net_of(world).listen("192.0.2.1", 0, 0); // not of this machine
    });
    CHECK(taken.error().code == Code::connection_failed);
    CHECK(taken.error().sys_errno == EADDRINUSE);
    CHECK(unknown.error().code == Code::invalid_argument);
    CHECK(foreign.error().code == Code::connection_failed);

    const port::SocketAddress v6 = listen_on(world, "::1", 3);
    CHECK(v6.host == "::1");
    Conversation talk = converse(world, v6);
    CHECK(core.connections[talk.token].listener == 3);
    CHECK(core.connections[talk.token].peer.host == "::1");
    talk.client->send("six");
    CHECK(world.wait_until([&] { return core.connections[talk.token].received == "six"; }));
}

TEST_CASE("uv net: names are resolved, and the address that answers is taken") {
    UvPortWorld world(1);
    const port::SocketAddress address = listen_on(world); // 127.0.0.1; ::1 may come first
    const Link made = link(world, 1, {"localhost", address.port});
    world.on_core(1, [&] { net_of(world, 1).send(made.near, one_piece(own_bytes("named"))); });
    CHECK(
        world.wait_until([&] { return world.core(0).connections[made.far].received == "named"; }));
    CHECK(world.violation() == "");
}

TEST_CASE("uv net: who does not answer is given up at the deadline") {
    UvPortWorld world(1);
    TestCore& core = world.core(0);
    // A listener with a full backlog leaves who connects without an answer.
    const int full = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(full, reinterpret_cast<const sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(full, 0) == 0);
    REQUIRE(::getsockname(full, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    std::vector<Token> tokens;
    MonoTime begun{};
    world.on_core(0, [&] {
        begun = core.ports().clock->mono();
        for (int i = 0; i < 4; i++) {
            tokens.push_back(net_of(world).connect("127.0.0.1", ntohs(address.sin_port), 100));
        }
    });
    REQUIRE(world.wait_until([&] {
        return core.connections.size() == tokens.size() &&
               core.connections[tokens.back()].not_opened.has_value();
    }));
    CHECK(core.connections[tokens.back()].not_opened->code == Code::timed_out);
    CHECK(core.ports().clock->mono() >= begun + 100ms);
    ::close(full);
    CHECK(world.violation() == "");
}

TEST_CASE("uv net: the replies of a turn leave in order, whatever their number") {
    UvPortWorld world(1);
    const port::SocketAddress address = listen_on(world);
    Conversation talk = converse(world, address);
    std::string expected;
    world.on_core(0, [&] {
        for (int i = 0; i < 5'000; i++) { // many times what one system call takes
            const std::string text = std::to_string(i) + ",";
            net_of(world).send(talk.token, one_piece(own_bytes(text)));
            expected += text;
        }
    });
    CHECK(world.wait_until([&] { return talk.client->received().size() == expected.size(); }));
    CHECK(talk.client->received() == expected);
}

TEST_CASE("uv net: a connection beyond the descriptor limit is refused, not left waiting") {
    UvPortWorld world(1);
    TestCore& core = world.core(0);
    const port::SocketAddress address = listen_on(world);
    Conversation before = converse(world, address);
    std::vector<std::unique_ptr<SocketClient>> clients;
    for (size_t i = 0; i < 8; i++) {
        clients.push_back(world.make_client(address));
    }
    {
        const DescriptorLimit limit(next_descriptor() + 3); // five too many
        for (const auto& client : clients) {
            client->connect();
        }
        CHECK(world.wait_until([&] {
            return std::count_if(clients.begin(), clients.end(),
                                 [](const auto& client) { return client->has_ended(); }) == 5;
        }));
        CHECK(world.wait_until([&] { return core.tokens.size() == 1 + 3; }));
    }
    clients.clear();
    Conversation after = converse(world, address);
    for (Conversation* talk : {&before, &after}) {
        talk->client->send("alive");
        CHECK(world.wait_until([&] { return core.connections[talk->token].received == "alive"; }));
    }
    CHECK(world.violation() == "");
}

TEST_CASE("uv net: without any descriptor the core waits quietly, then accepts again") {
    UvPortWorld world(1);
    TestCore& core = world.core(0);
    const port::SocketAddress address = listen_on(world);
    const Conversation before = converse(world, address);
    const std::unique_ptr<SocketClient> client = world.make_client(address);
    {
        const DescriptorLimit limit(3); // below the reserve's own number: giving it up helps nobody
        client->connect();
        const Duration used = cpu_used();
        world.wait_for(400ms);
        CHECK(cpu_used() - used < 300ms); // of which the waiting test needs most
        CHECK(world.wait_until([&] { return core.tokens.size() == 1; }));
        CHECK_FALSE(client->has_ended());
    }
    CHECK(world.wait_until([&] { return core.tokens.size() == 2; }));
    client->send("late");
    CHECK(world.wait_until([&] { return core.connections[core.tokens[1]].received == "late"; }));
}

TEST_CASE("uv world: cores with nothing to do sleep") {
    UvPortWorld world(3);
    const port::SocketAddress address = listen_on(world);
    const std::unique_ptr<Client> client = world.connect(address);
    REQUIRE(world.wait_until([&] { return world.core(0).tokens.size() == 1; }));
    world.on_core(0, [] {});
    REQUIRE(world.wait_until([&] { return !world.core(0).turn_open; }));
    std::this_thread::sleep_for(20ms);
    const auto turns = [&] {
        std::vector<int> counts;
        world.wait_until([&] {
            for (uint16_t i = 0; i < world.core_count(); i++) {
                counts.push_back(world.core(i).turn_ends);
            }
            return true;
        });
        return counts;
    };
    const std::vector<int> before = turns();
    const Duration used = cpu_used();
    std::this_thread::sleep_for(500ms);
    CHECK(cpu_used() - used < 50ms);
    CHECK(turns() == before);
}

TEST_CASE("uv world: stop with everything under way") {
    for (int round = 0; round < 20; round++) {
        UvPortWorld world(2);
        for (size_t i = 0; i < 2; i++) {
            TestCore& core = world.core(i);
            core.received = [&core](Token token, std::string_view bytes) {
                core.ports().net->send(token, one_piece(own_bytes(bytes)));
            };
        }
        const port::SocketAddress address = listen_on(world);
        std::vector<std::unique_ptr<Client>> clients;
        for (size_t i = 0; i < 10; i++) {
            clients.push_back(world.connect(address));
            clients.back()->send(pattern(100'000));
        }
        world.on_core(0, [&] {
            const port::CorePorts& ports = world.core(0).ports();
            const port::FileRef file =
                open_file(*ports.disk, world.directory() + "/f", port::OpenMode::create);
            ports.disk->sync(file, Token{1, 1});
            ports.timer->set_alarm(ports.clock->mono() + 1h);
            for (uint32_t i = 0; i < 2'000; i++) {
                post_number(world.core(0), 1, i);
            }
        });
        world.stop();
        CHECK(world.wait_until([&] {
            return std::all_of(clients.begin(), clients.end(),
                               [](const auto& client) { return client->has_ended(); });
        }));
    }
    CHECK(NumberMail::alive == 0);
}
