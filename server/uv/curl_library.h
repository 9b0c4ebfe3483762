// CurlLibrary: libcurl, loaded when it is first needed. It brings TLS with it, 10 MiB of memory and
// 8 ms of start, which a broker without etcd shall not pay.
#pragma once

#include "lib/base/result.h"

#include <curl/curl.h>

namespace qtool::uv {

struct CurlLibrary {
    decltype(&::curl_easy_init) easy_init = nullptr;
    decltype(&::curl_easy_cleanup) easy_cleanup = nullptr;
    decltype(&::curl_easy_setopt) easy_setopt = nullptr;
    decltype(&::curl_easy_getinfo) easy_getinfo = nullptr;
    decltype(&::curl_easy_strerror) easy_strerror = nullptr;
    decltype(&::curl_slist_append) slist_append = nullptr;
    decltype(&::curl_slist_free_all) slist_free_all = nullptr;
    decltype(&::curl_multi_init) multi_init = nullptr;
    decltype(&::curl_multi_cleanup) multi_cleanup = nullptr;
    decltype(&::curl_multi_setopt) multi_setopt = nullptr;
    decltype(&::curl_multi_add_handle) multi_add_handle = nullptr;
    decltype(&::curl_multi_remove_handle) multi_remove_handle = nullptr;
    decltype(&::curl_multi_socket_action) multi_socket_action = nullptr;
    decltype(&::curl_multi_info_read) multi_info_read = nullptr;

    /// Main thread, before others use it; loads once, for the rest of the process. Errors: internal
    /// (not installed, or too old).
    static Result<const CurlLibrary*> load();
};

} // namespace qtool::uv
