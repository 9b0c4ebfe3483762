"""What is measured: groups of rows. Each group runs on a broker of its own.

A step measures some rows of a group and says each with put(row, value). A step that fails loses its own
rows, not those of the others.
"""
import subprocess
import time

from scripts.comparison import load
from scripts.comparison.load import UNBATCHED, WIDE_BATCHES, bench, create
from scripts.comparison.many import PARTITIONS as MANY, TOPICS as MANY_TOPICS, many_partitions
from scripts.comparison.systems import (SYSTEMS, connect, device_flushes, drop_from_page_cache,
                                        list_topics_command, time_start)

PARTITIONS = 6
RECORD_BYTES = 1000
RATE = 1000  # records a second: far below what either can, so that latency is not that of a queue
SIZE = ("-s", RECORD_BYTES)


class Row:
    def __init__(self, key, name, unit, more_is_better=False, reach=None, modes=None, paced=False, floor=None,
                 is_of_its_own=False):
        self.key = key
        self.name = name
        self.unit = unit
        self.more_is_better = more_is_better
        self.reach = reach  # of qbroker, in `unit`: {mode: value}; DESIGN says where they are from
        self.modes = modes  # nothing: all of its group
        self.paced = paced  # has a rate that must have been kept
        self.floor = floor  # what the machine takes: {mode: (name, figure) in what floor prints}
        self.is_of_its_own = is_of_its_own  # against another figure of the same system: the two do not compare


class Step:
    """`run(side, lengths, put)`, in these modes of its group or in all."""

    def __init__(self, run, modes=None):
        self.run = run
        self.modes = modes


def is_measured(one, mode):
    """Whether a row or step of a group is there in this of the group's modes."""
    return one.modes is None or mode in one.modes


class Group:
    """`modes`: which fsync modes say something. `steps`: each a Step or just its function."""

    def __init__(self, about, modes, rows, steps, settings=None, systems=SYSTEMS):
        self.about = about
        self.modes = modes
        self.rows = rows
        self.steps = [step if isinstance(step, Step) else Step(step) for step in steps]
        self.settings = settings or {}  # {system: {broker option: value}}
        self.systems = systems


