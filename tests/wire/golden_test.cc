// Frames recorded between other implementations (Apache Kafka's Java clients, librdkafka, and an
// Apache Kafka broker; see README.md): each must decode, and encode again to the very same bytes,
// header included. That holds since all of them write tagged fields in order and leave defaults
// out.
#include "lib/protocol/header.h"
#include "tests/wire/message_rows.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <set>

using namespace qtool;
using namespace qtool::protocol;
using namespace qtool::protocol::test;

namespace {

struct Golden {
    std::string file; // "list_offsets_v7_request.hex"
    std::string api;  // "list_offsets"
    int16_t version = -1;
    bool is_request = false;
    std::vector<std::byte> frame;
};

std::vector<std::byte> read_hex(const std::filesystem::path& path) {
    std::ifstream in(path);
    std::vector<std::byte> bytes;
    for (std::string line; std::getline(in, line);) {
        REQUIRE(line.size() % 2 == 0);
        for (size_t i = 0; i < line.size(); i += 2) {
            uint8_t value = 0;
            const auto read = std::from_chars(line.data() + i, line.data() + i + 2, value, 16);
            REQUIRE(read.ptr == line.data() + i + 2);
            bytes.push_back(static_cast<std::byte>(value));
        }
    }
    return bytes;
}

Golden read_golden(const std::filesystem::path& path) {
    Golden golden;
    golden.file = path.filename().string();
    const std::string stem = path.stem().string();
    const size_t kind = stem.rfind('_');
    const size_t version = stem.rfind("_v", kind - 1);
    REQUIRE((kind != std::string::npos && version != std::string::npos));
    golden.api = stem.substr(0, version);
    golden.version = static_cast<int16_t>(std::stoi(stem.substr(version + 2)));
    golden.is_request = stem.substr(kind + 1) == "request";
    golden.frame = read_hex(path);
    return golden;
}

std::vector<Golden> all_golden() {
    std::vector<Golden> all;
    for (const auto& entry : std::filesystem::directory_iterator(QT_GOLDEN_FOLDER)) {
        all.push_back(read_golden(entry.path()));
    }
    std::sort(all.begin(), all.end(),
              [](const Golden& a, const Golden& b) { return a.file < b.file; });
    return all;
}

// "ListOffsetsRequest" -> "list_offsets"
std::string file_name_of(const MessageRow& row) {
    std::string name(row.name.substr(0, row.name.size() - (row.is_request ? 7 : 8)));
    std::string out;
    for (const char c : name) {
        if (std::isupper(static_cast<unsigned char>(c)) != 0 && !out.empty()) {
            out.push_back('_');
        }
        out.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
    }
    return out;
}

const MessageRow* find_row(const Golden& golden) {
    for (const MessageRow& row : kMessageRows) {
        if (row.api_key >= 0 && row.is_request == golden.is_request &&
            file_name_of(row) == golden.api) {
            return &row;
        }
    }
    return nullptr;
}

std::vector<std::byte> recode_frame(const Golden& golden, const MessageRow& row) {
    ByteWriter out;
    size_t header_size = 0;
    if (golden.is_request) {
        const auto header = decode_request_header(golden.frame, header_size);
        REQUIRE(header.has_value());
        REQUIRE(header->api_key == row.api_key);
        REQUIRE(header->api_version == golden.version);
        encode_request_header(out, *header);
    } else {
        const auto correlation_id =
            decode_response_header(golden.frame, row.api_key, golden.version, header_size);
        REQUIRE(correlation_id.has_value());
        encode_response_header(out, row.api_key, golden.version, *correlation_id);
    }
    const auto body = row.recode(ByteView(golden.frame).subspan(header_size), golden.version);
    if (!body) {
        FAIL(to_string(body.error()));
    }
    out.bytes(*body);
    return out.take();
}

} // namespace

TEST_CASE("golden frames: each decodes and encodes to the same bytes") {
    const std::vector<Golden> all = all_golden();
    REQUIRE_FALSE(all.empty());
    for (const Golden& golden : all) {
        INFO(golden.file);
        const MessageRow* const row = find_row(golden);
        REQUIRE(row != nullptr);
        CHECK(recode_frame(golden, *row) == golden.frame);
    }
}

TEST_CASE("golden frames: there is a request and a response of every API") {
    std::set<std::string> seen;
    for (const Golden& golden : all_golden()) {
        seen.insert(golden.api + (golden.is_request ? " request" : " response"));
    }
    for (const MessageRow& row : kMessageRows) {
        if (row.api_key >= 0) {
            INFO(row.name);
            CHECK(seen.count(file_name_of(row) + (row.is_request ? " request" : " response")) == 1);
        }
    }
}
