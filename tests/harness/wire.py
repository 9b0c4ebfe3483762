"""Just enough of Kafka's protocol, written by hand, to say things no decent client would say."""
import socket
import struct

PRODUCE, FETCH, LIST_OFFSETS, METADATA, API_VERSIONS = 0, 1, 2, 3, 18
CREATE_TOPICS = 19


def _crc32c_table():
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _crc32c_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def int16(n):
    return struct.pack(">h", n)


def int32(n):
    return struct.pack(">i", n)


def int64(n):
    return struct.pack(">q", n)


def string(text):
    """The classic form; None is null."""
    return int16(-1) if text is None else int16(len(text.encode())) + text.encode()


def blob(data):
    return int32(-1) if data is None else int32(len(data)) + data


def varint(n):
    """Zigzag, as inside records."""
    n = (n << 1) ^ (n >> 63)
    n &= (1 << 64) - 1
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def record(value, offset_delta=0, key=None):
    body = b"\0" + varint(0) + varint(offset_delta)
    body += varint(-1) if key is None else varint(len(key)) + key
    body += varint(-1) if value is None else varint(len(value)) + value
    body += varint(0)
    return varint(len(body)) + body


def batch(records, *, count=None, last_offset_delta=None, attributes=0, timestamp=1_700_000_000_000,
          producer=(-1, -1, -1), magic=2, base_offset=0, crc=None, length=None):
    """A record batch of these encoded records (a list, or the bytes of a compressed area)."""
    area = records if isinstance(records, bytes) else b"".join(records)
    n = len(records) if count is None else count
    last = n - 1 if last_offset_delta is None else last_offset_delta
    tail = (int16(attributes) + int32(last) + int64(timestamp) + int64(timestamp) +
            int64(producer[0]) + int16(producer[1]) + int32(producer[2]) + int32(n) + area)
    crc = crc32c(tail) if crc is None else crc
    body = int32(-1) + struct.pack(">bI", magic, crc) + tail
    return int64(base_offset) + int32(len(body) if length is None else length) + body


def request(api_key, version, body, correlation=1, client="raw"):
    """A frame with request header 1 (classic versions)."""
    payload = int16(api_key) + int16(version) + int32(correlation) + string(client) + body
    return int32(len(payload)) + payload


def produce(topic, partition, records, acks=-1, version=8, correlation=1):
    body = string(None) + int16(acks) + int32(10000) + int32(1) + string(topic)
    body += int32(1) + int32(partition) + blob(records)
    return request(PRODUCE, version, body, correlation)


def list_offsets(topic, partition, timestamp=-1):
    body = int32(-1) + int32(1) + string(topic) + int32(1) + int32(partition) + int64(timestamp)
    return request(LIST_OFFSETS, 1, body)


def list_offsets_answer(answer):
    """(error code, offset) of the only partition in a ListOffsets response v1."""
    return (struct.unpack(">h", answer[-18:-16])[0], struct.unpack(">q", answer[-8:])[0])


def fetch(topic, partition, offset, bytes_max=1 << 20):
    """Fetch v4 that does not wait."""
    body = int32(-1) + int32(0) + int32(1) + int32(bytes_max) + b"\0" + int32(1) + string(topic)
    body += int32(1) + int32(partition) + int64(offset) + int32(bytes_max)
    return request(FETCH, 4, body)


def fetch_error(answer):
    """Error code of the only partition in a Fetch response v4."""
    at = 8 + 2 + struct.unpack(">h", answer[8:10])[0] + 8
    return struct.unpack(">h", answer[at:at + 2])[0]


def api_versions(correlation=1):
    return request(API_VERSIONS, 0, b"", correlation)


def codecs_in_log(log):
    """Numbers of the codecs of all batches in the bytes of a .log file."""
    codecs, position = set(), 0
    while position < len(log):
        codecs.add(log[position + 22] & 7)
        position += 12 + struct.unpack(">i", log[position + 8:position + 12])[0]
    return codecs


class Connection:
    def __init__(self, port, timeout=20):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def receive(self, size):
        """Exactly so many bytes; EOFError when the peer closed before."""
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise EOFError(f"closed after {len(data)} of {size} bytes")
            data += more
        return data

    def answer(self):
        """One response: (correlation id, bytes after it)."""
        frame = self.receive(struct.unpack(">i", self.receive(4))[0])
        return struct.unpack(">i", frame[:4])[0], frame[4:]

    def ask(self, data):
        self.send(data)
        return self.answer()[1]

    def is_closed_by_peer(self):
        """Waits for the end of the stream; False when bytes or the time limit come first."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


def _produce_result_at(answer):
    """Where the error code of the only partition in a Produce response v8 is."""
    return 4 + 2 + struct.unpack(">h", answer[4:6])[0] + 4 + 4


def produce_offset(answer):
    """Base offset of the only partition in a Produce response v8."""
    at = _produce_result_at(answer) + 2
    return struct.unpack(">q", answer[at:at + 8])[0]


def produce_error(answer):
    """Error code and text of the only partition in a Produce response v8."""
    at = _produce_result_at(answer)
    code = struct.unpack(">h", answer[at:at + 2])[0]
    at += 2 + 8 + 8 + 8
    errors = struct.unpack(">i", answer[at:at + 4])[0]
    at += 4
    for _ in range(errors):
        at += 4
        size = struct.unpack(">h", answer[at:at + 2])[0]
        at += 2 + max(size, 0)
    size = struct.unpack(">h", answer[at:at + 2])[0]
    return code, answer[at + 2:at + 2 + max(size, 0)].decode()
