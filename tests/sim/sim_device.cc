#include "tests/sim/sim_device.h"

#include "lib/base/assert.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace qtool::sim {

namespace {

constexpr uint64_t kSectorSize = 512;
constexpr uint32_t kAbsentPercent = 20; // of ranges that are asked about

void put(std::vector<std::byte>& into, ByteView bytes, uint64_t position) {
    if (bytes.empty()) {
        return;
    }
    if (into.size() < position + bytes.size()) {
        into.resize(position + bytes.size());
    }
    std::memcpy(into.data() + position, bytes.data(), bytes.size());
}

Error full_error(const char* what) {
    return Error(Code::storage_full, std::string("cannot ") + what, ENOSPC);
}

} // namespace

Device::Device(World& world) : world_(world), root_(std::make_shared<Inode>()) {
    root_->is_directory = true;
}

void Device::halt_after(uint64_t operations, std::function<void()> on_halt) {
    halt_countdown_ = operations;
    on_halt_ = std::move(on_halt);
}

void Device::halt_after_cut(uint64_t operations, std::function<void()> on_halt) {
    halt_countdown_ = 0;
    halt_after_cut_ = operations;
    on_halt_ = std::move(on_halt);
}

// Every operation starts here. A halt falls between two operations; only changes are counted, since
// a halt between two reads tells nothing apart.
Result<void> Device::begin(bool changes) {
    if (!halted_ && changes && halt_countdown_ > 0 && --halt_countdown_ == 0) {
        halted_ = true;
        on_halt_();
    }
    if (halted_) {
        return Error(Code::storage_io, "the process is dead", EIO);
    }
    return {};
}

// ---- names --------------------------------------------------------------------------------------

Result<Device::Place> Device::locate(const std::string& path) {
    QT_ASSERT(!path.empty() && path[0] == '/');
    InodeRef at = root_;
    size_t from = 1;
    for (;;) {
        const size_t slash = path.find('/', from);
        if (slash == std::string::npos) {
            return Place{at, path.substr(from)};
        }
        const auto entry = at->entries.find(path.substr(from, slash - from));
        if (entry == at->entries.end() || !entry->second->is_directory) {
            return Error(Code::resource_not_found, "no such path: " + path, ENOENT);
        }
        at = entry->second;
        from = slash + 1;
    }
}

Result<InodeRef> Device::find(const std::string& path) {
    QT_TRY(begin(false));
    if (path == "/") {
        return root_;
    }
    QT_TRY_ASSIGN(const Place place, locate(path));
    const auto entry = place.directory->entries.find(place.name);
    if (entry == place.directory->entries.end()) {
        return Error(Code::resource_not_found, "no such path: " + path, ENOENT);
    }
    return entry->second;
}

bool Device::exists(const std::string& path) {
    const Result<Place> place = locate(path);
    return place && place->directory->entries.count(place->name) > 0;
}

Result<InodeRef> Device::open(const std::string& path, bool may_create) {
    QT_TRY(begin(may_create));
    QT_TRY_ASSIGN(const Place place, locate(path));
    const auto entry = place.directory->entries.find(place.name);
    if (entry != place.directory->entries.end()) {
        if (entry->second->is_directory) {
            return Error(Code::storage_io, path + " is a directory", EISDIR);
        }
        return entry->second;
    }
    if (!may_create) {
        return Error(Code::resource_not_found, "cannot open '" + path + "'", ENOENT);
    }
    if (is_full_) {
        world_.hit(Fault::disk_full);
        return full_error("create a file");
    }
    const InodeRef inode = std::make_shared<Inode>();
    place.directory->entries[place.name] = inode;
    note_change(NameChange{{}, {place.directory, place.name}, inode});
    return inode;
}

Result<void> Device::make_directory(const std::string& path) {
    QT_TRY(begin(true));
    QT_TRY_ASSIGN(const Place place, locate(path));
    const auto entry = place.directory->entries.find(place.name);
    if (entry != place.directory->entries.end()) {
        if (!entry->second->is_directory) {
            return Error(Code::storage_io, path + " is a file", EEXIST);
        }
        return {};
    }
    if (is_full_) {
        world_.hit(Fault::disk_full);
        return full_error("create a directory");
    }
    const InodeRef inode = std::make_shared<Inode>();
    inode->is_directory = true;
    place.directory->entries[place.name] = inode;
    note_change(NameChange{{}, {place.directory, place.name}, inode});
    return {};
}

Result<void> Device::rename(const std::string& from, const std::string& to) {
    QT_TRY(begin(true));
    QT_TRY_ASSIGN(const Place source, locate(from));
    QT_TRY_ASSIGN(const Place target, locate(to));
    const auto entry = source.directory->entries.find(source.name);
    if (entry == source.directory->entries.end()) {
        return Error(Code::storage_io, "cannot rename '" + from + "'", ENOENT);
    }
    const auto old = target.directory->entries.find(target.name);
    if (old != target.directory->entries.end() && old->second->is_directory &&
        !old->second->entries.empty()) {
        return Error(Code::storage_io, "cannot rename to '" + to + "'", ENOTEMPTY);
    }
    const InodeRef inode = entry->second;
    source.directory->entries.erase(entry);
    target.directory->entries[target.name] = inode;
    note_change(
        NameChange{{source.directory, source.name}, {target.directory, target.name}, inode});
    return {};
}

