#include "tests/sim/txn_producer.h"

#include "lib/base/assert.h"
#include "lib/protocol/batch_builder.h"
#include "lib/protocol/kafka_error.h"
#include "lib/protocol/msg/add_offsets_to_txn.h"
#include "lib/protocol/msg/add_partitions_to_txn.h"
#include "lib/protocol/msg/end_txn.h"
#include "lib/protocol/msg/find_coordinator.h"
#include "lib/protocol/msg/init_producer_id.h"
#include "lib/protocol/msg/offset_fetch.h"
#include "lib/protocol/msg/produce.h"
#include "lib/protocol/msg/txn_offset_commit.h"

#include <algorithm>
#include <utility>

namespace qtool::sim {

namespace {

using protocol::KafkaError;

// The last versions of clients that add partitions themselves, and the first of those that do not.
constexpr int16_t kProduceV1 = 9;
constexpr int16_t kProduceV2 = 12;
constexpr int16_t kEndV1 = 4;
constexpr int16_t kEndV2 = 5;
constexpr int16_t kOffsetsV1 = 3;
constexpr int16_t kOffsetsV2 = 5;

} // namespace

TxnProducer::TxnProducer(Setup setup)
    : setup_(std::move(setup)),
      world_(*setup_.client.world),
      line_(
          *setup_.client.world, *setup_.client.network, [this] { next(); },
          [this] { connect_later(51ms, 150ms); }),
      number_(setup_.log->add_producer(setup_.id)),
      checker_number_(setup_.client.checker->add_producer(true)) {}

void TxnProducer::start() {
    const Duration delay = world_.between(0ms, 1s);
    connect_later(delay + 1ms, delay + 100ms);
    live();
}

// Coordinators may have moved, and the one that was connected be gone.
void TxnProducer::connect_later(Duration low, Duration high) {
    if (setup_.client.directory != nullptr) {
        found_ = 0;
        line_.set_address(setup_.client.directory->any());
    }
    line_.connect_later(low, high);
}

bool TxnProducer::is_there() {
    Directory* const directory = setup_.client.directory;
    if (directory == nullptr) {
        return true;
    }
    const auto leader = [&](size_t place) {
        return directory->leader(setup_.partitions[place].topic, setup_.partitions[place].index);
    };
    const std::string& of_group = coordinators_[0];
    const std::string& of_transaction = coordinators_[1];
    if (ghost_ && step_ > Step::init) {
        return line_.go_to(ghost_->kind == Ghost::Kind::batch     ? leader(ghost_->place)
                           : ghost_->kind == Ghost::Kind::offsets ? of_group
                                                                  : of_transaction);
    }
    switch (step_) {
    case Step::produce: {
        const auto open = std::find_if(lanes_.begin(), lanes_.end(),
                                       [](const Lane& lane) { return !lane.is_done; });
        return open == lanes_.end() || line_.go_to(leader(open->place));
    }
    case Step::offsets:
    case Step::commit_offsets:
        return line_.go_to(of_group);
    case Step::begin:
        return true;
    default:
        return line_.go_to(of_transaction);
    }
}

// ---- life and death -----------------------------------------------------------------------------

void TxnProducer::live() {
    if (finishing_) {
        return;
    }
    world_.after(world_.between(200ms, 2s), [this] {
        if (finishing_) {
            return;
        }
        if (world_.chance_percent(25)) {
            die();
            const Duration delay = world_.between(10ms, 2s);
            connect_later(delay + 1ms, delay + 100ms);
        } else if (world_.chance_percent(10)) {
            sleeps_until_ = world_.now() + world_.between(setup_.timeout / 4, setup_.timeout * 2);
        }
        live();
    });
}

void TxnProducer::die() {
    world_.trace("producer_dies", number_, static_cast<uint64_t>(step_));
    line_.stream().close();
    leave_ghost();
    start_anew(false);
}

void TxnProducer::start_anew(bool claims) {
    step_ = Step::init;
    claims_ = claims;
    transaction_.reset();
    lanes_.clear();
    sequences_.clear();
}

// Whatever the dead one sends after its successor was acknowledged must be refused.
void TxnProducer::leave_ghost() {
    if (!transaction_ || setup_.log->is_commit_asked(*transaction_) || step_ <= Step::begin ||
        !world_.chance_percent(70)) {
        return;
    }
    Ghost ghost;
    ghost.kind = static_cast<Ghost::Kind>(world_.random().below(3));
    ghost.producer_id = producer_id_;
    ghost.epoch = epoch_;
    ghost.place = world_.random().below(setup_.partitions.size());
    if (ghost.kind == Ghost::Kind::batch) {
        const Value value = new_value(ghost.place);
        ghost.batch = make_batch(ghost.place, {value});
    }
    ghost_ = std::move(ghost);
}

TxnProducer::Verdict TxnProducer::judge(const char* api, int16_t error_code) {
    if (setup_.client.directory != nullptr && error_code != 0) { // whoever it was may have moved
        found_ = 0;
        setup_.client.directory->refresh();
    }
    switch (static_cast<KafkaError>(error_code)) {
    case KafkaError::none:
        return Verdict::fine;
    case KafkaError::concurrent_transactions:
    case KafkaError::coordinator_load_in_progress:
    case KafkaError::coordinator_not_available:
    case KafkaError::not_coordinator:
    case KafkaError::not_enough_replicas_after_append:
    case KafkaError::unstable_offset_commit:
        return Verdict::retry;
    case KafkaError::transaction_abortable:
    case KafkaError::invalid_txn_state:
    case KafkaError::out_of_order_sequence_number:
    case KafkaError::operation_not_attempted:
        return Verdict::abort;
    case KafkaError::producer_fenced:
    case KafkaError::invalid_producer_epoch:
    case KafkaError::invalid_producer_id_mapping:
        return Verdict::fenced;
    default:
        if (is_retriable(error_code)) {
            return Verdict::retry;
        }
        world_.violate(setup_.id + ": " + api + " error " + std::to_string(error_code));
        return Verdict::unexpected;
    }
}

bool TxnProducer::go_on(Verdict verdict) {
    switch (verdict) {
    case Verdict::fine:
        return true;
    case Verdict::retry:
        line_.next_later(world_.between(5ms, 100ms));
        return false;
    case Verdict::abort:
        commits_ = false;
        step_ = Step::end;
        next();
        return false;
    case Verdict::fenced: // of a timeout: this one is the latest
        start_anew(false);
        line_.next_later(world_.between(5ms, 50ms));
        return false;
    case Verdict::unexpected:
        return false;
    }
    return false;
}

// ---- steps --------------------------------------------------------------------------------------

void TxnProducer::next() {
    if (!line_.is_idle() || is_done_) {
        return;
    }
    if (world_.now() < sleeps_until_ && !finishing_) {
        line_.next_later(sleeps_until_ - world_.now());
        return;
    }
    if (found_ < 2) {
        ask_coordinator();
        return;
    }
    if (step_ == Step::begin && !ghost_) {
        begin();
    }
    if (!is_there()) {
        return;
    }
    if (ghost_ && step_ > Step::init) {
        send_ghost();
        return;
    }
    const bool is_midway = step_ > Step::produce;
    if (finishing_ && setup_.is_abandoned && is_midway) {
        world_.trace("producer_gone", number_);
        line_.stop();
        is_done_ = true;
        return;
    }
    switch (step_) {
    case Step::init:
        return ask_init();
    case Step::offsets:
        return ask_offsets();
    case Step::begin:
        return;
    case Step::add:
        return ask_add();
    case Step::produce:
        return ask_produce();
    case Step::add_offsets:
        return ask_add_offsets();
    case Step::commit_offsets:
        return ask_commit_offsets();
    case Step::end:
        return ask_end();
    }
}

Value TxnProducer::new_value(size_t place) {
    return setup_.client.checker->new_value(checker_number_, setup_.partitions[place].number);
}

std::vector<std::byte> TxnProducer::make_batch(size_t place, const std::vector<Value>& values) {
    protocol::BatchBuilder builder;
    const auto timestamp = static_cast<int64_t>(
        1'790'000'000'000 + world_.now().time_since_epoch() / std::chrono::milliseconds(1));
    for (const Value value : values) {
        const std::vector<std::byte> bytes = value_bytes(value, 8 + world_.random().below(300));
        QT_ASSERT(builder.append({}, ByteView(bytes), {}, timestamp).has_value());
    }
    protocol::BatchClose close;
    close.producer_id = ProducerId(producer_id_);
    close.producer_epoch = ProducerEpoch(epoch_);
    close.base_sequence = sequences_[place];
    close.transactional = true;
    sequences_[place] += static_cast<int32_t>(values.size());
    Result<std::vector<std::byte>> bytes = builder.finish(close);
    QT_ASSERT(bytes.has_value());
    return *std::move(bytes);
}

void TxnProducer::begin() {
    Prng& random = world_.random();
    is_last_ = finishing_;
    commits_ = is_last_ || random.chance(700'000);
    has_offsets_ = is_last_ || random.chance(600'000);
    end_attempts_ = 0;
    transaction_ = setup_.log->on_begin(number_);
    lanes_.clear();
    const size_t first = random.below(setup_.partitions.size());
    const size_t count = 1 + random.below(setup_.partitions.size());
    for (size_t i = 0; i < count; i++) {
        Lane& lane = lanes_.emplace_back();
        lane.place = (first + i) % setup_.partitions.size();
        for (uint64_t left = 1 + random.below(4); left > 0; left--) {
            const Value value = new_value(lane.place);
            lane.values.push_back(value);
            setup_.log->on_value(*transaction_, setup_.partitions[lane.place].number, value);
        }
        lane.batch = make_batch(lane.place, lane.values);
    }
    if (has_offsets_) {
        setup_.log->on_offset(*transaction_, consumed_ + random.between(1, 9));
    }
    step_ = setup_.is_version_2 ? Step::produce : Step::add;
}

void TxnProducer::ask_coordinator() {
    constexpr int16_t kVersion = 4;
    protocol::FindCoordinatorRequest request;
    request.key_type = static_cast<int8_t>(found_); // a group's, then a transactional id's
    const std::string key = found_ == 0 ? group() : setup_.id;
    request.coordinator_keys.push_back(key);
    line_.stream().ask(request, kVersion, [this](ByteView body) {
        const auto answer = protocol::FindCoordinatorResponse::decode(body, kVersion);
        if (!answer || answer->coordinators.size() != 1) {
            world_.violate("FindCoordinator: an answer that cannot be read");
            return;
        }
        if (go_on(judge("FindCoordinator", answer->coordinators[0].error_code))) {
            coordinators_[found_] = std::string(answer->coordinators[0].host);
            found_++;
            next();
        }
    });
}

void TxnProducer::ask_init() {
    const int16_t version = setup_.is_version_2 ? int16_t{5} : int16_t{4};
    protocol::InitProducerIdRequest request;
    request.transactional_id = setup_.id;
    request.transaction_timeout_ms = static_cast<int32_t>(setup_.timeout / 1ms);
    if (claims_) {
        request.producer_id = producer_id_;
        request.producer_epoch = epoch_;
    }
    line_.stream().ask(request, version, [this, version](ByteView body) {
        const auto answer = protocol::InitProducerIdResponse::decode(body, version);
        if (!answer) {
            world_.violate("InitProducerId: an answer that cannot be read");
            return;
        }
        world_.trace("txn_init", number_, static_cast<uint64_t>(answer->error_code));
        const Verdict verdict = judge("InitProducerId", answer->error_code);
        if (verdict == Verdict::fenced && !claims_) {
            world_.violate(setup_.id + ": InitProducerId without a claim is fenced");
            return;
        }
        if (go_on(verdict)) {
            producer_id_ = answer->producer_id;
            epoch_ = answer->producer_epoch;
            setup_.log->on_epoch(number_, producer_id_, epoch_, *setup_.client.checker);
            sequences_.clear();
            step_ = Step::offsets;
            next();
        }
    });
}

// Where its predecessor stopped.
void TxnProducer::ask_offsets() {
    constexpr int16_t kVersion = 7;
    protocol::OffsetFetchRequest request;
    const std::string id = group();
    request.group_id = id;
    request.require_stable = true;
    auto& topic = request.topics.emplace().emplace_back();
    topic.name = setup_.input.topic;
    topic.partition_indexes.push_back(setup_.input.index);
    line_.stream().ask(
        request, kVersion, [this, certain = setup_.log->last_certain(number_)](ByteView body) {
            const auto answer = protocol::OffsetFetchResponse::decode(body, kVersion);
            if (!answer) {
                world_.violate("OffsetFetch: an answer that cannot be read");
                return;
            }
            Verdict verdict = judge("OffsetFetch", answer->error_code);
            if (verdict == Verdict::fine && answer->topics.size() == 1 &&
                answer->topics[0].partitions.size() == 1) {
                const auto& shown = answer->topics[0].partitions[0];
                verdict = judge("OffsetFetch", shown.error_code);
                if (verdict == Verdict::fine) {
                    setup_.log->on_offset_shown(number_, certain, shown.committed_offset,
                                                shown.metadata.value_or(""));
                    consumed_ = std::max<int64_t>(shown.committed_offset, 0);
                }
            }
            if (go_on(verdict)) {
                step_ = Step::begin;
                next();
            }
        });
}

void TxnProducer::ask_add() {
    constexpr int16_t kVersion = 3;
    protocol::AddPartitionsToTxnRequest request;
    request.v3_and_below_transactional_id = setup_.id;
    request.v3_and_below_producer_id = producer_id_;
    request.v3_and_below_producer_epoch = epoch_;
    for (const Lane& lane : lanes_) {
        const PartitionPlace& place = setup_.partitions[lane.place];
        if (request.v3_and_below_topics.empty()) {
            request.v3_and_below_topics.emplace_back().name = place.topic; // of one topic all
        }
        request.v3_and_below_topics[0].partitions.push_back(place.index);
    }
    line_.stream().ask(request, kVersion, [this](ByteView body) {
        const auto answer = protocol::AddPartitionsToTxnResponse::decode(body, kVersion);
        if (!answer) {
            world_.violate("AddPartitionsToTxn: an answer that cannot be read");
            return;
        }
        Verdict worst = Verdict::fine;
        for (const auto& topic : answer->results_by_topic_v3_and_below) {
            for (const auto& partition : topic.results_by_partition) {
                worst =
                    std::max(worst, judge("AddPartitionsToTxn", partition.partition_error_code));
            }
        }
        if (go_on(worst)) {
            step_ = Step::produce;
            next();
        }
    });
}

void TxnProducer::ask_produce() {
    const int16_t version = setup_.is_version_2 ? kProduceV2 : kProduceV1;
    protocol::ProduceRequest request;
    request.transactional_id = setup_.id;
    request.acks = -1;
    request.timeout_ms = 3000;
    auto& topic = request.topic_data.emplace_back();
    topic.name = setup_.partitions[0].topic;
    Directory* const directory = setup_.client.directory;
    for (const Lane& lane : lanes_) {
        const PartitionPlace& place = setup_.partitions[lane.place];
        if (!lane.is_done && (directory == nullptr ||
                              directory->leader(place.topic, place.index) == line_.address())) {
            auto& data = topic.partition_data.emplace_back();
            data.index = place.index;
            data.records = protocol::RecordsRef{lane.batch, 0};
        }
    }
    line_.stream().ask(request, version,
                       [this, version](ByteView body) { on_produced(body, version); });
}

void TxnProducer::on_produced(ByteView body, int16_t version) {
    const auto answer = protocol::ProduceResponse::decode(body, version);
    if (!answer) {
        world_.violate("Produce: an answer that cannot be read");
        return;
    }
    Verdict worst = Verdict::fine;
    for (const auto& topic : answer->responses) {
        for (const auto& partition : topic.partition_responses) {
            const auto lane = std::find_if(lanes_.begin(), lanes_.end(), [&](const Lane& l) {
                return setup_.partitions[l.place].index == partition.index;
            });
            if (lane == lanes_.end()) {
                world_.violate("Produce: a partition that was not asked for");
                return;
            }
            const uint16_t number = setup_.partitions[lane->place].number;
            world_.trace("txn_produced", number, static_cast<uint64_t>(partition.error_code));
            const Verdict verdict = judge("Produce", partition.error_code);
            worst = std::max(worst, verdict);
            if (verdict == Verdict::fine) {
                lane->is_done = true;
                for (size_t i = 0; i < lane->values.size() && partition.base_offset >= 0; i++) {
                    setup_.client.checker->on_acknowledged(
                        number, partition.base_offset + static_cast<int64_t>(i), lane->values[i]);
                }
            }
        }
    }
    const bool is_all =
        std::all_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return lane.is_done; });
    if (go_on(worst) && !is_all) {
        next(); // the rest is led elsewhere
    } else if (worst == Verdict::fine) {
        step_ = !has_offsets_         ? Step::end
                : setup_.is_version_2 ? Step::commit_offsets
                                      : Step::add_offsets;
        next();
    }
}

void TxnProducer::ask_add_offsets() {
    constexpr int16_t kVersion = 3;
    protocol::AddOffsetsToTxnRequest request;
    const std::string id = group();
    request.transactional_id = setup_.id;
    request.producer_id = producer_id_;
    request.producer_epoch = epoch_;
    request.group_id = id;
    line_.stream().ask(request, kVersion, [this](ByteView body) {
        const auto answer = protocol::AddOffsetsToTxnResponse::decode(body, kVersion);
        if (!answer) {
            world_.violate("AddOffsetsToTxn: an answer that cannot be read");
            return;
        }
        if (go_on(judge("AddOffsetsToTxn", answer->error_code))) {
            step_ = Step::commit_offsets;
            next();
        }
    });
}

void TxnProducer::ask_commit_offsets() {
    const int16_t version = setup_.is_version_2 ? kOffsetsV2 : kOffsetsV1;
    protocol::TxnOffsetCommitRequest request;
    const std::string id = group();
    const std::string metadata = TxnLog::metadata_of(*transaction_);
    request.transactional_id = setup_.id;
    request.group_id = id;
    request.producer_id = producer_id_;
    request.producer_epoch = epoch_;
    auto& topic = request.topics.emplace_back();
    topic.name = setup_.input.topic;
    auto& partition = topic.partitions.emplace_back();
    partition.partition_index = setup_.input.index;
    partition.committed_offset = setup_.log->offset_of(*transaction_);
    partition.committed_metadata = metadata;
    line_.stream().ask(request, version, [this, version](ByteView body) {
        const auto answer = protocol::TxnOffsetCommitResponse::decode(body, version);
        if (!answer || answer->topics.size() != 1 || answer->topics[0].partitions.size() != 1) {
            world_.violate("TxnOffsetCommit: an answer that cannot be read");
            return;
        }
        const int16_t error_code = answer->topics[0].partitions[0].error_code;
        world_.trace("txn_offsets", number_, static_cast<uint64_t>(error_code));
        if (go_on(judge("TxnOffsetCommit", error_code))) {
            step_ = Step::end;
            next();
        }
    });
}

void TxnProducer::ask_end() {
    const int16_t version = setup_.is_version_2 ? kEndV2 : kEndV1;
    protocol::EndTxnRequest request;
    request.transactional_id = setup_.id;
    request.producer_id = producer_id_;
    request.producer_epoch = epoch_;
    request.committed = commits_;
    if (commits_) {
        setup_.log->on_commit_asked(*transaction_);
    }
    end_attempts_++;
    line_.stream().ask(request, version, [this, version](ByteView body) {
        const auto answer = protocol::EndTxnResponse::decode(body, version);
        if (!answer) {
            world_.violate("EndTxn: an answer that cannot be read");
            return;
        }
        on_ended(answer->error_code, answer->producer_id, answer->producer_epoch);
    });
}

void TxnProducer::on_ended(int16_t error_code, int64_t producer_id, int16_t epoch) {
    world_.trace(commits_ ? "txn_commit" : "txn_abort", *transaction_,
                 static_cast<uint64_t>(error_code));
    switch (judge("EndTxn", error_code)) {
    case Verdict::retry:
        line_.next_later(world_.between(5ms, 100ms));
        return;
    case Verdict::unexpected:
        return;
    case Verdict::abort:
    case Verdict::fenced:
        // Of a timeout. A first attempt that is refused has certainly not committed.
        if (commits_ && end_attempts_ == 1) {
            setup_.log->on_aborted(*transaction_);
        }
        start_anew(false);
        line_.next_later(world_.between(5ms, 50ms));
        return;
    case Verdict::fine:
        break;
    }
    const bool is_in_doubt =
        std::any_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return !lane.is_done; });
    if (commits_) {
        setup_.log->on_committed(*transaction_);
        if (has_offsets_) {
            consumed_ = setup_.log->offset_of(*transaction_);
        }
    } else if (!setup_.log->is_commit_asked(*transaction_)) {
        setup_.log->on_aborted(*transaction_);
    }
    if (commits_ && is_last_) {
        is_done_ = true;
        line_.stop();
        return;
    }
    transaction_.reset();
    step_ = Step::begin;
    if (setup_.is_version_2) {
        setup_.log->on_epoch(number_, producer_id, epoch, *setup_.client.checker);
        producer_id_ = producer_id;
        epoch_ = epoch;
        sequences_.clear();
    } else if (is_in_doubt) { // of its sequence numbers
        start_anew(world_.chance_percent(50));
    }
    line_.next_later(world_.between(0ms, 100ms));
}

