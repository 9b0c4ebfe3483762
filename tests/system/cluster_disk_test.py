"""A log directory of one broker of three fails while it runs: others lead what was in it, no acknowledged record is
lost, the broker goes on with its other directory, and is whole again after a restart on a disk that works.

The failing disk is tests/harness/slow_disk.c, preloaded: writes and flushes below a path give EIO.
"""
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from confluent_kafka import Consumer, Producer, TopicPartition

from tests.harness.broker import ROOT
from tests.harness.cluster import Cluster, wait_for

PARTITIONS = 6


@unittest.skipIf(shutil.which("etcd") is None, "etcd is not installed")
class ClusterDiskTest(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="qbroker-disk-")))
        shim = self.work / "slow_disk.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", shim, ROOT / "tests/harness/slow_disk.c", "-ldl"],
                       check=True)
        self.control = self.work / "control"
        self.dirs = [self.work / "first", self.work / "second"]
        self.cluster = self.enterContext(Cluster(
            3, "--set", "auto.leader.rebalance.enable=false", "--set", "replica.lag.time.max.ms=3000",
            node_1={"data_dir": f"{self.dirs[0]},{self.dirs[1]}", # a list of two, as --data-dir takes it
                    "prefix": ["env", f"LD_PRELOAD={shim}", f"QT_DISK_CONTROL={self.control}"]}))
        self.acknowledged = []
        self.failed = []
        self.producer = Producer({"bootstrap.servers": self.cluster.addresses, "acks": "all", "log_level": 0,
                                  "message.timeout.ms": 60000})

    def produce(self):
        def delivered(error, message):
            (self.acknowledged if error is None else self.failed).append(
                (message.partition(), message.value() if error is None else str(error)))
        for partition in range(PARTITIONS):
            self.producer.produce("kept", str(len(self.acknowledged)), partition=partition, on_delivery=delivered)
        self.assertEqual(self.producer.flush(60), 0)
        self.assertEqual(self.failed, [])

    def rows(self):
        _, topic = self.cluster.broker(2).http("GET", "/v1/topics/kept")
        return {row["partition"]: row for row in topic["partitions"]}

    def read(self):
        consumer = Consumer({"bootstrap.servers": self.cluster.addresses, "group.id": "reader", "log_level": 0,
                             "enable.auto.commit": False})
        consumer.assign([TopicPartition("kept", p, 0) for p in range(PARTITIONS)])
        found = []
        wait_for(lambda: found.extend((m.partition(), m.value()) for m in consumer.consume(500, 0.5)
                                      if m.error() is None) or len(found) >= len(self.acknowledged), "all records")
        consumer.close()
        return found

    def test_a_directory_fails(self):
        self.cluster.create_topic("kept", PARTITIONS, 3, min_insync_replicas="2")
        for _ in range(5):
            self.produce()
        broken = {int(path.name.rsplit("-", 1)[1]) for path in self.dirs[1].glob("kept-*")}
        self.assertTrue(0 < len(broken) < PARTITIONS, broken)
        led = {p for p, row in self.rows().items() if row["leader"] == 1}
        self.assertTrue(led)
        self.control.write_text(f"fail {self.dirs[1]}")
        for _ in range(10):
            self.produce()
        wait_for(lambda: all((1 in row["isr"]) == (p not in broken) for p, row in self.rows().items()),
                 "broker 1 is in sync where its disk works, and nowhere else")
        for partition, row in self.rows().items():
            self.assertEqual(row["leader"] == 1, partition in led - broken)
        _, cluster = self.cluster.broker(1).http("GET", "/v1/cluster")
        self.assertEqual([bool(one["error"]) for one in cluster["log_dirs"]], [False, True])
        health = self.cluster.broker(1).qtool("cluster", "health", check=False)
        self.assertEqual(health.returncode, 8)
        self.assertIn(str(self.dirs[1]).encode(), health.stdout)
        self.control.unlink()
        self.assertEqual(self.cluster.broker(1).stop(), 1, "it ends, and says that not all was written")
        self.cluster.broker(1).restart()
        self.produce()
        wait_for(lambda: all(len(row["isr"]) == 3 for row in self.rows().values()), "all is whole again")
        self.assertEqual(sorted(self.read()), sorted(self.acknowledged))


if __name__ == "__main__":
    unittest.main()
