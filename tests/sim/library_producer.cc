#include "tests/sim/library_producer.h"

#include <algorithm>

namespace qtool::sim {

LibraryProducer::LibraryProducer(Client client, std::vector<PartitionPlace> partitions,
                                 uint32_t records, Duration interval)
    : client_(client),
      world_(*client.world),
      partitions_(std::move(partitions)),
      machine_(library_config(client), client.world->random().next()),
      links_(client, machine_.cluster(), [this] { step(); }),
      number_(client.checker->add_producer(true)),
      records_left_(records),
      interval_(interval) {}

void LibraryProducer::start() {
    machine_.set_flushing(true);
    tick();
}

void LibraryProducer::tick() {
    Prng& random = world_.random();
    for (uint64_t i = 1 + random.below(5); i > 0 && records_left_ > 0; i--) {
        if (!refused_) {
            refused_partition_ = random.below(partitions_.size());
            refused_ = client_.checker->new_value(number_, partitions_[refused_partition_].number);
        }
        const PartitionPlace& place = partitions_[refused_partition_];
        const std::vector<std::byte> bytes = value_bytes(*refused_, 8 + random.below(400));
        client::RecordParts record;
        record.value = ByteView(bytes);
        record.timestamp_ms = static_cast<int64_t>(
            1'790'000'000'000 + world_.now().time_since_epoch() / std::chrono::milliseconds(1));
        const Result<client::Producer::Take> taken =
            machine_.add(place.topic, place.index, record, *refused_, world_.now());
        if (!taken) {
            world_.violate("the library's producer refused a record: " + to_string(taken.error()));
            return;
        }
        if (*taken == client::Producer::Take::no_metadata ||
            *taken == client::Producer::Take::full) {
            break;
        }
        refused_.reset();
        records_left_--;
    }
    step();
    if (records_left_ > 0) {
        world_.after(world_.between(interval_ / 4, interval_), [this] { tick(); });
    }
}

void LibraryProducer::step() {
    client::Outbox out;
    machine_.step(world_.now(), out);
    links_.carry_out(out);
    take_deliveries();
    links_.set_alarm(machine_.next_due(world_.now()));
}

// A batch went unanswered, its records were deleted, and the new leader began anew behind them: it
// knows later batches of the producer alone, and refuses the retry as out of order (Kafka does the
// same). The producer cannot tell that from a gap, and gives up what may have been written: under
// new numbers it might be there twice.
bool LibraryProducer::may_give_up(const client::DeliveredBatch& batch) const {
    const auto number = static_cast<uint16_t>(batch.tags.front() >> 32);
    return batch.result.error().code == Code::timed_out &&
           batch.result.error().detail.find("writing it twice") != std::string::npos &&
           client_.checker->has_restarted(number);
}

void LibraryProducer::take_deliveries() {
    for (const client::DeliveredBatch& batch : machine_.take_deliveries()) {
        world_.trace("delivered", batch.tags.size(), static_cast<uint64_t>(batch.base_offset));
        if (!batch.result && may_give_up(batch)) {
            continue;
        }
        if (!batch.result) {
            world_.violate("the library's producer gave up " + to_text(batch.tags.front()) + ": " +
                           to_string(batch.result.error()));
            return;
        }
        for (size_t i = 0; batch.base_offset >= 0 && i < batch.tags.size(); i++) {
            client_.checker->on_acknowledged(static_cast<uint16_t>(batch.tags[i] >> 32),
                                             batch.base_offset + static_cast<int64_t>(i),
                                             batch.tags[i]);
        }
    }
}

} // namespace qtool::sim
