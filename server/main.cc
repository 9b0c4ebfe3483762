// qbroker: reads the options, builds the broker on server/uv, waits for a signal, stops.
// Exit status: 0 stopped cleanly, 1 could not start or not stop cleanly, 2 usage.
#include "lib/base/log.h"
#include "lib/base/log_format.h"
#include "lib/base/version.h"
#include "lib/config/broker_config.h"
#include "lib/config/help.h"
#include "server/broker/broker.h"
#include "server/migrate.h"
#include "server/open_store.h"
#include "server/uv/allocator.h"
#include "server/uv/uv_world.h"

#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace qtool {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr uint16_t kCoresMax = 256; // mail rings grow with its square

void complain(const Error& error) {
    std::fprintf(stderr, "qbroker: %s\n", to_string(error).c_str());
}

/// Writes the addresses, one a line, so that whoever waits for the file sees all of it or nothing.
Result<void> write_ready_file(const std::string& path,
                              const std::vector<port::SocketAddress>& addresses) {
    std::string text;
    for (const port::SocketAddress& address : addresses) {
        text += to_string(config::Endpoint{address.host, address.port}) + "\n";
    }
    const std::string temporary = path + ".tmp";
    const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool ok = fd >= 0;
    ok = ok && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    ok = (fd < 0 || ::close(fd) == 0) && ok;
    if (!ok || ::rename(temporary.c_str(), path.c_str()) != 0) {
        return Error(Code::storage_io, "ready.file " + path + " cannot be written", errno);
    }
    return {};
}

/// Hears from the broker on the metadata core, and tells the main thread through an eventfd.
class Life final : public broker::BrokerEvents {
public:
    explicit Life(std::string ready_file)
        : ready_file_(std::move(ready_file)),
          ended_fd_(::eventfd(0, EFD_CLOEXEC)) {}
    ~Life() override { ::close(ended_fd_); }
    Life(const Life&) = delete;
    Life& operator=(const Life&) = delete;

    void on_serving(const std::vector<port::SocketAddress>& listeners,
                    const std::vector<port::SocketAddress>& admin_listeners) override {
        std::vector<port::SocketAddress> all = listeners;
        all.insert(all.end(), admin_listeners.begin(), admin_listeners.end());
        for (const port::SocketAddress& address : all) {
            log_line(LogLevel::info, "serving",
                     {{"address", to_string(config::Endpoint{address.host, address.port})}});
        }
        if (!ready_file_.empty()) {
            if (Result<void> written = write_ready_file(ready_file_, all); !written) {
                log_line(LogLevel::error, "ready_file", {{"error", to_string(written.error())}});
            }
        }
    }
    void on_ended(Result<void> result) override {
        {
            const std::lock_guard lock(mutex_);
            result_ = std::move(result);
        }
        const uint64_t one = 1;
        // An eventfd takes 2^64 - 2 of these before a write could fail.
        static_cast<void>(::write(ended_fd_, &one, sizeof one) == sizeof one);
    }

    [[nodiscard]] int ended_fd() const { return ended_fd_; }
    Result<void> result() {
        const std::lock_guard lock(mutex_);
        return result_;
    }

private:
    std::string ready_file_;
    int ended_fd_;
    std::mutex mutex_;
    Result<void> result_;
};

/// Waits until the broker ended. The first SIGTERM or SIGINT stops it gracefully; a second one ends
/// the process as a crash would, which loses nothing that was acknowledged.
void wait_for_end(int signal_fd, int ended_fd, const std::function<void()>& begin_stop) {
    bool stopping = false;
    while (true) {
        std::array<pollfd, 2> fds{{{signal_fd, POLLIN, 0}, {ended_fd, POLLIN, 0}}};
        if (::poll(fds.data(), fds.size(), -1) < 0) {
            continue; // EINTR
        }
        if (fds[1].revents != 0) {
            return;
        }
        signalfd_siginfo info{};
        if (::read(signal_fd, &info, sizeof info) != sizeof info) {
            continue;
        }
        log_line(LogLevel::info, stopping ? "killed" : "stopping",
                 {{"signal", ::sigabbrev_np(static_cast<int>(info.ssi_signo))}});
        if (stopping) {
            ::_exit(kExitFailed);
        }
        stopping = true;
        begin_stop();
    }
}

