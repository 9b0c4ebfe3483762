#include "server/coordinator/shard.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/base/units.h"
#include "lib/protocol/batch_builder.h"

#include <algorithm>
#include <utility>

namespace qtool::coordinator {

namespace {

constexpr uint32_t kReadStepBytes = 1 * MiB; // of a log, in one go; a larger batch is read whole
// Requests a machine may keep parked: as many members as groups may have here, and some.
constexpr size_t kAskedMax = 200'000;
constexpr size_t kDecompressedMax = 64 * MiB;
constexpr Duration kReadPause = std::chrono::milliseconds(200); // when descriptors are short

} // namespace

Shard::Shard(Runtime& runtime, replica::Partition& partition, std::unique_ptr<Machine> machine)
    : runtime_(runtime),
      partition_(partition),
      machine_(std::move(machine)),
      opened_at_(now()) {
    if (partition_.is_offline()) {
        state_ = State::failed;
        return;
    }
    replayed_end_ = partition_.log()->log_start_offset();
}

// ---- requests -----------------------------------------------------------------------------------

void Shard::handle(const replica::PartitionRequest& request, CoreId from, replica::Outbox& out) {
    const Asker asker{from, request.request, request.index};
    switch (state_) {
    case State::loading:
        refuse(asker, Error(Code::coordinator_loading, partition_.name() + " is being read"), out);
        return;
    case State::failed:
        refuse(asker, Error(Code::coordinator_not_available, partition_.name() + " is offline"),
               out);
        return;
    case State::loaded:
        break;
    }
    if (asked_.size() >= kAskedMax) {
        runtime_.setup_.counters->coordinator_refused.add();
        refuse(asker,
               Error(Code::coordinator_not_available,
                     partition_.name() + ": " + std::to_string(kAskedMax) + " requests wait here"),
               out);
        return;
    }
    const auto& op = std::get<replica::CoordinatorOp>(request.op);
    const Token id = asked_.emplace(asker);
    machine_->on_request(
        Request{id, op.api_key, op.api_version, op.client_id, op.client_host, op.body}, *this);
}

void Shard::answer(Token request, std::vector<std::byte> body) {
    const Asker* asker = asked_.find(request);
    if (asker == nullptr) {
        return; // released meanwhile
    }
    const Offset needs =
        state_ == State::loaded ? partition_.log()->log_end_offset() : replayed_end_;
    waiting_.push_back(Waiting{*asker, needs, std::move(body)});
    asked_.erase(request);
}

void Shard::refuse(const Asker& asker, Error error, replica::Outbox& out) {
    out.answers.push_back(
        {asker.core, replica::PartitionReply{asker.request, asker.index, std::move(error)}});
}

void Shard::release_parked(Code code, replica::Outbox& out) {
    std::vector<Token> tokens;
    asked_.for_each([&](Token token, const Asker& asker) {
        refuse(asker, Error(code, partition_.name()), out);
        tokens.push_back(token);
    });
    for (const Token token : tokens) {
        asked_.erase(token);
    }
}

void Shard::release(Code code, replica::Outbox& out) {
    release_parked(code, out);
    for (const Waiting& waiting : std::exchange(waiting_, {})) {
        refuse(waiting.asker, Error(code, partition_.name() + ": written but not confirmed"), out);
    }
}

// ---- the log ------------------------------------------------------------------------------------

Result<void> Shard::append(const NewBatch& batch) {
    QT_ASSERT(!batch.records.empty());
    if (state_ != State::loaded || partition_.is_offline()) {
        return Error(Code::not_coordinator, partition_.name() + " is out of service");
    }
    // Somebody else's markers come first, or this batch would be replayed before them. A step ends
    // with a segment, and markers may lie on both sides of a roll.
    while (replayed_end_ < partition_.log()->log_end_offset()) {
        if (Result<void> read = read_on(); !read) {
            on_read_failed(read.error());
            return Error(Code::coordinator_not_available,
                         partition_.name() + " cannot be read: " + to_string(read.error()));
        }
    }
    const int64_t timestamp = wall_now_ms();
    protocol::BatchBuilder builder;
    for (const NewRecord& record : batch.records) {
        QT_TRY(builder.append(ByteView(record.key),
                              record.value ? std::optional<ByteView>(*record.value) : std::nullopt,
                              {}, timestamp));
    }
    protocol::BatchClose close;
    close.producer_id = batch.producer_id;
    close.producer_epoch = batch.producer_epoch;
    close.transactional = batch.producer_id != kNoProducerId;
    QT_TRY_ASSIGN(std::vector<std::byte> bytes, builder.finish(close));
    QT_TRY_ASSIGN(const storage::AppendInfo info,
                  runtime_.setup_.partitions->append_own(partition_, bytes, effects_));
    QT_ASSERT(info.base_offset == replayed_end_);
    Offset offset = info.base_offset;
    for (const NewRecord& record : batch.records) {
        const Result<void> replayed = machine_->replay(
            Record{record.key, record.value ? std::optional<ByteView>(*record.value) : std::nullopt,
                   offset, timestamp, batch.producer_id, batch.producer_epoch});
        QT_ASSERT(replayed.has_value()); // its own record
        offset = offset + 1;
    }
    replayed_end_ = offset;
    return {};
}

// Short descriptors pass: it reads on where it was. A disk that fails, or bytes that are damaged,
// are this replica's alone: another one may do better. Records that make no sense are every
// replica's.
void Shard::on_read_failed(const Error& error) {
    const bool passes = storage::is_out_of_descriptors(error);
    log_line(passes ? LogLevel::warn : LogLevel::error,
             passes ? "coordinator_waits" : "coordinator_failed",
             {{"partition", partition_.name()}, {"error", to_string(error)}});
    if (passes) {
        read_at_ = now() + kReadPause;
        return;
    }
    state_ = State::failed;
    read_buffer_ = {};
    runtime_.setup_.partitions->on_read_failed(partition_, error, effects_);
}

// Reads what the log holds and the machine has not seen: one step.
Result<void> Shard::read_on() {
    storage::Log& log = *partition_.log();
    replayed_end_ = std::max(replayed_end_, log.log_start_offset());
    if (replayed_end_ >= log.log_end_offset()) {
        return {};
    }
    QT_TRY_ASSIGN(const storage::ReadInfo info,
                  log.read(replayed_end_, log.log_end_offset(), kReadStepBytes));
    if (info.range.size == 0) {
        replayed_end_ = log.log_end_offset(); // what is left was compacted away
        return {};
    }
    read_buffer_.resize(info.range.size);
    QT_TRY_ASSIGN(const size_t size, info.range.file->read_at(read_buffer_, info.range.position));
    if (size != info.range.size) {
        return Error(Code::storage_io, partition_.name() + ": the log ended while it was read");
    }
    return replay_bytes(read_buffer_);
}

Result<void> Shard::replay_bytes(ByteView bytes) {
    protocol::BatchWalker walker(bytes);
    while (true) {
        QT_TRY_ASSIGN(const protocol::BatchView* batch, walker.next());
        if (batch == nullptr) {
            break;
        }
        if (const Result<void> whole = protocol::check_batch_crc(batch->bytes); !whole) {
            return Error(Code::storage_damaged,
                         partition_.name() + ": " + to_string(whole.error()));
        }
        QT_TRY(replay_batch(*batch));
        replayed_end_ = batch->header.next_offset();
    }
    if (walker.left() != 0) {
        return Error(Code::malformed, partition_.name() + ": a batch is cut short at offset " +
                                          std::to_string(replayed_end_.value()));
    }
    return {};
}

Result<void> Shard::replay_batch(const protocol::BatchView& batch) {
    if (batch.header.is_control()) {
        QT_TRY_ASSIGN(const std::optional<protocol::TransactionMarker> marker,
                      protocol::parse_transaction_marker(batch));
        if (marker) {
            machine_->replay_marker(*marker);
        }
        return {};
    }
    const bool transactional = batch.header.is_transactional();
    QT_TRY_ASSIGN(protocol::BatchRecords records,
                  protocol::BatchRecords::open(batch, kDecompressedMax));
    while (const protocol::ConsumedRecord* record = records.next()) {
        if (record->offset < replayed_end_ || !record->record.key) {
            continue;
        }
        QT_TRY(machine_->replay(
            Record{*record->record.key, record->record.value, record->offset, record->timestamp,
                   transactional ? batch.header.producer_id : kNoProducerId,
                   transactional ? batch.header.producer_epoch : kNoProducerEpoch}));
    }
    return records.status();
}

// ---- progress -----------------------------------------------------------------------------------

void Shard::take_effects(replica::Outbox& out) {
    std::move(effects_.answers.begin(), effects_.answers.end(), std::back_inserter(out.answers));
    std::move(effects_.wakes.begin(), effects_.wakes.end(), std::back_inserter(out.wakes));
    effects_ = {};
}

void Shard::on_progress(replica::Outbox& out) {
    if (state_ != State::failed && partition_.is_offline()) {
        state_ = State::failed;
    }
    if (state_ == State::failed) {
        take_effects(out);
        release(Code::coordinator_not_available, out);
        return;
    }
    if (is_reading() || (state_ == State::loading && !has_unread())) {
        if (Result<void> read = read_on(); !read) {
            on_read_failed(read.error());
            if (state_ == State::failed) {
                take_effects(out);
                release(Code::coordinator_not_available, out);
                return;
            }
        }
        // Not before the log it was given is committed: its records may be answers to somebody.
        if (state_ == State::loading && replayed_end_ >= partition_.log()->log_end_offset() &&
            partition_.is_settled_leader()) {
            state_ = State::loaded;
            read_buffer_ = {};
            runtime_.setup_.counters->coordinator_load_time.observe(now() - opened_at_);
            machine_->on_loaded(*this);
        }
    }
    take_effects(out);
    const Offset high = partition_.high_watermark();
    while (!waiting_.empty() && waiting_.front().needs <= high) {
        Waiting& done = waiting_.front();
        out.answers.push_back(
            {done.asker.core,
             replica::PartitionReply{
                 done.asker.request, done.asker.index,
                 replica::PartitionResult(replica::CoordinatorResult{std::move(done.body)})}});
        waiting_.pop_front();
    }
    while (!waiting_markers_.empty() && waiting_markers_.front().needs <= high) {
        runtime_.markers_.push_back({partition_.key(), waiting_markers_.front().request});
        waiting_markers_.pop_front();
    }
}

MonoTime Shard::next_due() const {
    // The next step of reading, or nothing until the high watermark is known.
    const MonoTime read_due = has_unread() ? std::max(read_at_, now()) : kMonoNever;
    switch (state_) {
    case State::loading:
        return read_due;
    case State::loaded:
        return std::min(machine_->next_due(), read_due);
    case State::failed:
        break;
    }
    return kMonoNever;
}

bool Shard::has_unread() const {
    return state_ != State::failed && !partition_.is_offline() &&
           replayed_end_ < partition_.log()->log_end_offset();
}

bool Shard::is_reading() const {
    return has_unread() && read_at_ <= now();
}

void Shard::survey(metrics::CoreSurvey& survey, uint32_t offsets_max) const {
    metrics::CoordinatorSurvey& coordinators = survey.coordinators;
    switch (state_) {
    case State::loading:
        coordinators.shards_loading++;
        return;
    case State::failed:
        coordinators.shards_failed++;
        return;
    case State::loaded:
        break;
    }
    coordinators.shards_loaded++;
    coordinators.requests_parked += asked_.size();
    coordinators.answers_uncommitted += waiting_.size();
    coordinators.markers_waiting += waiting_markers_.size();
    machine_->survey(survey, offsets_max);
}

void Shard::on_time() {
    if (state_ == State::loaded && machine_->next_due() <= now()) {
        machine_->on_time(*this);
    }
}

void Shard::on_image(const metadata::Delta& delta) {
    if (state_ == State::loaded) {
        machine_->on_image(delta, *this);
    }
}

void Shard::on_marker_written(uint64_t id, const Result<void>& result) {
    if (state_ == State::loaded) {
        machine_->on_marker_written(id, result, *this);
    }
}

void Shard::write_marker(const MarkerRequest& request) {
    waiting_markers_.push_back({request, partition_.log()->log_end_offset()});
}

std::optional<ProducerId> Shard::take_producer_id() {
    return runtime_.setup_.take_producer_id();
}

} // namespace qtool::coordinator
