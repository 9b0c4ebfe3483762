#include "cli/output/record_printer.h"

#include "cli/output/record_json.h"
#include "cli/output/text.h"

namespace qtool::cli {

void RecordPrinter::append(std::string& out, const RecordView& record) const {
    if (is_json_) {
        append_record_json(out, record);
    } else if (format_) {
        format_->append(out, record, safe_);
    } else {
        const std::string_view value = record.value.value_or("");
        if (safe_) {
            append_for_terminal(out, value);
        } else {
            out.append(value);
        }
        out.push_back('\n');
    }
}

} // namespace qtool::cli
