// Manager: what it does for the replication of its partitions.
#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/replica/manager.h"

#include <algorithm>
#include <utility>

namespace qtool::replica {

bool Manager::is_session_over() const {
    return setup_.session_valid_until && setup_.ports.clock->mono() >= setup_.session_valid_until();
}

// The last answer is one to a consumer's read. Somebody else may lead by now and have more: a
// consumer that is told "out of range" would begin anew somewhere.
void Manager::look_beyond_session(Outbox& out) const {
    if (out.answers.empty() || !is_session_over()) {
        return;
    }
    Result<PartitionResult>& result = out.answers.back().reply.result;
    if (!result && result.error().code == Code::offset_out_of_range) {
        result = Error(Code::not_leader, result.error().detail);
    }
}

// ---- roles --------------------------------------------------------------------------------------

// A partition has taken its role from the image already.
void Manager::follow_role(Entry& entry, const metadata::Image& image) {
    Partition& partition = *entry.partition;
    entry.is_leader_live = image.is_live(partition.leader());
    repair(entry);
    if (partition.has_damaged_log()) { // somebody may have come who has what is committed
        isr_to_look_at_.push_back(partition.key());
    }
    if (const LeaderState* leading = partition.leading()) {
        for (const FollowerProgress& follower : leading->followers()) {
            const metadata::BrokerImage* broker = image.find_broker(follower.id);
            partition.set_broker(follower.id, broker != nullptr && broker->is_live(),
                                 broker == nullptr ? Revision{0} : broker->epoch);
        }
        if (partition.is_offline()) {
            isr_to_look_at_.push_back(partition.key());
        }
        if (leading->replica_count() > 1 && lag_check_at_ == kMonoNever) {
            lag_check_at_ = setup_.ports.clock->mono() + setup_.options.replica_lag_max / 2;
        }
    }
    follow_leader(entry);
}

void Manager::follow_leader(Entry& entry) {
    const Partition& partition = *entry.partition;
    const bool is_fetched =
        partition.role() == Role::follower && !partition.is_offline() && entry.is_leader_live;
    const BrokerId from = is_fetched ? partition.leader() : kNoBroker;
    if (from == entry.fetched_from && partition.leader_epoch() == entry.fetched_epoch) {
        return;
    }
    if (from != entry.fetched_from) {
        stop_fetching(entry);
    }
    if (from != kNoBroker) {
        entry.fetched_from = from;
        entry.fetched_epoch = partition.leader_epoch();
        fetchers_.try_emplace(from, setup_.self, from, *setup_.counters)
            .first->second.follow(partition.key(), partition.leader_epoch());
    }
}

// A broken log leads and follows no longer.
void Manager::give_up(Entry& entry) {
    stop_fetching(entry);
    isr_to_look_at_.push_back(entry.partition->key());
    if (entry.partition->has_damaged_log()) {
        look_at_damage_at_ = setup_.ports.clock->mono() + kDamageInterval;
    }
}

void Manager::stop_fetching(Entry& entry) {
    if (entry.fetched_from != kNoBroker) {
        fetchers_.at(entry.fetched_from).drop(entry.partition->key());
        entry.fetched_from = kNoBroker;
        entry.fetched_epoch = kNoLeaderEpoch;
    }
}

// A broker that came or went changes what its partitions can do, though they did not change.
void Manager::follow_brokers(const metadata::Image& image, const metadata::Delta& delta,
                             bool is_first) {
    const metadata::BrokerImage* self = image.find_broker(setup_.self);
    self_epoch_ = self == nullptr ? Revision{0} : self->epoch;
    if (is_first || delta.brokers_changed.empty()) {
        return;
    }
    for (auto& [key, entry] : partitions_) {
        follow_role(entry, image);
        if (const LeaderState* leading = entry.partition->leading();
            leading != nullptr && leading->replica_count() > 1) {
            isr_to_look_at_.push_back(key);
        }
    }
}

// ---- fetches of followers -----------------------------------------------------------------------

class Manager::Followers final : public FollowerLogs {
public:
    Followers(Manager& manager, Outbox& out) : manager_(manager), out_(out) {}

    std::optional<Partition::FetchPosition> position(const PartitionKey& key) override {
        Partition* partition = manager_.find(key);
        QT_ASSERT(partition != nullptr); // remove_partition drops it from the fetcher
        return partition->fetch_position();
    }
    Result<void> on_fetched(const PartitionKey& key, const Partition::Fetched& fetched) override {
        Entry& entry = *manager_.find_entry(key);
        manager_.look_at_space(entry);
        Result<void> done =
            entry.partition->on_fetched(fetched, manager_.setup_.ports.clock->mono(),
                                        manager_.setup_.ports.clock->wall(), out_);
        if (!done && storage::is_out_of_descriptors(done.error())) {
            manager_.close_spare_files();
        }
        if (entry.partition->is_throttled_follower()) {
            manager_.follower_rate_.take(fetched.records.size(),
                                         manager_.setup_.ports.clock->mono());
        }
        if (entry.dir && !fetched.records.empty()) {
            manager_.setup_.log_dirs->at(*entry.dir).note_written(fetched.records.size());
        }
        settle(entry);
        return done;
    }
    Result<void> on_out_of_range(const PartitionKey& key, LeaderEpoch leader_epoch,
                                 Offset leader_log_start) override {
        Entry& entry = *manager_.find_entry(key);
        Result<void> done = entry.partition->on_out_of_range(
            leader_epoch, leader_log_start, manager_.setup_.ports.clock->mono(),
            manager_.setup_.ports.clock->wall(), out_);
        settle(entry);
        return done;
    }

