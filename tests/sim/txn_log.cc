#include "tests/sim/txn_log.h"

#include <algorithm>
#include <charconv>

namespace qtool::sim {

size_t TxnLog::add_producer(std::string id) {
    producers_.push_back({std::move(id), -1, -1, {}});
    return producers_.size() - 1;
}

size_t TxnLog::on_begin(size_t producer) {
    const size_t number = transactions_.size();
    transactions_.emplace_back().producer = producer;
    producers_[producer].transactions.push_back(number);
    return number;
}

void TxnLog::on_value(size_t transaction, uint16_t partition, Value value) {
    transactions_[transaction].values[partition].push_back(value);
    of_value_.emplace(value, transaction);
}

void TxnLog::on_offset(size_t transaction, int64_t offset) {
    transactions_[transaction].offset = offset;
}

void TxnLog::on_commit_asked(size_t transaction) {
    transactions_[transaction].commit_asked = true;
}

std::string TxnLog::text(size_t transaction) const {
    return "transaction " + std::to_string(transaction) + " of " +
           producers_[transactions_[transaction].producer].id;
}

void TxnLog::decide(size_t number, Fate fate, const char* how) {
    Transaction& transaction = transactions_[number];
    if (transaction.fate == fate) {
        return;
    }
    if (transaction.fate != Fate::unknown) {
        world_.violate(text(number) + " is " + (fate == Fate::committed ? "committed" : "aborted") +
                       " (" + how + "), but was " +
                       (transaction.fate == Fate::committed ? "committed" : "aborted") + " before");
        return;
    }
    if (fate == Fate::committed && !transaction.commit_asked) {
        world_.violate(text(number) + " is committed (" + how + "), which nobody asked for");
        return;
    }
    transaction.fate = fate;
    (fate == Fate::committed ? committed_ : aborted_)++;
}

void TxnLog::on_epoch(size_t number, int64_t producer_id, int16_t epoch, Checker& checker) {
    Producer& producer = producers_[number];
    if (producer.producer_id != producer_id) {
        checker.on_producer_id(producer_id);
    } else if (epoch <= producer.epoch) {
        world_.violate(producer.id + ": InitProducerId gave epoch " + std::to_string(epoch) +
                       " after " + std::to_string(producer.epoch));
        return;
    }
    producer.producer_id = producer_id;
    producer.epoch = epoch;
}

void TxnLog::on_visible(Value value) {
    const auto at = of_value_.find(value);
    if (at == of_value_.end()) {
        return; // of a producer without transactions: the checker knows it
    }
    decide(at->second, Fate::committed, "its records are visible");
}

void TxnLog::on_all_read(const std::map<uint16_t, std::set<Value>>& seen) {
    for (size_t number = 0; number < transactions_.size(); number++) {
        const Transaction& transaction = transactions_[number];
        size_t sent = 0;
        size_t visible = 0;
        for (const auto& [partition, values] : transaction.values) {
            const auto read = seen.find(partition);
            sent += values.size();
            visible +=
                static_cast<size_t>(std::count_if(values.begin(), values.end(), [&](Value value) {
                    return read != seen.end() && read->second.count(value) > 0;
                }));
        }
        if (visible != 0 && visible != sent) {
            world_.violate(text(number) + " is torn: " + std::to_string(visible) + " of its " +
                           std::to_string(sent) + " records are visible");
            return;
        }
        if (sent > 0) {
            decide(number, visible > 0 ? Fate::committed : Fate::aborted, "all was read");
        }
    }
}

int64_t TxnLog::last_certain(size_t producer) const {
    const std::vector<size_t>& own = producers_[producer].transactions;
    const auto last = std::find_if(own.rbegin(), own.rend(), [&](size_t number) {
        return transactions_[number].fate == Fate::committed && transactions_[number].offset >= 0;
    });
    return last == own.rend() ? -1 : static_cast<int64_t>(*last);
}

void TxnLog::on_offset_shown(size_t producer, int64_t certain, int64_t offset,
                             std::string_view metadata) {
    const std::string where = producers_[producer].id + ": its group shows offset ";
    if (offset < 0) {
        if (certain >= 0) {
            world_.violate(where + "none, but " + text(static_cast<size_t>(certain)) +
                           " committed one");
        }
        return;
    }
    size_t number = 0;
    const auto read =
        metadata.empty()
            ? std::from_chars_result{nullptr, std::errc::invalid_argument}
            : std::from_chars(metadata.data() + 1, metadata.data() + metadata.size(), number);
    if (read.ec != std::errc() || number >= transactions_.size() ||
        transactions_[number].producer != producer || transactions_[number].offset != offset) {
        world_.violate(where + std::to_string(offset) + " with metadata '" + std::string(metadata) +
                       "', which nobody committed");
        return;
    }
    if (static_cast<int64_t>(number) < certain) {
        world_.violate(where + std::to_string(offset) + " of " + text(number) + ", but " +
                       text(static_cast<size_t>(certain)) + " was committed");
        return;
    }
    decide(number, Fate::committed, "its offset is visible");
}

} // namespace qtool::sim
