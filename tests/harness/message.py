"""Requests and responses of every API with a schema, as dictionaries: encode and decode at any version.

Reads lib/protocol/schema with the parser of scripts/gen_protocol.py, and shares nothing else with the
generated code. Left-out fields take their defaults; uuids are 32 hex digits.
"""
import importlib.util
import pathlib
import struct

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FIXED = {"int8": ">b", "int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "int64": ">q",
         "float64": ">d"}


def _load_generator():
    spec = importlib.util.spec_from_file_location("gen_protocol", ROOT / "scripts/gen_protocol.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _load_messages():
    generator = _load_generator()
    found = {}
    for path in sorted((ROOT / "lib/protocol/schema").glob("*.txt")):
        for message in generator.parse(path):
            found[message.root.name] = message
    return found


MESSAGES = _load_messages()
API_KEYS = {name.removesuffix("Request"): message.api_key for name, message in MESSAGES.items()
            if message.api_key is not None and name.endswith("Request")}


def within(range_, version):
    return range_ is not None and range_.low <= version <= range_.high


def unsigned_varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def default_of(field, version):
    if field.default == "null":
        return None
    if field.is_array:
        return []
    if field.is_struct():
        return {}
    if field.type == "records":
        return None if within(field.nullable, version) else b""
    if field.type == "bytes":
        return b""
    if field.type == "string":
        return (field.default or "").strip('"')
    if field.type == "uuid":
        return "0" * 32
    if field.type == "bool":
        return field.default == "true"
    return int(field.default or 0)


class Writer:
    def __init__(self, message, version):
        self.version = version
        self.flexible = within(message.flexible, version)
        self.out = bytearray()

    def count(self, size, kind):
        """The length before strings ("h"), bytes and arrays ("i"); None is null."""
        if self.flexible:
            self.out += unsigned_varint(0 if size is None else size + 1)
        else:
            self.out += struct.pack(">" + kind, -1 if size is None else size)

    def value(self, field, value, tagged=False):
        if field.is_array:
            self.count(None if value is None else len(value), "i")
            for item in value or []:
                self.scalar(field, item)
        elif field.is_struct() and field.nullable is not None:
            self.out += (b"\1" if value is not None else b"\0" if tagged else b"\xff")
            if value is not None:
                self.struct(field.struct, value)
        else:
            self.scalar(field, value)

    def scalar(self, field, value):
        if field.is_struct():
            self.struct(field.struct, value)
        elif field.type in FIXED:
            self.out += struct.pack(FIXED[field.type], value)
        elif field.type == "bool":
            self.out += b"\1" if value else b"\0"
        elif field.type == "uuid":
            self.out += bytes.fromhex(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            self.count(None if data is None else len(data), "h" if field.type == "string" else "i")
            self.out += data or b""

    def struct(self, spec, values):
        unknown = set(values) - {field.name for field in spec.fields}
        if unknown:
            raise ValueError(f"{spec.cpp_name} has no {', '.join(sorted(unknown))}")
        tagged = []
        for field in spec.fields:
            if not within(field.versions, self.version):
                continue
            value = values.get(field.name, default_of(field, self.version))
            if field.tag is None:
                self.value(field, value)
            elif value != default_of(field, self.version):
                tagged.append((field.tag, field, value))
        if self.flexible:
            self.out += unsigned_varint(len(tagged))
            for tag, field, value in sorted(tagged, key=lambda entry: entry[0]):
                outer, self.out = self.out, bytearray()
                self.value(field, value, tagged=True)
                outer += unsigned_varint(tag) + unsigned_varint(len(self.out)) + self.out
                self.out = outer


class Reader:
    def __init__(self, message, version, data):
        self.version, self.data, self.at = version, data, 0
        self.flexible = within(message.flexible, version)

    def take(self, size):
        if self.at + size > len(self.data):
            raise ValueError("cut message")
        self.at += size
        return self.data[self.at - size:self.at]

    def varint(self):
        n = shift = 0
        while True:
            byte = self.take(1)[0]
            n |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return n

    def count(self, kind):
        if self.flexible:
            return self.varint() - 1
        return struct.unpack(">" + kind, self.take(struct.calcsize(kind)))[0]

    def value(self, field, tagged=False):
        if field.is_array:
            count = self.count("i")
            return None if count < 0 else [self.scalar(field) for _ in range(count)]
        if field.is_struct() and field.nullable is not None:
            mark = self.take(1)[0]
            if (mark == 0) if tagged else (mark >= 0x80):
                return None
        return self.scalar(field)

    def scalar(self, field):
        if field.is_struct():
            return self.struct(field.struct)
        if field.type in FIXED:
            form = FIXED[field.type]
            return struct.unpack(form, self.take(struct.calcsize(form)))[0]
        if field.type == "bool":
            return self.take(1) != b"\0"
        if field.type == "uuid":
            return self.take(16).hex()
        size = self.count("h" if field.type == "string" else "i")
        data = None if size < 0 else bytes(self.take(size))
        return data.decode() if data is not None and field.type == "string" else data

    def struct(self, spec):
        fields = [f for f in spec.fields if within(f.versions, self.version)]
        out = {f.name: self.value(f) if f.tag is None else default_of(f, self.version) for f in fields}
        if self.flexible:
            by_tag = {f.tag: f for f in fields if f.tag is not None}
            for _ in range(self.varint()):
                tag, size = self.varint(), self.varint()
                end = self.at + size
                if tag in by_tag:
                    out[by_tag[tag].name] = self.value(by_tag[tag], tagged=True)
                self.at = end
        return out


def encode(name, version, values):
    """The body of message `name`, e.g. "FetchRequest"."""
    message = MESSAGES[name]
    writer = Writer(message, version)
    writer.struct(message.root, values)
    return bytes(writer.out)


def decode(name, version, data):
    message = MESSAGES[name]
    reader = Reader(message, version, data)
    out = reader.struct(message.root)
    if reader.at != len(data):
        raise ValueError(f"{name} v{version}: {len(data) - reader.at} bytes too many")
    return out


def request_frame(api, version, values, correlation=1, client="raw"):
    """A request of API `api` ("Fetch"), header and length included."""
    flexible = within(MESSAGES[api + "Request"].flexible, version)
    name = b"\xff\xff" if client is None else struct.pack(">h", len(client)) + client.encode()
    payload = struct.pack(">hhi", API_KEYS[api], version, correlation) + name
    payload += (b"\0" if flexible else b"") + encode(api + "Request", version, values)
    return struct.pack(">i", len(payload)) + payload


def response_of(api, version, frame):
    """(correlation id, body) of a response frame without its length."""
    skip = 4
    if within(MESSAGES[api + "Response"].flexible, version) and api != "ApiVersions":
        skip = 5  # no tagged fields in the header: none is defined
    return struct.unpack(">i", frame[:4])[0], decode(api + "Response", version, frame[skip:])
