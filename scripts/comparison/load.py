"""The load: 'qtool bench' as a process, and consumers by the hundred on raw sockets in one thread."""
import json
import selectors
import struct
import subprocess
import threading
import time

from scripts.comparison.systems import connect
from tests.harness import wire
from tests.harness.broker import BIN

WIDE_BATCHES = ("-X", "batch.size=200000", "-X", "linger.ms=5")
UNBATCHED = ("-X", "batch.size=0", "-X", "linger.ms=0")
FETCH_WAIT_MS = 500  # what Kafka's consumers wait
BENCH_S_MAX = 240


def bench_command(address, workload, topic, *args):
    return [str(BIN / "qtool"), "-b", address, "--timeout", "60", "-o", "json", "bench", workload,
            "-t", topic, *map(str, args)]


def bench(address, workload, topic, *args):
    """The report of one 'qtool bench'."""
    command = bench_command(address, workload, topic, *args)
    done = subprocess.run(command, capture_output=True, text=True, timeout=BENCH_S_MAX)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\nended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def is_short(report):
    """Whether the intended rate was not kept: the latency of what was not sent is not in the report."""
    return bool(report and report.get("produce") and report["produce"]["not_sent"] > 0)


def create(partitions, *configs):
    """Arguments that make the topic first."""
    return ("--create", "-p", partitions, "--replication", 1,
            *(word for config in configs for word in ("--config", config)))


def fetch_request(topic, partition, offset, wait_ms=FETCH_WAIT_MS, bytes_max=1 << 20):
    body = wire.int32(-1) + wire.int32(wait_ms) + wire.int32(1) + wire.int32(bytes_max) + b"\0"
    body += wire.int32(1) + wire.string(topic) + wire.int32(1) + wire.int32(partition)
    return wire.request(wire.FETCH, 4, body + wire.int64(offset) + wire.int32(bytes_max))


def read_fetch(frame):
    """(error code, offset after the last record or None) of a Fetch response v4 with one partition.
    `frame` begins with the correlation id."""
    at = 8
    topics, = struct.unpack_from(">i", frame, at)
    if topics == 0:
        return 0, None
    at += 4 + 2 + struct.unpack_from(">h", frame, at + 4)[0] + 4 + 4
    error, = struct.unpack_from(">h", frame, at)
    at += 2 + 8 + 8
    aborted, = struct.unpack_from(">i", frame, at)
    at += 4 + max(aborted, 0) * 16
    size, = struct.unpack_from(">i", frame, at)
    at += 4
    end, last = at + max(size, 0), None
    while at + 61 <= end:
        base, length = struct.unpack_from(">qi", frame, at)
        if at + 12 + length > end:
            break
        last = base + struct.unpack_from(">i", frame, at + 23)[0] + 1
        at += 12 + length
    return error, last


class Consumers:
    """with Consumers(port, topic, count): so many follow the topic, number n its partition
    n % partitions, each on a connection of its own with a fetch that waits. Counts what they get;
    `fetches` and `errors` are read after the end."""

    def __init__(self, port, topic, count, partitions):
        self.topic = topic
        self.partitions = partitions
        self.fetches = 0
        self.with_records = 0
        self.errors = {}
        self.ending = False
        self.selector = selectors.DefaultSelector()
        self.state = {}  # socket: [partition, offset, bytes received]
        for number in range(count):
            one = connect(port)
            self.state[one] = [number % partitions, 0, bytearray()]
            self.selector.register(one, selectors.EVENT_READ)
        self.thread = threading.Thread(target=self.run)

    def ask(self, one):
        partition, offset, _ = self.state[one]
        one.sendall(fetch_request(self.topic, partition, offset))

    def run(self):
        for one in self.state:
            self.ask(one)
        while not self.ending:
            for key, _ in self.selector.select(0.1):
                self.on_readable(key.fileobj)

    def on_readable(self, one):
        data = one.recv(1 << 20)
        if not data:
            self.errors["closed"] = self.errors.get("closed", 0) + 1
            self.selector.unregister(one)
            return
        state = self.state[one]
        state[2] += data
        while len(state[2]) >= 4:
            size, = struct.unpack_from(">i", state[2])
            if len(state[2]) < 4 + size:
                break
            error, next_offset = read_fetch(bytes(state[2][4:4 + size]))
            del state[2][:4 + size]
            self.fetches += 1
            if error:
                self.errors[error] = self.errors.get(error, 0) + 1
            if next_offset is not None:
                self.with_records += 1
                state[1] = next_offset
            self.ask(one)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending = True
        self.thread.join()
        self.selector.close()
        for one in self.state:
            one.close()


def list_offsets_end(port, topic, partition):
    with wire.Connection(port) as connection:
        return wire.list_offsets_answer(connection.ask(wire.list_offsets(topic, partition)))[1]


def time_command(command, times):
    """Seconds of each run of a program."""
    taken = []
    for _ in range(times):
        begun = time.monotonic()
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        taken.append(time.monotonic() - begun)
    return taken
