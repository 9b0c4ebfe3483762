#include "lib/config/topic_option_rows.h"

namespace qtool::config {

const OptionTable& topic_options() {
    static const OptionTable table{"topic option", "qbroker", kTopicRows, {}};
    return table;
}

} // namespace qtool::config
