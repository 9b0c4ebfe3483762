#include "server/storage/move_mark.h"

#include "lib/base/assert.h"
#include "server/storage/checkpoint.h"
#include "server/storage/partition_files.h"

#include <array>
#include <string_view>
#include <utility>

namespace qtool::storage {

namespace {

using State = MoveMark::State;

constexpr std::array<std::pair<State, std::string_view>, 3> kStateNames{{
    {State::leaving, "leaving"},
    {State::kept, "kept"},
    {State::arrived, "arrived"},
}};

std::string_view name_of(State state) {
    for (const auto& [value, name] : kStateNames) {
        if (value == state) {
            return name;
        }
    }
    QT_ASSERT(false);
    return {};
}

Error undecided(const std::string& why) {
    return Error(Code::storage_offline, why);
}

} // namespace

Result<void> write_move_mark(port::Disk& disk, const std::string& directory, const MoveMark& mark) {
    const std::string lines = "version=1\nstate=" + std::string(name_of(mark.state)) +
                              "\ndirectory.id=" + to_string(mark.other) + "\n";
    return write_small_file(disk, {directory, kMoveMarkName, true},
                            as_bytes(encode_text_file(lines)));
}

Result<std::optional<MoveMark>> read_move_mark(port::Disk& disk, const std::string& directory) {
    const std::string path = directory + "/" + kMoveMarkName;
    QT_TRY_ASSIGN(const auto lines, read_text_file(disk, path));
    if (!lines) {
        return std::optional<MoveMark>();
    }
    const Result<Uuid> other = parse_uuid(text_value(*lines, "directory.id").value_or(""));
    const std::string state = text_value(*lines, "state").value_or("");
    for (const auto& [value, name] : kStateNames) {
        if (other && name == state) {
            return std::optional<MoveMark>(MoveMark{value, *other});
        }
    }
    return Error(Code::corrupt, path + ": no state or directory.id");
}

Result<void> remove_move_mark(port::Disk& disk, const std::string& directory) {
    QT_TRY(disk.remove(directory + "/" + kMoveMarkName));
    return disk.sync_directory(directory);
}

Result<MoveHome> choose_home(std::span<const MovePlace> places,
                             const std::function<LogDirectoryIs(const Uuid&)>& look) {
    QT_ASSERT(!places.empty());
    // Whoever may be the log: one that stays; else one that leaves; else one that arrived.
    const auto rank = [&](const MovePlace& place) {
        return !place.mark || place.mark->state == State::kept ? 2
               : place.mark->state == State::leaving           ? 1
                                                               : 0;
    };
    size_t first = 0;
    for (size_t i = 1; i < places.size(); i++) {
        if (rank(places[i]) > rank(places[first])) {
            first = i;
        }
    }
    MoveHome home{first, {}, false};
    const MovePlace& chosen = places[first];
    for (size_t i = 0; i < places.size(); i++) {
        if (i == first) {
            continue;
        }
        const MovePlace& other = places[i];
        const bool is_pair = rank(other) < rank(chosen) &&
                             other.mark->other == chosen.log_directory &&
                             (!chosen.mark || chosen.mark->other == other.log_directory);
        if (!is_pair) {
            return undecided("it is in several log directories, and they do not tell which one "
                             "counts: move the other one away");
        }
        home.voids.push_back(i);
    }
    if (!chosen.mark) {
        return home;
    }
    if (chosen.mark->state == State::leaving && !home.voids.empty()) { // it has arrived
        return MoveHome{home.voids.front(), {first}, true};
    }
    const LogDirectoryIs other = look(chosen.mark->other);
    if (other == LogDirectoryIs::offline && chosen.mark->state != State::kept) {
        return undecided("its move to or from a log directory that is offline was not finished");
    }
    home.is_mark_spent = other != LogDirectoryIs::offline;
    return home;
}

} // namespace qtool::storage
