#include "lib/config/help.h"

#include "lib/base/assert.h"

namespace qtool::config {
namespace {

constexpr size_t kLineColumns = 96;

std::string default_of(const OptionRow& row) {
    if (row.default_is_null) {
        return "not set";
    }
    return row.default_text.empty() ? "empty" : std::string(row.default_text);
}

/// "int, 0 to 256, in threads; default 0".
std::string facts_of(const OptionRow& row) {
    std::string facts(to_string(row.type));
    if (const std::string valid = describe_valid(row);
        !valid.empty() && row.type != OptionType::boolean) {
        facts += ", " + valid;
    }
    if (!row.unit.empty()) {
        facts += ", in " + std::string(row.unit);
    }
    return facts + "; default " + default_of(row);
}

/// Appends `text` as indented lines no longer than kLineColumns.
void append_wrapped(std::string& out, std::string_view text, std::string_view indent) {
    size_t column = 0;
    while (!text.empty()) {
        const size_t blank = text.find(' ');
        const std::string_view word = text.substr(0, blank);
        text.remove_prefix(blank == std::string_view::npos ? text.size() : blank + 1);
        if (column != 0 && column + 1 + word.size() > kLineColumns) {
            out += "\n";
            column = 0;
        }
        const std::string_view before = column == 0 ? indent : std::string_view(" ");
        out += before;
        out += word;
        column += before.size() + word.size();
    }
    out += "\n";
}

/// roff reads a leading dot or quote as a command, a backslash as an escape, and prints a bare
/// minus as a hyphen that cannot be pasted.
std::string roff(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (out.empty() && (c == '.' || c == '\'')) {
            out += "\\&";
        }
        if (c == '\\') {
            out += "\\e";
        } else if (c == '-') {
            out += "\\-";
        } else {
            out += c;
        }
    }
    return out;
}

std::string markdown(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '|' || c == '<' || c == '*' || c == '_' || c == '`') {
            out += '\\';
        }
        out += c;
    }
    return out;
}

void append_row(std::string& out, const OptionRow& row, Format format) {
    const std::string name(row.name);
    const std::string facts = facts_of(row);
    const std::string meaning(row.meaning);
    switch (format) {
    case Format::text:
        out += "  " + name + "\n";
        append_wrapped(out, meaning, "      ");
        append_wrapped(out, facts, "      ");
        return;
    case Format::roff:
        out += ".TP\n.B " + roff(name) + "\n" + roff(meaning) + "\n(" + roff(facts) + ")\n";
        return;
    case Format::markdown:
        out += "| `" + name + "` | " + markdown(facts) + " | " + markdown(meaning) + " |\n";
        return;
    }
    QT_UNREACHABLE();
}

void append_held_row(std::string& out, const OptionRow& row, Format format) {
    const std::string name(row.name);
    const std::string reason = "only " + default_of(row) + ": " + std::string(row.reason);
    switch (format) {
    case Format::text:
        out += "  " + name + "\n";
        append_wrapped(out, reason, "      ");
        return;
    case Format::roff:
        out += ".TP\n.B " + roff(name) + "\n" + roff(reason) + "\n";
        return;
    case Format::markdown:
        out += "| `" + name + "` | | " + markdown(reason) + " |\n";
        return;
    }
    QT_UNREACHABLE();
}

void append_held_title(std::string& out, Format format) {
    constexpr std::string_view kTitle = "Accepted at their default only:";
    switch (format) {
    case Format::text:
        out += "\n";
        out += kTitle;
        out += "\n";
        return;
    case Format::roff:
        out += ".PP\n";
        out += kTitle;
        out += "\n";
        return;
    case Format::markdown:
        return; // one table; the text of the row says it
    }
    QT_UNREACHABLE();
}

} // namespace

std::string render_options(const OptionTable& table, Format format) {
    std::string out;
    if (format == Format::markdown) {
        out += "| option | value | meaning |\n|---|---|---|\n";
    }
    bool held = false;
    for (const OptionRow& row : table.rows) {
        if (row.served == Served::yes) {
            append_row(out, row, format);
        } else {
            held = true;
        }
    }
    if (held) {
        append_held_title(out, format);
        for (const OptionRow& row : table.rows) {
            if (row.served == Served::default_only) {
                append_held_row(out, row, format);
            }
        }
    }
    return out;
}

} // namespace qtool::config
