// Machine: a coordinator's state whose log is one partition of an internal topic. It decides on its
// state, hands the records of the decision to its Host, and changes state in replay alone: when its
// records went into the log, when a shard is loaded, when somebody else wrote a transaction marker.
//
// Lives on the core that owns the partition; one machine a partition, made and driven by Runtime.
//
// What makes it right: the append is a plain call into the log of the same core, so a record is
// replayed exactly when it is in the log, and no state is ever ahead of it. An answer leaves when
// everything that was in the log at the time of the answer is committed (below the high watermark);
// so nobody learns what a crash could take back, readers included.
//
// Source: KIP-848 ("Group Coordinator"), KIP-98; decide and replay as in Kafka's coordinators.
#pragma once

#include "lib/base/byte_writer.h"
#include "lib/base/bytes.h"
#include "lib/base/ids.h"
#include "lib/base/result.h"
#include "lib/base/slot_map.h"
#include "lib/base/time.h"
#include "lib/config/broker_config.h"
#include "lib/protocol/control_record.h"
#include "server/metadata/image.h"
#include "server/metrics/survey.h"
#include "server/port/random.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::coordinator {

/// One record to be written. Key and value as in Kafka's internal topics: int16 record type or
/// version, then the fields. Value nothing: a tombstone.
struct NewRecord {
    std::vector<std::byte> key;
    std::optional<std::vector<std::byte>> value;
};

/// Records that go into the log as one batch, or not at all.
struct NewBatch {
    std::vector<NewRecord> records; // at least one
    /// Offsets of a transaction (TxnOffsetCommit): a transactional batch of this producer, which
    /// counts only once its commit marker is in the log. Else a plain batch.
    ProducerId producer_id = kNoProducerId;
    ProducerEpoch producer_epoch = kNoProducerEpoch;
};

/// A record as replay sees it. Views are valid during the call.
struct Record {
    ByteView key;
    std::optional<ByteView> value; // nothing: a tombstone
    Offset offset;
    int64_t timestamp_ms = -1;
    ProducerId producer_id = kNoProducerId; // of a transactional batch, else none
    ProducerEpoch producer_epoch = kNoProducerEpoch;
};

/// A request of a client, or of another broker, to this shard.
struct Request {
    Token id; // goes back with the answer; of a client that left: the answer is dropped
    int16_t api_key = 0;
    int16_t api_version = 0;
    std::string_view client_id;
    std::string_view client_host; // "/127.0.0.1", as Kafka writes it
    ByteView body;                // encoded at api_version, without header; valid during the call
};

/// A transaction marker that a transaction coordinator wants written to a data partition.
struct MarkerRequest {
    uint64_t id = 0; // comes back in on_marker_written
    PartitionKey partition;
    protocol::TransactionMarker marker;
    int16_t transaction_version = 0; // 2: KIP-890, the epoch must be above the one in use
};

/// What a machine may ask of its runtime. Valid during the call that handed it in.
class Host {
public:
    virtual ~Host() = default;

    /// Appends and replays the batch before it returns. Errors (nothing happened): those of the
    /// log, and not_coordinator when the partition is not led here any more.
    [[nodiscard]] virtual Result<void> append(const NewBatch& batch) = 0;
    /// The response body, encoded at the request's version, without header. At most once a request;
    /// it leaves when everything in the log by now is committed.
    virtual void answer(Token request, std::vector<std::byte> body) = 0;

    /// The marker goes out when everything in the log by now is committed, as answers do.
    /// on_marker_written follows once for each, never from within.
    virtual void write_marker(const MarkerRequest& request) = 0;
    /// A producer id that nobody else has. Nothing: none at hand, more have been asked for; the
    /// client is told to try again (COORDINATOR_LOAD_IN_PROGRESS).
    virtual std::optional<ProducerId> take_producer_id() = 0;

    [[nodiscard]] virtual const metadata::Image& image() const = 0;
    [[nodiscard]] virtual const config::BrokerConfig& config() const = 0;
    [[nodiscard]] virtual MonoTime now() const = 0;
    [[nodiscard]] virtual WallTime wall_now() const = 0;
    /// The same as records keep it: milliseconds since 1970.
    [[nodiscard]] int64_t wall_now_ms() const { return wall_now().time_since_epoch().count(); }
    virtual port::Random& random() = 0;
    /// Of the shard's partition: what markers carry as coordinator epoch.
    [[nodiscard]] virtual LeaderEpoch leader_epoch() const = 0;
};

/// `response`, encoded at the request's version, as its answer.
template <class Response>
void answer(const Response& response, Token request, int16_t api_version, Host& host) {
    ByteWriter writer;
    response.encode(writer, api_version);
    host.answer(request, writer.take());
}

class Machine {
public:
    virtual ~Machine() = default;

    /// Applies one record. Changes state only: no timers by the clock, no answers, no appends; all
    /// records of the log up to its end come in order before on_loaded. Errors: malformed (a known
    /// record type that does not read; the shard is then out of service). A type this version does
    /// not know is skipped.
    virtual Result<void> replay(const Record& record) = 0;
    /// A transaction of this producer ended in this partition.
    virtual void replay_marker(const protocol::TransactionMarker& marker) {
        static_cast<void>(marker);
    }

    /// The log is read to its end; requests follow. The place to start timers.
    virtual void on_loaded(Host& host) = 0;
    /// Answered by Host::answer, now or later (a parked JoinGroup).
    virtual void on_request(const Request& request, Host& host) = 0;
    virtual void on_marker_written(uint64_t id, const Result<void>& result, Host& host) {
        static_cast<void>(id);
        static_cast<void>(result);
        static_cast<void>(host);
    }
    /// Topics came, went or grew.
    virtual void on_image(const metadata::Delta& delta, Host& host) {
        static_cast<void>(delta);
        static_cast<void>(host);
    }

    /// Adds what there is now, for metrics; of the committed offsets as many as `offsets_max`.
    virtual void survey(metrics::CoreSurvey& survey, uint32_t offsets_max) const {
        static_cast<void>(survey);
        static_cast<void>(offsets_max);
    }

    /// When on_time is wanted; kMonoNever: not at all. Asked after each of the calls above.
    [[nodiscard]] virtual MonoTime next_due() const = 0;
    virtual void on_time(Host& host) = 0;
};

/// The shard of a group or transactional id: abs(String.hashCode) mod partitions, as Kafka has it;
/// the hash runs over UTF-16 units. `partition_count` >= 1.
PartitionIndex shard_of(std::string_view key, int32_t partition_count);

} // namespace qtool::coordinator
