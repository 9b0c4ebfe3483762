#include "server/uv/curl_library.h"

#include <dlfcn.h>

#include <string>

namespace qtool::uv {

namespace {

template <class Function>
bool find(void* library, const char* name, Function& function) {
    function = reinterpret_cast<Function>(::dlsym(library, name));
    return function != nullptr;
}

} // namespace

Result<const CurlLibrary*> CurlLibrary::load() {
    static CurlLibrary curl;
    static bool is_loaded = false;
    if (is_loaded) {
        return &curl;
    }
    void* library = ::dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        const char* why = ::dlerror();
        return Error(Code::internal, "libcurl is needed to talk to etcd (Debian: libcurl4): " +
                                         std::string(why == nullptr ? "" : why));
    }
    decltype(&::curl_global_init) global_init = nullptr;
    const bool is_complete = find(library, "curl_global_init", global_init) &&
                             find(library, "curl_easy_init", curl.easy_init) &&
                             find(library, "curl_easy_cleanup", curl.easy_cleanup) &&
                             find(library, "curl_easy_setopt", curl.easy_setopt) &&
                             find(library, "curl_easy_getinfo", curl.easy_getinfo) &&
                             find(library, "curl_easy_strerror", curl.easy_strerror) &&
                             find(library, "curl_slist_append", curl.slist_append) &&
                             find(library, "curl_slist_free_all", curl.slist_free_all) &&
                             find(library, "curl_multi_init", curl.multi_init) &&
                             find(library, "curl_multi_cleanup", curl.multi_cleanup) &&
                             find(library, "curl_multi_setopt", curl.multi_setopt) &&
                             find(library, "curl_multi_add_handle", curl.multi_add_handle) &&
                             find(library, "curl_multi_remove_handle", curl.multi_remove_handle) &&
                             find(library, "curl_multi_socket_action", curl.multi_socket_action) &&
                             find(library, "curl_multi_info_read", curl.multi_info_read);
    if (!is_complete || global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return Error(Code::internal, "libcurl.so.4 cannot be used");
    }
    is_loaded = true;
    return &curl;
}

} // namespace qtool::uv