Result<void> Device::remove(const std::string& path) {
    QT_TRY(begin(true));
    const Result<Place> place = locate(path);
    if (!place) {
        return {};
    }
    const auto entry = place->directory->entries.find(place->name);
    if (entry == place->directory->entries.end()) {
        return {};
    }
    if (entry->second->is_directory && !entry->second->entries.empty()) {
        return Error(Code::storage_io, "cannot remove '" + path + "'", ENOTEMPTY);
    }
    const InodeRef inode = entry->second;
    place->directory->entries.erase(entry);
    note_change(NameChange{{place->directory, place->name}, {}, inode});
    return {};
}

void Device::note_change(NameChange change) {
    change.sequence = ++sequence_;
    names_.push_back(std::move(change));
}

void Device::apply(const NameChange& change) {
    if (const Side& side = change.remove_side; side.directory) {
        const auto entry = side.directory->medium_entries.find(side.name);
        if (entry != side.directory->medium_entries.end() && entry->second == change.inode) {
            side.directory->medium_entries.erase(entry);
        }
    }
    if (const Side& side = change.add_side; side.directory) {
        side.directory->medium_entries[side.name] = change.inode;
    }
}

Result<void> Device::sync_directory(const std::string& path) {
    QT_TRY_ASSIGN(const InodeRef directory, find(path));
    QT_TRY(begin(true));
    if (!directory->is_directory) {
        return Error(Code::storage_io, path + " is no directory", ENOTDIR);
    }
    sync_entries(*directory, sequence_);
    return {};
}

void Device::sync_entries(const Inode& directory, uint64_t mark) {
    if (plant_ == Plant::entries_lie) {
        return;
    }
    for (auto at = names_.begin(); at != names_.end();) {
        if (at->sequence > mark) {
            break; // they rise
        }
        for (Side* side : {&at->remove_side, &at->add_side}) {
            side->synced = side->synced || side->directory.get() == &directory;
        }
        const bool is_done = (at->remove_side.synced || !at->remove_side.directory) &&
                             (at->add_side.synced || !at->add_side.directory);
        if (is_done) {
            apply(*at);
            at = names_.erase(at);
        } else {
            ++at;
        }
    }
}

// ---- bytes --------------------------------------------------------------------------------------

bool Device::is_in_memory(const Inode& inode, uint64_t position, uint64_t size) {
    if (halted_ || position + size > inode.content.size()) {
        return false;
    }
    return !world_.chance_percent(kAbsentPercent);
}

Result<size_t> Device::read(const Inode& inode, ByteSpan into, uint64_t position) {
    QT_TRY(begin(false));
    if (position >= inode.content.size()) {
        return size_t{0};
    }
    const size_t size = std::min<size_t>(into.size(), inode.content.size() - position);
    if (size > 0) {
        std::memcpy(into.data(), inode.content.data() + position, size);
    }
    return size;
}

Result<void> Device::write(Inode& inode, std::span<const ByteView> pieces, uint64_t position) {
    QT_TRY(begin(true));
    Unsynced change;
    change.position = position;
    for (const ByteView piece : pieces) {
        change.bytes.insert(change.bytes.end(), piece.begin(), piece.end());
    }
    const bool refused = is_full_ && position + change.bytes.size() > inode.content.size();
    if (refused) {
        world_.hit(Fault::disk_full);
        change.bytes.resize(world_.random().below(change.bytes.size() + 1));
        if (change.bytes.empty()) {
            return full_error("write");
        }
        world_.hit(Fault::write_short);
    }
    put(inode.content, change.bytes, position);
    change.sequence = ++sequence_;
    inode.unsynced.push_back(std::move(change));
    return refused ? Result<void>(full_error("write")) : Result<void>();
}

Result<void> Device::truncate(Inode& inode, uint64_t size) {
    QT_TRY(begin(true));
    if (size == inode.content.size()) {
        return {};
    }
    if (size < inode.content.size() && halt_after_cut_ > 0) {
        halt_countdown_ = std::exchange(halt_after_cut_, 0);
    }
    inode.content.resize(size);
    Unsynced change;
    change.is_truncation = true;
    change.position = size;
    change.sequence = ++sequence_;
    inode.unsynced.push_back(std::move(change));
    return {};
}

void Device::apply(Inode& inode, const Unsynced& change) {
    if (change.is_truncation) {
        inode.medium.resize(change.position);
    } else {
        put(inode.medium, change.bytes, change.position);
    }
}

