#include "cli/output/text.h"

#include "lib/base/assert.h"

#include <algorithm>
#include <cstdint>

namespace qtool::cli {

namespace {

constexpr char kHex[] = "0123456789abcdef";

/// Bytes of the UTF-8 sequence at the front of `text`; 0 when it is none.
size_t sequence_size(std::string_view text) noexcept {
    const auto first = static_cast<uint8_t>(text[0]);
    if (first < 0x80) {
        return 1;
    }
    const size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || text.size() < size) {
        return 0;
    }
    // Second bytes that would make an overlong form, a surrogate or more than U+10FFFF.
    const auto second = static_cast<uint8_t>(text[1]);
    const uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    const uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (second < low || second > high) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if ((static_cast<uint8_t>(text[i]) & 0xc0) != 0x80) {
            return 0;
        }
    }
    return size;
}

void append_hex_escape(std::string& out, uint8_t byte) {
    out.append({'\\', 'x', kHex[byte >> 4], kHex[byte & 15]});
}

/// Columns on a terminal, near enough: one per UTF-8 sequence.
size_t width(std::string_view text) {
    return static_cast<size_t>(std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

} // namespace

bool is_utf8(std::string_view text) noexcept {
    while (!text.empty()) {
        const size_t size = sequence_size(text);
        if (size == 0) {
            return false;
        }
        text.remove_prefix(size);
    }
    return true;
}

void append_for_terminal(std::string& out, std::string_view text) {
    while (!text.empty()) {
        const size_t size = sequence_size(text);
        const auto first = static_cast<uint8_t>(text[0]);
        const bool control = first < 0x20 ? first != '\t' && first != '\n' : first == 0x7f;
        const bool c1 = size == 2 && first == 0xc2 && static_cast<uint8_t>(text[1]) < 0xa0;
        if (size == 0 || control) {
            append_hex_escape(out, first);
            text.remove_prefix(1);
        } else if (c1) {
            append_hex_escape(out, first);
            append_hex_escape(out, static_cast<uint8_t>(text[1]));
            text.remove_prefix(2);
        } else {
            out.append(text.substr(0, size));
            text.remove_prefix(size);
        }
    }
}

void append_json_string(std::string& out, std::string_view text) {
    out.push_back('"');
    size_t plain = 0; // start of the run that needs no escape
    for (size_t i = 0; i < text.size(); i++) {
        const auto byte = static_cast<uint8_t>(text[i]);
        if (byte >= 0x20 && byte != '"' && byte != '\\' && byte != 0x7f) {
            continue;
        }
        out.append(text.substr(plain, i - plain));
        plain = i + 1;
        switch (text[i]) {
        case '"':
        case '\\':
            out.append({'\\', text[i]});
            break;
        case '\n':
            out.append("\\n");
            break;
        case '\r':
            out.append("\\r");
            break;
        case '\t':
            out.append("\\t");
            break;
        default:
            out.append("\\u00").append({kHex[byte >> 4], kHex[byte & 15]});
        }
    }
    out.append(text.substr(plain));
    out.push_back('"');
}

std::string Table::to_text() const {
    if (rows_.empty()) {
        return {};
    }
    std::vector<std::vector<std::string>> lines{headings_};
    for (const auto& row : rows_) {
        QT_ASSERT(row.size() == headings_.size());
        std::vector<std::string>& line = lines.emplace_back();
        for (const std::string& cell : row) {
            append_for_terminal(line.emplace_back(), cell);
        }
    }
    std::vector<size_t> widths(headings_.size());
    for (const auto& line : lines) {
        for (size_t i = 0; i < line.size(); i++) {
            widths[i] = std::max(widths[i], width(line[i]));
        }
    }
    std::string out;
    for (const auto& line : lines) {
        for (size_t i = 0; i < line.size(); i++) {
            out.append(line[i]);
            if (i + 1 < line.size()) {
                out.append(widths[i] - width(line[i]) + 2, ' ');
            }
        }
        while (!out.empty() && out.back() == ' ') {
            out.pop_back(); // an empty last cell
        }
        out.push_back('\n');
    }
    return out;
}

} // namespace qtool::cli
