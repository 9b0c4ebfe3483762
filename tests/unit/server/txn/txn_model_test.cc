// Random producers of both versions against one shard, with markers that fail or are lost, clocks
// that run, appends that fail, and crashes: a new shard replays the log. Data partitions
// keep the rules of Kafka's (an epoch below the known one is refused, the coordinator epoch never
// falls) and open transactions only when verification said yes. Checked: all partitions of a
// transaction end the same way, what a client was told to be committed is committed and what it was
// told to be aborted is aborted, and in the end no transaction is left in Prepare*.
#include "lib/base/prng.h"
#include "tests/unit/server/txn/txn_world.h"

#include <algorithm>
#include <set>

namespace qtool::txn::test {

namespace {

using enum KafkaError;

// What one transaction of one producer wrote, and how it ended.
struct Attempt {
    int client = 0;
    Producer producer;
    std::set<int32_t> written;       // partitions that hold its data
    std::map<int32_t, bool> decided; // by partition: committed?
    std::optional<bool> told;        // what the client knows
};

struct DataPartition {
    std::map<int64_t, ProducerEpoch> epochs; // by producer id
    std::map<int64_t, size_t> open;          // producer id -> attempt
};

struct Client {
    std::string id;
    bool is_version_2 = false;
    std::optional<Producer> producer;
    std::optional<size_t> attempt; // the open one
    std::set<int32_t> added;
    std::optional<bool> ending; // EndTxn was sent, its answer did not say yes yet
};

class Model {
public:
    explicit Model(uint64_t seed) : random_(seed), partitions_(3) {
        for (int i = 0; i < 4; i++) {
            clients_.push_back({"client-" + std::to_string(i), i % 2 == 1, {}, {}, {}, {}});
        }
    }

