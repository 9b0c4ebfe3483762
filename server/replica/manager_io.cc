// Manager: what waits for the device, off the loop: reads of what is not in memory, and flushes.
#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/replica/manager.h"

#include <algorithm>
#include <utility>

namespace qtool::replica {

namespace {

constexpr Duration kRecoveryPointsInterval = 5s;
constexpr Duration kFlushRetryInterval = 100ms; // when there was no descriptor for a flush
constexpr Duration kSettleRetryInterval = 1s;
constexpr size_t kSettlingMax = 8; // logs of a core and directory that are synced on their own

} // namespace

// ---- reads of what is not in memory -------------------------------------------------------------

void Manager::read_in(Outbox& out) {
    for (Outbox::ColdRead& read : std::exchange(out.cold_reads, {})) {
        if (std::get<ReadOp>(read.request.op).read_ins_left == kReadInsMax) {
            setup_.counters->cold_reads.add();
        }
        const Token token = cold_reads_.emplace(ColdRead{read.core, std::move(read.request)});
        setup_.ports.disk->read_in(std::move(read.absent), token);
    }
}

// All is asked anew: meanwhile the partition may be gone, led by another, or cut. Whether bytes
// that could not be read in matter shows when the log needs them.
void Manager::on_read_in(Token token, const Result<void>& result, Outbox& out) {
    ColdRead* waiting = cold_reads_.find(token);
    if (waiting == nullptr) {
        return;
    }
    ColdRead read = std::move(*waiting);
    cold_reads_.erase(token);
    auto& op = std::get<ReadOp>(read.request.op);
    op.read_ins_left = result ? op.read_ins_left - 1 : 0;
    handle(read.request, read.from, out);
}

// ---- flushes ------------------------------------------------------------------------------------

void Manager::flush_later(const PartitionKey& key, MonoTime at) {
    with_unflushed_.insert(key);
    flush_at_ = std::min(flush_at_, at);
}

// Nothing: not now, or it is offline.
std::optional<storage::FlushWork> Manager::begin_flush(Entry& entry, const PartitionKey& key,
                                                       Outbox& out) {
    Partition& partition = *entry.partition;
    std::optional<storage::FlushWork> work;
    switch (partition.offer_to_journal()) {
    case storage::FlushJournal::Answer::wait:
        journals_[entry.dir.value()].waiting.insert(key);
        return std::nullopt;
    case storage::FlushJournal::Answer::take:
        work = partition.begin_journaled_flush(out);
        break;
    case storage::FlushJournal::Answer::full:
        setup_.counters->journal_full.add();
        [[fallthrough]];
    case storage::FlushJournal::Answer::refuse:
        work = partition.begin_flush(out);
        break;
    }
    if (!work) {
        note_failure(entry);
        partition.note_synced(out);    // somebody else may have synced it
        if (partition.wants_flush()) { // out of descriptors
            close_spare_files();
            flush_later(key, setup_.ports.clock->mono() + kFlushRetryInterval);
        }
    }
    return work;
}

void Manager::begin_flushes(Outbox& out) {
    if (is_closed_) {
        return;
    }
    follow_failures(out);
    settle_logs();
    // Of log directories with new logs. All appends of the turn are done, so one sync serves all.
    std::map<size_t, Token> parents;
    for (const PartitionKey& key : std::exchange(dirty_, {})) {
        const auto at = partitions_.find(key);
        if (at == partitions_.end() || !at->second.partition->wants_flush() ||
            mover_.is_ready(key)) { // then it is flushed by the move
            continue;
        }
        std::optional<storage::FlushWork> work = begin_flush(at->second, key, out);
        if (!work) {
            continue;
        }
        Flush flush;
        flush.partition = key;
        flush.epoch = at->second.epoch;
        flush.begun_at = setup_.ports.clock->mono();
        flush.files_left = work->is_journaled ? 1 : work->files.size();
        QT_ASSERT(flush.files_left > 0);
        std::vector<port::FileRef> files = work->files;
        const bool has_parent = work->has_parent;
        const bool is_journaled = work->is_journaled;
        flush.work = *std::move(work);
        const Token token = flushes_.emplace(std::move(flush));
        if (is_journaled) {
            journals_[at->second.dir.value()].collected.push_back(token);
        }
        if (has_parent) {
            const auto [parent, is_first] = parents.try_emplace(at->second.dir.value());
            if (is_first) {
                Flush shared;
                shared.of = FlushOf::parent;
                parent->second = flushes_.emplace(std::move(shared));
                setup_.ports.disk->sync(files.back(), parent->second);
            }
            flushes_.find(parent->second)->sharers.push_back(token);
            files.pop_back();
        }
        for (port::FileRef& file : files) {
            setup_.ports.disk->sync(std::move(file), token);
        }
    }
    begin_journal_flushes();
}

void Manager::begin_journal_flushes() {
    const MonoTime now = setup_.ports.clock->mono();
    for (size_t i = 0; i < journals_.size(); i++) {
        Journal& in = journals_[i];
        if (in.collected.empty()) {
            continue;
        }
        std::vector<Token> collected = std::exchange(in.collected, {});
        Result<port::FileRef> file = in.journal->begin_flush();
        if (file) {
            setup_.counters->flushes_journaled.add(collected.size());
            setup_.counters->journal_syncs.add();
            Flush shared;
            shared.of = FlushOf::journal;
            shared.dir = i;
            shared.sharers = std::move(collected);
            setup_.ports.disk->sync(*std::move(file), flushes_.emplace(std::move(shared)));
            continue;
        }
        refuse(collected);
        for (const PartitionKey& key : std::exchange(in.waiting, {})) {
            flush_later(key, now);
        }
    }
}

// Nobody was told of what the journal was to make durable: each log is to be flushed on its own.
void Manager::refuse(const std::vector<Token>& flushes) {
    for (const Token token : flushes) {
        const Flush& flush = *flushes_.find(token);
        const auto at = partitions_.find(flush.partition);
        if (at != partitions_.end() && at->second.epoch == flush.epoch) {
            at->second.partition->on_flush_refused();
            flush_later(flush.partition, setup_.ports.clock->mono());
            mover_.wake(flush.partition, setup_.ports.clock->mono());
        }
        flushes_.erase(token);
    }
}

void Manager::on_journal_synced(Token token, const Result<void>& result, Outbox& out) {
    const Flush flush = std::move(*flushes_.find(token));
    flushes_.erase(token);
    Journal& in = journals_[flush.dir];
    if (flush.of == FlushOf::emptying) {
        in.journal->end_emptying(result);
        return;
    }
    if (Result<void> flushed = in.journal->end_flush(result); !flushed) {
        setup_.counters->flush_errors.add();
        refuse(flush.sharers);
    } else {
        for (const Token sharer : flush.sharers) {
            on_synced(sharer, result, out);
        }
    }
    dirty_.insert(dirty_.end(), in.waiting.begin(), in.waiting.end());
    in.waiting.clear();
}

// A file of a journal that is full is free once all logs in it are synced on their own, some at a
// time: their flushes share the device with those that somebody waits for.
void Manager::settle_logs() {
    const MonoTime now = setup_.ports.clock->mono();
    for (size_t i = 0; i < journals_.size(); i++) {
        Journal& in = journals_[i];
        if (!in.journal->is_settling() || now < in.settle_at) {
            continue;
        }
        std::erase_if(in.settling, [&](const PartitionKey& key) {
            Partition* partition = find(key);
            if (partition == nullptr || partition->log() == nullptr ||
                partition->log()->is_settled()) {
                return true;
            }
            if (partition->is_offline()) { // until a start puts back what the journal has
                in.unsettled.push_back(key);
                return true;
            }
            return false;
        });
        while (in.settling.size() < kSettlingMax) {
            const std::optional<PartitionKey> key = in.journal->next_to_settle();
            if (!key) {
                break;
            }
            if (Partition* partition = find(*key); partition != nullptr &&
                                                   partition->log() != nullptr &&
                                                   !partition->log()->is_settled()) {
                partition->log()->settle();
                in.settling.insert(*key);
                dirty_.push_back(*key);
            }
        }
        if (!in.settling.empty()) {
            continue;
        }
        if (port::FileRef file = in.journal->end_settling(std::exchange(in.unsettled, {}))) {
            Flush flush;
            flush.of = FlushOf::emptying;
            flush.dir = i;
            setup_.ports.disk->sync(std::move(file), flushes_.emplace(std::move(flush)));
        }
        in.settle_at = in.journal->is_settling() ? now + kSettleRetryInterval : MonoTime{};
    }
}

bool Manager::on_synced(Token token, Result<void> result, Outbox& out) {
    Flush* flush = flushes_.find(token);
    if (flush == nullptr) {
        return false;
    }
    if (flush->of == FlushOf::parent) {
        const std::vector<Token> sharers = std::move(flush->sharers);
        flushes_.erase(token);
        for (const Token sharer : sharers) {
            on_synced(sharer, result, out);
        }
        return true;
    }
    if (flush->of == FlushOf::journal || flush->of == FlushOf::emptying) {
        on_journal_synced(token, result, out);
        return true;
    }
    if (!result && flush->result) {
        flush->result = std::move(result);
    }
    if (--flush->files_left > 0) {
        return true;
    }
    if (flush->of == FlushOf::move) {
        mover_.on_synced(flush->move_number, flush->result, setup_.ports.clock->mono());
        flushes_.erase(token);
        return true;
    }
    if (flush->of == FlushOf::compaction) {
        compactor_.on_synced(find(flush->partition), flush->result, setup_.ports.clock->mono());
        flushes_.erase(token);
        return true;
    }
    const MonoTime now = setup_.ports.clock->mono();
    setup_.counters->flush_time.observe(now - flush->begun_at);
    const auto at = partitions_.find(flush->partition);
    if (at != partitions_.end() && at->second.epoch == flush->epoch) {
        Partition& partition = *at->second.partition;
        partition.on_flushed(flush->work, flush->result, now, out);
        note_failure(at->second);
        if (partition.wants_flush()) {
            dirty_.push_back(flush->partition); // what was written meanwhile rides the next one
        }
        mover_.wake(flush->partition, setup_.ports.clock->mono());
        if (recovery_points_at_ == kMonoNever) {
            recovery_points_at_ = now + kRecoveryPointsInterval;
        }
    }
    flushes_.erase(token);
    return true;
}

// ---- stop ---------------------------------------------------------------------------------------

// Thousands of logs, each synced on its own, would take long.
void Manager::settle_file_systems() {
    for (size_t i = 0; i < journals_.size(); i++) {
        std::vector<storage::Log*> unsettled;
        for (auto& [key, entry] : partitions_) {
            storage::Log* log = entry.partition->log();
            if (entry.dir == i && log != nullptr && !entry.partition->is_offline() &&
                !log->is_settled()) {
                unsettled.push_back(log);
            }
        }
        if (unsettled.size() <= setup_.settled_one_by_one_max ||
            !std::all_of(unsettled.begin(), unsettled.end(),
                         [](storage::Log* log) { return log->prepare_to_settle().has_value(); }) ||
            !setup_.ports.disk->sync_file_system(setup_.log_dirs->at(i).path())) {
            continue; // each on its own, which shows what is wrong
        }
        for (storage::Log* log : unsettled) {
            log->on_file_system_synced();
        }
    }
}

// Of directories in which every log is closed: there is nothing to put back. Else the next start
// does that.
void Manager::close_journals(const std::vector<storage::LogDirs::Closed>& closed) {
    for (size_t i = 0; i < journals_.size(); i++) {
        if (!closed[i].result) {
            continue;
        }
        if (Result<void> removed = journals_[i].journal->remove(); !removed) {
            log_line(LogLevel::warn, "flush_journal_kept",
                     {{"directory", setup_.log_dirs->at(i).path()},
                      {"error", to_string(removed.error())}});
        }
    }
}

} // namespace qtool::replica
