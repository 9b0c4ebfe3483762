#include "server/uv/uv_net.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/base/units.h"
#include "server/uv/page_cache.h"
#include "server/uv/uv_file.h"
#include "server/uv/uv_timer.h"

#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <utility>

namespace qtool::uv {

namespace {

// Bounds of one turn of one socket, so that none starves the others of its core. Who reads a
// backlog would take MiB at once: a millisecond and more for each 4 MiB, in which nobody on this
// core gets an answer, and which the records of others wait for at each stage of their way. 128 KiB
// instead of 512 cost such a reader 5 % of his rate, and take a quarter off the p99 of others; 64
// KiB would cost 40 % more CPU time.
constexpr int kReadsPerTurnMax = 4;
constexpr size_t kReadPerTurnMax = 512 * KiB;
constexpr uint64_t kWritePerTurnMax = 128 * KiB;

constexpr size_t kPiecesPerWriteMax = IOV_MAX;
// Bytes gathered for one call: the socket may take few of them, and small ranges are read for it.
constexpr uint64_t kGatherMax = 1 * MiB;
// A file range up to this size is read into memory: one writev beats two system calls.
constexpr uint64_t kSmallRangeMax = 16 * KiB;

// How much of a range is looked for in the page cache at once, before its parts are sent.
constexpr uint64_t kLookedAtMax = 512 * KiB;

ByteView bytes_of(const port::Piece& piece) {
    if (const auto* own = std::get_if<std::vector<std::byte>>(&piece)) {
        return *own;
    }
    return std::get<port::ChunkPiece>(piece).bytes;
}

class DetachedSocket final : public port::DetachedConnection {
public:
    explicit DetachedSocket(int fd) : fd_(fd) {}
    ~DetachedSocket() override {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }
    int take() { return std::exchange(fd_, -1); }

private:
    int fd_;
};

} // namespace

UvNet::UvNet(CoreContext& context, ReadIn& read_in, std::function<void(AcceptedSocket)> deal)
    : context_(context),
      read_in_(read_in),
      listeners_(context, std::move(deal)),
      dialer_(context,
              [this](Token token, Result<int> socket) { on_dialed(token, std::move(socket)); }) {
    const int status =
        timer_.open(this, [&](uv_timer_t* timer) { return uv_timer_init(&context_.loop, timer); });
    QT_ASSERT(status == 0); // cannot fail
}

UvNet::~UvNet() {
    QT_ASSERT(streams_.size() == 0);
}

// Token{}: the loop takes no more sockets, and this one is closed.
Token UvNet::take_over(int fd) {
    const Token token = streams_.emplace();
    Stream& stream = *streams_.find(token);
    stream.net = this;
    stream.token = token;
    stream.fd = fd;
    stream.phase = Phase::open;
    if (!open_poll(stream)) {
        erase(stream);
        return {};
    }
    arm(stream);
    return token;
}

void UvNet::adopt(AcceptedSocket socket) {
    if (const Token token = take_over(socket.fd)) {
        context_.turn_open = true;
        context_.events->on_accept(token, socket.listener, socket.peer);
    }
}

bool UvNet::open_poll(Stream& stream) {
    const int status = stream.poll.open(&stream, [&](uv_poll_t* poll) {
        return uv_poll_init_socket(&context_.loop, poll, stream.fd);
    });
    if (status != 0) {
        log_line(LogLevel::error, "connection_dropped", {{"why", uv_strerror(status)}});
    }
    return status == 0;
}

Token UvNet::connect(const std::string& host, uint16_t port, uint32_t deadline_ms) {
    const Token token = streams_.emplace();
    Stream& stream = *streams_.find(token);
    stream.net = this;
    stream.token = token;
    dialer_.dial(token, host, port, std::chrono::milliseconds(deadline_ms));
    return token;
}

void UvNet::on_dialed(Token token, Result<int> socket) {
    Stream& stream = *streams_.find(token); // close() tells the dialer
    context_.turn_open = true;
    if (socket) {
        stream.fd = *socket;
        stream.phase = Phase::open;
        if (!open_poll(stream)) {
            socket = Error(Code::connection_failed, "the event loop takes no more sockets");
        }
    }
    if (!socket) {
        erase(stream);
        context_.events->on_connect_failed(token, std::move(socket).error());
        return;
    }
    arm(stream);
    if (!stream.queue.empty()) {
        mark_dirty(stream);
    }
    context_.events->on_connected(token);
}

// ---- calls of the core --------------------------------------------------------------------------

void UvNet::send(Token connection, std::vector<port::Piece> pieces) {
    Stream* stream = streams_.find(connection);
    if (stream == nullptr || stream->phase == Phase::lingering) {
        return;
    }
    for (port::Piece& piece : pieces) {
        if (const uint64_t size = port::piece_size(piece); size > 0) {
            if (const auto* range = std::get_if<port::FileRange>(&piece);
                range != nullptr && range->was_read_in) {
                stream->aheads_left = kAheadsWithoutNeed;
            }
            stream->queued += size;
            stream->queue.push_back(std::move(piece));
        }
    }
    mark_dirty(*stream);
}

uint64_t UvNet::queued_bytes(Token connection) const {
    const Stream* stream = streams_.find(connection);
    return stream == nullptr ? 0 : stream->queued;
}

void UvNet::set_reading(Token connection, bool on) {
    Stream* stream = streams_.find(connection);
    if (stream != nullptr && stream->phase <= Phase::open && stream->is_read != on) {
        stream->is_read = on;
        if (stream->phase == Phase::open) {
            arm(*stream);
        }
    }
}

void UvNet::close_when_sent(Token connection, uint32_t deadline_ms) {
    Stream* stream = streams_.find(connection);
    if (stream == nullptr || stream->phase > Phase::open) {
        return;
    }
    if (stream->phase == Phase::connecting) {
        erase(*stream); // whoever has not even connected is owed nothing
        return;
    }
    stream->phase = Phase::flushing;
    stream->is_read = false;
    const MonoTime now{std::chrono::nanoseconds(uv_hrtime())};
    deadlines_.push(now + std::chrono::milliseconds(deadline_ms), connection);
    start_timer(timer_.get(), deadlines_.next_due(),
                [](uv_timer_t* timer) { static_cast<UvNet*>(timer->data)->on_deadline(); });
    arm(*stream);
    mark_dirty(*stream);
}

void UvNet::close(Token connection) {
    if (Stream* stream = streams_.find(connection)) {
        erase(*stream);
    }
}

std::unique_ptr<port::DetachedConnection> UvNet::detach(Token connection) {
    Stream* stream = streams_.find(connection);
    QT_ASSERT(stream != nullptr && stream->phase == Phase::open && stream->queue.empty());
    auto detached = std::make_unique<DetachedSocket>(stream->fd);
    stream->poll.close(); // which takes the socket out of this loop at once
    streams_.erase(connection);
    return detached;
}

Token UvNet::attach(std::unique_ptr<port::DetachedConnection> connection) {
    return take_over(static_cast<DetachedSocket&>(*connection).take());
}

void UvNet::mark_dirty(Stream& stream) {
    if (!stream.is_dirty) {
        stream.is_dirty = true;
        dirty_.push_back(stream.token);
    }
}

// ---- events -------------------------------------------------------------------------------------

void UvNet::arm(Stream& stream) {
    const bool read = stream.is_read || stream.phase == Phase::lingering;
    const int wanted = (read ? UV_READABLE : 0) | (stream.is_blocked ? UV_WRITABLE : 0);
    if (wanted == stream.polled) {
        return;
    }
    stream.polled = wanted;
    if (wanted == 0) {
        uv_poll_stop(stream.poll.get());
        return;
    }
    const int status =
        uv_poll_start(stream.poll.get(), wanted, [](uv_poll_t* poll, int state, int events) {
            auto& ready = *static_cast<Stream*>(poll->data);
            ready.net->on_ready(ready, state, events);
        });
    QT_ASSERT(status == 0); // fails only for handles that are closing
}

void UvNet::on_ready(Stream& stream, int status, int events) {
    context_.turn_open = true;
    if (status != 0) {
        lose(stream);
        return;
    }
    const Token token = stream.token;
    if ((events & UV_WRITABLE) != 0) {
        write_and_tell(stream);
        if (streams_.find(token) == nullptr) {
            return;
        }
    }
    if ((events & UV_READABLE) == 0) {
        return;
    }
    if (stream.phase == Phase::lingering) {
        drain_lingering(stream);
    } else if (stream.is_read) {
        read(stream);
    }
}

void UvNet::read(Stream& stream) {
    const Token token = stream.token;
    size_t left = kReadPerTurnMax;
    for (int i = 0; i < kReadsPerTurnMax && left > 0; i++) {
        ByteSpan into = context_.events->receive_buffer(token);
        QT_ASSERT(!into.empty());
        into = into.first(std::min(into.size(), left));
        const ssize_t got = ::recv(stream.fd, into.data(), into.size(), 0);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
            return;
        }
        if (got <= 0) {
            lose(stream);
            return;
        }
        left -= static_cast<size_t>(got);
        context_.events->on_received(token, static_cast<size_t>(got));
        const bool emptied = static_cast<size_t>(got) < into.size();
        if (emptied || streams_.find(token) == nullptr || !stream.is_read) {
            return;
        }
    }
}

