#include "server/storage/checkpoint.h"

#include "lib/base/byte_writer.h"
#include "lib/base/crc32c.h"
#include "lib/base/log.h"
#include "lib/base/span_reader.h"
#include "server/storage/limits.h"

#include <algorithm>

namespace qtool::storage {

namespace {

constexpr uint32_t kStatesMagic = 0x51505354; // "QPST"
// 1 had no transactions, 2 no high watermark.
constexpr uint32_t kStatesVersion = 3;
constexpr size_t kStatesHeaderSize = 16;                             // magic, version, crc, count
constexpr size_t kStateSizeMin = 16 + 4 + 1 + 3 * 8 + 8 + 4 + 8 + 4; // without epochs
constexpr size_t kEpochSize = 4 + 8;

constexpr uint8_t kFlagClean = 1;
constexpr uint8_t kFlagDirectory = 2;
constexpr uint8_t kFlagProducers = 4;

constexpr const char* kCleanShutdownName = "clean-shutdown";
constexpr std::string_view kRecoveryPointsPrefix = "recovery-points.";
// Where a clean-shutdown file goes when it is taken: no longer a promise about files, but what it
// says is synced stays true, and saves a full check if the next stop is a crash.
constexpr const char* kTakenName = "recovery-points.start";

void encode_state(ByteWriter& out, const PartitionState& state) {
    for (const uint8_t byte : state.key.topic_id.bytes) {
        out.be<uint8_t>(byte);
    }
    out.be<int32_t>(state.key.index.value());
    out.be<uint8_t>(static_cast<uint8_t>((state.is_clean ? kFlagClean : 0) |
                                         (state.has_directory ? kFlagDirectory : 0) |
                                         (state.has_producers ? kFlagProducers : 0)));
    out.be<int64_t>(state.log_start_offset.value());
    out.be<int64_t>(state.log_end_offset.value());
    out.be<int64_t>(state.synced_end_offset.value());
    out.be<uint64_t>(state.size_bytes);
    out.be<uint32_t>(state.segment_count);
    out.be<int64_t>(state.oldest_max_timestamp);
    out.be<int64_t>(state.first_open_transaction.value());
    out.be<int64_t>(state.high_watermark.value());
    out.be<int64_t>(state.first_undecided_transaction.value());
    out.be<int64_t>(state.undecided_until.value());
    out.be<uint32_t>(static_cast<uint32_t>(state.epochs.size()));
    for (const EpochStart& epoch : state.epochs) {
        out.be<int32_t>(epoch.epoch.value());
        out.be<int64_t>(epoch.start.value());
    }
}

PartitionState decode_state(SpanReader& in, uint32_t version) {
    PartitionState state;
    for (uint8_t& byte : state.key.topic_id.bytes) {
        byte = in.be<uint8_t>();
    }
    state.key.index = PartitionIndex(in.be<int32_t>());
    const auto flags = in.be<uint8_t>();
    state.is_clean = (flags & kFlagClean) != 0;
    state.has_directory = (flags & kFlagDirectory) != 0;
    state.has_producers = (flags & kFlagProducers) != 0;
    state.log_start_offset = Offset(in.be<int64_t>());
    state.log_end_offset = Offset(in.be<int64_t>());
    state.synced_end_offset = Offset(in.be<int64_t>());
    state.size_bytes = in.be<uint64_t>();
    state.segment_count = in.be<uint32_t>();
    state.oldest_max_timestamp = in.be<int64_t>();
    if (version >= 2) {
        state.first_open_transaction = Offset(in.be<int64_t>());
    }
    state.high_watermark = state.synced_end_offset; // all was committed before there were replicas
    if (version >= 3) {
        state.high_watermark = Offset(in.be<int64_t>());
        state.first_undecided_transaction = Offset(in.be<int64_t>());
        state.undecided_until = Offset(in.be<int64_t>());
    }
    const auto epochs = in.be<uint32_t>();
    if (epochs > in.left() / kEpochSize) {
        in.fail();
        return state;
    }
    state.epochs.reserve(epochs);
    for (uint32_t i = 0; i < epochs; i++) {
        const LeaderEpoch epoch(in.be<int32_t>());
        const Offset start(in.be<int64_t>());
        if (!state.epochs.empty() &&
            (epoch <= state.epochs.back().epoch || start < state.epochs.back().start)) {
            in.fail();
            return state;
        }
        state.epochs.push_back({epoch, start});
    }
    // A log that is out of use does not know its end, but what was synced of it stays on record.
    const bool ends_fit = state.log_end_offset >= state.log_start_offset &&
                          state.synced_end_offset <= state.log_end_offset;
    if (state.key.index < PartitionIndex(0) || state.log_start_offset < Offset(0) ||
        state.synced_end_offset < Offset(0) || state.high_watermark < Offset(0) ||
        (state.is_clean && !ends_fit)) {
        in.fail();
    }
    return state;
}

// All but those in kTakenName.
Result<void> remove_recovery_points(port::Disk& disk, const std::string& directory) {
    QT_TRY_ASSIGN(const std::vector<port::DirectoryEntry> entries, disk.list(directory));
    for (const port::DirectoryEntry& entry : entries) {
        if (!entry.is_directory && entry.name.starts_with(kRecoveryPointsPrefix) &&
            entry.name != kTakenName) {
            QT_TRY(disk.remove(directory + "/" + entry.name));
        }
    }
    return {};
}

} // namespace

// ---- small files --------------------------------------------------------------------------------

std::string temporary_path(const SmallFile& file) {
    return file.directory + "/" + file.name + ".tmp";
}

Result<port::FileRef> write_temporary_file(port::Disk& disk, const SmallFile& file,
                                           ByteView bytes) {
    const std::string path = temporary_path(file);
    QT_TRY_ASSIGN(port::FileRef out, disk.open(path, port::OpenMode::create));
    Result<void> written = out->truncate(0);
    if (written && !bytes.empty()) {
        written = out->write_at({&bytes, 1}, 0);
    }
    if (!written) {
        static_cast<void>(disk.remove(path)); // gives the space back when the disk is full
        return std::move(written).error();
    }
    return out;
}

Result<void> write_small_file(port::Disk& disk, const SmallFile& file, ByteView bytes) {
    const std::string temporary = temporary_path(file);
    {
        QT_TRY_ASSIGN(const port::FileRef out, write_temporary_file(disk, file, bytes));
        if (Result<void> synced = file.durable ? out->sync_blocking() : Result<void>{}; !synced) {
            static_cast<void>(disk.remove(temporary));
            return synced;
        }
    }
    QT_TRY(disk.rename(temporary, file.directory + "/" + file.name));
    if (file.durable) {
        QT_TRY(disk.sync_directory(file.directory));
    }
    return {};
}

Result<std::optional<std::vector<std::byte>>>
read_small_file(port::Disk& disk, const std::string& path, uint64_t size_max) {
    QT_TRY_ASSIGN(const bool there, disk.exists(path));
    if (!there) {
        return std::optional<std::vector<std::byte>>();
    }
    QT_TRY_ASSIGN(const port::FileRef file, disk.open(path, port::OpenMode::read));
    QT_TRY_ASSIGN(const uint64_t size, file->size());
    if (size > size_max) {
        return Error(Code::too_large, path + ": " + std::to_string(size) +
                                          " bytes, more than the limit of " +
                                          std::to_string(size_max));
    }
    std::vector<std::byte> bytes(size);
    if (size > 0) {
        QT_TRY_ASSIGN(const size_t got, file->read_at(bytes, 0));
        bytes.resize(got);
    }
    return std::optional<std::vector<std::byte>>(std::move(bytes));
}

// ---- states -------------------------------------------------------------------------------------

std::vector<std::byte> encode_partition_states(std::span<const PartitionState> states) {
    ByteWriter out(kStatesHeaderSize + states.size() * (kStateSizeMin + 2 * kEpochSize));
    out.be<uint32_t>(kStatesMagic);
    out.be<uint32_t>(kStatesVersion);
    out.be<uint32_t>(0); // checksum of what follows
    out.be<uint32_t>(static_cast<uint32_t>(states.size()));
    for (const PartitionState& state : states) {
        encode_state(out, state);
    }
    out.patch_be<uint32_t>(8, crc32c(out.view().subspan(12)));
    return out.take();
}

Result<std::vector<PartitionState>> decode_partition_states(ByteView bytes) {
    SpanReader in(bytes);
    const auto magic = in.be<uint32_t>();
    const auto version = in.be<uint32_t>();
    const auto crc = in.be<uint32_t>();
    if (!in.ok() || magic != kStatesMagic) {
        return Error(Code::malformed, "no partition states");
    }
    // The version comes first: where a newer program keeps its checksum is not known here.
    if (version < 1 || version > kStatesVersion) {
        return Error(Code::unsupported_version,
                     "partition states of version " + std::to_string(version) +
                         ", this program reads versions up to " + std::to_string(kStatesVersion));
    }
    if (crc32c(bytes.subspan(12)) != crc) {
        return Error(Code::corrupt, "partition states with a wrong checksum");
    }
    const auto count = in.be<uint32_t>();
    if (!in.ok() || count > in.left() / kStateSizeMin) {
        return Error(Code::malformed, "partition states with a wrong count");
    }
    std::vector<PartitionState> states;
    states.reserve(count);
    for (uint32_t i = 0; i < count && in.ok(); i++) {
        states.push_back(decode_state(in, version));
    }
    if (!in.ok() || in.left() != 0) {
        return Error(Code::malformed, "partition states that contradict themselves");
    }
    return states;
}

// ---- clean shutdown -----------------------------------------------------------------------------

Result<void> write_clean_shutdown(port::Disk& disk, const std::string& directory,
                                  std::span<const PartitionState> states) {
    return write_small_file(disk, {directory, kCleanShutdownName, true},
                            encode_partition_states(states));
}

Result<std::optional<PartitionStates>> take_clean_shutdown(port::Disk& disk,
                                                           const std::string& directory) {
    const std::string path = directory + "/" + kCleanShutdownName;
    Result<std::optional<std::vector<std::byte>>> bytes =
        read_small_file(disk, path, kSmallFileMax);
    if (!bytes && bytes.error().code != Code::too_large) {
        return std::move(bytes).error();
    }
    if (bytes && !*bytes) {
        return std::optional<PartitionStates>();
    }
    Result<std::vector<PartitionState>> states =
        bytes ? decode_partition_states(**bytes)
              : Result<std::vector<PartitionState>>(bytes.error());
    if (!states && states.error().code == Code::unsupported_version) {
        return Error(Code::unsupported_version, path + ": " + states.error().detail);
    }
    // Durably out of its name before any log changes: a crash must not find it again.
    if (!states) {
        log_line(LogLevel::warn, "clean_shutdown_ignored",
                 {{"file", path}, {"error", to_string(states.error())}});
        QT_TRY(disk.remove(path));
        QT_TRY(disk.sync_directory(directory));
        return std::optional<PartitionStates>();
    }
    QT_TRY(disk.rename(path, directory + "/" + kTakenName));
    QT_TRY(disk.sync_directory(directory));
    QT_TRY(remove_recovery_points(disk, directory)); // older than what was just taken
    PartitionStates taken;
    for (PartitionState& state : *states) {
        const PartitionKey key = state.key;
        taken.insert_or_assign(key, std::move(state));
    }
    return std::optional<PartitionStates>(std::move(taken));
}

// ---- recovery points ----------------------------------------------------------------------------

Result<void> write_recovery_points(port::Disk& disk, const std::string& directory, CoreId core,
                                   std::span<const PartitionState> states) {
    const std::string name = std::string(kRecoveryPointsPrefix) + std::to_string(core.value());
    return write_small_file(disk, {directory, name, false}, encode_partition_states(states));
}

Result<PartitionStates> load_recovery_points(port::Disk& disk, const std::string& directory) {
    QT_TRY_ASSIGN(const std::vector<port::DirectoryEntry> entries, disk.list(directory));
    PartitionStates known;
    for (const port::DirectoryEntry& entry : entries) {
        if (entry.is_directory || !entry.name.starts_with(kRecoveryPointsPrefix) ||
            entry.name.ends_with(".tmp")) {
            continue;
        }
        const std::string path = directory + "/" + entry.name;
        Result<std::optional<std::vector<std::byte>>> bytes =
            read_small_file(disk, path, kSmallFileMax);
        if (!bytes && bytes.error().code != Code::too_large) {
            return std::move(bytes).error();
        }
        Result<std::vector<PartitionState>> states = Error(Code::malformed, "cannot be read");
        if (bytes && *bytes) {
            states = decode_partition_states(**bytes);
        }
        if (!states) {
            log_line(LogLevel::warn, "recovery_points_ignored",
                     {{"file", path}, {"error", to_string(states.error())}});
            continue;
        }
        for (PartitionState& state : *states) {
            const PartitionKey key = state.key;
            state.is_clean = false;
            const auto [at, is_new] = known.try_emplace(key, std::move(state));
            if (is_new) {
                continue;
            }
            const Offset high = std::max(at->second.high_watermark, state.high_watermark);
            if (at->second.synced_end_offset < state.synced_end_offset) {
                at->second = std::move(state);
            }
            at->second.high_watermark = high;
        }
    }
    return known;
}

Result<void> merge_recovery_points(port::Disk& disk, const std::string& directory,
                                   const PartitionStates& known) {
    std::vector<PartitionState> states;
    states.reserve(known.size());
    for (const auto& [key, state] : known) {
        states.push_back(state);
    }
    QT_TRY(write_small_file(disk, {directory, kTakenName, true}, encode_partition_states(states)));
    return remove_recovery_points(disk, directory);
}

} // namespace qtool::storage
