#include "server/admin/browser_guard.h"

#include <algorithm>

namespace qtool::admin {

namespace {

std::string lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return out;
}

// "host:port" or "[v6]:port" without the port.
std::string_view host_of(std::string_view authority) {
    if (authority.starts_with('[')) {
        const size_t end = authority.find(']');
        return end == std::string_view::npos ? authority : authority.substr(0, end + 1);
    }
    return authority.substr(0, authority.find(':'));
}

// Four decimal numbers of at most 255: browsers never look such a host up in the DNS.
bool is_ipv4(std::string_view host) {
    int groups = 0;
    while (true) {
        const size_t dot = host.find('.');
        const std::string_view group = host.substr(0, dot);
        const bool digits =
            !group.empty() && group.size() <= 3 &&
            std::all_of(group.begin(), group.end(), [](char c) { return c >= '0' && c <= '9'; });
        if (!digits || std::stoi(std::string(group)) > 255) {
            return false;
        }
        groups++;
        if (dot == std::string_view::npos) {
            return groups == 4;
        }
        host.remove_prefix(dot + 1);
    }
}

bool is_ipv6(std::string_view host) {
    return host.size() > 2 && host.starts_with('[') && host.ends_with(']'); // no name has brackets
}

bool is_ours(std::string_view host, const config::BrokerConfig& broker,
             const metadata::Image& image) {
    const auto is_endpoint = [&](const std::vector<config::Endpoint>& endpoints) {
        return std::any_of(endpoints.begin(), endpoints.end(),
                           [&](const auto& endpoint) { return lower(endpoint.host) == host; });
    };
    if (is_endpoint(broker.listeners) || is_endpoint(broker.admin_listeners) ||
        is_endpoint(broker.advertised_listeners)) {
        return true;
    }
    return std::any_of(image.brokers.begin(), image.brokers.end(), [&](const auto& entry) {
        return lower(entry.second.host) == host || lower(entry.second.admin_host) == host;
    });
}

} // namespace

Result<void> check_origin(const stream::HttpRequest& request) {
    const std::string_view origin = request.header("origin");
    if (origin.empty()) {
        return {};
    }
    const size_t scheme = origin.find("://");
    const std::string_view authority =
        scheme == std::string_view::npos ? std::string_view() : origin.substr(scheme + 3);
    if (!authority.empty() && lower(authority) == lower(request.header("host"))) {
        return {};
    }
    return Error(Code::not_authorized, "the request comes from a web page of '" +
                                           std::string(origin) +
                                           "'; only pages of this host may use the API");
}

Result<void> check_host(const stream::HttpRequest& request, const config::BrokerConfig& broker,
                        const metadata::Image& image) {
    if (request.header("host").empty()) {
        return {};
    }
    const std::string host = lower(host_of(request.header("host")));
    if (host == "localhost" || is_ipv4(host) || is_ipv6(host) || is_ours(host, broker, image)) {
        return {};
    }
    return Error(Code::not_authorized,
                 "Host '" + host +
                     "' is no name of this cluster: use an address, localhost, or a name in "
                     "advertised.listeners");
}

} // namespace qtool::admin
