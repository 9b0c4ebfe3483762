#include "tests/port/uv_port_world.h"

#include <doctest/doctest.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <future>
#include <thread>

namespace qtool::test {

namespace {

constexpr auto kWaitMax = std::chrono::seconds(30); // only a failing test takes that long
constexpr auto kLookInterval = std::chrono::microseconds(200);

} // namespace

TemporaryDirectory::TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "port-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
    std::filesystem::remove_all(path_);
}

namespace {

class NonBlockingClient final : public SocketClient {
public:
    using All = std::shared_ptr<std::vector<SocketClient*>>;

    NonBlockingClient(All all, const port::SocketAddress& address) : all_(std::move(all)) {
        all_->push_back(this);
        addrinfo hints{};
        hints.ai_socktype = SOCK_STREAM;
        hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
        addrinfo* found = nullptr;
        REQUIRE(::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints,
                              &found) == 0);
        address_size_ = found->ai_addrlen;
        std::memcpy(&address_, found->ai_addr, address_size_);
        fd_ = ::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        ::freeaddrinfo(found);
        REQUIRE(fd_ >= 0);
    }
    ~NonBlockingClient() override {
        drop();
        std::erase(*all_, this);
    }
    NonBlockingClient(const NonBlockingClient&) = delete;
    NonBlockingClient& operator=(const NonBlockingClient&) = delete;

    void connect() override {
        const int status =
            ::connect(fd_, reinterpret_cast<const sockaddr*>(&address_), address_size_);
        has_ended_ = status != 0 && errno != EINPROGRESS;
        is_connected_ = !has_ended_;
    }
    void send(std::string_view bytes) override {
        unsent_ += bytes;
        move();
    }
    void set_reading(bool on) override { is_read_ = on; }
    void close() override { drop(); }
    void reset() override {
        const linger at_once{1, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        drop();
    }

    void move() override {
        if (!is_connected_) {
            return;
        }
        while (fd_ >= 0 && !has_ended_ && !unsent_.empty()) {
            const ssize_t sent = ::send(fd_, unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
            if (sent < 0) {
                has_ended_ = errno != EAGAIN && errno != ENOTCONN && !is_read_;
                break; // reading, if on, finds what came before the stream broke
            }
            unsent_.erase(0, static_cast<size_t>(sent));
        }
        while (fd_ >= 0 && !has_ended_ && is_read_) {
            const ssize_t got = ::recv(fd_, buffer_.data(), buffer_.size(), 0);
            if (got > 0) {
                received_.append(buffer_.data(), static_cast<size_t>(got));
                continue;
            }
            has_ended_ = got == 0 || (errno != EAGAIN && errno != ENOTCONN);
            break;
        }
    }

private:
    void drop() {
        if (fd_ >= 0) {
            ::close(std::exchange(fd_, -1));
        }
    }

    All all_;
    sockaddr_storage address_{};
    socklen_t address_size_ = 0;
    int fd_ = -1;
    bool is_connected_ = false;
    bool is_read_ = true;
    std::string unsent_;
    std::vector<char> buffer_ = std::vector<char>(256 * 1024);
};

} // namespace

UvPortWorld::UvPortWorld(uint16_t data_core_count)
    : clients_(std::make_shared<std::vector<SocketClient*>>()) {
    Result<std::unique_ptr<uv::UvWorld>> made = uv::UvWorld::create(data_core_count);
    REQUIRE(made);
    world_ = *std::move(made);
    for (uint16_t i = 0; i <= data_core_count; i++) {
        cores_.push_back(std::make_unique<TestCore>(mutex_));
        cores_[i]->set_ports(world_->ports(CoreId(i)));
        world_->attach(CoreId(i), cores_[i].get());
    }
    REQUIRE(world_->start([](CoreId) {}));
}

void UvPortWorld::on_core(size_t index, const std::function<void()>& action) {
    std::promise<void> ran;
    world_->run_on(CoreId(static_cast<uint16_t>(index)), [&] {
        cores_[index]->act(action);
        ran.set_value();
    });
    ran.get_future().wait();
}

void UvPortWorld::move_clients() {
    for (SocketClient* client : *clients_) {
        client->move();
    }
}

bool UvPortWorld::wait_until(const std::function<bool()>& done) {
    const auto limit = std::chrono::steady_clock::now() + kWaitMax;
    while (true) {
        move_clients();
        {
            const std::lock_guard lock(mutex_);
            if (done()) {
                return true;
            }
        }
        if (std::chrono::steady_clock::now() > limit) {
            return false;
        }
        std::this_thread::sleep_for(kLookInterval);
    }
}

void UvPortWorld::wait_for(Duration duration) {
    const auto limit = std::chrono::steady_clock::now() + duration;
    while (std::chrono::steady_clock::now() < limit) {
        move_clients();
        std::this_thread::sleep_for(kLookInterval);
    }
}

std::unique_ptr<Client> UvPortWorld::connect(const port::SocketAddress& address) {
    std::unique_ptr<SocketClient> client = make_client(address);
    client->connect();
    return client;
}

std::unique_ptr<SocketClient> UvPortWorld::make_client(const port::SocketAddress& address) {
    return std::make_unique<NonBlockingClient>(clients_, address);
}

void UvPortWorld::stop() {
    world_->stop();
}

} // namespace qtool::test
