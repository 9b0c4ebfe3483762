#include "server/replica/manager.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/replica/log_config.h"

#include <algorithm>
#include <utility>

namespace qtool::replica {

namespace {

constexpr Duration kExpireInterval = 100ms; // how exact produce timeouts are
constexpr Duration kRecoveryPointsInterval = 5s;
constexpr Duration kMaintainMax = 60s; // idle files are released at least this often

} // namespace

Manager::Manager(Setup setup) : setup_(std::move(setup)) {}

// ---- images -------------------------------------------------------------------------------------

void Manager::apply(const metadata::Image& image, const metadata::Delta& delta, Outbox& out) {
    for (const TopicId& id : delta.topics_deleted) {
        remove_topic(id, out);
    }
    const auto take = [&](const metadata::TopicImage& topic) {
        for (size_t i = 0; i < topic.partitions.size(); i++) {
            const PartitionIndex index(static_cast<int32_t>(i));
            if (!setup_.is_mine(PartitionKey{topic.id, index})) {
                continue;
            }
            if (Partition* known = find(PartitionKey{topic.id, index})) {
                known->apply(topic, out);
                touch(*known); // write.caching off: what is unsynced wants a flush now
            } else {
                open(topic, index, out);
            }
        }
    };
    const bool is_first = std::exchange(is_first_image_, false);
    if (is_first) {
        for (const auto& [id, topic] : image.topics_by_id) {
            take(*topic);
        }
    } else {
        for (const std::vector<TopicId>* ids : {&delta.topics_created, &delta.topics_changed}) {
            for (const TopicId& id : *ids) {
                const metadata::TopicImage* topic = image.topic(id);
                QT_ASSERT(topic != nullptr);
                take(*topic);
            }
        }
    }
    setup_.counters->partitions.set(partitions_.size());
    if (maintain_at_ == kMonoNever) {
        maintain_at_ = setup_.ports.clock->mono() + maintain_interval();
    }
}

void Manager::open(const metadata::TopicImage& topic, PartitionIndex index, Outbox& out) {
    const PartitionKey key{topic.id, index};
    std::string name = topic.name + "-" + std::to_string(index.value());
    Result<std::unique_ptr<storage::Log>> log =
        storage::Log::open(*setup_.ports.disk, setup_.data_dir->partition_path(topic.name, index),
                           make_log_config(topic.effective, setup_.producer_id_expiration_ms),
                           setup_.data_dir->hint(topic.id, index), setup_.ports.clock->wall());
    Entry& entry = partitions_[key];
    entry.epoch = next_epoch_++;
    entry.partition =
        std::make_unique<Partition>(key, std::move(name), setup_.self, std::move(log),
                                    setup_.producer_id_expiration_ms, *setup_.counters);
    entry.partition->apply(topic, out);
}

void Manager::remove_topic(const TopicId& id, Outbox& out) {
    auto at = partitions_.lower_bound(PartitionKey{id, PartitionIndex(0)});
    while (at != partitions_.end() && at->first.topic_id == id) {
        Partition& partition = *at->second.partition;
        partition.release_waiters(Code::unknown_topic, out);
        if (storage::Log* log = partition.log()) {
            if (Result<void> removed = log->remove_all(); !removed) {
                log_line(LogLevel::warn, "partition_files_kept",
                         {{"partition", partition.name()}, {"error", to_string(removed.error())}});
            }
        }
        with_parked_.erase(at->first);
        at = partitions_.erase(at);
    }
}

Partition* Manager::find(const PartitionKey& key) {
    const auto at = partitions_.find(key);
    return at == partitions_.end() ? nullptr : at->second.partition.get();
}

// ---- requests -----------------------------------------------------------------------------------

void Manager::handle(PartitionRequest& request, CoreId from, Outbox& out) {
    Partition* partition = find(request.key);
    if (partition == nullptr) {
        const Code code = is_closed_ ? Code::shutting_down : Code::unknown_partition;
        out.answers.push_back({from, PartitionReply{request.request, request.index, Error(code)}});
        return;
    }
    partition->handle(request, from, setup_.ports.clock->mono(), setup_.ports.clock->wall(), out);
    if (std::holds_alternative<AppendOp>(request.op)) {
        touch(*partition);
    }
}

void Manager::touch(Partition& partition) {
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
}

// ---- flushes ------------------------------------------------------------------------------------

void Manager::begin_flushes(Outbox& out) {
    for (const PartitionKey& key : std::exchange(dirty_, {})) {
        const auto at = partitions_.find(key);
        if (at == partitions_.end() || !at->second.partition->wants_flush()) {
            continue;
        }
        std::optional<storage::FlushWork> work = at->second.partition->begin_flush(out);
        if (!work) {
            continue; // it went offline
        }
        const size_t file_count = work->files.size();
        QT_ASSERT(file_count > 0);
        Flush flush;
        flush.partition = key;
        flush.epoch = at->second.epoch;
        flush.files_left = file_count;
        const std::vector<port::FileRef> files = work->files;
        flush.work = *std::move(work);
        const Token token = flushes_.emplace(std::move(flush));
        for (const port::FileRef& file : files) {
            setup_.ports.disk->sync(file, token);
        }
    }
}

bool Manager::on_synced(Token token, Result<void> result, Outbox& out) {
    Flush* flush = flushes_.find(token);
    if (flush == nullptr) {
        return false;
    }
    if (!result && flush->result) {
        flush->result = std::move(result);
    }
    if (--flush->files_left > 0) {
        return true;
    }
    const auto at = partitions_.find(flush->partition);
    if (at != partitions_.end() && at->second.epoch == flush->epoch) {
        Partition& partition = *at->second.partition;
        partition.on_flushed(flush->work, flush->result, out);
        if (partition.wants_flush()) {
            dirty_.push_back(flush->partition); // what was written meanwhile rides the next one
        }
        if (recovery_points_at_ == kMonoNever) {
            recovery_points_at_ = setup_.ports.clock->mono() + kRecoveryPointsInterval;
        }
    }
    flushes_.erase(token);
    return true;
}

// ---- time ---------------------------------------------------------------------------------------

Duration Manager::maintain_interval() const {
    return std::min(setup_.retention_check_interval, kMaintainMax);
}

MonoTime Manager::next_due() const {
    return std::min({expire_at_, flush_at_, maintain_at_, recovery_points_at_});
}

void Manager::on_time(Outbox& out) {
    const MonoTime now = setup_.ports.clock->mono();
    if (expire_at_ <= now) {
        for (auto at = with_parked_.begin(); at != with_parked_.end();) {
            Partition* partition = find(*at);
            if (partition != nullptr) {
                partition->expire(now, out);
            }
            at = partition == nullptr || !partition->has_parked() ? with_parked_.erase(at)
                                                                  : std::next(at);
        }
        expire_at_ = with_parked_.empty() ? kMonoNever : now + kExpireInterval;
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
        const WallTime wall = setup_.ports.clock->wall();
        for (auto& [key, entry] : partitions_) {
            entry.partition->maintain(wall, now, out);
            touch(*entry.partition);
        }
        maintain_at_ = now + maintain_interval();
    }
    if (recovery_points_at_ <= now) {
        recovery_points_at_ = kMonoNever;
        write_recovery_points();
    }
}

void Manager::write_recovery_points() {
    std::vector<storage::PartitionState> states;
    states.reserve(partitions_.size());
    for (auto& [key, entry] : partitions_) {
        if (storage::Log* log = entry.partition->log()) {
            states.push_back(log->state_for_checkpoint());
        }
    }
    // Only hints are lost when this fails: recovery then reads more of the log.
    if (Result<void> written =
            setup_.data_dir->write_recovery_points(*setup_.ports.disk, setup_.ports.id, states);
        !written) {
        log_line(LogLevel::warn, "recovery_points_not_written",
                 {{"error", to_string(written.error())}});
    }
}

// ---- stop ---------------------------------------------------------------------------------------

void Manager::release_waiters(Code code, Outbox& out) {
    for (auto& [key, entry] : partitions_) {
        entry.partition->release_waiters(code, out);
    }
    with_parked_.clear();
}

Result<std::vector<storage::PartitionState>> Manager::close() {
    std::vector<storage::PartitionState> states;
    Result<void> clean;
    for (auto& [key, entry] : partitions_) {
        storage::Log* log = entry.partition->log();
        if (log == nullptr || entry.partition->is_offline()) {
            clean = Error(Code::storage_offline, entry.partition->name() + " is offline");
            continue;
        }
        if (Result<void> closed = log->close(); !closed) {
            log_line(
                LogLevel::error, "partition_not_closed",
                {{"partition", entry.partition->name()}, {"error", to_string(closed.error())}});
            clean = std::move(closed);
            continue;
        }
        states.push_back(log->state_for_checkpoint());
    }
    partitions_.clear();
    is_closed_ = true;
    if (!clean) {
        return std::move(clean).error();
    }
    return states;
}

} // namespace qtool::replica
