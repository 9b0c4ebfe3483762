// Text for people and for JSON: what may go to a terminal, what is UTF-8, how a string is quoted.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace qtool::cli {

/// RFC 3629, strictly.
bool is_utf8(std::string_view text) noexcept;

/// Appends `text` with every byte that could steer a terminal (C0 but tab and newline, DEL, C1,
/// bytes that are not UTF-8) as \xHH. Message contents are hostile.
void append_for_terminal(std::string& out, std::string_view text);

/// Appends a JSON string with its quotes. `text` must be UTF-8.
void append_json_string(std::string& out, std::string_view text);

/// Rows under headings, columns as wide as their widest cell, two blanks between.
class Table {
public:
    explicit Table(std::vector<std::string> headings) : headings_(std::move(headings)) {}
    /// As many cells as headings.
    void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
    /// Cells are made safe for a terminal. No heading line when there is no row.
    [[nodiscard]] std::string to_text() const;

private:
    std::vector<std::string> headings_;
    std::vector<std::vector<std::string>> rows_;
};

} // namespace qtool::cli
