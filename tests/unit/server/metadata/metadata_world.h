// A metadata store in memory, a replay and the image it gives: operations run as a broker runs
// them, without files and cores.
#pragma once

#include "lib/base/prng.h"
#include "server/metadata/operation.h"
#include "server/metadata/record_codec.h"
#include "server/metadata/replay.h"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace qtool::test {

class SeededRandom final : public port::Random {
public:
    explicit SeededRandom(uint64_t seed) : prng_(seed) {}
    uint64_t next() override { return prng_.next(); }

private:
    Prng prng_;
};

/// The rules of port::MetadataStore, at once.
class MemoryStore {
public:
    Result<port::StoreChange> commit(const port::StoreTransaction& transaction) {
        for (const port::StoreGuard& guard : transaction.guards) {
            const auto at = entries_.find(guard.key);
            if ((at == entries_.end() ? Revision{0} : at->second.mod_revision) !=
                guard.mod_revision) {
                return Error(Code::store_conflict, guard.key);
            }
        }
        revision_ = revision_ + 3; // revisions may rise by any amount
        for (const port::StoreWrite& write : transaction.writes) {
            entries_.erase(write.key);
            if (write.value) {
                entries_[write.key] = {write.key, *write.value, revision_};
            }
        }
        return port::StoreChange{revision_, transaction.writes};
    }
    [[nodiscard]] port::StoreSnapshot snapshot() const {
        port::StoreSnapshot snapshot{revision_, {}};
        for (const auto& entry : entries_) {
            snapshot.entries.push_back(entry.second);
        }
        return snapshot;
    }
    [[nodiscard]] bool has(const std::string& key) const { return entries_.contains(key); }

private:
    Revision revision_;
    std::map<std::string, port::StoreEntry> entries_;
};

/// Three live brokers on racks a, b, a, unless told otherwise.
class World {
public:
    explicit World(int32_t broker_count = 3, config::BrokerConfig start = {})
        : config(std::move(start)) {
        for (int32_t i = 1; i <= broker_count; i++) {
            metadata::BrokerImage broker;
            broker.id = BrokerId(i);
            broker.host = "broker" + std::to_string(i);
            broker.port = 9092;
            broker.rack = i % 2 == 1 ? "a" : "b";
            Uuid incarnation;
            incarnation.bytes.fill(static_cast<uint8_t>(100 + i));
            write({{metadata::broker_key(broker.id), metadata::encode_broker(broker)},
                   {metadata::live_key(broker.id), metadata::encode_live(incarnation)}});
        }
    }

    config::BrokerConfig config;
    MemoryStore store;
    SeededRandom random{42};
    metadata::Replay replay{config};
    metadata::ImageRef image = std::make_shared<metadata::Image>();
    metadata::Delta delta; // of the last change

    /// Commits and applies.
    void write(std::vector<port::StoreWrite> writes) {
        Result<port::StoreChange> change = store.commit({{}, std::move(writes)});
        REQUIRE(change);
        apply(*change);
    }
    void apply(const port::StoreChange& change) {
        Result<metadata::Replay::Step> step = replay.apply(change);
        if (!step) {
            FAIL(to_string(step.error()));
        }
        image = step->image;
        delta = step->delta;
    }
    /// The writes of one round without conflict; none when there was nothing to write.
    std::vector<port::StoreWrite> run(metadata::Operation& operation) {
        const port::StoreTransaction transaction = operation.decide(*image, random);
        if (!transaction.writes.empty()) {
            Result<port::StoreChange> change = store.commit(transaction);
            REQUIRE(change);
            apply(*change);
        }
        operation.finish({});
        return transaction.writes;
    }
    [[nodiscard]] const metadata::TopicImage& topic(std::string_view name) const {
        const metadata::TopicImage* found = image->topic(name);
        REQUIRE(found != nullptr);
        return *found;
    }
};

inline Code code_of(const std::optional<Error>& error) {
    REQUIRE(error.has_value());
    CHECK_FALSE(error->detail.empty());
    return error->code;
}

inline TopicId topic_id(uint8_t byte) {
    TopicId id;
    id.bytes.fill(byte);
    return id;
}

} // namespace qtool::test
