#!/usr/bin/env python3
"""Generates the codec of Kafka's messages from lib/protocol/schema/*.txt.

usage: gen_protocol.py --out FOLDER SCHEMA.txt ...
       gen_protocol.py --rows FILE.h SCHEMA.txt ...    the table of all messages, for tests/wire

For each <stem>.txt it writes <stem>.h and <stem>.cc: one struct for all versions of a message, with
decode(bytes, version) and encode(writer, version). Views (strings, bytes, records) point into the
bytes that were decoded. The language of the schemas is described in lib/protocol/README.md.
Only the standard library is used.
"""
import pathlib
import re
import sys

PRIMITIVES = {  # type: (C++ type, least bytes on the wire, zero value)
    "bool": ("bool", 1, "false"),
    "int8": ("int8_t", 1, "0"),
    "int16": ("int16_t", 2, "0"),
    "uint16": ("uint16_t", 2, "0"),
    "int32": ("int32_t", 4, "0"),
    "uint32": ("uint32_t", 4, "0"),
    "int64": ("int64_t", 8, "0"),
    "float64": ("double", 8, "0"),
    "uuid": ("Uuid", 16, "{}"),
    "string": ("std::string_view", 1, "{}"),
    "bytes": ("ByteView", 1, "{}"),
    "records": ("RecordsRef", 1, "{}"),
}
LIMITS = {"-9223372036854775808": "INT64_MIN", "-2147483648": "INT32_MIN"}
VERSIONS = re.compile(r"^\d+(\+|-\d+)?$")
# Names that get an underscore; `version` would hide the argument of read and write.
KEYWORDS = {"default", "operator", "namespace", "class", "new", "delete", "register", "union",
            "version"}


class SchemaError(Exception):
    pass


class Range:
    """An inclusive range of versions."""

    def __init__(self, low, high):
        self.low, self.high = low, high

    @staticmethod
    def parse(text, outer):
        if text == "none":
            return Range(1, 0)
        if text.endswith("+"):
            return Range(max(int(text[:-1]), outer.low), outer.high)
        low, _, high = text.partition("-")
        return Range(max(int(low), outer.low), min(int(high or low), outer.high))

    def covers(self, other):
        return self.low <= other.low and self.high >= other.high

    def empty(self):
        return self.low > self.high

    def test(self, within):
        """A C++ condition on `version`, or None when it always holds within the outer range."""
        if self.covers(within):
            return None
        if self.empty():
            return "false"
        parts = []
        if self.low > within.low:
            parts.append(f"version >= {self.low}")
        if self.high < within.high:
            parts.append(f"version <= {self.high}")
        return " && ".join(parts)


class Field:
    def __init__(self, words, outer, where):
        self.name, kind, rest = words[0], words[1], words[2:]
        self.cpp_name = self.name + "_" if self.name in KEYWORDS else self.name
        self.is_array = kind.startswith("[]")
        nullable = kind.endswith("?")
        self.type = kind.removeprefix("[]").removesuffix("?")
        self.versions = outer
        self.tag = self.default = None
        self.ignorable = False
        self.flexible = None
        self.nullable = outer if nullable else None
        if rest and VERSIONS.match(rest[0]):
            self.versions = Range.parse(rest.pop(0), outer)
            self.nullable = self.versions if nullable else None
        while rest:
            word = rest.pop(0)
            if word == "nullable":
                self.nullable = Range.parse(rest.pop(0), self.versions)
            elif word == "tag":
                self.tag = int(rest.pop(0))
            elif word == "default":
                self.default = rest.pop(0)
            elif word == "ignorable":
                self.ignorable = True
            elif word == "entity":
                rest.pop(0)
            elif word == "flexible" and rest and rest[0] == "none":
                rest.pop(0)
                self.flexible = False
            elif word not in ("key", "zerocopy"):
                raise SchemaError(f"{where}: unknown attribute '{word}'")
        self.struct = None  # set when the type is a structure
        if self.tag is not None and self.type in ("bytes", "records"):
            raise SchemaError(f"{where}: tagged {self.type} are not supported")

    def is_struct(self):
        return self.type not in PRIMITIVES

    def element(self):
        return self.struct.cpp_name if self.is_struct() else PRIMITIVES[self.type][0]

    def cpp_type(self):
        inner = f"std::vector<{self.element()}>" if self.is_array else self.element()
        return f"std::optional<{inner}>" if self.nullable is not None else inner

    def initial(self):
        """The value of an absent field, as a C++ initializer; None: default construction."""
        if self.nullable is not None:
            if self.default == "null" or (self.type == "records" and self.default is None):
                return None
            return f"{{{self.cpp_type().removeprefix('std::optional<')[:-1]}{{}}}}"
        if self.is_array or self.is_struct() or self.type in ("uuid", "string", "bytes", "records"):
            if self.default not in (None, '""'):
                raise SchemaError(f"{self.name}: default {self.default} of type {self.type}")
            return None
        value = self.default if self.default is not None else PRIMITIVES[self.type][2]
        return " = " + LIMITS.get(value, value)