// What the peer still sends is thrown away until it closes too: closing with unread bytes would
// reset the stream, and the peer could lose what we sent last.
void UvNet::drain_lingering(Stream& stream) {
    std::array<std::byte, 16 * KiB> waste;
    const ssize_t got = ::recv(stream.fd, waste.data(), waste.size(), 0);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        lose(stream);
    }
}

void UvNet::flush() {
    flushing_.swap(dirty_);
    for (const Token token : flushing_) {
        Stream* stream = streams_.find(token);
        if (stream == nullptr) {
            continue;
        }
        stream->is_dirty = false;
        if (!stream->is_blocked && !stream->is_waiting && stream->phase != Phase::connecting) {
            write_and_tell(*stream);
        }
    }
    flushing_.clear();
}

void UvNet::write_and_tell(Stream& stream) {
    const uint64_t queued = stream.queued;
    const bool was_blocked = std::exchange(stream.is_blocked, false);
    const bool outlived_turn = std::exchange(stream.is_waiting, false) || was_blocked;
    const Written written = write(stream);
    if (written == Written::broken) {
        lose(stream);
        return;
    }
    stream.is_blocked = written == Written::blocked;
    read_on(stream);
    if (written == Written::all && stream.phase == Phase::flushing) {
        stream.phase = Phase::lingering;
        ::shutdown(stream.fd, SHUT_WR); // fails when the peer is gone: then reading tells
    }
    arm(stream);
    if (stream.phase == Phase::open && stream.queued < queued &&
        (outlived_turn || !stream.is_read)) {
        context_.turn_open = true;
        context_.events->on_sent(stream.token, stream.queued);
    }
}

