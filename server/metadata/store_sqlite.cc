#include "server/metadata/store_sqlite.h"

#include "lib/base/assert.h"

#include <sqlite3.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace qtool::metadata {

namespace {

constexpr int64_t kApplicationId = 0x71'62'72'6b; // "qbrk", as file(1) shows it
constexpr int64_t kSchemaVersion = 2;

// Locked for good, so that SQLite needs no shared memory file. The cache is small: after the load
// only keys that are guarded or written are read. A WAL that a large change made long is cut again.
constexpr const char* kSettings = "PRAGMA locking_mode = EXCLUSIVE;"
                                  "PRAGMA mmap_size = 0;"
                                  "PRAGMA cache_size = -256;" // KiB
                                  "PRAGMA temp_store = MEMORY;"
                                  "PRAGMA trusted_schema = OFF;";
constexpr const char* kJournal = "PRAGMA journal_mode = WAL;"
                                 "PRAGMA synchronous = FULL;"            // each commit is synced
                                 "PRAGMA wal_autocheckpoint = 256;"      // pages
                                 "PRAGMA journal_size_limit = 1048576;"; // bytes
constexpr const char* kSchema =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE store (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL);"
    "INSERT INTO store VALUES (1, 0);"
    "CREATE TABLE entries (key TEXT PRIMARY KEY, value TEXT NOT NULL,"
    " mod_revision INTEGER NOT NULL, ephemeral INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"
    "CREATE INDEX ephemeral_keys ON entries (key) WHERE ephemeral = 1;"
    "PRAGMA application_id = 1902277227;"
    "PRAGMA user_version = 2;"
    "COMMIT;";
// Version 1 knew no ephemeral keys.
constexpr const char* kUpgradeFrom1 =
    "BEGIN IMMEDIATE;"
    "ALTER TABLE entries ADD COLUMN ephemeral INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX ephemeral_keys ON entries (key) WHERE ephemeral = 1;"
    "PRAGMA user_version = 2;"
    "COMMIT;";
static_assert(kApplicationId == 1902277227 && kSchemaVersion == 2, "the texts spell them out");

// Storage_full as port/disk.h has it: no room for a file either.
bool is_no_space(int sys_errno) {
    return sys_errno == ENOSPC || sys_errno == EDQUOT || sys_errno == EMFILE || sys_errno == ENFILE;
}

std::string text_of(sqlite3_stmt* statement, int column) {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
    const int size = sqlite3_column_bytes(statement, column);
    return text == nullptr ? std::string() : std::string(text, static_cast<size_t>(size));
}

// A statement for one use.
struct Finalizer {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using OwnedStatement = std::unique_ptr<sqlite3_stmt, Finalizer>;

} // namespace

// ---- open ---------------------------------------------------------------------------------------

Result<std::unique_ptr<SqliteStore>> SqliteStore::open(const std::string& path) {
    sqlite3* db = nullptr;
    // No mutex of SQLite's own: one thread opens, then one works.
    const int code =
        sqlite3_open_v2(path.c_str(), &db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
    std::unique_ptr<SqliteStore> store(new SqliteStore(path, db)); // closes in any case
    if (db == nullptr) {
        return Error(Code::internal, "metadata store " + path + ": no memory to open it");
    }
    sqlite3_extended_result_codes(db, 1);
    if (code != SQLITE_OK) {
        return store->sql_error(code, "cannot be opened");
    }
    QT_TRY(store->set_up());
    return store;
}

SqliteStore::~SqliteStore() {
    for (sqlite3_stmt* statement : {select_revision_, put_, erase_, set_revision_}) {
        sqlite3_finalize(statement);
    }
    sqlite3_close(db_);
}

Result<void> SqliteStore::set_up() {
    QT_TRY(execute(kSettings));
    QT_TRY(check_schema()); // before anything is written: the file may be somebody else's
    QT_TRY(execute(kJournal));
    QT_TRY(prepare("SELECT mod_revision FROM entries WHERE key = ?1", select_revision_));
    QT_TRY(prepare("INSERT INTO entries VALUES (?1, ?2, ?3, ?4) ON CONFLICT (key) DO UPDATE SET"
                   " value = excluded.value, mod_revision = excluded.mod_revision,"
                   " ephemeral = excluded.ephemeral",
                   put_));
    QT_TRY(prepare("DELETE FROM entries WHERE key = ?1", erase_));
    QT_TRY(prepare("UPDATE store SET revision = ?1", set_revision_));
    QT_TRY_ASSIGN(const int64_t revision, read_number("SELECT revision FROM store"));
    revision_ = Revision(revision);
    return drop_ephemeral();
}

// An earlier version wrote them to the file; the process that did is gone, since it had it locked.
Result<void> SqliteStore::drop_ephemeral() {
    QT_TRY_ASSIGN(const std::vector<port::StoreWrite> deletes, ephemeral_deletes());
    if (deletes.empty()) {
        return {};
    }
    const Revision revision = revision_ + 1;
    QT_TRY(execute("BEGIN IMMEDIATE"));
    QT_TRY_ASSIGN([[maybe_unused]] const bool is_written, write_all(deletes, revision));
    sqlite3_bind_int64(set_revision_, 1, revision.value());
    QT_TRY(step_done(set_revision_));
    QT_TRY(execute("COMMIT"));
    revision_ = revision;
    return {};
}

Result<std::vector<port::StoreWrite>> SqliteStore::ephemeral_deletes() {
    sqlite3_stmt* raw = nullptr;
    QT_TRY(prepare("SELECT key FROM entries WHERE ephemeral = 1 ORDER BY key", raw));
    const OwnedStatement select(raw);
    std::vector<port::StoreWrite> deletes;
    int code = sqlite3_step(raw);
    for (; code == SQLITE_ROW; code = sqlite3_step(raw)) {
        deletes.push_back({text_of(raw, 0), std::nullopt});
    }
    return code == SQLITE_DONE ? Result<std::vector<port::StoreWrite>>(std::move(deletes))
                               : sql_error(code, "cannot be read");
}

// A file without tables is new; it gets them.
Result<void> SqliteStore::check_schema() {
    QT_TRY_ASSIGN(const int64_t version, read_number("PRAGMA user_version"));
    QT_TRY_ASSIGN(const int64_t application, read_number("PRAGMA application_id"));
    QT_TRY_ASSIGN(const int64_t tables, read_number("SELECT count(*) FROM sqlite_schema"));
    if (tables == 0 && version == 0) {
        QT_TRY(execute(kJournal));
        return execute(kSchema);
    }
    if (application != kApplicationId) {
        return Error(Code::storage_damaged,
                     "metadata store " + path_ + " is an SQLite file of another program");
    }
    if (version > kSchemaVersion) {
        return Error(Code::unsupported_version,
                     "metadata store " + path_ + " has schema version " + std::to_string(version) +
                         ", this qbroker reads up to " + std::to_string(kSchemaVersion) +
                         "; it was written by a newer one");
    }
    sqlite3_stmt* raw = nullptr;
    QT_TRY(prepare("PRAGMA quick_check(1)", raw));
    const OwnedStatement check(raw);
    const int code = sqlite3_step(raw);
    if (code != SQLITE_ROW) {
        return sql_error(code, "cannot be checked");
    }
    if (const std::string said = text_of(raw, 0); said != "ok") {
        return Error(Code::storage_damaged, "metadata store " + path_ + " is damaged: " + said);
    }
    return version < kSchemaVersion ? execute(kUpgradeFrom1) : Result<void>();
}

// ---- requests -----------------------------------------------------------------------------------

void SqliteStore::commit(port::StoreTransaction transaction, Token token) {
    if (queue_.size() >= kStoreQueueMax) {
        refused_.push_back(
            {token, Error(Code::store_unavailable, "too many metadata changes are waiting")});
        return;
    }
    const bool is_ephemeral =
        std::any_of(transaction.writes.begin(), transaction.writes.end(),
                    [](const port::StoreWrite& write) { return write.ephemeral; });
    if (is_ephemeral && (session_ == Session::none || session_ == Session::closing)) {
        refused_.push_back(
            {token, Error(Code::store_unavailable, "an ephemeral key needs a session")});
        return;
    }
    queue_.push_back(Pending{std::move(transaction), token});
}

void SqliteStore::open_session(Duration) {
    QT_ASSERT(session_ == Session::none);
    session_ = Session::opening;
}

void SqliteStore::close_session() {
    QT_ASSERT(session_ == Session::opening || session_ == Session::open);
    session_ = Session::closing;
}

bool SqliteStore::deliver_pending() {
    QT_ASSERT(events_ != nullptr);
    bool any = !refused_.empty();
    for (Refused& refused : std::exchange(refused_, {})) {
        events_->on_store_committed(refused.token, std::move(refused.error));
    }
    if (std::exchange(load_wanted_, false)) {
        events_->on_store_loaded(read_all());
        any = true;
    }
    if (session_ == Session::opening) {
        session_ = Session::open;
        events_->on_session_renewed(kMonoNever);
        any = true;
    }
    if (queue_.empty()) {
        if (session_ == Session::closing) { // after what was committed before
            end_session();
            any = true;
        }
        return any;
    }
    for (Outcome& outcome : commit_batch()) {
        if (!outcome.change) {
            events_->on_store_committed(outcome.token, std::move(outcome.change).error());
            continue;
        }
        // The change first: whoever hears that it is committed finds it in the image.
        const Revision revision = outcome.change->revision;
        events_->on_store_changed(*outcome.change);
        events_->on_store_committed(outcome.token, revision);
    }
    return true;
}

void SqliteStore::end_session() {
    session_ = Session::none;
    if (!ephemeral_.empty()) {
        port::StoreChange change{++revision_, {}};
        for (const auto& entry : std::exchange(ephemeral_, {})) {
            change.writes.push_back({entry.first, std::nullopt});
        }
        events_->on_store_changed(change);
    }
    events_->on_session_closed();
}

Result<port::StoreSnapshot> SqliteStore::read_all() {
    if (broken_) {
        return *broken_;
    }
    sqlite3_stmt* raw = nullptr;
    QT_TRY(prepare("SELECT key, value, mod_revision FROM entries ORDER BY key", raw));
    const OwnedStatement select(raw);
    port::StoreSnapshot snapshot;
    snapshot.revision = revision_;
    int code = sqlite3_step(raw);
    for (; code == SQLITE_ROW; code = sqlite3_step(raw)) {
        const Revision revision(sqlite3_column_int64(raw, 2));
        snapshot.entries.push_back({text_of(raw, 0), text_of(raw, 1), revision});
    }
    if (code != SQLITE_DONE) {
        return sql_error(code, "cannot be read");
    }
    sqlite3_reset(raw);
    sqlite3_db_release_memory(db_);
    for (const auto& entry : ephemeral_) {
        snapshot.entries.push_back(entry.second);
    }
    std::sort(snapshot.entries.begin(), snapshot.entries.end(),
              [](const port::StoreEntry& a, const port::StoreEntry& b) { return a.key < b.key; });
    return snapshot;
}

// ---- commit -------------------------------------------------------------------------------------

// Takes transactions from the front of the queue, as many as may share a sync, and commits those
// whose guards hold. On an error none is committed, and all are told so.
std::vector<SqliteStore::Outcome> SqliteStore::commit_batch() {
    std::vector<Pending> batch;
    size_t writes = 0;
    do {
        writes += queue_.front().transaction.writes.size();
        batch.push_back(std::move(queue_.front()));
        queue_.pop_front();
    } while (!queue_.empty() &&
             writes + queue_.front().transaction.writes.size() <= kStoreBatchWritesMax);

    std::vector<Outcome> outcomes;
    Result<void> result = broken_ ? Result<void>(*broken_) : commit_batch_write(batch, outcomes);
    if (result) {
        return outcomes;
    }
    if (sqlite3_get_autocommit(db_) == 0) {
        sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr); // it may have done so itself
    }
    if (result.error().code != Code::storage_full && !broken_) {
        // After a failed sync nobody knows what is on disk: only a new start finds out.
        broken_ = result.error();
    }
    outcomes.clear();
    for (const Pending& pending : batch) {
        outcomes.push_back({pending.token, result.error()});
    }
    return outcomes;
}

Result<void> SqliteStore::commit_batch_write(std::vector<Pending>& batch,
                                             std::vector<Outcome>& outcomes) {
    QT_TRY(execute("BEGIN IMMEDIATE"));
    Revision revision = revision_;
    ephemeral_next_ = ephemeral_;
    bool is_file_written = false;
    for (Pending& pending : batch) {
        QT_TRY_ASSIGN(const std::optional<std::string> broken_guard,
                      find_broken_guard(pending.transaction.guards));
        if (broken_guard) {
            outcomes.push_back(
                {pending.token, Error(Code::store_conflict, "metadata key '" + *broken_guard +
                                                                "' was changed meanwhile")});
            continue;
        }
        ++revision;
        QT_TRY_ASSIGN(const bool is_written, write_all(pending.transaction.writes, revision));
        is_file_written = is_file_written || is_written;
        outcomes.push_back(
            {pending.token, port::StoreChange{revision, std::move(pending.transaction.writes)}});
    }
    if (is_file_written) {
        sqlite3_bind_int64(set_revision_, 1, revision.value());
        QT_TRY(step_done(set_revision_));
        QT_TRY(execute("COMMIT"));
    } else {
        QT_TRY(execute("ROLLBACK")); // nothing is to be synced
    }
    revision_ = revision;
    ephemeral_ = std::move(ephemeral_next_);
    return {};
}

Result<std::optional<std::string>>
SqliteStore::find_broken_guard(const std::vector<port::StoreGuard>& guards) {
    for (const port::StoreGuard& guard : guards) {
        if (const auto at = ephemeral_next_.find(guard.key); at != ephemeral_next_.end()) {
            if (at->second.mod_revision != guard.mod_revision) {
                return std::optional(guard.key);
            }
            continue;
        }
        QT_TRY(bind_text(select_revision_, 1, guard.key));
        const int code = sqlite3_step(select_revision_);
        const Revision found(code == SQLITE_ROW ? sqlite3_column_int64(select_revision_, 0) : 0);
        sqlite3_reset(select_revision_);
        if (code != SQLITE_ROW && code != SQLITE_DONE) {
            return sql_error(code, "cannot be read");
        }
        if (found != guard.mod_revision) {
            return std::optional(guard.key);
        }
    }
    return std::optional<std::string>();
}

// True: something of it is in the file.
Result<bool> SqliteStore::write_all(const std::vector<port::StoreWrite>& writes,
                                    Revision revision) {
    bool is_written = false;
    for (const port::StoreWrite& write : writes) {
        const bool was_ephemeral = ephemeral_next_.erase(write.key) != 0;
        if (write.value && write.ephemeral) {
            ephemeral_next_[write.key] = {write.key, *write.value, revision};
        }
        if (was_ephemeral && (!write.value || write.ephemeral)) {
            continue; // the file does not have it
        }
        // A key of the file that becomes ephemeral leaves the file.
        const bool is_put = write.value && !write.ephemeral;
        sqlite3_stmt* statement = is_put ? put_ : erase_;
        QT_TRY(bind_text(statement, 1, write.key));
        if (is_put) {
            QT_TRY(bind_text(statement, 2, *write.value));
            sqlite3_bind_int64(statement, 3, revision.value());
            sqlite3_bind_int(statement, 4, 0);
        }
        QT_TRY(step_done(statement));
        is_written = is_written || is_put || sqlite3_changes(db_) > 0;
    }
    return is_written;
}

// ---- SQLite in our terms ------------------------------------------------------------------------

Result<void> SqliteStore::prepare(const char* sql, sqlite3_stmt*& statement) {
    const int code =
        sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    return code == SQLITE_OK ? Result<void>() : sql_error(code, "cannot be used");
}

Result<void> SqliteStore::execute(const char* sql) {
    const int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
    return code == SQLITE_OK ? Result<void>() : sql_error(code, "cannot be used");
}

Result<int64_t> SqliteStore::read_number(const char* sql) {
    sqlite3_stmt* raw = nullptr;
    QT_TRY(prepare(sql, raw));
    const OwnedStatement select(raw);
    const int code = sqlite3_step(raw);
    if (code != SQLITE_ROW) {
        return sql_error(code == SQLITE_DONE ? SQLITE_CORRUPT : code, "cannot be read");
    }
    return sqlite3_column_int64(raw, 0);
}

Result<void> SqliteStore::step_done(sqlite3_stmt* statement) {
    const int code = sqlite3_step(statement);
    Result<void> result =
        code == SQLITE_DONE ? Result<void>() : sql_error(code, "cannot be written");
    sqlite3_reset(statement);
    return result;
}

// The text must stay at its place until the statement is stepped.
Result<void> SqliteStore::bind_text(sqlite3_stmt* statement, int column, const std::string& text) {
    const int code = sqlite3_bind_text64(statement, column, text.data(), text.size(), SQLITE_STATIC,
                                         SQLITE_UTF8);
    return code == SQLITE_OK ? Result<void>() : sql_error(code, "cannot take a value");
}

Error SqliteStore::sql_error(int code, const char* doing) const {
    const int primary = code & 0xff;
    const std::string where = "metadata store " + path_ + " ";
    const std::string why = std::string(doing) + ": " + sqlite3_errmsg(db_);
    const bool is_sync = code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC;
    const bool is_io = primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN;
    const int sys_errno = is_io ? sqlite3_system_errno(db_) : 0; // elsewhere it may be an old one
    if (primary == SQLITE_FULL || (is_io && !is_sync && is_no_space(sys_errno))) {
        return {Code::storage_full, where + why, sys_errno};
    }
    if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) {
        return {Code::storage_damaged, where + "is damaged; " + why};
    }
    if (primary == SQLITE_BUSY || primary == SQLITE_LOCKED) {
        return {Code::storage_locked, where + "is open in another process"};
    }
    return {Code::storage_io, where + why, sys_errno};
}

} // namespace qtool::metadata
