#include "tests/bench/bench_broker.h"

#include "lib/base/assert.h"
#include "lib/config/broker_config.h"
#include "lib/protocol/header.h"
#include "server/metadata/store_sqlite.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace qtool::bench {

namespace {

template <class T>
T must(Result<T> result) {
    QT_ASSERT_MSG(result.has_value(), to_string(result.error()).c_str());
    return *std::move(result);
}

config::BrokerConfig make_config(const std::string& folder,
                                 const std::vector<std::string>& options) {
    config::BrokerConfigBuilder builder;
    std::vector<std::string> all{"log.dirs=" + folder, "listeners=127.0.0.1:0"};
    all.insert(all.end(), options.begin(), options.end());
    for (const std::string& option : all) {
        const auto added = builder.add_set(option);
        QT_ASSERT_MSG(added.has_value(), option.c_str());
    }
    return must(builder.build());
}

void send_all(int fd, ByteView bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        QT_ASSERT(sent > 0);
        bytes = bytes.subspan(static_cast<size_t>(sent));
    }
}

void receive_all(int fd, ByteSpan bytes) {
    while (!bytes.empty()) {
        const ssize_t got = ::recv(fd, bytes.data(), bytes.size(), 0);
        QT_ASSERT(got > 0);
        bytes = bytes.subspan(static_cast<size_t>(got));
    }
}

} // namespace

BenchBroker::BenchBroker(uint16_t core_count, const std::vector<std::string>& options)
    : folder_((std::filesystem::temp_directory_path() / "qbroker-bench-XXXXXX").string()),
      core_count_(core_count) {
    QT_ASSERT(::mkdtemp(folder_.data()) != nullptr);
    set_log_level(LogLevel::warn);
    world_ = must(uv::UvWorld::create(core_count));
    broker::Broker::Setup setup;
    for (uint16_t i = 0; i <= core_count; i++) {
        setup.ports.push_back(world_->ports(CoreId(i)));
    }
    setup.config = make_config(folder_, options);
    port::Random& random = *setup.ports.back().random;
    storage::LogDirs::Setup dirs;
    dirs.paths = setup.config.log_dirs;
    dirs.self = BrokerId(setup.config.node_id);
    dirs.new_id = [&random] {
        Uuid id;
        const std::array<uint64_t, 2> bits{random.next(), random.next()};
        std::memcpy(id.bytes.data(), bits.data(), sizeof bits);
        return id;
    };
    setup.log_dirs = must(storage::LogDirs::open(*setup.ports.back().disk, dirs));
    setup.store = must(metadata::SqliteStore::open(folder_ + "/metadata.db"));
    setup.events = this;
    broker_ = std::make_unique<broker::Broker>(std::move(setup));
    for (uint16_t i = 0; i <= core_count; i++) {
        world_->attach(CoreId(i), &broker_->events_of(CoreId(i)));
    }
    const auto started = world_->start([this](CoreId core) { broker_->start(core); });
    QT_ASSERT(started.has_value());
    connect(port_.get_future().get());
}

BenchBroker::~BenchBroker() {
    ::close(fd_);
    world_->run_on(CoreId(core_count_), [this] { broker_->begin_stop(); });
    ended_.get_future().wait();
    world_->stop();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
}

void BenchBroker::on_serving(const std::vector<port::SocketAddress>& listeners,
                             const std::vector<port::SocketAddress>&) {
    port_.set_value(listeners.front().port);
}

void BenchBroker::on_ended(Result<void> result) {
    ended_.set_value(result.has_value());
}

void BenchBroker::connect(uint16_t port) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int status = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    QT_ASSERT(status == 0);
}

std::vector<std::byte> BenchBroker::exchange(int16_t api_key, int16_t version, ByteView body) {
    ByteWriter frame;
    frame.be<int32_t>(0); // the length, known below
    protocol::RequestHeader header;
    header.api_key = api_key;
    header.api_version = version;
    header.correlation_id = ++correlation_id_;
    header.client_id = "bench";
    protocol::encode_request_header(frame, header);
    frame.bytes(body);
    frame.patch_be<int32_t>(0, static_cast<int32_t>(frame.size() - sizeof(int32_t)));
    send_all(fd_, frame.view());

    std::byte length[sizeof(int32_t)];
    receive_all(fd_, length);
    std::vector<std::byte> answer(static_cast<size_t>(load_be<int32_t>(length)));
    receive_all(fd_, answer);
    size_t header_size = 0;
    const int32_t id =
        must(protocol::decode_response_header(answer, api_key, version, header_size));
    QT_ASSERT(id == correlation_id_);
    answer.erase(answer.begin(), answer.begin() + static_cast<std::ptrdiff_t>(header_size));
    return answer;
}

} // namespace qtool::bench
