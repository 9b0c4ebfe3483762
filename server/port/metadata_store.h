// The small key-value store that holds cluster truth: revisions, guarded transactions, an ordered
// watch, and one session a process, whose keys go when the process does. Implementations: SQLite
// (server/metadata/store_sqlite), etcd (server/metadata/store_etcd), the simulator's.
#pragma once

#include "lib/base/ids.h"
#include "lib/base/result.h"
#include "lib/base/slot_map.h"
#include "lib/base/time.h"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace qtool::port {

struct StoreEntry {
    std::string key;
    std::string value;
    Revision mod_revision; // of the transaction that wrote it last

    bool operator==(const StoreEntry&) const = default;
};

/// The transaction applies only if the key's mod_revision is this; Revision{0}: the key is absent.
struct StoreGuard {
    std::string key;
    Revision mod_revision;
};

struct StoreWrite {
    std::string key;
    std::optional<std::string> value; // absent: delete the key
    /// The store deletes the key when the session of the writer ends. A later write without this
    /// makes it a key like others.
    bool ephemeral = false;

    bool operator==(const StoreWrite&) const = default;
};

/// Keys and values of one transaction, in bytes: under the 1.5 MiB that etcd takes as it comes.
inline constexpr size_t kStoreTransactionBytesMax = 1024 * 1024;

/// At most max_writes() of each, and kStoreTransactionBytesMax in all. Who has more to write makes
/// several transactions of which each is right by itself; the store never cuts one.
struct StoreTransaction {
    std::vector<StoreGuard> guards;
    std::vector<StoreWrite> writes; // distinct keys; applied as one, in one revision
};

/// What one transaction did, or the end of a session; in store order; revisions rise by any amount.
struct StoreChange {
    Revision revision;
    std::vector<StoreWrite> writes;
};

struct StoreSnapshot {
    Revision revision;
    std::vector<StoreEntry> entries; // sorted by key
};

class MetadataStoreEvents {
public:
    virtual ~MetadataStoreEvents() = default;
    /// Answer to load: everything, then changes from there on come through on_store_changed.
    virtual void on_store_loaded(Result<StoreSnapshot> snapshot) = 0;
    /// The changes behind the last one told are no longer to be had one by one (compacted away, or
    /// too many): this is everything, and changes go on from there. Not before on_store_loaded.
    virtual void on_store_reloaded(StoreSnapshot snapshot) = 0;
    /// Answer to commit, once for each. An answer is certain: an error means that nothing is
    /// written and nothing will be. While a store that was sent the transaction does not answer,
    /// there is no certainty and no answer; it comes when the store does. Errors: store_conflict
    /// (a guard did not hold), too_large, storage_full, storage_io, store_unavailable (also: an
    /// ephemeral write without a session). On success the change of that revision was or will be
    /// delivered through on_store_changed, or is part of a snapshot delivered meanwhile.
    virtual void on_store_committed(Token token, Result<Revision> revision) = 0;
    virtual void on_store_changed(const StoreChange& change) = 0;

    /// The session lives at least until then: counted from when the renewal was sent, so never too
    /// late. Comes first as the answer to open_session, then at each renewal. kMonoNever: as long
    /// as the process.
    virtual void on_session_renewed(MonoTime valid_until) = 0;
    /// The session is over, told by the store or by time; its ephemeral keys are deleted or will
    /// be, without further doing. Also the answer to open_session when the store cannot be asked.
    virtual void on_session_lost() = 0;
    /// Answer to close_session. The keys are gone, or the store did not answer in a few seconds and
    /// they go when the session's time is over.
    virtual void on_session_closed() = 0;
};

/// Lives on the metadata core; all calls and events are on that core, events never from within a
/// call.
class MetadataStore {
public:
    virtual ~MetadataStore() = default;
    virtual void set_events(MetadataStoreEvents* events) = 0;
    virtual void load() = 0;
    /// Transactions take effect in the order of the calls as far as they touch the same keys;
    /// others may overtake each other.
    virtual void commit(StoreTransaction transaction, Token token) = 0;
    /// How many writes, and how many guards, a transaction may have.
    [[nodiscard]] virtual size_t max_writes() const = 0;

    /// Opens the session of this process, which must have none. `ttl`: how long it outlives a
    /// process that is gone or cut off; the store renews it well before.
    virtual void open_session(Duration ttl) = 0;
    /// Ends the session, which must be open or opening: its ephemeral keys go now. No
    /// on_session_lost follows.
    virtual void close_session() = 0;

    /// Hands out events that are ready; true when there were any. The metadata core calls it at the
    /// end of its turns until it returns false. A store with a loop or a world of its own that
    /// calls the events itself has nothing to do here.
    virtual bool deliver_pending() { return false; }
};

} // namespace qtool::port
