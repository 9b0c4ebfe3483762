#include "server/uv/uv_world.h"

#include "lib/base/assert.h"
#include "lib/base/units.h"
#include "server/uv/inbox.h"
#include "server/uv/read_in.h"
#include "server/uv/time_slice.h"
#include "server/uv/uv_clock.h"
#include "server/uv/uv_disk.h"
#include "server/uv/uv_http.h"
#include "server/uv/uv_mailbox.h"
#include "server/uv/uv_net.h"
#include "server/uv/uv_timer.h"

#include <unistd.h>

#include <csignal>
#include <optional>
#include <string>
#include <utility>

namespace qtool::uv {

namespace {

constexpr size_t kStackSize = 1 * MiB;
// Rounds of mail a core handles before it looks at its sockets again.
constexpr int kMailRoundsMax = 16;

/// Closes the socket unless somebody took it.
class HeldSocket {
public:
    explicit HeldSocket(AcceptedSocket socket) : socket_(std::move(socket)) {}
    ~HeldSocket() {
        if (socket_.fd >= 0) {
            ::close(socket_.fd);
        }
    }
    HeldSocket(const HeldSocket&) = delete;
    HeldSocket& operator=(const HeldSocket&) = delete;
    AcceptedSocket take() { return std::exchange(socket_, AcceptedSocket{}); }

private:
    AcceptedSocket socket_;
};

} // namespace

// One core: a thread, its loop and its ports. A turn is what one poll of the loop brings, with the
// mail and the jobs that are there then.
class UvWorld::UvCore {
public:
    UvCore(CoreId id, PostOffice& office, std::function<void(AcceptedSocket)> deal)
        : office_(office),
          inbox_(office.wake(id)),
          read_in_([this](ReadInDone done) {
              inbox_.put([this, done = std::move(done)] { on_read_in(done); });
          }),
          disk_(
              [this](SyncDone done) {
                  inbox_.put([this, done = std::move(done)] {
                      context_.events->on_synced(done.token, done.result);
                  });
              },
              read_in_) {
        context_.id = id;
        is_open_ = uv_loop_init(&context_.loop) == 0 && office.wake(id).open(&context_.loop) == 0;
        if (is_open_) {
            timer_.emplace(context_);
            net_.emplace(context_, read_in_, std::move(deal));
            mailbox_.emplace(context_, office);
            open_hooks();
        }
    }

    [[nodiscard]] bool is_open() const { return is_open_; }
    [[nodiscard]] port::CorePorts ports() {
        return {context_.id, &clock_, &*timer_, &disk_, &*net_, &*mailbox_, &random_};
    }
    void attach(port::CoreEvents* events) { context_.events = events; }
    Inbox& inbox() { return inbox_; }
    UvNet& net() { return *net_; }
    Result<port::Http*> open_http(HttpTls tls) {
        QT_ASSERT(http_ == nullptr && !is_running_);
        QT_TRY_ASSIGN(http_, UvHttp::open(context_, std::move(tls)));
        return http_.get();
    }

    Result<void> start(const std::function<void(CoreId)>& on_core_start) {
        QT_ASSERT(context_.events != nullptr);
        on_core_start_ = &on_core_start;
        uv_thread_options_t options{};
        options.flags = UV_THREAD_HAS_STACK_SIZE;
        options.stack_size = kStackSize;
        const int status = uv_thread_create_ex(
            &thread_, &options, [](void* core) { static_cast<UvCore*>(core)->run(); }, this);
        if (status != 0) {
            return Error(Code::internal,
                         std::string("a core's thread cannot be started: ") + uv_strerror(status));
        }
        is_running_ = true;
        return {};
    }
    /// From the main thread.
    void join() {
        if (std::exchange(is_running_, false)) {
            inbox_.put([this] { uv_stop(&context_.loop); });
            uv_thread_join(&thread_);
        }
    }
    /// After every core's thread has ended.
    void close() {
        if (!std::exchange(is_open_, false)) {
            return;
        }
        disk_.stop();
        read_in_.stop();
        static_cast<void>(inbox_.take()); // jobs that came too late; closes sockets among them
        net_->close_all();
        if (http_ != nullptr) {
            http_->close();
        }
        timer_->close();
        prepare_.close();
        check_.close();
        office_.wake(context_.id).close();
        uv_run(&context_.loop, UV_RUN_DEFAULT); // the close callbacks
        const int status = uv_loop_close(&context_.loop);
        QT_ASSERT(status == 0); // a handle was forgotten above
    }

private:
    void open_hooks() {
        const int prepared = prepare_.open(
            this, [&](uv_prepare_t* handle) { return uv_prepare_init(&context_.loop, handle); });
        const int checked = check_.open(
            this, [&](uv_check_t* handle) { return uv_check_init(&context_.loop, handle); });
        QT_ASSERT(prepared == 0 && checked == 0); // cannot fail
        uv_prepare_start(prepare_.get(), [](uv_prepare_t* handle) {
            static_cast<UvCore*>(handle->data)->before_wait();
        });
        uv_check_start(check_.get(), [](uv_check_t* handle) {
            static_cast<UvCore*>(handle->data)->after_wait();
        });
    }

    void run() {
        set_time_slice(kShortTimeSlice); // its pools' threads have it from here
        (*on_core_start_)(context_.id);
        context_.turn_open = true;
        uv_run(&context_.loop, UV_RUN_DEFAULT);
    }

