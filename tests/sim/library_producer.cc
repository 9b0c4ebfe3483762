#include "tests/sim/library_producer.h"

#include <algorithm>

namespace qtool::sim {

namespace {

config::ClientConfig make_client_config() {
    config::ClientConfig config;
    config.bootstrap_servers = {{"127.0.0.1", 9092}};
    return config;
}

} // namespace

LibraryProducer::LibraryProducer(Client client, std::vector<PartitionPlace> partitions,
                                 uint32_t records, Duration interval)
    : client_(client),
      world_(*client.world),
      partitions_(std::move(partitions)),
      machine_(make_client_config(), client.world->random().next()),
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
    carry_out(out);
    take_deliveries();
    const MonoTime due = machine_.next_due(world_.now());
    if (due == kMonoNever) {
        return;
    }
    const uint64_t alarm = ++step_due_;
    world_.at(std::max(due, world_.now() + 10us), [this, alarm] {
        if (alarm == step_due_) {
            step();
        }
    });
}

void LibraryProducer::carry_out(client::Outbox& out) {
    for (const client::LinkId link : out.closes) {
        if (const auto at = streams_.find(link); at != streams_.end()) {
            client_.network->close(at->second);
            links_.erase(at->second);
            streams_.erase(at);
        }
    }
    for (const client::Outbox::Connect& connect : out.connects) {
        const StreamId stream = client_.network->connect(this);
        links_[stream] = connect.link;
        streams_[connect.link] = stream;
        world_.after(world_.between(20us, 1ms), [this, link = connect.link] {
            if (streams_.count(link) > 0) {
                client::Outbox more;
                machine_.cluster().on_connected(link, world_.now(), more);
                carry_out(more);
                step();
            }
        });
    }
    for (const client::Outbox::Write& write : out.writes) {
        if (const auto at = streams_.find(write.link); at != streams_.end()) {
            for (const std::vector<std::byte>& buffer : write.buffers) {
                client_.network->send(at->second, buffer);
            }
        }
    }
}

void LibraryProducer::on_bytes(StreamId stream, ByteView bytes) {
    while (!bytes.empty()) {
        const auto at = links_.find(stream);
        if (at == links_.end()) {
            return;
        }
        const client::LinkId link = at->second;
        const ByteSpan space = machine_.cluster().receive_space(link);
        const size_t size = std::min(space.size(), bytes.size());
        std::copy_n(bytes.begin(), size, space.begin());
        bytes = bytes.subspan(size);
        client::Outbox out;
        machine_.cluster().on_received(link, size, world_.now(), out);
        carry_out(out);
    }
    step();
}

void LibraryProducer::on_end(StreamId stream) {
    if (const auto at = links_.find(stream); at != links_.end()) {
        const client::LinkId link = at->second;
        links_.erase(at);
        streams_.erase(link);
        machine_.cluster().on_closed(link, Error(Code::connection_failed, "the stream ended"),
                                     world_.now());
        step();
    }
}

void LibraryProducer::take_deliveries() {
    for (const client::DeliveredBatch& batch : machine_.take_deliveries()) {
        world_.trace("delivered", batch.tags.size(), static_cast<uint64_t>(batch.base_offset));
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
