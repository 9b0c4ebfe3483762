// TxnReader: a read_committed reader: fetches up to the last stable offset and passes over what the
// broker's list of aborted transactions names, as real clients do.
#pragma once

#include "tests/sim/txn_log.h"
#include "tests/sim/workload.h"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace qtool::sim {

class TxnReader {
public:
    struct Group { // whose offset an audit asks for, of which producer
        std::string id;
        size_t producer = 0;
        PartitionPlace input;
    };
    /// `is_audit`: done when the last stable offset is the high watermark and all up to it was
    /// read, and every group has shown its offset; then the log hears what was seen.
    TxnReader(Client client, TxnLog& log, std::vector<PartitionPlace> partitions, bool is_audit,
              std::vector<Group> groups = {});
    void start() { line_.connect_later(0ms); }
    void stop() { line_.stop(); }
    [[nodiscard]] bool is_done() const { return is_done_; }
    [[nodiscard]] std::string describe() const;

private:
    struct Lane {
        PartitionPlace place;
        int64_t position = 0;
        int64_t stable = 0; // the last stable offset heard last, and the high watermark
        int64_t high = 0;
        int32_t epoch = -1;                   // the last one among the batches read
        int32_t asked_epoch = -1;             // that the request named
        std::map<int32_t, int64_t> stable_in; // told by the leader of that epoch
        bool is_done = false;                 // of an audit
    };
    struct Aborted {
        int64_t producer_id = -1;
        int64_t first_offset = 0;
    };
    void next();
    void connect_later();
    /// In a cluster: a line to somebody who leads what is not read, or has the group.
    bool is_there();
    void ask_fetch();
    void on_fetched(ByteView body, int16_t version);
    bool take_records(Lane& lane, ByteView records, std::vector<Aborted> aborted);
    void ask_coordinator();
    void ask_offset();

    Client client_;
    World& world_;
    TxnLog& log_;
    ClientLine line_;
    std::string coordinator_; // of the last group, in a cluster
    std::vector<Lane> lanes_;
    bool is_audit_;
    std::vector<Group> groups_; // not asked yet
    bool all_read_ = false;
    bool is_done_ = false;
    std::map<uint16_t, std::set<Value>> seen_; // of an audit
};

} // namespace qtool::sim
