"""The group protocol of KIP-848 with the Java client: groups that change their protocol while they
live, static members, the range assignor, subscriptions by expression. QT_PEER=apache: see
apache_kafka.py.
"""
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import time
import unittest

from tests.interop import java_peer
from tests.interop.apache_kafka import peer

TOOLS = "org.apache.kafka.tools."
GROUPS = TOOLS + "consumer.group.ConsumerGroupCommand"
SOURCE = pathlib.Path(__file__).resolve().parent / "PatternConsumer.java"


class ConsumerProtocolTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = pathlib.Path(tempfile.mkdtemp(prefix="consumer-protocol-"))
        cls.addClassCleanup(shutil.rmtree, cls.work, ignore_errors=True)
        subprocess.run(["javac", "-cp", f"{java_peer.jars()}/*", "-d", str(cls.work), str(SOURCE)],
                       check=True)
        cls.broker = cls.enterClassContext(peer())

    def tool(self, tool, *args):
        return java_peer.run(tool, "--bootstrap-server", self.broker.address, *args)

    def produce(self, topic, count):
        self.tool(TOOLS + "VerifiableProducer", "--topic", topic, "--max-messages", str(count),
                  "--acks", "-1")

    def follow(self, process, parse):
        process.events = []

        def read():
            for line in process.stdout:
                process.events.append(parse(line))
        threading.Thread(target=read, daemon=True).start()
        self.addCleanup(java_peer.end, process)
        return process

    def start(self, topic, group, protocol, *args):
        return self.follow(java_peer.start(
            TOOLS + "VerifiableConsumer", "--bootstrap-server", self.broker.address, "--topic",
            topic, "--group-id", group, "--reset-policy", "earliest", "--group-protocol", protocol,
            *args), json.loads)

    def wait_for(self, what, condition, timeout_s=60):
        deadline = time.monotonic() + timeout_s
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"no {what} in {timeout_s} s")
            time.sleep(0.1)

    @staticmethod
    def assigned(process):
        held = set()
        for event in process.events:
            parts = {p["partition"] for p in event.get("partitions", []) if "topic" in p}
            if event["name"] == "partitions_assigned":
                held |= parts
            elif event["name"] == "partitions_revoked":
                held -= parts
        return held

    @staticmethod
    def consumed(process):
        return sum(e["count"] for e in process.events if e["name"] == "records_consumed")

    def kind(self, group):
        out = self.tool(GROUPS, "--list", "--type")
        found = re.search(rf"^{group}\s+(\S+)", out, re.M)
        return found.group(1) if found else None

    def test_a_group_is_upgraded_and_downgraded_while_it_works(self):
        topic, group = "moving", "group-moving"
        self.broker.create_topic(topic, 4)
        self.produce(topic, 400)
        old = self.start(topic, group, "classic")
        self.wait_for("all of them", lambda: self.consumed(old) == 400)
        self.assertEqual(self.kind(group), "Classic")
        fresh = self.start(topic, group, "consumer")
        self.wait_for("two and two", lambda: len(self.assigned(old)) == 2 and
                      len(self.assigned(fresh)) == 2)
        self.assertEqual(self.assigned(old) | self.assigned(fresh), {0, 1, 2, 3})
        self.assertEqual(self.kind(group), "Consumer")
        self.produce(topic, 200)
        self.wait_for("the new ones", lambda: self.consumed(old) + self.consumed(fresh) == 600)
        java_peer.end(fresh)
        self.wait_for("all partitions at the classic member", lambda: len(self.assigned(old)) == 4)
        self.assertEqual(self.kind(group), "Classic")
        self.produce(topic, 100)
        self.wait_for("the last ones", lambda: self.consumed(old) >= 300)
        total = self.consumed(old) + self.consumed(fresh)
        self.wait_for("everything once", lambda: self.consumed(old) + self.consumed(fresh) == 700)
        self.assertLessEqual(total, 700)

    def test_static_members_keep_their_partitions(self):
        topic, group = "static", "group-static"
        self.broker.create_topic(topic, 4)
        first = self.start(topic, group, "consumer", "--group-instance-id", "one")
        second = self.start(topic, group, "consumer", "--group-instance-id", "two")
        self.wait_for("two and two", lambda: len(self.assigned(first)) == 2 and
                      len(self.assigned(second)) == 2)
        held = self.assigned(first)
        java_peer.end(first)
        again = self.start(topic, group, "consumer", "--group-instance-id", "one")
        self.wait_for("the same partitions", lambda: self.assigned(again) == held)
        self.assertEqual(len(self.assigned(second)), 2)
        out = self.tool(GROUPS, "--describe", "--group", group, "--members", "--verbose")
        self.assertIn("one", out)

    def test_the_range_assignor(self):
        topic, group = "ranges", "group-ranges"
        self.broker.create_topic(topic, 4)
        members = [self.start(topic, group, "consumer", "--group-remote-assignor", "range")
                   for _ in range(2)]
        self.wait_for("neighbours", lambda: sorted(sorted(self.assigned(m)) for m in members) ==
                      [[0, 1], [2, 3]])

    def test_a_subscription_by_expression(self):
        for topic in ("log-a", "log-b", "other-log-c"):
            self.broker.create_topic(topic)
        self.produce("log-a", 5)
        process = self.follow(java_peer.start(
            "PatternConsumer", self.broker.address, "group-pattern", "log-.*",
            class_path=self.work), str.strip)
        self.wait_for("both topics and the records", lambda: {"assigned log-a", "assigned log-b"} <=
                      set(process.events) and sum(e.startswith("read") for e in process.events) == 5)
        self.assertNotIn("assigned other-log-c", process.events)
        self.broker.create_topic("log-d")
        self.wait_for("the new topic", lambda: "assigned log-d" in process.events)
        self.assertFalse([e for e in process.events if e.startswith("failed")])


if __name__ == "__main__":
    unittest.main()
