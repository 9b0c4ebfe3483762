// RecordView: a consumed record as the printers see it, which is the client library's own: printing
// copies nothing. The bytes belong to the batch it came from and live until the next poll.
#pragma once

#include "lib/client/blocking.h"

namespace qtool::cli {

using HeaderView = client::Header;
using RecordView = client::ConsumerRecord;

} // namespace qtool::cli
