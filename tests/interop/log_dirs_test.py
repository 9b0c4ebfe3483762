"""Moves between log directories asked for by Kafka's Admin client and by kafka-reassign-partitions,
and seen by kafka-log-dirs.

QT_PEER=apache runs the same cases against a real Apache Kafka, by which they were written.
"""
import json
import os
import pathlib
import tempfile
import time
import unittest

from tests.harness.broker import Broker
from tests.interop import java_peer
from tests.interop.apache_kafka import ApacheKafka

SOURCE = pathlib.Path(__file__).resolve().parent / "LogDirMover.java"
LOG_DIRS = "org.apache.kafka.tools.LogDirsCommand"
REASSIGN = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
THROTTLE = "replica.alter.log.dirs.io.max.bytes.per.second"
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

    def reassign(self, plan, *args, check=True):
        path = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())) / "plan.json"
        path.write_text(json.dumps({"version": 1, "partitions": plan}))
        return java_peer.run(REASSIGN, "--bootstrap-server", self.broker.address,
                             "--reassignment-json-file", str(path), *args, check=check)

    def test_kafka_reassign_partitions(self):
        self.broker.create_topic("assigned", 2)
        java_peer.run(VERIFIABLE_PRODUCER, "--bootstrap-server", self.broker.address, "--topic", "assigned",
                      "--max-messages", "20000", "--acks", "-1")
        at, _ = self.places("assigned")
        other = {dir: next(d for d in self.dirs if d != dir) for dir in self.dirs}
        wanted = {name: other[dir] for name, dir in at.items()}
        plan = [{"topic": "assigned", "partition": int(name.rsplit("-")[-1]), "replicas": [self.number],
                 "log_dirs": [dir]} for name, dir in sorted(wanted.items())]
        out = self.reassign(plan, "--execute", "--replica-alter-log-dirs-throttle", "100000000")
        for name, dir in wanted.items():
            self.assertIn(f"Successfully started moving log directory to {dir} for replica {name}", out)
        deadline = time.monotonic() + 60
        while out.count("completed successfully") < 2 and time.monotonic() < deadline:
            out = self.reassign(plan, "--verify")
        for name in wanted:
            self.assertIn(f"Reassignment of replica {name}-{self.number} completed successfully.", out)
        self.assertEqual(self.places("assigned"), (wanted, []))
        # The verification that found all done has taken the throttle away.
        described = java_peer.run("kafka.admin.ConfigCommand", "--bootstrap-server",
                                  self.broker.address, "--entity-type", "brokers", "--entity-name",
                                  str(self.number), "--describe")
        self.assertNotIn(THROTTLE, described)

    def test_kafka_reassign_partitions_is_refused(self):
        self.broker.create_topic("unmoved", 1)
        at, _ = self.places("unmoved")
        plan = [{"topic": "unmoved", "partition": 0, "replicas": [self.number], "log_dirs": ["/no/such"]}]
        done = self.reassign(plan, "--execute", "--timeout", "1000", check=False)
        self.assertIn("LogDirNotFoundException", done.stdout + done.stderr)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(self.places("unmoved"), (at, []))


if __name__ == "__main__":
    unittest.main()
