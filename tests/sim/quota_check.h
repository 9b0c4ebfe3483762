// QuotaCheck: clients with quotas, while nothing goes wrong. One sends and one reads as fast as
// they can under a client id that has producer_byte_rate and consumer_byte_rate; some wait as long
// as the broker tells them, others go on at once. A third, without quota, sends a little all the
// while. What must be true:
//   - every request is answered, in order, with success: a pause loses nothing and ends;
//   - no more than the quota and its window comes through, and not much less either;
//   - whoever has no quota is not held up.
#pragma once

#include "tests/sim/workload.h"

#include <cstdint>

namespace qtool::sim {

class QuotaCheck {
public:
    /// `window`: what quotas are averaged over, the most that a burst may be ahead.
    QuotaCheck(Client client, Duration window);
    void start() { line_.connect_later(0ms); }
    [[nodiscard]] bool is_done() const { return stage_ == Stage::done; }

private:
    enum class Stage : uint8_t { topic, quotas, load, end, done };
    /// What came through for the client with quotas.
    struct Flow {
        const char* what;
        double bytes_per_second;
        uint64_t bytes = 0;
        uint64_t largest = 0; // of one request
        uint64_t pauses = 0;  // answers that told of one
    };
    void next();
    void ask_topic();
    void ask_quotas();
    void ask_free();
    void begin_load();
    void pump_producer();
    void on_produced(ByteView body, uint64_t bytes);
    void pump_reader();
    void on_fetched(ByteView body);
    void judge(const Flow& flow);
    /// An answer's error and pause; false: the error is noted as a violation.
    bool take(Flow& flow, int16_t error_code, int32_t throttle_time_ms);
    [[nodiscard]] bool is_loading() const;

    World& world_;
    Duration window_;
    ClientLine line_; // the operator's, then of the client without quota
    KafkaStream producer_;
    KafkaStream reader_;
    Stage stage_ = Stage::topic;
    Flow produced_;
    Flow read_;
    bool is_polite_;
    size_t in_flight_max_;
    size_t value_size_;
    int64_t read_offset_ = 0;
    MonoTime begun_at_{};
    MonoTime ends_at_{};
};

} // namespace qtool::sim
