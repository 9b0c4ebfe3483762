// Completions: the transactions in Prepare* and the markers they still miss. A marker is written
// until it is in, however often that fails: a decision that is in the log can only go forward.
// Lives in a TxnShard. Nothing of it is in a log: after a load every Prepare* begins again, and a
// marker that is written twice does no harm.
//
//   outcome of a marker                          what follows
//   written                                      one less is missing
//   invalid_producer_epoch                       the same: the partition knows a newer epoch, so
//                                                nothing of this transaction is open there
//   coordinator_fenced                           a newer coordinator of this id is at work: the
//                                                effort ends, the transaction stays as it is
//   its topic or partition is not in the image   deleted: one less is missing
//   anything else                                again, after a wait that doubles
#pragma once

#include "lib/base/timer_heap.h"
#include "server/coordinator/machine.h"
#include "server/txn/transaction.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::txn {

class Completions {
public:
    /// Asks for the marker of every partition. The transaction is in Prepare*, its record committed
    /// or on its way: the runtime writes no marker before that.
    void begin(std::string_view id, const Transaction& prepared, coordinator::Host& host);
    void on_marker_written(uint64_t marker, const Result<void>& result, coordinator::Host& host);
    /// Topics went: their partitions are missed no more.
    void on_image(const coordinator::Host& host);
    void on_time(coordinator::Host& host);
    [[nodiscard]] MonoTime next_due() const { return due_.next_due(); }

    /// The transactional ids whose markers are all in since the last call; each is to be completed
    /// now, or given to `retry`.
    std::vector<std::string> take_finished();
    /// Writing the Complete record failed: the id is among the finished ones again later.
    void retry(const std::string& id, MonoTime now);
    [[nodiscard]] size_t missing_markers() const { return markers_.size(); }
    [[nodiscard]] uint64_t written_markers() const { return written_count_; }

private:
    struct Effort {
        coordinator::MarkerRequest request; // of one of its markers; id and partition are filled in
        size_t missing = 0;
    };
    struct Marker {
        std::string id;
        std::string topic;
        PartitionIndex partition;
        uint32_t failures = 0;
    };
    struct Due {
        uint64_t marker = 0; // 0: the Complete record of `id`
        std::string id;
    };

    void send(uint64_t number, const Marker& marker, coordinator::Host& host);
    void arrived(std::map<uint64_t, Marker>::iterator marker);
    static bool is_gone(const Marker& marker, const coordinator::Host& host);

    std::map<std::string, Effort, std::less<>> efforts_; // by transactional id
    std::map<uint64_t, Marker> markers_;                 // missing ones, by number
    TimerHeap<Due> due_; // entries of markers that arrived meanwhile are skipped
    std::vector<std::string> finished_;
    uint64_t last_number_ = 0;
    uint64_t written_count_ = 0;
};

} // namespace qtool::txn
