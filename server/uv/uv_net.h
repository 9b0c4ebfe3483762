// UvNet: the byte streams of one core, over uv_poll on non-blocking sockets. Lives on its core.
//
// What a turn queues is written at its end (flush), so that the replies of a turn leave in one
// system call; a socket that takes no more is polled for room. File ranges go by sendfile, small
// ones are read and ride with their neighbours.
//
// A range that is not in the page cache is brought in by ReadIn first; the stream rests meanwhile,
// and nobody else notices. While its bytes leave, those behind them are read; and behind a range
// that ends, what the reader of a backlog will ask for next.
//
// on_sent is raised for a queue that outlived a turn, and for any while reading is off: nobody
// waits for room in a queue that is empty again at the end of the turn that filled it.
//
//   connecting --connected--> open
//   open --close_when_sent--> flushing --all sent--> lingering --peer closed, or deadline--> gone
//   open --close, peer closed, error--> gone
//   open --detach--> with no core --attach--> open, on another one
#pragma once

#include "lib/base/slot_map.h"
#include "lib/base/timer_heap.h"
#include "lib/net/handle.h"
#include "server/port/net.h"
#include "server/uv/core_context.h"
#include "server/uv/read_in.h"
#include "server/uv/uv_dialer.h"
#include "server/uv/uv_listeners.h"

#include <deque>
#include <functional>
#include <string>
#include <vector>

namespace qtool::uv {

class UvNet final : public port::Net {
public:
    /// `deal` hands an accepted socket to some core, which calls adopt.
    UvNet(CoreContext& context, ReadIn& read_in, std::function<void(AcceptedSocket)> deal);
    ~UvNet() override;
    UvNet(const UvNet&) = delete;
    UvNet& operator=(const UvNet&) = delete;

    Result<port::SocketAddress> listen(const std::string& host, uint16_t port,
                                       uint8_t listener) override {
        return listeners_.listen(host, port, listener);
    }
    /// See UvListeners::reserve.
    Result<void> reserve_listener(const std::string& host, uint16_t port) {
        return listeners_.reserve(host, port);
    }
    void stop_listening() override { listeners_.stop(); }
    Token connect(const std::string& host, uint16_t port, uint32_t deadline_ms) override;
    void send(Token connection, std::vector<port::Piece> pieces) override;
    [[nodiscard]] uint64_t queued_bytes(Token connection) const override;
    void set_reading(Token connection, bool on) override;
    void close_when_sent(Token connection, uint32_t deadline_ms) override;
    void close(Token connection) override;
    std::unique_ptr<port::DetachedConnection> detach(Token connection) override;
    Token attach(std::unique_ptr<port::DetachedConnection> connection) override;

    /// Takes the socket over; CoreEvents::on_accept follows from within.
    void adopt(AcceptedSocket socket);
    /// From the core's inbox: what a stream waits for is there.
    void on_read_in(const ReadInDone& done);
    /// Writes what the turn queued. May raise events (on_sent, on_closed).
    void flush();
    /// Closes every socket and handle without events: the core has ended.
    void close_all();

private:
    // Ranges with nothing to read behind them until a stream counts as a reader of memory.
    static constexpr uint32_t kAheadsWithoutNeed = 64;

    enum class Phase : uint8_t { connecting, open, flushing, lingering };
    struct Stream {
        UvNet* net = nullptr;
        Token token;
        int fd = -1;
        net::Handle<uv_poll_t> poll;
        int polled = 0; // events the poll handle is armed for
        std::deque<port::Piece> queue;
        uint64_t front_sent = 0; // bytes of queue.front() that are gone
        uint64_t queued = 0;     // bytes of queue, without front_sent
        // Places in the stream: bytes from its first one on.
        uint64_t sent = 0;        // what has left
        uint64_t read_until = 0;  // file ranges up to here were brought in
        uint64_t sure_until = 0;  // sent as they are: just looked for, or gone once when brought in
        uint32_t aheads_left = 0; // ranges behind which is read ahead: it reads from the device
        Phase phase = Phase::connecting;
        bool is_read = true;
        bool is_blocked = false; // the socket takes no more: polled for room
        bool is_waiting = false; // for what is at the front to be brought in
        bool is_read_in = false; // ReadIn is at work for it
        bool is_dirty = false;   // in dirty_
    };

    Token take_over(int fd);
    void on_dialed(Token token, Result<int> socket);
    bool open_poll(Stream& stream);
    void on_ready(Stream& stream, int status, int events);
    void read(Stream& stream);
    void drain_lingering(Stream& stream);
    enum class Written : uint8_t { all, blocked, waiting, broken };
    Written write(Stream& stream);
    ssize_t write_memory(Stream& stream);
    Result<std::vector<std::byte>> small_range(Stream& stream, const port::FileRange& range,
                                               bool is_front);
    ssize_t write_file(Stream& stream, const port::FileRange& range);
    void consume(Stream& stream, uint64_t size);
    void wait_for_read_in(Stream& stream);
    void bring_in(Stream& stream, uint64_t from);
    void read_on(Stream& stream);
    void read_ahead(Stream& stream, const port::FileRange& range);
    void write_and_tell(Stream& stream);
    void arm(Stream& stream);
    void mark_dirty(Stream& stream);
    void lose(Stream& stream);
    void erase(Stream& stream);
    void on_deadline();

    CoreContext& context_;
    ReadIn& read_in_;
    UvListeners listeners_;
    UvDialer dialer_;
    mutable SlotMap<Stream> streams_; // mutable: SlotMap::find is not const
    std::vector<Token> dirty_;        // to be written at the end of the turn
    std::vector<Token> flushing_;     // kept for its memory
    TimerHeap<Token> deadlines_;      // of close_when_sent
    net::Handle<uv_timer_t> timer_;
};

} // namespace qtool::uv
