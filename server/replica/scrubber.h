// Scrubber: where a core is in reading again, little by little, what its logs hold. A plain cursor;
// Manager::scrub does the reading.
#pragma once

#include "lib/base/ids.h"
#include "lib/base/time.h"

namespace qtool::replica {

class Scrubber {
public:
    static constexpr uint64_t kStepBytes = 256 * 1024; // about 22 GB a day and core
    static constexpr size_t kStepPartitionsMax = 16;   // each is a file to open
    static constexpr Duration kInterval = std::chrono::seconds(1);

    /// The partition to go on in, or the first behind it.
    [[nodiscard]] const PartitionKey& key() const { return key_; }
    [[nodiscard]] Offset offset() const { return offset_; }
    void go_on(const PartitionKey& key, Offset offset) {
        key_ = key;
        offset_ = offset;
    }
    /// That one is done.
    void pass(const PartitionKey& key) {
        go_on({key.topic_id, PartitionIndex(key.index.value() + 1)}, Offset{0});
    }
    void start_over() { go_on(PartitionKey{}, Offset{0}); }
    void rest_until(MonoTime due) { due_ = due; }
    [[nodiscard]] MonoTime next_due() const { return due_; }

private:
    PartitionKey key_{};
    Offset offset_{0};
    MonoTime due_ = kMonoNever;
};

} // namespace qtool::replica
