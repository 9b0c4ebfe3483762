"""kill -9 under load: whatever was acknowledged with acks=all is read back, in order, once.

An idempotent librdkafka producer writes numbered records to three partitions while the broker is killed
and started again; the producer lives through all of it. QT_KILL_CYCLES sets how often (200).
"""
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
        self.thread = threading.Thread(target=self.run)

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

    def finish(self):
        self.stopping.set()
        self.thread.join()
        return self.producer.flush(120)


def read_all(address, topic, partition):
    consumer = Consumer({"bootstrap.servers": address, "group.id": "unused",
                         "enable.auto.commit": False, "auto.offset.reset": "error",
                         "enable.partition.eof": True})
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)
    consumer.assign([TopicPartition(topic, partition, low)])
    records = []
    while len(records) < high - low:
        for message in consumer.consume(10000, 1.0):
            if message.error() is None:
                records.append((message.offset(), int(message.value()[:12])))
    consumer.close()
    return records


class KillTest(unittest.TestCase):
    def test_acknowledged_records_survive_kill_9_in_order_and_once(self):
        seed = random.randrange(1 << 32)
        print(f"seed {seed}")
        rng = random.Random(seed)
        with Broker() as broker:
            listen = broker.address
            broker.qtool("topic", "create", "kill", "-p", str(PARTITIONS))
            load = Load(broker.address, "kill")
            load.thread.start()
            for _ in range(CYCLES):
                time.sleep(rng.uniform(0.02, 0.25))
                broker.kill()
                broker.start(listen=listen)
            left = load.finish()
            self.assertEqual(left, 0, "records were neither acknowledged nor failed")
            self.assertEqual(load.failed, [])
            total = 0
            for partition in range(PARTITIONS):
                records = read_all(broker.address, "kill", partition)
                numbers = [number for _, number in records]
                self.assertEqual(numbers, list(range(load.sent[partition])),
                                 f"partition {partition}: lost, doubled or out of order")
                offsets = dict((number, offset) for offset, number in records)
                self.assertEqual(offsets, load.acked[partition])
                total += len(records)
            print(f"{CYCLES} kills, {total} records acknowledged and read back")
            self.assertGreater(total, CYCLES)


if __name__ == "__main__":
    unittest.main()
