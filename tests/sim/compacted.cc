#include "tests/sim/compacted.h"

#include <algorithm>

namespace qtool::sim {

namespace {

std::chrono::milliseconds whole_ms(Duration duration) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(duration);
}

} // namespace

Compacted::Compacted(World& world) : world_(world), is_on_(world.chance_percent(30)) {}

void Compacted::configure(config::BrokerConfig& config) {
    if (!is_on_) {
        return;
    }
    Prng& random = world_.random();
    config.settings["log.segment.bytes"] = {std::to_string(random.between(9'000, 14'000)),
                                            "scenario"};
    config.cleaner_backoff_ms = random.between(20, 800);
    // A map for few keys, or for all.
    config.cleaner_dedupe_buffer_bytes =
        random.chance(300'000) ? random.between(200, 3'000) : 1'000'000;
    config.cleaner_io_buffer_bytes = static_cast<int32_t>(random.between(500, 60'000));
    if (random.chance(300'000)) {
        config.cleaner_io_bytes_per_second_max = random.between(50'000, 2'000'000);
    }
}

std::vector<Operator::Topic> Compacted::make(Client client) {
    client_ = client;
    std::vector<Operator::Topic> topics;
    if (!is_on_) {
        return topics;
    }
    Prng& random = world_.random();
    KeyedLog::Rules rules;
    rules.delete_retention = whole_ms(world_.between(0ms, 4s));
    rules.min_lag = random.chance(300'000) ? whole_ms(world_.between(100ms, 3s)) : 0ms;
    rules.may_delete = random.chance(250'000);
    const auto ms = [](Duration duration) { return std::to_string(duration / 1ms); };
    Operator::Topic& topic = topics.emplace_back();
    topic.name = "keyed";
    topic.partitions = static_cast<int32_t>(1 + random.below(2));
    topic.configs["cleanup.policy"] = rules.may_delete ? "compact,delete" : "compact";
    topic.configs["delete.retention.ms"] = ms(rules.delete_retention);
    topic.configs["min.compaction.lag.ms"] = ms(rules.min_lag);
    topic.configs["min.cleanable.dirty.ratio"] = random.chance(500'000) ? "0.01" : "0.4";
    if (random.chance(300'000)) {
        topic.configs["max.compaction.lag.ms"] = ms(rules.min_lag + world_.between(500ms, 4s));
    }
    if (rules.may_delete) {
        topic.configs["retention.ms"] = ms(world_.between(2s, 20s));
    }
    for (int32_t i = 0; i < topic.partitions; i++) {
        logs_.emplace_back(world_, topic.name + "-" + std::to_string(i), rules);
        places_.push_back({topic.name, i, &logs_.back()});
    }
    const uint64_t producers = 1 + random.below(2);
    for (uint64_t i = 0; i < producers; i++) {
        KeyedProducer::Setup setup;
        setup.client = client_;
        setup.places = places_;
        setup.number = static_cast<uint16_t>(i);
        setup.is_idempotent = i == 0 || random.chance(500'000);
        setup.batches = static_cast<uint32_t>(50 + random.below(200));
        setup.interval = world_.between(4ms, 40ms);
        setup.keys = static_cast<uint32_t>(2 + random.below(20));
        setup.tombstone_percent = static_cast<uint32_t>(random.below(30));
        producers_.push_back(std::make_unique<KeyedProducer>(std::move(setup)));
    }
    readers_.push_back(std::make_unique<KeyedReader>(client_, places_, false));
    return topics;
}

void Compacted::start() {
    for (const auto& producer : producers_) {
        producer->start();
    }
    for (const auto& reader : readers_) {
        reader->start();
    }
}

bool Compacted::is_done() const {
    return std::all_of(producers_.begin(), producers_.end(),
                       [](const auto& producer) { return producer->is_done(); });
}

KeyedReader* Compacted::begin_audit() {
    if (!is_on_) {
        return nullptr;
    }
    audits_.push_back(std::make_unique<KeyedReader>(client_, places_, true));
    audits_.back()->start();
    return audits_.back().get();
}

} // namespace qtool::sim
