#include "server/storage/partition_files.h"

#include "lib/base/crc32c.h"
#include "lib/base/log.h"
#include "server/storage/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace qtool::storage {

namespace {

constexpr uint64_t kTextFileMax = 64 * 1024;
constexpr const char* kTextVersion = "1";
constexpr size_t kNameKeptMax = 200; // of 255: leaves room for id, index and suffix

std::string crc_line(std::string_view lines) {
    char text[24];
    std::snprintf(text, sizeof text, "crc=%08x\n", crc32c(as_bytes(lines)));
    return text;
}

template <class T>
std::optional<T> parse_number(const std::string& text) {
    T value{};
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

std::string encode_log_start(Offset offset) {
    return encode_text_file(std::string("version=") + kTextVersion +
                            "\noffset=" + std::to_string(offset.value()) + "\n");
}

} // namespace

std::string parent_directory(const std::string& path) {
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

std::string base_name(const std::string& path) {
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? path : path.substr(slash + 1);
}

std::string encode_text_file(const std::string& lines) {
    return lines + crc_line(lines);
}

Result<std::string> decode_text_file(ByteView bytes) {
    const std::string_view text = as_text(bytes);
    const size_t last = text.rfind("crc=");
    if (last == std::string_view::npos || (last > 0 && text[last - 1] != '\n') ||
        text.substr(last) != crc_line(text.substr(0, last))) {
        return Error(Code::corrupt, "the file is cut or its checksum does not match");
    }
    return std::string(text.substr(0, last));
}

std::optional<std::string> text_value(const std::string& lines, const std::string& name) {
    size_t at = 0;
    while (at < lines.size()) {
        size_t end = lines.find('\n', at);
        end = end == std::string::npos ? lines.size() : end;
        if (lines.compare(at, name.size(), name) == 0 && at + name.size() < end &&
            lines[at + name.size()] == '=') {
            return lines.substr(at + name.size() + 1, end - at - name.size() - 1);
        }
        at = end + 1;
    }
    return std::nullopt;
}

Result<std::optional<std::string>> read_text_file(port::Disk& disk, const std::string& path) {
    QT_TRY_ASSIGN(const auto bytes, read_small_file(disk, path, kTextFileMax));
    if (!bytes) {
        return std::optional<std::string>();
    }
    Result<std::string> lines = decode_text_file(*bytes);
    if (!lines) {
        return Error(lines.error().code, path + ": " + lines.error().detail);
    }
    if (text_value(*lines, "version") != kTextVersion) {
        return Error(Code::unsupported_version,
                     path + ": version " + text_value(*lines, "version").value_or("missing") +
                         ", this program reads version " + kTextVersion);
    }
    return std::optional<std::string>(*std::move(lines));
}

Result<void> write_partition_meta(port::Disk& disk, const std::string& directory,
                                  const PartitionKey& key, bool is_durable) {
    const std::string text = encode_text_file(
        std::string("version=") + kTextVersion + "\ntopic.id=" + to_string(key.topic_id) +
        "\npartition=" + std::to_string(key.index.value()) + "\n");
    return write_small_file(disk, {directory, kPartitionMetaName, is_durable}, as_bytes(text));
}

Result<std::optional<PartitionKey>> read_partition_meta(port::Disk& disk,
                                                        const std::string& directory) {
    const std::string path = directory + "/" + kPartitionMetaName;
    QT_TRY_ASSIGN(const auto lines, read_text_file(disk, path));
    if (!lines) {
        return std::optional<PartitionKey>();
    }
    const Result<Uuid> id = parse_uuid(text_value(*lines, "topic.id").value_or(""));
    const std::optional<int32_t> index =
        parse_number<int32_t>(text_value(*lines, "partition").value_or(""));
    if (!id || !index) {
        return Error(Code::corrupt, path + ": no topic.id or partition");
    }
    return std::optional<PartitionKey>(PartitionKey{*id, PartitionIndex(*index)});
}

Result<bool> is_partition_meta_unfinished(port::Disk& disk, const std::string& directory) {
    const auto bytes = read_small_file(disk, directory + "/" + kPartitionMetaName, kTextFileMax);
    if (!bytes) {
        return is_disk_trouble(bytes.error().code) ? Result<bool>(bytes.error())
                                                   : Result<bool>(false);
    }
    if (!*bytes) {
        return true;
    }
    const std::string_view text = as_text(**bytes);
    const size_t last = text.size() - std::min(text.size(), crc_line("").size());
    const bool has_end = text.substr(last).starts_with("crc=") && text.ends_with('\n');
    return !has_end; // the size may be there without what was written: zeros
}

Result<void> write_log_start(port::Disk& disk, const std::string& directory, Offset offset) {
    return write_small_file(disk, {directory, kLogStartName, true},
                            as_bytes(encode_log_start(offset)));
}

Result<port::FileRef> prepare_log_start(port::Disk& disk, const std::string& directory,
                                        Offset offset) {
    return write_temporary_file(disk, {directory, kLogStartName},
                                as_bytes(encode_log_start(offset)));
}

Result<void> name_log_start(port::Disk& disk, const std::string& directory) {
    return disk.rename(temporary_path({directory, kLogStartName}), directory + "/" + kLogStartName);
}

Result<Offset> read_log_start(port::Disk& disk, const std::string& directory) {
    const std::string path = directory + "/" + kLogStartName;
    QT_TRY_ASSIGN(const auto lines, read_text_file(disk, path));
    if (!lines) {
        return Offset{0};
    }
    const std::optional<int64_t> offset =
        parse_number<int64_t>(text_value(*lines, "offset").value_or(""));
    if (!offset || *offset < 0) {
        return Error(Code::corrupt, path + ": no offset");
    }
    return Offset(*offset);
}

Result<void> write_truncation(port::Disk& disk, const std::string& directory,
                              const Truncation& truncation) {
    const std::string text = encode_text_file(
        std::string("version=") + kTextVersion + "\nto=" + std::to_string(truncation.to.value()) +
        "\nend.min=" + std::to_string(truncation.end_min.value()) +
        "\nuntil=" + std::to_string(truncation.until.value()) + "\n");
    return write_small_file(disk, {directory, kTruncationName, true}, as_bytes(text));
}

Result<std::optional<Truncation>> read_truncation(port::Disk& disk, const std::string& directory) {
    const std::string path = directory + "/" + kTruncationName;
    QT_TRY_ASSIGN(const auto lines, read_text_file(disk, path));
    if (!lines) {
        return std::optional<Truncation>();
    }
    const std::optional<int64_t> to = parse_number<int64_t>(text_value(*lines, "to").value_or(""));
    const std::optional<int64_t> until =
        parse_number<int64_t>(text_value(*lines, "until").value_or(""));
    const std::optional<int64_t> end_min =
        parse_number<int64_t>(text_value(*lines, "end.min").value_or(""));
    if (!to || !end_min || *end_min < 0 || *to < *end_min || !until || *until < *to) {
        return Error(Code::corrupt, path + ": no offsets");
    }
    return std::optional<Truncation>(Truncation{Offset(*to), Offset(*end_min), Offset(*until)});
}

std::string deleted_directory_name(const std::string& directory, const PartitionKey& key) {
    return base_name(directory).substr(0, kNameKeptMax) + "." + to_string(key.topic_id) + "-" +
           std::to_string(key.index.value()) + ".deleted";
}

Result<void> discard_directory(port::Disk& disk, const std::string& parent, const std::string& name,
                               const PartitionKey& key) {
    const std::string deleted = deleted_directory_name(name, key);
    QT_TRY_ASSIGN(const bool is_left, disk.exists(parent + "/" + deleted)); // of an earlier one
    if (is_left) {
        QT_TRY(remove_deleted_directory(disk, parent, deleted));
    }
    QT_TRY(disk.rename(parent + "/" + name, parent + "/" + deleted));
    QT_TRY(disk.sync_directory(parent));
    if (Result<void> removed = remove_deleted_directory(disk, parent, deleted); !removed) {
        log_line(LogLevel::warn, "deleted_partition_kept", // the next start tries again
                 {{"directory", parent + "/" + deleted}, {"error", to_string(removed.error())}});
    }
    return {};
}

Result<void> remove_deleted_directory(port::Disk& disk, const std::string& parent,
                                      const std::string& name) {
    const std::string directory = parent + "/" + name;
    QT_TRY_ASSIGN(const std::vector<port::DirectoryEntry> entries, disk.list(directory));
    // Names of topics may be long: the file's new name uses only the end, which holds the ids.
    const std::string tail = name.size() > 100 ? name.substr(name.size() - 100) : name;
    for (const port::DirectoryEntry& entry : entries) {
        const size_t segment = entry.name.find(".log");
        if (segment != std::string::npos &&
            (entry.name.ends_with(".log") || entry.name.ends_with(".log.deleted"))) {
            const std::string moved =
                parent + "/" + tail + "." + entry.name.substr(0, segment) + ".log.deleted";
            QT_TRY(disk.rename(directory + "/" + entry.name, moved));
            disk.remove_later(moved);
        } else {
            QT_TRY(disk.remove(directory + "/" + entry.name));
        }
    }
    return disk.remove(directory);
}

} // namespace qtool::storage
