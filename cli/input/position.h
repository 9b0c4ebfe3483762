// Position: where in a partition reading starts or ends, as people write it.
//
//   beginning, end          the first offset kept, the end of what is committed
//   1000                    an offset
//   -5                      the last 5 offsets of each partition
//   @1700000000000          a time in milliseconds since 1970
//   2026-01-31T08:30:00Z    a time; the clock time, fraction and zone may be left out (UTC then)
#pragma once

#include "lib/base/result.h"

#include <cstdint>
#include <string_view>

namespace qtool::cli {

struct Position {
    enum class Kind : uint8_t { beginning, end, offset, last, time };
    Kind kind = Kind::beginning;
    int64_t value = 0; // offset, count of last, milliseconds since 1970

    bool operator==(const Position&) const = default;
};

/// Errors: invalid_argument; the detail names what is accepted.
Result<Position> parse_position(std::string_view text);

/// "@milliseconds" or ISO 8601, in milliseconds since 1970. Errors: invalid_argument.
Result<int64_t> parse_time(std::string_view text);

} // namespace qtool::cli
