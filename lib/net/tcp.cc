#include "lib/net/tcp.h"

#include "lib/base/assert.h"
#include "lib/base/units.h"
#include "lib/net/handle.h"
#include "lib/net/local_path.h"
#include "lib/net/resolve.h"
#include "lib/net/timer.h"

#include <uv.h>

#include <memory>
#include <utility>

namespace qtool::net {

namespace {

constexpr size_t kReceiveSize = 256 * KiB; // bytes one read may bring

struct WriteRequest {
    uv_write_t request{};
    std::vector<std::vector<std::byte>> buffers;
    uint64_t size = 0;
};

Error closed_error(const std::string& peer, int status) {
    return Error(Code::connection_failed,
                 status == UV_EOF ? peer + " closed the connection"
                                  : "connection to " + peer + " broke: " + uv_strerror(status));
}

} // namespace

// A callback may drop the Tcp, so each callback from libuv keeps the stream alive until it returns.
class Tcp::Stream : public std::enable_shared_from_this<Stream> {
public:
    Stream(Loop& loop, TcpCallbacks callbacks)
        : loop_(loop),
          callbacks_(std::move(callbacks)),
          fail_later_(loop, [this] {
              const auto alive = shared_from_this();
              fail(std::move(pending_error_));
          }) {}

    void connect(const std::string& host, uint16_t port) {
        QT_ASSERT_MSG(resolve_ == nullptr && phase_ == Phase::idle, "connect is called once");
        phase_ = Phase::connecting;
        peer_ = host + ":" + std::to_string(port);
        resolve_ = std::make_unique<Resolve>(loop_, host, port,
                                             [this](Result<std::vector<Address>> addresses) {
                                                 const auto alive = shared_from_this();
                                                 if (!addresses) {
                                                     fail(std::move(addresses).error());
                                                     return;
                                                 }
                                                 addresses_ = *std::move(addresses);
                                                 try_next_address();
                                             });
    }

    void write(std::vector<std::vector<std::byte>> buffers) {
        if (phase_ == Phase::closed) {
            return;
        }
        auto request = std::make_unique<WriteRequest>();
        for (const std::vector<std::byte>& buffer : buffers) {
            request->size += buffer.size();
        }
        request->buffers = std::move(buffers);
        queued_ += request->size;
        if (phase_ == Phase::connected) {
            start_write(std::move(request));
        } else {
            early_.push_back(std::move(request));
        }
    }

    void set_reading(bool on) {
        reading_ = on;
        if (phase_ == Phase::connected) {
            apply_reading();
        }
    }

    [[nodiscard]] uint64_t queued() const { return queued_; }

    /// No callback follows.
    void close() {
        phase_ = Phase::closed;
        resolve_.reset();
        fail_later_.set(kMonoNever);
        early_.clear();
        queued_ = 0;
        drop_socket();
    }

private:
    enum class Phase : uint8_t { idle, connecting, connected, closed };

    // What uv_tcp_t::data points to: the stream, for as long as libuv may call back.
    struct Socket {
        uv_tcp_t tcp{};
        uv_connect_t connect{};
        std::shared_ptr<Stream> stream;
    };

    void drop_socket() {
        if (socket_ != nullptr) {
            uv_close(reinterpret_cast<uv_handle_t*>(&std::exchange(socket_, nullptr)->tcp),
                     [](uv_handle_t* handle) { delete static_cast<Socket*>(handle->data); });
        }
    }

    void try_next_address() {
        drop_socket();
        int status = UV_EADDRNOTAVAIL;
        while (next_address_ < addresses_.size()) {
            const auto& address =
                reinterpret_cast<const sockaddr&>(addresses_[next_address_++].storage);
            auto made = std::make_unique<Socket>();
            status = uv_tcp_init_ex(loop_.get(), &made->tcp, address.sa_family);
            if (status != 0) {
                continue; // the loop does not know it
            }
            socket_ = made.release(); // freed by drop_socket
            socket_->tcp.data = socket_;
            socket_->connect.data = socket_;
            socket_->stream = shared_from_this();
            uv_os_fd_t fd = -1;
            uv_fileno(reinterpret_cast<const uv_handle_t*>(&socket_->tcp), &fd);
            unpace_local(fd, address);
            status = uv_tcp_connect(&socket_->connect, &socket_->tcp, &address, &on_connect);
            if (status == 0) {
                return; // on_connect follows
            }
            drop_socket();
        }
        fail(Error(Code::connection_failed,
                   "cannot connect to " + peer_ + ": " + uv_strerror(status)));
    }

    static void on_connect(uv_connect_t* request, int status) {
        auto* socket = static_cast<Socket*>(request->data);
        const std::shared_ptr<Stream> self = socket->stream;
        if (self->socket_ != socket) {
            return; // closed meanwhile
        }
        if (status == 0) {
            self->connected();
        } else if (self->next_address_ < self->addresses_.size()) {
            self->try_next_address();
        } else {
            self->fail(Error(Code::connection_failed,
                             "cannot connect to " + self->peer_ + ": " + uv_strerror(status)));
        }
    }

