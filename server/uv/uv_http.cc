#include "server/uv/uv_http.h"

#include "lib/base/assert.h"
#include "server/uv/uv_timer.h"

#include <algorithm>
#include <utility>

namespace qtool::uv {

namespace {

constexpr long kConnectTimeMs = 2000;
constexpr long kIdleConnectionsMax = 16;
// A peer that vanished without a word, as a stream with nothing to say sees it.
constexpr long kKeepAliveIdleS = 5;
constexpr long kKeepAliveIntervalS = 2;
constexpr size_t kErrorBodyMax = 64 * 1024; // of a stream that is refused

template <class Integer>
long as_long(Integer value) {
    return static_cast<long>(value);
}

} // namespace

Result<std::unique_ptr<UvHttp>> UvHttp::open(CoreContext& context, HttpTls tls) {
    QT_TRY_ASSIGN(const CurlLibrary* curl, CurlLibrary::load());
    std::unique_ptr<UvHttp> http(new UvHttp(context, *curl, std::move(tls)));
    QT_TRY(http->set_up());
    QT_TRY(http->check_tls());
    return http;
}

Result<void> UvHttp::set_up() {
    multi_ = curl_.multi_init();
    if (multi_ == nullptr) {
        return Error(Code::internal, "libcurl: no memory");
    }
    curl_.multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &UvHttp::on_socket);
    curl_.multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
    curl_.multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &UvHttp::on_timer_wanted);
    curl_.multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
    curl_.multi_setopt(multi_, CURLMOPT_MAXCONNECTS, kIdleConnectionsMax);
    for (net::Handle<uv_timer_t>* timer : {&curl_timer_, &alarm_}) {
        const int status = timer->open(
            this, [&](uv_timer_t* handle) { return uv_timer_init(&context_.loop, handle); });
        QT_ASSERT(status == 0); // cannot fail
    }
    return {};
}

void UvHttp::close() {
    if (multi_ == nullptr) {
        return;
    }
    events_ = nullptr;
    std::vector<Token> all;
    transfers_.for_each([&](Token token, Transfer&) { all.push_back(token); });
    for (const Token token : all) {
        cancel(token);
    }
    curl_.multi_cleanup(std::exchange(multi_, nullptr)); // takes back its sockets
    sockets_.clear();
    curl_timer_.close();
    alarm_.close();
}

// ---- requests -----------------------------------------------------------------------------------

