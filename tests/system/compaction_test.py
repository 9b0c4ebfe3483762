"""Compaction in a running broker: under load, through kill -9, for consumers that read meanwhile.

A librdkafka producer writes few keys over and over to compacted topics; in the end each key has the
value that was acknowledged last, the log is small, and a deleted key is gone.
"""
import random
import time
import unittest

from confluent_kafka import Consumer, Producer, TopicPartition

from tests.harness.broker import Broker

CLEANER = ("--set", "log.cleaner.backoff.ms=50", "--set", "log.retention.check.interval.ms=200")
KEYS = 200


def read_latest(broker, topic):
    """Key to latest value, offsets read, as a consumer from the beginning sees them."""
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "none",
                         "enable.auto.commit": False, "enable.partition.eof": True,
                         "auto.offset.reset": "earliest", "check.crcs": True})
    latest, offsets = {}, []
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            message = consumer.poll(1)
            if message is None:
                continue
            if message.error() is not None:
                if message.error().code() == -191:  # the end of the partition
                    return latest, offsets
                raise AssertionError(message.error())
            offsets.append(message.offset())
            if message.value() is None:
                latest.pop(message.key(), None)
            else:
                latest[message.key()] = message.value()
        raise AssertionError("the end was not reached")
    finally:
        consumer.close()


class Load:
    def __init__(self, broker, topic, seed, **config):
        self.producer = Producer({"bootstrap.servers": broker.address, "linger.ms": 5,
                                  "enable.idempotence": True, "message.timeout.ms": 120000,
                                  "reconnect.backoff.max.ms": 100, "log_level": 0, **config})
        self.topic = topic
        self.random = random.Random(seed)
        self.expected = {}
        self.errors = []

    def write(self, count):
        for _ in range(count):
            key = b"key-%d" % self.random.randrange(KEYS)
            # No codec shrinks it: else all of a run may fit the active segment, which is never compacted.
            value = b"%d-" % self.random.randrange(10**9) + self.random.randbytes(900)
            if self.random.random() < 0.02:
                value = None
            if value is None:
                self.expected.pop(key, None)
            else:
                self.expected[key] = value
            self.producer.produce(self.topic, value, key, on_delivery=self.on_delivery)
            self.producer.poll(0)

    def on_delivery(self, error, _):
        if error is not None:
            self.errors.append(error)

    def flush(self):
        left = self.producer.flush(120)
        assert left == 0 and not self.errors, (left, self.errors[:3])


class CompactionTest(unittest.TestCase):
    def wait_for(self, condition, what):
        deadline = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"in vain: {what}")
            time.sleep(0.05)

    def test_latest_values_through_kills(self):
        for codec in ("none", "lz4"):
            with self.subTest(codec), Broker(*CLEANER) as broker:
                broker.create_topic("state", cleanup_policy="compact", segment_bytes="1048576",
                                    min_cleanable_dirty_ratio="0.01", file_delete_delay_ms="0")
                load = Load(broker, "state", 7, **{"compression.type": codec})
                for _ in range(6):
                    load.write(4000)
                    load.producer.poll(0)
                    broker.kill()
                    broker.restart()
                load.flush()
                latest, offsets = read_latest(broker, "state")
                self.assertEqual(latest, load.expected)
                self.wait_for(lambda: broker.metric("compactions_total") >= 1, "a compaction")
                load.write(3000)
                load.flush()
                self.wait_for(lambda: len(read_latest(broker, "state")[1]) < 12000,
                              "most of 27000 records are gone")
                latest, offsets = read_latest(broker, "state")
                self.assertEqual(latest, load.expected)
                self.assertEqual(broker.metric("partitions_offline"), 0)
                self.assertEqual(broker.metric("partitions_uncleanable"), 0)
                self.assertEqual(broker.stop(), 0)
                broker.restart()
                self.assertEqual(read_latest(broker, "state")[0], load.expected)

    def test_a_record_without_a_key_is_refused(self):
        with Broker() as broker:
            broker.create_topic("state", cleanup_policy="compact")
            errors = []
            producer = Producer({"bootstrap.servers": broker.address})
            producer.produce("state", b"no key", on_delivery=lambda error, _: errors.append(error))
            producer.flush(30)
            self.assertEqual([error.name() for error in errors], ["INVALID_RECORD"])

    def test_the_broker_compresses_as_the_topic_wants(self):
        with Broker() as broker:
            broker.create_topic("small", compression_type="zstd", compression_zstd_level="9")
            producer = Producer({"bootstrap.servers": broker.address})
            for i in range(100):
                producer.produce("small", b"text " * 200, b"%d" % i)
            producer.flush(30)
            files = list(broker.data_dir.glob("small-0/*.log"))
            self.assertLess(sum(file.stat().st_size for file in files), 20000)
            self.assertEqual(len(read_latest(broker, "small")[1]), 100)


if __name__ == "__main__":
    unittest.main()
