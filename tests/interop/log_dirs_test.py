"""Moves between log directories asked for by Kafka's Admin client and seen by kafka-log-dirs.

QT_PEER=apache runs the same cases against a real Apache Kafka, by which they were written.
(kafka-reassign-partitions moves, too, but asks for AlterPartitionReassignments first.)
"""
import json
import os
import pathlib
import tempfile
import unittest

from tests.harness.broker import Broker
from tests.interop import java_peer
from tests.interop.apache_kafka import ApacheKafka

SOURCE = pathlib.Path(__file__).resolve().parent / "LogDirMover.java"
LOG_DIRS = "org.apache.kafka.tools.LogDirsCommand"
VERIFIABLE_PRODUCER = "org.apache.kafka.tools.VerifiableProducer"


class LogDirsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        java_peer.jars()
        if os.environ.get("QT_PEER") == "apache":
            cls.broker = cls.enterClassContext(ApacheKafka(data_dirs=2))
            cls.dirs = list(map(str, cls.broker.data_dirs))
        else:
            work = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
            cls.dirs = [str(work / "a"), str(work / "b")]
            cls.broker = cls.enterClassContext(Broker("--set", "log.dir.reserve.bytes=0",
                                                      data_dir=",".join(cls.dirs)))

    def places(self, topic):
        """Directory of each partition, and the partitions on their way, by kafka-log-dirs."""
        out = java_peer.run(LOG_DIRS, "--bootstrap-server", self.broker.address, "--describe",
                            "--topic-list", topic)
        found = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
        (broker,) = found["brokers"]
        self.number = broker["broker"]
        at, future = {}, []
        for directory in broker["logDirs"]:
            self.assertIsNone(directory["error"])
            for partition in directory["partitions"]:
                if partition["isFuture"]:
                    future.append(partition["partition"])
                else:
                    at[partition["partition"]] = directory["logDir"]
        return at, future

    def move(self, directory, topic, *partitions):
        out = java_peer.run(str(SOURCE), self.broker.address, str(self.number), directory, topic,
                            *map(str, partitions))
        return out.splitlines()

    def test_there_and_back(self):
        self.broker.create_topic("moved", 2)
        java_peer.run(VERIFIABLE_PRODUCER, "--bootstrap-server", self.broker.address, "--topic", "moved",
                      "--max-messages", "20000", "--acks", "-1")
        at, future = self.places("moved")
        self.assertEqual(set(at), {"moved-0", "moved-1"})
        self.assertEqual(future, [])
        for directory in (self.dirs[1], self.dirs[0], self.dirs[1]):
            self.assertEqual(self.move(directory, "moved", 0, 1)[-1], "moved 2")
            self.assertEqual(self.places("moved"), ({"moved-0": directory, "moved-1": directory}, []))

    def test_refused(self):
        self.broker.create_topic("stays", 1)
        self.places("stays")
        self.assertEqual(self.move("/no/such", "stays", 0), ["failed LogDirNotFoundException"])


if __name__ == "__main__":
    unittest.main()
