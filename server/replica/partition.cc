#include "server/replica/partition.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/metadata/partition_change.h"
#include "server/replica/log_config.h"

#include <algorithm>
#include <utility>

namespace qtool::replica {

namespace {

// A partition that nobody touched for this long closes its files.
constexpr Duration kIdleFilesMax = 60s;

} // namespace

Partition::Partition(PartitionKey key, std::string name, BrokerId self,
                     Result<std::unique_ptr<storage::Log>> log, int64_t producer_id_expiration_ms,
                     metrics::CoreCounters& counters)
    : key_(key),
      name_(std::move(name)),
      self_(self),
      producer_id_expiration_ms_(producer_id_expiration_ms),
      counters_(counters) {
    if (!log) {
        set_offline(std::move(log).error());
        return;
    }
    log_ = *std::move(log);
    // The checkpoint may be behind a log that was cut, or moved on.
    high_watermark_ =
        std::clamp(log_->known_high_watermark(), log_->log_start_offset(), log_->log_end_offset());
    if (log_->failure()) {
        set_offline(*log_->failure());
    }
}

Partition::~Partition() {
    if (offline_) {
        counters_.partitions_offline.set(counters_.partitions_offline.value() - 1);
    }
}

bool Partition::breaks_the_log(Code code) {
    return code == Code::storage_io || code == Code::storage_offline ||
           code == Code::storage_damaged;
}

// Of `<direction>.replication.throttled.replicas`: "partition:broker,...", or "*" for all (KIP-73).
bool Partition::is_named_throttled(const metadata::TopicImage& topic,
                                   const std::string& option) const {
    const auto set = topic.configs.find(option);
    if (set == topic.configs.end()) {
        return false;
    }
    const std::string wanted =
        std::to_string(key_.index.value()) + ":" + std::to_string(self_.value());
    std::string_view rest = set->second;
    while (!rest.empty()) {
        const size_t comma = std::min(rest.find(','), rest.size());
        const std::string_view entry = rest.substr(0, comma);
        if (entry == "*" || entry == wanted) {
            return true;
        }
        rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    return false;
}

// ---- roles --------------------------------------------------------------------------------------

void Partition::apply(const metadata::TopicImage& topic, MonoTime now, Outbox& out) {
    now_ = now;
    const auto index = static_cast<size_t>(key_.index.value());
    QT_ASSERT(index < topic.partitions.size());
    const metadata::PartitionImage& image = topic.partitions[index];
    QT_ASSERT(image.leader_epoch >= leader_epoch_);
    min_insync_replicas_ = static_cast<int32_t>(metadata::min_isr(topic, image));
    write_caching_ = topic.effective.write_caching;
    is_internal_ = topic.is_internal();
    is_leader_throttled_ = is_named_throttled(topic, "leader.replication.throttled.replicas");
    is_follower_throttled_ = is_named_throttled(topic, "follower.replication.throttled.replicas");
    is_in_isr_ = metadata::contains(image.isr, self_);
    is_in_elr_ = metadata::contains(image.elr, self_);
    partition_epoch_ = image.partition_epoch;
    follow_copy_loss();
    flush_messages_ = topic.effective.flush_messages;
    flush_ms_ = topic.effective.flush_ms;
    log_config_ = make_log_config(topic.effective, producer_id_expiration_ms_);
    if (log_) {
        log_->set_config(log_config_);
    }

    const bool is_replica =
        std::find(image.replicas.begin(), image.replicas.end(), self_) != image.replicas.end();
    const Role role = image.leader == self_ ? Role::leader
                      : is_replica          ? Role::follower
                                            : Role::none;
    const bool is_new_epoch =
        role != role_ || image.leader_epoch != leader_epoch_ || image.leader != leader_;
    if (role_ == Role::leader && role != Role::leader) {
        resign(out);
    }
    role_ = role;
    leader_ = image.leader;
    leader_epoch_ = image.leader_epoch;
    if (role != Role::leader) {
        leading_.reset();
    } else if (is_new_epoch) {
        become_leader(image, now);
    } else {
        leading_->apply(image, now);
    }
    if (is_new_epoch) { // who watches is to learn it
        for (const Asker& asker : watches_.take_all()) {
            out.wakes.push_back({asker.core, PartitionWake{asker.request, asker.index}});
        }
    }
    advance(out); // the ISR may be smaller, or write.caching be on while appends are parked
}

// What was parked in an earlier epoch of this leader stays: its records are in the log.
void Partition::become_leader(const metadata::PartitionImage& image, MonoTime now) {
    leading_.emplace(self_, image, log_ ? log_->log_end_offset() : Offset{0}, now);
    leads_since_ = now;
}

void Partition::resign(Outbox& out) {
    release_waiters(Code::not_leader, out);
}

void Partition::set_broker(BrokerId id, bool is_live, Revision epoch) {
    if (leading_) {
        leading_->set_broker(id, is_live, epoch);
    }
}

std::optional<IsrProposal> Partition::propose_isr(MonoTime now) {
    now_ = now;
    std::optional<IsrProposal> proposal;
    if (has_damaged_log() && role_ != Role::none && (!leading_ || leads_others())) {
        proposal = copy_loss_.propose(leader_epoch_, partition_epoch_, now);
    } else if (leading_) {
        proposal = !log_ || offline_
                       ? leading_->propose_to_resign(now)
                       : leading_->propose(log_->log_start_offset(), log_->log_end_offset(),
                                           high_watermark_, now, lag_max_);
    }
    if (proposal) {
        proposal->key = key_;
    }
    return proposal;
}

void Partition::on_isr_proposal_ended(LeaderEpoch epoch, int32_t partition_epoch,
                                      const Result<void>& result, MonoTime now, Outbox& out) {
    now_ = now;
    if (leading_ && epoch == leader_epoch_) {
        leading_->on_proposal_ended(partition_epoch, result, now);
        advance(out);
    }
}

void Partition::on_lag_check(MonoTime now, Outbox& out) {
    now_ = now;
    advance(out);
}

// The end of what is on this broker's disk (with write caching: in its hands), and of what the
// others have.
void Partition::raise_high_watermark() {
    if (!leading_ || !log_ || offline_) {
        return; // a follower's rises with what it fetches
    }
    const Offset own_end = write_caching_ ? log_->log_end_offset() : log_->synced_end_offset();
    if (const std::optional<Offset> end =
            leading_->committed_end(own_end, min_insync_replicas_, now_, lag_max_);
        end && *end > high_watermark_) {
        high_watermark_ = *end;
        static_cast<void>(log_->first_unstable_offset(high_watermark_)); // for the checkpoint
    }
}

Offset Partition::last_stable_offset() const {
    if (!log_) {
        return Offset{0};
    }
    const Offset high = high_watermark();
    const Offset unstable = log_->first_unstable_offset(high);
    // DeleteRecords may have taken the beginning of a transaction.
    return unstable == kNoOffset ? high
                                 : std::max(std::min(unstable, high), log_->log_start_offset());
}

MonoTime Partition::flush_due_at() const {
    if (!write_caching_ || unflushed_since_ == kMonoNever || flush_ms_ == INT64_MAX) {
        return kMonoNever;
    }
    // The log may have been synced without begin_flush(): by compaction, or at the end of a move.
    if (!log_ || log_->synced_end_offset() == log_->log_end_offset()) {
        return kMonoNever;
    }
    return unflushed_since_ + clamped_ms(flush_ms_);
}

Result<void> Partition::check_request(const PartitionRequest& request) const {
    // The epoch is judged before leadership (KIP-320): a stale client learns the better reason.
    if (request.current_leader_epoch >= LeaderEpoch{0}) {
        if (request.current_leader_epoch < leader_epoch_) {
            return Error(Code::fenced_leader_epoch,
                         name_ + ": leader epoch " +
                             std::to_string(request.current_leader_epoch.value()) +
                             " is older than " + std::to_string(leader_epoch_.value()));
        }
        if (request.current_leader_epoch > leader_epoch_) {
            return Error(Code::unknown_leader_epoch,
                         name_ + ": leader epoch " +
                             std::to_string(request.current_leader_epoch.value()) +
                             " is not known yet; this broker knows " +
                             std::to_string(leader_epoch_.value()));
        }
    }
    if (!is_leader() && !may_be_asked_follower(request.op)) {
        return Error(Code::not_leader, name_ + ": this broker does not lead the partition");
    }
    if (offline_) {
        return *offline_;
    }
    return {};
}

bool Partition::may_be_asked_follower(const PartitionOp& op) const {
    if (role_ != Role::follower) {
        return false;
    }
    if (const auto* read = std::get_if<ReadOp>(&op)) {
        return read->may_ask_follower && !read->replica && leader_ != kNoBroker; // KIP-392
    }
    return std::holds_alternative<DescribeOp>(op) || std::holds_alternative<LagOp>(op) ||
           std::holds_alternative<ProducersOp>(op); // of the replica that is asked (KIP-664)
}

void Partition::handle(PartitionRequest& request, CoreId from, MonoTime now, WallTime wall,
                       Outbox& out) {
    now_ = now;
    if (!std::holds_alternative<LagOp>(request.op)) { // a scrape does not keep files open
        last_used_ = now;
    }
    if (const auto* op = std::get_if<AppendOp>(&request.op)) {
        append(request, *op, from, now, wall, out);
        return;
    }
    if (const auto* op = std::get_if<WriteMarkerOp>(&request.op)) {
        write_marker(request, *op, from, now, wall, out);
        return;
    }
    if (const auto* op = std::get_if<DeleteRecordsOp>(&request.op)) {
        delete_records(request, *op, from, out);
        return;
    }
    // Requests to a coordinator are taken by the runtime that sits on top of the partitions.
    QT_ASSERT(!std::holds_alternative<CoordinatorOp>(request.op));
    QT_ASSERT(!std::holds_alternative<SurveyOp>(request.op)); // of a core
    QT_ASSERT(!std::holds_alternative<MoveOp>(request.op));   // Manager's
    Result<PartitionResult> result = [&]() -> Result<PartitionResult> {
        QT_TRY(check_request(request));
        if (const auto* op = std::get_if<ReadOp>(&request.op)) {
            return read(request, *op, from, now, out);
        }
        if (const auto* op = std::get_if<ListOffsetOp>(&request.op)) {
            return list_offset(*op);
        }
        if (const auto* op = std::get_if<EpochEndOp>(&request.op)) {
            return epoch_end(*op);
        }
        if (std::holds_alternative<ProducersOp>(request.op)) {
            return producers(wall);
        }
        if (const auto* op = std::get_if<LagOp>(&request.op)) {
            return lag(*op);
        }
        return describe(now);
    }();
    if (!result && breaks_the_log(result.error().code) && !offline_) {
        go_offline(result.error(), out);
    }
    if (auto* read = result ? std::get_if<ReadResult>(&*result) : nullptr;
        read != nullptr && read->absent.size > 0) {
        Outbox::ColdRead& cold =
            out.cold_reads.emplace_back(Outbox::ColdRead{from, request, std::move(read->absent)});
        if (auto& replica = std::get<ReadOp>(cold.request.op).replica) {
            replica->is_progress = false; // it has been noted
        }
        return;
    }
    out.answers.push_back(
        {from, PartitionReply{request.request, request.index, std::move(result)}});
}

void Partition::advance(Outbox& out, MonoTime flushed_at) {
    if (!log_ || offline_) {
        return;
    }
    raise_high_watermark();
    settle_deletions(out);
    const Offset high = high_watermark();
    for (ParkedAppend& done : parked_.take_below(high)) {
        if (flushed_at != kMonoNever) {
            counters_.stage(metrics::Stage::flush_wait).observe(flushed_at - done.parked_at);
        }
        done.result.log_start_offset = log_->log_start_offset();
        PartitionResult result =
            done.is_marker ? PartitionResult(WriteMarkerResult{}) : PartitionResult(done.result);
        out.answers.push_back({done.asker.core, PartitionReply{done.asker.request, done.asker.index,
                                                               std::move(result)}});
    }
    if (!watches_.empty()) {
        for (const Asker& asker :
             watches_.take_ready({log_->log_end_offset(), high, last_stable_offset()})) {
            out.wakes.push_back({asker.core, PartitionWake{asker.request, asker.index}});
        }
    }
}

void Partition::expire(MonoTime now, Outbox& out) {
    settle_deletions(out); // a replica may have died
    std::erase_if(deletions_, [&](const Deletion& deletion) {
        if (deletion.deadline > now) {
            return false;
        }
        out.answers.push_back(
            {deletion.asker.core,
             PartitionReply{deletion.asker.request, deletion.asker.index,
                            Error(Code::timed_out, name_ + ": not every live replica has deleted "
                                                           "the records")}});
        return true;
    });
    for (ParkedAppend& late : parked_.take_expired(now)) {
        counters_.produce_timeouts.add();
        out.answers.push_back(
            {late.asker.core,
             PartitionReply{late.asker.request, late.asker.index,
                            Error(Code::timed_out,
                                  name_ + ": not yet on the disks of all in-sync replicas at the "
                                          "deadline of the request; the data stays in the log")}});
    }
}

bool Partition::maintain(WallTime wall, MonoTime now, Outbox& out) {
    if (!log_ || offline_) {
        return false;
    }
    const Result<bool> deletes = log_->apply_retention(wall, high_watermark());
    if (!deletes) {
        on_deletion_failed(deletes.error(), out);
        return true;
    }
    advance(out); // compaction may have synced the log
    if (now - last_used_ > kIdleFilesMax && !flush_in_flight_) {
        log_->release_idle();
        note_log_failure(out);
    }
    return *deletes;
}

void Partition::on_deletion_failed(const Error& error, Outbox& out) {
    if (breaks_the_log(error.code)) {
        go_offline(error, out);
    } else {
        log_line(LogLevel::warn, "deletion_failed",
                 {{"partition", name_}, {"error", to_string(error)}});
    }
}

void Partition::note_log_failure(Outbox& out) {
    if (log_ && log_->failure() && !offline_) {
        go_offline(*log_->failure(), out);
    }
}

void Partition::set_offline(Error error) {
    log_line(LogLevel::error, "partition_offline",
             {{"partition", name_}, {"error", to_string(error)}});
    if (!offline_) {
        counters_.partitions_offline.add();
    }
    offline_ = std::move(error);
}

void Partition::take_offline(const Error& reason, Outbox& out) {
    if (log_) {
        log_->fail(reason); // nothing more is written, and nothing is closed as if it were whole
    }
    go_offline(reason, out);
}

void Partition::set_producer_id_expiration(int64_t expiration_ms) {
    producer_id_expiration_ms_ = expiration_ms;
    log_config_.producer_id_expiration_ms = expiration_ms;
    if (log_) {
        log_->set_config(log_config_);
    }
}

void Partition::set_low_space(bool is_low) {
    if (log_) {
        log_->set_low_space(is_low && !is_internal_);
    }
}

void Partition::go_offline(Error error, Outbox& out) {
    set_offline(std::move(error));
    release_waiters(offline_->code, out);
}

void Partition::release_appends(Code code, Outbox& out) {
    for (const Deletion& deletion : std::exchange(deletions_, {})) {
        out.answers.push_back({deletion.asker.core,
                               PartitionReply{deletion.asker.request, deletion.asker.index,
                                              Error(code, name_ + ": deleted here, not confirmed "
                                                                  "by the other replicas")}});
    }
    for (ParkedAppend& parked : parked_.take_all()) {
        out.answers.push_back(
            {parked.asker.core, PartitionReply{parked.asker.request, parked.asker.index,
                                               Error(code, name_ + ": the append was written but "
                                                                   "not confirmed")}});
    }
}

void Partition::release_waiters(Code code, Outbox& out) {
    release_appends(code, out);
    for (const Asker& asker : watches_.take_all()) {
        out.wakes.push_back({asker.core, PartitionWake{asker.request, asker.index}});
    }
}

} // namespace qtool::replica