    void on_read_in(const ReadInDone& done) {
        if (done.whom == ReadInFor::disk) {
            context_.events->on_read_in(done.token, done.bytes ? Result<void>()
                                                               : Result<void>(done.bytes.error()));
        } else {
            net_->on_read_in(done);
        }
    }

    // Timers have run. Mail that came meanwhile is handled before the core may sleep.
    void before_wait() {
        end_turn();
        for (int round = 0;; round++) {
            wake().going_to_sleep();
            // Once more: a receiver that made room before it could see us asleep has not woken us.
            mailbox_->wake_receivers();
            if (!has_arrived()) {
                return;
            }
            if (round == kMailRoundsMax) {
                wake().wake(); // do not sleep, but look at the sockets first
                return;
            }
            wake().awake();
            deliver();
            end_turn();
        }
    }
    // The sockets that were ready have been read.
    void after_wait() {
        wake().awake();
        deliver();
        end_turn();
    }
    void deliver() {
        if (inbox_.has_arrived()) {
            for (const std::function<void()>& job : inbox_.take()) {
                job();
            }
            context_.turn_open = true;
        }
        mailbox_->deliver();
    }
    [[nodiscard]] bool has_arrived() { return inbox_.has_arrived() || mailbox_->has_arrived(); }

    // A flush may raise events of its own (a peer that is gone), which need an end again.
    void end_turn() {
        while (context_.turn_open) {
            context_.events->on_turn_end();
            context_.turn_open = false;
            net_->flush();
        }
        mailbox_->wake_receivers();
    }
    Wake& wake() { return office_.wake(context_.id); }

    PostOffice& office_;
    CoreContext context_;
    Inbox inbox_;
    UvClock clock_;
    UvRandom random_;
    ReadIn read_in_;
    UvDisk disk_;
    std::optional<UvTimer> timer_;
    std::optional<UvNet> net_;
    std::optional<UvMailbox> mailbox_;
    std::unique_ptr<UvHttp> http_; // of a core that asked for it
    net::Handle<uv_prepare_t> prepare_;
    net::Handle<uv_check_t> check_;
    uv_thread_t thread_{};
    bool is_open_ = false;
    bool is_running_ = false;
    const std::function<void(CoreId)>* on_core_start_ = nullptr;
};

struct UvWorld::State {
    explicit State(uint16_t data_cores)
        : data_core_count(data_cores),
          office(static_cast<uint16_t>(data_cores + 1)) {}

    // Called on core 0; sockets go to the data cores in turn.
    void deal(AcceptedSocket socket) {
        const uint16_t to = next_core;
        next_core = static_cast<uint16_t>((next_core + 1) % data_core_count);
        UvCore& core = *cores[to];
        if (to == 0) {
            core.net().adopt(std::move(socket));
            return;
        }
        // A core that ends before it could adopt the socket closes it with its inbox.
        auto held = std::make_shared<HeldSocket>(std::move(socket));
        core.inbox().put([&core, held] { core.net().adopt(held->take()); });
    }

    uint16_t data_core_count;
    PostOffice office;
    std::vector<std::unique_ptr<UvCore>> cores;
    uint16_t next_core = 0;
    std::function<void(CoreId)> on_core_start;
    bool is_stopped = false;
};

UvWorld::UvWorld() = default;

UvWorld::~UvWorld() {
    stop();
}

Result<std::unique_ptr<UvWorld>> UvWorld::create(uint16_t data_core_count) {
    QT_ASSERT(data_core_count > 0);
    std::signal(SIGPIPE, SIG_IGN); // sendfile cannot be told MSG_NOSIGNAL
    std::unique_ptr<UvWorld> world(new UvWorld());
    world->state_ = std::make_unique<State>(data_core_count);
    State& state = *world->state_;
    for (uint16_t i = 0; i <= data_core_count; i++) {
        state.cores.push_back(
            std::make_unique<UvCore>(CoreId(i), state.office, [&state](AcceptedSocket socket) {
                state.deal(std::move(socket));
            }));
        if (!state.cores.back()->is_open()) {
            state.cores.pop_back();
            return Error(Code::internal, "the event loop of core " + std::to_string(i) +
                                             " cannot be made: out of descriptors or memory");
        }
    }
    return world;
}

port::CorePorts UvWorld::ports(CoreId core) {
    return state_->cores.at(core.value())->ports();
}

Result<void> UvWorld::reserve_listener(const std::string& host, uint16_t port) {
    return state_->cores.front()->net().reserve_listener(host, port);
}

Result<port::Http*> UvWorld::open_http(CoreId core, HttpTls tls) {
    return state_->cores.at(core.value())->open_http(std::move(tls));
}

void UvWorld::attach(CoreId core, port::CoreEvents* events) {
    state_->cores.at(core.value())->attach(events);
}

Result<void> UvWorld::start(std::function<void(CoreId)> on_core_start) {
    state_->on_core_start = std::move(on_core_start);
    for (const std::unique_ptr<UvCore>& core : state_->cores) {
        if (Result<void> started = core->start(state_->on_core_start); !started) {
            stop(); // the caller's events may go before this world does
            return started;
        }
    }
    return {};
}

void UvWorld::run_on(CoreId core, std::function<void()> job) {
    state_->cores.at(core.value())->inbox().put(std::move(job));
}

void UvWorld::stop() {
    if (std::exchange(state_->is_stopped, true)) {
        return;
    }
    for (const std::unique_ptr<UvCore>& core : state_->cores) {
        core->join();
    }
    for (const std::unique_ptr<UvCore>& core : state_->cores) {
        core->close();
    }
}

} // namespace qtool::uv
