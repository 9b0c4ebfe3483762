#include "server/broker/core.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/protocol/msg/fetch.h"
#include "server/broker/core_host.h"
#include "server/broker/internal_requests.h"
#include "server/broker/manager_options.h"
#include "server/group/shard.h"
#include "server/peer/remote_op.h"
#include "server/txn/txn_shard.h"

#include <algorithm>
#include <utility>

namespace qtool::broker {

namespace {

// Of a fetch from a leader, beyond what it may wait there: then its connection is taken for dead.
constexpr Duration kReplicaFetchAnswerMax = 5s;

// The machine behind each internal topic.
std::map<std::string, coordinator::Runtime::MakeMachine> machine_makers() {
    std::map<std::string, coordinator::Runtime::MakeMachine> makers;
    makers.emplace(metadata::kGroupTopic,
                   [](PartitionIndex) { return std::make_unique<group::GroupShard>(); });
    makers.emplace(metadata::kTransactionTopic,
                   [](PartitionIndex) { return std::make_unique<txn::TxnShard>(); });
    return makers;
}

} // namespace

Core::Core(port::CorePorts ports, Shared& shared)
    : ports_(ports),
      shared_(shared),
      counters_(*shared.counters[ports.id.value()]),
      changes_(shared.store_writes_max),
      partitions_(replica::Manager::Setup{
          ports, BrokerId(shared.config.node_id), shared.log_dirs, &counters_,
          [&shared, id = ports.id](const PartitionKey& key) { return shared.owner(key) == id; },
          [this](const PartitionKey& key) { return is_in_image(key); },
          [&shared] { return shared.session_end(); },
          manager_options(shared.config, shared.core_count)}),
      coordinators_(coordinator::Runtime::Setup{
          machine_makers(), &partitions_, ports.clock, ports.random, &shared.config,
          BrokerId(shared.config.node_id),
          [&shared, id = ports.id](const PartitionKey& key) { return shared.owner(key) == id; },
          [this] { return take_producer_id(); }, &counters_}),
      peers_(peer::PeerLinks::Setup{
          BrokerId(shared.config.node_id), ports.net, ports.random, &counters_,
          // An answer holds at most one batch beyond what was asked for, and none is larger than
          // the request that brought it.
          2 * static_cast<size_t>(shared.config.socket_request_bytes_max), ports.id == CoreId(0)}),
      image_(std::make_shared<metadata::Image>()) {
    request_mails_.resize(shared.core_count);
    reply_mails_.resize(shared.core_count);
    cancel_mails_.resize(shared.core_count);
}

Core::~Core() = default;

bool Core::is_in_image(const PartitionKey& key) const {
    const metadata::TopicImage* topic = image_->topic(key.topic_id);
    return topic != nullptr && key.index.value() >= 0 &&
           static_cast<size_t>(key.index.value()) < topic->partitions.size();
}

// ---- the turn -----------------------------------------------------------------------------------

void Core::on_synced(Token token, Result<void> result) {
    replica::Outbox out;
    const bool known = partitions_.on_synced(token, std::move(result), out);
    QT_ASSERT(known);
    deliver(out);
}

void Core::on_read_in(Token token, Result<void> result) {
    replica::Outbox out;
    partitions_.on_read_in(token, result, out);
    deliver(out);
}

void Core::on_timer() {
    alarm_at_ = kMonoNever;
    const MonoTime at = now();
    while (const std::optional<Token> request = deadlines_.pop_due(at)) {
        if (PendingSlot* slot = pending_.find(*request); slot != nullptr && slot->is_wanted()) {
            slot->pending->on_deadline(*this);
        }
    }
    while (const std::optional<Token> token = door_wakes_.pop_due(at)) {
        ConnectionSlot* connection = connections_.find(*token);
        if (connection != nullptr && connection->door && !connection->closing) {
            Host host(*this, *connection);
            connection->door->on_tick(at, host);
            refresh_.push_back(*token);
        }
    }
    changes_.on_time(at, *image_, *ports_.random);
    if (partitions_.next_due() <= at) {
        replica::Outbox out;
        partitions_.on_time(out);
        deliver(out);
    }
    if (coordinators_.next_due() <= at) {
        replica::Outbox out;
        coordinators_.on_time(out);
        deliver(out);
    }
    if (peers_.next_due() <= at) {
        peers_.on_time(at);
    }
    if (tick_at_ <= at) {
        tick_connections(at);
    }
}

void Core::on_turn_end() {
    do {
        run_to_quiet();
        propose_isrs();
        replica::Outbox out;
        partitions_.begin_flushes(out);
        deliver(out); // a log that broke just now answers its waiters
        fetch_from_leaders();
    } while (!replies_.empty() || !wakes_.empty() || changes_.has_finished() ||
             peers_.has_answers());
    graveyard_.clear();
    if (life_ == Life::draining) {
        continue_drain();
    }
    post_mails();
    MonoTime due = std::min({deadlines_.next_due(), door_wakes_.next_due(), changes_.next_due(),
                             partitions_.next_due(), coordinators_.next_due(), peers_.next_due(),
                             tick_at_, drain_deadline_});
    if (due != alarm_at_) {
        alarm_at_ = due;
        ports_.timer->set_alarm(due);
    }
}

void Core::run_to_quiet() {
    do {
        run_partition_requests();
        run_answers();
        for (peer::Answer& answer : peers_.take_answers()) {
            deliver(std::move(answer));
        }
        for (const Token request : changes_.take_finished()) {
            if (PendingSlot* slot = pending_.find(request)) {
                slot->pending->on_changed(*this);
            }
        }
        for (const Token token : std::exchange(refresh_, {})) {
            refresh_reading(token);
        }
        run_coordinators(); // last: answers of markers and appends above are effects on them
    } while (!local_requests_.empty() || !local_cancels_.empty() || !replies_.empty() ||
             !wakes_.empty() || !refresh_.empty() || changes_.has_finished() ||
             peers_.has_answers());
}

void Core::handle_partition_request(replica::PartitionRequest& request, CoreId from,
                                    replica::Outbox& out) {
    if (std::holds_alternative<replica::CoordinatorOp>(request.op)) {
        coordinators_.handle(request, from, out);
    } else if (const auto* asked = std::get_if<replica::SurveyOp>(&request.op)) {
        metrics::CoreSurvey survey;
        survey.logs = partitions_.survey();
        coordinators_.survey(survey, asked->offsets_max);
        out.answers.push_back(
            {from, replica::PartitionReply{request.request, request.index,
                                           replica::PartitionResult(std::move(survey))}});
    } else {
        partitions_.handle(request, from, out);
    }
}

void Core::handle_partition_requests(std::vector<replica::PartitionRequest>& requests, CoreId from,
                                     replica::Outbox& out) {
    if (requests.empty()) {
        return;
    }
    const MonoTime began = now();
    for (replica::PartitionRequest& request : requests) {
        handle_partition_request(request, from, out);
    }
    counters_.stage(metrics::Stage::partition).observe(now() - began);
}

void Core::run_coordinators() {
    replica::Outbox out;
    coordinators_.on_progress(out);
    deliver(out);
    for (const coordinator::Runtime::Marker& marker : coordinators_.take_markers()) {
        add_internal(std::make_unique<MarkerWrite>(
            marker, [this](const coordinator::Runtime::Marker& done, Result<void> result) {
                coordinators_.on_marker_written(done.shard, done.request.id, result);
            }));
    }
}

// One operation of the metadata for all that leaders of this core want by now.
void Core::propose_isrs() {
    while (life_ == Life::serving) {
        std::vector<metadata::IsrProposal> proposals;
        for (const replica::IsrProposal& wanted : partitions_.take_isr_proposals()) {
            metadata::IsrProposal& proposal = proposals.emplace_back();
            proposal.partition = wanted.key;
            proposal.leader_epoch = wanted.leader_epoch;
            proposal.partition_epoch = wanted.partition_epoch;
            proposal.is_copy_lost = wanted.is_copy_lost;
            proposal.is_settling = wanted.is_settling;
            for (const replica::IsrProposal::Member& member : wanted.isr) {
                proposal.isr.push_back({member.id, member.broker_epoch});
            }
        }
        if (proposals.empty()) {
            return;
        }
        add_internal(std::make_unique<IsrChange>(
            broker_id(), std::move(proposals),
            [this](const metadata::IsrProposal& proposal, const Result<void>& result) {
                replica::Outbox out;
                if (proposal.is_copy_lost) {
                    partitions_.on_copy_loss_ended(proposal.partition, result);
                } else {
                    partitions_.on_isr_proposal_ended(proposal.partition, proposal.leader_epoch,
                                                      proposal.partition_epoch, result, out);
                }
                deliver(out);
            }));
    }
}

// What is on this broker's disk by now is told with it.
void Core::fetch_from_leaders() {
    if (life_ != Life::serving) {
        return;
    }
    for (replica::Manager::ReplicaFetch& fetch : partitions_.take_replica_fetches()) {
        peer::Call call;
        call.to = fetch.leader;
        call.purpose = peer::Purpose::fetch;
        call.api_key = protocol::FetchRequest::kApiKey;
        call.version = replica::kReplicaFetchVersion;
        call.body = std::move(fetch.body);
        call.deadline =
            now() + clamped_ms(config().replica_fetch_wait_max_ms) + kReplicaFetchAnswerMax;
        peers_.call(std::move(call), now());
    }
}

void Core::run_partition_requests() {
    replica::Outbox out;
    std::vector<replica::PartitionRequest> requests = std::exchange(local_requests_, {});
    handle_partition_requests(requests, ports_.id, out);
    for (const CancelWatchesMail::Item& item : std::exchange(local_cancels_, {})) {
        partitions_.cancel_watch(ports_.id, item.request, item.partition);
    }
    deliver(out);
}

void Core::run_answers() {
    for (replica::PartitionReply& reply : std::exchange(replies_, {})) {
        const Token request = reply.request;
        PendingSlot* slot = pending_.find(request);
        if (slot == nullptr) {
            continue; // finished without it
        }
        slot->pending->on_partition_reply(std::move(reply), *this);
        slot = pending_.find(request);
        if (slot != nullptr && !slot->is_wanted() && !slot->pending->holds_borrowed_bytes()) {
            graveyard_.push_back(take_pending(request));
        }
    }
    for (const replica::PartitionWake& wake : std::exchange(wakes_, {})) {
        if (PendingSlot* slot = pending_.find(wake.request); slot != nullptr && slot->connection) {
            slot->pending->on_partition_wake(wake.index, *this);
        }
    }
}

void Core::deliver(replica::Outbox& out) {
    for (replica::Outbox::Answer& answer : out.answers) {
        if (answer.core == ports_.id) {
            replies_.push_back(std::move(answer.reply));
        } else {
            replies_to(answer.core).replies.push_back(std::move(answer.reply));
        }
    }
    for (const replica::Outbox::Wake& wake : out.wakes) {
        if (wake.core == ports_.id) {
            wakes_.push_back(wake.wake);
        } else {
            replies_to(wake.core).wakes.push_back(wake.wake);
        }
    }
    out.answers.clear();
    out.wakes.clear();
}

void Core::deliver(peer::Answer answer) {
    if (answer.purpose == peer::Purpose::fetch) {
        replica::Outbox out;
        partitions_.on_replica_fetch_answer(answer.from,
                                            answer.result
                                                ? Result<ByteView>(ByteView(answer.body()))
                                                : Result<ByteView>(answer.result.error()),
                                            out);
        deliver(out);
        return;
    }
    PendingSlot* slot = pending_.find(answer.token);
    if (slot == nullptr || !slot->is_wanted()) {
        return; // finished without it
    }
    if (answer.is_partition_op) {
        if (std::optional<peer::Call> next = peer::next_call(answer, *image_, now())) {
            peers_.call(*std::move(next), now());
            return;
        }
        slot->pending->on_partition_reply({answer.token, answer.index, peer::read_answer(answer)},
                                          *this);
    } else {
        slot->pending->on_peer_answer(std::move(answer), *this);
    }
}

void Core::post_mails() {
    const auto post_all = [&](auto& mails) {
        for (const CoreId core : mail_to_) {
            if (auto& mail = mails[core.value()]) {
                counters_.mails.add();
                mail->posted_at = now();
                ports_.mailbox->post(core, std::move(mail));
            }
        }
    };
    std::sort(mail_to_.begin(), mail_to_.end()); // a core that gets two kinds is in it twice
    post_all(request_mails_);
    post_all(reply_mails_);
    post_all(cancel_mails_);
    mail_to_.clear();
    for (const peer::Refused& refused : peers_.take_refused()) {
        ports_.mailbox->post(shared_.metadata_core(),
                             std::make_unique<PeerRefusedMail>(ports_.id, refused));
    }
    for (ChangeRunner::Commit& commit : changes_.take_commits()) {
        auto mail = std::make_unique<CommitMail>(ports_.id);
        mail->change = commit.change;
        mail->transaction = std::move(commit.transaction);
        ports_.mailbox->post(shared_.metadata_core(), std::move(mail));
    }
}

void Core::on_mail(std::unique_ptr<port::Mail> mail) {
    auto& broker_mail = static_cast<BrokerMail&>(*mail);
    switch (broker_mail.kind) {
    case MailKind::partition_requests: {
        replica::Outbox out;
        auto& asked = static_cast<PartitionRequestsMail&>(broker_mail);
        counters_.stage(metrics::Stage::mailbox).observe(now() - asked.posted_at);
        handle_partition_requests(asked.requests, broker_mail.from, out);
        deliver(out);
        return;
    }
    case MailKind::partition_replies: {
        auto& answers = static_cast<PartitionRepliesMail&>(broker_mail);
        counters_.stage(metrics::Stage::mailbox).observe(now() - answers.posted_at);
        std::move(answers.replies.begin(), answers.replies.end(), std::back_inserter(replies_));
        wakes_.insert(wakes_.end(), answers.wakes.begin(), answers.wakes.end());
        return;
    }
    case MailKind::cancel_watches:
        for (const auto& item : static_cast<CancelWatchesMail&>(broker_mail).items) {
            partitions_.cancel_watch(broker_mail.from, item.request, item.partition);
        }
        return;
    case MailKind::connection:
        take_over(static_cast<ConnectionMail&>(broker_mail));
        return;
    case MailKind::image:
        apply_image(static_cast<ImageMail&>(broker_mail));
        return;
    case MailKind::committed: {
        auto& committed = static_cast<CommittedMail&>(broker_mail);
        changes_.on_committed(committed.change, std::move(committed.result), now(), *ports_.random);
        return;
    }
    case MailKind::serve:
        serve();
        return;
    case MailKind::drain:
        begin_drain();
        return;
    case MailKind::close:
        close_partitions();
        return;
    case MailKind::image_applied:
    case MailKind::commit:
    case MailKind::listening:
    case MailKind::peer_refused:
    case MailKind::drained:
    case MailKind::closed:
        break;
    }
    QT_UNREACHABLE(); // mail for the metadata core
}

void Core::apply_image(ImageMail& mail) {
    image_ = std::move(mail.image);
    shared_.cores[ports_.id.value()]->revision.store(image_->revision.value(),
                                                     std::memory_order_release);
    if (life_ < Life::drained) {
        peers_.apply(*image_, now());
        replica::Outbox out;
        coordinators_.forget(*image_, out);
        partitions_.set_options(manager_options(config(), shared_.core_count));
        partitions_.apply(*image_, mail.delta, out);
        coordinators_.apply(image_, mail.delta);
        deliver(out);
    }
    if (!mail.delta.partitions_changed.empty()) {
        partitions_changed_at_ = now();
        std::vector<Token> waiting;
        pending_.for_each([&](Token token, PendingSlot& slot) {
            if (slot.connection) {
                waiting.push_back(token);
            }
        });
        for (const Token token : waiting) {
            if (PendingSlot* slot = pending_.find(token)) {
                slot->pending->on_partitions_changed(*this);
            }
        }
    }
    ports_.mailbox->post(shared_.metadata_core(),
                         std::make_unique<ImageAppliedMail>(ports_.id, image_->revision));
}

} // namespace qtool::broker
