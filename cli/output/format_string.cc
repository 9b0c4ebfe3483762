#include "cli/output/format_string.h"

#include "cli/output/text.h"
#include "lib/base/bytes.h"

#include <optional>

namespace qtool::cli {

namespace {

constexpr std::string_view kFields = "tpoTkshKSR";

std::optional<uint8_t> hex_value(char c) {
    if (c >= '0' && c <= '9') {
        return static_cast<uint8_t>(c - '0');
    }
    if (c >= 'a' && c <= 'f') {
        return static_cast<uint8_t>(c - 'a' + 10);
    }
    if (c >= 'A' && c <= 'F') {
        return static_cast<uint8_t>(c - 'A' + 10);
    }
    return std::nullopt;
}

Error format_error(size_t position, std::string_view what) {
    std::string detail = "format string, character ";
    detail.append(std::to_string(position + 1)).append(": ").append(what);
    return {Code::invalid_argument, std::move(detail)};
}

void append_bytes(std::string& out, std::string_view bytes, bool safe) {
    if (safe) {
        append_for_terminal(out, bytes);
    } else {
        out.append(bytes);
    }
}

int64_t size_of(const std::optional<std::string_view>& bytes) {
    return bytes ? static_cast<int64_t>(bytes->size()) : -1;
}

void append_headers(std::string& out, const RecordView& record, bool safe) {
    bool first = true;
    for (const HeaderView& header : record.headers) {
        if (!first) {
            out.push_back(',');
        }
        first = false;
        append_bytes(out, header.key, safe);
        out.push_back('=');
        append_bytes(out, header.value.value_or("NULL"), safe);
    }
}

} // namespace

Result<FormatString> FormatString::parse(std::string_view text) {
    FormatString format;
    const auto add_byte = [&](char c) {
        if (format.steps_.empty() || format.steps_.back().field != 0) {
            format.steps_.emplace_back();
        }
        format.steps_.back().literal.push_back(c);
    };
    for (size_t i = 0; i < text.size(); i++) {
        const size_t start = i;
        if (text[i] != '%' && text[i] != '\\') {
            add_byte(text[i]);
            continue;
        }
        if (++i == text.size()) {
            return format_error(start, "nothing follows");
        }
        const char letter = text[i];
        if (text[start] == '%') {
            if (letter == '%') {
                add_byte('%');
            } else if (kFields.find(letter) != std::string_view::npos) {
                format.steps_.push_back({letter, {}});
            } else {
                return format_error(start, std::string("unknown field %") + letter +
                                               "; known are %t %p %o %T %k %s %h %K %S %R %%");
            }
            continue;
        }
        switch (letter) {
        case 'n':
            add_byte('\n');
            break;
        case 'r':
            add_byte('\r');
            break;
        case 't':
            add_byte('\t');
            break;
        case '0':
            add_byte('\0');
            break;
        case '\\':
            add_byte('\\');
            break;
        case 'x': {
            const auto high = i + 2 < text.size() ? hex_value(text[i + 1]) : std::nullopt;
            const auto low = i + 2 < text.size() ? hex_value(text[i + 2]) : std::nullopt;
            if (!high || !low) {
                return format_error(start, "\\x asks for two hex digits");
            }
            add_byte(static_cast<char>(*high * 16 + *low));
            i += 2;
            break;
        }
        default:
            return format_error(start, std::string("unknown escape \\") + letter +
                                           "; known are \\n \\r \\t \\0 \\\\ \\xHH");
        }
    }
    return format;
}

void FormatString::append(std::string& out, const RecordView& record, bool safe) const {
    for (const Step& step : steps_) {
        switch (step.field) {
        case 0:
            out.append(step.literal);
            break;
        case 't':
            append_bytes(out, record.topic, safe);
            break;
        case 'p':
            out.append(std::to_string(record.partition));
            break;
        case 'o':
            out.append(std::to_string(record.offset));
            break;
        case 'T':
            out.append(std::to_string(record.timestamp_ms));
            break;
        case 'k':
            append_bytes(out, record.key.value_or(""), safe);
            break;
        case 's':
            append_bytes(out, record.value.value_or(""), safe);
            break;
        case 'h':
            append_headers(out, record, safe);
            break;
        case 'K':
            out.append(std::to_string(size_of(record.key)));
            break;
        case 'S':
            out.append(std::to_string(size_of(record.value)));
            break;
        case 'R': {
            std::byte size[4];
            store_be<int32_t>(size, static_cast<int32_t>(size_of(record.value)));
            append_bytes(out, as_text(size), safe);
            break;
        }
        default:
            break; // parse() lets no other letter through
        }
    }
}

} // namespace qtool::cli