    bool is_throttled(const PartitionKey& key) override {
        return manager_.find(key)->is_throttled_follower() &&
               manager_.follower_rate_.is_used_up(manager_.setup_.ports.clock->mono());
    }

private:
    void settle(Entry& entry) {
        manager_.note_failure(entry);
        manager_.touch(*entry.partition);
    }

    Manager& manager_;
    Outbox& out_;
};

std::vector<Manager::ReplicaFetch> Manager::take_replica_fetches() {
    std::vector<ReplicaFetch> fetches;
    if (is_closed_ || fetchers_.empty()) {
        return fetches;
    }
    Outbox none; // asking for positions changes nothing
    Followers followers(*this, none);
    for (auto& [leader, fetcher] : fetchers_) {
        if (auto body = fetcher.next(setup_.options.fetcher, self_epoch_,
                                     setup_.ports.clock->mono(), followers)) {
            fetches.push_back({leader, *std::move(body)});
        }
    }
    return fetches;
}

void Manager::on_replica_fetch_answer(BrokerId leader, const Result<ByteView>& body, Outbox& out) {
    if (is_closed_) {
        return;
    }
    Followers followers(*this, out);
    fetchers_.at(leader).on_answer(body, setup_.options.fetcher, setup_.ports.clock->mono(),
                                   followers);
}

// ---- in-sync replicas ---------------------------------------------------------------------------

std::vector<IsrProposal> Manager::take_isr_proposals() {
    std::vector<IsrProposal> proposals;
    if (is_session_over()) {
        isr_to_look_at_.clear(); // nobody would listen
        return proposals;
    }
    while (!isr_to_look_at_.empty() && proposals.size() < kIsrProposalsMax) {
        const PartitionKey key = isr_to_look_at_.back();
        isr_to_look_at_.pop_back();
        Partition* partition = find(key);
        if (partition == nullptr) {
            continue;
        }
        if (auto proposal = partition->propose_isr(setup_.ports.clock->mono())) {
            if (proposal->is_shrink) {
                setup_.counters->isr_shrinks.add();
            }
            if (proposal->is_expansion) {
                setup_.counters->isr_expands.add();
            }
            if (!proposal->is_copy_lost) {
                log_line(LogLevel::info, proposal->is_shrink ? "isr_shrinks" : "isr_expands",
                         {{"partition", partition->name()}, {"isr", describe(*proposal)}});
            }
            proposals.push_back(*std::move(proposal));
        }
    }
    return proposals;
}

void Manager::on_isr_proposal_ended(const PartitionKey& key, LeaderEpoch epoch,
                                    int32_t partition_epoch, const Result<void>& result,
                                    Outbox& out) {
    if (Partition* partition = find(key)) {
        partition->on_isr_proposal_ended(epoch, partition_epoch, result, setup_.ports.clock->mono(),
                                         out);
        note_moved(*partition);
    }
}

// Each half of the time a follower has, so that none is a member for much longer (as Kafka does).
void Manager::check_lag(Outbox& out) {
    const MonoTime now = setup_.ports.clock->mono();
    lag_check_at_ = kMonoNever;
    for (auto& [key, entry] : partitions_) {
        const LeaderState* leading = entry.partition->leading();
        if (leading == nullptr || leading->replica_count() < 2) {
            continue;
        }
        entry.partition->on_lag_check(now, out);
        note_moved(*entry.partition);
        isr_to_look_at_.push_back(key);
        lag_check_at_ = now + setup_.options.replica_lag_max / 2;
    }
}

// ---- metrics ------------------------------------------------------------------------------------

namespace {

void survey_role(const Partition& partition, metrics::LogSurvey& survey) {
    const LeaderState* leading = partition.leading();
    if (leading == nullptr) {
        survey.partitions_unfollowed += partition.leader() == kNoBroker ? 1 : 0;
        return;
    }
    const auto isr = static_cast<int32_t>(leading->isr_size());
    survey.partitions_led++;
    survey.under_replicated += leading->isr_size() < leading->replica_count() ? 1 : 0;
    survey.under_min_isr += isr < partition.min_insync_replicas() ? 1 : 0;
    survey.at_min_isr += isr == partition.min_insync_replicas() ? 1 : 0;
    for (const FollowerProgress& follower : leading->followers()) {
        const int64_t lag = partition.log_end() - std::max(follower.end, partition.log_start());
        survey.replica_lag_records =
            std::max(survey.replica_lag_records, static_cast<uint64_t>(std::max<int64_t>(0, lag)));
    }
}

} // namespace

metrics::LogSurvey Manager::survey() const {
    metrics::LogSurvey survey;
    for (const auto& [key, entry] : partitions_) {
        if (storage::Log* log = entry.partition->log()) {
            survey.segments += log->segment_count();
            survey.size_bytes += log->size_bytes();
        }
        survey_role(*entry.partition, survey);
        survey.partitions_waiting += entry.partition->has_parked() ? 1 : 0;
    }
    return survey;
}

} // namespace qtool::replica
