// A record as one line of JSON. The schema is frozen: fields may be added at the end, none is
// renamed, removed or changes its type.
//
//   {"topic":"t","partition":0,"offset":7,"timestamp":1700000000000,"timestamp_type":"create",
//    "key":"k","value":"v","headers":[["name","text"],["empty",null]]}
//
// null is null. Bytes that are not UTF-8 are base64 under another name: "key_base64" or
// "value_base64" instead of "key" or "value", and {"base64":"..."} inside headers. No timestamp is
// -1 with type "none". cli/input/record_parser.h reads the same lines back, exactly.
#pragma once

#include "cli/output/record_view.h"

#include <string>

namespace qtool::cli {

/// Appends the line with its newline.
void append_record_json(std::string& out, const RecordView& record);

} // namespace qtool::cli
