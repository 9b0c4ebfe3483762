#include "lib/config/option.h"

#include <charconv>

namespace qtool::config {
namespace {

Error refuse(std::string_view option, std::string_view text, const std::string& why) {
    constexpr size_t kShownSizeMax = 100;
    return {Code::invalid_config, "invalid address '" + std::string(text.substr(0, kShownSizeMax)) +
                                      "' in " + std::string(option) + ": " + why};
}

bool host_ok(std::string_view host, bool bracketed) {
    for (const char c : host) {
        const bool name = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
        if (!name && !(bracketed && (c == ':' || c == '%'))) {
            return false;
        }
    }
    return host.size() <= 255; // RFC 1035 section 2.3.4
}

} // namespace

Result<Endpoint> parse_endpoint(std::string_view option, std::string_view text) {
    std::string_view rest = text;
    if (const size_t scheme = rest.find("://"); scheme != std::string_view::npos) {
        const std::string_view protocol = rest.substr(0, scheme);
        if (protocol == "SSL" || protocol == "SASL_SSL" || protocol == "SASL_PLAINTEXT") {
            return refuse(option, text, "TLS and SASL are not built yet; use PLAINTEXT or none");
        }
        if (protocol != "PLAINTEXT") {
            return refuse(option, text, "before :// only PLAINTEXT may stand");
        }
        rest.remove_prefix(scheme + 3);
    }
    const size_t colon = rest.rfind(':');
    if (colon == std::string_view::npos || rest.back() == ']') {
        return refuse(option, text, "the port is missing; expected HOST:PORT");
    }
    std::string_view host = rest.substr(0, colon);
    const std::string_view digits = rest.substr(colon + 1);
    const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
    if (bracketed) {
        host = host.substr(1, host.size() - 2);
    } else if (host.find(':') != std::string_view::npos) {
        return refuse(option, text, "an IPv6 address is written in brackets, as [::1]:9092");
    }
    if (!host_ok(host, bracketed) || (bracketed && host.empty())) {
        return refuse(option, text, "not a host name or address");
    }
    uint32_t port = 0;
    const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (digits.empty() || ec != std::errc() || end != digits.data() + digits.size() ||
        port > 65535) {
        return refuse(option, text, "the port must be 0 to 65535");
    }
    return Endpoint{host.empty() ? "0.0.0.0" : std::string(host), static_cast<uint16_t>(port)};
}

std::string to_string(const Endpoint& endpoint) {
    const bool v6 = endpoint.host.find(':') != std::string::npos;
    return (v6 ? "[" + endpoint.host + "]" : endpoint.host) + ":" + std::to_string(endpoint.port);
}

bool is_loopback(const Endpoint& endpoint) {
    const std::string& host = endpoint.host;
    if (host == "localhost" || host == "::1") {
        return true;
    }
    // A name may begin with "127." too; only four numbers are an address.
    if (host.rfind("127.", 0) != 0) {
        return false;
    }
    int dots = 0;
    for (const char c : host) {
        if (c == '.') {
            dots++;
        } else if (c < '0' || c > '9') {
            return false;
        }
    }
    return dots == 3;
}

} // namespace qtool::config
