// The small key-value store that holds cluster truth: revisions, guarded transactions, an ordered
// watch. Implementations: SQLite (server/metadata/store_sqlite), the simulator's.
#pragma once

#include "lib/base/ids.h"
#include "lib/base/result.h"
#include "lib/base/slot_map.h"

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

    bool operator==(const StoreWrite&) const = default;
};

struct StoreTransaction {
    std::vector<StoreGuard> guards;
    std::vector<StoreWrite> writes; // distinct keys; applied as one, in one revision
};

/// What one transaction did, in store order; revisions rise by any amount.
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
    /// Answer to commit. Errors: store_conflict (a guard did not hold; nothing written),
    /// storage_full, storage_io, store_unavailable. On success the change of that revision was or
    /// will be delivered through on_store_changed too.
    virtual void on_store_committed(Token token, Result<Revision> revision) = 0;
    virtual void on_store_changed(const StoreChange& change) = 0;
};

/// Lives on the metadata core; all calls and events are on that core, events never from within a
/// call.
class MetadataStore {
public:
    virtual ~MetadataStore() = default;
    virtual void set_events(MetadataStoreEvents* events) = 0;
    virtual void load() = 0;
    virtual void commit(StoreTransaction transaction, Token token) = 0;
    /// Hands out events that are ready; true when there were any. The metadata core calls it at the
    /// end of its turns until it returns false. A store with a loop or a world of its own that
    /// calls the events itself has nothing to do here.
    virtual bool deliver_pending() { return false; }
};

} // namespace qtool::port
