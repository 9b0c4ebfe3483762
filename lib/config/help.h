// An option table as text for people: --help, man page source, Markdown.
#pragma once

#include "lib/config/option.h"

#include <string>

namespace qtool::config {

enum class Format : uint8_t { text, roff, markdown };

/// Served options only, sorted by name: type, default, bounds, unit, meaning. After them the names
/// that are known but held at their default, with the reason. Ends with a newline.
std::string render_options(const OptionTable& table, Format format);

} // namespace qtool::config
