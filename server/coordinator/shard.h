// Shard: one machine, its log and who waits for its answers. Private to Runtime; lives on its core.
#pragma once

#include "server/coordinator/runtime.h"

#include <deque>

namespace qtool::coordinator {

class Shard final : public Host {
public:
    Shard(Runtime& runtime, replica::Partition& partition, std::unique_ptr<Machine> machine);

    void handle(const replica::PartitionRequest& request, CoreId from, replica::Outbox& out);
    void on_image(const metadata::Delta& delta);
    void on_marker_written(uint64_t id, const Result<void>& result);
    void on_time();
    void on_progress(replica::Outbox& out);
    [[nodiscard]] MonoTime next_due() const;
    /// The log holds what the machine has not seen, and may be read now: a step of it in every
    /// on_progress.
    [[nodiscard]] bool is_reading() const;
    void survey(metrics::CoreSurvey& survey, uint32_t offsets_max) const;
    /// Refuses everything that is not answered yet.
    void release(Code code, replica::Outbox& out);
    /// Refuses what the machine keeps parked; what waits for its commit goes on waiting.
    void release_parked(Code code, replica::Outbox& out);

    // Host
    Result<void> append(const NewBatch& batch) override;
    void answer(Token request, std::vector<std::byte> body) override;
    void write_marker(const MarkerRequest& request) override;
    std::optional<ProducerId> take_producer_id() override;
    [[nodiscard]] const metadata::Image& image() const override { return *runtime_.image_; }
    [[nodiscard]] const config::BrokerConfig& config() const override { return runtime_.config(); }
    [[nodiscard]] MonoTime now() const override { return runtime_.setup_.clock->mono(); }
    [[nodiscard]] WallTime wall_now() const override { return runtime_.setup_.clock->wall(); }
    port::Random& random() override { return *runtime_.setup_.random; }
    [[nodiscard]] LeaderEpoch leader_epoch() const override { return partition_.leader_epoch(); }

private:
    enum class State : uint8_t { loading, loaded, failed };
    struct Asker {
        CoreId core;
        Token request;
        uint32_t index = 0;
    };
    struct Waiting {
        Asker asker;
        Offset needs; // leaves when the high watermark is here
        std::vector<std::byte> body;
    };

    void on_read_failed(const Error& error);
    void take_effects(replica::Outbox& out);
    [[nodiscard]] bool has_unread() const;
    Result<void> read_on();
    Result<void> replay_bytes(ByteView bytes);
    Result<void> replay_batch(const protocol::BatchView& batch);
    static void refuse(const Asker& asker, Error error, replica::Outbox& out);

    Runtime& runtime_;
    replica::Partition& partition_; // of Manager; the shard is dropped before it
    std::unique_ptr<Machine> machine_;
    State state_ = State::loading;
    MonoTime opened_at_;
    Offset replayed_end_;  // the machine has seen all below
    MonoTime read_at_{};   // not read before: descriptors were short
    SlotMap<Asker> asked_; // not answered by the machine yet
    struct WaitingMarker {
        MarkerRequest request;
        Offset needs; // as above: no partition learns a decision that a crash takes back
    };
    std::deque<WaitingMarker> waiting_markers_;
    std::deque<Waiting> waiting_;        // answered, not committed yet; `needs` never falls
    replica::Outbox effects_;            // of appends; drained by on_progress
    std::vector<std::byte> read_buffer_; // while loading
};

} // namespace qtool::coordinator
