// consume -f FORMAT: how a record is printed, in kcat's spelling.
//
//   %t topic      %p partition   %o offset      %T timestamp in milliseconds (-1: none)
//   %k key        %s value       %h headers as name=value,name=value (null: name=NULL)
//   %K %S         size of key, of value in bytes; -1 for null
//   %R            size of the value as a 4 byte big-endian integer; -1 for null
//   %%            a percent sign
//   \n \r \t \0 \\ \xHH   single bytes
#pragma once

#include "cli/output/record_view.h"
#include "lib/base/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace qtool::cli {

class FormatString {
public:
    /// Errors: invalid_argument, naming the position.
    static Result<FormatString> parse(std::string_view text);

    /// Appends one record; no newline is added. `safe`: contents are escaped for a terminal.
    void append(std::string& out, const RecordView& record, bool safe) const;

private:
    struct Step {
        char field = 0; // the letter after %; 0: literal
        std::string literal;
    };
    std::vector<Step> steps_;
};

} // namespace qtool::cli
