#include "server/broker/metadata_core.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/broker/change_log.h"

#include <algorithm>

namespace qtool::broker {

namespace {

constexpr Token kEnsureRequest{0, 1};
constexpr Token kFenceRequest{0, 3};
static_assert(Membership::kRequest.generation == 2); // none of these

template <class M>
std::unique_ptr<port::Mail> make_mail(CoreId self) {
    return std::make_unique<M>(self);
}

} // namespace

MetadataCore::MetadataCore(port::CorePorts ports, Shared& shared, port::MetadataStore& store,
                           BrokerEvents& events)
    : ports_(ports),
      shared_(shared),
      store_(store),
      events_(events),
      replay_(shared.config),
      image_(std::make_shared<metadata::Image>()),
      log_level_(shared.config.log_level),
      changes_(shared.store_writes_max),
      applied_(shared.core_count),
      membership_([&] {
          Membership::Setup setup;
          setup.self = BrokerId(shared.config.node_id);
          const uint64_t high = ports.random->next();
          const uint64_t low = ports.random->next();
          setup.incarnation = make_uuid(high, low);
          setup.session_ttl = std::chrono::milliseconds(shared.config.session_timeout_ms);
          setup.store = &store;
          setup.changes = &changes_;
          setup.random = ports.random;
          return setup;
      }()),
      controller_(BrokerId(shared.config.node_id)) {}

void MetadataCore::start() {
    store_.set_events(this);
    store_.load();
    membership_.open_session();
}

// ---- start --------------------------------------------------------------------------------------

void MetadataCore::on_store_loaded(Result<port::StoreSnapshot> snapshot) {
    if (life_ != Life::loading) {
        return; // stopped meanwhile
    }
    if (!snapshot) {
        end(std::move(snapshot).error());
        return;
    }
    Result<metadata::Replay::Step> step = replay_.load(*snapshot);
    if (!step) {
        end(std::move(step).error());
        return;
    }
    image_ = step->image;
    life_ = Life::registering;
    register_broker();
}

// Needs both the loaded image and the bound addresses (port 0 is allowed).
void MetadataCore::register_broker() {
    if (life_ != Life::registering || !listening_ || ensure_cluster_) {
        return;
    }
    ensure_cluster_ = std::make_unique<metadata::EnsureCluster>();
    changes_.start(kEnsureRequest, *ensure_cluster_, ports_.clock->mono() + kRegisterMax, *image_,
                   *ports_.random);
}

// The cluster has an id: are these its directories?
Result<void> MetadataCore::prepare_directories() {
    QT_TRY(ensure_cluster_->outcome());
    QT_TRY(shared_.log_dirs->bind_cluster(image_->cluster_id));
    return quarantine_strangers();
}

void MetadataCore::begin_membership() {
    const config::BrokerConfig& config = shared_.config;
    metadata::BrokerImage self;
    self.host = listeners_[0].host;
    self.port = listeners_[0].port;
    if (!config.advertised_listeners.empty()) {
        self.host = config.advertised_listeners[0].host;
        self.port = config.advertised_listeners[0].port != 0 ? config.advertised_listeners[0].port
                                                             : listeners_[0].port;
    }
    self.rack = config.rack.value_or("");
    if (!admin_listeners_.empty()) {
        self.admin_host = admin_listeners_[0].host;
        self.admin_port = admin_listeners_[0].port;
    }
    storage::LogDirs& dirs = *shared_.log_dirs;
    port::Disk& disk = *ports_.disk;
    DiskLife life;
    life.identities = dirs.identities();
    Result<int64_t> count = dirs.start_count(disk);
    if (!count) {
        end(std::move(count).error());
        return;
    }
    life.start_count = *count;
    life.was_clean = dirs.was_clean();
    life.holds = [&dirs, &disk](std::string_view topic, const PartitionKey& key) {
        return dirs.holds(disk, topic, key);
    };
    life.write_start_count = [&dirs, &disk](int64_t next) {
        return dirs.write_start_count(disk, next);
    };
    membership_.begin(std::move(self), std::move(life), *image_, ports_.clock->mono());
}

// Carries out what became of the membership: call after each of its events.
void MetadataCore::follow_membership() {
    if (life_ == Life::ended) {
        return;
    }
    if (membership_.failure()) {
        end(*membership_.failure());
        return;
    }
    shared_.session_valid_until.store(membership_.valid_until().time_since_epoch().count(),
                                      std::memory_order_release);
    const bool is_member = membership_.is_member();
    if (is_member != was_member_) {
        was_member_ = is_member;
        const MonoTime now = ports_.clock->mono();
        controller_.set_willing(is_member, now);
        if (is_member && membership_.claim() != Revision{0}) {
            controller_.set_claim(membership_.claim(), now);
        }
        if (is_member && life_ == Life::registering) {
            life_ = Life::opening;
            metadata::Delta whole;
            whole.revision = image_->revision;
            publish(image_, std::move(whole));
        }
    }
    if (life_ == Life::resigning && membership_.is_resigned()) {
        begin_drain();
    }
    if (life_ == Life::leaving && membership_.has_left()) {
        end(std::move(closed_result_));
    }
}

// Files of topics that the store does not list are never deleted, only put aside: the store may be
// the one that forgot. Where it says that a topic was deleted, or that others hold the replica now
// and one of them leads, they go.
Result<void> MetadataCore::quarantine_strangers() {
    const BrokerId self(shared_.config.node_id);
    const auto expected = [&](const storage::PartitionName& name) -> std::optional<PartitionKey> {
        const metadata::TopicImage* topic = image_->topic(name.topic);
        const auto index = static_cast<size_t>(name.index.value());
        if (topic == nullptr || name.index.value() < 0 || index >= topic->partitions.size() ||
            !metadata::contains(topic->partitions[index].replicas, self)) {
            return std::nullopt;
        }
        return PartitionKey{topic->id, name.index};
    };
    const auto is_listed = [&](const storage::PartitionName& name) {
        return expected(name).has_value();
    };
    const auto may_go = [&](const PartitionKey& key) {
        const metadata::PartitionImage* partition = image_->partition(key);
        return image_->trash.contains(key.topic_id) ||
               (partition != nullptr && !metadata::contains(partition->replicas, self) &&
                partition->leader != kNoBroker);
    };
    QT_TRY_ASSIGN(const std::vector<std::string> moved,
                  shared_.log_dirs->quarantine_unlisted(is_listed, may_go, expected));
    for (const std::string& name : moved) {
        log_line(LogLevel::warn, "quarantined", {{"partition", name}});
    }
    return {};
}

void MetadataCore::publish(metadata::ImageRef image, metadata::Delta delta) {
    image_ = std::move(image);
    if (life_ < Life::opening || life_ >= Life::closing) {
        return; // cores get the first whole image when registration is done
    }
    if (image_->broker->log_level != log_level_) {
        log_level_ = image_->broker->log_level;
        set_log_level(log_level_);
    }
    unpublished_.push_back({image_, std::move(delta)});
    post_images();
}

// A topic that is created again under the name of a deleted one wants the same directories, maybe
// on other cores: after a deletion nothing follows before all cores are done with it.
void MetadataCore::post_images() {
    while (!unpublished_.empty() && last_deletion_ <= applied_by_all()) {
        const metadata::Replay::Step next = std::move(unpublished_.front());
        unpublished_.pop_front();
        if (!next.delta.topics_deleted.empty()) {
            last_deletion_ = next.image->revision;
        }
        for (uint16_t core = 0; core < shared_.core_count; core++) {
            auto mail = std::make_unique<ImageMail>(ports_.id);
            mail->image = next.image;
            mail->delta = next.delta;
            ports_.mailbox->post(CoreId(core), std::move(mail));
        }
    }
}

void MetadataCore::start_serving() {
    life_ = Life::serving;
    post_to_all(make_mail<ServeMail>);
    shared_.serving.store(true, std::memory_order_relaxed);
    events_.on_serving(listeners_, admin_listeners_);
    if (stop_wanted_) {
        begin_stop();
    }
}

// ---- changes ------------------------------------------------------------------------------------

void MetadataCore::on_store_changed(const port::StoreChange& change) {
    if (life_ == Life::loading || life_ == Life::ended) {
        return; // the load that follows has it
    }
    Result<metadata::Replay::Step> step = replay_.apply(change);
    if (!step) {
        // The store holds what this version cannot read: going on would serve a wrong truth.
        end(std::move(step).error());
        return;
    }
    take_step(*std::move(step));
}

void MetadataCore::take_step(metadata::Replay::Step step) {
    log_changes(*image_, *step.image, step.delta);
    const metadata::Delta delta = step.delta;
    publish(std::move(step.image), std::move(step.delta));
    const MonoTime now = ports_.clock->mono();
    controller_.on_image(image_, delta, now);
    membership_.on_image(*image_, now);
    follow_membership();
    answer_applied();
}

// The difference to what was known is one change like others.
void MetadataCore::on_store_reloaded(port::StoreSnapshot snapshot) {
    if (life_ == Life::loading || life_ == Life::ended) {
        return;
    }
    Result<metadata::Replay::Step> step = replay_.load(snapshot);
    if (!step) {
        end(std::move(step).error());
        return;
    }
    log_line(LogLevel::info, "metadata_reloaded",
             {{"revision", std::to_string(snapshot.revision.value())}});
    take_step(*std::move(step));
}

void MetadataCore::on_session_renewed(MonoTime valid_until) {
    membership_.on_session_renewed(valid_until, *image_, ports_.clock->mono());
    follow_membership();
}

void MetadataCore::on_session_lost() {
    membership_.on_session_lost(ports_.clock->mono());
    follow_membership();
}

void MetadataCore::on_session_closed() {
    membership_.on_session_closed();
    follow_membership();
}

// Any broker may say that a process is gone: its key goes, guarded by its epoch, and where that was
// an error the broker registers again.
void MetadataCore::fence(BrokerId broker, Revision epoch) {
    const bool is_under_way = std::any_of(
        fences_.begin(), fences_.end(), [&](const Fence& fence) { return fence.broker == broker; });
    const metadata::BrokerImage* known = image_->find_broker(broker);
    if (is_under_way || known == nullptr || known->epoch != epoch || epoch == Revision{0} ||
        broker == BrokerId(shared_.config.node_id) || life_ == Life::ended) {
        return;
    }
    log_line(LogLevel::warn, "broker_is_gone", {{"broker", std::to_string(broker.value())}});
    Fence& fence = fences_.emplace_back();
    fence.broker = broker;
    fence.operation = std::make_unique<metadata::FenceBroker>(broker, epoch);
    changes_.start(kFenceRequest, *fence.operation, ports_.clock->mono() + kRegisterMax, *image_,
                   *ports_.random);
}

// An operation of our own is finished.
void MetadataCore::on_finished(Token request) {
    if (life_ == Life::ended) {
        return;
    }
    if (request == kEnsureRequest) {
        if (Result<void> prepared = prepare_directories(); !prepared) {
            end(std::move(prepared));
            return;
        }
        begin_membership();
    } else if (request == kFenceRequest) {
        std::erase_if(fences_, [](const Fence& fence) { return fence.operation->is_finished(); });
    } else {
        membership_.on_finished(*image_, ports_.clock->mono());
    }
    follow_membership();
}

void MetadataCore::on_store_committed(Token token, Result<Revision> result) {
    const Commit* found = commits_.find(token);
    QT_ASSERT(found != nullptr);
    const Commit commit = *found;
    commits_.erase(token);
    if (result && !commit.is_check && !is_applied(commit, *result)) {
        // The watch may be later than the answer.
        unapplied_.push_back(Unapplied{commit, *result});
        return;
    }
    answer(commit, std::move(result));
}

void MetadataCore::answer(const Commit& commit, Result<Revision> result) {
    if (commit.is_controllers) {
        controller_.on_committed(commit.change, result, ports_.clock->mono());
        return;
    }
    if (commit.core == ports_.id) {
        changes_.on_committed(commit.change, std::move(result), ports_.clock->mono(),
                              *ports_.random);
        return;
    }
    auto mail = std::make_unique<CommittedMail>(ports_.id);
    mail->change = commit.change;
    mail->result = std::move(result);
    ports_.mailbox->post(commit.core, std::move(mail));
}

Revision MetadataCore::applied_by_all() const {
    return *std::min_element(applied_.begin(), applied_.end());
}

void MetadataCore::on_image_applied(CoreId core, Revision revision) {
    QT_ASSERT(revision >= applied_[core.value()]);
    applied_[core.value()] = revision;
    const Revision all = applied_by_all();
    if (life_ == Life::opening && all >= image_->revision) {
        start_serving();
    }
    if (life_ < Life::closing) {
        post_images();
    }
    answer_applied();
}

// Our own commits need the image here, those of the data cores need it on every core.
bool MetadataCore::is_applied(const Commit& commit, Revision revision) const {
    const Revision seen = commit.core == ports_.id ? image_->revision : applied_by_all();
    return revision <= seen;
}

void MetadataCore::answer_applied() {
    for (Unapplied& waiting : std::exchange(unapplied_, {})) {
        if (is_applied(waiting.commit, waiting.revision)) {
            answer(waiting.commit, waiting.revision);
        } else {
            unapplied_.push_back(waiting);
        }
    }
}

// ---- stop ---------------------------------------------------------------------------------------

void MetadataCore::begin_stop() {
    stop_wanted_ = true;
    if (life_ < Life::serving && life_ != Life::opening) {
        end(Error(Code::shutting_down, "stopped before it served"));
        return;
    }
    if (life_ != Life::serving) {
        return; // opening: start_serving looks again; or stopping already
    }
    life_ = Life::resigning;
    if (membership_.is_member()) {
        membership_.resign(*image_, ports_.clock->mono());
        follow_membership();
    } else {
        begin_drain();
    }
}

// The leaderships have moved; cores finish what is under way.
void MetadataCore::begin_drain() {
    life_ = Life::draining;
    shared_.serving.store(false, std::memory_order_relaxed);
    cores_done_ = 0;
    post_to_all(make_mail<DrainMail>);
}

void MetadataCore::on_drained() {
    if (++cores_done_ == shared_.core_count) {
        life_ = Life::closing;
        cores_done_ = 0;
        post_to_all(make_mail<CloseMail>);
    }
}

void MetadataCore::on_closed_mail(ClosedMail& mail) {
    closed_dirs_.resize(mail.dirs.size());
    for (size_t i = 0; i < mail.dirs.size(); i++) {
        std::move(mail.dirs[i].states.begin(), mail.dirs[i].states.end(),
                  std::back_inserter(closed_dirs_[i].states));
        if (closed_dirs_[i].result) {
            closed_dirs_[i].result = std::move(mail.dirs[i].result);
        }
    }
    if (++cores_done_ == shared_.core_count) {
        closed_result_ = shared_.log_dirs->write_clean_shutdown(std::move(closed_dirs_));
        life_ = Life::leaving;
        controller_.set_willing(false, ports_.clock->mono());
        membership_.leave();
        follow_membership();
    }
}

void MetadataCore::end(Result<void> result) {
    if (life_ != Life::ended) {
        life_ = Life::ended;
        events_.on_ended(std::move(result));
    }
}

void MetadataCore::post_to_all(std::unique_ptr<port::Mail> (*make)(CoreId self)) {
    for (uint16_t core = 0; core < shared_.core_count; core++) {
        ports_.mailbox->post(CoreId(core), make(ports_.id));
    }
}

// ---- events -------------------------------------------------------------------------------------

void MetadataCore::on_mail(std::unique_ptr<port::Mail> mail) {
    auto& broker_mail = static_cast<BrokerMail&>(*mail);
    switch (broker_mail.kind) {
    case MailKind::listening: {
        auto& listening = static_cast<ListeningMail&>(broker_mail);
        if (!listening.listeners) {
            end(std::move(listening.listeners).error());
            return;
        }
        listeners_ = *std::move(listening.listeners);
        admin_listeners_ = std::move(listening.admin_listeners);
        listening_ = true;
        register_broker();
        return;
    }
    case MailKind::commit: {
        auto& commit = static_cast<CommitMail&>(broker_mail);
        const Token token = commits_.emplace(
            Commit{broker_mail.from, commit.change, false, commit.transaction.writes.empty()});
        store_.commit(std::move(commit.transaction), token);
        return;
    }
    case MailKind::peer_refused: {
        const peer::Refused& refused = static_cast<PeerRefusedMail&>(broker_mail).refused;
        fence(refused.broker, refused.epoch);
        return;
    }
    case MailKind::image_applied:
        on_image_applied(broker_mail.from, static_cast<ImageAppliedMail&>(broker_mail).revision);
        return;
    case MailKind::drained:
        on_drained();
        return;
    case MailKind::closed:
        on_closed_mail(static_cast<ClosedMail&>(broker_mail));
        return;
    case MailKind::partition_requests:
    case MailKind::partition_replies:
    case MailKind::cancel_watches:
    case MailKind::connection:
    case MailKind::image:
    case MailKind::committed:
    case MailKind::serve:
    case MailKind::drain:
    case MailKind::close:
        break;
    }
    QT_UNREACHABLE(); // mail for data cores
}

void MetadataCore::on_timer() {
    const MonoTime now = ports_.clock->mono();
    changes_.on_time(now, *image_, *ports_.random);
    controller_.on_time(now);
    if (controller_.wants_aside(now)) {
        controller_.on_aside(replay_.set_aside(), now);
    }
    membership_.on_time(*image_, now);
    follow_membership();
}

void MetadataCore::on_turn_end() {
    bool again = true;
    while (again) {
        for (ChangeRunner::Commit& commit : changes_.take_commits()) {
            const Token token = commits_.emplace(
                Commit{ports_.id, commit.change, false, commit.transaction.writes.empty()});
            store_.commit(std::move(commit.transaction), token);
        }
        for (metadata::Controller::Commit& commit : controller_.take_commits()) {
            const Token token = commits_.emplace(Commit{ports_.id, commit.batch, true});
            store_.commit(std::move(commit.transaction), token);
        }
        again = store_.deliver_pending();
        for (const Token request : changes_.take_finished()) {
            on_finished(request);
            again = true;
        }
    }
    ports_.timer->set_alarm(
        std::min({changes_.next_due(), controller_.next_due(), membership_.next_due()}));
}

// The metadata core has no connections and no partition files of its own.
void MetadataCore::on_accept(Token, uint8_t, const port::SocketAddress&) {
    QT_UNREACHABLE();
}
void MetadataCore::on_connected(Token) {
    QT_UNREACHABLE();
}
void MetadataCore::on_connect_failed(Token, Error) {
    QT_UNREACHABLE();
}
ByteSpan MetadataCore::receive_buffer(Token) {
    QT_UNREACHABLE();
}
void MetadataCore::on_received(Token, size_t) {
    QT_UNREACHABLE();
}
void MetadataCore::on_sent(Token, uint64_t) {
    QT_UNREACHABLE();
}
void MetadataCore::on_closed(Token) {
    QT_UNREACHABLE();
}
void MetadataCore::on_synced(Token, Result<void>) {
    QT_UNREACHABLE();
}
void MetadataCore::on_read_in(Token, Result<void>) {
    QT_UNREACHABLE();
}

} // namespace qtool::broker
