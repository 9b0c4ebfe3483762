// Decision on ids: the next block of producer ids. Blocks never overlap, whoever asks; what a
// broker does not use of its block when it stops is lost, which 63 bits can afford.
// Lives on the core that asked (see operation.h).
#pragma once

#include "server/metadata/operation.h"

#include <cstdint>

namespace qtool::metadata {

/// As in Kafka: a block lasts a broker for a while, so that a new producer is no store write.
inline constexpr int64_t kProducerIdBlockSize = 1000;

class AllocateProducerIds final : public Operation {
public:
    port::StoreTransaction decide(const Image& image, port::Random& random) override;
    void finish(Result<void> result) override;
    /// The first of kProducerIdBlockSize ids that are the caller's alone. Valid after finish.
    [[nodiscard]] const Result<int64_t>& outcome() const { return outcome_; }

private:
    Result<int64_t> outcome_ = Error(Code::internal, "the allocation is not finished");
};

} // namespace qtool::metadata