void UvNet::on_deadline() {
    const MonoTime now{std::chrono::nanoseconds(uv_hrtime())};
    while (const std::optional<Token> token = deadlines_.pop_due(now)) {
        if (Stream* stream = streams_.find(*token)) {
            context_.turn_open = true;
            lose(*stream);
        }
    }
    start_timer(timer_.get(), deadlines_.next_due(),
                [](uv_timer_t* timer) { static_cast<UvNet*>(timer->data)->on_deadline(); });
}

void UvNet::lose(Stream& stream) {
    const Token token = stream.token;
    erase(stream);
    context_.turn_open = true;
    context_.events->on_closed(token);
}

void UvNet::erase(Stream& stream) {
    stream.poll.close();
    if (stream.fd >= 0) {
        ::close(stream.fd);
    } else {
        dialer_.give_up(stream.token);
    }
    streams_.erase(stream.token);
}

void UvNet::close_all() {
    listeners_.stop();
    listeners_.close();
    std::vector<Token> all;
    streams_.for_each([&](Token token, Stream&) { all.push_back(token); });
    for (const Token token : all) {
        erase(*streams_.find(token));
    }
    dialer_.close();
    timer_.close();
}

// ---- writing ------------------------------------------------------------------------------------

UvNet::Written UvNet::write(Stream& stream) {
    uint64_t total = 0;
    while (!stream.queue.empty()) {
        if (total >= kWritePerTurnMax) {
            return Written::blocked; // room or not, the others first
        }
        const auto* range = std::get_if<port::FileRange>(&stream.queue.front());
        const ssize_t sent = range != nullptr && range->size > kSmallRangeMax
                                 ? write_file(stream, *range)
                                 : write_memory(stream);
        if (sent < 0) {
            if (stream.is_waiting) {
                return Written::waiting;
            }
            if (errno == EINTR) {
                continue;
            }
            return errno == EAGAIN || errno == EWOULDBLOCK ? Written::blocked : Written::broken;
        }
        if (sent == 0) {
            return Written::broken; // the file ends before its range does: see write_file
        }
        consume(stream, static_cast<uint64_t>(sent));
        total += static_cast<uint64_t>(sent);
    }
    return Written::all;
}

