// Contexts: names for clusters, in a file, so that people type `-c prod` instead of addresses.
//
//   # ~/.config/qtool/contexts
//   [prod]
//   brokers = a.example:9092,b.example:9092
#pragma once

#include "lib/base/result.h"
#include "lib/config/option.h"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::cli {

struct Profile {
    std::string brokers;
};

/// Errors: invalid_argument with the line number.
Result<std::map<std::string, Profile>> parse_profiles(std::string_view text);

/// $XDG_CONFIG_HOME/qtool/contexts, else $HOME/.config/qtool/contexts; empty when neither is set.
std::string profiles_path();

/// Reads the file and picks one. Errors: invalid_argument (no such file or context; names those
/// that are there).
Result<Profile> load_profile(const std::string& name);

/// "host:port,host" with 9092 where no port is named. Errors: invalid_argument.
Result<std::vector<config::Endpoint>> parse_brokers(std::string_view text);

} // namespace qtool::cli