class Struct:
    """A structure. In C++ it stands outside its message, under the message's name and its own, with an
    alias inside: clang finds a nested class with initializers not constructible in std::optional."""

    def __init__(self, name, versions, message_name=""):
        self.name, self.versions, self.fields = name, versions, []
        self.cpp_name = message_name + name

    def size_min(self):
        """The least bytes an element takes on the wire, in any version."""
        total = 0
        for field in self.fields:
            if field.tag is None and field.versions.covers(self.versions):
                if field.is_array or field.nullable is not None or not field.is_struct():
                    total += 1 if field.is_array or field.nullable is not None else \
                        PRIMITIVES[field.type][1]
                else:
                    total += field.struct.size_min()
        return max(total, 1)


class Message:
    """One struct with decode and encode: a request, a response, or (part of) a record."""

    def __init__(self, name, versions, flexible):
        self.root = Struct(name, versions)
        self.flexible = flexible
        self.structs = {}  # by name, in order of definition
        self.api_key = None


def parse(path):
    stem = path.stem
    header, messages, section = {}, [], None
    name = None
    versions_line = None
    stack = []  # (indent, struct)
    for number, raw in enumerate(path.read_text().splitlines(), 1):
        line = raw.split("#")[0].rstrip()
        if not line.strip():
            continue
        where = f"{path.name}:{number}"
        indent = len(line) - len(line.lstrip())
        words = line.split()
        if indent == 0:
            if words[0] in ("api", "record"):
                header[words[0]] = int(words[1])
                name = words[2]
            elif words[0] == "data":
                name = words[1]
            elif words[0] == "versions":
                versions_line = words[1:]
            elif words[0] in ("request", "response", "fields", "key", "value"):
                spec = words[2:] if len(words) > 2 else versions_line
                low, _, high = spec[0].partition("-")
                versions = Range(int(low), int(high or low))
                flexible = Range(1, 0)
                if "flexible" in spec:
                    flexible = Range.parse(spec[spec.index("flexible") + 1], versions)
                suffix = {"request": "Request", "response": "Response", "fields": "",
                          "key": "Key", "value": "Value"}[words[0]]
                section = Message(name + suffix, versions, flexible)
                section.kind = words[0]
                section.api_key = header.get("api")
                section.record_type = header.get("record")
                messages.append(section)
                stack = [(0, section.root)]
            elif words[0] != "listeners":
                raise SchemaError(f"{where}: unknown line '{words[0]}'")
            continue
        while stack and stack[-1][0] >= indent:
            stack.pop()
        if not stack or section is None:
            raise SchemaError(f"{where}: a field outside a section")
        outer = stack[-1][1]
        if words[0] == "struct":
            versions = Range.parse(words[2], outer.versions) if len(words) > 2 else outer.versions
            struct = section.structs.setdefault(
                words[1], Struct(words[1], versions, section.root.name))
            stack.append((indent, struct))
            continue
        field = Field(words, outer.versions, where)
        if not field.versions.empty():  # fields of unstable versions are left out
            outer.fields.append(field)
        if field.is_struct():
            struct = section.structs.setdefault(
                field.type, Struct(field.type, field.versions, section.root.name))
            struct.versions = Range(min(struct.versions.low, field.versions.low),
                                    max(struct.versions.high, field.versions.high))
            stack.append((indent, struct))
    for message in messages:
        for struct in [message.root, *message.structs.values()]:
            for field in struct.fields:
                if field.is_struct():
                    field.struct = message.structs[field.type]
                    if not field.struct.fields:
                        raise SchemaError(f"{stem}: structure {field.type} has no fields")
    return messages


