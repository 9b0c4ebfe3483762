"""The Java producer as it comes, with five requests in flight, whose partition gets another leader while it waits for the
old one: it goes on at the new one, and what the old one never answered is sent again only then, long after the five batches
that a broker knows by their offsets. Everything is acknowledged, and in the log once and in order."""
import pathlib
import subprocess
import tempfile
import threading
import unittest

from confluent_kafka import Consumer, TopicPartition

from tests.harness.broker import ROOT
from tests.harness.cluster import Cluster, wait_for
from tests.interop import java_peer

TOPIC = "retried"


class Writer:
    """ChaosProducer.java on two partitions; `answers` has (offset, number) of each partition in their order."""

    def __init__(self, addresses):
        self.process = java_peer.start(
            str(ROOT / "tests/system/ChaosProducer.java"), addresses, TOPIC, "2", "200", "5",
            "metadata.max.age.ms=200", "request.timeout.ms=60000", stdin=True)
        self.answers = [[], []]
        self.others = []
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def follow(self):
        for line in self.process.stdout:
            words = line.split()
            if words[0] == "A":
                self.answers[int(words[1])].append((int(words[2]), int(words[3].split(":")[1])))
            else:
                self.others.append(line.strip())

    def wait_for_more(self, partition, count, timeout=60):
        wanted = len(self.answers[partition]) + count
        wait_for(lambda: len(self.answers[partition]) >= wanted, f"{count} more answers of partition {partition}",
                 timeout)

    def end(self):
        self.process.stdin.close()
        self.thread.join(60)
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class JavaRetriesTest(unittest.TestCase):
    def partition(self, index, node=3):
        status, topic = self.cluster.broker(node).http("GET", f"/v1/topics/{TOPIC}")
        return topic["partitions"][index] if status == 200 else {"leader": -1}

    def place(self, index, replicas):
        status, answer = self.cluster.broker(3).http("POST", "/v1/reassignments", {"reassignments": [
            {"topic": TOPIC, "partition": index, "replicas": replicas}]})
        self.assertEqual(status, 200, answer)
        wait_for(lambda: self.partition(index)["leader"] == replicas[0] and
                 self.partition(index)["isr"] and sorted(self.partition(index)["isr"]) == sorted(replicas),
                 f"partition {index} is led by {replicas[0]}")

    def read(self, partition, count):
        consumer = Consumer({"bootstrap.servers": self.cluster.addresses, "group.id": "reader", "log_level": 0})
        self.addCleanup(consumer.close)
        consumer.assign([TopicPartition(TOPIC, partition, 0)])
        found = []
        wait_for(lambda: found.extend((m.offset(), int(m.value().decode().split(":")[1]))
                                      for m in consumer.consume(1000, 0.2) if m.error() is None)
                 or len(found) >= count, f"{count} records of partition {partition}")
        return found

    def test_the_leader_moves_while_the_old_one_is_waited_for(self):
        java_peer.jars()
        work = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        shim, order = work / "slow_disk.so", work / "order"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", shim, ROOT / "tests/harness/slow_disk.c", "-ldl"],
                       check=True)
        self.cluster = self.enterContext(Cluster(
            3, "--set", "replica.lag.time.max.ms=120000", "--set", "leader.imbalance.check.interval.seconds=1",
            node_2={"prefix": ("env", f"LD_PRELOAD={shim}", f"QT_DISK_CONTROL={order}")}))
        self.cluster.create_topic(TOPIC, 2, 2)
        self.place(0, [1, 3])
        self.place(1, [1, 2])
        writer = Writer(self.cluster.addresses)
        self.addCleanup(writer.end)
        for partition in (0, 1):
            writer.wait_for_more(partition, 50, 180)  # the JVM starts, and compiles

        # Broker 2 has nothing on its disk any more, and batches of both partitions are in one request.
        order.write_text("delay 120000")
        wait_for(lambda: self.is_silent(writer), "no more answers")
        self.place(0, [3, 1])
        writer.wait_for_more(0, 100)
        self.cluster.broker(1).kill()
        writer.wait_for_more(0, 100)
        order.write_text("")
        self.cluster.broker(2).kill()
        for node in (1, 2):
            self.cluster.broker(node).restart()
        writer.wait_for_more(1, 200)
        writer.end()
        self.assertEqual(writer.others, ["D"])

        for partition in (0, 1):
            told = writer.answers[partition]
            numbers = sorted(number for _, number in told)
            self.assertEqual(numbers, list(range(len(told))))
            log = self.read(partition, len(told))
            self.assertEqual([number for _, number in log], numbers)
            at = dict(log)
            self.assertTrue(all(offset == -1 or at[offset] == number for offset, number in told))
        self.assertIn(-1, [offset for offset, _ in writer.answers[0]], "nothing was sent again too late")

    @staticmethod
    def is_silent(writer):
        """No answer for so long that a busy machine is no reason: all five requests wait. If one did not, the next would
        ask the old leader, and its refusal hold up partition 0 until the others are over, a minute later."""
        before = len(writer.answers[0])
        threading.Event().wait(3)
        return len(writer.answers[0]) == before


if __name__ == "__main__":
    unittest.main()
