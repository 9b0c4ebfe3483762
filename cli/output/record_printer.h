// RecordPrinter: a record as the options of consume want it: a line of JSON, by a format string, or
// its value and a newline.
#pragma once

#include "cli/output/format_string.h"
#include "cli/output/record_view.h"

#include <optional>
#include <string>
#include <utility>

namespace qtool::cli {

class RecordPrinter {
public:
    /// `is_json` and a format exclude each other. `safe`: contents are escaped for a terminal.
    RecordPrinter(bool is_json, std::optional<FormatString> format, bool safe)
        : is_json_(is_json),
          format_(std::move(format)),
          safe_(safe) {}

    void append(std::string& out, const RecordView& record) const;

private:
    bool is_json_;
    std::optional<FormatString> format_;
    bool safe_;
};

} // namespace qtool::cli
