#include "server/metadata/topic_name.h"

#include "lib/protocol/limits.h"

#include <algorithm>

namespace qtool::metadata {

namespace {

bool is_allowed(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

} // namespace

Result<void> check_topic_name(std::string_view name) {
    if (name.empty()) {
        return Error(Code::invalid_topic_name, "a topic name may not be empty");
    }
    if (name.size() > protocol::kTopicNameSizeMax) {
        return Error(Code::invalid_topic_name, "a topic name may have at most " +
                                                   std::to_string(protocol::kTopicNameSizeMax) +
                                                   " characters, this one has " +
                                                   std::to_string(name.size()));
    }
    if (name == "." || name == "..") {
        return Error(Code::invalid_topic_name, "a topic name may not be '.' or '..'");
    }
    if (!std::all_of(name.begin(), name.end(), is_allowed)) {
        return Error(Code::invalid_topic_name,
                     "topic name '" + std::string(name) +
                         "' has characters other than a-z, A-Z, 0-9, '.', '_' and '-'");
    }
    return {};
}

bool can_collide(std::string_view name) {
    return name.find_first_of("._") != std::string_view::npos;
}

std::string fold_topic_name(std::string_view name) {
    std::string fold(name);
    std::replace(fold.begin(), fold.end(), '.', '_');
    return fold;
}

} // namespace qtool::metadata
