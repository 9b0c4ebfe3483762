// UvHttp: port::Http on libcurl, which says what to wait for, and the core's loop, which waits.
// Lives on its core; made on the main thread before the core starts.
#pragma once

#include "lib/base/slot_map.h"
#include "lib/net/handle.h"
#include "server/port/http.h"
#include "server/uv/core_context.h"
#include "server/uv/curl_library.h"
#include "server/uv/uv_world.h"

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace qtool::uv {

class UvHttp final : public port::Http {
public:
    /// Errors: internal (libcurl cannot be loaded), invalid_config (it cannot use these files).
    static Result<std::unique_ptr<UvHttp>> open(CoreContext& context, HttpTls tls);
    ~UvHttp() override { close(); }
    UvHttp(const UvHttp&) = delete;
    UvHttp& operator=(const UvHttp&) = delete;

    void set_events(port::HttpEvents* events) override { events_ = events; }
    Token start(port::HttpRequest request) override;
    void cancel(Token token) override;
    void set_alarm(MonoTime due) override;
    /// Ends everything without events, and lets the loop's handles go. Idempotent.
    void close();

private:
    struct Transfer {
        UvHttp* owner = nullptr;
        Token token;
        port::HttpRequest request;
        CURL* easy = nullptr;
        curl_slist* headers = nullptr;
        std::string received; // of a stream: what was not told yet
        bool is_too_large = false;
        bool has_part = false; // in parts_
        std::array<char, CURL_ERROR_SIZE> error{};
    };
    struct Socket {
        UvHttp* owner = nullptr;
        curl_socket_t fd = CURL_SOCKET_BAD;
        net::Handle<uv_poll_t> poll;
    };

    UvHttp(CoreContext& context, const CurlLibrary& curl, HttpTls tls)
        : context_(context),
          curl_(curl),
          tls_(std::move(tls)) {}
    Result<void> set_up();
    Result<void> check_tls();
    template <class Value>
    CURLcode set(CURL* easy, CURLoption option, Value value) {
        return curl_.easy_setopt(easy, option, value);
    }
    [[nodiscard]] CURLcode set_tls(CURL* easy);
    [[nodiscard]] int status_of(CURL* easy) const;
    static size_t on_write(char* bytes, size_t size, size_t count, void* transfer);
    static int on_socket(CURL* easy, curl_socket_t fd, int what, void* owner, void* socket);
    static int on_timer_wanted(CURLM* multi, long wait_ms, void* owner);
    void act(curl_socket_t fd, int ready);
    void deliver();
    void deliver_end(Token token, CURLcode code);
    void release(Transfer& transfer);

    CoreContext& context_;
    const CurlLibrary& curl_;
    HttpTls tls_;
    port::HttpEvents* events_ = nullptr;
    CURLM* multi_ = nullptr;
    SlotMap<Transfer> transfers_;
    std::vector<Token> parts_; // streams with something to tell
    std::map<curl_socket_t, Socket> sockets_;
    net::Handle<uv_timer_t> curl_timer_;
    net::Handle<uv_timer_t> alarm_;
};

} // namespace qtool::uv
