"""Kafka Connect with its file connectors: one process standing alone, and a distributed worker that
keeps connectors, offsets and status in three compacted topics, also through kill -9.

QT_PEER=apache runs the same cases against a real Apache Kafka.
"""
import http.client
import json
import pathlib
import shutil
import tempfile
import time
import unittest

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from tests.interop import java_peer
from tests.interop.apache_kafka import free_port, peer

CLI = "org.apache.kafka.connect.cli."
FILE = "org.apache.kafka.connect.file."
STRINGS = "org.apache.kafka.connect.storage.StringConverter"
# The class path of the tests holds every connector: no need to look for more.
COMMON = {"key.converter": STRINGS, "value.converter": STRINGS, "offset.flush.interval.ms": 500,
          "plugin.discovery": "only_scan"}


class ConnectTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        java_peer.jars()
        cls.broker = cls.enterClassContext(peer())

    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="connect-test-"))
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)
        self.port = free_port()

    def properties(self, name, entries):
        path = self.work / name
        path.write_text("".join(f"{key}={value}\n" for key, value in entries.items()))
        return str(path)

    def worker(self, name, **entries):
        return self.properties(name, {
            **COMMON, "bootstrap.servers": self.broker.address, "listeners": f"HTTP://127.0.0.1:{self.port}",
            **{key.replace("_", "."): value for key, value in entries.items()}})

    def start(self, tool, *files):
        log = open(self.work / "log", "a")
        self.addCleanup(log.close)
        process = java_peer.start(CLI + tool, *files, log=log)
        self.addCleanup(java_peer.end, process)
        return process

    def rest(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body),
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
            is_json = "json" in answer.getheader("Content-Type", "")  # HTML while it starts
            return answer.status, json.loads(text) if is_json and text else text
        finally:
            connection.close()

    def wait_for(self, what, condition, timeout_s=90):
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                if condition():
                    return
            except (OSError, http.client.HTTPException):
                pass  # its REST server is not up yet
            self.assertLess(time.monotonic(), deadline,
                            f"no {what} in {timeout_s} s:\n" + (self.work / "log").read_text()[-4000:])
            time.sleep(0.2)

    def is_running(self, connector):
        status, answer = self.rest("GET", f"/connectors/{connector}/status")
        return (status == 200 and answer["connector"]["state"] == "RUNNING"
                and [task["state"] for task in answer["tasks"]] == ["RUNNING"])

    def lines_in_topic(self, topic, count, timeout_s=60):
        """What a read_committed consumer sees: `count` lines, and what else comes within a second."""
        consumer = Consumer({"bootstrap.servers": self.broker.address, "group.id": "unused", "log_level": 0,
                             "isolation.level": "read_committed", "enable.auto.commit": False,
                             "enable.partition.eof": True})
        try:
            consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
            lines, deadline = [], time.monotonic() + timeout_s
            while time.monotonic() < deadline:
                for message in consumer.consume(1000, 1.0):
                    if message.error() is None:
                        lines.append(message.value().decode())
                    elif message.error().code() != KafkaError._PARTITION_EOF:
                        self.fail(str(message.error()))
                if len(lines) >= count:
                    deadline = min(deadline, time.monotonic() + 1)
            return lines
        finally:
            consumer.close()

    def append(self, path, lines):
        with open(path, "a") as file:
            file.write("".join(line + "\n" for line in lines))

    def test_standalone(self):
        source, sink = self.work / "source.txt", self.work / "sink.txt"
        lines = [f"line {n}" for n in range(500)]
        self.append(source, lines)
        self.broker.create_topic("connect-alone")
        worker = self.worker("worker", offset_storage_file_filename=self.work / "offsets")
        files = (worker,
                 self.properties("source", {"name": "alone-source", "connector.class": FILE + "FileStreamSourceConnector",
                                            "tasks.max": 1, "file": source, "topic": "connect-alone"}),
                 self.properties("sink", {"name": "alone-sink", "connector.class": FILE + "FileStreamSinkConnector",
                                          "tasks.max": 1, "file": sink, "topics": "connect-alone"}))
        process = self.start("ConnectStandalone", *files)
        self.wait_for("all lines", lambda: sink.exists() and sink.read_text().splitlines() == lines)
        java_peer.end(process)
        more = [f"more {n}" for n in range(100)]
        self.append(source, more)
        process = self.start("ConnectStandalone", *files)
        # Offsets of the source lie in a file, those of the sink in its consumer group.
        self.wait_for("the new lines", lambda: sink.read_text().splitlines() == lines + more)

    def test_distributed_exactly_once_through_kills(self):
        source, sink = self.work / "source.txt", self.work / "sink.txt"
        worker = self.worker(
            "worker", group_id="connect-cluster", exactly_once_source_support="enabled",
            config_storage_topic="connect-configs", config_storage_replication_factor=1,
            offset_storage_topic="connect-offsets", offset_storage_replication_factor=1,
            offset_storage_partitions=5, status_storage_topic="connect-status",
            status_storage_replication_factor=1, session_timeout_ms=6000, heartbeat_interval_ms=1000,
            rebalance_timeout_ms=6000, scheduled_rebalance_max_delay_ms=0)
        self.append(source, ["begin"])
        self.broker.create_topic("connect-shared")
        process = self.start("ConnectDistributed", worker)
        self.wait_for("REST server", lambda: self.rest("GET", "/connectors")[0] == 200)
        for name, config in (("shared-source", {"connector.class": FILE + "FileStreamSourceConnector", "tasks.max": "1",
                                                "file": str(source), "topic": "connect-shared"}),
                             ("shared-sink", {"connector.class": FILE + "FileStreamSinkConnector", "tasks.max": "1",
                                              "file": str(sink), "topics": "connect-shared"})):
            self.wait_for(f"connector {name}", lambda: self.rest(
                "PUT", f"/connectors/{name}/config", config)[0] in (200, 201))
        self.wait_for("source", lambda: self.is_running("shared-source"))
        self.wait_for("sink", lambda: self.is_running("shared-sink"))
        lines = ["begin"]
        for round_ in range(3):
            for n in range(20):
                part = [f"line {round_}.{n}.{i}" for i in range(20)]
                lines += part
                self.append(source, part)
                time.sleep(0.05)
            process.kill()
            process.wait()
            process = self.start("ConnectDistributed", worker)
            self.wait_for("source again", lambda: self.is_running("shared-source"))
            self.wait_for("sink again", lambda: self.is_running("shared-sink"))
        self.assertEqual(self.lines_in_topic("connect-shared", len(lines)), lines)
        # A sink may repeat lines after a kill, and loses none.
        self.wait_for("all lines in the sink", lambda: set(sink.read_text().splitlines()) == set(lines))
        for topic in ("connect-configs", "connect-offsets", "connect-status"):
            out = java_peer.run("kafka.admin.ConfigCommand", "--bootstrap-server", self.broker.address,
                                "--describe", "--entity-type", "topics", "--entity-name", topic)
            self.assertIn("cleanup.policy=compact", out)
        status, _ = self.rest("DELETE", "/connectors/shared-sink")
        self.assertEqual(status, 204)
        self.wait_for("deleted sink", lambda: self.rest("GET", "/connectors")[1] == ["shared-source"])


if __name__ == "__main__":
    unittest.main()
