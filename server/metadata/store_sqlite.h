// SqliteStore: the metadata store of a single broker, one SQLite file in its data directory.
// Committed means synced (WAL, synchronous=FULL). Lives on the metadata core after open; work and
// events both happen in deliver_pending(), where transactions that wait share one sync.
//
// The file is locked for as long as the store is open, so the session of its process never ends
// before the process does: ephemeral keys of a process that is gone are deleted at open. Tables:
// README.md.
#pragma once

#include "lib/base/result.h"
#include "server/port/metadata_store.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace qtool::metadata {

/// Transactions that may wait for deliver_pending; beyond, commit answers store_unavailable.
inline constexpr size_t kStoreQueueMax = 10'000;
/// Writes that share one sync: bounds how long a turn takes.
inline constexpr size_t kStoreBatchWritesMax = 20'000;

class SqliteStore final : public port::MetadataStore {
public:
    /// Opens or creates the file. Errors: unsupported_version (written by a newer qbroker),
    /// storage_damaged (not a store of ours, or SQLite's own check fails), storage_locked (another
    /// process has it open), storage_full, storage_io. The detail names the path.
    static Result<std::unique_ptr<SqliteStore>> open(const std::string& path);

    /// Closes the file; nothing is lost, since what is not committed was never answered.
    ~SqliteStore() override;
    SqliteStore(const SqliteStore&) = delete;
    SqliteStore& operator=(const SqliteStore&) = delete;

    void set_events(port::MetadataStoreEvents* events) override { events_ = events; }
    void load() override { load_wanted_ = true; }
    void commit(port::StoreTransaction transaction, Token token) override;
    [[nodiscard]] size_t max_writes() const override { return std::numeric_limits<size_t>::max(); }
    void open_session(Duration ttl) override;
    void close_session() override;
    bool deliver_pending() override;

private:
    struct Pending {
        port::StoreTransaction transaction;
        Token token;
    };
    enum class Session : uint8_t { none, opening, open, closing };
    /// A transaction of the running batch: its change, or why it is not part of it.
    struct Outcome {
        Token token;
        Result<port::StoreChange> change;
    };
    using Ephemerals = std::map<std::string, port::StoreEntry>;

    SqliteStore(std::string path, sqlite3* db) : path_(std::move(path)), db_(db) {}

    Result<void> set_up();
    Result<void> check_schema();
    Result<void> prepare(const char* sql, sqlite3_stmt*& statement);
    Result<void> execute(const char* sql);
    Result<int64_t> read_number(const char* sql);
    Result<void> step_done(sqlite3_stmt* statement);
    Result<void> bind_text(sqlite3_stmt* statement, int column, const std::string& text);

    Result<port::StoreSnapshot> read_all();
    Result<std::vector<port::StoreWrite>> ephemeral_deletes();
    Result<void> drop_ephemeral();
    void end_session();
    std::vector<Outcome> commit_batch();
    Result<void> commit_batch_write(std::vector<Pending>& batch, std::vector<Outcome>& outcomes);
    Result<std::optional<std::string>>
    find_broken_guard(const std::vector<port::StoreGuard>& guards);
    Result<bool> write_all(const std::vector<port::StoreWrite>& writes, Revision revision);
    [[nodiscard]] Error sql_error(int code, const char* doing) const;

    std::string path_;
    sqlite3* db_;
    sqlite3_stmt* select_revision_ = nullptr; // of one key
    sqlite3_stmt* put_ = nullptr;
    sqlite3_stmt* erase_ = nullptr;
    sqlite3_stmt* set_revision_ = nullptr;
    port::MetadataStoreEvents* events_ = nullptr;
    /// What cannot be taken up, answered next.
    struct Refused {
        Token token;
        Error error;
    };
    std::deque<Pending> queue_; // at most kStoreQueueMax
    std::vector<Refused> refused_;
    Session session_ = Session::none;
    Revision revision_; // of the last committed transaction
    /// They end with this process, so the file need not know them: a broker that registers writes
    /// nothing, and does so on a full disk, too.
    Ephemerals ephemeral_;
    Ephemerals ephemeral_next_; // with what the running batch has written
    bool load_wanted_ = false;
    std::optional<Error> broken_; // after an I/O error nothing more is written
};

} // namespace qtool::metadata
