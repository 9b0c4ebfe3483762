"""A compacted topic that transactions write, in a broker that is killed again and again.

Some transactions are committed and some aborted, most of them across a kill -9 and all of them
while the cleaner works. A reader of committed data that follows from the start, and one that begins
afresh after each life, see the last committed value of each key and never an aborted one. In the
end nothing of the aborted transactions is left in the files, nor of markers whose records are gone.
"""
import random
import struct
import threading
import time
import unittest

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from tests.harness.broker import Broker

CLEANER = ("--set", "log.cleaner.backoff.ms=50", "--set", "log.retention.check.interval.ms=200",
           "--set", "log.cleaner.delete.retention.ms=200")
TOPIC = "state"
KEYS = [b"key-%d" % i for i in range(40)]
FILLER = b"filler"  # rolls the active segment, which is never compacted
LIVES = 5
TRANSACTIONS = 12  # a life
WAIT_S = 120


def consumer_of(broker, isolation):
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "none", "log_level": 0,
                         "enable.auto.commit": False, "enable.partition.eof": True,
                         "auto.offset.reset": "earliest", "check.crcs": True,
                         "isolation.level": isolation, "reconnect.backoff.max.ms": 100})
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    return consumer


def read(broker, isolation="read_committed"):
    """(key, value) from the start to the end."""
    consumer = consumer_of(broker, isolation)
    records = []
    deadline = time.monotonic() + WAIT_S
    try:
        while time.monotonic() < deadline:
            message = consumer.poll(1)
            if message is None:
                continue
            if message.error() is None:
                records.append((message.key(), message.value()))
            elif message.error().code() == KafkaError._PARTITION_EOF:
                return records
            else:
                raise AssertionError(message.error())
        raise AssertionError("a reader is stuck")
    finally:
        consumer.close()


def latest(records):
    values = {}
    for key, value in records:
        if value is None:
            values.pop(key, None)
        else:
            values[key] = value
    values.pop(FILLER, None)
    return values


class Follower(threading.Thread):
    """Reads committed records from the start and goes on, through all lives of the broker."""

    def __init__(self, broker):
        super().__init__(daemon=True)
        self.consumer = consumer_of(broker, "read_committed")
        self.records = []
        self.stopping = False
        self.start()

    def run(self):
        while not self.stopping:
            message = self.consumer.poll(0.1)
            if message is not None and message.error() is None:
                self.records.append((message.key(), message.value()))

    def stop(self):
        self.stopping = True
        self.join()
        self.consumer.close()


class Writer:
    """Transactions of one transactional id; knows what is committed and what is not."""

    def __init__(self, broker, transactional_id, rng):
        self.producer = Producer({"bootstrap.servers": broker.address, "log_level": 0,
                                  "transactional.id": transactional_id, "linger.ms": 1,
                                  "reconnect.backoff.max.ms": 100})
        self.producer.init_transactions(WAIT_S)
        self.rng = rng
        self.pending = {}

    def begin(self, keys):
        self.producer.begin_transaction()
        self.pending = {}
        for key in keys:
            # Nothing that a codec shrinks, so that segments fill and roll.
            value = None if self.rng.random() < 0.05 else self.rng.randbytes(3000)
            self.pending[key] = value
            self.producer.produce(TOPIC, value, key)
        self.producer.flush(WAIT_S)

    def end(self, commits):
        """Until the outcome is known; returns whether it is committed."""
        while True:
            try:
                if commits:
                    self.producer.commit_transaction(WAIT_S)
                else:
                    self.producer.abort_transaction(WAIT_S)
                return commits
            except KafkaException as failure:
                error = failure.args[0]
                if error.txn_requires_abort():
                    commits = False
                elif not error.retriable():
                    raise


def batches(path):
    """(base offset, last offset, is a marker, records) of each batch in a segment's file."""
    data = path.read_bytes()
    at = 0
    while at + 61 <= len(data):
        base, size = struct.unpack_from(">qi", data, at)
        attributes, delta = struct.unpack_from(">hi", data, at + 21)
        count, = struct.unpack_from(">i", data, at + 57)
        yield base, base + delta, attributes & 0x20 != 0, count
        at += 12 + size