Token UvHttp::start(port::HttpRequest request) {
    const Token token = transfers_.emplace();
    Transfer& transfer = *transfers_.find(token);
    transfer.owner = this;
    transfer.token = token;
    transfer.request = std::move(request);
    transfer.easy = curl_.easy_init();
    QT_ASSERT(transfer.easy != nullptr); // no memory
    CURL* easy = transfer.easy;
    const auto add_header = [&](const char* text) {
        curl_slist* longer = curl_.slist_append(transfer.headers, text);
        QT_ASSERT(longer != nullptr); // no memory
        transfer.headers = longer;
    };
    for (const std::string& header : transfer.request.headers) {
        add_header(header.c_str());
    }
    add_header("Expect:"); // no round trip of its own before a large body
    set(easy, CURLOPT_URL, transfer.request.url.c_str());
    set(easy, CURLOPT_HTTPHEADER, transfer.headers);
    set(easy, CURLOPT_PRIVATE, &transfer);
    set(easy, CURLOPT_ERRORBUFFER, transfer.error.data());
    set(easy, CURLOPT_WRITEFUNCTION, &UvHttp::on_write);
    set(easy, CURLOPT_WRITEDATA, &transfer);
    set(easy, CURLOPT_NOSIGNAL, 1L);
    set(easy, CURLOPT_NOPROXY, "*");
    set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    set(easy, CURLOPT_HTTP_VERSION, as_long(CURL_HTTP_VERSION_1_1));
    set(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    set(easy, CURLOPT_TCP_KEEPIDLE, kKeepAliveIdleS);
    set(easy, CURLOPT_TCP_KEEPINTVL, kKeepAliveIntervalS);
    set(easy, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeMs);
    if (transfer.request.timeout > Duration::zero()) {
        const auto timeout = std::chrono::ceil<std::chrono::milliseconds>(transfer.request.timeout);
        set(easy, CURLOPT_TIMEOUT_MS, as_long(timeout.count()));
    }
    if (!transfer.request.body.empty()) {
        set(easy, CURLOPT_POSTFIELDSIZE_LARGE,
            static_cast<curl_off_t>(transfer.request.body.size()));
        set(easy, CURLOPT_POSTFIELDS, transfer.request.body.c_str()); // stays where it is
    }
    const CURLcode secured = set_tls(easy);
    QT_ASSERT(secured == CURLE_OK); // as in check_tls
    // Only marks the transfer as due: what happens to it is told from the loop.
    const CURLMcode added = curl_.multi_add_handle(multi_, easy);
    QT_ASSERT(added == CURLM_OK);
    return token;
}

// Which of these there are depends on how libcurl was built; a refused one must not go unnoticed,
// or others would be trusted than those that were named.
CURLcode UvHttp::set_tls(CURL* easy) {
    CURLcode code = CURLE_OK;
    const auto set_path = [&](CURLoption option, const char* path) {
        code = code == CURLE_OK ? set(easy, option, path) : code;
    };
    if (!tls_.ca_file.empty()) {
        set_path(CURLOPT_CAINFO, tls_.ca_file.c_str());
        set(easy, CURLOPT_CAPATH, static_cast<const char*>(nullptr)); // none where it is unknown
    }
    if (!tls_.cert_file.empty()) {
        set_path(CURLOPT_SSLCERT, tls_.cert_file.c_str());
        set_path(CURLOPT_SSLKEY, tls_.key_file.c_str());
    }
    return code;
}

Result<void> UvHttp::check_tls() {
    CURL* easy = curl_.easy_init();
    if (easy == nullptr) {
        return Error(Code::internal, "libcurl: no memory");
    }
    const CURLcode code = set_tls(easy);
    curl_.easy_cleanup(easy);
    if (code != CURLE_OK) {
        return Error(Code::invalid_config, "libcurl of this machine does not take the TLS files: " +
                                               std::string(curl_.easy_strerror(code)));
    }
    return {};
}

void UvHttp::cancel(Token token) {
    if (Transfer* transfer = transfers_.find(token)) {
        release(*transfer);
        transfers_.erase(token);
    }
}

void UvHttp::release(Transfer& transfer) {
    curl_.multi_remove_handle(multi_, transfer.easy);
    curl_.easy_cleanup(transfer.easy);
    curl_.slist_free_all(transfer.headers);
}

void UvHttp::set_alarm(MonoTime due) {
    start_timer(alarm_.get(), due, [](uv_timer_t* timer) {
        auto* self = static_cast<UvHttp*>(timer->data);
        self->context_.turn_open = true;
        if (self->events_ != nullptr) {
            self->events_->on_http_alarm();
        }
    });
}

// ---- what libcurl wants -------------------------------------------------------------------------

size_t UvHttp::on_write(char* bytes, size_t size, size_t count, void* data) {
    auto& transfer = *static_cast<Transfer*>(data);
    UvHttp& self = *transfer.owner;
    const size_t got = size * count;
    const bool is_refused = transfer.request.is_stream && self.status_of(transfer.easy) != 200;
    const bool is_stream = transfer.request.is_stream && !is_refused;
    const size_t max = is_refused ? kErrorBodyMax : transfer.request.answer_bytes_max;
    if (!is_stream && transfer.received.size() + got > max) {
        transfer.is_too_large = true;
        return 0; // ends the transfer
    }
    transfer.received.append(bytes, got);
    if (is_stream && !std::exchange(transfer.has_part, true)) {
        self.parts_.push_back(transfer.token);
    }
    return got;
}

int UvHttp::on_socket(CURL*, curl_socket_t fd, int what, void* owner, void*) {
    auto& self = *static_cast<UvHttp*>(owner);
    if (what == CURL_POLL_REMOVE) {
        self.sockets_.erase(fd);
        return 0;
    }
    Socket& socket = self.sockets_[fd];
    if (!socket.poll) {
        socket.owner = &self;
        socket.fd = fd;
        const int status = socket.poll.open(&socket, [&](uv_poll_t* poll) {
            return uv_poll_init_socket(&self.context_.loop, poll, fd);
        });
        if (status != 0) {
            self.sockets_.erase(fd);
            return -1; // libcurl fails the transfers
        }
    }
    const int events = ((what & CURL_POLL_IN) != 0 ? UV_READABLE : 0) |
                       ((what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0);
    uv_poll_start(socket.poll.get(), events, [](uv_poll_t* poll, int status, int ready) {
        const auto& waiting = *static_cast<Socket*>(poll->data);
        const int mask = (status < 0 ? CURL_CSELECT_ERR : 0) |
                         ((ready & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0) |
                         ((ready & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0);
        waiting.owner->act(waiting.fd, mask);
    });
    return 0;
}

int UvHttp::on_timer_wanted(CURLM*, long wait_ms, void* owner) {
    auto& self = *static_cast<UvHttp*>(owner);
    if (!self.curl_timer_) {
        return 0; // closing
    }
    if (wait_ms < 0) {
        uv_timer_stop(self.curl_timer_.get());
        return 0;
    }
    uv_update_time(&self.context_.loop); // the turn may have been long
    uv_timer_start(
        self.curl_timer_.get(),
        [](uv_timer_t* timer) { static_cast<UvHttp*>(timer->data)->act(CURL_SOCKET_TIMEOUT, 0); },
        static_cast<uint64_t>(wait_ms), 0);
    return 0;
}

// ---- events -------------------------------------------------------------------------------------

void UvHttp::act(curl_socket_t fd, int ready) {
    context_.turn_open = true;
    int running = 0;
    curl_.multi_socket_action(multi_, fd, ready, &running);
    deliver();
}

void UvHttp::deliver() {
    for (const Token token : std::exchange(parts_, {})) {
        if (Transfer* transfer = transfers_.find(token)) {
            transfer->has_part = false;
            const std::string bytes = std::exchange(transfer->received, {});
            events_->on_http_part(token, bytes);
        }
    }
    // Collected first: an event may start and cancel others.
    std::vector<std::pair<Token, CURLcode>> ended;
    int left = 0;
    while (const CURLMsg* message = curl_.multi_info_read(multi_, &left)) {
        if (message->msg == CURLMSG_DONE) {
            Transfer* transfer = nullptr;
            curl_.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
            ended.emplace_back(transfer->token, message->data.result);
        }
    }
    for (const auto& [token, code] : ended) {
        deliver_end(token, code);
    }
}

void UvHttp::deliver_end(Token token, CURLcode code) {
    Transfer* transfer = transfers_.find(token);
    if (transfer == nullptr) {
        return; // cancelled meanwhile
    }
    if (code == CURLE_OK) {
        port::HttpAnswer answer{status_of(transfer->easy), std::move(transfer->received)};
        cancel(token);
        events_->on_http_answer(token, std::move(answer));
        return;
    }
    long request_bytes = 0;
    curl_.easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &request_bytes);
    const char* text =
        transfer->error[0] != '\0' ? transfer->error.data() : curl_.easy_strerror(code);
    port::HttpFailure failure;
    failure.error = transfer->is_too_large ? Error(Code::too_large, "the answer is too large")
                    : code == CURLE_OPERATION_TIMEDOUT ? Error(Code::timed_out, text)
                                                       : Error(Code::connection_failed, text);
    failure.was_sent = request_bytes > 0;
    cancel(token);
    events_->on_http_failed(token, std::move(failure));
}

int UvHttp::status_of(CURL* easy) const {
    long status = 0;
    curl_.easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return static_cast<int>(status);
}

} // namespace qtool::uv