def ordered_structs(message):
    """Structures before those that use them."""
    done, order = set(), []

    def visit(struct):
        for field in struct.fields:
            if field.is_struct() and field.type not in done:
                done.add(field.type)
                visit(field.struct)
                order.append(field.struct)

    visit(message.root)
    return order


def struct_body(struct, indent):
    lines = []
    for field in struct.fields:
        initial = field.initial() or ""
        lines.append(f"{indent}{field.cpp_type()} {field.cpp_name}{initial};")
    return lines


def equality(struct, name):
    """Member by member where bytes are among them: a span has no equality of its own."""
    if not any(field.type == "bytes" for field in struct.fields):
        return [f"    bool operator==(const {name}&) const = default;"]
    terms = [f"same_bytes({f.cpp_name}, other.{f.cpp_name})" if f.type == "bytes" else
             f"{f.cpp_name} == other.{f.cpp_name}" for f in struct.fields]
    return [f"    bool operator==(const {name}& other) const {{",
            "        return " + " && ".join(terms) + ";", "    }"]


def header_text(stem, messages):
    out = [f"// Generated by scripts/gen_protocol.py from {stem}.txt. Not edited by hand.", "#pragma once",
           "", '#include "lib/protocol/primitive.h"', "", "#include <optional>", "#include <string_view>",
           "#include <vector>", "", "namespace qtool::protocol {", ""]
    for message in messages:
        root = message.root
        for struct in ordered_structs(message):
            out.append(f"struct {struct.cpp_name} {{")
            out += struct_body(struct, "    ")
            out += ["", "    void read(Decoder& in, int16_t version);",
                    "    void write(Encoder& out, int16_t version) const;",
                    *equality(struct, struct.cpp_name), "};", ""]
        out.append(f"struct {root.name} {{")
        if message.api_key is not None:
            out.append(f"    static constexpr int16_t kApiKey = {message.api_key};")
        if message.record_type is not None:
            out.append(f"    static constexpr int16_t kRecordType = {message.record_type};")
        flexible = message.flexible.low if not message.flexible.empty() else 32767
        out += [f"    static constexpr int16_t kVersionMin = {root.versions.low};",
                f"    static constexpr int16_t kVersionMax = {root.versions.high};",
                f"    static constexpr int16_t kFlexibleFrom = {flexible};", ""]
        aliases = [f"    using {s.name} = {s.cpp_name};" for s in ordered_structs(message)]
        out += aliases + [""] if aliases else []
        out += struct_body(root, "    ")
        out += ["",
                "    /// Views in the result point into `bytes`. Errors: malformed, truncated, too_large,",
                "    /// unsupported_version.",
                f"    static Result<{root.name}> decode(ByteView bytes, int16_t version);",
                "    /// The version must be in range. With `splits`, records whose external_size is set are",
                "    /// left out and their places reported (see primitive.h).",
                "    void encode(ByteWriter& writer, int16_t version,",
                "                std::vector<RecordsSplit>* splits = nullptr) const;",
                "", "    void read(Decoder& in, int16_t version);",
                "    void write(Encoder& out, int16_t version) const;",
                *equality(root, root.name), "};", ""]
    out += ["} // namespace qtool::protocol", ""]
    return "\n".join(out)