// Memory pieces from the front on, in one sendmsg; small file ranges become memory first. Returns
// -1 with is_waiting when the one at the front must be brought in.
ssize_t UvNet::write_memory(Stream& stream) {
    std::array<iovec, kPiecesPerWriteMax> pieces;
    size_t count = 0;
    uint64_t skip = stream.front_sent;
    uint64_t gathered = 0;
    bool more = false;
    for (port::Piece& piece : stream.queue) {
        if (count == pieces.size() || gathered >= kGatherMax) {
            break;
        }
        if (const auto* range = std::get_if<port::FileRange>(&piece)) {
            if (range->size > kSmallRangeMax) {
                more = true; // the header of a large range waits for its first bytes
                break;
            }
            Result<std::vector<std::byte>> bytes = small_range(stream, *range, count == 0);
            if (!bytes) {
                if (count > 0) {
                    break;
                }
                if (stream.is_waiting) {
                    return -1;
                }
                log_line(LogLevel::error, "reply_file_short",
                         {{"error", to_string(bytes.error())}});
                return 0;
            }
            piece = *std::move(bytes);
        }
        const ByteView bytes = bytes_of(piece).subspan(skip);
        skip = 0;
        pieces[count].iov_base = const_cast<std::byte*>(bytes.data()); // NOLINT: sendmsg reads
        pieces[count].iov_len = bytes.size();
        gathered += bytes.size();
        count++;
    }
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = count;
    return ::sendmsg(stream.fd, &message, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
}

// What cannot be had without the device is had later; for the range at the front that is asked for.
Result<std::vector<std::byte>> UvNet::small_range(Stream& stream, const port::FileRange& range,
                                                  bool is_front) {
    std::vector<std::byte> bytes(range.size);
    auto& file = static_cast<UvFile&>(*range.file);
    if (read_from_page_cache(file, bytes, range.position)) {
        return bytes;
    }
    if (!is_front || stream.sent + range.size > stream.sure_until) {
        if (is_front) {
            wait_for_read_in(stream);
        }
        return Error(Code::timed_out, "not in the page cache");
    }
    QT_TRY_ASSIGN(const size_t got, file.read_at(bytes, range.position));
    if (got != bytes.size()) {
        return Error(Code::storage_io, file.path() + " is shorter");
    }
    return bytes;
}

// Returns 0 when the file ends inside the range: it was truncated under a reply, which then cannot
// be completed; -1 with is_waiting when its next part must be brought in.
ssize_t UvNet::write_file(Stream& stream, const port::FileRange& range) {
    const auto& file = static_cast<const UvFile&>(*range.file);
    auto position = static_cast<off_t>(range.position + stream.front_sent);
    const uint64_t left = range.size - stream.front_sent;
    const uint64_t part = std::min(left, kWritePerTurnMax);
    if (stream.sent + part > stream.sure_until) {
        const uint64_t looked_at = std::min(left, kLookedAtMax);
        if (!is_in_page_cache(file, static_cast<uint64_t>(position), looked_at)) {
            wait_for_read_in(stream);
            return -1;
        }
        stream.sure_until = stream.sent + looked_at;
    }
    const ssize_t sent = ::sendfile(stream.fd, file.fd(), &position, part);
    if (sent == 0) {
        log_line(LogLevel::error, "reply_file_short",
                 {{"path", file.path()}, {"position", static_cast<uint64_t>(position)}});
    }
    return sent;
}

void UvNet::consume(Stream& stream, uint64_t size) {
    QT_ASSERT(size <= stream.queued);
    stream.queued -= size;
    stream.sent += size;
    stream.front_sent += size;
    while (!stream.queue.empty()) {
        const uint64_t front = port::piece_size(stream.queue.front());
        if (stream.front_sent < front) {
            return;
        }
        stream.front_sent -= front;
        if (const auto* range = std::get_if<port::FileRange>(&stream.queue.front())) {
            read_ahead(stream, *range);
        }
        stream.queue.pop_front();
    }
}

} // namespace qtool::uv
