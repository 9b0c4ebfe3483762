// KeyedProducer: writes few keys over and over to compacted topics, deletes some of them, and never
// gives up. One request at a time, of one batch.
#pragma once

#include "tests/sim/keyed_log.h"
#include "tests/sim/workload.h"

namespace qtool::sim {

struct KeyedPlace {
    std::string topic;
    int32_t index = 0;
    KeyedLog* log = nullptr;
};

class KeyedProducer {
public:
    struct Setup {
        Client client;
        std::vector<KeyedPlace> places;
        uint16_t number = 0;
        bool is_idempotent = true;
        uint32_t batches = 0; // in all
        Duration interval{};
        uint32_t keys = 8;
        uint32_t tombstone_percent = 10;
    };
    explicit KeyedProducer(Setup setup);
    void start() { connect(); }
    [[nodiscard]] bool is_done() const { return batches_made_ == setup_.batches && !waiting_; }

private:
    struct Batch {
        size_t lane = 0;
        std::vector<KeyedLog::Id> ids;
        std::vector<std::byte> bytes;
    };
    void connect();
    void next();
    void ask_producer_id();
    void make_batch();
    void send();
    void on_answer(int16_t error_code, int64_t base_offset);

    World& world_;
    Setup setup_;
    ClientLine line_;
    int64_t producer_id_ = -1;
    int16_t producer_epoch_ = -1;
    std::vector<int32_t> sequences_; // by place
    std::optional<Batch> waiting_;   // not acknowledged
    uint32_t batches_made_ = 0;
    uint32_t once_ = 0; // keys of which there is one record
};

/// The id of a record, which it has in a header, since a tombstone has no value.
inline constexpr const char* kIdHeader = "id";

} // namespace qtool::sim
