#include "server/broker/metadata_core.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"

#include <algorithm>

namespace qtool::broker {

namespace {

// Registration at start: long enough for a store that is slow, short enough to say so.
constexpr Duration kRegisterMax = 30s;

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
      applied_(shared.core_count) {}

void MetadataCore::start() {
    store_.set_events(this);
    store_.load();
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
    changes_.start(Token{0, 1}, *ensure_cluster_, ports_.clock->mono() + kRegisterMax, *image_,
                   *ports_.random);
}

void MetadataCore::registration_step() {
    if (!register_broker_) {
        if (Result<void> done = ensure_cluster_->outcome(); !done) {
            end(std::move(done));
            return;
        }
        if (Result<void> mine = shared_.log_dirs->bind_cluster(image_->cluster_id); !mine) {
            end(std::move(mine));
            return;
        }
        if (Result<void> checked = quarantine_strangers(); !checked) {
            end(std::move(checked));
            return;
        }
        const config::BrokerConfig& config = shared_.config;
        metadata::BrokerImage self;
        self.id = BrokerId(config.node_id);
        self.host = listeners_[0].host;
        self.port = listeners_[0].port;
        if (!config.advertised_listeners.empty()) {
            self.host = config.advertised_listeners[0].host;
            self.port = config.advertised_listeners[0].port != 0
                            ? config.advertised_listeners[0].port
                            : listeners_[0].port;
        }
        self.rack = config.rack.value_or("");
        if (!admin_listeners_.empty()) {
            self.admin_host = admin_listeners_[0].host;
            self.admin_port = admin_listeners_[0].port;
        }
        register_broker_ = std::make_unique<metadata::RegisterBroker>(std::move(self));
        changes_.start(Token{0, 2}, *register_broker_, ports_.clock->mono() + kRegisterMax, *image_,
                       *ports_.random);
        return;
    }
    if (Result<void> done = register_broker_->outcome(); !done) {
        end(std::move(done));
        return;
    }
    life_ = Life::opening;
    metadata::Delta whole;
    whole.revision = image_->revision;
    publish(image_, std::move(whole));
}

// Files of topics that the store does not list are never deleted, only put aside: the store may be
// the one that forgot.
Result<void> MetadataCore::quarantine_strangers() {
    const auto is_listed = [this](const storage::PartitionName& name) {
        const metadata::TopicImage* topic = image_->topic(name.topic);
        return topic != nullptr && name.index.value() >= 0 &&
               static_cast<size_t>(name.index.value()) < topic->partitions.size();
    };
    const auto was_deleted = [this](const TopicId& id) { return image_->trash.contains(id); };
    QT_TRY_ASSIGN(const std::vector<std::string> moved,
                  shared_.log_dirs->quarantine_unlisted(is_listed, was_deleted));
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
    publish(std::move(step->image), std::move(step->delta));
    answer_applied();
}

// The stores a broker can have so far tell every change.
void MetadataCore::on_store_reloaded(port::StoreSnapshot) {
    QT_UNREACHABLE();
}

// Nobody here opens a session yet.
void MetadataCore::on_session_renewed(MonoTime) {
    QT_UNREACHABLE();
}
void MetadataCore::on_session_lost() {
    QT_UNREACHABLE();
}
void MetadataCore::on_session_closed() {
    QT_UNREACHABLE();
}

void MetadataCore::on_store_committed(Token token, Result<Revision> result) {
    const Commit* found = commits_.find(token);
    QT_ASSERT(found != nullptr);
    const Commit commit = *found;
    commits_.erase(token);
    if (result && !is_applied(commit, *result)) {
        // The watch may be later than the answer.
        unapplied_.push_back(Unapplied{commit, *result});
        return;
    }
    answer(commit, std::move(result));
}

void MetadataCore::answer(const Commit& commit, Result<Revision> result) {
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
        end(shared_.log_dirs->write_clean_shutdown(std::move(closed_dirs_)));
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
    case MailKind::peer_refused: // its session ends by itself, if later
        return;
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
        const Token token = commits_.emplace(Commit{broker_mail.from, commit.change});
        store_.commit(std::move(commit.transaction), token);
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
    changes_.on_time(ports_.clock->mono(), *image_, *ports_.random);
}

void MetadataCore::on_turn_end() {
    bool again = true;
    while (again) {
        for (ChangeRunner::Commit& commit : changes_.take_commits()) {
            const Token token = commits_.emplace(Commit{ports_.id, commit.change});
            store_.commit(std::move(commit.transaction), token);
        }
        again = store_.deliver_pending();
        for ([[maybe_unused]] const Token request : changes_.take_finished()) {
            if (life_ == Life::registering) {
                registration_step();
            }
            again = true;
        }
    }
    ports_.timer->set_alarm(changes_.next_due());
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

} // namespace qtool::broker
