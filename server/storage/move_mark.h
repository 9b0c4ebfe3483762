// What the directory of a partition says of moves between log directories (log_move.h), and which
// of several directories of one partition is its log. One small file, `move`, absent most of the
// time: `state` and the log directory at the other end, `other`.
//
//   leaving   nothing is written here any more; it goes to `other`, or has gone there
//   kept      it stays here; `other` may hold a copy that a failed move left, which is void
//   arrived   it came from `other`, where it may be left, too
//
// No move begins while there is a mark, so at most one other directory may hold a copy, and the
// mark names it. Values and calls without state of their own.
#pragma once

#include "lib/base/ids.h"
#include "lib/base/result.h"
#include "lib/base/uuid.h"
#include "server/port/disk.h"

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace qtool::storage {

inline constexpr const char* kMoveMarkName = "move";

struct MoveMark {
    enum class State : uint8_t { leaving, kept, arrived };
    State state = State::leaving;
    Uuid other; // id of a log directory

    bool operator==(const MoveMark&) const = default;
};

/// Durable. Errors: storage_io, storage_full.
Result<void> write_move_mark(port::Disk& disk, const std::string& directory, const MoveMark& mark);
/// Nothing when there is none. Errors: corrupt, unsupported_version, storage_io.
Result<std::optional<MoveMark>> read_move_mark(port::Disk& disk, const std::string& directory);
/// Durable; success when there is none. Errors: storage_io.
Result<void> remove_move_mark(port::Disk& disk, const std::string& directory);

/// A directory of the partition, in a log directory that works.
struct MovePlace {
    Uuid log_directory;
    std::optional<MoveMark> mark;
};
enum class LogDirectoryIs : uint8_t {
    working,
    offline, // it is ours; nobody can say what is in it
    foreign, // never ours, or given up
};
struct MoveHome {
    size_t home = 0;            // of the places: the log
    std::vector<size_t> voids;  // copies to be removed, once the name of `home` is durable
    bool is_mark_spent = false; // then, after that, the mark of `home` goes
};
/// Places of one partition, at least one, into the one that is its log:
///
///   without mark, or kept             it is the log; copies that point at it are void
///   leaving, copy arrived in `other`  the copy is the log
///   leaving, no copy there            it is the log: the move came to nothing
///   leaving, `other` offline          storage_offline: nobody can say
///   arrived, alone                    it is the log, unless `other` is offline: then it may be
///   void
///
/// Errors: storage_offline as above, and when two of them could be the log, which moves never
/// leave.
Result<MoveHome> choose_home(std::span<const MovePlace> places,
                             const std::function<LogDirectoryIs(const Uuid&)>& look);

} // namespace qtool::storage