    void run(int steps) {
        for (int i = 0; i < steps; i++) {
            step();
        }
        settle();
        check();
    }

private:
    void step() {
        const uint64_t dice = random_.below(100);
        Client& client = clients_[random_.below(clients_.size())];
        if (dice < 8) {
            init(client);
        } else if (dice < 45) {
            write(client);
        } else if (dice < 65) {
            end(client);
        } else if (dice < 90) {
            deliver_marker(random_.chance(200'000));
        } else if (dice < 96) {
            world_.pass_ms(static_cast<int64_t>(random_.below(3'000)));
        } else if (dice < 98) {
            crash();
        } else {
            world_.append_error =
                random_.chance(500'000) ? std::optional(Code::not_enough_replicas) : std::nullopt;
        }
    }

    // A new incarnation of the client: it forgets what it did.
    void init(Client& client) {
        const auto response = world_.init(client.id, {}, 20'000);
        client.attempt.reset();
        client.added.clear();
        client.ending.reset();
        client.producer.reset();
        if (response.error_code == 0) {
            client.producer =
                Producer{ProducerId(response.producer_id), ProducerEpoch(response.producer_epoch)};
        }
    }

    void write(Client& client) {
        if (!client.producer || client.ending) {
            return;
        }
        const auto index = static_cast<int32_t>(random_.below(partitions_.size()));
        DataPartition& partition = partitions_[static_cast<size_t>(index)];
        const int64_t id = client.producer->id.value();
        if (!client.is_version_2 && !client.added.contains(index)) {
            if (world_.add(client.id, *client.producer, "a", {index}) != none) {
                return;
            }
            client.added.insert(index);
        }
        // Open for this producer and epoch: what the leader appends without asking. Else the
        // coordinator is asked, which for version 2 adds the partition.
        const bool is_open =
            partition.open.contains(id) && partition.epochs[id] == client.producer->epoch;
        if (!is_open && world_.add_batched(client.id, *client.producer, "a", index,
                                           !client.is_version_2) != none) {
            return;
        }
        const auto known = partition.epochs.find(id);
        if (known != partition.epochs.end() && client.producer->epoch < known->second) {
            return; // fenced
        }
        if (!client.attempt) {
            client.attempt = attempts_.size();
            Attempt& attempt = attempts_.emplace_back();
            attempt.client = static_cast<int>(&client - clients_.data());
            attempt.producer = *client.producer;
        }
        if (partition.open.contains(id)) {
            REQUIRE(partition.open[id] == *client.attempt); // nobody joins another's transaction
        }
        partition.epochs[id] = client.producer->epoch;
        partition.open[id] = *client.attempt;
        attempts_[*client.attempt].written.insert(index);
    }

    void end(Client& client) {
        if (!client.producer || (!client.attempt && !client.is_version_2)) {
            return;
        }
        const bool commit =
            client.ending ? *client.ending : client.attempt && random_.chance(600'000);
        client.ending = commit;
        const auto response =
            world_.end(client.id, *client.producer, commit, client.is_version_2 ? 5 : 4);
        const bool is_lost = random_.chance(100'000);
        switch (TxnWorld::code(response.error_code)) {
        case none:
            if (is_lost) {
                return; // asks again
            }
            if (client.attempt) {
                attempts_[*client.attempt].told = commit;
            }
            if (client.is_version_2) {
                client.producer = Producer{ProducerId(response.producer_id),
                                           ProducerEpoch(response.producer_epoch)};
            }
            break;
        case concurrent_transactions:
        case coordinator_not_available:
            return; // asks again
        default:
            client.producer.reset(); // fenced: only a new incarnation helps
            break;
        }
        client.attempt.reset();
        client.added.clear();
        client.ending.reset();
    }

    void deliver_marker(bool fails) {
        if (world_.markers.empty()) {
            return;
        }
        if (fails) {
            world_.answer_marker(Error(Code::not_leader));
            return;
        }
        const coordinator::MarkerRequest request = world_.markers.front();
        DataPartition& partition =
            partitions_[static_cast<size_t>(request.partition.index.value())];
        const int64_t id = request.marker.producer_id.value();
        const auto epoch = partition.epochs.find(id);
        const auto open = partition.open.find(id);
        if (epoch != partition.epochs.end()) {
            const bool is_refused =
                request.marker.producer_epoch < epoch->second ||
                (request.transaction_version >= 2 && open != partition.open.end() &&
                 request.marker.producer_epoch == epoch->second);
            REQUIRE_FALSE(is_refused); // the coordinator never asks for such a marker
        }
        partition.epochs[id] = request.marker.producer_epoch;
        if (open != partition.open.end()) {
            const bool is_commit = request.marker.type == protocol::ControlType::commit;
            attempts_[open->second].decided[request.partition.index.value()] = is_commit;
            partition.open.erase(open);
        }
        world_.answer_marker();
    }

    void crash() {
        world_.append_error.reset();
        world_.restart();
    }

    // Everything works from here on: what is decided becomes complete, what is open times out.
    void settle() {
        world_.append_error.reset();
        for (int i = 0; i < 100; i++) {
            world_.pass_ms(10'000);
            while (!world_.markers.empty()) {
                deliver_marker(false);
            }
        }
    }

    void check() {
        for (const Client& client : clients_) {
            const Transaction* transaction = world_.shard->find(client.id);
            if (transaction != nullptr) {
                CHECK_FALSE(transaction->is_prepared());
                CHECK_FALSE(transaction->is_ongoing());
            }
        }
        for (const DataPartition& partition : partitions_) {
            CHECK(partition.open.empty());
        }
        for (const Attempt& attempt : attempts_) {
            CAPTURE(attempt.client);
            CAPTURE(attempt.producer.epoch.value());
            CHECK(attempt.decided.size() == attempt.written.size());
            std::set<bool> outcomes;
            for (const auto& [partition, committed] : attempt.decided) {
                outcomes.insert(committed);
            }
            CHECK(outcomes.size() == 1);
            if (attempt.told) {
                CHECK(outcomes.contains(*attempt.told));
            }
        }
    }

    Prng random_;
    TxnWorld world_;
    std::vector<DataPartition> partitions_;
    std::vector<Client> clients_;
    std::vector<Attempt> attempts_;
};

} // namespace

TEST_CASE("txn model: transactions are all or nothing and none hangs") {
    for (uint64_t seed = 1; seed <= 300; seed++) {
        CAPTURE(seed);
        Model(seed).run(400);
    }
}

} // namespace qtool::txn::test
