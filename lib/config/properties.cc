// The file format of qbroker.conf; contract in broker_config.h.
#include "lib/base/trim.h"
#include "lib/config/broker_config.h"

namespace qtool::config {
namespace {

constexpr std::string_view kLineBlanks = " \t";

bool has_control_byte(std::string_view text) {
    for (const char c : text) {
        if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) {
            return true;
        }
    }
    return false;
}

} // namespace

Result<std::vector<Property>> parse_properties(std::string_view file, std::string_view text) {
    if (text.size() > kPropertiesSizeMax) {
        return Error(Code::invalid_config,
                     std::string(file) + " has " + std::to_string(text.size()) +
                         " bytes; an option file may have " + std::to_string(kPropertiesSizeMax));
    }
    std::vector<Property> properties;
    std::map<std::string, uint32_t, std::less<>> line_of_key;
    uint32_t line_number = 0;
    while (!text.empty()) {
        const size_t newline = text.find('\n');
        std::string_view line = text.substr(0, newline);
        text.remove_prefix(newline == std::string_view::npos ? text.size() : newline + 1);
        line_number++;
        if (!line.empty() && line.back() == '\r') {
            line.remove_suffix(1);
        }
        line = trim(line, kLineBlanks);
        if (line.empty() || line.front() == '#' || line.front() == '!') {
            continue;
        }
        const auto refuse = [&](const std::string& why) {
            return Error(Code::invalid_config,
                         std::string(file) + " line " + std::to_string(line_number) + ": " + why);
        };
        if (has_control_byte(line)) {
            return refuse("control bytes are not allowed");
        }
        if (line.back() == '\\') {
            return refuse("a value cannot go on in the next line; remove the \\ at the end");
        }
        const size_t equals = line.find('=');
        const std::string_view key = trim(line.substr(0, equals), kLineBlanks);
        if (equals == std::string_view::npos || key.empty()) {
            constexpr size_t kShownSizeMax = 100;
            return refuse("expected key=value, got '" + std::string(line.substr(0, kShownSizeMax)) +
                          "'");
        }
        const auto [first, inserted] = line_of_key.emplace(key, line_number);
        if (!inserted) {
            return refuse(std::string(key) + " was set in line " + std::to_string(first->second) +
                          " already");
        }
        properties.push_back({std::string(key),
                              std::string(trim(line.substr(equals + 1), kLineBlanks)),
                              line_number});
    }
    return properties;
}

} // namespace qtool::config