uint16_t core_count(const config::BrokerConfig& config) {
    const auto wanted = config.cores > 0 ? static_cast<unsigned>(config.cores)
                                         : std::max(1U, std::thread::hardware_concurrency());
    return static_cast<uint16_t>(std::min<unsigned>(wanted, kCoresMax));
}

std::string joined(const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) {
        text += (text.empty() ? "" : ",") + name;
    }
    return text;
}

Uuid random_uuid(port::Random& random) {
    Uuid id;
    for (size_t half = 0; half < 2; half++) {
        const uint64_t bits = random.next();
        std::memcpy(id.bytes.data() + half * sizeof bits, &bits, sizeof bits);
    }
    return id;
}

Result<void> run(const config::BrokerConfig& config) {
    set_log_level(config.log_level);
    set_log_format(config.is_log_json ? LogFormat::json : LogFormat::text);

    // Signals are taken by the main thread alone; the mask is inherited by every thread below.
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    const int signal_fd = ::signalfd(-1, &signals, SFD_CLOEXEC);
    if (signal_fd < 0) {
        return Error(Code::internal, "signalfd", errno);
    }

    const uint16_t cores = core_count(config);
    QT_TRY_ASSIGN(std::unique_ptr<uv::UvWorld> world, uv::UvWorld::create(cores));
    for (const auto* endpoints : {&config.listeners, &config.admin_listeners}) {
        for (const config::Endpoint& endpoint : *endpoints) {
            QT_TRY(world->reserve_listener(endpoint.host, endpoint.port));
        }
    }
    Life life(config.ready_file);
    if (life.ended_fd() < 0) {
        return Error(Code::internal, "eventfd", errno);
    }
    metrics::StoreCounters store_counters; // outlive the store, which the broker owns
    broker::Broker::Setup setup;
    for (uint16_t i = 0; i <= cores; i++) {
        setup.ports.push_back(world->ports(CoreId(i)));
    }
    const port::CorePorts& metadata_ports = setup.ports.back();
    storage::LogDirs::Setup dirs;
    dirs.paths = config.log_dirs;
    dirs.self = BrokerId(config.node_id);
    dirs.reserve_bytes = config.log_dir_reserve_bytes;
    dirs.new_id = [&] { return random_uuid(*metadata_ports.random); };
    QT_TRY_ASSIGN(setup.log_dirs, storage::LogDirs::open(*metadata_ports.disk, dirs));
    QT_TRY_ASSIGN(setup.store, open_store(config, *world, CoreId(cores), store_counters));
    setup.store_counters = &store_counters;
    setup.config = config;
    setup.events = &life;
    log_line(LogLevel::info, "starting",
             {{"version", kVersion},
              {"node", config.node_id},
              {"cores", cores},
              {"log_dirs", joined(config.log_dirs)},
              {"last_stop", setup.log_dirs->was_clean() ? "clean" : "none or unclean"}});

    broker::Broker broker(std::move(setup));
    for (uint16_t i = 0; i <= cores; i++) {
        world->attach(CoreId(i), &broker.events_of(CoreId(i)));
    }
    QT_TRY(world->start([&broker](CoreId core) { broker.start(core); }));
    wait_for_end(signal_fd, life.ended_fd(),
                 [&] { world->run_on(CoreId(cores), [&broker] { broker.begin_stop(); }); });
    world->stop();
    ::close(signal_fd);
    if (!config.ready_file.empty()) {
        // It says "serving", and nobody is any more.
        if (::unlink(config.ready_file.c_str()) != 0 && errno != ENOENT) {
            log_line(LogLevel::warn, "ready_file_not_removed",
                     {{"path", config.ready_file}, {"errno", errno}});
        }
    }
    Result<void> result = life.result();
    log_line(result ? LogLevel::info : LogLevel::error, "stopped",
             {{"result", result ? std::string("clean") : to_string(result.error())}});
    return result;
}

