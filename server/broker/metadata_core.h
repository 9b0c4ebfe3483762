// MetadataCore: the core that owns the metadata store. It turns the store's changes into images,
// hands each image to all data cores, carries their commits to the store, and orders start and
// stop. It has a thread and loop of its own, so that metadata never waits behind a fetch.
//
//   loading -> registering -> opening -> serving -> resigning -> draining -> closing -> leaving
//              (cluster id,   (cores apply           (others take  -> ended
//               membership)    the first image)       over)
//
// Two machines live on it: Membership (this broker's registration) and the Controller.
#pragma once

#include "lib/base/slot_map.h"
#include "server/broker/change_runner.h"
#include "server/broker/mail.h"
#include "server/broker/membership.h"
#include "server/broker/shared.h"
#include "server/metadata/controller.h"
#include "server/metadata/decide_brokers.h"
#include "server/metadata/replay.h"
#include "server/port/core_events.h"
#include "server/port/metadata_store.h"

#include <deque>
#include <memory>
#include <vector>

namespace qtool::broker {

/// What the program (or the simulator) wants to hear; called on the metadata core.
class BrokerEvents {
public:
    virtual ~BrokerEvents() = default;
    virtual void on_serving(const std::vector<port::SocketAddress>& listeners,
                            const std::vector<port::SocketAddress>& admin_listeners) = 0;
    /// All is closed; `result` says whether cleanly, or why the broker could not start or go on.
    virtual void on_ended(Result<void> result) = 0;
};

class MetadataCore final : public port::CoreEvents, public port::MetadataStoreEvents {
public:
    MetadataCore(port::CorePorts ports, Shared& shared, port::MetadataStore& store,
                 BrokerEvents& events);

    /// On the metadata core's own thread, before any event.
    void start();
    /// Graceful stop: no new requests, finish what is under way, flush, checkpoint. Idempotent.
    void begin_stop();

    // port::CoreEvents
    void on_mail(std::unique_ptr<port::Mail> mail) override;
    void on_timer() override;
    void on_turn_end() override;
    void on_accept(Token, uint8_t, const port::SocketAddress&) override;
    void on_connected(Token) override;
    void on_connect_failed(Token, Error) override;
    ByteSpan receive_buffer(Token) override;
    void on_received(Token, size_t) override;
    void on_sent(Token, uint64_t) override;
    void on_closed(Token) override;
    void on_synced(Token, Result<void>) override;
    void on_read_in(Token, Result<void>) override;

    // port::MetadataStoreEvents
    void on_store_loaded(Result<port::StoreSnapshot> snapshot) override;
    void on_store_committed(Token token, Result<Revision> revision) override;
    void on_store_reloaded(port::StoreSnapshot snapshot) override;
    void on_store_changed(const port::StoreChange& change) override;
    void on_session_renewed(MonoTime valid_until) override;
    void on_session_lost() override;
    void on_session_closed() override;

private:
    enum class Life : uint8_t {
        loading,
        registering,
        opening,
        serving,
        resigning,
        draining,
        closing,
        leaving,
        ended,
    };

    /// A commit of a core (or our own: core == our id) on its way through the store.
    struct Commit {
        CoreId core;
        Token change;
        bool is_controllers = false; // change is one of its batches
        bool is_check = false;       // it writes nothing, so there is nothing to wait for
    };
    /// A fence for a process that is gone, under way.
    struct Fence {
        BrokerId broker;
        std::unique_ptr<metadata::FenceBroker> operation;
    };
    /// A commit that waits until all cores applied its revision.
    struct Unapplied {
        Commit commit;
        Revision revision;
    };

    void register_broker();
    Result<void> prepare_directories();
    void begin_membership();
    void follow_membership();
    Result<void> quarantine_strangers();
    void take_step(metadata::Replay::Step step);
    void fence(BrokerId broker, Revision epoch);
    void on_finished(Token request);
    void begin_drain();
    void publish(metadata::ImageRef image, metadata::Delta delta);
    void post_images();
    void on_image_applied(CoreId core, Revision revision);
    void answer(const Commit& commit, Result<Revision> result);
    [[nodiscard]] Revision applied_by_all() const;
    [[nodiscard]] bool is_applied(const Commit& commit, Revision revision) const;
    void answer_applied();
    void post_to_all(std::unique_ptr<port::Mail> (*make)(CoreId self));
    void start_serving();
    void on_drained();
    void on_closed_mail(ClosedMail& mail);
    void end(Result<void> result);

    port::CorePorts ports_;
    Shared& shared_;
    port::MetadataStore& store_;
    BrokerEvents& events_;
    metadata::Replay replay_;
    metadata::ImageRef image_;
    LogLevel log_level_;   // the program's, as it was set at start or at run time
    ChangeRunner changes_; // our own: cluster id, membership, fences
    SlotMap<Commit> commits_;
    std::vector<Unapplied> unapplied_;
    std::vector<Revision> applied_;                  // by core
    std::deque<metadata::Replay::Step> unpublished_; // images the cores have not been sent
    Revision last_deletion_{0};                      // of the last image sent that deletes topics
    std::unique_ptr<metadata::EnsureCluster> ensure_cluster_;
    Membership membership_;
    metadata::Controller controller_;
    std::vector<Fence> fences_;
    bool was_member_ = false;
    std::vector<port::SocketAddress> listeners_;
    std::vector<port::SocketAddress> admin_listeners_;
    bool listening_ = false;
    bool stop_wanted_ = false;
    Life life_ = Life::loading;
    uint16_t cores_done_ = 0; // drained or closed
    std::vector<storage::LogDirs::Closed> closed_dirs_;
    Result<void> closed_result_; // while leaving
};

} // namespace qtool::broker
