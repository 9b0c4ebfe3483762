"""The load of chaos.py and what it must never see: producers, a consumer group and a follower of all records.

Two idempotent producers (librdkafka, Java) write numbers in order to every partition. Whatever breaks meanwhile:
 - what was acknowledged is read back at the offset that was told, once, in the order of each producer;
 - what was read once, by the group or by the follower, is read again by whoever comes later;
 - the offsets of the group, once told as committed, never go back.
"""
import threading
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from tests.harness.broker import ROOT
from tests.interop import java_peer

TOPIC = "chaos"
GROUP = "chaos-group"
PARTITIONS = 6
# Part of every rebalance that a broker's end causes; the member joins again.
REBALANCE_ERRORS = ("ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "REBALANCE_IN_PROGRESS", "_ASSIGNMENT_LOST",
                    "_NO_OFFSET")


class Story:
    """What all clients have seen. Any thread."""

    def __init__(self):
        self.lock = threading.Lock()
        self.acknowledged = {}  # (partition, offset): value
        self.somewhere = set()  # (partition, value): acknowledged, but where was not told
        self.seen = {}  # (partition, offset): value, by the group
        self.floor = {}  # partition: highest offset told as committed
        self.errors = []  # what a client was told and could not mend by itself
        self.violations = []
        self.answers = {}  # (client, partition): times of acknowledgements since the round began

    def acknowledge(self, client, partition, offset, value):
        now = time.monotonic()
        with self.lock:
            # A retry so late that only its sequence number tells that it is in the log.
            if offset is None or offset < 0:
                self.somewhere.add((partition, value))
            elif self.acknowledged.setdefault((partition, offset), value) != value:
                self.violations.append(f"{partition}@{offset} was acknowledged for "
                                       f"{self.acknowledged[partition, offset]} and {value}")
            self.answers.setdefault((client, partition), []).append(now)

    def error(self, text):
        with self.lock:
            self.errors.append(text)

    def violation(self, text):
        with self.lock:
            self.violations.append(text)

    def begin_round(self):
        with self.lock:
            self.answers = {}

    def silences(self, since, partitions):
        """For each client and each of the partitions the longest time without an acknowledgement."""
        with self.lock:
            answers = {key: [since, *(t for t in times if t > since)] for key, times in self.answers.items()}
        return {key: max(b - a for a, b in zip(times, times[1:]))
                for key, times in answers.items() if key[1] in partitions and len(times) > 1}


class Loop:
    """A thread that calls step() until it is told to end."""

    def __init__(self):
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def run(self):
        while not self.ends.is_set():
            self.step()
        self.last()

    def end(self, timeout=120):
        self.ends.set()
        self.thread.join(timeout)
        if self.thread.is_alive():
            raise AssertionError(f"{type(self).__name__} does not end")

    def last(self):
        pass


class CProducer(Loop):
    """librdkafka before 2.3 takes a batch that timed out when its leader was silent for one that was acknowledged, meets
    OUT_OF_ORDER_SEQUENCE_NUMBER with the next one and gives up for good; so this needs a newer one (chaos.py says how)."""

    def __init__(self, story, addresses, rate):
        super().__init__()
        self.story = story
        self.pause_s = PARTITIONS / rate
        self.next = 0
        self.producer = Producer({"bootstrap.servers": addresses, "enable.idempotence": True, "linger.ms": 2,
                                  "message.timeout.ms": 600000, "socket.timeout.ms": 5000, "log_level": 0})

    def step(self):
        for partition in range(PARTITIONS):
            try:
                self.producer.produce(TOPIC, f"c:{self.next}", partition=partition, on_delivery=self.delivered)
            except BufferError:
                self.producer.poll(0.1)
                return  # a number that one partition lacks is no gap in the order
        self.next += 1
        try:
            self.producer.poll(self.pause_s)
        except KafkaException as problem: # fatal, says the library; it sends nothing any more
            self.story.violation(f"librdkafka producer: {problem}")
            self.ends.set()

    def delivered(self, error, message):
        if error is not None:
            self.story.error(f"librdkafka producer: {error}")
        else:
            self.story.acknowledge("c", message.partition(), message.offset(), message.value().decode())

    def last(self):
        if self.producer.flush(90) != 0:
            self.story.error("librdkafka producer: not all was answered at the end")


