// Proves that markers are the bytes Kafka's coordinator writes (golden commit marker) and that
// foreign control batches are skipped or refused.
#include "lib/protocol/batch_check.h"
#include "lib/protocol/control_record.h"
#include "tests/unit/lib/protocol/batch_fixture.h"

using namespace qtool;
using namespace qtool::protocol;
using namespace qtool::protocol::test;

namespace {

const TransactionMarker kCommit{.type = ControlType::commit,
                                .producer_id = ProducerId(77),
                                .producer_epoch = ProducerEpoch(3),
                                .coordinator_epoch = 5,
                                .timestamp = 1000};

/// The marker with one byte of its record changed and the checksum made anew.
std::vector<std::byte> changed(size_t at, uint8_t value) {
    std::vector<std::byte> batch = build_transaction_marker(kCommit);
    batch[at] = static_cast<std::byte>(value);
    write_batch_header(batch, view_of(batch).header);
    return batch;
}

} // namespace

TEST_CASE("control record: a commit marker is byte for byte Kafka's") {
    const auto golden =
        from_hex("0000000000000000 00000042 ffffffff 02 8092d520 0030 00000000 00000000000003e8 "
                 "00000000000003e8 000000000000004d 0003 ffffffff 00000001 20000000 08 00000001 0c "
                 "000000000005 00");
    CHECK(build_transaction_marker(kCommit) == golden);
    CHECK(parse_transaction_marker(view_of(golden)).value() == kCommit);
}

TEST_CASE("control record: an abort marker survives writing and reading") {
    TransactionMarker abort = kCommit;
    abort.type = ControlType::abort;
    abort.coordinator_epoch = 0x7fffffff;
    const std::vector<std::byte> batch = build_transaction_marker(abort);
    CHECK(batch.size() == kTransactionMarkerSize);
    CHECK(batch_crc_ok(batch));
    CHECK(parse_transaction_marker(view_of(batch)).value() == abort);
}

TEST_CASE("control record: unknown types are skipped, damaged records refused") {
    // Byte 69 is the low byte of the type, 66 and 71 begin key and value versions.
    CHECK_FALSE(parse_transaction_marker(view_of(changed(69, 2))).value());
    CHECK_FALSE(parse_transaction_marker(view_of(changed(69, 99))).value());
    CHECK(parse_transaction_marker(view_of(changed(66, 0x80))).error().code == Code::malformed);
    CHECK(parse_transaction_marker(view_of(changed(71, 0x80))).error().code == Code::malformed);
    CHECK(parse_transaction_marker(view_of(changed(61, 0x1e))).error().code == Code::malformed);
    const std::vector<std::byte> data = make_batch(1, 1);
    CHECK(parse_transaction_marker(view_of(data)).error().code == Code::malformed);
}

TEST_CASE("control record: clients may not produce markers") {
    const auto facts = check_producer_batch(build_transaction_marker(kCommit), BatchRules{});
    CHECK(facts.error().code == Code::invalid_record);
}
