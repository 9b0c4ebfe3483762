#include "lib/protocol/control_record.h"

#include "lib/base/assert.h"
#include "lib/base/span_reader.h"
#include "lib/protocol/batch_builder.h"

#include <array>
#include <string>

namespace qtool::protocol {

namespace {

constexpr int16_t kKeyVersion = 0;
constexpr int16_t kValueVersion = 0;
constexpr size_t kKeySize = 4;   // version, type
constexpr size_t kValueSize = 6; // version, coordinator epoch

Error bad_control(const BatchView& batch, const char* reason) {
    return Error(Code::malformed, "control batch at offset " +
                                      std::to_string(batch.header.base_offset.value()) + ": " +
                                      reason);
}

} // namespace

std::vector<std::byte> build_transaction_marker(const TransactionMarker& marker) {
    std::array<std::byte, kKeySize> key{};
    store_be<int16_t>(key.data(), kKeyVersion);
    store_be<int16_t>(key.data() + 2, static_cast<int16_t>(marker.type));
    std::array<std::byte, kValueSize> value{};
    store_be<int16_t>(value.data(), kValueVersion);
    store_be<int32_t>(value.data() + 2, marker.coordinator_epoch);

    BatchBuilder builder(kTransactionMarkerSize);
    const auto appended = builder.append(ByteView(key), ByteView(value), {}, marker.timestamp);
    QT_ASSERT(appended.has_value());
    auto batch = builder.finish({.producer_id = marker.producer_id,
                                 .producer_epoch = marker.producer_epoch,
                                 .transactional = true});
    QT_ASSERT(batch.has_value() && batch->size() == kTransactionMarkerSize);
    BatchHeader header = *parse_batch_header(*batch);
    header.attributes = static_cast<int16_t>(header.attributes | kBatchControl);
    write_batch_header(*batch, header);
    return std::move(*batch);
}

Result<std::optional<TransactionMarker>> parse_transaction_marker(const BatchView& batch) {
    if (!batch.header.is_control()) {
        return bad_control(batch, "its control bit is not set");
    }
    if (batch.header.records_count != 1 || batch.header.compression_id() != 0) {
        return bad_control(batch, "expected exactly one uncompressed record");
    }
    RecordIterator records(batch.records_area(), 1);
    const RecordView* only = records.next();
    const RecordView record = only != nullptr ? *only : RecordView{};
    if (only == nullptr || records.next() != nullptr || !records.status()) {
        return bad_control(batch, "its record is damaged");
    }
    SpanReader key(record.key.value_or(ByteView{}));
    const auto key_version = key.be<int16_t>();
    const auto type = key.be<int16_t>();
    if (!key.ok() || key_version < 0) {
        return bad_control(batch, "key without version and type");
    }
    const std::optional<TransactionMarker> skip;
    const bool known = type == static_cast<int16_t>(ControlType::abort) ||
                       type == static_cast<int16_t>(ControlType::commit);
    if (!known) {
        return skip;
    }
    // Later versions of key and value only add fields behind these.
    SpanReader value(record.value.value_or(ByteView{}));
    const auto value_version = value.be<int16_t>();
    const auto coordinator_epoch = value.be<int32_t>();
    if (!value.ok() || value_version < 0) {
        return bad_control(batch, "value without version and coordinator epoch");
    }
    return std::optional(TransactionMarker{.type = static_cast<ControlType>(type),
                                           .producer_id = batch.header.producer_id,
                                           .producer_epoch = batch.header.producer_epoch,
                                           .coordinator_epoch = coordinator_epoch,
                                           .timestamp = batch.header.base_timestamp});
}

} // namespace qtool::protocol
