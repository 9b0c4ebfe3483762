// KeyedReader: reads compacted partitions from some offset to the end, over and over, through
// whatever compaction does meanwhile. One partition a request, so that each answer must bring it
// forward: below the high watermark there is a batch that reaches past the fetch offset, and not
// batches without records alone.
#pragma once

#include "tests/sim/keyed_producer.h"

namespace qtool::sim {

class KeyedReader {
public:
    /// `is_audit`: reads each partition once, from its start.
    KeyedReader(Client client, std::vector<KeyedPlace> places, bool is_audit);
    void start() { line_.connect_later(0ms); }
    [[nodiscard]] bool is_done() const;
    void stop() { line_.stop(); }

private:
    struct Lane {
        KeyedPlace place;
        KeyedLog::Reading reading;
        bool wants_start = true;
        bool is_done = false; // of an audit
        uint32_t fruitless = 0;
    };
    void next();
    void ask_start(Lane& lane);
    void ask_fetch(Lane& lane);
    void on_fetched(Lane& lane, ByteView body, int16_t version, KeyedLog::Known known,
                    MonoTime asked_at);
    /// The records in `records`; nothing after a violation.
    std::optional<size_t> take_records(Lane& lane, ByteView records, int64_t high_watermark,
                                       MonoTime asked_at);
    void restart(Lane& lane);
    void fail(const Lane& lane, const std::string& what) {
        world_.violate(lane.place.log->name() + ": " + what);
    }

    Client client_;
    World& world_;
    ClientLine line_;
    std::vector<Lane> lanes_;
    bool is_audit_;
};

} // namespace qtool::sim