class JavaProducer:
    """With several requests in flight, of which one waits at the old leader of a partition (because another partition in
    it does), the Java client sends new batches to the new leader. When it comes with the waiting ones at last, they are
    older than the five that a broker knows by their offsets: acknowledged without one."""

    def __init__(self, story, addresses, rate, in_flight, log):
        self.story = story
        self.log = open(log, "w")
        self.process = java_peer.start(str(ROOT / "tests/system/ChaosProducer.java"), addresses, TOPIC,
                                       str(PARTITIONS), str(rate), str(in_flight), log=self.log, stdin=True)
        self.is_done = False
        self.thread = threading.Thread(target=self.follow, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def follow(self):
        for line in self.process.stdout:
            kind, *words = line.split(maxsplit=3)
            if kind == "A":
                self.story.acknowledge("java", int(words[0]), int(words[1]), words[2].strip())
            elif kind == "E":
                self.story.error(f"Java producer: {' '.join(words).strip()}")
            self.is_done |= kind == "D"

    def end(self, timeout=120):
        self.process.stdin.close()
        self.thread.join(timeout)
        if not self.is_done:
            self.story.error("Java producer: did not end well")
        self.process.kill()
        self.process.wait()


class Member(Loop):
    """A consumer of the group: commits what it has seen twice a second. Not synchronously: librdkafka 2.16 that waits for
    a commit while its coordinator is looked for may look no more, and then waits for ever."""

    def __init__(self, story, addresses):
        super().__init__()
        self.story = story
        self.next = {}
        self.due = time.monotonic()
        self.floors = {}  # of commits under way: what was told as committed before they were asked for
        self.consumer = Consumer({"bootstrap.servers": addresses, "group.id": GROUP, "enable.auto.commit": False,
                                  "auto.offset.reset": "earliest", "session.timeout.ms": 10000,
                                  "socket.timeout.ms": 5000, "log_level": 0, "on_commit": self.committed})
        self.consumer.subscribe([TOPIC], on_assign=lambda *_: self.next.clear(),
                                on_revoke=lambda *_: self.commit(), on_lost=lambda *_: self.next.clear())

    def step(self):
        for message in self.consumer.consume(500, 0.1):
            if message.error() is not None:
                self.story.error(f"consumer: {message.error()}")
                continue
            at = (message.partition(), message.offset())
            value = message.value().decode()
            with self.story.lock:
                other = self.story.seen.setdefault(at, value)
            if other != value:
                self.story.violation(f"the group read {other} and then {value} at {at}")
            self.next[at[0]] = at[1] + 1
        if time.monotonic() > self.due:
            self.commit()

    def commit(self):
        self.due = time.monotonic() + 0.5
        # One at a time: of those that a lost coordinator refused the library repeats each after a time of its own,
        # and an older one may come last.
        if self.next and not self.floors:
            with self.story.lock:
                self.floors.setdefault(tuple(sorted(self.next.items())), dict(self.story.floor))
            self.consumer.commit(offsets=[TopicPartition(TOPIC, p, o) for p, o in self.next.items()])

    def committed(self, problem, told):
        floor = self.floors.pop(tuple(sorted((one.partition, one.offset) for one in told)), {})
        if problem is not None and not any(name in str(problem) for name in REBALANCE_ERRORS):
            self.story.error(f"commit: {problem}")
        for one in told if problem is None else ():
            if one.error is not None:
                continue
            with self.story.lock:
                self.story.floor[one.partition] = max(self.story.floor.get(one.partition, 0), one.offset)
            if one.offset < floor.get(one.partition, 0):
                self.story.violation(f"{one.offset} was committed for partition {one.partition} after "
                                     f"{floor[one.partition]}: a member was told less than was committed")

    def last(self):
        self.commit()
        self.consumer.consume(1, 1)
        self.consumer.close()


class Offsets:
    """Asks for the group's offsets from time to time."""

    def __init__(self, story, addresses):
        self.story = story
        self.addresses = addresses

    def check(self):
        with self.story.lock:
            floor = dict(self.story.floor)
        consumer = Consumer({"bootstrap.servers": self.addresses, "group.id": GROUP, "log_level": 0})
        try:
            for one in self.ask(consumer):
                if one.offset < floor.get(one.partition, one.offset):
                    self.story.violation(f"offset of partition {one.partition} went back: {one.offset} after "
                                         f"{floor[one.partition]}")
                if one.offset >= 0:
                    with self.story.lock:
                        self.story.floor[one.partition] = max(self.story.floor.get(one.partition, 0), one.offset)
        finally:
            consumer.close()


    @staticmethod
    def ask(consumer, timeout=60):
        deadline = time.monotonic() + timeout
        while True:
            try:
                return consumer.committed([TopicPartition(TOPIC, p) for p in range(PARTITIONS)], timeout=10)
            except KafkaException:  # librdkafka gives up when the coordinator has just moved
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)


