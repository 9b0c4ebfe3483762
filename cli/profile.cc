#include "cli/profile.h"

#include "lib/base/trim.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace qtool::cli {

namespace {

constexpr std::string_view kBlanks = " \t\r";

Error line_error(size_t number, std::string_view what) {
    std::string detail = "contexts file, line ";
    detail.append(std::to_string(number)).append(": ").append(what);
    return {Code::invalid_argument, std::move(detail)};
}

} // namespace

Result<std::map<std::string, Profile>> parse_profiles(std::string_view text) {
    std::map<std::string, Profile> profiles;
    Profile* current = nullptr;
    size_t number = 0;
    while (!text.empty()) {
        number++;
        const std::string_view raw = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), raw.size() + 1));
        const std::string_view line = trim(raw, kBlanks);
        if (line.empty() || line.front() == '#') {
            continue;
        }
        if (line.front() == '[') {
            const std::string_view name = trim(line.substr(1, line.size() - 2), kBlanks);
            if (line.back() != ']' || name.empty()) {
                return line_error(number, "a context begins with [name]");
            }
            current = &profiles[std::string(name)];
            continue;
        }
        const size_t equals = line.find('=');
        if (current == nullptr || equals == std::string_view::npos ||
            trim(line.substr(0, equals), kBlanks) != "brokers") {
            return line_error(number, "expected 'brokers = host:port,...' below a [name]");
        }
        current->brokers = trim(line.substr(equals + 1), kBlanks);
    }
    return profiles;
}

std::string profiles_path() {
    const char* config_home = std::getenv("XDG_CONFIG_HOME");
    if (config_home != nullptr && *config_home != '\0') {
        return std::string(config_home) + "/qtool/contexts";
    }
    const char* home = std::getenv("HOME");
    return home == nullptr || *home == '\0' ? std::string()
                                            : std::string(home) + "/.config/qtool/contexts";
}

Result<Profile> load_profile(const std::string& name) {
    const std::string path = profiles_path();
    std::ifstream file(path);
    if (!file) {
        return Error(Code::invalid_argument, "context '" + name + "': cannot read " +
                                                 (path.empty() ? "the contexts file" : path) +
                                                 "; write lines '[" + name +
                                                 "]' and 'brokers = host:port' into it");
    }
    std::stringstream text;
    text << file.rdbuf();
    QT_TRY_ASSIGN(const auto profiles, parse_profiles(text.str()));
    const auto it = profiles.find(name);
    if (it != profiles.end() && !it->second.brokers.empty()) {
        return it->second;
    }
    std::string known;
    for (const auto& entry : profiles) {
        known.append(known.empty() ? "" : ", ").append(entry.first);
    }
    return Error(Code::invalid_argument,
                 "context '" + name + "' is not in " + path +
                     " or names no brokers; there: " + (known.empty() ? "none" : known));
}

Result<std::vector<config::Endpoint>> parse_brokers(std::string_view text) {
    std::vector<config::Endpoint> endpoints;
    while (!text.empty()) {
        const std::string_view raw = text.substr(0, text.find(','));
        text.remove_prefix(std::min(text.size(), raw.size() + 1));
        const std::string_view one = trim(raw, kBlanks);
        if (one.empty()) {
            continue;
        }
        // "::1" and "[::1]" have colons of their own.
        const bool has_port = one.front() == '[' ? one.find("]:") != std::string_view::npos
                                                 : std::count(one.begin(), one.end(), ':') == 1;
        const auto endpoint =
            config::parse_endpoint("brokers", has_port ? std::string(one)
                                              : one.front() != '[' && one.find(':') != one.npos
                                                  ? "[" + std::string(one) + "]:9092"
                                                  : std::string(one) + ":9092");
        if (!endpoint || endpoint->port == 0 || endpoint->host.empty()) {
            return Error(Code::invalid_argument,
                         "broker address '" + std::string(one) + "' is not host:port");
        }
        endpoints.push_back(*endpoint);
    }
    if (endpoints.empty()) {
        return Error(Code::invalid_argument, "no broker address is given (-b host:port,...)");
    }
    return endpoints;
}

} // namespace qtool::cli
