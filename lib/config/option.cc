#include "lib/config/option.h"

#include "lib/base/assert.h"

#include <algorithm>
#include <numeric>

namespace qtool::config {
namespace {

// Kafka names people carry over from a server.properties, and what says the same here.
struct Hint {
    std::string_view name;
    std::string_view text;
};
constexpr Hint kHints[] = {
    {"broker.id", "use node.id"},
    {"log.dir", "use log.dirs"},
    {"num.io.threads", "use cores"},
    {"num.network.threads", "use cores"},
};

bool contains_word(std::string_view words, std::string_view word) {
    size_t position = 0;
    while ((position = words.find(word, position)) != std::string_view::npos) {
        const size_t end = position + word.size();
        const bool begins = position == 0 || words[position - 1] == ' ';
        if (begins && (end == words.size() || words[end] == ' ')) {
            return true;
        }
        position++;
    }
    return false;
}

size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 1; i <= a.size(); i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size(); j++) {
            const size_t above = row[j];
            const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            row[j] = std::min({above + 1, row[j - 1] + 1, replaced});
            diagonal = above;
        }
    }
    return row[b.size()];
}

/// The served name with the fewest edits, or empty when none is near enough to be meant.
std::string_view nearest_name(const OptionTable& table, std::string_view name) {
    constexpr size_t kNameSizeMax = 100; // longer than any option; bounds the work
    if (name.size() > kNameSizeMax) {
        return {};
    }
    std::string_view best;
    size_t best_distance = std::max<size_t>(2, name.size() / 3) + 1;
    for (const OptionRow& row : table.rows) {
        const size_t distance = edit_distance(name, row.name);
        if (row.served == Served::yes && distance < best_distance) {
            best = row.name;
            best_distance = distance;
        }
    }
    return best;
}

/// A name from outside, fit for one line on a terminal.
std::string quote(std::string_view name) {
    constexpr size_t kShownSizeMax = 100;
    std::string quoted = "'";
    for (const char c : name.substr(0, kShownSizeMax)) {
        quoted += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    }
    return quoted + (name.size() > kShownSizeMax ? "...'" : "'");
}

} // namespace

std::string_view to_string(OptionType type) noexcept {
    switch (type) {
    case OptionType::boolean:
        return "boolean";
    case OptionType::string:
        return "string";
    case OptionType::int32:
        return "int";
    case OptionType::int64:
        return "long";
    case OptionType::float64:
        return "double";
    case OptionType::list:
        return "list";
    }
    QT_UNREACHABLE();
}

const OptionRow* find_option(const OptionTable& table, std::string_view name) {
    const auto row =
        std::lower_bound(table.rows.begin(), table.rows.end(), name,
                         [](const OptionRow& r, std::string_view n) { return r.name < n; });
    return row != table.rows.end() && row->name == name ? &*row : nullptr;
}

Result<const OptionRow*> require_option(const OptionTable& table, std::string_view name) {
    if (const OptionRow* row = find_option(table, name)) {
        return row;
    }
    const std::string quoted = quote(name);
    if (!name.empty() && contains_word(table.kafka_names, name)) {
        std::string text = std::string(table.what) + " " + quoted +
                           " is known to Kafka but not served by " + std::string(table.program) +
                           " yet; remove it";
        for (const Hint& hint : kHints) {
            if (hint.name == name) {
                text += ", or " + std::string(hint.text);
            }
        }
        return Error(Code::invalid_config, text);
    }
    std::string text = "unknown " + std::string(table.what) + " " + quoted;
    if (const std::string_view nearest = nearest_name(table, name); !nearest.empty()) {
        text += "; did you mean '" + std::string(nearest) + "'?";
    }
    return Error(Code::invalid_config, text);
}

} // namespace qtool::config
