// SpaceCheck: a client of a broker whose disk has less free than its reserve
// (log.dir.reserve.bytes) while nothing else goes wrong. What must be true then:
//   - produced records are refused with a retriable error, and none of them is taken;
//   - reads, committed offsets, deleted records and deleted topics go on, from the reserve;
//   - when there is room again, records are taken again, and nobody has to say so.
#pragma once

#include "tests/sim/sim_device.h"
#include "tests/sim/workload.h"

#include <string>

namespace qtool::sim {

class SpaceCheck {
public:
    /// `device` has room when the check begins, and when it is done.
    SpaceCheck(Client client, Device& device);
    void start() { line_.connect_later(0ms); }
    [[nodiscard]] bool is_done() const { return stage_ == Stage::done; }

private:
    enum class Stage : uint8_t { topics, coordinator, room, low, room_again, done };
    void next();
    void next_low();
    void take_room();
    void give_room();
    /// Goes on soon. False: `error_code` may not come now, and a violation is noted.
    bool goes_on(const char* what, int16_t error_code);
    void ask_topics();
    void ask_coordinator();
    void ask_produce();
    void on_produced(int16_t error_code, int64_t base_offset);
    void ask_fetch();
    void ask_delete_records();
    void ask_delete_topic();
    void ask_commit();
    void ask_committed();

    World& world_;
    Device& device_;
    ClientLine line_;
    Stage stage_ = Stage::topics;
    int64_t end_ = 0;        // of the log: one record a batch
    int64_t start_ = 0;      // of the log
    int64_t committed_ = -1; // acknowledged
    uint32_t rounds_ = 0;    // of requests while it is low
    bool has_spare_ = true;  // the topic that is deleted
    MonoTime roomy_at_{};
};

} // namespace qtool::sim
