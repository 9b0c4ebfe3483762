// The requests of TxnShard that only look: DescribeTransactions, ListTransactions.
#include "lib/protocol/msg/describe_transactions.h"
#include "lib/protocol/msg/list_transactions.h"
#include "server/txn/decode.h"
#include "server/txn/limits.h"
#include "server/txn/txn_shard.h"

#include <re2/re2.h>

#include <algorithm>
#include <memory>
#include <set>

namespace qtool::txn {

namespace {

using protocol::DescribeTransactionsRequest;
using protocol::DescribeTransactionsResponse;
using protocol::KafkaError;
using protocol::ListTransactionsRequest;
using protocol::ListTransactionsResponse;

struct Filter {
    bool by_state = false;
    std::set<TransactionState> states;
    std::set<int64_t> producer_ids; // empty: any
    int64_t running_ms_min = -1;    // running for longer; below 0: any
    std::unique_ptr<RE2> pattern;   // nullptr: any

    [[nodiscard]] bool lets_through(const std::string& id, const Transaction& transaction,
                                    int64_t now_ms) const {
        if (by_state && !states.contains(transaction.state)) {
            return false;
        }
        if (!producer_ids.empty() && !producer_ids.contains(transaction.producer_id.value())) {
            return false;
        }
        if (running_ms_min >= 0 &&
            (transaction.start_ms < 0 || now_ms - transaction.start_ms <= running_ms_min)) {
            return false;
        }
        return pattern == nullptr || RE2::FullMatch(id, *pattern);
    }
};

std::unique_ptr<RE2> make_pattern(std::string_view text) {
    RE2::Options options;
    options.set_max_mem(kPatternMemoryMax);
    options.set_log_errors(false);
    return std::make_unique<RE2>(re2::StringPiece(text.data(), text.size()), options);
}

} // namespace

void TxnShard::describe(const coordinator::Request& request, coordinator::Host& host) {
    const auto asked =
        decode<DescribeTransactionsRequest, DescribeTransactionsResponse>(request, host);
    if (!asked) {
        return;
    }
    DescribeTransactionsResponse response;
    for (const std::string_view id : asked->transactional_ids) {
        auto& out = response.transaction_states.emplace_back();
        out.transactional_id = id;
        const Transaction* transaction = find(id);
        if (transaction == nullptr) {
            out.error_code = static_cast<int16_t>(
                id.empty() ? KafkaError::invalid_request : KafkaError::transactional_id_not_found);
            continue;
        }
        out.transaction_state = to_string(transaction->state);
        out.transaction_timeout_ms = transaction->timeout_ms;
        out.transaction_start_time_ms = transaction->start_ms;
        out.producer_id = transaction->producer_id.value();
        out.producer_epoch = transaction->producer_epoch.value();
        for (const auto& [topic, indexes] : transaction->partitions) {
            auto& topic_out = out.topics.emplace_back();
            topic_out.topic = topic;
            topic_out.partitions.assign(indexes.begin(), indexes.end());
        }
    }
    coordinator::answer(response, request.id, request.api_version, host);
}

void TxnShard::list(const coordinator::Request& request, coordinator::Host& host) {
    const auto asked = decode<ListTransactionsRequest, ListTransactionsResponse>(request, host);
    if (!asked) {
        return;
    }
    ListTransactionsResponse response;
    Filter filter;
    filter.by_state = !asked->state_filters.empty();
    for (const std::string_view name : asked->state_filters) {
        if (const std::optional<TransactionState> state = state_of(name)) {
            filter.states.insert(*state);
        } else {
            response.unknown_state_filters.push_back(name);
        }
    }
    filter.producer_ids.insert(asked->producer_id_filters.begin(),
                               asked->producer_id_filters.end());
    filter.running_ms_min = asked->duration_filter;
    if (asked->transactional_id_pattern && !asked->transactional_id_pattern->empty()) {
        filter.pattern = make_pattern(*asked->transactional_id_pattern);
        if (!filter.pattern->ok()) {
            response.error_code = static_cast<int16_t>(KafkaError::invalid_regular_expression);
            coordinator::answer(response, request.id, request.api_version, host);
            return;
        }
    }
    const int64_t now = host.wall_now_ms();
    for (const auto& [id, transaction] : transactions_) {
        if (filter.lets_through(id, transaction, now)) {
            response.transaction_states.push_back(
                {id, transaction.producer_id.value(), to_string(transaction.state)});
        }
    }
    coordinator::answer(response, request.id, request.api_version, host);
}

void TxnShard::survey(metrics::CoreSurvey& survey, uint32_t) const {
    metrics::CoordinatorSurvey& out = survey.coordinators;
    for (const auto& [id, transaction] : transactions_) {
        out.transactions[std::string(to_string(transaction.state))]++;
    }
    out.transactions_timed_out += timed_out_count_;
    out.markers_pending += completions_.missing_markers();
    out.markers_written += completions_.written_markers();
}

} // namespace qtool::txn