def read_value(field, target, depth):
    """Statements that read one value of a field into `target`."""
    pad = "    " * depth
    classic = ", Flexible::no" if field.flexible is False else ""
    if field.is_array:
        size_min = field.struct.size_min() if field.is_struct() else PRIMITIVES[field.type][1]
        vector = f"std::vector<{field.element()}>"
        lines = []
        if field.nullable is not None:
            may = field.nullable.test(field.versions) or "true"
            lines.append(f"{pad}if (const int64_t count_ = in.array_count({size_min}, sizeof({field.element()}), "
                         f"{may}); count_ >= 0) {{")
            lines.append(f"{pad}    {vector}& items_ = {target}.emplace();")
        else:
            lines.append(f"{pad}if (const int64_t count_ = in.array_count({size_min}, sizeof({field.element()}), "
                         "false); count_ >= 0) {")
            lines.append(f"{pad}    {vector}& items_ = {target};")
            lines.append(f"{pad}    items_.clear();")
        lines.append(f"{pad}    items_.reserve(static_cast<size_t>(count_));")
        lines.append(f"{pad}    for (int64_t i_ = 0; i_ < count_ && in.ok(); i_++) {{")
        if field.is_struct():
            lines.append(f"{pad}        items_.emplace_back().read(in, version);")
        else:
            lines.append(f"{pad}        items_.push_back(in.read_{field.type}());")
        lines.append(f"{pad}    }}")
        if field.nullable is not None:
            lines.append(f"{pad}}} else {{")
            lines.append(f"{pad}    {target}.reset();")
        lines.append(f"{pad}}}")
        return lines
    if field.is_struct():
        if field.nullable is None:
            return [f"{pad}{target}.read(in, version);"]
        mark = "in.presence_tagged()" if field.tag is not None else "in.presence()"
        may = field.nullable.test(field.versions)
        lines = [f"{pad}if ({mark}) {{", f"{pad}    {target}.emplace().read(in, version);",
                 f"{pad}}} else {{", f"{pad}    {target}.reset();"]
        if may:
            lines.append(f"{pad}    in.require({may}, \"null structure\");")
        lines.append(f"{pad}}}")
        return lines
    if field.nullable is not None:
        may = field.nullable.test(field.versions) or "true"
        return [f"{pad}{target} = in.read_nullable_{field.type}({may}{classic});"]
    return [f"{pad}{target} = in.read_{field.type}({classic.removeprefix(', ')});"]


def write_value(field, source, depth):
    pad = "    " * depth
    classic = ", Flexible::no" if field.flexible is False else ""
    if field.is_array:
        lines = []
        if field.nullable is not None:
            may = field.nullable.test(field.versions) or "true"
            lines += [f"{pad}if (!{source}) {{", f"{pad}    out.null_array({may});", f"{pad}}} else {{"]
            items, inner = f"*{source}", pad + "    "
        else:
            items, inner = source, pad
        lines.append(f"{inner}out.array_count(({items}).size());")
        lines.append(f"{inner}for (const auto& item_ : {items}) {{")
        if field.is_struct():
            lines.append(f"{inner}    item_.write(out, version);")
        else:
            lines.append(f"{inner}    out.write_{field.type}(item_);")
        lines.append(f"{inner}}}")
        if field.nullable is not None:
            lines.append(f"{pad}}}")
        return lines
    if field.is_struct():
        if field.nullable is None:
            return [f"{pad}{source}.write(out, version);"]
        mark = "out.presence_tagged" if field.tag is not None else "out.presence"
        return [f"{pad}{mark}({source}.has_value());", f"{pad}if ({source}) {{",
                f"{pad}    {source}->write(out, version);", f"{pad}}}"]
    if field.nullable is not None:
        may = field.nullable.test(field.versions) or "true"
        return [f"{pad}out.write_nullable_{field.type}({source}, {may}{classic});"]
    return [f"{pad}out.write_{field.type}({source}{classic});"]


def guarded(condition, lines, depth, otherwise=()):
    pad = "    " * depth
    if condition is None:
        return lines
    out = [f"{pad}if ({condition}) {{"] + ["    " + line for line in lines]
    if otherwise:
        out += [f"{pad}}} else {{"] + ["    " + line for line in otherwise]
    return out + [f"{pad}}}"]


