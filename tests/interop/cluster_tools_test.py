"""Kafka's own tools where there are several brokers: views of what is missing, reassignments, elections, configs.

One cluster of three on etcd is shared; a case leaves all brokers live. A JVM takes more than a second to start, so the
cases are few and each follows one story.
"""
import json
import pathlib
import re
import subprocess
import tempfile
import unittest

from confluent_kafka import Producer

from tests.harness.cluster import Cluster, wait_for
from tests.interop import java_peer

TOPICS = "org.apache.kafka.tools.TopicCommand"
REASSIGN = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
ELECT = "org.apache.kafka.tools.LeaderElectionCommand"
GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
CONSOLE_CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"
CONFIGS = "kafka.admin.ConfigCommand"


class ClusterToolsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        java_peer.jars()
        cls.cluster = cls.enterClassContext(Cluster(
            3, "--set", "offsets.topic.replication.factor=3", "--set", "auto.leader.rebalance.enable=false"))
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))

    def tearDown(self):
        for broker in self.cluster.brokers:
            if not broker.is_running():
                broker.restart()
        self.wait_healthy()

    def tool(self, tool, *args, **options):
        return java_peer.run(tool, "--bootstrap-server", self.cluster.addresses, *args, **options)

    def create(self, name, *placements, **configs):
        """A topic whose partitions are where the placements say: (1, 2), ..."""
        configs = [part for key, value in configs.items()
                   for part in ("--config", f"{key.replace('_', '.')}={value}")]
        self.tool(TOPICS, "--create", "--topic", name, *configs, "--replica-assignment",
                  ",".join(":".join(map(str, brokers)) for brokers in placements))

    def produce(self, topic, partition, count, size=10):
        failed = []
        producer = Producer({"bootstrap.servers": self.cluster.addresses, "acks": "all", "log_level": 0})
        for _ in range(count):
            producer.produce(topic, b"x" * size, partition=partition,
                             on_delivery=lambda error, _: error and failed.append(str(error)))
        self.assertEqual((producer.flush(60), failed), (0, []))

    def partitions(self, topic, node=1):
        """Partition -> its row of /v1/topics, as the broker sees it."""
        status, found = self.cluster.broker(node).http("GET", f"/v1/topics/{topic}")
        self.assertEqual(status, 200, found)
        return {row["partition"]: row for row in found["partitions"]}

    def wait_for_isr(self, topic, partition, isr, node=1):
        wait_for(lambda: sorted(self.partitions(topic, node)[partition]["isr"]) == sorted(isr),
                 f"{topic}-{partition} has the ISR {isr}")

    def wait_healthy(self):
        wait_for(lambda: all(Cluster.live(broker) == 3 and broker.http("GET", "/v1/cluster")[1]["problems"] == []
                             for broker in self.cluster.brokers), "all is well again", 90)

    def file(self, name, value):
        (self.folder / name).write_text(json.dumps(value))
        return str(self.folder / name)

    def named(self, *view):
        """What --describe with this view names."""
        return set(re.findall(r"Topic: (\S+)\s+Partition: (\d+)", self.tool(TOPICS, "--describe", *view)))

    def test_views_of_what_is_missing(self):
        self.create("whole", (1, 2), (2, 1))
        self.create("strict", (1, 2, 3), min_insync_replicas=3)
        self.create("thin", (2, 3, 1), min_insync_replicas=2)
        self.create("alone", (3,), (1,))
        self.cluster.broker(3).kill()
        self.wait_for_isr("strict", 0, {1, 2})
        self.wait_for_isr("thin", 0, {1, 2})
        ours = {("whole", "0"), ("whole", "1"), ("strict", "0"), ("thin", "0"), ("alone", "0"), ("alone", "1")}
        # The last member of an ISR stays in it: who is alone and gone is not missing from one, but leads nothing.
        self.assertEqual(self.named("--under-replicated-partitions") & ours, {("strict", "0"), ("thin", "0")})
        self.assertEqual(self.named("--under-min-isr-partitions") & ours, {("strict", "0"), ("alone", "0")})
        self.assertEqual(self.named("--at-min-isr-partitions") & ours, {("thin", "0"), ("alone", "0"), ("alone", "1")})
        self.assertEqual(self.named("--unavailable-partitions") & ours, {("alone", "0")})
        listed = subprocess.run(["kcat", "-L", "-J", "-b", self.cluster.broker(1).address], capture_output=True,
                                check=True, timeout=60)
        listed = json.loads(listed.stdout)
        self.assertEqual({one["id"] for one in listed["brokers"]}, {1, 2})
        (strict,) = (one for one in listed["topics"] if one["topic"] == "strict")
        self.assertEqual({one["id"] for one in strict["partitions"][0]["replicas"]}, {1, 2, 3})
        self.assertEqual({one["id"] for one in strict["partitions"][0]["isrs"]}, {1, 2})
        self.cluster.broker(3).restart()
        self.wait_healthy()
        self.assertEqual(self.named("--under-replicated-partitions"), set())

    def test_partitions_move(self):
        self.create("moved", (1, 2), (2, 1))
        for partition in (0, 1):
            self.produce("moved", partition, 1000, 1000)
        out = self.tool(REASSIGN, "--generate", "--broker-list", "2,3", "--topics-to-move-json-file",
                        self.file("topics", {"version": 1, "topics": [{"topic": "moved"}]}))
        proposed = json.loads(out.strip().splitlines()[-1])
        self.assertEqual({r for p in proposed["partitions"] for r in p["replicas"]}, {2, 3})
        plan = self.file("plan", {"version": 1, "partitions": [
            {"topic": "moved", "partition": p, "replicas": [2, 3]} for p in (0, 1)]})
        # A kilobyte a second: it does not end before it has been looked at, and given up.
        out = self.tool(REASSIGN, "--execute", "--reassignment-json-file", plan, "--throttle", "1000")
        self.assertIn("Successfully started partition reassignments for moved-0,moved-1", out)
        self.assertRegex(self.tool(REASSIGN, "--list"), r"moved-0: replicas: \S*3.* adding: 3")
        self.assertRegex(self.tool(REASSIGN, "--verify", "--reassignment-json-file", plan, "--preserve-throttles"),
                         "Reassignment of partition moved-0 is still in progress")
        out = self.tool(CONFIGS, "--describe", "--entity-type", "topics", "--entity-name", "moved")
        self.assertRegex(out, r"follower.replication.throttled.replicas=\S*0:3")
        self.assertRegex(out, r"leader.replication.throttled.replicas=\S*0:1")
        out = self.tool(REASSIGN, "--cancel", "--reassignment-json-file", plan)
        self.assertIn("Successfully cancelled partition reassignments for: moved-0,moved-1", out)
        self.assertIn("No partition reassignments found", self.tool(REASSIGN, "--list"))
        # In the order of the plan, which is what Kafka leaves, too.
        self.assertEqual({tuple(row["replicas"]) for row in self.partitions("moved").values()}, {(2, 1)})
        self.tool(REASSIGN, "--execute", "--reassignment-json-file", plan, "--throttle", "100000000")
        wait_for(lambda: all(row["replicas"] == [2, 3] and sorted(row["isr"]) == [2, 3]
                             for row in self.partitions("moved").values()), "all have moved")
        out = self.tool(REASSIGN, "--verify", "--reassignment-json-file", plan)
        self.assertIn("Reassignment of partition moved-1 is completed", out)
        for kind, name in (("topics", "moved"), ("brokers", "2")):
            self.assertNotIn("throttled", self.tool(CONFIGS, "--describe", "--entity-type", kind,
                                                    "--entity-name", name), "--verify takes the limits away")

    def test_leaders_are_elected(self):
        self.create("elected", (3, 1), (3, 1))
        self.create("unclean", (3, 2))
        unclean = ("--election-type", "unclean", "--topic", "unclean", "--partition", "0")
        self.cluster.broker(3).kill()
        self.wait_for_isr("unclean", 0, {2})
        self.produce("unclean", 0, 10)
        self.cluster.broker(2).kill()
        wait_for(lambda: Cluster.live(self.cluster.broker(1)) == 1, "broker 1 is alone")
        self.cluster.broker(3).restart()
        wait_for(lambda: Cluster.live(self.cluster.broker(1)) == 2, "broker 3 is back")
        self.assertIn(("unclean", "0"), self.named("--unavailable-partitions"))
        self.assertIn("Successfully completed leader election (UNCLEAN) for partitions unclean-0",
                      self.tool(ELECT, *unclean))
        self.assertEqual(self.partitions("unclean")[0]["leader"], 3)
        self.cluster.broker(2).restart()
        self.wait_healthy()
        self.assertEqual(self.partitions("elected")[0]["leader"], 1)
        preferred = ("--election-type", "preferred", "--path-to-json-file", self.file("elected", {
            "partitions": [{"topic": "elected", "partition": p} for p in (0, 1)]}))
        self.assertRegex(self.tool(ELECT, *preferred), r"completed leader election \(PREFERRED\).*elected-[01]")
        self.assertEqual({row["leader"] for row in self.partitions("elected").values()}, {3})
        self.assertRegex(self.tool(ELECT, *preferred), "Valid replica already elected for partitions")

    def test_groups_and_options_of_several_brokers(self):
        self.create("read", (1,), (2,), (3,))
        for partition in range(3):
            self.produce("read", partition, 10)
        for group in ("first", "second", "third"):
            out = self.tool(CONSOLE_CONSUMER, "--topic", "read", "--group", group, "--max-messages", "30",
                            "--timeout-ms", "30000", "--command-property", "auto.offset.reset=earliest")
            self.assertEqual(len(out.split()), 30)
        self.assertLessEqual({"first", "second", "third"}, set(self.tool(GROUPS, "--list").split()))
        out = self.tool(GROUPS, "--describe", "--all-groups", "--offsets")
        for group in ("first", "second", "third"):
            self.assertEqual(len(re.findall(rf"^{group}\s+read\s+[012]\s+10\s+10\s+0\s", out, re.M)), 3, out)
        self.assertEqual(len(re.findall(r"Empty", self.tool(GROUPS, "--describe", "--all-groups", "--state"))), 3)
        for node in (2, 3):
            one = ("--entity-type", "brokers", "--entity-name", str(node))
            self.tool(CONFIGS, "--alter", *one, "--add-config", f"log.retention.ms={node}00000000")
        for node in (2, 3):
            self.assertIn(f"log.retention.ms={node}00000000", self.tool(
                CONFIGS, "--describe", "--entity-type", "brokers", "--entity-name", str(node)))


if __name__ == "__main__":
    unittest.main()
