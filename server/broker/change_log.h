// What a change of the metadata looks like in the log: one line for each topic that came, went or
// got partitions, and for each option that was set or removed, whoever asked for it and by which
// door. Called on the metadata core, once for each change.
#pragma once

#include "server/metadata/image.h"

namespace qtool::broker {

void log_changes(const metadata::Image& before, const metadata::Image& after,
                 const metadata::Delta& delta);

} // namespace qtool::broker
