// TxnShard: the transaction coordinator of the transactional ids that hash to one partition of
// __transaction_state. Decisions are in decide.h, markers in completions.h; here requests are read
// and answered, records written and replayed, and the clock is watched.
// Lives on the core of its partition, owned by the coordinator runtime.
//
// An EndTxn, as a story:
//   1. decide_end makes Prepare* of Ongoing; the record is appended and replayed.
//   2. The client's answer and the markers wait for that record's commit (the runtime sees to it):
//      a decision that a crash can take back is known to nobody.
//   3. Each partition's marker is written, again and again until it is in.
//   4. The last one is in: Complete* is appended. Until then the next transaction of the producer
//      is told CONCURRENT_TRANSACTIONS.
//   A crash after 1 loses the record or keeps it; a kept one resumes at 3 in on_loaded.
#pragma once

#include "lib/protocol/msg/add_partitions_to_txn.h"
#include "server/coordinator/machine.h"
#include "server/txn/completions.h"
#include "server/txn/decide.h"
#include "server/txn/transaction.h"

#include <map>
#include <string>
#include <string_view>

namespace qtool::txn {

class TxnShard final : public coordinator::Machine {
public:
    Result<void> replay(const coordinator::Record& record) override;
    void on_loaded(coordinator::Host& host) override;
    /// InitProducerId with a transactional id, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn,
    /// DescribeTransactions and ListTransactions; of v4+ AddPartitionsToTxn and of
    /// DescribeTransactions only the ids that belong here.
    void on_request(const coordinator::Request& request, coordinator::Host& host) override;
    void on_marker_written(uint64_t id, const Result<void>& result,
                           coordinator::Host& host) override;
    void on_image(const metadata::Delta& delta, coordinator::Host& host) override;
    [[nodiscard]] MonoTime next_due() const override;
    void on_time(coordinator::Host& host) override;
    void survey(metrics::CoreSurvey& survey, uint32_t offsets_max) const override;

    /// nullptr for an unknown id. Valid until the next call.
    [[nodiscard]] const Transaction* find(std::string_view id) const;

private:
    using AddTopic = protocol::AddPartitionsToTxnRequest::AddPartitionsToTxnTopic;
    using AddTopicResult = protocol::AddPartitionsToTxnResponse::AddPartitionsToTxnTopicResult;

    void init_producer_id(const coordinator::Request& request, coordinator::Host& host);
    void add_partitions(const coordinator::Request& request, coordinator::Host& host);
    void add_offsets(const coordinator::Request& request, coordinator::Host& host);
    void end_txn(const coordinator::Request& request, coordinator::Host& host);
    void describe(const coordinator::Request& request, coordinator::Host& host);
    void list(const coordinator::Request& request, coordinator::Host& host);

    std::vector<AddTopicResult> add(std::string_view id, Producer producer,
                                    const std::vector<AddTopic>& topics, bool verify_only,
                                    int16_t api_version, coordinator::Host& host);
    /// Writes what was decided, begins the completion of a Prepare*. The code for the client.
    protocol::KafkaError write(std::string_view id, const Step& step, coordinator::Host& host);
    void complete_finished(coordinator::Host& host);
    void abort_timed_out(coordinator::Host& host);
    void remove_expired(coordinator::Host& host);
    /// The clock is watched only while there is something to find.
    void arm(const coordinator::Host& host);

    std::map<std::string, Transaction, std::less<>> transactions_; // by transactional id
    size_t ongoing_count_ = 0;                                     // transactions in Ongoing
    uint64_t timed_out_count_ = 0;
    Completions completions_;
    MonoTime abort_due_ = kMonoNever;  // the next look for timed out transactions
    MonoTime expire_due_ = kMonoNever; // the next look for expired ids
};

} // namespace qtool::txn