def struct_code(message, struct, scope):
    """read and write of one structure."""
    within = struct.versions
    has_flexible = not message.flexible.empty()
    uses_version = any(f.versions.test(within) or f.is_struct() or
                       (f.nullable is not None and f.nullable.test(f.versions))
                       for f in struct.fields)
    version = " version" if uses_version else ""
    out = [f"void {scope}::read(Decoder& in, int16_t{version}) {{"]
    for field in struct.fields:
        if field.tag is None:
            out += guarded(field.versions.test(within), read_value(field, field.cpp_name, 1), 1)
    tagged = sorted((f for f in struct.fields if f.tag is not None), key=lambda f: f.tag)
    if has_flexible:
        if tagged:
            out += ["    in.tagged_section([&](uint32_t tag, Decoder& field_in) {",
                    "        switch (tag) {"]
            for field in tagged:
                out.append(f"        case {field.tag}:")
                condition = field.versions.test(within)
                body = [re.sub(r"\bin\b", "field_in", line)
                        for line in read_value(field, field.cpp_name, 3)]
                out += guarded(condition, body, 3)
                if condition is None:
                    out.append("            return true;")
                else:
                    out.append(f"            return {condition};")
            out += ["        default:", "            return false;", "        }", "    });"]
        else:
            out.append("    in.tagged_section([](uint32_t, Decoder&) { return false; });")
    out += ["}", "", f"void {scope}::write(Encoder& out, int16_t{version}) const {{"]
    for field in struct.fields:
        condition = field.versions.test(within)
        if field.tag is None:
            otherwise = []
            if condition is not None and not field.ignorable and message.kind == "request":
                otherwise = [f"    QT_ASSERT_MSG({field.cpp_name} == {scope}{{}}.{field.cpp_name}, "
                             f"\"{scope}.{field.name} does not exist in this version\");"]
            out += guarded(condition, write_value(field, field.cpp_name, 1), 1, otherwise)
    if has_flexible:
        if tagged:
            absent = []
            out += ["    if (out.flexible()) {", f"        const {scope} defaults{{}};",
                    "        TaggedSection section(out);"]
            for field in tagged:
                condition = field.versions.test(within)
                # By presence where that says it all: a structure with bytes has no equality.
                by_presence = (field.is_struct() and not field.is_array and
                               field.default == "null")
                test = (f"{field.cpp_name}.has_value()"
                        if by_presence else f"{field.cpp_name} != defaults.{field.cpp_name}")
                if condition is not None:
                    test = f"{condition} && {test}"
                if condition is not None and not field.ignorable and message.kind == "request":
                    absent.append((field, condition))
                out.append(f"        if ({test}) {{")
                out.append(f"            section.begin({field.tag});")
                out += write_value(field, field.cpp_name, 3)
                out += ["            section.end();", "        }"]
            out += ["        section.finish();", "    }"]
            for field, condition in absent:
                out += [f"    QT_ASSERT_MSG(({condition}) || {field.cpp_name} == {scope}{{}}.{field.cpp_name},",
                        f"                  \"{scope}.{field.name} does not exist in this version\");"]
        else:
            out.append("    out.empty_tagged_section();")
    return out + ["}", ""]


def source_text(stem, messages):
    out = [f"// Generated by scripts/gen_protocol.py from {stem}.txt. Not edited by hand.",
           f'#include "lib/protocol/msg/{stem}.h"', "", "namespace qtool::protocol {", ""]
    for message in messages:
        root = message.root
        for struct in ordered_structs(message):
            out += struct_code(message, struct, struct.cpp_name)
        out += struct_code(message, root, root.name)
        factor = "Response" if message.kind == "response" else "Request"
        out += [f"Result<{root.name}> {root.name}::decode(ByteView bytes, int16_t version) {{",
                "    if (version < kVersionMin || version > kVersionMax) {",
                f"        return unsupported_message_version(\"{root.name}\", version);", "    }",
                f"    Decoder in(bytes, version >= kFlexibleFrom, kDecodeFactor{factor});",
                f"    {root.name} message;",
                "    message.read(in, version);", f"    QT_TRY(in.finish(\"{root.name}\"));",
                "    return message;", "}", "",
                f"void {root.name}::encode(ByteWriter& writer, int16_t version,",
                "                          std::vector<RecordsSplit>* splits) const {",
                "    QT_ASSERT(version >= kVersionMin && version <= kVersionMax);",
                "    Encoder out(writer, version >= kFlexibleFrom, splits);", "    write(out, version);", "}", ""]
    out += ["} // namespace qtool::protocol", ""]
    return "\n".join(out)


