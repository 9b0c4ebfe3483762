"""Kafka Streams with exactly_once_v2: a word count that is killed ten times while input goes on.

What comes out under read_committed must be, for each word, 1, 2, 3 ... up to how often it was sent:
nothing lost, nothing twice, nothing of an aborted transaction. QT_PEER=apache: see apache_kafka.py.
"""
import collections
import pathlib
import random
import shutil
import subprocess
import tempfile
import threading
import time
import unittest

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition

from tests.interop import java_peer
from tests.interop.apache_kafka import peer

SOURCE = pathlib.Path(__file__).resolve().parent / "WordCount.java"
KILLS = 10
PARTITIONS = 3
WORDS = [f"word{n}" for n in range(20)]


class StreamsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = pathlib.Path(tempfile.mkdtemp(prefix="streams-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.work, ignore_errors=True)
        subprocess.run(["javac", "-cp", f"{java_peer.jars()}/*", "-d", str(cls.work), str(SOURCE)], check=True)
        cls.broker = cls.enterClassContext(peer())

    def start(self):
        log = open(self.work / "log", "a")
        self.addCleanup(log.close)
        process = java_peer.start("WordCount", self.broker.address, str(self.work / "state"), "lines", "counts",
                                  class_path=self.work, log=log)
        self.addCleanup(java_peer.end, process, 5)
        return process

    def wait_running(self, process, timeout_s=90):
        """Until it says RUNNING after its rebalance."""
        watchdog = threading.Timer(timeout_s, process.kill)
        watchdog.start()
        for line in process.stdout:
            if line.strip() == "RUNNING":
                watchdog.cancel()
                return
        watchdog.cancel()
        self.fail(f"not running in {timeout_s} s:\n" + (self.work / "log").read_text()[-4000:])

    def send_lines(self, stop, sent):
        producer = Producer({"bootstrap.servers": self.broker.address, "enable.idempotence": True,
                             "linger.ms": 5, "log_level": 0})
        prng = random.Random(7)
        while not stop.is_set():
            words = prng.choices(WORDS, k=4)
            sent.update(words)
            producer.produce("lines", " ".join(words), partition=prng.randrange(PARTITIONS))
            producer.poll(0)
            time.sleep(0.01)
        self.assertEqual(producer.flush(60), 0)

    def read_counts(self, sent, timeout_s=90):
        """Word -> the counts in order, read until the last one of each word came."""
        consumer = Consumer({"bootstrap.servers": self.broker.address, "group.id": "unused",
                             "isolation.level": "read_committed", "enable.auto.commit": False, "log_level": 0,
                             "enable.partition.eof": True})
        self.addCleanup(consumer.close)
        consumer.assign([TopicPartition("counts", p, OFFSET_BEGINNING) for p in range(PARTITIONS)])
        seen = collections.defaultdict(list)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for message in consumer.consume(1000, 0.5):
                if message.error() is None:
                    seen[message.key().decode()].append(int(message.value()))
                elif message.error().code() != KafkaError._PARTITION_EOF:
                    self.fail(str(message.error()))
            if all(seen[word] and seen[word][-1] >= count for word, count in sent.items()):
                break
        return seen

    def test_word_count_survives_kills(self):
        self.broker.create_topic("lines", PARTITIONS)
        self.broker.create_topic("counts", PARTITIONS)
        stop, sent = threading.Event(), collections.Counter()
        writer = threading.Thread(target=self.send_lines, args=(stop, sent))
        writer.start()
        self.addCleanup(stop.set)
        prng = random.Random(11)
        for _ in range(KILLS):
            process = self.start()
            self.wait_running(process)
            time.sleep(prng.uniform(0.3, 2.5))
            process.kill()
            process.wait()
        process = self.start()
        self.wait_running(process)
        stop.set()
        writer.join()
        self.assertGreater(sum(sent.values()), 1000)
        seen = self.read_counts(sent)
        for word in WORDS:
            self.assertEqual(seen[word], list(range(1, sent[word] + 1)), word)


if __name__ == "__main__":
    unittest.main()