class CompactionTransactionsTest(unittest.TestCase):
    def wait_for(self, condition, what):
        deadline = time.monotonic() + WAIT_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"in vain: {what}")
            time.sleep(0.1)

    def markers(self, broker, end):
        """Base offsets of the markers below `end`."""
        while True:
            try:
                return sorted({base for path in (broker.data_dir / f"{TOPIC}-0").glob("*.log")
                               for base, _, is_marker, count in batches(path)
                               if is_marker and count > 0 and base < end})
            except FileNotFoundError:
                continue  # the cleaner put another in its place

    def test_commits_and_aborts_through_kills(self):
        rng = random.Random(31)
        with Broker(*CLEANER) as broker:
            broker.create_topic(TOPIC, cleanup_policy="compact", segment_bytes="1048576",
                                min_cleanable_dirty_ratio="0.01", file_delete_delay_ms="0",
                                delete_retention_ms="200")
            writers = [Writer(broker, f"writer-{i}", rng) for i in range(2)]
            follower = Follower(broker)
            self.addCleanup(follower.stop)
            expected, aborted = {}, set()

            def settle(writer, commits):
                if not writer.end(commits):
                    aborted.update(value for value in writer.pending.values() if value)
                    return
                for key, value in writer.pending.items():
                    if value is None:
                        expected.pop(key, None)
                    else:
                        expected[key] = value

            def fill():
                filler = Producer({"bootstrap.servers": broker.address, "log_level": 0})
                for _ in range(12):
                    filler.produce(TOPIC, rng.randbytes(100_000), FILLER)
                self.assertEqual(filler.flush(WAIT_S), 0)

            for life in range(LIVES):
                for i in range(TRANSACTIONS):
                    writer = writers[i % 2]
                    writer.begin(rng.sample(KEYS, 20))
                    if i % 4 == 3:  # the other one's transaction is decided while this is open
                        other = writers[(i + 1) % 2]
                        other.begin([key for key in KEYS if key not in writer.pending])
                        settle(other, rng.random() < 0.6)
                    if i in (5, TRANSACTIONS - 1):
                        broker.kill()
                        broker.restart()
                    settle(writer, rng.random() < 0.6)
                records = read(broker)
                self.assertEqual(latest(records), expected, f"life {life}")
                self.assertFalse(aborted & {value for _, value in records})

            # Every key anew: no older transaction has a record that counts.
            writers[0].rng = random.Random(5)
            writers[0].begin(KEYS)
            settle(writers[0], True)
            end = broker.describe(TOPIC)["partitions"][0]["high_watermark"]

            def cleaned(what):
                def check():
                    fill()
                    return what()
                return check

            self.assertGreater(len(aborted), 100)
            self.wait_for(cleaned(lambda: not aborted & {value for _, value in
                                                         read(broker, "read_uncommitted")}),
                          "aborted records are gone")
            # That of the last transaction stays, as its records do; and the last of each producer
            # may: it is what is known of the producer.
            self.wait_for(cleaned(lambda: len(self.markers(broker, end)) <= len(writers)),
                          "markers are gone")
            self.assertEqual(latest(read(broker)), expected)
            self.wait_for(lambda: latest(list(follower.records)) == expected,
                          "the follower has seen it all")
            self.assertFalse(aborted & {value for _, value in follower.records})

            # The writers go on where they were, and another life knows the same.
            for writer in writers:
                writer.begin(KEYS[:5])
                settle(writer, True)
            broker.kill()
            broker.restart()
            self.assertEqual(latest(read(broker)), expected)
            self.wait_for(lambda: latest(list(follower.records)) == expected,
                          "the follower is not stuck")
            self.assertEqual(broker.metric("partitions_offline"), 0)
            self.assertEqual(broker.metric("partitions_uncleanable"), 0)
            self.assertEqual(broker.stop(), 0)


if __name__ == "__main__":
    unittest.main()
