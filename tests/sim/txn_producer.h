// TxnProducer: a transactional producer that consumes, transforms and produces: each transaction
// has records in some partitions and, mostly, an offset of its group. It commits, aborts, dies in
// the middle and is started again with the same transactional id, or sleeps beyond its timeout.
// What the dead one did not send any more comes as a zombie's write later.
//
//   init --> offsets --> begin --> (add partitions) --> produce --> (add offsets) --> commit
//   offsets --> end
//     ^                                                                                          |
//     +--- fenced, died, or sequence numbers are in doubt ------------- next transaction <--------+
//
// The steps in brackets are those of version 1 clients; version 2 (KIP-890) has its partitions
// added by the broker and its epoch raised at each end.
#pragma once

#include "tests/sim/txn_calls.h"
#include "tests/sim/txn_log.h"
#include "tests/sim/workload.h"

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace qtool::sim {

class TxnProducer {
public:
    struct Setup {
        Client client;
        TxnLog* log = nullptr;
        std::string id;
        std::vector<PartitionPlace> partitions; // it writes to
        PartitionPlace input;                   // whose offsets it commits
        bool is_version_2 = true;
        Duration timeout{};        // of transactions
        bool is_abandoned = false; // dies for good with a transaction open
    };
    explicit TxnProducer(Setup setup);
    void start();
    /// One more transaction is committed, then it is done; or it dies in the middle of one.
    void finish() { finishing_ = true; }
    [[nodiscard]] bool is_done() const { return is_done_; }
    [[nodiscard]] std::string group() const { return setup_.id + "-group"; }
    [[nodiscard]] std::string describe() const {
        return setup_.id + " in step " + std::to_string(static_cast<int>(step_));
    }
    [[nodiscard]] size_t number() const { return number_; }

private:
    enum class Step : uint8_t {
        init,
        offsets,
        begin,
        add,
        produce,
        add_offsets,
        commit_offsets,
        end
    };
    enum class Verdict : uint8_t { fine, retry, abort, fenced, unexpected };
    struct Lane { // of a partition in a transaction
        size_t place = 0;
        std::vector<Value> values;
        std::vector<std::byte> batch;
        bool is_done = false;
    };
    struct Ghost { // what a dead one would still send
        enum class Kind : uint8_t { batch, offsets, end };
        Kind kind = Kind::batch;
        TxnCalls::Identity identity;
        std::vector<std::byte> batch;
        size_t place = 0;
    };
    void next();
    /// Whether the line is where the next step is taken; else it goes there.
    bool is_there();
    void connect_later(Duration low, Duration high);
    void live();
    void die();
    Verdict judge(const char* api, int16_t error_code);
    /// Goes on after a verdict; true: fine.
    bool go_on(Verdict verdict);
    void begin();
    std::vector<std::byte> make_batch(size_t place, const std::vector<Value>& values);
    Value new_value(size_t place);
    void ask_coordinator();
    void ask_init();
    /// As who it goes on.
    void take_identity(TxnCalls::Identity identity);
    void ask_offsets();
    void ask_add();
    void ask_produce();
    void on_produced(const std::vector<TxnCalls::Produced>& produced);
    void ask_add_offsets();
    void ask_commit_offsets();
    void ask_end();
    void on_ended(int16_t error_code, TxnCalls::Identity identity);
    void start_anew(bool claims);
    void leave_ghost();
    void send_ghost();
    void on_ghost_answer(const char* api, int16_t error_code);

    Setup setup_;
    World& world_;
    ClientLine line_;
    TxnCalls calls_;
    size_t number_;           // in the log of transactions
    uint16_t checker_number_; // of a producer in the checker
    Step step_ = Step::init;
    TxnCalls::Identity identity_;
    std::map<size_t, int32_t> sequences_; // the next one, by place
    std::optional<size_t> transaction_;
    std::vector<Lane> lanes_;
    int64_t consumed_ = 0;     // the offset committed last
    bool has_offsets_ = false; // this transaction commits one
    bool commits_ = true;      // else it aborts
    uint32_t end_attempts_ = 0;
    bool claims_ = false; // InitProducerId is to say who it was
    std::optional<Ghost> ghost_;
    uint32_t found_ = 0;                      // coordinators
    std::array<std::string, 2> coordinators_; // their addresses, in a cluster
    bool finishing_ = false;
    bool is_last_ = false; // the transaction under way began after finish()
    bool is_done_ = false;
    MonoTime sleeps_until_{};
};

} // namespace qtool::sim
