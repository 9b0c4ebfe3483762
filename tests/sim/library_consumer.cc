#include "tests/sim/library_consumer.h"

#include <algorithm>

namespace qtool::sim {

LibraryConsumer::LibraryConsumer(Client client, std::vector<PartitionPlace> partitions)
    : client_(client),
      world_(*client.world),
      partitions_(std::move(partitions)),
      machine_(library_config(client), client.world->random().next()),
      links_(client, machine_.cluster(), [this] { step(); }) {}

void LibraryConsumer::start() {
    std::vector<client::PartitionOffset> positions;
    for (const PartitionPlace& place : partitions_) {
        positions.push_back({place.topic, place.index, 0});
    }
    machine_.assign(positions);
    step();
}

void LibraryConsumer::step() {
    take_records();
    client::Outbox out;
    machine_.step(world_.now(), out);
    links_.carry_out(out);
    links_.set_alarm(machine_.has_ready() ? world_.now() : machine_.next_due(world_.now()));
}

void LibraryConsumer::take_records() {
    if (const Result<void> taken = machine_.take_records(records_); !taken) {
        on_error(taken.error());
        return;
    }
    if (!records_.empty()) {
        world_.trace("consumed", records_.size(), static_cast<uint64_t>(records_[0].offset));
    }
    for (const client::ConsumerRecord& record : records_) {
        const auto place =
            std::find_if(partitions_.begin(), partitions_.end(), [&](const PartitionPlace& p) {
                return p.topic == record.topic && p.index == record.partition;
            });
        const Result<Value> value = record.value
                                        ? read_value(as_bytes(*record.value))
                                        : Result<Value>(Error(Code::malformed, "a null value"));
        if (place == partitions_.end() || !value) {
            world_.violate("the library's consumer gave out a record that nobody wrote");
            return;
        }
        client_.checker->on_read(place->number, record.offset, *value);
    }
}

// What the faults explain is tried again; the machine itself has given up that partition.
void LibraryConsumer::on_error(const Error& error) {
    world_.trace("consumer_error", static_cast<uint64_t>(error.code), 0);
    const bool is_rotten =
        std::any_of(partitions_.begin(), partitions_.end(), [&](const PartitionPlace& place) {
            return client_.checker->may_be_rotten(place.number);
        });
    if ((error.code == Code::malformed && !is_rotten) || error.code == Code::corrupt ||
        error.code == Code::too_large) {
        world_.violate("the library's consumer: " + to_string(error));
        return;
    }
    bool behind = false; // of what was deleted
    for (const PartitionPlace& place : partitions_) {
        const int64_t position = machine_.position(place.topic, place.index);
        const int64_t deleted = client_.checker->delete_asked(place.number);
        behind = behind || position < deleted;
        if (!machine_.seek(place.topic, place.index, std::max(position, deleted))) {
            world_.violate("the library's consumer cannot seek " + place.topic);
            return;
        }
    }
    if (error.code == Code::offset_out_of_range && !behind) {
        world_.violate("the library's consumer: nothing was deleted, but " + to_string(error));
    }
}

} // namespace qtool::sim
