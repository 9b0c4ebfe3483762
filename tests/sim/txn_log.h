// TxnLog: what must be true of transactions, whatever happens. It hears what transactional
// producers did and what read_committed readers and OffsetFetch showed, and ends the run at the
// first contradiction:
//
//   all or nothing    a transaction's records are all visible or none is, over all partitions, and
//                     its offset is committed exactly when they are
//   decided once      acknowledged commit: visible for good; aborted or never committed: never
//   fencing           after InitProducerId was acknowledged, nothing of an older epoch is accepted
//   epochs            rise with every InitProducerId
//   nothing hangs     the last stable offset reaches the high watermark in the end (TxnReader)
//
// That a value has one offset, in the order of sending, is checked by Checker.
#pragma once

#include "tests/sim/checker.h"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::sim {

class TxnLog {
public:
    explicit TxnLog(World& world) : world_(world) {}

    /// A producer, by its transactional id.
    size_t add_producer(std::string id);
    /// The number of a transaction that begins now.
    size_t on_begin(size_t producer);
    void on_value(size_t transaction, uint16_t partition, Value value);
    /// The transaction also commits this offset in the producer's group; its text is the metadata.
    void on_offset(size_t transaction, int64_t offset);
    [[nodiscard]] int64_t offset_of(size_t transaction) const {
        return transactions_[transaction].offset;
    }
    static std::string metadata_of(size_t transaction) { return "t" + std::to_string(transaction); }

    void on_commit_asked(size_t transaction);
    void on_committed(size_t transaction) { decide(transaction, Fate::committed, "acknowledged"); }
    /// It is certain that it was never committed.
    void on_aborted(size_t transaction) { decide(transaction, Fate::aborted, "acknowledged"); }
    [[nodiscard]] bool is_commit_asked(size_t transaction) const {
        return transactions_[transaction].commit_asked;
    }

    void on_epoch(size_t producer, int64_t producer_id, int16_t epoch, Checker& checker);

    /// A read_committed reader gave it out.
    void on_visible(Value value);
    /// A reader that read everything saw these, by partition.
    void on_all_read(const std::map<uint16_t, std::set<Value>>& seen);
    /// The last committed transaction of the producer that has an offset and is certain; to be
    /// handed to on_offset_shown. -1: none.
    [[nodiscard]] int64_t last_certain(size_t producer) const;
    void on_offset_shown(size_t producer, int64_t certain, int64_t offset,
                         std::string_view metadata);

    [[nodiscard]] uint64_t committed() const { return committed_; }
    [[nodiscard]] uint64_t aborted() const { return aborted_; }

private:
    enum class Fate : uint8_t { unknown, committed, aborted };
    struct Transaction {
        size_t producer = 0;
        std::map<uint16_t, std::vector<Value>> values; // by partition
        int64_t offset = -1;                           // -1: none
        bool commit_asked = false;
        Fate fate = Fate::unknown;
    };
    struct Producer {
        std::string id;
        int64_t producer_id = -1;
        int16_t epoch = -1;
        std::vector<size_t> transactions;
    };
    void decide(size_t transaction, Fate fate, const char* how);
    [[nodiscard]] std::string text(size_t transaction) const;

    World& world_;
    std::vector<Producer> producers_;
    std::vector<Transaction> transactions_;
    std::map<Value, size_t> of_value_; // the partition is part of a value
    uint64_t committed_ = 0;
    uint64_t aborted_ = 0;
};

} // namespace qtool::sim
