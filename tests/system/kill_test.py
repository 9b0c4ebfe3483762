"""kill -9 under load: whatever was acknowledged with acks=all is read back, in order, once.

An idempotent librdkafka producer writes numbered records to three partitions while the broker is
killed and started again; the producer lives through all of it. QT_KILL_CYCLES sets how often (200),
QT_KILL_SEED repeats the pauses of a run.
"""
import collections
import os
import random
import threading
import time
import unittest

from confluent_kafka import Consumer, Producer, TopicPartition

from tests.harness.broker import Broker

CYCLES = int(os.environ.get("QT_KILL_CYCLES", "200"))
PARTITIONS = 3


class Load:
    """Keeps producing until stopped; remembers what was acknowledged, by partition."""

    def __init__(self, address, topic):
        self.acked = [{} for _ in range(PARTITIONS)]  # number -> offset
        self.failed = []
        self.sent = [0] * PARTITIONS
        self.stopping = threading.Event()
        self.topic = topic
        self.producer = Producer({
            "bootstrap.servers": address,
            "enable.idempotence": True,
            "linger.ms": 1,
            "message.timeout.ms": 300000,
            "reconnect.backoff.ms": 10,
            "reconnect.backoff.max.ms": 50,
            "retry.backoff.ms": 10,
            "queue.buffering.max.messages": 2000,
            "log_level": 0,
        })
        # A daemon, so that a failed test ends instead of waiting for it.
        self.thread = threading.Thread(target=self.run, daemon=True)

    def on_delivery(self, error, message):
        number = int(message.value()[:12])
        if error is not None:
            self.failed.append((message.partition(), number, str(error)))
        else:
            self.acked[message.partition()][number] = message.offset()

    def run(self):
        partition = 0
        while not self.stopping.is_set():
            value = b"%012d" % self.sent[partition] + b"x" * 100
            try:
                self.producer.produce(self.topic, value, partition=partition,
                                      on_delivery=self.on_delivery)
            except BufferError:
                self.producer.poll(0.01)
                continue
            self.sent[partition] += 1
            partition = (partition + 1) % PARTITIONS
            self.producer.poll(0)
            if self.sent[0] % 50 == 0:
                time.sleep(0.001)

    def acked_count(self):
        return sum(map(len, self.acked))

    def finish(self):
        self.stopping.set()
        self.thread.join()
        return self.producer.flush(60)


def read_all(address, topic, partition, timeout_s=60):
    """[(offset, number)] from the log start to the high watermark, checksums verified."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "unused", "check.crcs": True,
                         "enable.auto.commit": False, "auto.offset.reset": "error"})
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)
        consumer.assign([TopicPartition(topic, partition, low)])
        records = []
        deadline = time.monotonic() + timeout_s
        while len(records) < high - low:
            for message in consumer.consume(10000, 1.0):
                if message.error() is not None:
                    raise AssertionError(f"{topic}-{partition}: {message.error()}")
                records.append((message.offset(), int(message.value()[:12])))
            if time.monotonic() > deadline:
                raise AssertionError(f"{topic}-{partition}: {len(records)} records of offsets "
                                     f"{low} to {high} in {timeout_s} s")
        return records
    finally:
        consumer.close()


def check_all(case, broker, load):
    """Everything acknowledged is there, at its offset, in order, once; returns the count."""
    case.assertEqual(load.failed, [])
    total = 0
    for partition in range(PARTITIONS):
        records = read_all(broker.address, load.topic, partition)
        numbers = [number for _, number in records]
        if numbers != list(range(load.sent[partition])):
            missing = sorted(set(range(load.sent[partition])) - set(numbers))
            twice = [n for n, count in collections.Counter(numbers).items() if count > 1]
            acked = [n for n in missing if n in load.acked[partition]]
            case.fail(f"partition {partition}: {len(missing)} of {load.sent[partition]} missing "
                      f"({len(acked)} of them acknowledged, from {missing[:3]}), "
                      f"twice {twice[:5]}, in order {numbers == sorted(numbers)}")
        offsets = {number: offset for offset, number in records}
        case.assertEqual(offsets, load.acked[partition])
        total += len(records)
    return total


class KillTest(unittest.TestCase):
    def test_acknowledged_records_survive_kill_9_in_order_and_once(self):
        seed = int(os.environ.get("QT_KILL_SEED", random.randrange(1 << 32)))
        rng = random.Random(seed)
        start_s_max = 0.0
        with Broker() as broker:
            broker.create_topic("kill", PARTITIONS)
            load = Load(broker.address, "kill")
            load.thread.start()
            began = time.monotonic()
            for cycle in range(CYCLES):
                time.sleep(rng.uniform(0.02, 0.25))
                broker.kill()
                before = time.monotonic()
                broker.restart()
                start_s_max = max(start_s_max, time.monotonic() - before)
                if (cycle + 1) % 50 == 0:
                    print(f"{cycle + 1} kills, {load.acked_count()} records acknowledged, "
                          f"{time.monotonic() - began:.0f} s", flush=True)
            self.assertEqual(load.finish(), 0, f"seed {seed}: neither acknowledged nor failed")
            total = check_all(self, broker, load)
            print(f"{CYCLES} kills (seed {seed}): {total} records acknowledged and read back; "
                  f"longest start {start_s_max * 1000:.0f} ms")
            self.assertGreater(total, CYCLES)


if __name__ == "__main__":
    unittest.main()
