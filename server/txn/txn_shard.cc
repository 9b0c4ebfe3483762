#include "server/txn/txn_shard.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/protocol/msg/add_offsets_to_txn.h"
#include "lib/protocol/msg/describe_transactions.h"
#include "lib/protocol/msg/end_txn.h"
#include "lib/protocol/msg/init_producer_id.h"
#include "lib/protocol/msg/list_transactions.h"
#include "server/txn/limits.h"

#include <algorithm>
#include <utility>

namespace qtool::txn {

namespace {

using protocol::KafkaError;

// What a client is told when the log did not take its record (SEMANTICS section 8): errors that it
// answers by trying again, here or at the next coordinator.
KafkaError error_of_append(Code code) {
    switch (code) {
    case Code::not_enough_replicas:
    case Code::not_enough_replicas_after_append:
    case Code::timed_out:
    case Code::unknown_topic:
    case Code::unknown_partition:
    case Code::overloaded:
        return KafkaError::coordinator_not_available;
    case Code::message_too_large:
    case Code::record_list_too_large:
    case Code::too_large:
        return KafkaError::unknown_server_error;
    default:
        return KafkaError::not_coordinator; // the disk failed, or another broker leads
    }
}

} // namespace

const Transaction* TxnShard::find(std::string_view id) const {
    const auto found = transactions_.find(id);
    return found == transactions_.end() ? nullptr : &found->second;
}

// ---- the log
// --------------------------------------------------------------------------------------

Result<void> TxnShard::replay(const coordinator::Record& record) {
    QT_TRY_ASSIGN(std::optional<TransactionRecord> parsed, parse_record(record));
    if (!parsed) {
        return {};
    }
    const auto found = transactions_.find(parsed->id);
    if (found != transactions_.end() && found->second.is_ongoing()) {
        ongoing_count_--;
    }
    if (!parsed->transaction) {
        if (found != transactions_.end()) {
            transactions_.erase(found);
        }
        return {};
    }
    if (parsed->transaction->is_ongoing()) {
        ongoing_count_++;
    }
    if (found == transactions_.end()) {
        transactions_.emplace(std::string(parsed->id), *std::move(parsed->transaction));
    } else {
        found->second = *std::move(parsed->transaction);
    }
    return {};
}

void TxnShard::on_loaded(coordinator::Host& host) {
    for (const auto& [id, transaction] : transactions_) {
        if (transaction.is_prepared()) {
            completions_.begin(id, transaction, host);
        }
    }
    complete_finished(host);
    arm(host);
}

KafkaError TxnShard::write(std::string_view id, const Step& step, coordinator::Host& host) {
    if (!step.is_new) {
        return KafkaError::none;
    }
    coordinator::NewBatch batch;
    batch.records.push_back(make_record(id, &step.next));
    if (const Result<void> appended = host.append(batch); !appended) {
        log_line(LogLevel::warn, "transaction_not_written",
                 {{"transactional_id", id}, {"error", to_string(appended.error())}});
        return error_of_append(appended.error().code);
    }
    const auto written = transactions_.find(id);
    QT_ASSERT(written != transactions_.end());
    QT_ASSERT(written->second.state == step.next.state);
    written->second.last_epoch = step.next.last_epoch;
    if (written->second.is_prepared()) {
        completions_.begin(id, written->second, host);
        complete_finished(host);
    }
    arm(host);
    return KafkaError::none;
}

// ---- markers and the clock
// ------------------------------------------------------------------------

void TxnShard::complete_finished(coordinator::Host& host) {
    for (const std::string& id : completions_.take_finished()) {
        const Transaction* prepared = find(id);
        QT_ASSERT(prepared != nullptr);
        QT_ASSERT(prepared->is_prepared());
        const Transaction done = complete(*prepared, host.wall_now_ms());
        coordinator::NewBatch batch;
        batch.records.push_back(make_record(id, &done));
        if (!host.append(batch)) {
            completions_.retry(id, host.now());
        }
    }
}

void TxnShard::on_marker_written(uint64_t id, const Result<void>& result, coordinator::Host& host) {
    completions_.on_marker_written(id, result, host);
    complete_finished(host);
    arm(host);
}

void TxnShard::on_image(const metadata::Delta& delta, coordinator::Host& host) {
    if (delta.topics_deleted.empty()) {
        return;
    }
    completions_.on_image(host);
    complete_finished(host);
}

void TxnShard::arm(const coordinator::Host& host) {
    if (ongoing_count_ == 0) {
        abort_due_ = kMonoNever;
    } else if (abort_due_ == kMonoNever) {
        abort_due_ = host.now() + clamped_ms(host.config().transaction_abort_interval_ms);
    }
    if (transactions_.empty()) {
        expire_due_ = kMonoNever;
    } else if (expire_due_ == kMonoNever) {
        expire_due_ = host.now() + clamped_ms(host.config().transaction_expire_interval_ms);
    }
}

MonoTime TxnShard::next_due() const {
    return std::min({abort_due_, expire_due_, completions_.next_due()});
}

void TxnShard::on_time(coordinator::Host& host) {
    completions_.on_time(host);
    complete_finished(host);
    if (abort_due_ <= host.now()) {
        abort_due_ = kMonoNever;
        abort_timed_out(host);
    }
    if (expire_due_ <= host.now()) {
        expire_due_ = kMonoNever;
        remove_expired(host);
    }
    arm(host);
}

void TxnShard::abort_timed_out(coordinator::Host& host) {
    std::vector<std::string> ids;
    for (const auto& [id, transaction] : transactions_) {
        if (is_timed_out(transaction, host.wall_now_ms())) {
            ids.push_back(id);
        }
    }
    for (const std::string& id : ids) {
        const Decided<Step> step =
            decide_fence(*find(id), host.wall_now_ms(), [&] { return host.take_producer_id(); });
        if (!step || write(id, *step, host) != KafkaError::none) {
            continue; // the next look finds it again
        }
        timed_out_count_++;
        log_line(LogLevel::info, "transaction_timed_out",
                 {{"transactional_id", id},
                  {"producer_id", step->next.producer_id.value()},
                  {"timeout_ms", step->next.timeout_ms}});
    }
}

void TxnShard::remove_expired(coordinator::Host& host) {
    const int64_t expiration_ms = host.config().transactional_id_expiration_ms;
    coordinator::NewBatch batch;
    std::vector<std::string> ids;
    for (const auto& [id, transaction] : transactions_) {
        if (is_expired(transaction, host.wall_now_ms(), expiration_ms)) {
            ids.push_back(id);
        }
    }
    for (size_t i = 0; i < ids.size(); i++) {
        batch.records.push_back(make_record(ids[i], nullptr));
        if (batch.records.size() == kExpiredPerBatchMax || i + 1 == ids.size()) {
            if (!host.append(batch)) {
                return; // the next look finds the rest
            }
            batch.records.clear();
        }
    }
}

// ---- requests
// -------------------------------------------------------------------------------------

void TxnShard::on_request(const coordinator::Request& request, coordinator::Host& host) {
    switch (request.api_key) {
    case protocol::InitProducerIdRequest::kApiKey:
        return init_producer_id(request, host);
    case protocol::AddPartitionsToTxnRequest::kApiKey:
        return add_partitions(request, host);
    case protocol::AddOffsetsToTxnRequest::kApiKey:
        return add_offsets(request, host);
    case protocol::EndTxnRequest::kApiKey:
        return end_txn(request, host);
    case protocol::DescribeTransactionsRequest::kApiKey:
        return describe(request, host);
    case protocol::ListTransactionsRequest::kApiKey:
        return list(request, host);
    default:
        QT_ASSERT(false && "an API of another coordinator");
    }
}

} // namespace qtool::txn
