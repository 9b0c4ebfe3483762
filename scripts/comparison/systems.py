"""The two systems that are compared, each a broker of its own on an empty folder, with one face."""
import contextlib
import os
import pathlib
import socket
import struct
import tempfile
import time

from tests.harness import wire
from tests.harness.broker import Broker
from tests.interop import java_peer
from tests.interop.apache_kafka import ApacheKafka, free_port

# What Kafka's own start script gives the JVM when nobody says otherwise.
KAFKA_JVM = ("-server", "-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
             "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent")
FSYNC = {  # mode: options of qbroker, configs of Kafka
    "cached": (("--set", "write.caching=true"), {}),
    # The broker's name of it: a broker reads flush.messages, the topic's name, without a word and does not flush.
    "synced": ((), {"log.flush.interval.messages": "1"}),
    "default": ((), {}),
}
SYSTEMS = ("qbroker", "kafka")
FIRST_ANSWER_S_MAX = 120
SETTLE_S = 4
TICKS = os.sysconf("SC_CLK_TCK")


class Side:
    """One broker under test. `broker` is a Broker or an ApacheKafka: stop(), kill(), restart()."""

    def __init__(self, system, broker):
        self.system = system
        self.broker = broker

    @property
    def address(self):
        return self.broker.address

    @property
    def port(self):
        return self.broker.port

    def cpu_s(self):
        """CPU time of all threads of the broker since its start; the kernel's own are not in it."""
        stat = pathlib.Path(f"/proc/{self.broker.process.pid}/stat").read_text()
        fields = stat.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_mib(self):
        status = pathlib.Path(f"/proc/{self.broker.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines()
                    if line.startswith("VmRSS")) / 1024

    def log_files(self, topic):
        """Files with the records of the topic."""
        folders = ([self.broker.data_dir] if self.system == "qbroker" else self.broker.data_dirs)
        return [path for folder in folders for path in pathlib.Path(folder).glob(f"{topic}-*/*.log")]


def settle():
    """What the one before wrote, and the discards of what it deleted, are not to be paid by the next: the
    faster that starts, the more of them it would."""
    os.sync()
    time.sleep(SETTLE_S)


@contextlib.contextmanager
def open_side(system, mode, settings=None):
    """A fresh broker that serves. `settings`: {option of the broker: value}."""
    options, configs = FSYNC[mode]
    settings = settings or {}
    settle()
    if system == "qbroker":
        broker = Broker(*options, *(word for name, value in settings.items()
                                    for word in ("--set", f"{name}={value}")))
    else:
        broker = ApacheKafka({**configs, **settings}, jvm=KAFKA_JVM)
    with broker:
        yield Side(system, broker)


def ask_metadata(port):
    """Whether somebody on the port names at least one broker of its cluster."""
    try:
        with wire.Connection(port, timeout=5) as connection:
            answer = connection.ask(wire.request(wire.METADATA, 1, wire.int32(0)))
            return struct.unpack(">i", answer[:4])[0] > 0
    except (OSError, EOFError):
        return False


def wait_first_answer(port):
    deadline = time.monotonic() + FIRST_ANSWER_S_MAX
    while not ask_metadata(port):
        if time.monotonic() > deadline:
            raise RuntimeError(f"no answer in {FIRST_ANSWER_S_MAX} s")
        time.sleep(0.001)


def time_start(system):
    """Seconds from the start of a broker with an empty, prepared folder to its first answer."""
    port = free_port()
    if system == "qbroker":
        broker = Broker()
        start = lambda: broker.start(listen=f"127.0.0.1:{port}", wait=False)  # noqa: E731
    else:
        broker = ApacheKafka({}, jvm=KAFKA_JVM)
        broker.prepare()
        port = broker.port
        start = lambda: broker.start(wait=False)  # noqa: E731
    try:
        begun = time.monotonic()
        start()
        wait_first_answer(port)
        return time.monotonic() - begun
    finally:
        broker.__exit__(None, None, None)


def drop_from_page_cache(paths):
    """What was written to the files is on disk and must be read from there."""
    for path in paths:
        with open(path, "rb") as file, contextlib.suppress(OSError):
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def device_flushes():
    """How often the device below the data was told to make durable what it had, by anybody; None: it does not count."""
    device = os.stat(tempfile.gettempdir()).st_dev
    folder = pathlib.Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
    if (folder / "partition").exists():
        folder = folder.parent
    try:
        return int((folder / "stat").read_text().split()[15])
    except (OSError, IndexError):
        return None


def connect(port):
    found = socket.create_connection(("127.0.0.1", port), 20)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


def list_topics_command(side):
    """What a user types to list topics, each system with its own tool."""
    from tests.harness.broker import BIN
    if side.system == "qbroker":
        return [str(BIN / "qtool"), "-b", side.address, "topic", "list"]
    return [*java_peer.JVM, "-cp", f"{java_peer.jars()}/*", "org.apache.kafka.tools.TopicCommand",
            "--bootstrap-server", side.address, "--list"]