Result<void> Device::sync(Inode& inode, uint64_t mark) {
    QT_TRY(begin(true));
    if (sync_errors_ > 0) {
        sync_errors_--;
        has_failed_sync_ = true;
        world_.hit(Fault::sync_error);
        // What this sync should have brought to the medium counts as clean from now on: some of it
        // is there, the rest stays in the page cache alone.
        std::erase_if(inode.unsynced, [&](const Unsynced& change) {
            if (change.sequence > mark) {
                return false;
            }
            if (world_.chance_percent(20)) {
                apply(inode, change);
            }
            return true;
        });
        return Error(Code::storage_io, "cannot sync", EIO);
    }
    if (plant_ == Plant::sync_lies) {
        return {};
    }
    if (inode.is_directory) {
        sync_entries(inode, mark);
        return {};
    }
    uint64_t first = 0;
    if (plant_ == Plant::reordered) {
        for (const Unsynced& change : inode.unsynced) {
            first = change.sequence <= mark ? change.sequence : first;
        }
    }
    std::erase_if(inode.unsynced, [&](const Unsynced& change) {
        if (change.sequence > mark || change.sequence < first) {
            return false;
        }
        apply(inode, change);
        return true;
    });
    return {};
}

Result<void> Device::sync_below(Inode& directory) {
    for (const auto& [name, inode] : directory.entries) {
        QT_TRY(inode->is_directory ? sync_below(*inode) : sync(*inode, sync_mark()));
    }
    return sync(directory, sync_mark());
}

// ---- power loss ---------------------------------------------------------------------------------

void Device::power_loss() {
    has_failed_sync_ = false;
    settle_names();
    settle(*root_);
}

void Device::wipe() {
    root_ = std::make_shared<Inode>();
    root_->is_directory = true;
    names_.clear();
    locks_.clear();
    halted_ = false;
    is_full_ = false;
}

namespace {

InodeRef copy_medium(const Inode& inode) {
    auto copy = std::make_shared<Inode>();
    copy->is_directory = inode.is_directory;
    copy->content = inode.medium;
    copy->medium = inode.medium;
    for (const auto& [name, entry] : inode.medium_entries) {
        copy->entries[name] = copy_medium(*entry);
    }
    copy->medium_entries = copy->entries;
    return copy;
}

} // namespace

void Device::take_backup() {
    backup_ = copy_medium(*root_);
}

void Device::restore_backup() {
    wipe();
    root_ = copy_medium(*backup_);
}

void Device::settle_names() {
    Prng& random = world_.random();
    const uint64_t mode = random.below(4); // nothing, all, a prefix, any of them
    const uint64_t prefix = random.below(names_.size() + 1);
    for (size_t i = 0; i < names_.size(); i++) {
        const bool kept =
            mode == 1 || (mode == 2 && i < prefix) || (mode == 3 && random.chance(500'000));
        if (kept) {
            apply(names_[i]);
        } else {
            world_.hit(Fault::entry_lost);
        }
    }
    names_.clear();
}

void Device::settle(Inode& directory) {
    directory.entries = directory.medium_entries;
    for (auto& [name, inode] : directory.entries) {
        if (inode->is_directory) {
            settle(*inode);
        } else {
            settle_file(*inode);
        }
    }
}

void Device::settle_file(Inode& inode) {
    if (!inode.unsynced.empty()) {
        enum : uint64_t { nothing, all, prefix, sectors, size_only, mode_count };
        Prng& random = world_.random();
        const uint64_t mode = random.below(mode_count);
        const uint64_t kept = random.below(inode.unsynced.size() + 1); // of `prefix`
        uint64_t size = inode.medium.size();
        for (size_t i = 0; i < inode.unsynced.size(); i++) {
            Unsynced& change = inode.unsynced[i];
            if (change.is_truncation) {
                if (mode == all || (mode == prefix && i < kept) ||
                    (mode >= sectors && random.chance(500'000))) {
                    apply(inode, change);
                    size = change.position;
                }
                continue;
            }
            size = std::max(size, change.position + change.bytes.size());
            if (mode == all || (mode == prefix && i < kept)) {
                apply(inode, change);
            } else if (mode == prefix && i == kept && change.bytes.size() > 1) {
                change.bytes.resize(
                    random.between(1, static_cast<int64_t>(change.bytes.size() - 1)));
                apply(inode, change);
                world_.hit(Fault::write_torn);
            } else if (mode == sectors && apply_sectors(inode, change)) {
                world_.hit(Fault::write_torn);
            } else {
                world_.hit(Fault::write_dropped);
            }
        }
        if (mode == size_only) {
            inode.medium.resize(size);
        }
        inode.unsynced.clear();
    }
    inode.content = inode.medium;
}

// Any of the sectors the write touched. True: one at least.
bool Device::apply_sectors(Inode& inode, const Unsynced& change) {
    bool any = false;
    for (uint64_t done = 0; done < change.bytes.size();) {
        const uint64_t position = change.position + done;
        const uint64_t size =
            std::min(kSectorSize - position % kSectorSize, change.bytes.size() - done);
        if (world_.random().chance(500'000)) {
            put(inode.medium, ByteView(change.bytes).subspan(done, size), position);
            any = true;
        }
        done += size;
    }
    return any;
}

} // namespace qtool::sim