class Lengths:
    """Seconds of the basic workloads, of the shorter others, and of their warm-up."""

    def __init__(self, seconds, warmup, quick):
        self.seconds = seconds
        self.warmup = warmup
        self.short = max(1.0, seconds * 0.4)
        self.short_warmup = min(warmup, 2)
        self.quick = quick

    @property
    def basic(self):
        return ("-d", self.seconds, "--warmup", self.warmup)

    @property
    def brief(self):
        return ("-d", self.short, "--warmup", self.short_warmup)

    def count(self, number):
        """Records, partitions or clients of a run that is not quick."""
        return max(1, number // 10) if self.quick else number


def latency_us(report, flow, name):
    return report[flow]["latency_us"][name]


def cpu_of(side, action):
    """(what the action returned, CPU seconds of the broker meanwhile; a tick is the finest reading)"""
    before = side.cpu_s()
    result = action()
    return result, max(side.cpu_s() - before, 0.01)


def cpu_percent_of(side, action):
    """The same in per cent of a core, over the time that the action really took."""
    begun = time.monotonic()
    result, cpu = cpu_of(side, action)
    return result, cpu / (time.monotonic() - begun) * 100


# ---- basic --------------------------------------------------------------------------------------


def basic_throughput(side, lengths, put):
    made = bench(side.address, "produce", "full", *create(PARTITIONS), *SIZE, *lengths.basic, *WIDE_BATCHES)
    put("produce", made["produce"]["bytes_per_s"] / 1e6, report=made)
    read = bench(side.address, "consume", "full", "--delete")
    put("consume", read["consume"]["bytes_per_s"] / 1e6, report=read)


def basic_end_to_end(side, lengths, put):
    made = bench(side.address, "e2e", "paced", *create(PARTITIONS), *SIZE, *lengths.basic, "-r", RATE,
                 "-X", "linger.ms=0", "--delete")
    for name in ("p50", "p99", "p99.9"):
        put(f"e2e {name}", latency_us(made, "consume", name) / 1e3, report=made)
        put(f"ack {name}", latency_us(made, "produce", name) / 1e3, report=made)


def basic_mixed(side, lengths, put):
    bench(side.address, "produce", "backlog", *create(PARTITIONS), *SIZE, "-d", lengths.seconds,
          *WIDE_BATCHES)
    made = bench(side.address, "mixed", "backlog", *SIZE, *lengths.basic, "-r", RATE, "-X", "linger.ms=0",
                 "--delete")
    put("mixed p99", latency_us(made, "produce", "p99") / 1e3, report=made)


BASIC = Group(
    "throughput, end to end and acknowledgement at a calm rate", ("cached", "synced", "default"),
    [Row("produce", "produce as fast as possible", "MB/s", more_is_better=True),
     Row("consume", "consume from the beginning", "MB/s", more_is_better=True),
     *[Row(f"e2e {name}", f"end to end at {RATE}/s, {name}", "ms", paced=True)
       for name in ("p50", "p99", "p99.9")],
     *[Row(f"ack {name}", f"ack at {RATE}/s, {name}", "ms", paced=True) for name in ("p50", "p99", "p99.9")],
     Row("mixed p99", f"ack at {RATE}/s beside a backlog, p99", "ms", paced=True)],
    [basic_throughput, basic_end_to_end, basic_mixed])


# ---- cost: CPU of the broker, small records, one at a time ----------------------------------------


def cost_wide(side, lengths, put):
    bench(side.address, "produce", "wide", *create(PARTITIONS), *SIZE, "-n", lengths.count(200_000),
          *WIDE_BATCHES)
    made, cpu = cpu_of(side, lambda: bench(side.address, "produce", "wide", *SIZE, "-d", lengths.short,
                                           *WIDE_BATCHES))
    put("produce cpu", cpu / (made["produce"]["bytes"] / 1e9), report=made)
    read, cpu = cpu_of(side, lambda: bench(side.address, "consume", "wide", "--delete"))
    put("consume cpu", cpu / (read["consume"]["bytes"] / 1e9), report=read)


def cost_small(side, lengths, put):
    args = ("-s", 100, *WIDE_BATCHES)
    bench(side.address, "produce", "small", *create(PARTITIONS), *args, "-n", lengths.count(1_000_000))
    made, cpu = cpu_of(side, lambda: bench(side.address, "produce", "small", *args, "-d", lengths.short,
                                           "--delete"))
    put("small", made["produce"]["records_per_s"] / 1e6, report=made)
    put("small cpu", cpu / (made["produce"]["records"] / 1e6), report=made)


def cost_lone(side, lengths, put):
    made = bench(side.address, "produce", "lone", *create(1), "-s", 100, *lengths.brief, "--one-in-flight",
                 "-X", "linger.ms=0", "--delete")
    for name in ("p50", "p99"):
        put(f"lone {name}", latency_us(made, "produce", name), report=made)


def cost_end_to_end(rate, *args):
    def step(side, lengths, put):
        made, cpu = cpu_percent_of(side, lambda: bench(
            side.address, "e2e", f"rate-{rate}", *create(1), "-s", 512, *lengths.brief, "-r", rate,
            "-X", "linger.ms=0", *args, "--delete"))
        put(f"rate {rate}", latency_us(made, "consume", "p99"), report=made)
        put(f"rate {rate} cpu", cpu, report=made)
    return step


def end_to_end_floor(rate):
    name = f"end to end at {rate}/s"
    return {"cached": (name, "p99_us"), "synced": (f"{name}, fdatasync", "p99_us")}


def lone_floor(figure):
    return {"cached": ("with a write", figure), "synced": ("with a write and fdatasync", figure)}


COST = Group(
    "CPU of the broker, small records, one record at a time, end to end at higher rates",
    ("cached", "synced", "default"),
    [Row("produce cpu", "produce 1,000 B: CPU of the broker", "s/GB", reach={"cached": 0.9},
         floor={"cached": ("receive and write", "cpu_s_per_gb")}),
     Row("consume cpu", "consume 1,000 B: CPU of the broker", "s/GB", reach={"cached": 0.5, "synced": 0.5},
         floor={mode: ("send a file, by 128 KiB", "cpu_s_per_gb") for mode in ("cached", "synced")}),
     Row("small", "produce 100 B, one producer", "M/s", more_is_better=True, reach={"cached": 2.1}),
     Row("small cpu", "produce 100 B: CPU of the broker", "s/M"),
     Row("lone p50", "one record in flight, p50", "us", reach={"cached": 95, "synced": 290},
         floor=lone_floor("p50_us")),
     Row("lone p99", "one record in flight, p99", "us", floor=lone_floor("p99_us")),
     Row("rate 2000", "end to end at 2,000/s, p99", "us", reach={"cached": 400}, paced=True,
         floor=end_to_end_floor(2000)),
     Row("rate 2000 cpu", "end to end at 2,000/s: CPU of the broker", "%", paced=True),
     Row("rate 4000", "end to end at 4,000/s unbatched, p99", "us", reach={"synced": 3000}, paced=True,
         floor=end_to_end_floor(4000)),
     Row("rate 10000", "end to end at 10,000/s unbatched, p99", "us", reach={"cached": 2000},
         modes=("cached",), paced=True, floor=end_to_end_floor(10_000))],
    [cost_wide, cost_small, cost_lone, cost_end_to_end(2000), cost_end_to_end(4000, *UNBATCHED),
     Step(cost_end_to_end(10_000, *UNBATCHED), ("cached",))])


# ---- keys: many producers -------------------------------------------------------------------------

KEYS = ("--key-count", 100_000)
KEYS_RATE = 5000
SMALL_BUFFER = ("-X", "buffer.memory=1048576")  # of each producer, so that 400 fit in memory


def keys_step(producers):
    def step(side, lengths, put):
        topic = f"keys-{producers}"
        args = (*SIZE, *KEYS, "--producers", producers, *SMALL_BUFFER)
        bench(side.address, "produce", topic, *create(12), *args, "-n", lengths.count(100_000))
        made, cpu = cpu_of(side, lambda: bench(side.address, "produce", topic, *args, "-d", lengths.short))
        put(f"{producers} full", made["produce"]["bytes_per_s"] / 1e6, report=made)
        put(f"{producers} cpu", cpu / (made["produce"]["bytes"] / 1e9), report=made)
        paced = bench(side.address, "produce", topic, *args, *lengths.brief, "-r", KEYS_RATE,
                      "-X", "linger.ms=0", "--delete")
        put(f"{producers} p99", latency_us(paced, "produce", "p99") / 1e3, report=paced)
    return step


def keys_rows(producers):
    return [Row(f"{producers} full", f"{producers} producers with keys", "MB/s", more_is_better=True),
            Row(f"{producers} cpu", f"{producers} producers with keys: CPU of the broker", "s/GB"),
            Row(f"{producers} p99", f"{producers} producers with keys, ack at {KEYS_RATE:,}/s, p99", "ms",
                paced=True)]


KEYS_GROUP = Group("50 and 400 producers of records with keys, 12 partitions", ("cached", "synced", "default"),
                   keys_rows(50) + keys_rows(400), [keys_step(50), keys_step(400)])


# ---- partitions: active ones ----------------------------------------------------------------------

ACTIVE = (1, 100, 1000)
ACTIVE_RATE = 4000


def partitions_step(count):
    def step(side, lengths, put):
        topic = f"active-{count}"
        keys = ("-s", 100, "--key-count", 1_000_000)
        bench(side.address, "produce", topic, *create(count), *keys, "-n", max(count * 20, 1000))
        before = device_flushes()
        made, cpu = cpu_percent_of(side, lambda: bench(side.address, "produce", topic, *keys, *lengths.brief,
                                               "-r", ACTIVE_RATE, "-X", "linger.ms=5"))
        for name in ("p50", "p99"):
            put(f"{count} {name}", latency_us(made, "produce", name) / 1e3, report=made)
        put(f"{count} cpu", cpu, report=made)
        after = device_flushes()
        if before is not None and after > before:
            put(f"{count} flushes", (lengths.short + lengths.short_warmup) * ACTIVE_RATE / (after - before),
                report=made)
    return step


def partitions_rows(count):
    name = f"{count:,} active partition{'s' if count > 1 else ''} at {ACTIVE_RATE:,}/s"
    return [Row(f"{count} p50", f"{name}, ack p50", "ms", paced=True),
            Row(f"{count} p99", f"{name}, ack p99", "ms", paced=True),
            Row(f"{count} cpu", f"{name}: CPU of the broker", "%", paced=True),
            Row(f"{count} flushes", f"{name}: records a flush of the device", "", more_is_better=True,
                modes=("synced",), paced=True)]


def partitions_throughput(side, lengths, put):
    count = ACTIVE[-1]
    topic = f"active-{count}"  # of the step before
    before = device_flushes()
    made = bench(side.address, "produce", topic, "-s", 100, "--key-count", 1_000_000, *lengths.brief,
                 "-X", "linger.ms=5")
    after = device_flushes()
    put("throughput", made["produce"]["records_per_s"] / 1e3, report=made)
    if before is not None and after > before:
        put("throughput flushes", made["produce"]["records"] / (after - before), report=made)


PARTITIONS_GROUP = Group("1, 100 and 1,000 partitions that are written to", ("cached", "synced", "default"),
                         [*[row for count in ACTIVE for row in partitions_rows(count)],
                          Row("throughput", f"{ACTIVE[-1]:,} active partitions, as fast as possible", "k/s",
                              more_is_better=True),
                          Row("throughput flushes",
                              f"{ACTIVE[-1]:,} active partitions, as fast as possible: records a flush of the device",
                              "", more_is_better=True, modes=("synced",))],
                         [*[partitions_step(count) for count in ACTIVE], partitions_throughput])


# ---- idle: consumers that wait --------------------------------------------------------------------

CONSUMERS = 1000


def idle_consumers(side, lengths, put):
    bench(side.address, "produce", "quiet", *create(10), "-s", 100, "-n", 100)
    ends = side.rss_mib()
    with load.Consumers(side.port, "quiet", lengths.count(CONSUMERS), 10) as consumers:
        time.sleep(1 + lengths.short_warmup)  # they have read what there is
        before = side.cpu_s()
        time.sleep(lengths.short)
        put("idle cpu", (side.cpu_s() - before) / lengths.short * 100)
        put("idle memory", max(side.rss_mib() - ends, 0.1))
    if consumers.errors:
        raise RuntimeError(f"consumers got errors: {consumers.errors}")


def tailing_consumers(side, lengths, put):
    count = lengths.count(CONSUMERS)
    keys = ("-s", 100, "--key-count", 1_000_000)
    bench(side.address, "produce", "followed", *create(count), *keys, "-n", count * 10)
    at_start = side.rss_mib()
    with load.Consumers(side.port, "followed", count, count) as consumers:
        made, cpu = cpu_percent_of(side, lambda: bench(side.address, "produce", "followed", *keys, *lengths.brief,
                                               "-r", RATE, "-X", "linger.ms=0"))
        put("tail cpu", cpu, report=made)
        put("tail memory", max(side.rss_mib() - at_start, 0.1), report=made)
        put("tail p99", latency_us(made, "produce", "p99") / 1e3, report=made)
    if consumers.errors or consumers.with_records == 0:
        raise RuntimeError(f"consumers got errors: {consumers.errors}, {consumers.with_records} answers")


def stuck_consumers(side, lengths, put):
    """Each asks for 20 times 8 MB and reads nothing."""
    bench(side.address, "produce", "unread", *create(1), *SIZE, "-n", lengths.count(200_000), *WIDE_BATCHES)
    before = side.rss_mib()
    stuck = [connect(side.port) for _ in range(50)]
    try:
        for one in stuck:
            one.sendall(load.fetch_request("unread", 0, 0, bytes_max=8 << 20) * 20)
        time.sleep(lengths.short_warmup)
        made = bench(side.address, "produce", "beside", *create(PARTITIONS), *SIZE, *lengths.brief,
                     "-r", RATE, "-X", "linger.ms=0")
        put("stuck memory", max(side.rss_mib() - before, 0.1), report=made)
        put("stuck p99", latency_us(made, "produce", "p99") / 1e3, report=made)
    finally:
        for one in stuck:
            one.close()


IDLE_GROUP = Group(
    "1,000 consumers that wait, 1,000 that follow, 50 that do not read what they asked for", ("cached",),
    [Row("idle cpu", "1,000 idle consumers: CPU of the broker", "%"),
     Row("idle memory", "1,000 idle consumers: memory", "MiB"),
     Row("tail cpu", f"1,000 consumers follow {RATE:,}/s: CPU of the broker", "%", paced=True),
     Row("tail memory", f"1,000 consumers follow {RATE:,}/s: memory", "MiB", paced=True),
     Row("tail p99", f"1,000 consumers follow {RATE:,}/s, ack p99", "ms", paced=True),
     Row("stuck memory", "50 stuck consumers: memory", "MiB", paced=True),
     Row("stuck p99", f"50 stuck consumers, ack at {RATE:,}/s, p99", "ms", paced=True)],
    [idle_consumers, tailing_consumers, stuck_consumers])


# ---- backlog: old records are read while new ones come ----------------------------------------------

COLD_RATE = 100_000  # records a second that the reader of cold data wants
DRAIN_RATES = {"slow": 50_000, "fast": 200_000}  # some 70 % of Kafka's peak, synced and cached


def backlog_drain(side, lengths, put):
    peak = bench(side.address, "produce", "drained", *create(PARTITIONS), *SIZE, "-d", lengths.short,
                 "--warmup", lengths.short_warmup, *WIDE_BATCHES)["produce"]["records_per_s"]
    for key, rate in {"own": int(peak * 0.7), **DRAIN_RATES}.items():
        made = bench(side.address, "mixed", "drained", *SIZE, *lengths.brief, "-r", rate, *WIDE_BATCHES)
        put(f"drain {key}", made["consume"]["bytes_per_s"] / 1e6, report=made)
        put(f"drain {key} p99", latency_us(made, "produce", "p99") / 1e3, report=made)
        if key == "own":
            put("drain own produced", made["produce"]["bytes_per_s"] / 1e6, report=made)
    bench(side.address, "consume", "drained", "-n", 1, "--delete")


def backlog_cold(side, lengths, put):
    bench(side.address, "produce", "cold", *create(PARTITIONS), *SIZE, "-n", lengths.count(1_500_000),
          *WIDE_BATCHES)
    hot = (*SIZE, *lengths.brief, "-r", RATE, "-X", "linger.ms=0")
    alone = bench(side.address, "e2e", "hot", *create(PARTITIONS), *hot)
    beside_memory = beside_reader(side, lengths, hot)
    drop_from_page_cache(side.log_files("cold"))
    beside_disk = beside_reader(side, lengths, hot)
    put("cold p99", latency_us(beside_disk, "consume", "p99") / 1e3, report=beside_disk)
    put("warm p99", latency_us(beside_memory, "consume", "p99") / 1e3, report=beside_memory)
    put("cold times", latency_us(beside_disk, "consume", "p99") / latency_us(alone, "consume", "p99"),
        report=beside_disk)


def beside_reader(side, lengths, hot):
    """The report of an end-to-end run beside somebody who reads topic 'cold' at its rate."""
    reader = subprocess.Popen(
        load.bench_command(side.address, "consume", "cold", "-r", COLD_RATE, "-d",
                           lengths.short + lengths.short_warmup + 1),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        return bench(side.address, "e2e", "hot", *hot)
    finally:
        _, said = reader.communicate(timeout=load.BENCH_S_MAX)
        if reader.returncode != 0:
            raise RuntimeError(f"the reader beside it ended with {reader.returncode}: {said[-500:]}")


BACKLOG_GROUP = Group(
    "old records are read while new ones come", ("cached", "synced", "default"),
    [Row("drain own", "drain beside producing at 70 % of the peak", "MB/s", more_is_better=True, paced=True),
     Row("drain own produced", "produced meanwhile (70 % of the peak)", "MB/s", more_is_better=True,
         paced=True),
     Row("drain own p99", "ack meanwhile (70 % of the peak), p99", "ms", paced=True),
     *(row for key, rate in DRAIN_RATES.items() for row in (
         Row(f"drain {key}", f"drain beside producing at {rate:,}/s", "MB/s", more_is_better=True, paced=True),
         Row(f"drain {key} p99", f"ack meanwhile ({rate:,}/s), p99", "ms", paced=True))),
     Row("cold p99", f"end to end at {RATE}/s beside reading {COLD_RATE:,}/s from disk, p99", "ms", paced=True),
     Row("warm p99", "the same beside reading from memory, p99", "ms", paced=True),
     Row("cold times", "from disk, times that without a reader", "x", reach={"cached": 2, "synced": 2},
         paced=True, is_of_its_own=True)],
    [backlog_drain, backlog_cold])


# ---- limits: retention and compressed batches -----------------------------------------------------

RETENTION_RATE = 20_000


def limits_retention(side, lengths, put):
    kept = ("segment.bytes=4194304", "retention.bytes=8388608", "file.delete.delay.ms=1000")
    made = bench(side.address, "produce", "kept", *create(PARTITIONS, *kept), *SIZE, "-d", lengths.short,
                 "--warmup", lengths.short_warmup + 2, "-r", RETENTION_RATE, "-X", "linger.ms=1")
    size = sum(path.stat().st_size for path in side.log_files("kept"))
    written = made["produce"]["records"] * RECORD_BYTES
    # Who did not keep the rate may have written too little to delete.
    if not lengths.quick and not load.is_short(made) and size > written:
        raise RuntimeError(f"{size} of {written} bytes are still there: nothing was deleted meanwhile")
    for name in ("p50", "p99", "p99.9"):
        put(f"retention {name}", latency_us(made, "produce", name) / 1e3, report=made)


def limits_compressed(codec):
    def step(side, lengths, put):
        args = (*SIZE, "-X", f"compression.type={codec}", *WIDE_BATCHES)
        bench(side.address, "produce", codec, *create(PARTITIONS), *args, "-n", lengths.count(50_000))
        made, cpu = cpu_of(side, lambda: bench(side.address, "produce", codec, *args, "-d", lengths.short,
                                               "--delete"))
        put(f"{codec}", made["produce"]["bytes_per_s"] / 1e6, report=made)
        put(f"{codec} cpu", cpu / (made["produce"]["bytes"] / 1e9), report=made)
    return step


LIMITS_GROUP = Group(
    "segments are deleted while records come; compressed batches", ("cached", "synced", "default"),
    [*[Row(f"retention {name}", f"ack at {RETENTION_RATE:,}/s while segments are deleted, {name}", "ms",
           paced=True) for name in ("p50", "p99", "p99.9")],
     *[row for codec in ("lz4", "zstd") for row in (
         Row(codec, f"produce {codec}", "MB/s", more_is_better=True, modes=("cached",)),
         Row(f"{codec} cpu", f"produce {codec}: CPU of the broker", "s/GB", modes=("cached",)))]],
    [limits_retention, Step(limits_compressed("lz4"), ("cached",)),
     Step(limits_compressed("zstd"), ("cached",))],
    # Kafka looks for the first time half a minute after its start, unless it is told.
    settings={"qbroker": {"log.retention.check.interval.ms": "500"},
              "kafka": {"log.retention.check.interval.ms": "500", "log.initial.task.delay.ms": "500"}})


# ---- start: a broker with nothing to do -------------------------------------------------------------


def start_idle(side, lengths, put):
    time.sleep(2)
    before = side.cpu_s()
    time.sleep(max(lengths.short, 5))
    put("idle cpu", (side.cpu_s() - before) / max(lengths.short, 5) * 100)
    put("memory", side.rss_mib())


def start_first_answer(side, lengths, put):
    put("answer", time_start(side.system) * 1e3)


def start_list_topics(side, lengths, put):
    bench(side.address, "produce", "listed", *create(1), "-n", 1)
    put("list", sorted(load.time_command(list_topics_command(side), 3))[1] * 1e3)


def start_partitions(side, lengths, put):
    """After it, the broker has had 5,000 partitions for a while; Kafka needs longer to make them."""
    begun = time.monotonic()
    for number in range(5):
        bench(side.address, "produce", f"many-{number}", *create(lengths.count(1000)), "-n", 1)
    put("create", time.monotonic() - begun)
    time.sleep(lengths.short_warmup)
    put("memory 5000", side.rss_mib())


START_GROUP = Group(
    "start, a broker with nothing to do, 5,000 partitions", ("cached",),
    [Row("answer", "start to first answer", "ms", reach={"cached": 50}),
     Row("memory", "memory idle", "MiB", reach={"cached": 15}),
     Row("idle cpu", "idle CPU", "%", reach={"cached": 0.2}),
     Row("list", "list topics from a shell", "ms", reach={"cached": 15}),
     Row("create", "create 5 topics of 1,000 partitions, a record each", "s"),
     Row("memory 5000", "memory with 5,000 partitions", "MiB", reach={"cached": 40})],
    [start_first_answer, start_idle, start_list_topics, start_partitions])

# ---- many: 100,000 partitions ---------------------------------------------------------------------

MANY_GROUP = Group(
    f"{MANY * MANY_TOPICS:,} partitions on one broker (qbroker alone)", ("cached", "synced"),
    [Row("create", f"create {MANY * MANY_TOPICS:,} partitions", "s"),
     Row("memory", "memory with them", "MiB", reach={"cached": 1024, "synced": 1024}),
     Row("first records", "first record of each partition", "/s", more_is_better=True),
     Row("written", "partitions that got one", "", more_is_better=True),
     Row("memory written", "memory then", "MiB", reach={"cached": 1024, "synced": 1024}),
     Row("stop", "clean stop", "s"),
     Row("after stop", "start after it, to the first answer", "s", reach={"cached": 5, "synced": 5}),
     Row("after kill", "start after kill -9, to the first answer", "s", reach={"cached": 30, "synced": 30}),
     Row("memory at last", "memory after it", "MiB", reach={"cached": 1024, "synced": 1024})],
    [many_partitions], systems=("qbroker",))

GROUPS = {"basic": BASIC, "cost": COST, "keys": KEYS_GROUP, "partitions": PARTITIONS_GROUP,
          "idle": IDLE_GROUP, "backlog": BACKLOG_GROUP, "limits": LIMITS_GROUP, "start": START_GROUP,
          "many": MANY_GROUP}
