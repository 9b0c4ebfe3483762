"""`qtool consume -g` in groups with librdkafka's members (kcat): each goes on where the other stopped.
With QT_PEER=apache: qtool against a real Apache Kafka.
"""
import os
import signal
import subprocess
import time
import unittest

from confluent_kafka import Consumer, Producer, TopicPartition

from tests.harness.broker import BIN
from tests.interop.apache_kafka import peer


def lines(first, end):
    return [str(i) for i in range(first, end)]


class QtoolGroupTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = cls.enterClassContext(peer())

    def produce(self, topic, values, partition=0):
        producer = Producer({"bootstrap.servers": self.broker.address})
        for value in values:
            producer.produce(topic, value, partition=partition)
        self.assertEqual(producer.flush(30), 0)

    def qtool(self, group, topic, *args):
        done = subprocess.run([str(BIN / "qtool"), "-b", self.broker.address, "--timeout", "30",
                               "consume", "-t", topic, "-g", group, *args],
                              capture_output=True, timeout=90)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout.decode().splitlines()

    def kcat(self, group, topic, count):
        done = subprocess.run(["kcat", "-b", self.broker.address, "-q", "-c", str(count), "-X",
                               "auto.offset.reset=earliest", "-G", group, topic],
                              capture_output=True, timeout=90)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout.decode().splitlines()

    def committed(self, group, topic, partition=0):
        reader = Consumer({"bootstrap.servers": self.broker.address, "group.id": group})
        try:
            return reader.committed([TopicPartition(topic, partition)], timeout=30)[0].offset
        finally:
            reader.close()

    def test_one_goes_on_where_the_other_stopped(self):
        self.broker.create_topic("turns")
        self.produce("turns", lines(0, 30))
        self.assertEqual(self.qtool("takers", "turns", "-n", "10"), lines(0, 10))
        self.assertEqual(self.committed("takers", "turns"), 10)
        self.assertEqual(self.kcat("takers", "turns", 10), lines(10, 20))
        self.assertEqual(self.committed("takers", "turns"), 20)
        self.assertEqual(self.qtool("takers", "turns", "--exit-at-end"), lines(20, 30))
        self.assertEqual(self.committed("takers", "turns"), 30)

    def test_both_at_once(self):
        """A classic member of librdkafka and qtool share the partitions of one group (KIP-848)."""
        self.broker.create_topic("shared", 2)
        member = Consumer({"bootstrap.servers": self.broker.address, "group.id": "mixed",
                           "auto.offset.reset": "earliest", "enable.auto.commit": True,
                           "heartbeat.interval.ms": 500, "auto.commit.interval.ms": 200})
        self.addCleanup(member.close)
        member.subscribe(["shared"])
        self.produce("shared", ["first"])
        read = []

        def poll():
            message = member.poll(0.1)
            if message is not None and message.error() is None:
                read.append(message.value().decode())

        deadline = time.monotonic() + 60
        while not read:
            poll()
            self.assertLess(time.monotonic(), deadline)
        process = subprocess.Popen([str(BIN / "qtool"), "-b", self.broker.address, "consume", "-t",
                                    "shared", "-g", "mixed"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        while len(member.assignment()) != 1:
            poll()
            self.assertIsNone(process.poll())
            self.assertLess(time.monotonic(), deadline)
        for partition in range(2):
            self.produce("shared", [f"p{partition}"], partition)
        mine = f"p{member.assignment()[0].partition}"
        while mine not in read:
            poll()
            self.assertLess(time.monotonic(), deadline)
        os.set_blocking(process.stdout.fileno(), False)
        printed = b""
        while not printed.endswith(b"\n"):
            poll()
            printed += process.stdout.read() or b""
            self.assertLess(time.monotonic(), deadline)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(30), 0)
        self.assertEqual({mine, printed.decode().strip()}, {"p0", "p1"})
        self.assertEqual(read, ["first", mine])


if __name__ == "__main__":
    unittest.main()