// ---- zombies ------------------------------------------------------------------------------------

void TxnProducer::send_ghost() {
    const Ghost ghost = *std::exchange(ghost_, std::nullopt);
    switch (ghost.kind) {
    case Ghost::Kind::batch: {
        const int16_t version = setup_.is_version_2 ? kProduceV2 : kProduceV1;
        protocol::ProduceRequest request;
        request.transactional_id = setup_.id;
        request.acks = -1;
        request.timeout_ms = 1000;
        auto& topic = request.topic_data.emplace_back();
        topic.name = setup_.partitions[ghost.place].topic;
        auto& data = topic.partition_data.emplace_back();
        data.index = setup_.partitions[ghost.place].index;
        data.records = protocol::RecordsRef{ghost.batch, 0};
        line_.stream().ask(request, version, [this, version](ByteView body) {
            const auto answer = protocol::ProduceResponse::decode(body, version);
            if (!answer || answer->responses.size() != 1) {
                world_.violate("Produce: an answer that cannot be read");
                return;
            }
            on_ghost_answer("Produce", answer->responses[0].partition_responses.at(0).error_code);
        });
        return;
    }
    case Ghost::Kind::offsets: {
        const int16_t version = setup_.is_version_2 ? kOffsetsV2 : kOffsetsV1;
        protocol::TxnOffsetCommitRequest request;
        const std::string id = group();
        request.transactional_id = setup_.id;
        request.group_id = id;
        request.producer_id = ghost.producer_id;
        request.producer_epoch = ghost.epoch;
        auto& topic = request.topics.emplace_back();
        topic.name = setup_.input.topic;
        auto& partition = topic.partitions.emplace_back();
        partition.partition_index = setup_.input.index;
        partition.committed_offset = consumed_ + 1'000'000;
        partition.committed_metadata = "zombie";
        line_.stream().ask(request, version, [this, version](ByteView body) {
            const auto answer = protocol::TxnOffsetCommitResponse::decode(body, version);
            if (!answer || answer->topics.size() != 1) {
                world_.violate("TxnOffsetCommit: an answer that cannot be read");
                return;
            }
            on_ghost_answer("TxnOffsetCommit", answer->topics[0].partitions.at(0).error_code);
        });
        return;
    }
    case Ghost::Kind::end: {
        const int16_t version = setup_.is_version_2 ? kEndV2 : kEndV1;
        protocol::EndTxnRequest request;
        request.transactional_id = setup_.id;
        request.producer_id = ghost.producer_id;
        request.producer_epoch = ghost.epoch;
        request.committed = true;
        line_.stream().ask(request, version, [this, version](ByteView body) {
            const auto answer = protocol::EndTxnResponse::decode(body, version);
            if (!answer) {
                world_.violate("EndTxn: an answer that cannot be read");
                return;
            }
            on_ghost_answer("EndTxn", answer->error_code);
        });
        return;
    }
    }
}

void TxnProducer::on_ghost_answer(const char* api, int16_t error_code) {
    world_.trace("zombie", number_, static_cast<uint64_t>(error_code));
    if (error_code == 0) {
        world_.violate(setup_.id + ": " + api +
                       " of a fenced producer was accepted after InitProducerId was acknowledged");
        return;
    }
    next();
}

} // namespace qtool::sim
