// Core: one thread's worth of the broker and all it owns: connections, pending requests,
// partitions. Its files: core_connections.cc, core_requests.cc (Services), core_life.cc (start and
// stop), core.cc (the turn and mail). It carries events from the ports to the machines and their
// effects back; no rule of Kafka in here.
//
// Within a turn (a batch of events) work is only queued; on_turn_end runs it to quiet: partition
// requests, their answers, what those submit again, then flushes, mail and the next alarm.
#pragma once

#include "lib/base/timer_heap.h"
#include "server/broker/change_runner.h"
#include "server/broker/connection_table.h"
#include "server/broker/mail.h"
#include "server/broker/shared.h"
#include "server/coordinator/runtime.h"
#include "server/peer/peer_links.h"
#include "server/port/core_events.h"
#include "server/replica/manager.h"
#include "server/request/services.h"

#include <memory>
#include <vector>

namespace qtool::broker {

class Core final : public port::CoreEvents, public request::Services {
public:
    Core(port::CorePorts ports, Shared& shared);
    ~Core() override;

    /// On the core's own thread, before any event. Core 0 starts to listen (nothing is read before
    /// the metadata core says serve).
    void start();

    // port::CoreEvents
    void on_accept(Token connection, uint8_t listener, const port::SocketAddress& peer) override;
    void on_connected(Token connection) override;
    void on_connect_failed(Token connection, Error error) override;
    ByteSpan receive_buffer(Token connection) override;
    void on_received(Token connection, size_t size) override;
    void on_sent(Token connection, uint64_t queued) override;
    void on_closed(Token connection) override;
    void on_synced(Token token, Result<void> result) override;
    void on_read_in(Token token, Result<void> result) override;
    void on_mail(std::unique_ptr<port::Mail> mail) override;
    void on_timer() override;
    void on_turn_end() override;

    // request::Services
    [[nodiscard]] const metadata::ImageRef& image() const override { return image_; }
    [[nodiscard]] MonoTime partitions_changed_at() const override { return partitions_changed_at_; }
    [[nodiscard]] const config::BrokerConfig& config() const override {
        return image_->broker ? *image_->broker : shared_.config;
    }
    [[nodiscard]] BrokerId broker_id() const override { return BrokerId(shared_.config.node_id); }
    [[nodiscard]] CoreId core_id() const override { return ports_.id; }
    [[nodiscard]] MonoTime now() const override { return ports_.clock->mono(); }
    [[nodiscard]] WallTime wall_now() const override { return ports_.clock->wall(); }
    port::Random& random() override { return *ports_.random; }
    [[nodiscard]] WallTime started_at() const override { return shared_.started_at; }
    [[nodiscard]] bool is_serving() const override {
        return shared_.serving.load(std::memory_order_relaxed);
    }
    [[nodiscard]] std::string metrics_text(const metrics::Survey& survey) const override;
    size_t survey(Token request, uint32_t offsets_max) override;
    [[nodiscard]] std::vector<replica::LogDirView> log_dirs() override;
    request::ProducerIdBlock& producer_ids() override { return producer_ids_; }
    quota::Meter& quotas() override { return *shared_.quotas; }
    const std::shared_ptr<std::atomic<uint32_t>>& fetch_session_count() override {
        return shared_.fetch_sessions_open;
    }
    void submit(std::vector<replica::PartitionRequest> requests) override;
    void submit_to_leaders(std::vector<replica::PartitionRequest> requests) override;
    void cancel_watches(Token request, const std::vector<PartitionKey>& partitions) override;
    void change(Token request, metadata::Operation& operation, MonoTime deadline) override;
    void call_peer(Token request, peer::Call call) override;
    void set_deadline(Token request, MonoTime due) override;
    void finish(Token request, std::vector<port::Piece> pieces) override;
    void finish_and_close(Token request) override;

private:
    struct PendingSlot {
        std::unique_ptr<request::Pending> pending;
        Token connection; // no generation: abandoned, alive only for borrowed bytes; or internal
        uint64_t slot = 0;
        bool is_internal = false; // the broker's own: no connection ever

