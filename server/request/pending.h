// Pending: one client request that waits for answers from partitions or the metadata store. Made by
// a handler of either door, kept by the core in a slot, addressed by its token. Lives on the core
// of its connection. All calls come from broker::Core, never from within a call to Services.
#pragma once

#include "lib/base/result.h"
#include "server/peer/call.h"
#include "server/replica/requests.h"

namespace qtool::request {

class Services;

class Pending {
public:
    virtual ~Pending() = default;

    /// Called once, right after the object got its token and before anything else: the place to
    /// submit partition requests, start a metadata change, set a deadline.
    virtual void start(Token self, Services& services) = 0;

    virtual void on_partition_reply(replica::PartitionReply reply, Services& services);
    virtual void on_partition_wake(uint32_t index, Services& services);
    /// The metadata change started with Services::change is finished; Operation::finish was called.
    virtual void on_changed(Services& services);
    /// To a call made with Services::call_peer.
    virtual void on_peer_answer(peer::Answer answer, Services& services);
    virtual void on_deadline(Services& services);
    /// The broker stops: answer now what can be answered (a long poll ends early).
    virtual void on_draining(Services& services);
    /// Leaders or replicas changed (Services::image): a fetch of a follower ends early, since its
    /// broker will have other partitions to ask for.
    virtual void on_partitions_changed(Services& services);
    /// The connection is gone, so no answer can be sent; the object is destroyed after this call.
    /// What was submitted still completes elsewhere and its answers find no token.
    virtual void on_abandoned(Services& services);

    /// The answer may not be dropped before all partition requests came back, because their bytes
    /// (produced batches) are borrowed by other cores. The core then keeps an abandoned request
    /// alive until this turns false.
    [[nodiscard]] virtual bool holds_borrowed_bytes() const { return false; }
};

} // namespace qtool::request
