#include "lib/config/describe.h"

#include "lib/base/assert.h"

namespace qtool::config {

std::string_view to_string(ConfigSource source) noexcept {
    switch (source) {
    case ConfigSource::topic:
        return "topic";
    case ConfigSource::dynamic_broker:
        return "broker";
    case ConfigSource::dynamic_default:
        return "cluster";
    case ConfigSource::static_broker:
        return "file";
    case ConfigSource::built_in:
        return "default";
    case ConfigSource::logger:
        return "logger";
    case ConfigSource::group:
        return "group";
    }
    QT_UNREACHABLE();
}

} // namespace qtool::config
