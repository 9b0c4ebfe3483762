// TxnCalls: the requests of a transactional client: asked at the versions of its kind, and of each
// answer what its machine goes by. An answer that cannot be read is a violation, and nobody is
// called back. Version 1 clients add partitions and groups to transactions themselves; those of
// version 2 (KIP-890) have that done by the broker, and their epoch raised at each end.
#pragma once

#include "tests/sim/workload.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::sim {

class TxnCalls {
public:
    struct Setup {
        std::string id; // the transactional one
        std::string group;
        bool is_version_2 = true;
    };
    /// Asks on `stream`, which outlives this.
    TxnCalls(World& world, KafkaStream& stream, Setup setup)
        : world_(world),
          stream_(stream),
          setup_(std::move(setup)) {}

    enum class Coordinator : uint8_t { of_group, of_transaction };
    struct Identity { // of the producer
        int64_t id = -1;
        int16_t epoch = -1;
    };
    struct Committed {
        int64_t offset = -1;
        std::string metadata;
    };
    struct Batch {
        int32_t partition = 0;
        ByteView bytes;
    };
    struct Produced {
        int32_t partition = 0;
        int16_t error_code = 0;
        int64_t base_offset = -1;
    };
    using OnError = std::function<void(int16_t error_code)>;
    using OnHost = std::function<void(int16_t error_code, std::string_view host)>;
    using OnIdentity = std::function<void(int16_t error_code, Identity identity)>;

    void find_coordinator(Coordinator which, OnHost on_host);
    /// `claimed`: who it says it was.
    void init(Duration timeout, std::optional<Identity> claimed, OnIdentity on_identity);
    /// Of the group, stable. Nothing committed: an offset of -1; nothing was said: nothing.
    void fetch_offset(
        const PartitionPlace& place,
        std::function<void(int16_t error_code, const std::optional<Committed>&)> on_offset);
    /// All of one topic. An error for each partition.
    void add_partitions(Identity identity, const std::vector<PartitionPlace>& places,
                        std::function<void(const std::vector<int16_t>& error_codes)> on_errors);
    void produce(const std::string& topic, const std::vector<Batch>& batches, Duration timeout,
                 std::function<void(const std::vector<Produced>&)> on_produced);
    void add_group(Identity identity, OnError on_error);
    void commit_offset(Identity identity, const PartitionPlace& place, const Committed& committed,
                       OnError on_error);
    /// The identity is that of the next transaction, for version 2.
    void end(Identity identity, bool commits, OnIdentity on_identity);

private:
    void violate(std::string_view api);

    World& world_;
    KafkaStream& stream_;
    Setup setup_;
};

} // namespace qtool::sim