class Follower(Loop):
    """Reads every partition from its start and checks as it goes; at the end another one reads all again."""

    def __init__(self, story, addresses):
        super().__init__()
        self.story = story
        self.lock = threading.Lock()
        self.read = {}  # (partition, offset): value
        self.next = dict.fromkeys(range(PARTITIONS), 0)
        self.last_number = {}  # (partition, producer): the number it wrote last, and where
        self.values = {}  # (partition, value): the offset where it was read first
        self.checked = set()
        self.consumer = Consumer({"bootstrap.servers": addresses, "group.id": "follower", "log_level": 0,
                                  "enable.auto.commit": False, "auto.offset.reset": "error",
                                  "socket.timeout.ms": 5000})
        self.consumer.assign([TopicPartition(TOPIC, p, 0) for p in range(PARTITIONS)])

    def step(self):
        for message in self.consumer.consume(1000, 0.1):
            if message.error() is not None:
                self.story.error(f"follower: {message.error()}")
                continue
            partition, offset, value = message.partition(), message.offset(), message.value().decode()
            producer, number = value.split(":")
            before, at = self.last_number.get((partition, producer), (-1, -1))
            if int(number) <= before:
                first = self.values.get((partition, value))
                self.story.violation(
                    f"{producer} {number} at {partition}@{offset} comes after {before} at {at}: " +
                    ("out of order" if first is None else f"a duplicate, it was read at {first}"))
            with self.lock:
                if offset < self.next[partition]:
                    self.story.violation(f"{partition}@{offset} was given twice to one consumer")
                self.last_number[partition, producer] = int(number), offset
                self.read[partition, offset] = value
                self.values.setdefault((partition, value), offset)
                self.next[partition] = offset + 1

    def last(self):
        self.consumer.close()

    def check(self, timeout=60):
        """All that is acknowledged by now has been read, or is within `timeout`."""
        with self.story.lock:
            todo = {at: value for at, value in self.story.acknowledged.items() if at not in self.checked}
            somewhere = set(self.story.somewhere)
        deadline = time.monotonic() + timeout
        ends = {}
        for partition, offset in todo:
            ends[partition] = max(ends.get(partition, 0), offset + 1)
        while any(self.next[p] < end for p, end in ends.items()) or somewhere - self.values.keys():
            if time.monotonic() > deadline:
                behind = {p: (self.next[p], end) for p, end in ends.items() if self.next[p] < end}
                self.story.violation(f"acknowledged but not to be read: partition: (next, end) {behind}, "
                                     f"without offset {sorted(somewhere - self.values.keys())[:10]}")
                return
            time.sleep(0.05)
        with self.lock:
            for at, value in todo.items():
                if self.read.get(at) != value:
                    self.story.violation(f"lost: {value} was acknowledged at {at}, where {self.read.get(at)} is")
        self.checked.update(todo)


class Load:
    def __init__(self, addresses, rate, in_flight, log):
        self.addresses = addresses
        self.story = Story()
        self.follower = Follower(self.story, addresses).start()
        self.producers = [CProducer(self.story, addresses, rate).start(),
                          JavaProducer(self.story, addresses, rate, in_flight, log).start()]
        self.members = [Member(self.story, addresses).start() for _ in range(2)]
        self.offsets = Offsets(self.story, addresses)

    def check(self):
        self.follower.check()
        self.offsets.check()

    def end(self):
        """Ends all clients, in order, and checks everything once more from the start."""
        for producer in self.producers:
            producer.end()
        self.check()
        deadline = time.monotonic() + 90
        while self.follower.read.keys() - self.story.seen.keys():
            if time.monotonic() > deadline:
                self.story.violation(f"the group has not read {len(self.follower.read) - len(self.story.seen)}")
                break
            time.sleep(0.1)
        for member in self.members:
            try:
                member.end()
            except AssertionError as problem:
                self.story.error(f"consumer: {problem}")
        self.offsets.check()
        self.follower.end()
        again = Follower(self.story, self.addresses).start()
        again.check()
        again.end()
        for name, read in (("the follower", self.follower.read), ("the group", self.story.seen)):
            for at, value in read.items():
                if again.read.get(at) != value:
                    self.story.violation(f"{name} read {value} at {at}, where {again.read.get(at)} is now")
