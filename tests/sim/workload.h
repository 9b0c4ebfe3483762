// The clients: producers, readers and an operator, each a machine on one connection that never
// gives up, as real clients do not. What they learn goes to the Checker.
#pragma once

#include "tests/sim/checker.h"
#include "tests/sim/client_line.h"
#include "tests/sim/directory.h"

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
    Directory* directory = nullptr; // nullptr: there is one broker
};

/// The lines of one client to the brokers it has to do with, by address.
class ClientLines {
public:
    using OnLine = std::function<void(ClientLine& line)>;
    /// `next` and `on_end` as those of ClientLine, which says of which line.
    ClientLines(Client client, OnLine next, OnLine on_end);

    /// To the leader of that partition; nullptr: nobody knows it. Made when there is none.
    ClientLine* to_leader(const PartitionPlace& place);
    /// To some broker: an open one if there is any.
    ClientLine& to_any();
    [[nodiscard]] const std::map<std::string, std::unique_ptr<ClientLine>>& all() const {
        return lines_;
    }
    void stop();

private:
    ClientLine& to(const std::string& address);

    Client client_;
    OnLine next_;
    OnLine on_end_;
    std::map<std::string, std::unique_ptr<ClientLine>> lines_;
};

/// Kafka's retriable errors, as far as brokers give them.
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
    /// What is not: for people.
    [[nodiscard]] std::string left() const;

private:
    struct Batch {
        uint32_t ordinal = 0;
        std::vector<Value> values;
        std::vector<std::byte> bytes;
        bool in_flight = false;
        uint32_t sent_count = 0;
    };
    struct Lane { // of one partition
        PartitionPlace place;
        std::deque<Batch> queue; // not acknowledged; those in flight come first
        uint32_t batches_made = 0;
        int32_t next_sequence = 0;
        uint32_t in_flight = 0;
        const ClientLine* at = nullptr; // where they are
        bool is_stalled = false; // an error came: nothing is sent until all answers are there
        bool is_known = false;   // a batch was acknowledged, so whoever leads knows the producer
        bool has_gap = false;    // a batch was given up
        bool has_sent_again = false; // the first copy may come late
    };
    /// One batch of a request.
    struct Sent {
        size_t lane;
        uint32_t ordinal;
    };
    void tick();
    void make_batch(Lane& lane);
    static void connect(ClientLine& line);
    void on_connected(ClientLine& line);
    void pump();
    bool send_request(ClientLine& line);
    void ask_producer_id(ClientLine& line);
    void on_answer(const ClientLine& line, ByteView body, int16_t version,
                   const std::vector<Sent>& sent);
    void on_batch_answer(const ClientLine& line, Lane& lane, uint32_t ordinal, int16_t error_code,
                         int64_t base_offset);
    void on_end(ClientLine& line);

    World& world_;
    Setup setup_;
    ClientLines lines_;
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
    void stop();
    /// Of an audit: what is not read yet.
    [[nodiscard]] std::string left() const;

private:
    struct Lane {
        PartitionPlace place;
        int64_t position = -1;     // -1: to be asked for
        int64_t out_of_range = -1; // a position below the log start, so the broker said
        int32_t epoch = -1;        // the last one among the batches read
        bool is_done = false;      // of an audit
    };
    /// A partition of a request, with what was certain when it was sent.
    struct Asked {
        size_t lane;
        Checker::Known known;
    };
    void look();
    void next(ClientLine& line);
    void ask_start(ClientLine& line, size_t lane);
    void ask_end(ClientLine& line, size_t lane);
    /// ... of whoever led before, as old clients do.
    void ask_former_end(ClientLine& line);
    void ask_fetch(ClientLine& line, const std::vector<size_t>& lanes);
    void on_fetched(ClientLine& line, ByteView body, int16_t version,
                    const std::vector<Asked>& asked);
    bool take_records(Lane& lane, ByteView records, int64_t high_watermark);
    void on_error(int16_t error_code);

    Client client_;
    World& world_;
    ClientLines lines_;
    std::vector<Lane> lanes_;
    bool is_audit_;
    bool is_stopped_ = false;
};

/// Creates the topics, then creates and deletes topics of its own and deletes records.
class Operator {
public:
    struct Topic {
        std::string name;
        int32_t partitions = 1;
        std::map<std::string, std::string> configs{};
        int16_t replication_factor = 1;
    };
    Operator(Client client, std::vector<Topic> topics, std::vector<PartitionPlace> partitions,
             bool deletes_records);
    void start();
    [[nodiscard]] bool has_topics() const { return created_ == topics_.size(); }
    /// Of the topics that come and go.
    void set_replication_factor(int16_t factor) { churn_replication_factor_ = factor; }
    /// Moves replicas among brokers 1 to `count`, and elects preferred leaders.
    void move_replicas(int32_t count) { brokers_ = count; }
    /// Whatever it did through one broker, it often does the next thing at once through another,
    /// whose image may be older.
    void change_broker() { changes_broker_ = true; }
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
        uint32_t tries = 0;    // of that change
        bool has_records = false;
        bool is_checked = false; // read when nothing changes any more
    };
    void next();
    void connect_later();
    /// Runs `step` on a line to the leader of that partition: now, or when it is connected.
    void at_leader(const std::string& topic, int32_t index, std::function<void()> step);
    /// Of a request to a leader: whether `error_code` may come; the line goes elsewhere.
    bool try_elsewhere(int16_t error_code);
    /// ... on a line to another broker than the last one.
    void at_other(std::function<void()> step);
    /// The step behind a change of `churn` that was acknowledged.
    void next_after_change(Churn& churn);
    /// Creates it or deletes it, whichever is next.
    void ask_change(Churn& churn);
    /// `on_done` sees to the next step.
    void ask_create(const Topic& topic, std::function<void(bool was_there)> on_done);
    void ask_delete(Churn& churn);
    void ask_write(Churn& churn);
    void ask_read(Churn& churn);
    [[nodiscard]] static Value value_of(const Churn& churn);
    void check_records(Churn& churn, ByteView records);
    /// In a cluster what an answer says may be old for a moment. True: it is asked again.
    bool asks_again();
    void ask_reassign();
    void ask_elect();
    void ask_delete_records(const PartitionPlace& place);
    void ask_metadata();

    Client client_;
    World& world_;
    ClientLine line_;
    std::vector<Topic> topics_;
    std::vector<PartitionPlace> partitions_;
    bool deletes_records_;
    size_t created_ = 0;
    int16_t churn_replication_factor_ = 1;
    int32_t brokers_ = 0;          // that replicas move among
    bool changes_broker_ = false;  // see change_broker
    std::function<void()> wanted_; // the next step, when it is known
    std::vector<Churn> churns_;
    bool finishing_ = false;
    bool verified_ = false;
    uint32_t doubts_ = 0; // in a cluster: answers that were wrong, and may have been old
};

} // namespace qtool::sim
