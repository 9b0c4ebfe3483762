// Regular expressions of subscriptions: RE2's syntax, matched against whole names (KIP-848).
#pragma once

#include "lib/base/result.h"
#include "server/metadata/image.h"

#include <set>
#include <string>
#include <string_view>

namespace qtool::group {

/// Errors: invalid_argument, with what is wrong in the detail.
[[nodiscard]] Result<void> check_regex(std::string_view regex);

/// Names of the image's topics that match as a whole; none when the expression is bad.
std::set<std::string, std::less<>> matching_topics(std::string_view regex,
                                                   const metadata::Image& image);

} // namespace qtool::group
