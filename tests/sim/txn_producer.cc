#include "tests/sim/txn_producer.h"

#include "lib/base/assert.h"
#include "lib/protocol/batch_builder.h"
#include "lib/protocol/kafka_error.h"

#include <algorithm>
#include <utility>

namespace qtool::sim {

using protocol::KafkaError;

TxnProducer::TxnProducer(Setup setup)
    : setup_(std::move(setup)),
      world_(*setup_.client.world),
      line_(
          *setup_.client.world, *setup_.client.network, [this] { next(); },
          [this] { connect_later(51ms, 150ms); }),
      calls_(world_, line_.stream(), {setup_.id, group(), setup_.is_version_2}),
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
    ghost.identity = identity_;
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
    close.producer_id = ProducerId(identity_.id);
    close.producer_epoch = ProducerEpoch(identity_.epoch);
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
    calls_.find_coordinator(static_cast<TxnCalls::Coordinator>(found_),
                            [this](int16_t error_code, std::string_view host) {
                                if (go_on(judge("FindCoordinator", error_code))) {
                                    coordinators_[found_] = std::string(host);
                                    found_++;
                                    next();
                                }
                            });
}

void TxnProducer::ask_init() {
    const auto claimed = claims_ ? std::optional(identity_) : std::nullopt;
    calls_.init(setup_.timeout, claimed, [this](int16_t error_code, TxnCalls::Identity identity) {
        world_.trace("txn_init", number_, static_cast<uint64_t>(error_code));
        const Verdict verdict = judge("InitProducerId", error_code);
        if (verdict == Verdict::fenced && !claims_) {
            world_.violate(setup_.id + ": InitProducerId without a claim is fenced");
            return;
        }
        if (go_on(verdict)) {
            take_identity(identity);
            step_ = Step::offsets;
            next();
        }
    });
}

void TxnProducer::take_identity(TxnCalls::Identity identity) {
    identity_ = identity;
    setup_.log->on_epoch(number_, identity.id, identity.epoch, *setup_.client.checker);
    sequences_.clear();
}

// Where its predecessor stopped.
void TxnProducer::ask_offsets() {
    calls_.fetch_offset(setup_.input, [this, certain = setup_.log->last_certain(number_)](
                                          int16_t error_code, const auto& committed) {
        const Verdict verdict = judge("OffsetFetch", error_code);
        if (verdict == Verdict::fine && committed) {
            setup_.log->on_offset_shown(number_, certain, committed->offset, committed->metadata);
            consumed_ = std::max<int64_t>(committed->offset, 0);
        }
        if (go_on(verdict)) {
            step_ = Step::begin;
            next();
        }
    });
}

void TxnProducer::ask_add() {
    std::vector<PartitionPlace> places;
    for (const Lane& lane : lanes_) {
        places.push_back(setup_.partitions[lane.place]);
    }
    calls_.add_partitions(identity_, places, [this](const std::vector<int16_t>& error_codes) {
        Verdict worst = Verdict::fine;
        for (const int16_t error_code : error_codes) {
            worst = std::max(worst, judge("AddPartitionsToTxn", error_code));
        }
        if (go_on(worst)) {
            step_ = Step::produce;
            next();
        }
    });
}

void TxnProducer::ask_produce() {
    std::vector<TxnCalls::Batch> batches;
    Directory* const directory = setup_.client.directory;
    for (const Lane& lane : lanes_) {
        const PartitionPlace& place = setup_.partitions[lane.place];
        if (!lane.is_done && (directory == nullptr ||
                              directory->leader(place.topic, place.index) == line_.address())) {
            batches.push_back({place.index, lane.batch});
        }
    }
    calls_.produce(setup_.partitions[0].topic, batches, 3s,
                   [this](const auto& produced) { on_produced(produced); });
}

void TxnProducer::on_produced(const std::vector<TxnCalls::Produced>& produced) {
    Verdict worst = Verdict::fine;
    for (const TxnCalls::Produced& partition : produced) {
        const auto lane = std::find_if(lanes_.begin(), lanes_.end(), [&](const Lane& l) {
            return setup_.partitions[l.place].index == partition.partition;
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
    calls_.add_group(identity_, [this](int16_t error_code) {
        if (go_on(judge("AddOffsetsToTxn", error_code))) {
            step_ = Step::commit_offsets;
            next();
        }
    });
}

void TxnProducer::ask_commit_offsets() {
    const TxnCalls::Committed committed{setup_.log->offset_of(*transaction_),
                                        TxnLog::metadata_of(*transaction_)};
    calls_.commit_offset(identity_, setup_.input, committed, [this](int16_t error_code) {
        world_.trace("txn_offsets", number_, static_cast<uint64_t>(error_code));
        if (go_on(judge("TxnOffsetCommit", error_code))) {
            step_ = Step::end;
            next();
        }
    });
}

void TxnProducer::ask_end() {
    if (commits_) {
        setup_.log->on_commit_asked(*transaction_);
    }
    end_attempts_++;
    calls_.end(identity_, commits_, [this](int16_t error_code, TxnCalls::Identity identity) {
        on_ended(error_code, identity);
    });
}

void TxnProducer::on_ended(int16_t error_code, TxnCalls::Identity identity) {
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
        take_identity(identity);
    } else if (is_in_doubt) { // of its sequence numbers
        start_anew(world_.chance_percent(50));
    }
    line_.next_later(world_.between(0ms, 100ms));
}

// ---- zombies ------------------------------------------------------------------------------------

void TxnProducer::send_ghost() {
    const Ghost ghost = *std::exchange(ghost_, std::nullopt);
    const PartitionPlace& place = setup_.partitions[ghost.place];
    switch (ghost.kind) {
    case Ghost::Kind::batch:
        calls_.produce(place.topic, {{place.index, ghost.batch}}, 1s, [this](const auto& produced) {
            on_ghost_answer("Produce", produced.at(0).error_code);
        });
        return;
    case Ghost::Kind::offsets:
        calls_.commit_offset(
            ghost.identity, setup_.input, {consumed_ + 1'000'000, "zombie"},
            [this](int16_t error_code) { on_ghost_answer("TxnOffsetCommit", error_code); });
        return;
    case Ghost::Kind::end:
        calls_.end(ghost.identity, true, [this](int16_t error_code, TxnCalls::Identity) {
            on_ghost_answer("EndTxn", error_code);
        });
        return;
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
