"""Kafka's tools for groups, transactions, quotas and log dirs, as processes.

QT_PEER=apache runs the same cases against a real Apache Kafka, by which they were written.
"""
import json
import os
import re
import subprocess
import tempfile
import threading
import time
import unittest

from confluent_kafka import Producer

from tests.interop import java_peer
from tests.interop.apache_kafka import peer

TOOLS = "org.apache.kafka.tools."
GROUPS = TOOLS + "consumer.group.ConsumerGroupCommand"
CONSOLE_CONSUMER = TOOLS + "consumer.ConsoleConsumer"
CONFIGS = "kafka.admin.ConfigCommand"


class GroupsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        java_peer.jars()
        cls.broker = cls.enterClassContext(peer())

    def tool(self, tool, *args, **options):
        return java_peer.run(tool, "--bootstrap-server", self.broker.address, *args, **options)

    def produce(self, topic, count, start=0):
        out = self.tool(TOOLS + "VerifiableProducer", "--topic", topic, "--max-messages", str(count),
                        "--acks", "-1", "--value-prefix", str(start), "--repeating-keys", "50")
        events = [json.loads(line) for line in out.splitlines()]
        sent = [e for e in events if e["name"] == "producer_send_success"]
        self.assertEqual(len(sent), count, out[-2000:])
        return sent

    def start_consumer(self, topic, group, *args):
        """A VerifiableConsumer that runs until it has its messages; .events are what it told."""
        process = java_peer.start(TOOLS + "VerifiableConsumer", "--bootstrap-server",
                                  self.broker.address, "--topic", topic, "--group-id", group,
                                  "--reset-policy", "earliest", *args)
        self.addCleanup(java_peer.end, process)
        process.events = []

        def follow():
            for line in process.stdout:
                process.events.append(json.loads(line))
        threading.Thread(target=follow, daemon=True).start()
        return process

    def wait_for(self, what, condition, timeout_s=60):
        deadline = time.monotonic() + timeout_s
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"no {what} in {timeout_s} s")
            time.sleep(0.1)

    @staticmethod
    def consumed(process):
        return sum(e["count"] for e in process.events if e["name"] == "records_consumed")

    @staticmethod
    def assigned(process):
        """Partitions it holds after the last rebalance it told of."""
        held = set()
        for event in process.events:
            parts = {p["partition"] for p in event.get("partitions", []) if "topic" in p}
            if event["name"] == "partitions_assigned":
                held |= parts
            elif event["name"] == "partitions_revoked":
                held -= parts
        return held

    def rows(self, group):
        """Partition -> (current offset, log end, lag) from --describe."""
        out = self.tool(GROUPS, "--describe", "--group", group)
        found = re.findall(rf"^{re.escape(group)}\s+\S+\s+(\d+)\s+(\d+|-)\s+(\d+)\s+(\d+|-)", out, re.M)
        return {int(p): (int(c) if c != "-" else None, int(e), int(lag) if lag != "-" else None)
                for p, c, e, lag in found}

    def members_come_and_go(self, protocol):
        topic, group = f"verified-{protocol}", f"group-{protocol}"
        self.broker.create_topic(topic, 4)
        sent = self.produce(topic, 2000)
        self.assertEqual({e["partition"] for e in sent}, {0, 1, 2, 3})
        first = self.start_consumer(topic, group, "--group-protocol", protocol)
        self.wait_for("all records", lambda: self.consumed(first) == 2000)
        self.assertEqual(self.assigned(first), {0, 1, 2, 3})
        second = self.start_consumer(topic, group, "--group-protocol", protocol)
        self.wait_for("two and two partitions", lambda: len(self.assigned(first)) == 2
                      and len(self.assigned(second)) == 2)
        self.assertEqual(self.assigned(first) | self.assigned(second), {0, 1, 2, 3})
        self.wait_for("commits", lambda: self.rows(group) and all(
            row[2] == 0 for row in self.rows(group).values()), 30)
        self.assertEqual(sum(row[0] for row in self.rows(group).values()), 2000)
        out = self.tool(GROUPS, "--describe", "--group", group, "--members", "--verbose")
        self.assertEqual(len(re.findall(rf"^{group}\s", out, re.M)), 2, out)
        out = self.tool(GROUPS, "--describe", "--group", group, "--state")
        self.assertRegex(out, r"Stable\s+2")
        java_peer.end(second)  # SIGTERM: it leaves the group
        self.wait_for("all partitions at the first again", lambda: len(self.assigned(first)) == 4)
        self.produce(topic, 100, 1)
        self.wait_for("the new records", lambda: self.consumed(first) == 2100)
        java_peer.end(first)
        self.wait_for("an empty group", lambda: "Empty" in self.tool(
            GROUPS, "--describe", "--group", group, "--state"), 30)

    def test_members_of_the_classic_protocol(self):
        self.members_come_and_go("classic")

    def test_members_of_the_consumer_protocol(self):
        self.members_come_and_go("consumer")

    def test_a_killed_member_is_missed_after_its_session(self):
        self.broker.create_topic("killed", 2)
        first = self.start_consumer("killed", "group-killed", "--session-timeout", "6000")
        second = self.start_consumer("killed", "group-killed", "--session-timeout", "6000")
        self.wait_for("one partition each", lambda: len(self.assigned(first)) == 1
                      and len(self.assigned(second)) == 1)
        second.kill()
        self.wait_for("both partitions", lambda: len(self.assigned(first)) == 2, 30)

    def test_console_consumer_goes_on_where_the_group_was(self):
        self.broker.create_topic("console-group")
        self.produce("console-group", 10)
        for expected in ("0.0 0.1 0.2 0.3", "0.4 0.5 0.6 0.7 0.8 0.9"):
            values = expected.split()
            out = self.tool(CONSOLE_CONSUMER, "--topic", "console-group", "--group", "console",
                            "--max-messages", str(len(values)), "--timeout-ms", "30000",
                            "--command-property", "auto.offset.reset=earliest")
            self.assertEqual(out.split(), values)

    def test_group_command(self):
        self.broker.create_topic("reset", 2)
        self.produce("reset", 100)
        reader = self.start_consumer("reset", "story", "--max-messages", "100")
        self.wait_for("all records", lambda: self.consumed(reader) == 100)
        reset = ("--reset-offsets", "--group", "story", "--topic", "reset")
        # It ends once it has its messages; until it left, the group may not be reset.
        self.assertEqual(reader.wait(30), 0)
        self.assertIn("story", self.tool(GROUPS, "--list").split())
        self.assertRegex(self.tool(GROUPS, "--list", "--state"), r"story\s+\S*\s*Empty")
        out = self.tool(GROUPS, *reset, "--to-earliest", "--dry-run")
        self.assertRegex(out, r"story\s+reset\s+0\s+0")
        ends = {p: row[1] for p, row in self.rows("story").items()}
        self.assertEqual(sum(ends.values()), 100)
        self.assertTrue(all(row[2] == 0 for row in self.rows("story").values()))
        self.tool(GROUPS, *reset, "--to-offset", "3", "--execute")
        self.assertEqual({row[0] for row in self.rows("story").values()}, {3})
        self.tool(GROUPS, *reset, "--shift-by", "-2", "--execute")
        self.assertEqual({row[0] for row in self.rows("story").values()}, {1})
        self.tool(GROUPS, *reset, "--to-latest", "--execute")
        self.assertEqual({p: row[0] for p, row in self.rows("story").items()}, ends)
        again = self.start_consumer("reset", "story")
        self.wait_for("a member", lambda: len(self.assigned(again)) == 2)
        out = self.tool(GROUPS, *reset, "--to-earliest", "--execute", check=False)
        self.assertIn("inactive", out.stdout + out.stderr)
        out = self.tool(GROUPS, "--delete", "--group", "story", check=False)
        self.assertIn("GroupNotEmptyException", out.stdout + out.stderr)
        out = self.tool(GROUPS, "--delete-offsets", "--group", "story", "--topic", "reset", check=False)
        self.assertIn("GroupSubscribedToTopicException", out.stdout + out.stderr)
        java_peer.end(again)
        self.wait_for("an empty group", lambda: "Empty" in self.tool(
            GROUPS, "--describe", "--group", "story", "--state"), 30)
        self.tool(GROUPS, "--delete-offsets", "--group", "story", "--topic", "reset:1")
        self.assertEqual(list(self.rows("story")), [0])
        self.assertIn("was successful", self.tool(GROUPS, "--delete", "--group", "story"))
        self.assertNotIn("story", self.tool(GROUPS, "--list").split())
        missing = self.tool(GROUPS, "--describe", "--group", "story", check=False)
        self.assertIn("GroupIdNotFoundException", missing.stdout + missing.stderr)

    def test_performance_tools(self):
        self.broker.create_topic("measured", 2)
        out = java_peer.run(TOOLS + "ProducerPerformance", "--topic", "measured", "--num-records", "20000",
                            "--record-size", "100", "--throughput", "-1", "--transactional-id", "measured",
                            "--transaction-duration-ms", "200", "--command-property",
                            f"bootstrap.servers={self.broker.address}", "acks=all")
        self.assertIn("20000 records sent", out)
        out = self.tool(TOOLS + "ConsumerPerformance", "--topic", "measured", "--num-records", "20000",
                        "--hide-header", "--timeout", "20000", "--command-property",
                        "isolation.level=read_committed")
        self.assertEqual(int(float(out.split(", ")[4])), 20000, out)
        out = java_peer.run(TOOLS + "EndToEndLatency", "--bootstrap-server", self.broker.address, "--topic",
                            "measured", "--num-records", "200", "--producer-acks", "all", "--record-size", "100")
        self.assertIn("Avg latency", out)

    def test_transactions_command(self):
        self.broker.create_topic("hanging")
        command = TOOLS + "TransactionsCommand"
        producer = Producer({"bootstrap.servers": self.broker.address, "transactional.id": "ours",
                             "log_level": 0})
        producer.init_transactions(30)
        producer.begin_transaction()
        producer.produce("hanging", "open")
        producer.flush(30)
        out = self.tool(command, "list")
        self.assertRegex(out, r"ours\s+\d+\s+\d+\s+Ongoing")
        out = self.tool(command, "describe", "--transactional-id", "ours")
        self.assertRegex(out, r"ours\s+\d+\s+0\s+Ongoing\s+60000\s+\S+ \S+|ours\s.*Ongoing")
        self.assertIn("hanging-0", out)
        out = self.tool(command, "describe-producers", "--topic", "hanging", "--partition", "0")
        rows = [line.split() for line in out.splitlines() if re.match(r"\d+\s", line)]
        self.assertEqual(len(rows), 1, out)
        self.assertEqual(rows[0][-1], "0", "its transaction starts at offset 0")
        committed = ("--topic", "hanging", "--from-beginning", "--timeout-ms", "3000",
                     "--isolation-level", "read_committed")
        seen = self.tool(CONSOLE_CONSUMER, *committed, check=False)
        self.assertEqual(seen.stdout, "")
        self.tool(command, "abort", "--topic", "hanging", "--partition", "0", "--start-offset", "0")
        out = self.tool(command, "describe-producers", "--topic", "hanging", "--partition", "0")
        rows = [line.split() for line in out.splitlines() if re.match(r"\d+\s", line)]
        self.assertEqual(rows[0][-1], "None", out)
        out = self.tool(command, "describe", "--transactional-id", "nobody", check=False)
        self.assertNotEqual(out.returncode, 0)

    def alter(self, *args):
        self.tool(CONFIGS, "--alter", *args)

    def describe(self, *args):
        return self.tool(CONFIGS, "--describe", *args)

    def test_quotas_of_users(self):
        alter, describe = self.alter, self.describe
        user = ("--entity-type", "users", "--entity-name", "alice")
        client = ("--entity-type", "clients", "--entity-name", "tests")
        alter(*user, "--add-config", "producer_byte_rate=1048576,request_percentage=50.5")
        alter(*user, *client, "--add-config", "consumer_byte_rate=2097152")
        self.assertRegex(describe(*user), r"(?s)user-principal 'alice'.*producer_byte_rate=1048576")
        self.assertIn("consumer_byte_rate=2097152", describe(*user, *client))
        alter(*user, "--delete-config", "request_percentage")
        self.assertNotIn("request_percentage", describe(*user))
        bad = self.tool(CONFIGS, "--alter", *user, "--add-config", "no_such_quota=1", check=False)
        self.assertNotEqual(bad.stdout + bad.stderr, "")

    def test_quotas_of_clients(self):
        everyone = ("--entity-type", "clients", "--entity-default")
        self.alter(*everyone, "--add-config", "producer_byte_rate=9999999")
        self.assertIn("producer_byte_rate=9999999", self.describe(*everyone))

    @unittest.skipIf(os.environ.get("QT_PEER") == "apache", "Kafka has threads that compact")
    def test_threads_of_the_cleaner_are_refused_with_the_reason(self):
        # Compaction runs on the cores that own the partitions: there is no number of threads to set.
        broker = ("--entity-type", "brokers", "--entity-name", "1")
        refused = self.tool(CONFIGS, "--alter", *broker, "--add-config", "log.cleaner.threads=2", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertRegex(refused.stdout + refused.stderr, "InvalidConfigurationException.*log.cleaner.threads")

    def test_configs_of_brokers(self):
        alter, describe = self.alter, self.describe
        broker = ("--entity-type", "brokers", "--entity-name", "1")
        everyone = ("--entity-type", "brokers", "--entity-default")
        alter(*everyone, "--add-config", "log.retention.ms=86400000")
        self.assertIn("log.retention.ms=86400000", describe(*everyone))
        alter(*everyone, "--delete-config", "log.retention.ms")
        self.assertNotIn("log.retention.ms=86400000", describe(*everyone))
        refused = self.tool(CONFIGS, "--alter", *broker, "--add-config", "node.id=7", check=False)
        self.assertRegex(refused.stdout + refused.stderr, "InvalidRequest|Cannot update")

    def test_configs_of_groups(self):
        group = ("--entity-type", "groups", "--entity-name", "tuned")
        self.alter(*group, "--add-config", "consumer.session.timeout.ms=50000")
        self.assertIn("consumer.session.timeout.ms=50000", self.describe(*group))
        bad = self.tool(CONFIGS, "--alter", *group, "--add-config", "consumer.session.timeout.ms=1", check=False)
        self.assertIn("InvalidConfigurationException", bad.stdout + bad.stderr)

    def test_log_dirs_and_versions(self):
        self.broker.create_topic("placed", 2)
        self.produce("placed", 100)
        out = self.tool(TOOLS + "LogDirsCommand", "--describe", "--topic-list", "placed")
        found = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
        partitions = {p["partition"]: p["size"] for broker in found["brokers"] for d in broker["logDirs"]
                      for p in d["partitions"]}
        self.assertEqual(set(partitions), {"placed-0", "placed-1"})
        self.assertGreater(sum(partitions.values()), 100)
        out = self.tool(TOOLS + "BrokerApiVersionsCommand")
        self.assertRegex(out, r"ConsumerGroupHeartbeat\(68\): 0 to 1")
        self.assertNotIn("UNSUPPORTED", "".join(
            line for line in out.splitlines(True) if re.search(r"\((8|9|1[0-6]|2[4-8]|47|48|49|68|69)\)", line)))


if __name__ == "__main__":
    unittest.main()
