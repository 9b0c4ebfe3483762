#include "tests/sim/keyed_log.h"

#include <algorithm>

namespace qtool::sim {

std::string KeyedLog::describe(Id id) const {
    const Record& record = records_[id];
    return (record.is_tombstone ? "tombstone #" : "record #") + std::to_string(id) + " of " +
           record.key;
}

// Ages mean nothing to the broker once its clock has jumped.
bool KeyedLog::clock_is_steady() const {
    return world_.faults()[static_cast<size_t>(Fault::clock_jump)] == 0;
}

KeyedLog::Id KeyedLog::on_made(std::optional<uint16_t> producer, std::string key,
                               bool is_tombstone) {
    records_.push_back({std::move(key), producer, is_tombstone, world_.now(), 0, std::nullopt});
    return records_.size() - 1;
}

void KeyedLog::on_sent(Id id) {
    Record& record = records_[id];
    record.sends++;
    if (!record.offset || !record.producer) {
        doubts_[record.key].insert(id);
    }
}

void KeyedLog::place(Id id, int64_t offset, const char* how) {
    if (id >= records_.size() || records_[id].sends == 0) {
        violate("record #" + std::to_string(id) + " was never sent here");
        return;
    }
    Record& record = records_[id];
    const auto [known, is_new] = offsets_.emplace(offset, id);
    if (known->second != id) {
        violate(describe(id) + " " + how + " at offset " + std::to_string(offset) +
                ", but there was " + describe(known->second));
        return;
    }
    if (!is_new) {
        return;
    }
    by_key_[record.key].insert(offset);
    if (!record.offset) {
        record.offset = offset;
        // A retry of a producer without sequences may be there once more.
        if (record.producer || record.sends == 1) {
            doubts_[record.key].erase(id);
        }
    } else if (record.producer) {
        violate(describe(id) + " " + how + " at offset " + std::to_string(offset) +
                " is a duplicate: it was at " + std::to_string(*record.offset));
        return;
    }
    if (record.producer) {
        std::map<Id, int64_t>& order = order_[*record.producer];
        const auto at = order.emplace(id, offset).first;
        if ((at != order.begin() && std::prev(at)->second > offset) ||
            (std::next(at) != order.end() && std::next(at)->second < offset)) {
            violate(describe(id) + " " + how + " at offset " + std::to_string(offset) +
                    " is out of order");
        }
    }
}

void KeyedLog::on_acknowledged(Id id, int64_t offset) {
    place(id, offset, "acknowledged");
    known_.high_watermark = std::max(known_.high_watermark, offset + 1);
}

void KeyedLog::on_watermarks(Known before, int64_t high_watermark, int64_t log_start) {
    if (high_watermark < before.high_watermark) {
        violate("the high watermark is " + std::to_string(high_watermark) + ", but offsets below " +
                std::to_string(before.high_watermark) + " were acknowledged or readable");
    }
    if (log_start < before.log_start) {
        violate("the log start fell from " + std::to_string(before.log_start) + " to " +
                std::to_string(log_start));
    }
    if (log_start > 0 && !rules_.may_delete) {
        violate("the log starts at " + std::to_string(log_start) + ", but only compaction is on");
    }
    known_.high_watermark = std::max(known_.high_watermark, high_watermark);
    known_.log_start = std::max(known_.log_start, log_start);
}

bool KeyedLog::in_doubt(const std::string& key, int64_t offset) const {
    const auto behind = by_key_.find(key);
    if (behind != by_key_.end() && *behind->second.rbegin() > offset) {
        return true;
    }
    const auto doubts = doubts_.find(key);
    return doubts != doubts_.end() && !doubts->second.empty();
}

void KeyedLog::check_skipped(const Reading& reading, int64_t offset, MonoTime asked_at) {
    const Id id = offsets_.at(offset);
    const Record& record = records_[id];
    const std::string text = describe(id) + " at offset " + std::to_string(offset);
    const Duration age = world_.now() - record.made_at;
    gone_.emplace(offset, world_.now());
    if (offset < known_.log_start) {
        return;
    }
    if (clock_is_steady() && age + 2ms < rules_.min_lag) {
        violate(text + " is gone before min.compaction.lag.ms are over");
        return;
    }
    if (in_doubt(record.key, offset)) {
        return; // superseded
    }
    if (!record.is_tombstone) {
        violate(text + " is lost: no reader sees it, and no later one of its key exists");
        return;
    }
    if (!clock_is_steady()) {
        return;
    }
    if (age + 2ms < rules_.delete_retention) {
        violate(text + " is gone before delete.retention.ms are over");
        return;
    }
    // The older value was there when this reader was, so the tombstone has its time from then on.
    // Half of it leaves room for how long one run of compaction takes.
    const auto last = reading.last.find(record.key);
    if (last != reading.last.end() && !last->second.is_tombstone &&
        asked_at - last->second.asked_at < rules_.delete_retention / 2 &&
        world_.now() - last->second.asked_at < rules_.delete_retention / 2) {
        violate(record.key + " came back to life: a reader saw a value of it, but not the " + text);
    }
}

void KeyedLog::on_passed(Reading& reading, int64_t end, const std::vector<Seen>& seen,
                         MonoTime asked_at) {
    auto next = seen.begin();
    for (const Seen& record : seen) {
        if (record.id < records_.size() &&
            (records_[record.id].key != record.key ||
             records_[record.id].is_tombstone != record.is_tombstone)) {
            violate(describe(record.id) + " was read with another key or value");
            return;
        }
        place(record.id, record.offset, "read");
        const auto gone = gone_.find(record.offset);
        if (gone != gone_.end() && gone->second < asked_at) {
            violate(describe(record.id) + " at offset " + std::to_string(record.offset) +
                    " was gone and is back");
        }
        if (world_.violation()) {
            return;
        }
    }
    for (auto at = offsets_.lower_bound(reading.position); at != offsets_.end() && at->first < end;
         ++at) {
        while (next != seen.end() && next->offset < at->first) {
            ++next;
        }
        if (next != seen.end() && next->offset == at->first) {
            reading.last[next->key] = {next->is_tombstone, asked_at};
            continue;
        }
        check_skipped(reading, at->first, asked_at);
        if (world_.violation()) {
            return;
        }
    }
    reading.position = std::max(reading.position, end);
}

} // namespace qtool::sim