def fill_field(field, within):
    """Statements that give a field a random value that its version can carry."""
    value = f"value.{field.cpp_name}"
    element = "fill(filler, item, version)" if field.is_struct() else f"item = filler.{field.type}_()"
    if field.is_array:
        target = f"{value}.emplace()" if field.nullable is not None else value
        lines = [f"for (auto& item : filler.resized({target})) {{", f"    {element};", "}"]
    elif field.is_struct():
        target = f"{value}.emplace()" if field.nullable is not None else value
        lines = [f"fill(filler, {target}, version);"]
    else:
        lines = [f"{value} = filler.{field.type}_();"]
    if field.nullable is not None:
        may = field.nullable.test(field.versions) or "true"
        lines = [f"if (({may}) && filler.chooses_null()) {{", f"    {value}.reset();", "} else {"] + \
            ["    " + line for line in lines] + ["}"]
    if field.tag is not None:  # a default is left out on the wire: that must happen too
        lines = ["if (filler.chooses_tagged()) {"] + ["    " + line for line in lines] + ["}"]
    return guarded(field.versions.test(within), ["    " + line for line in lines], 1)


def rows_text(all_messages):
    """A random filler for each structure and a table of all messages."""
    out = ["// Generated by scripts/gen_protocol.py. Not edited by hand.", "#pragma once", ""]
    out += [f'#include "lib/protocol/msg/{stem}.h"' for stem, _ in all_messages]
    out += ['#include "tests/wire/message_row.h"', "", "namespace qtool::protocol::test {", ""]
    rows = []
    for _, messages in all_messages:
        for message in messages:
            root = message.root
            scopes = [(s, s.cpp_name) for s in ordered_structs(message)]
            for struct, scope in scopes + [(root, root.name)]:
                out.append(f"inline void fill([[maybe_unused]] Filler& filler, "
                           f"[[maybe_unused]] {scope}& value, [[maybe_unused]] int16_t version) {{")
                for field in struct.fields:
                    out += fill_field(field, struct.versions)
                out += ["}", ""]
            is_request = "true" if message.kind == "request" else "false"
            key = -1 if message.api_key is None else message.api_key
            rows.append(f'    make_row<{root.name}>("{root.name}", {key}, {is_request}),')
    out += ["inline const MessageRow kMessageRows[] = {"] + rows + ["};", "",
            "} // namespace qtool::protocol::test", ""]
    return "\n".join(out)


def write_changed(target, text):
    """Leaves an unchanged file alone, so that what includes it is not built again."""
    if not target.exists() or target.read_text() != text:
        target.write_text(text)


def main(arguments):
    if len(arguments) < 3 or arguments[0] not in ("--out", "--rows"):
        print(__doc__, file=sys.stderr)
        return 2
    parsed = []
    for name in arguments[2:]:
        path = pathlib.Path(name)
        try:
            messages = parse(path)
            parsed.append((path.stem, messages))
            texts = {".h": header_text(path.stem, messages), ".cc": source_text(path.stem, messages)}
        except (SchemaError, KeyError, ValueError, IndexError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            return 1
        if arguments[0] == "--out":
            folder = pathlib.Path(arguments[1])
            folder.mkdir(parents=True, exist_ok=True)
            for suffix, text in texts.items():
                write_changed(folder / (path.stem + suffix), text)
            (folder / (path.stem + ".cc")).touch()  # newer than the schema: made
    if arguments[0] == "--rows":
        target = pathlib.Path(arguments[1])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(rows_text(parsed))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
