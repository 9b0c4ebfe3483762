#include "cli/output/record_json.h"

#include "cli/output/text.h"
#include "lib/base/base64.h"

namespace qtool::cli {

namespace {

void append_base64(std::string& out, std::string_view bytes) {
    out.push_back('"');
    out.append(base64_encode(as_bytes(bytes), Base64Alphabet::standard));
    out.push_back('"');
}

/// ,"name":... or ,"name_base64":...
void append_field(std::string& out, const char* name,
                  const std::optional<std::string_view>& bytes) {
    out.append(",\"").append(name);
    if (!bytes) {
        out.append("\":null");
    } else if (is_utf8(*bytes)) {
        out.append("\":");
        append_json_string(out, *bytes);
    } else {
        out.append("_base64\":");
        append_base64(out, *bytes);
    }
}

void append_header_part(std::string& out, std::string_view bytes) {
    if (is_utf8(bytes)) {
        append_json_string(out, bytes);
    } else {
        out.append("{\"base64\":");
        append_base64(out, bytes);
        out.push_back('}');
    }
}

} // namespace

void append_record_json(std::string& out, const RecordView& record) {
    out.append("{\"topic\":");
    append_json_string(out, record.topic);
    out.append(",\"partition\":").append(std::to_string(record.partition));
    out.append(",\"offset\":").append(std::to_string(record.offset));
    out.append(",\"timestamp\":").append(std::to_string(record.timestamp_ms));
    out.append(",\"timestamp_type\":");
    out.append(record.timestamp_ms < 0 ? "\"none\""
               : record.append_time    ? "\"append\""
                                       : "\"create\"");
    append_field(out, "key", record.key);
    append_field(out, "value", record.value);
    out.append(",\"headers\":[");
    bool first = true;
    for (const HeaderView& header : record.headers) {
        out.append(first ? "[" : ",[");
        first = false;
        append_header_part(out, header.key);
        out.push_back(',');
        if (header.value) {
            append_header_part(out, *header.value);
        } else {
            out.append("null");
        }
        out.push_back(']');
    }
    out.append("]}\n");
}

} // namespace qtool::cli
