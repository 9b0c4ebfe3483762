#include "server/txn/transaction.h"

#include "lib/base/assert.h"
#include "lib/base/byte_writer.h"
#include "lib/protocol/msg/transaction_log_record.h"

#include <array>

namespace qtool::txn {

namespace {

using protocol::TransactionLogKey;
using protocol::TransactionLogValue;

constexpr std::array<std::string_view, 8> kNames = {
    "Empty",          "Ongoing",       "PrepareCommit", "PrepareAbort",
    "CompleteCommit", "CompleteAbort", "Dead",          "PrepareEpochFence"};

constexpr size_t kTypeSize = sizeof(int16_t); // what comes before the fields of key and value

} // namespace

std::string_view to_string(TransactionState state) {
    return kNames[static_cast<size_t>(state)];
}

std::optional<TransactionState> state_of(std::string_view name) {
    for (size_t i = 0; i < kNames.size(); i++) {
        if (kNames[i] == name) {
            return static_cast<TransactionState>(i);
        }
    }
    return std::nullopt;
}

size_t partition_count(const Partitions& partitions) {
    size_t count = 0;
    for (const auto& [topic, indexes] : partitions) {
        count += indexes.size();
    }
    return count;
}

coordinator::NewRecord make_record(std::string_view id, const Transaction* transaction) {
    coordinator::NewRecord record;
    ByteWriter key;
    key.be<int16_t>(TransactionLogKey::kRecordType);
    TransactionLogKey{id}.encode(key, TransactionLogKey::kVersionMax);
    record.key = key.take();
    if (transaction == nullptr) {
        return record;
    }
    TransactionLogValue fields;
    fields.producer_id = transaction->producer_id.value();
    fields.previous_producer_id = transaction->previous_producer_id.value();
    fields.next_producer_id = transaction->next_producer_id.value();
    fields.producer_epoch = transaction->producer_epoch.value();
    fields.transaction_timeout_ms = transaction->timeout_ms;
    fields.transaction_status = static_cast<int8_t>(transaction->state);
    for (const auto& [topic, indexes] : transaction->partitions) {
        auto& out = fields.transaction_partitions->emplace_back();
        out.topic = topic;
        out.partition_ids.assign(indexes.begin(), indexes.end());
    }
    fields.transaction_last_update_timestamp_ms = transaction->update_ms;
    fields.transaction_start_timestamp_ms = transaction->start_ms;
    fields.client_transaction_version = transaction->client_version;
    ByteWriter value;
    value.be<int16_t>(TransactionLogValue::kVersionMax);
    fields.encode(value, TransactionLogValue::kVersionMax);
    record.value = value.take();
    return record;
}

Result<std::optional<TransactionRecord>> parse_record(const coordinator::Record& record) {
    if (record.key.size() < kTypeSize ||
        load_be<int16_t>(record.key.data()) != TransactionLogKey::kRecordType) {
        return std::optional<TransactionRecord>();
    }
    QT_TRY_ASSIGN(const TransactionLogKey key,
                  TransactionLogKey::decode(record.key.subspan(kTypeSize), 0));
    TransactionRecord parsed{key.transactional_id, std::nullopt};
    if (!record.value) {
        return std::optional(std::move(parsed));
    }
    if (record.value->size() < kTypeSize) {
        return Error(Code::truncated, "a transaction's record has no version");
    }
    const auto version = load_be<int16_t>(record.value->data());
    QT_TRY_ASSIGN(const TransactionLogValue fields,
                  TransactionLogValue::decode(record.value->subspan(kTypeSize), version));
    if (fields.transaction_status < 0 ||
        fields.transaction_status >= static_cast<int8_t>(TransactionState::dead)) {
        return Error(Code::malformed, "a transaction's record has the state " +
                                          std::to_string(fields.transaction_status));
    }
    Transaction& transaction = parsed.transaction.emplace();
    transaction.producer_id = ProducerId(fields.producer_id);
    transaction.previous_producer_id = ProducerId(fields.previous_producer_id);
    transaction.next_producer_id = ProducerId(fields.next_producer_id);
    transaction.producer_epoch = ProducerEpoch(fields.producer_epoch);
    transaction.timeout_ms = fields.transaction_timeout_ms;
    transaction.state = static_cast<TransactionState>(fields.transaction_status);
    if (fields.transaction_partitions) {
        for (const auto& topic : *fields.transaction_partitions) {
            transaction.partitions[std::string(topic.topic)].insert(topic.partition_ids.begin(),
                                                                    topic.partition_ids.end());
        }
    }
    transaction.start_ms = fields.transaction_start_timestamp_ms;
    transaction.update_ms = fields.transaction_last_update_timestamp_ms;
    transaction.client_version = fields.client_transaction_version;
    return std::optional(std::move(parsed));
}

} // namespace qtool::txn
