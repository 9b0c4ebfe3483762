// Device: the disk of the simulated machine. It outlives processes and power losses, and knows for
// each file and directory what is in the page cache and what is on the medium:
//
//   write, truncate          page cache; on the medium only after a sync of the file
//   create, rename, remove   page cache; on the medium only after a sync of the parents
//   failed sync              its data is clean in the page cache and mostly not on the medium, so
//                            that the next sync succeeds and brings nothing
//   kill                     nothing changes
//   power_loss               of what is not synced, each part is there or not, as the seed says:
//                            all, nothing, a prefix torn at a byte, any set of 512-byte sectors, or
//                            the size without the data
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/base/units.h"
#include "tests/sim/sim_world.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace qtool::sim {

struct Inode;
using InodeRef = std::shared_ptr<Inode>;

/// A write or truncation that is not on the medium.
struct Unsynced {
    uint64_t sequence = 0;
    bool is_truncation = false;
    uint64_t position = 0; // truncation: the new size
    std::vector<std::byte> bytes;
};

struct Inode {
    bool is_directory = false;
    std::vector<std::byte> content; // as processes see it
    std::vector<std::byte> medium;
    std::vector<Unsynced> unsynced; // dirty: leads from medium to content, but for failed syncs
    std::map<std::string, InodeRef> entries;
    std::map<std::string, InodeRef> medium_entries;
};

class Device {
public:
    explicit Device(World& world);
    void set_plant(Plant plant) { plant_ = plant; }

    /// Disk operations after which the machine halts: the process is dead from within its turn. The
    /// callback must only take a note.
    void halt_after(uint64_t operations, std::function<void()> on_halt);
    /// ... counted from when a file is cut shorter next.
    void halt_after_cut(uint64_t operations, std::function<void()> on_halt);
    void cancel_halt() { halt_countdown_ = halt_after_cut_ = 0; }
    [[nodiscard]] bool will_halt() const { return halt_countdown_ > 0 || halt_after_cut_ > 0; }
    /// A halted device refuses everything until resume().
    void halt() { halted_ = true; }
    void resume() { halted_ = false; }
    void power_loss();
    /// A new disk.
    void wipe();
    void take_backup();
    [[nodiscard]] bool has_backup() const { return backup_ != nullptr; }
    void restore_backup();

    void set_full(bool full) { is_full_ = full; }
    [[nodiscard]] bool is_full() const { return is_full_; }
    /// Nearly full: all goes on, and little is said to be free.
    void set_low(bool low) { is_low_ = low; }
    [[nodiscard]] uint64_t free_bytes() const { return is_full_ ? 0 : is_low_ ? MiB : GiB; }
    void fail_syncs(uint32_t count) { sync_errors_ = count; }
    [[nodiscard]] bool fails_syncs() const { return sync_errors_ > 0; }
    /// One failed since the power was lost last: what it left in the page cache may not be on disk.
    [[nodiscard]] bool has_failed_sync() const { return has_failed_sync_; }
    /// Each sync takes so much longer.
    void set_sync_delay(Duration delay) { sync_delay_ = delay; }
    [[nodiscard]] Duration sync_delay() const { return sync_delay_; }

    /// For who looks at the medium past the process.
    [[nodiscard]] const Inode& root() const { return *root_; }

    // What the disk port is made of. Paths are absolute.
    Result<InodeRef> open(const std::string& path, bool may_create);
    Result<InodeRef> find(const std::string& path);
    [[nodiscard]] bool exists(const std::string& path);
    Result<void> make_directory(const std::string& path);
    Result<void> rename(const std::string& from, const std::string& to);
    Result<void> remove(const std::string& path);
    Result<void> sync_directory(const std::string& path);

    /// Now and then it is not; it can be read all the same.
    [[nodiscard]] bool is_in_memory(const Inode& inode, uint64_t position, uint64_t size);
    Result<size_t> read(const Inode& inode, ByteSpan into, uint64_t position);
    Result<void> write(Inode& inode, std::span<const ByteView> pieces, uint64_t position);
    Result<void> truncate(Inode& inode, uint64_t size);
    /// The sequence up to which a sync, of a file or a directory, that starts now reaches.
    [[nodiscard]] uint64_t sync_mark() const { return sequence_; }
    Result<void> sync(Inode& inode, uint64_t mark);
    /// One file or directory after the other, as a kernel does: it may end half way.
    Result<void> sync_all() { return sync_below(*root_); }

    bool take_lock(const std::string& path) { return locks_.insert(path).second; } // false: held
    void drop_lock(const std::string& path) { locks_.erase(path); }

private:
    struct Side {
        InodeRef directory;
        std::string name;
        bool synced = false;
    };
    /// An entry change on its way to the medium. A rename has two sides and is atomic.
    struct NameChange {
        Side remove_side; // directory null: none
        Side add_side;
        InodeRef inode;
        uint64_t sequence = 0;
    };
    struct Place {
        InodeRef directory;
        std::string name;
    };

    Result<void> begin(bool changes);
    Result<Place> locate(const std::string& path);
    void note_change(NameChange change);
    void sync_entries(const Inode& directory, uint64_t mark);
    static void apply(const NameChange& change);
    static void apply(Inode& inode, const Unsynced& change);
    Result<void> sync_below(Inode& directory);
    void settle_names();
    void settle(Inode& directory);
    void settle_file(Inode& inode);
    bool apply_sectors(Inode& inode, const Unsynced& change);

    World& world_;
    Plant plant_ = Plant::none;
    InodeRef root_;
    std::deque<NameChange> names_;
    uint64_t sequence_ = 0;
    uint64_t halt_countdown_ = 0; // 0: none
    uint64_t halt_after_cut_ = 0; // what it will be then; 0: none
    std::function<void()> on_halt_;
    bool halted_ = false;
    bool is_full_ = false;
    bool is_low_ = false;
    std::set<std::string> locks_;
    uint32_t sync_errors_ = 0;
    bool has_failed_sync_ = false;
    Duration sync_delay_{};
    InodeRef backup_; // what the medium held; may be absent
};

} // namespace qtool::sim
