// From a frame to its handler: header, version, table row.
#pragma once

#include "server/kafka/context.h"

namespace qtool::kafka {

/// `frame` is one request without its length field. What cannot be answered is Close: an unknown
/// key or version (ApiVersions apart, which answers at version 0) and a body that does not parse.
/// What the request used of its client's quotas is charged to `throttle`.
Outcome dispatch(request::ReceiveBuffer::Taken frame, FetchSessions& sessions, Throttle& throttle,
                 request::DoorHost& host);

} // namespace qtool::kafka
