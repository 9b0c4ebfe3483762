"""Transactions of the Java client (version 2, KIP-890) and Kafka's tool for them: fencing, timeouts,
offsets inside of transactions, kills of the broker in between."""
import pathlib
import subprocess
import time
import unittest

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from tests.harness.broker import Broker
from tests.interop import java_peer

TRANSACTIONS = "org.apache.kafka.tools.TransactionsCommand"
PEER = pathlib.Path(__file__).resolve().parent / "TransactionPeer.java"
OPTIONS = ("--set", "transaction.abort.timed.out.transaction.cleanup.interval.ms=500")


def peer_command(*args):
    return [*java_peer.JVM, "-cp", f"{java_peer.jars()}/*", str(PEER), *map(str, args)]


class TransactionsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        java_peer.jars()
        cls.broker = cls.enterClassContext(Broker(*OPTIONS))

    def producer(self, transactional_id, **options):
        producer = Producer({"bootstrap.servers": self.broker.address, "linger.ms": 1,
                             "transactional.id": transactional_id, "log_level": 0, **options})
        return producer

    def read(self, topic, partitions=1, isolation="read_committed"):
        """All values of the topic up to the end that this isolation level sees."""
        consumer = Consumer({"bootstrap.servers": self.broker.address, "group.id": "reader",
                             "isolation.level": isolation, "enable.auto.commit": False,
                             "enable.partition.eof": True, "log_level": 0})
        try:
            consumer.assign([TopicPartition(topic, n, 0) for n in range(partitions)])
            values, ended = [], set()
            deadline = time.monotonic() + 60
            while len(ended) < partitions and time.monotonic() < deadline:
                message = consumer.poll(1)
                if message is None:
                    continue
                if message.error() is None:
                    values.append(message.value().decode())
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
            self.assertEqual(len(ended), partitions)
            return values
        finally:
            consumer.close()

    def peer(self, *args, timeout=120):
        command, *rest = args
        done = subprocess.run(peer_command(command, self.broker.address, *rest),
                              capture_output=True, text=True, timeout=timeout)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout.split("\n")

    def tool(self, *args, check=True):
        return java_peer.run(TRANSACTIONS, "--bootstrap-server", self.broker.address, *args,
                             check=check)

    def test_java_commits_aborts_and_fences(self):
        self.broker.create_topic("java", 3)
        self.assertIn("done", self.peer("alternate", "java-1", "java", 40))
        committed = sorted(f"committed-{n}" for n in range(40) if n % 4 != 3 for _ in range(3))
        self.assertEqual(sorted(self.read("java", 3)), committed)
        self.broker.create_topic("java-fenced", 1)
        self.assertIn("fenced", self.peer("fence", "java-2", "java-fenced"))
        self.assertEqual(self.read("java-fenced"), ["of the second"])

    def test_the_tool_lists_describes_and_aborts(self):
        self.broker.create_topic("tool", 1)
        self.assertIn("open", self.peer("hang", "tool-1", "tool"))
        listed = self.tool("list")
        self.assertRegex(listed, r"tool-1\s+\d+\s+\d+\s+Ongoing")
        described = self.tool("describe", "--transactional-id", "tool-1")
        self.assertIn("Ongoing", described)
        self.assertIn("tool-0", described)
        producers = self.tool("describe-producers", "--topic", "tool", "--partition", "0")
        self.assertRegex(producers, r"(?m)^\d+\s+\d+\s+-?\d+\s+0\s+\d+\s+0\s*$")
        self.assertEqual(self.read("tool"), [])
        self.tool("abort", "--topic", "tool", "--partition", "0", "--start-offset", "0")
        self.assertEqual(self.read("tool"), [])
        producer = self.producer("tool-2")
        producer.init_transactions(30)
        producer.begin_transaction()
        producer.produce("tool", "behind", partition=0)
        producer.commit_transaction(30)
        self.assertEqual(self.read("tool"), ["behind"])
        hanging = self.tool("find-hanging", "--broker-id", "1")
        self.assertNotRegex(hanging, r"(?m)^tool\s")

    def test_a_forgotten_transaction_times_out(self):
        self.broker.create_topic("late", 1)
        producer = self.producer("late-1", **{"transaction.timeout.ms": 1000,
                                              "message.timeout.ms": 900})
        producer.init_transactions(30)
        producer.begin_transaction()
        producer.produce("late", "never seen", partition=0)
        producer.flush(30)
        plain = Producer({"bootstrap.servers": self.broker.address, "log_level": 0})
        plain.produce("late", "plain", partition=0)
        plain.flush(30)
        deadline = time.monotonic() + 30
        while self.read("late") != ["plain"]:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.2)
        with self.assertRaises(KafkaException):
            producer.commit_transaction(30)


class KillTest(unittest.TestCase):
    def test_copies_are_exact_through_kills_of_the_broker(self):
        java_peer.jars()
        with Broker(*OPTIONS) as broker:
            broker.create_topic("from", 3)
            broker.create_topic("to", 3)
            plain = Producer({"bootstrap.servers": broker.address, "log_level": 0})
            for number in range(3000):
                plain.produce("from", str(number), partition=number % 3)
            self.assertEqual(plain.flush(60), 0)
            copier = subprocess.Popen(
                peer_command("copy", broker.address, "copier", "from", "to", 3000),
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            try:
                kills = 0
                for line in copier.stdout:
                    if line.startswith("copied") and kills < 3:
                        broker.kill()
                        broker.restart()
                        kills += 1
                    if line.startswith("done"):
                        break
                self.assertEqual(copier.wait(60), 0)
                self.assertGreater(kills, 0)
            finally:
                copier.kill()
                copier.stdout.close()
                copier.wait()
            consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "check",
                                 "isolation.level": "read_committed", "log_level": 0,
                                 "enable.auto.commit": False, "enable.partition.eof": True})
            consumer.assign([TopicPartition("to", n, 0) for n in range(3)])
            values, ended = [], set()
            deadline = time.monotonic() + 60
            while len(ended) < 3 and time.monotonic() < deadline:
                for message in consumer.consume(500, 1):
                    if message.error() is None:
                        values.append(int(message.value()))
                    elif message.error().code() == KafkaError._PARTITION_EOF:
                        ended.add(message.partition())
            consumer.close()
            self.assertEqual(sorted(values), list(range(3000)))


if __name__ == "__main__":
    unittest.main()
