// The clients: producers, readers and an operator, each a machine on one connection that never
// gives up, as real clients do not. What they learn goes to the Checker.
#pragma once

#include "tests/sim/checker.h"
#include "tests/sim/client_line.h"

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace qtool::sim {

struct PartitionPlace {
    std::string topic;
    int32_t index = 0;
    uint16_t number = 0; // of the checker
};

/// What all clients share.
struct Client {
    World* world = nullptr;
    Network* network = nullptr;
    Checker* checker = nullptr;
};

/// Kafka's retriable errors, as far as a single broker gives them.
bool is_retriable(int16_t error_code);

/// The bytes of a record's value, and the way back. Errors: malformed (no value of ours).
std::vector<std::byte> value_bytes(Value value, size_t size);
Result<Value> read_value(ByteView bytes);

class Producer {
public:
    struct Setup {
        Client client;
        std::vector<PartitionPlace> partitions;
        bool is_idempotent = true;
        int16_t acks = -1;
        uint32_t batches = 0; // per partition, in all
        Duration interval{};  // between batches of one partition, about
        size_t value_size_max = 300;
    };
    explicit Producer(Setup setup);
    void start();
    /// All is sent and acknowledged.
    [[nodiscard]] bool is_done() const;

private:
    struct Batch {
        uint32_t ordinal = 0;
        std::vector<Value> values;
        std::vector<std::byte> bytes;
        bool in_flight = false;
    };
    struct Lane { // of one partition
        PartitionPlace place;
        std::deque<Batch> queue; // not acknowledged; those in flight come first
        uint32_t batches_made = 0;
        int32_t next_sequence = 0;
        uint32_t in_flight = 0;
        bool is_stalled = false; // an error came: nothing is sent until all answers are there
    };
    /// One batch of a request.
    struct Sent {
        size_t lane;
        uint32_t ordinal;
    };
    void tick();
    void make_batch(Lane& lane);
    void connect();
    void on_connected();
    void pump();
    bool send_request();
    void ask_producer_id();
    void on_answer(ByteView body, int16_t version, const std::vector<Sent>& sent);
    void on_batch_answer(Lane& lane, uint32_t ordinal, int16_t error_code, int64_t base_offset);
    void on_end();

    World& world_;
    Setup setup_;
    ClientLine line_;
    uint16_t number_;
    int64_t producer_id_ = -1;
    int16_t producer_epoch_ = -1;
    std::vector<Lane> lanes_;
};

/// Reads all partitions from the log start on, for as long as the run lasts.
class Reader {
public:
    /// `is_audit`: done when everything there was is read.
    Reader(Client client, std::vector<PartitionPlace> partitions, bool is_audit);
    void start();
    [[nodiscard]] bool is_done() const;
    void stop() { line_.stop(); }

private:
    struct Lane {
        PartitionPlace place;
        int64_t position = -1;     // -1: to be asked for
        int64_t out_of_range = -1; // a position below the log start, so the broker said
        bool is_done = false;      // of an audit
    };
    /// A partition of a request, with what was certain when it was sent.
    struct Asked {
        size_t lane;
        Checker::Known known;
    };
    void next();
    void ask_start(size_t lane);
    void ask_fetch();
    void on_fetched(ByteView body, int16_t version, const std::vector<Asked>& asked);
    bool take_records(Lane& lane, ByteView records, int64_t high_watermark);

    Client client_;
    World& world_;
    ClientLine line_;
    std::vector<Lane> lanes_;
    bool is_audit_;
};

/// Creates the topics, then creates and deletes topics of its own and deletes records.
class Operator {
public:
    struct Topic {
        std::string name;
        int32_t partitions = 1;
        std::map<std::string, std::string> configs{};
    };
    Operator(Client client, std::vector<Topic> topics, std::vector<PartitionPlace> partitions,
             bool deletes_records);
    void start();
    [[nodiscard]] bool has_topics() const { return created_ == topics_.size(); }
    /// No more changes; the metadata is compared with what was acknowledged.
    void finish() { finishing_ = true; }
    [[nodiscard]] bool is_done() const { return verified_; }

private:
    /// A topic of its own, over and over: created, written, read, deleted.
    struct Churn {
        std::string name;
        uint32_t generation = 0; // of its records: none of an older one may come back
        bool is_there = false;
        bool in_doubt = false; // asked to change, not answered
        bool has_records = false;
        bool is_checked = false; // read when nothing changes any more
    };
    void next();
    void ask_create(const Topic& topic, std::function<void()> on_done);
    void ask_delete(Churn& churn);
    void ask_write(Churn& churn);
    void ask_read(Churn& churn);
    [[nodiscard]] static Value value_of(const Churn& churn);
    void check_records(Churn& churn, ByteView records);
    void ask_delete_records();
    void ask_metadata();

    Client client_;
    World& world_;
    ClientLine line_;
    std::vector<Topic> topics_;
    std::vector<PartitionPlace> partitions_;
    bool deletes_records_;
    size_t created_ = 0;
    std::vector<Churn> churns_;
    bool finishing_ = false;
    bool verified_ = false;
};

} // namespace qtool::sim
