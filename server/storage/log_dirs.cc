#include "server/storage/log_dirs.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/storage/log_move.h"
#include "server/storage/partition_files.h"
#include "server/storage/start_count.h"

#include <algorithm>

namespace qtool::storage {

namespace {

constexpr const char* kKnownName = "log-dirs.meta";

// What the operator has to change, rather than a disk that broke.
bool is_misconfiguration(Code code) {
    return code == Code::storage_locked || code == Code::invalid_config ||
           code == Code::unsupported_version;
}

} // namespace

// ---- start --------------------------------------------------------------------------------------

Result<std::unique_ptr<LogDirs>> LogDirs::open(port::Disk& disk, const Setup& setup) {
    QT_ASSERT(!setup.paths.empty());
    std::unique_ptr<LogDirs> dirs(new LogDirs());
    QT_TRY(dirs->open_first(disk, setup));
    for (size_t i = 1; i < setup.paths.size(); i++) {
        QT_TRY(dirs->open_other(disk, setup, setup.paths[i]));
    }
    QT_TRY(dirs->write_known(disk, setup));
    return dirs;
}

std::unique_ptr<LogDirs> LogDirs::of(port::Disk& /*disk*/, std::unique_ptr<DataDir> only) {
    std::unique_ptr<LogDirs> dirs(new LogDirs());
    const std::string path = only->path();
    dirs->add(Setup{}, path, std::move(only));
    return dirs;
}

void LogDirs::add(const Setup& setup, const std::string& path,
                  Result<std::unique_ptr<DataDir>> data) {
    dirs_.push_back(std::make_unique<LogDir>(path, std::move(data), setup.reserve_bytes));
    if (dirs_.back()->is_offline()) {
        failure_count_.fetch_add(1, std::memory_order_release);
    }
}

Result<void> LogDirs::open_first(port::Disk& disk, const Setup& setup) {
    QT_TRY_ASSIGN(std::unique_ptr<DataDir> first,
                  DataDir::open(disk, setup.paths.front(), setup.self, setup.new_id()));
    add(setup, setup.paths.front(), std::move(first));
    return load_known(disk);
}

Result<void> LogDirs::open_other(port::Disk& disk, const Setup& setup, const std::string& path) {
    const Uuid new_id = setup.new_id();
    const bool is_known = std::any_of(known_.begin(), known_.end(),
                                      [&](const Known& known) { return known.path == path; });
    Result<std::unique_ptr<DataDir>> data = [&]() -> Result<std::unique_ptr<DataDir>> {
        if (is_known) {
            QT_TRY_ASSIGN(const bool there, disk.exists(path + "/" + kIdentityName));
            if (!there) {
                return Error(Code::storage_offline,
                             path + " held a log directory and is empty now: is its disk mounted? "
                                    "(To give it up, take it out of log.dirs and start once.)");
            }
        }
        return DataDir::open(disk, path, setup.self, new_id);
    }();
    // A full disk passes; a directory that is offline is so until the next start.
    if (!data &&
        (is_misconfiguration(data.error().code) || data.error().code == Code::storage_full)) {
        return std::move(data).error();
    }
    some_missing_ = some_missing_ || !data;
    add(setup, path, std::move(data));
    return {};
}

Result<void> LogDirs::load_known(port::Disk& disk) {
    QT_TRY_ASSIGN(const auto lines, read_text_file(disk, dirs_.front()->path() + "/" + kKnownName));
    if (!lines) {
        return {};
    }
    for (size_t i = 0;; i++) {
        const auto line = text_value(*lines, "directory." + std::to_string(i));
        if (!line) {
            break;
        }
        const size_t blank = line->find(' ');
        const Result<Uuid> id = parse_uuid(line->substr(0, blank));
        if (!id || blank == std::string::npos) {
            return Error(Code::storage_damaged, dirs_.front()->path() + "/" + kKnownName +
                                                    ": directory." + std::to_string(i) +
                                                    " cannot be read");
        }
        known_.push_back({*id, line->substr(blank + 1)});
    }
    return {};
}

Result<void> LogDirs::write_known(port::Disk& disk, const Setup& setup) {
    std::vector<Known> now;
    for (const auto& dir : dirs_) {
        if (dir->data() != nullptr) {
            now.push_back({dir->data()->directory_id(), dir->path()});
        }
    }
    for (const Known& known : known_) {
        const bool is_here = std::any_of(now.begin(), now.end(),
                                         [&](const Known& one) { return one.id == known.id; });
        if (is_here) {
            continue;
        }
        if (std::find(setup.paths.begin(), setup.paths.end(), known.path) == setup.paths.end()) {
            log_line(LogLevel::warn, "log_dir_given_up",
                     {{"directory", known.path}, {"id", to_string(known.id)}});
            continue;
        }
        some_missing_ = true;
        now.push_back(known);
    }
    const bool is_same =
        std::equal(now.begin(), now.end(), known_.begin(), known_.end(),
                   [](const Known& a, const Known& b) { return a.id == b.id && a.path == b.path; });
    const bool is_plain = now.size() == 1 && known_.empty(); // one directory needs no list
    known_ = std::move(now);
    if (is_same || is_plain) {
        return {};
    }
    std::string lines = "version=1\n";
    for (size_t i = 0; i < known_.size(); i++) {
        lines += "directory." + std::to_string(i) + "=" + to_string(known_[i].id) + " " +
                 known_[i].path + "\n";
    }
    return write_small_file(disk, {dirs_.front()->path(), kKnownName, true},
                            as_bytes(encode_text_file(lines)));
}

Result<void> LogDirs::bind_cluster(std::string_view cluster_id) {
    for (const auto& dir : dirs_) {
        if (dir->data() == nullptr) {
            continue;
        }
        Result<void> bound = dir->data()->bind_cluster(cluster_id);
        if (!bound && (dir == dirs_.front() || is_misconfiguration(bound.error().code))) {
            return bound;
        }
        if (!bound && dir->fail(bound.error())) {
            some_missing_ = true;
            failure_count_.fetch_add(1, std::memory_order_release);
        }
    }
    return {};
}

Result<std::vector<std::string>>
LogDirs::quarantine_unlisted(const std::function<bool(const PartitionName&)>& is_listed,
                             const std::function<bool(const PartitionKey&)>& may_go,
                             const DataDir::Expected& expected) {
    std::vector<std::string> moved;
    const auto look_at = [&](size_t i) -> Result<void> {
        QT_TRY_ASSIGN(const std::vector<std::string> names,
                      dirs_[i]->data()->quarantine_unlisted(is_listed, may_go, expected));
        for (const std::string& name : names) {
            moved.push_back(dirs_[i]->path() + "/" + name);
        }
        QT_TRY(take_futures(i, may_go));
        QT_TRY_ASSIGN(const std::vector<std::string> partitions,
                      dirs_[i]->data()->partition_directories());
        for (const std::string& name : partitions) {
            found_[name].push_back(i);
        }
        return {};
    };
    for (size_t i = 0; i < dirs_.size(); i++) {
        if (dirs_[i]->is_offline()) {
            continue;
        }
        if (Result<void> looked = look_at(i); !looked) {
            if (i == 0) {
                return std::move(looked).error();
            }
            some_missing_ = true;
            if (dirs_[i]->fail(looked.error())) {
                failure_count_.fetch_add(1, std::memory_order_release);
            }
        }
    }
    settle_moves();
    settle_futures();
    return moved;
}

// ---- which life this is -------------------------------------------------------------------------

std::vector<Uuid> LogDirs::identities() const {
    std::vector<Uuid> ids;
    for (const Known& known : known_) {
        ids.push_back(known.id);
    }
    std::sort(ids.begin(), ids.end());
    return ids;
}

bool LogDirs::holds(port::Disk& disk, std::string_view topic, const PartitionKey& key) const {
    return std::any_of(dirs_.begin(), dirs_.end(), [&](const auto& dir) {
        if (dir->data() == nullptr || dir->is_offline()) {
            return false;
        }
        const Result<bool> there = disk.exists(dir->data()->partition_path(topic, key.index));
        return dir->data()->knows(key) || (there && *there);
    });
}

Result<int64_t> LogDirs::start_count(port::Disk& disk) const {
    return read_start_count(disk, dirs_.front()->path());
}

Result<void> LogDirs::write_start_count(port::Disk& disk, int64_t count) const {
    return storage::write_start_count(disk, dirs_.front()->path(), count);
}

// ---- moves that a stop interrupted --------------------------------------------------------------

LogDirectoryIs LogDirs::look(const Uuid& id) const {
    for (const auto& dir : dirs_) {
        if (dir->data() != nullptr && dir->data()->directory_id() == id) {
            return dir->is_offline() ? LogDirectoryIs::offline : LogDirectoryIs::working;
        }
    }
    const bool is_known = std::any_of(known_.begin(), known_.end(),
                                      [&](const Known& known) { return known.id == id; });
    return is_known ? LogDirectoryIs::offline : LogDirectoryIs::foreign;
}

// Moves that were asked for, and how many of them of one partition.
Result<void> LogDirs::take_futures(size_t i,
                                   const std::function<bool(const PartitionKey&)>& may_go) {
    const DataDir& dir = *dirs_[i]->data();
    QT_TRY_ASSIGN(const std::vector<port::DirectoryEntry> entries, dir.disk().list(dir.path()));
    for (const port::DirectoryEntry& entry : entries) {
        if (!entry.is_directory || !entry.name.ends_with(kFutureExtension)) {
            continue;
        }
        const auto key = read_partition_meta(dir.disk(), dir.path() + "/" + entry.name);
        if (!key || !*key || !entry.name.ends_with(future_directory_name("", **key))) {
            continue; // not ours, or made by a crash just then: it only takes a name
        }
        if (may_go(**key)) {
            remove_future(i, entry.name, **key);
        } else {
            futures_[**key].push_back({i, entry.name});
        }
    }
    return {};
}

void LogDirs::remove_future(size_t i, const std::string& name, const PartitionKey& key) {
    const DataDir& dir = *dirs_[i]->data();
    if (Result<void> removed = discard_directory(dir.disk(), dir.path(), name, key); !removed) {
        log_line(LogLevel::warn, "unfinished_move_kept",
                 {{"directory", dir.path() + "/" + name}, {"error", to_string(removed.error())}});
    }
}

// Of two wishes one was to be replaced by the other, but could not be removed then.
void LogDirs::settle_futures() {
    for (const auto& [key, futures] : futures_) {
        if (futures.size() == 1) {
            interrupted_moves_.emplace(key, futures.front().dir);
            continue;
        }
        for (const Future& future : futures) {
            remove_future(future.dir, future.name, key);
        }
    }
    futures_.clear();
}

void LogDirs::settle_moves() {
    for (const auto& [name, places] : found_) {
        if (Result<void> settled = settle_name(name, places); !settled) {
            undecided_.emplace(name, Error(Code::storage_offline,
                                           name + ": it is not known which directory is its log: " +
                                               to_string(settled.error())));
            log_line(LogLevel::error, "partition_undecided",
                     {{"partition", name}, {"error", to_string(settled.error())}});
        }
    }
}

// Which of the directories of this name is the log of whom. One alone and without a mark needs no
// look inside: whose it is shows when it is opened.
Result<void> LogDirs::settle_name(const std::string& name, const std::vector<size_t>& places) {
    const auto path = [&](size_t place) { return dirs_[place]->path() + "/" + name; };
    std::map<PartitionKey, std::vector<size_t>> owned;
    for (const size_t place : places) {
        port::Disk& disk = dirs_[place]->data()->disk();
        if (places.size() == 1) {
            QT_TRY_ASSIGN(const bool is_marked, disk.exists(path(place) + "/" + kMoveMarkName));
            if (!is_marked) {
                return {};
            }
        }
        const auto owner = read_partition_meta(disk, path(place));
        if (!owner && (places.size() > 1 || is_disk_trouble(owner.error().code))) {
            return owner.error();
        }
        if (owner && *owner) {
            owned[**owner].push_back(place);
        }
    }
    for (const auto& [key, of_key] : owned) {
        std::vector<MovePlace> marked;
        for (const size_t place : of_key) {
            const DataDir& dir = *dirs_[place]->data();
            QT_TRY_ASSIGN(const auto mark, read_move_mark(dir.disk(), path(place)));
            marked.push_back({dir.directory_id(), mark});
        }
        QT_TRY_ASSIGN(const MoveHome home,
                      choose_home(marked, [&](const Uuid& id) { return look(id); }));
        const size_t lives = of_key[home.home];
        port::Disk& disk = dirs_[lives]->data()->disk();
        if (!home.voids.empty()) {
            // What a mere kill left may be in the page cache alone.
            QT_TRY(disk.sync_directory(path(lives)));
            QT_TRY(disk.sync_directory(dirs_[lives]->path()));
        }
        for (const size_t i : home.voids) {
            const DataDir& dir = *dirs_[of_key[i]]->data();
            QT_TRY(discard_directory(dir.disk(), dir.path(), name, key));
        }
        if (home.is_mark_spent) {
            QT_TRY(remove_move_mark(disk, path(lives)));
        }
        homes_[key] = lives;
    }
    return {};
}

Result<void> LogDirs::settle_mark(port::Disk& disk, size_t dir, const std::string& name,
                                  const PartitionKey& key) const {
    const std::string home = dirs_.at(dir)->path() + "/" + name;
    QT_TRY_ASSIGN(const auto mark, read_move_mark(disk, home));
    if (!mark) {
        return {};
    }
    switch (look(mark->other)) {
    case LogDirectoryIs::offline:
        return Error(Code::storage_offline, name + ": its last move left something in a log "
                                                   "directory that is offline");
    case LogDirectoryIs::foreign:
        return remove_move_mark(disk, home);
    case LogDirectoryIs::working:
        break;
    }
    const auto other = std::find_if(dirs_.begin(), dirs_.end(), [&](const auto& one) {
        return one->data() != nullptr && one->data()->directory_id() == mark->other;
    });
    const std::string& parent = (*other)->path();
    QT_TRY(disk.sync_directory(dirs_.at(dir)->path()));
    QT_TRY_ASSIGN(const bool there, disk.exists(parent + "/" + name));
    if (there) {
        QT_TRY_ASSIGN(const auto owner, read_partition_meta(disk, parent + "/" + name));
        if (owner && *owner == key) {
            QT_TRY(discard_directory(disk, parent, name, key));
        }
    } else {
        QT_TRY(disk.sync_directory(parent));
    }
    return remove_move_mark(disk, home);
}

std::optional<size_t> LogDirs::interrupted_move(const PartitionKey& key) const {
    const auto at = interrupted_moves_.find(key);
    return at == interrupted_moves_.end() ? std::nullopt : std::optional<size_t>(at->second);
}

// ---- where partitions live ----------------------------------------------------------------------

std::optional<size_t> LogDirs::find(std::string_view topic, const PartitionKey& key) const {
    if (const auto home = homes_.find(key); home != homes_.end()) {
        return home->second;
    }
    const auto named = found_.find(partition_directory_name(topic, key.index));
    if (named != found_.end() && named->second.size() == 1) {
        return named->second.front();
    }
    for (size_t i = 0; i < dirs_.size(); i++) {
        // What is remembered over a crash may be older than a move to a directory that is missing.
        const DataDir* data = dirs_[i]->data();
        if (data != nullptr && data->knows(key) && (data->was_clean() || !some_missing_)) {
            return i;
        }
    }
    return std::nullopt;
}

Result<size_t> LogDirs::place(std::string_view topic, const PartitionKey& key, Arrival arrival) {
    std::optional<size_t> chosen;
    if (arrival == Arrival::known) {
        const auto undecided = undecided_.find(partition_directory_name(topic, key.index));
        if (undecided != undecided_.end()) {
            return undecided->second;
        }
    }
    if (dirs_.size() == 1) {
        chosen = 0;
    } else if (arrival == Arrival::known) {
        chosen = find(topic, key);
        if (!chosen && some_missing_) {
            return Error(Code::storage_offline, partition_directory_name(topic, key.index) +
                                                    " is in none of the log directories that work, "
                                                    "so it is in one that is offline");
        }
    }
    if (!chosen) {
        for (size_t i = 0; i < dirs_.size(); i++) {
            if (!dirs_[i]->is_offline() &&
                (!chosen || dirs_[i]->partition_count() < dirs_[*chosen]->partition_count())) {
                chosen = i;
            }
        }
    }
    if (!chosen) {
        return Error(Code::storage_offline, "all log directories are offline");
    }
    dirs_[*chosen]->add_partition();
    return *chosen;
}

void LogDirs::leave(size_t dir) {
    dirs_.at(dir)->remove_partition();
}

// ---- trouble and end ----------------------------------------------------------------------------

void LogDirs::note_failure(size_t dir, const Error& reason) {
    if (dirs_.size() > 1 && dirs_.at(dir)->fail(reason)) {
        failure_count_.fetch_add(1, std::memory_order_release);
    }
}

uint32_t LogDirs::offline_count() const {
    return static_cast<uint32_t>(std::count_if(dirs_.begin(), dirs_.end(),
                                               [](const auto& dir) { return dir->is_offline(); }));
}

Result<void> LogDirs::write_clean_shutdown(std::vector<Closed> closed) const {
    QT_ASSERT(closed.size() == dirs_.size());
    Result<void> outcome;
    for (size_t i = 0; i < dirs_.size(); i++) {
        Result<void> result =
            dirs_[i]->is_offline() ? dirs_[i]->failure() : std::move(closed[i].result);
        if (result) {
            result = dirs_[i]->data()->write_clean_shutdown(std::move(closed[i].states));
        }
        if (!result && outcome) {
            outcome = std::move(result);
        }
    }
    return outcome;
}

bool LogDirs::was_clean() const {
    return std::all_of(dirs_.begin(), dirs_.end(), [](const auto& dir) {
        return dir->data() != nullptr && dir->data()->was_clean();
    });
}

} // namespace qtool::storage