int main_checked(int argc, char** argv) {
    CLI::App app("qbroker: a Kafka-compatible event streaming broker. Without arguments: data in "
                 "./qbroker-data, Kafka and HTTP on 127.0.0.1:9092.",
                 "qbroker");
    app.set_version_flag("--version", "qbroker " + std::string(kVersion));
    std::string config_file;
    app.add_option("--config", config_file, "Options as key=value lines")->type_name("FILE");
    std::vector<std::string> assignments;
    app.add_option("--set", assignments, "One option; wins over the file")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
    std::map<std::string_view, std::string> flag_values;
    for (const config::BrokerFlag& flag : config::broker_flags()) {
        const std::string meaning = "Short for the option " + std::string(flag.option);
        if (flag.argument.empty()) {
            app.add_flag_callback(
                std::string(flag.flag), [&flag_values, &flag] { flag_values[flag.flag] = "true"; },
                meaning);
        } else {
            app.add_option_function<std::string>(
                   std::string(flag.flag),
                   [&flag_values, &flag](const std::string& value) {
                       flag_values[flag.flag] = value;
                   },
                   meaning)
                ->type_name(std::string(flag.argument));
        }
    }
    bool is_migration = false;
    app.add_flag("--migrate-to-etcd", is_migration,
                 "Move this broker's metadata into etcd (--etcd, --cluster), then exit");
    bool list_options = false;
    app.add_flag("--help-options", list_options, "Every option that --set and --config take");
    app.footer("Examples:\n  qbroker\n  qbroker --data-dir /var/lib/qbroker --listen :9092 "
               "--advertise HOST:9092 "
               "--insecure-allow-remote\n  qbroker --etcd http://HOST:2379 --node-id 2\n  qbroker "
               "--set log.retention.hours=24 --ready-file ready");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        const bool wanted = error.get_exit_code() == 0; // --help, --version
        app.exit(error);
        return wanted ? 0 : kExitUsage;
    }
    if (list_options) {
        std::fputs(config::render_options(config::broker_options(), config::Format::text).c_str(),
                   stdout);
        return std::fflush(stdout) == 0 ? 0 : kExitFailed;
    }

    config::BrokerConfigBuilder builder;
    Result<config::BrokerConfig> config = [&]() -> Result<config::BrokerConfig> {
        if (!config_file.empty()) {
            QT_TRY_ASSIGN(const std::string text,
                          read_text_file("--config", config_file, config::kPropertiesSizeMax));
            QT_TRY(builder.add_file(config_file, text));
        }
        for (const std::string& assignment : assignments) {
            QT_TRY(builder.add_set(assignment));
        }
        for (const config::BrokerFlag& flag : config::broker_flags()) {
            if (const auto at = flag_values.find(flag.flag); at != flag_values.end()) {
                QT_TRY(builder.add_flag(flag.flag, flag.option, at->second));
            }
        }
        QT_TRY_ASSIGN(config::BrokerConfig built, builder.build());
        QT_TRY(check_etcd_options(built));
        return built;
    }();
    if (!config) {
        complain(config.error());
        return kExitUsage;
    }
    if (is_migration) {
        const Result<size_t> moved = migrate_to_etcd(*config);
        if (!moved) {
            complain(moved.error());
            return kExitFailed;
        }
        std::printf("moved: %zu keys into etcd as cluster '%s'; start the broker with --etcd from "
                    "now on\n",
                    *moved, config->etcd.cluster.c_str());
        return 0;
    }
    if (Result<void> result = run(*config); !result) {
        complain(result.error());
        return kExitFailed;
    }
    return 0;
}

} // namespace
} // namespace qtool

int main(int argc, char** argv) {
    qtool::uv::tune_allocator();
    try {
        return qtool::main_checked(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "qbroker: %s\n", error.what());
        return 1;
    }
}
