// Waiters of one partition: produce requests parked until the high watermark passes their last
// offset, and fetches that want to hear of new data. Plain values; lives with its partition.
#pragma once

#include "lib/base/ids.h"
#include "lib/base/time.h"
#include "server/replica/requests.h"

#include <deque>
#include <optional>
#include <vector>

namespace qtool::replica {

/// Who asked: the core to answer and the token there.
struct Asker {
    CoreId core;
    Token request;
    uint32_t index = 0;

    bool operator==(const Asker&) const = default;
};

struct ParkedAppend {
    Asker asker;
    Offset last_offset;
    MonoTime deadline;
    MonoTime parked_at;
    AppendResult result;
    bool is_marker = false; // a WriteMarkerOp, which has no more to say than that it is done
};

class AppendWaiters {
public:
    void park(ParkedAppend append);
    /// Removes and returns those whose last offset is below `high_watermark`, in offset order.
    std::vector<ParkedAppend> take_below(Offset high_watermark);
    std::vector<ParkedAppend> take_expired(MonoTime now);
    std::vector<ParkedAppend> take_all();
    [[nodiscard]] bool empty() const { return parked_.empty(); }
    [[nodiscard]] MonoTime next_deadline() const;

private:
    std::deque<ParkedAppend> parked_; // sorted by last_offset
};

/// Ends of a log that readers may see.
struct ReadEnds {
    Offset log_end;
    Offset high_watermark;
    Offset last_stable;
};
/// Who sees how far.
enum class Sight : uint8_t { log_end, high_watermark, last_stable };

struct Watch {
    Asker asker;
    Sight sight = Sight::high_watermark;
    Offset seen_end; // fires when the readable end rises above this
    /// Of a replica: fires also when the high watermark rises above this.
    std::optional<Offset> seen_high_watermark;
};

class Watches {
public:
    /// Replaces an earlier watch of the same asker.
    void arm(Watch watch);
    void cancel(CoreId core, Token request);
    /// Removes and returns the askers that may read further now, each to the end that it sees.
    std::vector<Asker> take_ready(const ReadEnds& ends);
    /// Removes and returns the askers that fetch for replicas.
    std::vector<Asker> take_replicas();
    std::vector<Asker> take_all();
    [[nodiscard]] bool empty() const { return watches_.empty(); }

private:
    std::vector<Watch> watches_;
};

} // namespace qtool::replica
