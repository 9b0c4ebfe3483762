#include "server/replica/manager.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/metadata/partition_change.h"
#include "server/replica/log_config.h"

#include <algorithm>
#include <utility>

namespace qtool::replica {

namespace {

constexpr Duration kExpireInterval = 100ms;  // how exact produce timeouts are
constexpr Duration kSpareFilesInterval = 1s; // how often closing all that can be helps

bool is_replica(const metadata::PartitionImage& partition, BrokerId id) {
    return std::find(partition.replicas.begin(), partition.replicas.end(), id) !=
           partition.replicas.end();
}

} // namespace

Manager::Manager(Setup setup)
    : setup_(std::move(setup)),
      compactor_(setup_.options.compactor, setup_.ports.random, *setup_.counters),
      mover_(setup_.options.mover, setup_.ports.disk, setup_.log_dirs) {
    leader_rate_.set_rate(setup_.options.leader_rate_max, MonoTime{});
    follower_rate_.set_rate(setup_.options.follower_rate_max, MonoTime{});
    journals_.resize(setup_.log_dirs->size());
    for (size_t i = 0; i < journals_.size(); i++) {
        journals_[i].journal = std::make_unique<storage::FlushJournal>(
            *setup_.ports.disk, setup_.log_dirs->at(i).path(), setup_.ports.id,
            setup_.options.flush_journal_bytes, setup_.ports.random->next());
    }
}

void Manager::set_options(const ManagerOptions& options) {
    if (options == setup_.options) {
        return;
    }
    const MonoTime now = setup_.ports.clock->mono();
    setup_.options = options;
    leader_rate_.set_rate(options.leader_rate_max, now);
    follower_rate_.set_rate(options.follower_rate_max, now);
    for (auto& [key, entry] : partitions_) {
        entry.partition->set_producer_id_expiration(options.producer_id_expiration_ms);
        entry.partition->set_replica_lag(options.replica_lag_max);
    }
    if (maintain_at_ != kMonoNever) {
        maintain_at_ = std::min(maintain_at_, now + maintain_interval());
    }
    compactor_.set_options(options.compactor, now);
    mover_.set_options(options.mover, now);
}

// ---- images -------------------------------------------------------------------------------------

void Manager::apply(const metadata::Image& image, const metadata::Delta& delta, Outbox& out) {
    const bool is_first = std::exchange(is_first_image_, false);
    const auto arrival =
        is_first ? storage::LogDirs::Arrival::known : storage::LogDirs::Arrival::created;
    for (const TopicId& id : delta.topics_deleted) {
        remove_topic(id, out);
    }
    const auto take = [&](const metadata::TopicImage& topic) {
        if (topic.effective.cleanup_compact) {
            compacted_topics_.insert(topic.id);
        } else {
            compacted_topics_.erase(topic.id);
        }
        for (size_t i = 0; i < topic.partitions.size(); i++) {
            const PartitionIndex index(static_cast<int32_t>(i));
            if (!setup_.is_mine(PartitionKey{topic.id, index})) {
                continue;
            }
            const bool is_here = is_replica(topic.partitions[i], setup_.self);
            const auto at = partitions_.find(PartitionKey{topic.id, index});
            if (at != partitions_.end() && !is_here) { // reassigned, and the others have it
                remove_partition(at, Code::not_leader, out);
            } else if (at != partitions_.end()) {
                Partition& known = *at->second.partition;
                known.apply(topic, setup_.ports.clock->mono(), out);
                follow_role(at->second, image);
                touch(known); // write.caching off: what is unsynced wants a flush now
            } else if (is_here) {
                open(topic, index, arrival, out);
                follow_role(partitions_.at(PartitionKey{topic.id, index}), image);
            }
        }
    };
    if (is_first) {
        settles_together_ = count_mine(image) > setup_.settled_one_by_one_max;
        for (const auto& [id, topic] : image.topics_by_id) {
            take(*topic);
        }
        settle(out);
    } else {
        for (const std::vector<TopicId>* ids : {&delta.topics_created, &delta.topics_changed}) {
            for (const TopicId& id : *ids) {
                const metadata::TopicImage* topic = image.topic(id);
                QT_ASSERT(topic != nullptr);
                take(*topic);
            }
        }
    }
    follow_brokers(image, delta, is_first);
    setup_.counters->partitions.set(partitions_.size());
    if (maintain_at_ == kMonoNever) {
        maintain_at_ = setup_.ports.clock->mono() + maintain_interval();
        compactor_.start(setup_.ports.clock->mono());
        scrubber_.rest_until(maintain_at_);
    }
}

// A start after a crash, once for all logs: a sync of each directory is what would take the
// longest.
void Manager::settle(Outbox& out) {
    if (!std::exchange(settles_together_, false)) {
        return;
    }
    std::set<size_t> dirs;
    for (const auto& [key, entry] : partitions_) {
        if (entry.dir && !entry.partition->is_offline()) {
            dirs.insert(*entry.dir);
        }
    }
    for (const size_t at : dirs) {
        const storage::LogDir& dir = setup_.log_dirs->at(at);
        if (dir.data()->was_clean()) {
            continue; // no file was touched
        }
        const Result<void> synced = setup_.ports.disk->sync_file_system(dir.path());
        for (auto& [key, entry] : partitions_) {
            if (!synced && entry.dir == at) {
                fail(entry, synced.error(), out);
            }
        }
        if (!synced) {
            setup_.log_dirs->note_failure(at, synced.error());
        }
    }
}

size_t Manager::count_mine(const metadata::Image& image) const {
    size_t count = 0;
    for (const auto& [id, topic] : image.topics_by_id) {
        for (size_t i = 0; i < topic->partitions.size(); i++) {
            const PartitionKey key{id, PartitionIndex(static_cast<int32_t>(i))};
            count += setup_.is_mine(key) && is_replica(topic->partitions[i], setup_.self) ? 1 : 0;
        }
    }
    return count;
}

void Manager::open(const metadata::TopicImage& topic, PartitionIndex index,
                   storage::LogDirs::Arrival arrival, Outbox& out) {
    const PartitionKey key{topic.id, index};
    std::string name = topic.name + "-" + std::to_string(index.value());
    Entry& entry = partitions_[key];
    entry.epoch = next_epoch_++;
    Result<std::unique_ptr<storage::Log>> log = [&]() -> Result<std::unique_ptr<storage::Log>> {
        QT_TRY_ASSIGN(entry.dir, setup_.log_dirs->place(topic.name, key, arrival));
        const storage::LogDir& dir = setup_.log_dirs->at(*entry.dir);
        if (dir.is_offline()) {
            return dir.failure();
        }
        storage::OpenHint hint;
        hint.key = key;
        const storage::OpenHint at_start = dir.data()->hint(topic.id, index);
        const std::string directory = dir.data()->partition_path(topic.name, index);
        // What the start found says nothing of a replica that came (back) since: while this broker
        // was away, too, when nobody counts on what it had and its files are gone.
        bool is_known = arrival == storage::LogDirs::Arrival::known;
        const metadata::PartitionImage& image =
            topic.partitions[static_cast<size_t>(index.value())];
        if (is_known && at_start.recovery_point > Offset{0} &&
            !metadata::contains(image.isr, setup_.self) &&
            !metadata::contains(image.elr, setup_.self)) {
            QT_TRY_ASSIGN(is_known, setup_.ports.disk->exists(directory));
        }
        if (is_known) {
            hint = at_start;
            if (settles_together_ && !dir.data()->was_clean()) {
                hint.settle = storage::OpenHint::Settle::later;
            }
        } else {
            hint.void_until = std::max(at_start.recovery_point, at_start.high_watermark);
            if (const auto left = left_.find(key); left != left_.end()) {
                hint.void_until = std::max(hint.void_until, left->second);
            }
        }
        // One that was here before has left its files, and the journal not yet.
        QT_TRY(journals_[*entry.dir].journal->leave(name, key));
        return storage::Log::open(
            *setup_.ports.disk, directory,
            make_log_config(topic.effective, setup_.options.producer_id_expiration_ms), hint,
            setup_.ports.clock->wall());
    }();
    entry.partition =
        std::make_unique<Partition>(key, std::move(name), setup_.self, std::move(log),
                                    setup_.options.producer_id_expiration_ms, *setup_.counters);
    entry.partition->set_log_dir(entry.dir ? static_cast<int32_t>(*entry.dir) : -1);
    if (storage::Log* opened = entry.partition->log()) {
        opened->set_journal(journals_[entry.dir.value()].journal.get());
    }
    note_failure(entry);
    entry.partition->set_replica_lag(setup_.options.replica_lag_max);
    entry.partition->set_leader_rate(&leader_rate_);
    entry.partition->apply(topic, setup_.ports.clock->mono(), out);
    if (arrival == storage::LogDirs::Arrival::known) {
        resume_move(entry);
    }
}

void Manager::remove_topic(const TopicId& id, Outbox& out) {
    auto at = partitions_.lower_bound(PartitionKey{id, PartitionIndex(0)});
    while (at != partitions_.end() && at->first.topic_id == id) {
        at = remove_partition(at, Code::unknown_topic, out);
    }
    compacted_topics_.erase(id);
    left_.erase(left_.lower_bound(PartitionKey{id, PartitionIndex(0)}),
                left_.upper_bound(PartitionKey{id, PartitionIndex(INT32_MAX)}));
}

// With its files. Who waits is told `code`.
Manager::Entries::iterator Manager::remove_partition(Entries::iterator at, Code code, Outbox& out) {
    Partition& partition = *at->second.partition;
    stop_fetching(at->second);
    partition.release_waiters(code, out);
    if (storage::Log* log = partition.log()) {
        mover_.drop(partition);
        left_[at->first] = std::max({left_[at->first], log->log_end_offset(),
                                     log->synced_end_offset(), log->known_high_watermark()});
        if (Result<void> removed = log->remove_all(); !removed) {
            log_line(LogLevel::warn, "partition_files_kept",
                     {{"partition", partition.name()}, {"error", to_string(removed.error())}});
        }
    }
    if (at->second.dir) {
        setup_.log_dirs->leave(*at->second.dir);
    }
    with_parked_.erase(at->first);
    return partitions_.erase(at);
}

Manager::Entry* Manager::find_entry(const PartitionKey& key) {
    const auto at = partitions_.find(key);
    return at == partitions_.end() ? nullptr : &at->second;
}

Partition* Manager::find(const PartitionKey& key) {
    Entry* entry = find_entry(key);
    return entry == nullptr ? nullptr : entry->partition.get();
}

// ---- directories --------------------------------------------------------------------------------

void Manager::note_moved(const Partition& partition) {
    if (partition.is_watched() && (moved_.empty() || moved_.back() != partition.key())) {
        moved_.push_back(partition.key());
    }
}

// Called after whatever may have shown a partition that its disk fails.
void Manager::note_failure(Entry& entry) {
    note_moved(*entry.partition);
    if (!entry.partition->is_offline() || entry.is_failure_noted) {
        return;
    }
    entry.is_failure_noted = true;
    give_up(entry);
    if (entry.dir && entry.partition->offline_reason().code == Code::storage_io) {
        setup_.log_dirs->note_failure(*entry.dir, entry.partition->offline_reason());
    }
}

// A directory that failed on this core or another takes its partitions with it.
void Manager::follow_failures(Outbox& out) {
    const uint64_t failures = setup_.log_dirs->failure_count();
    if (failures == failures_seen_) {
        return;
    }
    failures_seen_ = failures;
    for (auto& [key, entry] : partitions_) {
        if (!entry.dir || entry.partition->is_offline()) {
            continue;
        }
        if (const storage::LogDir& dir = setup_.log_dirs->at(*entry.dir); dir.is_offline()) {
            fail(entry, dir.failure(), out);
        }
    }
}

void Manager::fail(Entry& entry, const Error& reason, Outbox& out) {
    entry.partition->take_offline(reason, out);
    give_up(entry);
    note_moved(*entry.partition);
    entry.is_failure_noted = true;
}

// Sealed segments are opened again when somebody reads them.
void Manager::close_spare_files() {
    const MonoTime now = setup_.ports.clock->mono();
    if (now < spare_files_at_) {
        return;
    }
    spare_files_at_ = now + kSpareFilesInterval;
    log_line(LogLevel::error, "out_of_descriptors",
             {{"core", setup_.ports.id.value()}, {"why", "raise the limit (ulimit -n)"}});
    for (auto& [key, entry] : partitions_) {
        if (storage::Log* log = entry.partition->log();
            log != nullptr && !entry.partition->is_flushing()) {
            log->close_sealed_files();
        }
    }
}

// Before records are written, those of a leader too, so that a directory whose space came back is
// used again.
void Manager::look_at_space(const Entry& entry) {
    if (!entry.dir) {
        return;
    }
    storage::LogDir& dir = setup_.log_dirs->at(*entry.dir);
    dir.look(*setup_.ports.disk, setup_.ports.clock->mono());
    entry.partition->set_low_space(dir.is_low());
}

// ---- requests -----------------------------------------------------------------------------------

void Manager::handle(PartitionRequest& request, CoreId from, Outbox& out) {
    Entry* entry = find_entry(request.key);
    if (entry == nullptr) {
        const bool is_elsewhere = setup_.is_known && setup_.is_known(request.key);
        const Code code = is_closed_     ? Code::shutting_down
                          : is_elsewhere ? Code::not_leader
                                         : Code::unknown_partition;
        out.answers.push_back({from, PartitionReply{request.request, request.index, Error(code)}});
        return;
    }
    follow_failures(out);
    Partition& partition = *entry->partition;
    if (const auto* move = std::get_if<MoveOp>(&request.op)) {
        out.answers.push_back(
            {from, PartitionReply{request.request, request.index, start_move(*entry, *move)}});
        note_failure(*entry);
        touch(partition); // a flush that the old move held up
        return;
    }
    const auto* append = std::get_if<AppendOp>(&request.op);
    const bool is_marker = std::holds_alternative<WriteMarkerOp>(request.op);
    // Another broker may lead it by now: nothing is written here, and no end of the log is told
    // that the other's readers have passed.
    const bool wants_leader =
        append != nullptr || is_marker || std::holds_alternative<DeleteRecordsOp>(request.op) ||
        (std::holds_alternative<ListOffsetOp>(request.op) && partition.leads_others());
    if (wants_leader && is_session_over()) {
        out.answers.push_back(
            {from, PartitionReply{request.request, request.index,
                                  Error(Code::not_leader, partition.name() +
                                                              ": the session with the metadata "
                                                              "store is over")}});
        return;
    }
    if (append != nullptr) {
        look_at_space(*entry);
    }
    const uint64_t full_before = setup_.counters->storage_full.value();
    partition.handle(request, from, setup_.ports.clock->mono(), setup_.ports.clock->wall(), out);
    read_in(out);
    note_failure(*entry);
    if (!out.answers.empty() && !out.answers.back().reply.result &&
        storage::is_out_of_descriptors(out.answers.back().reply.result.error())) {
        close_spare_files(); // the client tries again
    }
    if (std::holds_alternative<DescribeOp>(request.op) && out.answers.back().reply.result) {
        describe_move(request.key, std::get<DescribeResult>(*out.answers.back().reply.result));
    }
    if (append == nullptr && !is_marker) {
        if (std::holds_alternative<DeleteRecordsOp>(request.op)) {
            touch(partition); // it may wait for replicas
        }
        const auto* read = std::get_if<ReadOp>(&request.op);
        if (read != nullptr && !read->replica) {
            look_beyond_session(out);
        }
        if (read != nullptr &&
            read->replica) { // the high watermark may have risen, and the ISR grow
            note_moved(partition);
            isr_to_look_at_.push_back(request.key);
        }
        return;
    }
    touch(partition);
    if (entry->dir) {
        storage::LogDir& dir = setup_.log_dirs->at(*entry->dir);
        dir.note_written(is_marker ? protocol::kTransactionMarkerSize : append->batch.size());
        if (setup_.counters->storage_full.value() != full_before && !dir.is_low()) {
            dir.note_full();
        }
    }
}

Result<storage::AppendInfo> Manager::append_own(Partition& partition, ByteSpan batch, Outbox& out) {
    if (is_session_over()) {
        return Error(Code::not_coordinator,
                     partition.name() + ": the session with the metadata store is over");
    }
    Result<storage::AppendInfo> appended =
        partition.append_own(batch, setup_.ports.clock->mono(), setup_.ports.clock->wall(), out);
    if (Entry* entry = find_entry(partition.key())) {
        note_failure(*entry);
    }
    touch(partition);
    return appended;
}

void Manager::on_read_failed(Partition& partition, const Error& error, Outbox& out) {
    if (!Partition::breaks_the_log(error.code) || partition.is_offline()) {
        return;
    }
    partition.take_offline(error, out);
    if (Entry* entry = find_entry(partition.key())) {
        note_failure(*entry);
    }
}

void Manager::touch(Partition& partition) {
    note_moved(partition);
    if (partition.wants_flush()) {
        dirty_.push_back(partition.key());
    }
    if (const MonoTime due = partition.flush_due_at(); due != kMonoNever) {
        with_unflushed_.insert(partition.key());
        flush_at_ = std::min(flush_at_, due);
    }
    if (partition.has_parked() && with_parked_.insert(partition.key()).second &&
        expire_at_ == kMonoNever) {
        expire_at_ = setup_.ports.clock->mono() + kExpireInterval;
    }
}

void Manager::cancel_watch(CoreId core, Token request, const PartitionKey& key) {
    if (Partition* partition = find(key)) {
        partition->cancel_watch(core, request);
    }
    if (cold_reads_.size() == 0) {
        return;
    }
    std::vector<Token> over; // none would be answered, and each would arm a watch
    cold_reads_.for_each([&](Token token, const ColdRead& read) {
        if (read.from == core && read.request.request == request && read.request.key == key) {
            over.push_back(token);
        }
    });
    for (const Token token : over) {
        cold_reads_.erase(token);
    }
}

// ---- time ---------------------------------------------------------------------------------------

MonoTime Manager::next_due() const {
    MonoTime due = std::min({expire_at_, flush_at_, maintain_at_, recovery_points_at_,
                             lag_check_at_, compactor_.next_due(), mover_.next_due(),
                             look_at_damage_at_, scrubber_.next_due()});
    for (const auto& [leader, fetcher] : fetchers_) {
        due = std::min(due, fetcher.next_due());
    }
    return due;
}

void Manager::on_time(Outbox& out) {
    const MonoTime now = setup_.ports.clock->mono();
    if (expire_at_ <= now) {
        const bool is_over = is_session_over();
        for (auto at = with_parked_.begin(); at != with_parked_.end();) {
            Partition* partition = find(*at);
            if (partition != nullptr) {
                partition->expire(now, out);
                if (is_over) { // somebody else may lead it now, and have other records
                    partition->release_appends(Code::not_leader, out);
                }
            }
            at = partition == nullptr || !partition->has_parked() ? with_parked_.erase(at)
                                                                  : std::next(at);
        }
        expire_at_ = with_parked_.empty() ? kMonoNever : now + kExpireInterval;
    }
    if (lag_check_at_ <= now) {
        check_lag(out);
    }
    if (flush_at_ <= now) {
        flush_at_ = kMonoNever;
        for (const PartitionKey& key : std::exchange(with_unflushed_, {})) {
            if (Partition* partition = find(key)) {
                if (partition->flush_due_at() <= now) {
                    partition->on_flush_due();
                }
                touch(*partition);
            }
        }
    }
    if (maintain_at_ <= now) {
        maintain(now, out);
    }
    if (recovery_points_at_ <= now) {
        recovery_points_at_ = kMonoNever;
        write_recovery_points();
    }
    if (compactor_.next_due() <= now) {
        compact(out);
    }
    if (look_at_damage_at_ <= now) {
        look_at_damage();
    }
    if (scrubber_.next_due() <= now) {
        scrub(out);
    }
    if (mover_.next_due() <= now) {
        step_moves(out);
    }
}

// ---- stop ---------------------------------------------------------------------------------------

void Manager::release_waiters(Code code, Outbox& out) {
    for (auto& [key, entry] : partitions_) {
        entry.partition->release_waiters(code, out);
    }
    std::vector<Token> cold;
    cold_reads_.for_each([&](Token token, const ColdRead& read) {
        cold.push_back(token);
        out.answers.push_back(
            {read.from, PartitionReply{read.request.request, read.request.index, Error(code)}});
    });
    for (const Token token : cold) {
        cold_reads_.erase(token);
    }
    with_parked_.clear();
}

std::vector<storage::LogDirs::Closed> Manager::close() {
    mover_.clear();
    settle_file_systems();
    std::vector<storage::LogDirs::Closed> closed(setup_.log_dirs->size());
    const auto close_log = [&](Entry& entry, bool is_last_try) {
        storage::Log& log = *entry.partition->log();
        Result<void> result = log.close();
        if (!result && !log.failure() && !is_last_try) {
            return false;
        }
        storage::LogDirs::Closed& dir = closed[*entry.dir];
        if (result) {
            dir.states.push_back(log.state_for_checkpoint());
        } else {
            log_line(
                LogLevel::error, "partition_not_closed",
                {{"partition", entry.partition->name()}, {"error", to_string(result.error())}});
            dir.result = std::move(result);
        }
        return true;
    };
    std::vector<Entry*> left;
    for (auto& [key, entry] : partitions_) {
        if (!entry.dir) {
            continue; // in a directory that is offline as a whole
        }
        storage::Log* log = entry.partition->log();
        if (log == nullptr || entry.partition->is_offline()) {
            closed[*entry.dir].result =
                Error(Code::storage_offline, entry.partition->name() + " is offline");
        } else if (!close_log(entry, false)) {
            // Descriptors are short mostly: a log that was never flushed needs some more to close.
            // Each gives back what it has, and there are enough for the next ones, and in the end
            // for it.
            log->close_files();
            left.push_back(&entry);
        }
    }
    for (Entry* entry : left) {
        close_log(*entry, true);
    }
    is_closed_ = true; // no journal takes logs that are not there for settled ones
    partitions_.clear();
    close_journals(closed);
    return closed;
}

} // namespace qtool::replica
