// Operation: one wish to change metadata, whichever door it came through. It decides on an image
// and is asked again on a newer one when another writer was faster (optimistic concurrency).
// Lives on the core of the connection that asked; outcome fields of the concrete operation (one
// class per admin request, server/metadata/decide_*.h) are read after `finish`.
#pragma once

#include "lib/base/result.h"
#include "server/metadata/image.h"
#include "server/port/metadata_store.h"
#include "server/port/random.h"

#include <cstddef>
#include <cstdint>

namespace qtool::metadata {

class Operation {
public:
    virtual ~Operation() = default;

    /// Decides from scratch on `image` (an earlier decision is forgotten) and returns what to
    /// write, guarded by the revisions it read. No writes: nothing to do, every item failed or it
    /// only validated; the operation is then finished with success at once. Per-item errors stay
    /// inside the concrete operation's results and are no reason to fail here.
    virtual port::StoreTransaction decide(const Image& image, port::Random& random) = 0;

    /// What was decided last is committed, at that revision, and applied. True: it was a part, the
    /// next one is to be decided now. A failure of a later part leaves the earlier ones done.
    virtual bool advance(Revision /*committed*/) { return false; }

    /// Called once: the change is committed and applied on every core of this broker, or it failed
    /// (store_unavailable, storage_full, timed_out; store_conflict after the last retry). On
    /// failure the operation turns the items it meant to write into that error.
    virtual void finish(Result<void> result) = 0;

    /// Writes, and guards, that one transaction may have: set before the first decision.
    void set_writes_max(size_t max) { writes_max_ = max; }

protected:
    [[nodiscard]] size_t writes_max() const { return writes_max_; }

private:
    size_t writes_max_ = SIZE_MAX;
};

} // namespace qtool::metadata
