#include "tests/sim/checker.h"

#include <algorithm>

namespace qtool::sim {

namespace {

uint16_t producer_of(Value value) {
    return static_cast<uint16_t>(value >> 48);
}

Value make_value(uint16_t producer, uint16_t partition, uint32_t counter) {
    return (Value{producer} << 48) | (Value{partition} << 32) | counter;
}

} // namespace

std::string to_text(Value value) {
    return "p" + std::to_string(producer_of(value)) + "#" +
           std::to_string(static_cast<uint32_t>(value));
}

uint16_t Checker::add_partition(std::string name, std::optional<Duration> retention) {
    partitions_.push_back(Partition{});
    partitions_.back().name = std::move(name);
    partitions_.back().retention = retention;
    return static_cast<uint16_t>(partitions_.size() - 1);
}

uint16_t Checker::add_producer(bool is_idempotent) {
    idempotent_.push_back(is_idempotent);
    return static_cast<uint16_t>(idempotent_.size() - 1);
}

void Checker::violate(const Partition& partition, const std::string& what) {
    world_.violate(partition.name + ": " + what);
}

Value Checker::new_value(uint16_t producer, uint16_t partition) {
    Partition& to = partitions_[partition];
    const Value value = make_value(producer, partition, to.sent[producer]++);
    if (to.retention) {
        to.made_at.emplace(value, world_.now());
    }
    return value;
}

void Checker::place(uint16_t number, int64_t offset, Value value, const char* how) {
    Partition& partition = partitions_[number];
    const uint16_t producer = producer_of(value);
    const std::string text = to_text(value) + " " + how + " at offset " + std::to_string(offset);
    if (static_cast<uint16_t>(value >> 32) != number || producer >= idempotent_.size() ||
        static_cast<uint32_t>(value) >= partition.sent[producer]) {
        violate(partition, text + " was never sent to this partition");
        return;
    }
    const auto [known, is_new] = partition.values.emplace(offset, value);
    if (known->second != value) {
        violate(partition, text + ", but there was " + to_text(known->second));
        return;
    }
    if (!is_new || !idempotent_[producer]) {
        return;
    }
    const auto [at, is_first] = partition.places.emplace(value, Place{offset, offset});
    if (!is_first) {
        const Place both{std::min(at->second.first, offset), std::max(at->second.last, offset)};
        if (at->second.first != at->second.last || !may_be_again(partition, at, both)) {
            violate(partition,
                    text + " is a duplicate: it was at " + std::to_string(at->second.last));
            return;
        }
        at->second = both;
    }
    // Neighbours of the same producer, by counter.
    if (at != partition.places.begin()) {
        const auto before = std::prev(at);
        if (producer_of(before->first) == producer &&
            !is_in_order(partition, before->second, at->second)) {
            violate(partition, text + " is out of order: " + to_text(before->first) + " is at " +
                                   std::to_string(before->second.last));
        }
    }
    const auto behind = std::next(at);
    if (behind != partition.places.end() && producer_of(behind->first) == producer &&
        !is_in_order(partition, at->second, behind->second)) {
        violate(partition, text + " is out of order: " + to_text(behind->first) + " is at " +
                               std::to_string(behind->second.last));
    }
}

// The last restart below the second copy is the one that forgot most. What a replica read from
// there on tells it which sequence comes next: with a later value in it, this one is refused or
// known.
bool Checker::may_be_again(const Partition& partition, Places::const_iterator at, Place place) {
    const auto above = partition.restarts.upper_bound(place.last);
    if (above == partition.restarts.begin() || *std::prev(above) <= place.first) {
        return false;
    }
    const int64_t restart = *std::prev(above);
    for (auto later = std::next(at);
         later != partition.places.end() && producer_of(later->first) == producer_of(at->first);
         ++later) {
        for (const int64_t offset : {later->second.first, later->second.last}) {
            if (offset >= restart && offset < place.last) {
                return false;
            }
        }
    }
    return true;
}

// `low` was sent before `high`. When `low` was written again, `high` may only have its forgotten
// copy yet; and nobody may have read the forgotten copy of `low` before it was deleted.
bool Checker::is_in_order(const Partition& partition, Place low, Place high) {
    const auto restart = partition.restarts.upper_bound(high.last);
    const bool may_be_forgotten = restart != partition.restarts.end() && *restart <= low.last;
    if (low.first > high.first) {
        return may_be_forgotten && low.first == low.last;
    }
    return low.last <= high.last || (may_be_forgotten && low.first != low.last);
}

void Checker::on_restarted(std::string_view name, int64_t offset) {
    for (Partition& partition : partitions_) {
        if (partition.name == name) {
            partition.restarts.insert(offset);
        }
    }
}

void Checker::on_acknowledged(uint16_t partition, int64_t offset, Value value) {
    acknowledged_++;
    place(partition, offset, value, "acknowledged");
    Known& known = partitions_[partition].known;
    known.high_watermark = std::max(known.high_watermark, offset + 1);
}

void Checker::on_read(uint16_t partition, int64_t offset, Value value) {
    read_++;
    place(partition, offset, value, "read");
}

void Checker::on_led(uint16_t number, int64_t offset, const std::string& address) {
    Partition& partition = partitions_[number];
    const auto known = partition.epochs.find(offset);
    if (known == partition.epochs.end()) {
        partition.led[offset] = address;
    } else {
        note_leader(partition, offset, known->second, address);
    }
}

void Checker::note_leader(Partition& partition, int64_t offset, int32_t epoch,
                          const std::string& address) {
    const auto [leader, is_new] = partition.leaders.emplace(epoch, address);
    if (leader->second != address) {
        violate(partition, "offset " + std::to_string(offset) + " of leader epoch " +
                               std::to_string(epoch) + " was taken by " + address + ", but " +
                               leader->second + " led in that epoch");
    }
}

// Neighbours are looked at where they are known: epochs never fall along the log.
void Checker::on_epoch(uint16_t number, int64_t offset, int32_t epoch) {
    Partition& partition = partitions_[number];
    const auto [at, is_new] = partition.epochs.emplace(offset, epoch);
    if (at->second != epoch) {
        violate(partition, "offset " + std::to_string(offset) + " has leader epoch " +
                               std::to_string(epoch) + ", but it had " +
                               std::to_string(at->second));
        return;
    }
    if (!is_new) {
        return;
    }
    const auto behind = std::next(at);
    if ((at != partition.epochs.begin() && std::prev(at)->second > epoch) ||
        (behind != partition.epochs.end() && behind->second < epoch)) {
        violate(partition, "leader epoch " + std::to_string(epoch) + " at offset " +
                               std::to_string(offset) + " is out of order");
        return;
    }
    if (const auto led = partition.led.find(offset); led != partition.led.end()) {
        note_leader(partition, offset, epoch, led->second);
        partition.led.erase(led);
    }
}

Checker::Known Checker::known(uint16_t number, int32_t epoch) const {
    const Partition& partition = partitions_[number];
    Known known = partition.known;
    known.epoch = epoch;
    if (const auto told = partition.in_epoch.find(epoch); told != partition.in_epoch.end()) {
        known.epoch_high_watermark = told->second.high_watermark;
        known.epoch_log_start = told->second.log_start;
    }
    return known;
}

void Checker::on_watermarks(uint16_t number, Known before, int64_t high_watermark,
                            int64_t log_start) {
    Partition& partition = partitions_[number];
    const int64_t high_min = is_replicated_ ? before.epoch_high_watermark : before.high_watermark;
    if (high_watermark < high_min) {
        violate(partition, "the high watermark is " + std::to_string(high_watermark) +
                               ", but offsets below " + std::to_string(high_min) +
                               " were acknowledged or readable");
    }
    const int64_t start_min = is_replicated_ ? before.epoch_log_start : before.log_start;
    if (log_start < start_min) {
        violate(partition, "the log start fell from " + std::to_string(start_min) + " to " +
                               std::to_string(log_start));
    }
    if (before.epoch >= 0) {
        Known& told = partition.in_epoch[before.epoch];
        told.high_watermark = std::max(told.high_watermark, high_watermark);
        told.log_start = std::max(told.log_start, log_start);
    }
    if (log_start > partition.known.log_start && !may_start_at(number, log_start)) {
        violate(partition, "the log starts at " + std::to_string(log_start) +
                               ", but deletion was asked for below " +
                               std::to_string(partition.delete_asked) +
                               " only, and retention could not go so far");
    }
    partition.known.high_watermark = std::max(partition.known.high_watermark, high_watermark);
    if (!is_replicated_) {
        partition.known.log_start = std::max(partition.known.log_start, log_start);
    }
}

void Checker::on_end(uint16_t number, Known before, int64_t end) {
    if (end < before.high_watermark) {
        violate(partitions_[number],
                "the log ends at " + std::to_string(end) + ", but offsets below " +
                    std::to_string(before.high_watermark) + " were acknowledged or readable");
    }
}

// Of what is known to be at an offset. A segment goes when all of it is too old, so each record is.
bool Checker::may_start_at(uint16_t number, int64_t offset) const {
    const Partition& partition = partitions_[number];
    const int64_t gone = std::max(partition.delete_asked, partition.known.log_start);
    if (offset <= gone) {
        return true;
    }
    if (!partition.retention) {
        return false;
    }
    const auto from = partition.values.lower_bound(gone);
    const auto end = partition.values.lower_bound(offset);
    return std::all_of(from, end, [&](const auto& at) {
        const auto made = partition.made_at.find(at.second);
        return made == partition.made_at.end() ||
               world_.now() + clock_ahead_ + 2ms - made->second > *partition.retention;
    });
}

void Checker::on_delete_asked(uint16_t partition, int64_t offset) {
    int64_t& asked = partitions_[partition].delete_asked;
    asked = std::max(asked, offset);
}

void Checker::on_delete_done(uint16_t partition, int64_t low_watermark) {
    Known& known = partitions_[partition].known;
    known.log_start = std::max(known.log_start, low_watermark);
}

void Checker::on_producer_id(int64_t producer_id) {
    if (producer_id < 0 || !producer_ids_.emplace(producer_id, true).second) {
        world_.violate("producer id " + std::to_string(producer_id) + " was given out twice");
    }
}

} // namespace qtool::sim
