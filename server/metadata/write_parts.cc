#include "server/metadata/write_parts.h"

#include <iterator>
#include <optional>

namespace qtool::metadata {

namespace {

void append(std::vector<port::StoreWrite>& to, std::vector<port::StoreWrite>& from) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

port::StoreTransaction whole(std::vector<WriteUnit>& units) {
    port::StoreTransaction transaction;
    for (WriteUnit& unit : units) {
        transaction.guards.insert(transaction.guards.end(), unit.guards.begin(), unit.guards.end());
        append(transaction.writes, unit.first);
        append(transaction.writes, unit.last);
    }
    return transaction;
}

} // namespace

WriteParts::WriteParts(std::vector<WriteUnit> units, size_t max) {
    size_t writes = 0;
    size_t guards = 0;
    for (const WriteUnit& unit : units) {
        writes += unit.first.size() + unit.last.size();
        guards += unit.guards.size();
    }
    if (writes == 0 && guards == 0) {
        return;
    }
    if (writes <= max && guards <= max) {
        parts_.push_back(whole(units));
        return;
    }
    port::StoreTransaction part;
    const auto flush = [&] {
        if (!part.writes.empty()) {
            parts_.push_back(std::exchange(part, {}));
        }
    };
    const auto add_guards = [&](const WriteUnit& unit) {
        part.guards.insert(part.guards.end(), unit.guards.begin(), unit.guards.end());
    };
    std::vector<std::optional<Fence>> fences(units.size());
    for (size_t unit_index = 0; unit_index < units.size(); unit_index++) {
        WriteUnit& unit = units[unit_index];
        bool is_guarded = false;
        for (port::StoreWrite& write : unit.first) {
            if (part.writes.size() == max ||
                (!is_guarded && part.guards.size() + unit.guards.size() > max)) {
                flush();
                is_guarded = false;
            }
            if (!is_guarded) {
                add_guards(unit);
                is_guarded = true;
            }
            if (!fences[unit_index] && write.value && !unit.last.empty()) {
                fences[unit_index] = Fence{parts_.size(), 0, write};
            }
            firsts_.push_back({parts_.size(), unit_index, write.key});
            part.writes.push_back(std::move(write));
        }
    }
    flush();
    size_t fenced = 0; // of this part: a guard and a write each, which come when they are known
    const auto flush_last = [&] {
        flush();
        fenced = 0;
    };
    for (size_t unit_index = 0; unit_index < units.size(); unit_index++) {
        WriteUnit& unit = units[unit_index];
        if (unit.last.empty()) {
            last_parts_.push_back(0); // nothing is missing
            continue;
        }
        std::optional<Fence>& fence = fences[unit_index];
        const size_t more = fenced + (fence ? 1 : 0);
        if (part.writes.size() + unit.last.size() + more > max ||
            part.guards.size() + unit.guards.size() + more > max) {
            flush_last();
        }
        add_guards(unit);
        append(part.writes, unit.last);
        last_parts_.push_back(parts_.size());
        if (fence) {
            fenced++;
            fence->last = parts_.size();
            fences_.push_back(*std::move(fence));
        }
    }
    flush_last();
}

bool WriteParts::advance(Revision committed) {
    for (const Fence& fence : fences_) {
        if (fence.first == next_) {
            parts_[fence.last].guards.push_back({fence.write.key, committed});
            parts_[fence.last].writes.push_back(fence.write);
        }
    }
    next_++;
    return next_ < parts_.size();
}

std::vector<std::string> WriteParts::half_made() const {
    std::vector<std::string> keys;
    for (const First& first : firsts_) {
        if (first.part < next_ && last_parts_[first.unit] >= next_) {
            keys.push_back(first.key);
        }
    }
    return keys;
}

} // namespace qtool::metadata
