#include "server/group/topic_regex.h"

#include "server/group/limits.h"

#include <re2/re2.h>

namespace qtool::group {
namespace {

re2::RE2::Options make_options() {
    re2::RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(kRegexProgramBytesMax);
    return options;
}

re2::StringPiece piece(std::string_view text) {
    return {text.data(), text.size()};
}

} // namespace

Result<void> check_regex(std::string_view regex) {
    if (regex.size() > kRegexSizeMax) {
        return Error(Code::invalid_argument,
                     "longer than " + std::to_string(kRegexSizeMax) + " bytes");
    }
    const re2::RE2 compiled(piece(regex), make_options());
    return compiled.ok() ? Result<void>() : Error(Code::invalid_argument, compiled.error());
}

std::set<std::string, std::less<>> matching_topics(std::string_view regex,
                                                   const metadata::Image& image) {
    std::set<std::string, std::less<>> topics;
    const re2::RE2 compiled(piece(regex), make_options());
    if (!compiled.ok()) {
        return topics;
    }
    for (const auto& [name, topic] : image.topics_by_name) {
        if (re2::RE2::FullMatch(piece(name), compiled)) {
            topics.insert(topics.end(), name);
        }
    }
    return topics;
}

} // namespace qtool::group