        [[nodiscard]] bool is_wanted() const { return is_internal || connection; }
    };
    class Host; // DoorHost of one connection: core_host.h
    // For what is still queued when a connection closes.
    static constexpr uint32_t kCloseDeadlineMs = 2000;

    void feed(ConnectionSlot& connection);
    void refresh_reading(Token connection);
    [[nodiscard]] bool is_output_full(Token connection) const;
    void close_connection(Token connection, std::string_view reason);
    void drop_connection(Token connection);
    void begin_connection(ConnectionSlot& connection);
    bool move_connection(ConnectionSlot& connection);
    void take_over(ConnectionMail& mail);
    void count_closed();
    void add_pending(ConnectionSlot& connection, std::unique_ptr<request::Pending> pending,
                     uint64_t slot);
    void add_internal(std::unique_ptr<request::Pending> pending);
    std::unique_ptr<request::Pending> take_pending(Token request);
    std::optional<ProducerId> take_producer_id();
    [[nodiscard]] bool is_in_image(const PartitionKey& key) const;
    void handle_partition_request(replica::PartitionRequest& request, CoreId from,
                                  replica::Outbox& out);
    void handle_partition_requests(std::vector<replica::PartitionRequest>& requests, CoreId from,
                                   replica::Outbox& out);
    void run_coordinators();
    void run_to_quiet();
    void run_partition_requests();
    void run_answers();
    void deliver(replica::Outbox& out);
    void deliver(peer::Answer answer);
    void propose_isrs();
    void fetch_from_leaders();
    void post_mails();
    void tick_connections(MonoTime at);
    void apply_image(ImageMail& mail);
    void serve();
    void begin_drain();
    void continue_drain();
    void close_partitions();
    /// The mail of a kind that goes to `core` at the end of the turn.
    template <class Mail>
    Mail& mail_to(std::vector<std::unique_ptr<Mail>>& mails, CoreId core) {
        std::unique_ptr<Mail>& mail = mails[core.value()];
        if (!mail) {
            mail = std::make_unique<Mail>(ports_.id);
            mail_to_.push_back(core);
        }
        return *mail;
    }
    PartitionRequestsMail& requests_to(CoreId core) { return mail_to(request_mails_, core); }
    PartitionRepliesMail& replies_to(CoreId core) { return mail_to(reply_mails_, core); }

    port::CorePorts ports_;
    Shared& shared_;
    metrics::CoreCounters& counters_;
    ConnectionTable connections_;
    request::Scratch scratch_;
    SlotMap<PendingSlot> pending_;
    std::vector<std::unique_ptr<request::Pending>> graveyard_; // finished within their own call
    std::vector<Token> refresh_; // connections whose backpressure may have changed
    TimerHeap<Token> deadlines_;
    TimerHeap<Token> door_wakes_; // connections that pause
    ChangeRunner changes_;
    replica::Manager partitions_;
    coordinator::Runtime coordinators_;
    peer::PeerLinks peers_;
    metadata::ImageRef image_;
    MonoTime partitions_changed_at_{};
    request::ProducerIdBlock producer_ids_;
    bool is_refilling_producer_ids_ = false;

    std::vector<replica::PartitionRequest> local_requests_;
    std::vector<CancelWatchesMail::Item> local_cancels_;
    std::vector<replica::PartitionReply> replies_;
    std::vector<replica::PartitionWake> wakes_;
    std::vector<std::unique_ptr<PartitionRequestsMail>> request_mails_; // by core; may be empty
    std::vector<std::unique_ptr<PartitionRepliesMail>> reply_mails_;
    std::vector<std::unique_ptr<CancelWatchesMail>> cancel_mails_;
    std::vector<CoreId> mail_to_; // for which there is one

    MonoTime tick_at_ = kMonoNever;
    MonoTime alarm_at_ = kMonoNever; // what the timer port was told last
    enum class Life : uint8_t { starting, serving, draining, drained, closed };
    Life life_ = Life::starting;
    MonoTime drain_deadline_ = kMonoNever;
};

} // namespace qtool::broker
