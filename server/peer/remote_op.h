// Operations on partitions that another broker leads: asked of it in Kafka's protocol, answered as
// if the partition were here.
//
//   operation      asked as
//   CoordinatorOp  the request itself: the other broker's door takes it to the shard
//   WriteMarkerOp  WriteTxnMarkers
//   LagOp          Fetch of the first batch behind the committed offset; when that is out of range,
//                  ListOffsets, then Fetch where the log begins
#pragma once

#include "server/metadata/image.h"
#include "server/peer/call.h"
#include "server/replica/requests.h"

#include <optional>

namespace qtool::peer {

/// Answers come by this time when the operation has no deadline of its own.
inline constexpr Duration kRemoteTimeout = 30s;
/// The same of a LagOp, which a person or a scrape waits for.
inline constexpr Duration kLagTimeout = 3s;

[[nodiscard]] bool is_remote_op(const replica::PartitionOp& op);

/// `request.op` is a remote op; `topic` is that of its partition. The call's token and index are
/// those of the request, so that the answer finds its way.
Call make_call(replica::PartitionRequest request, const metadata::TopicImage& topic,
               BrokerId leader, MonoTime now);

/// The operation's next call, when the answer is only a step. Nothing: read_answer has its end.
std::optional<Call> next_call(const Answer& answer, const metadata::Image& image, MonoTime now);

/// The answer to such a call. Errors: those of a call (call.h); those of the operation, which for a
/// partition that has moved on are not_leader (asked again, it may be elsewhere).
Result<replica::PartitionResult> read_answer(const Answer& answer);

} // namespace qtool::peer
