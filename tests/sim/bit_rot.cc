#include "tests/sim/bit_rot.h"

#include "lib/protocol/record_batch.h"
#include "server/storage/checkpoint.h"
#include "server/storage/partition_files.h"

#include <map>

namespace qtool::sim {

namespace {

struct Spot {
    uint16_t number = 0;
    InodeRef file;
    size_t position = 0; // of a batch
    size_t size = 0;
};

using Points = std::map<PartitionKey, Offset>;

// As a start after a power loss would find them, where no note of a truncation says that they are
// void: what rots above them is taken for torn then, and cut.
Points durable_recovery_points(const Inode& log_dir) {
    Points points;
    const auto file = log_dir.medium_entries.find("recovery-points.start");
    if (file == log_dir.medium_entries.end()) {
        return points;
    }
    const auto states = storage::decode_partition_states(ByteView(file->second->medium));
    if (states) {
        for (const storage::PartitionState& state : *states) {
            points[state.key] = state.synced_end_offset;
        }
    }
    return points;
}

void find_spots(const RotCandidate& candidate, const Inode& directory, Offset end,
                std::vector<Spot>& spots) {
    for (const auto& [name, inode] : directory.entries) {
        if (!name.ends_with(".log") || !inode->unsynced.empty()) {
            continue;
        }
        size_t position = 0;
        protocol::BatchWalker walker{ByteView(inode->medium)};
        for (;;) {
            const auto batch = walker.next();
            if (!batch || *batch == nullptr || (*batch)->header.next_offset() > end) {
                break;
            }
            const size_t size = (*batch)->bytes.size();
            if (size > protocol::kBatchHeaderSize) {
                spots.push_back({candidate.number, inode, position, size});
            }
            position += size;
        }
    }
}

} // namespace

std::optional<uint16_t> flip_stored_bit(World& world, Device& device, const std::string& log_dir,
                                        const std::vector<RotCandidate>& candidates) {
    const Result<InodeRef> parent = device.find(log_dir);
    if (!parent) {
        return std::nullopt;
    }
    const Points points = durable_recovery_points(**parent);
    std::vector<Spot> spots;
    for (const RotCandidate& candidate : candidates) {
        const auto directory = (*parent)->entries.find(candidate.name);
        const auto point = points.find(candidate.key);
        if (directory != (*parent)->entries.end() && point != points.end() &&
            !directory->second->medium_entries.contains(storage::kTruncationName)) {
            find_spots(candidate, *directory->second, point->second, spots);
        }
    }
    if (spots.empty()) {
        return std::nullopt;
    }
    const Spot& spot = spots[world.random().below(spots.size())];
    const size_t at =
        spot.position + protocol::kBatchHeaderSize +
        static_cast<size_t>(world.random().below(spot.size - protocol::kBatchHeaderSize));
    const auto bit = std::byte{static_cast<unsigned char>(1U << world.random().below(8))};
    spot.file->medium.at(at) ^= bit;
    spot.file->content.at(at) ^= bit;
    world.hit(Fault::bit_rot);
    return spot.number;
}

} // namespace qtool::sim