    void connected() {
        phase_ = Phase::connected;
        uv_tcp_nodelay(&socket_->tcp, 1); // a socket that cannot is slower, not wrong
        apply_reading();
        for (std::unique_ptr<WriteRequest>& request : std::exchange(early_, {})) {
            start_write(std::move(request));
        }
        if (callbacks_.on_connected) {
            callbacks_.on_connected();
        }
    }

    void apply_reading() {
        auto* stream = reinterpret_cast<uv_stream_t*>(&socket_->tcp);
        if (!reading_) {
            uv_read_stop(stream);
            return;
        }
        const int status = uv_read_start(stream, &on_space, &on_bytes);
        if (status != 0 && status != UV_EALREADY) {
            fail_soon(closed_error(peer_, status));
        }
    }

    static void on_space(uv_handle_t* handle, size_t, uv_buf_t* out) {
        const std::shared_ptr<Stream> self = static_cast<Socket*>(handle->data)->stream;
        ByteSpan space;
        if (self->callbacks_.receive_buffer) {
            space = self->callbacks_.receive_buffer();
        } else {
            if (self->own_buffer_ == nullptr) {
                self->own_buffer_ = std::make_unique<std::byte[]>(kReceiveSize);
            }
            space = {self->own_buffer_.get(), kReceiveSize};
        }
        self->space_ = space;
        *out =
            uv_buf_init(reinterpret_cast<char*>(space.data()), static_cast<unsigned>(space.size()));
    }

    static void on_bytes(uv_stream_t* handle, ssize_t size, const uv_buf_t*) {
        auto* socket = static_cast<Socket*>(handle->data);
        const std::shared_ptr<Stream> self = socket->stream;
        if (self->socket_ != socket || size == 0) {
            return; // closed meanwhile, or nothing to read after all
        }
        if (size < 0) {
            self->fail(closed_error(self->peer_, static_cast<int>(size)));
        } else if (self->callbacks_.on_read) {
            self->callbacks_.on_read(self->space_.first(static_cast<size_t>(size)));
        }
    }

    void start_write(std::unique_ptr<WriteRequest> request) {
        std::vector<uv_buf_t> views;
        views.reserve(request->buffers.size());
        for (std::vector<std::byte>& buffer : request->buffers) {
            views.push_back(uv_buf_init(reinterpret_cast<char*>(buffer.data()),
                                        static_cast<unsigned>(buffer.size())));
        }
        request->request.data = request.get();
        const int status =
            uv_write(&request->request, reinterpret_cast<uv_stream_t*>(&socket_->tcp), views.data(),
                     static_cast<unsigned>(views.size()), &on_write);
        if (status == 0) {
            static_cast<void>(request.release()); // on_write deletes it
        } else {
            fail_soon(closed_error(peer_, status));
        }
    }

    static void on_write(uv_write_t* write, int status) {
        const std::unique_ptr<WriteRequest> request(static_cast<WriteRequest*>(write->data));
        auto* socket = static_cast<Socket*>(write->handle->data);
        const std::shared_ptr<Stream> self = socket->stream;
        if (self->socket_ != socket) {
            return;
        }
        self->queued_ -= request->size;
        if (status != 0) {
            self->fail(closed_error(self->peer_, status));
        } else if (self->callbacks_.on_written) {
            self->callbacks_.on_written(self->queued_);
        }
    }

    /// For failures met within a call: on_closed must come from the loop.
    void fail_soon(Error error) {
        pending_error_ = std::move(error);
        fail_later_.set(Loop::now());
    }

    void fail(Error error) {
        close();
        if (callbacks_.on_closed) {
            callbacks_.on_closed(std::move(error));
        }
    }

    Loop& loop_;
    TcpCallbacks callbacks_;
    std::string peer_; // host:port, for errors
    Phase phase_ = Phase::idle;
    bool reading_ = true;
    std::unique_ptr<Resolve> resolve_;
    std::vector<Address> addresses_;
    size_t next_address_ = 0;
    Socket* socket_ = nullptr;                         // freed by its close callback
    std::vector<std::unique_ptr<WriteRequest>> early_; // given before the connection stood
    uint64_t queued_ = 0;
    std::unique_ptr<std::byte[]> own_buffer_;
    ByteSpan space_; // where libuv reads now
    Timer fail_later_;
    Error pending_error_;
};

Tcp::Tcp(Loop& loop, TcpCallbacks callbacks)
    : stream_(std::make_shared<Stream>(loop, std::move(callbacks))) {}

Tcp::~Tcp() {
    stream_->close();
}

void Tcp::connect(const std::string& host, uint16_t port) {
    stream_->connect(host, port);
}

void Tcp::write(std::vector<std::vector<std::byte>> buffers) {
    stream_->write(std::move(buffers));
}

void Tcp::write(std::vector<std::byte> bytes) {
    std::vector<std::vector<std::byte>> buffers;
    buffers.push_back(std::move(bytes));
    stream_->write(std::move(buffers));
}

uint64_t Tcp::queued_bytes() const {
    return stream_->queued();
}

void Tcp::set_reading(bool on) {
    stream_->set_reading(on);
}

} // namespace qtool::net
