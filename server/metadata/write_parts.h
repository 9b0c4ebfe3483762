// WriteParts: one decision cut into transactions that fit the store. What only counts once its key
// is there (partitions of a topic that is made) goes first, the keys last; so whatever the last
// transaction is that is written, an image shows things whole or not at all. Pure; for any thread.
//
// What was written first and is not shown for long, the controller deletes. So that it never
// deletes half of what is then shown, the last transaction writes the unit's first key anew,
// guarded by the revision it has: of the two, who is late meets a conflict.
#pragma once

#include "server/port/metadata_store.h"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace qtool::metadata {

/// What belongs to one topic.
struct WriteUnit {
    std::vector<port::StoreGuard> guards; // of every transaction it is in; a few
    std::vector<port::StoreWrite> first;  // any number, in the order of partitions
    std::vector<port::StoreWrite> last;   // in one transaction; a few
};

class WriteParts {
public:
    WriteParts() = default;
    /// One transaction where that has at most `max` writes and guards.
    WriteParts(std::vector<WriteUnit> units, size_t max);

    /// The part that is due; none: nothing is left to write.
    [[nodiscard]] port::StoreTransaction current() const {
        return next_ < parts_.size() ? parts_[next_] : port::StoreTransaction{};
    }
    /// The part is written, at that revision. True: there is another one.
    bool advance(Revision committed);
    /// Keys that are written, of units whose last part is not: no image shows them.
    [[nodiscard]] std::vector<std::string> half_made() const;

private:
    struct First {
        size_t part = 0;
        size_t unit = 0;
        std::string key;
    };

    /// The first key of a unit that is written in part `first` and shown by part `last`.
    struct Fence {
        size_t first = 0;
        size_t last = 0;
        port::StoreWrite write;
    };

    std::vector<port::StoreTransaction> parts_;
    std::vector<Fence> fences_;
    // Empty when there is one part, which is written or not.
    std::vector<First> firsts_;      // of all units
    std::vector<size_t> last_parts_; // of each unit
    size_t next_ = 0;
};

} // namespace qtool::metadata
