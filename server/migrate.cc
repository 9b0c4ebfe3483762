#include "server/migrate.h"

#include "lib/base/assert.h"
#include "server/metadata/store_copy.h"
#include "server/metadata/store_sqlite.h"
#include "server/open_store.h"
#include "server/port/core_events.h"
#include "server/uv/uv_world.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace qtool {

namespace {

constexpr CoreId kDataCore{0};
constexpr CoreId kMetadataCore{1};

/// A core that only turns.
class QuietCore : public port::CoreEvents {
public:
    void on_accept(Token, uint8_t, const port::SocketAddress&) override { QT_UNREACHABLE(); }
    void on_connected(Token) override { QT_UNREACHABLE(); }
    void on_connect_failed(Token, Error) override { QT_UNREACHABLE(); }
    ByteSpan receive_buffer(Token) override { QT_UNREACHABLE(); }
    void on_received(Token, size_t) override { QT_UNREACHABLE(); }
    void on_sent(Token, uint64_t) override { QT_UNREACHABLE(); }
    void on_closed(Token) override { QT_UNREACHABLE(); }
    void on_synced(Token, Result<void>) override { QT_UNREACHABLE(); }
    void on_read_in(Token, Result<void>) override { QT_UNREACHABLE(); }
    void on_mail(std::unique_ptr<port::Mail>) override { QT_UNREACHABLE(); }
    void on_timer() override {}
    void on_turn_end() override {}
};

/// The metadata core: the target store and the copy into it. Tells the main thread by an eventfd.
class CopyCore final : public QuietCore {
public:
    CopyCore(port::StoreSnapshot source, std::unique_ptr<port::MetadataStore> target)
        : target_(std::move(target)),
          copy_(std::move(source), *target_),
          done_fd_(::eventfd(0, EFD_CLOEXEC)) {}
    ~CopyCore() override { ::close(done_fd_); }
    CopyCore(const CopyCore&) = delete;
    CopyCore& operator=(const CopyCore&) = delete;

    void start() { copy_.start(); }
    void on_turn_end() override {
        while (target_->deliver_pending()) {
        }
        if (copy_.result() && !std::exchange(is_told_, true)) {
            const uint64_t one = 1;
            static_cast<void>(::write(done_fd_, &one, sizeof one) == sizeof one);
        }
    }
    /// Without its descriptor nobody could wait.
    [[nodiscard]] bool can_tell() const { return done_fd_ >= 0; }
    /// Main thread: returns when the copy has ended.
    void wait() const {
        uint64_t told = 0;
        while (::read(done_fd_, &told, sizeof told) != sizeof told && errno == EINTR) {
        }
    }
    /// After the world has stopped.
    [[nodiscard]] Result<size_t> result() const { return *copy_.result(); }

private:
    std::unique_ptr<port::MetadataStore> target_;
    metadata::StoreCopy copy_;
    int done_fd_;
    bool is_told_ = false;
};

Result<port::StoreSnapshot> load_all(port::MetadataStore& store) {
    struct Events final : port::MetadataStoreEvents {
        std::optional<Result<port::StoreSnapshot>> loaded;
        void on_store_loaded(Result<port::StoreSnapshot> snapshot) override {
            loaded = std::move(snapshot);
        }
        void on_store_reloaded(port::StoreSnapshot) override {}
        void on_store_committed(Token, Result<Revision>) override {}
        void on_store_changed(const port::StoreChange&) override {}
        void on_session_renewed(MonoTime) override {}
        void on_session_lost() override {}
        void on_session_closed() override {}
    };
    Events events;
    store.set_events(&events);
    store.load();
    while (store.deliver_pending()) {
    }
    QT_ASSERT(events.loaded.has_value());
    return *std::move(events.loaded);
}

/// So that a broker without etcd does not start on what is no longer the truth.
Result<void> put_aside(const std::string& path, const std::string& directory) {
    const std::string aside = path + ".moved-to-etcd";
    const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool ok = fd >= 0 && std::rename(path.c_str(), aside.c_str()) == 0 && ::fsync(fd) == 0;
    const int reason = errno;
    if (fd >= 0) {
        ::close(fd);
    }
    if (!ok) {
        return Error(Code::storage_io,
                     "everything is in etcd, but " + path + " cannot be renamed to " + aside +
                         "; rename it before you start the broker",
                     reason);
    }
    return {};
}

} // namespace

Result<size_t> migrate_to_etcd(const config::BrokerConfig& config) {
    if (config.etcd.endpoints.empty()) {
        return Error(Code::invalid_config, "--migrate-to-etcd needs etcd.endpoints (--etcd)");
    }
    const std::string path = sqlite_path(config);
    if (::access(path.c_str(), F_OK) != 0) {
        return Error(Code::invalid_config, "there is no " + path +
                                               ": log.dirs (--data-dir) is not that of a broker "
                                               "without etcd, or it was moved before");
    }
    // Locked until the end: no broker can run meanwhile.
    QT_TRY_ASSIGN(std::unique_ptr<metadata::SqliteStore> source, metadata::SqliteStore::open(path));
    QT_TRY_ASSIGN(port::StoreSnapshot snapshot, load_all(*source));

    QT_TRY_ASSIGN(std::unique_ptr<uv::UvWorld> world, uv::UvWorld::create(1));
    metrics::StoreCounters counters;
    QT_TRY_ASSIGN(std::unique_ptr<port::MetadataStore> target,
                  open_etcd_store(config, *world, kMetadataCore, counters));
    QuietCore quiet;
    CopyCore copy(std::move(snapshot), std::move(target));
    if (!copy.can_tell()) {
        return Error(Code::internal, "eventfd", errno);
    }
    world->attach(kDataCore, &quiet);
    world->attach(kMetadataCore, &copy);
    QT_TRY(world->start([&copy](CoreId core) {
        if (core == kMetadataCore) {
            copy.start();
        }
    }));
    copy.wait();
    world->stop();
    QT_TRY_ASSIGN(const size_t moved, copy.result());
    source.reset();
    QT_TRY(put_aside(path, config.log_dirs.front()));
    return moved;
}

} // namespace qtool
