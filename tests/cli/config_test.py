"""Options of brokers, groups and topics, and client quotas, set while the broker runs."""
import json

from tests.cli.cli_case import CliCase


class ConfigTest(CliCase):
    def test_broker_defaults_reach_topics(self):
        self.qtool("topic", "create", "plain")
        self.qtool("config", "set", "broker", "default", "log.retention.ms=123456")
        text = self.qtool("config", "describe", "topic", "plain", "-a").decode()
        row = next(line.split() for line in text.splitlines() if line.startswith("retention.ms"))
        self.assertEqual(row[1:3], ["123456", "cluster"])
        own = self.qtool("config", "describe", "broker", "default").decode()
        self.assertIn("log.retention.ms", own)
        self.qtool("config", "unset", "broker", "default", "log.retention.ms")
        described = json.loads(self.qtool("config", "describe", "topic", "plain", "-o", "json"))
        values = {c["name"]: c["value"] for c in described["configs"]}
        self.assertEqual(values["retention.ms"], "604800000")

    def test_what_is_refused(self):
        self.qtool("config", "set", "broker", "1", "num.partitions=3", status=1)
        self.qtool("config", "set", "broker", "1", "log.retention.ms=many", status=1)
        self.qtool("config", "set", "broker", "9", "log.retention.ms=1", status=1)
        self.qtool("config", "set", "topic", "missing", "retention.ms=1", status=4)
        self.qtool("config", "set", "planet", "x", "a=b", status=2)
        self.qtool("config", "set", "broker", "1", "novalue", status=2)

    def test_groups(self):
        self.qtool("config", "set", "group", "readers", "consumer.heartbeat.interval.ms=6000")
        listed = self.qtool("config", "list", "--type", "group").decode().splitlines()
        self.assertIn(["group", "readers"], [line.split() for line in listed])
        self.qtool("config", "set", "group", "readers", "consumer.heartbeat.interval.ms=999999",
                   status=1)
        self.qtool("config", "unset", "group", "readers", "consumer.heartbeat.interval.ms")

    def test_dry_run_changes_nothing(self):
        self.qtool("config", "set", "broker", "1", "log.level=debug", "--dry-run")
        self.assertNotIn("debug", self.qtool("config", "describe", "broker", "1").decode())


class QuotaTest(CliCase):
    def test_life_of_a_quota(self):
        self.qtool("quota", "set", "--client-id", "loader", "producer_byte_rate=1048576",
                   "request_percentage=12.5")
        self.qtool("quota", "set", "--default-ip", "connection_creation_rate=2000000")
        text = self.qtool("quota", "list").decode()
        self.assertIn("1048576", text)
        self.assertIn("12.5", text)
        quotas = json.loads(self.qtool("quota", "list", "-o", "json"))["quotas"]
        entities = [quota["entity"] for quota in quotas]
        self.assertIn([{"type": "client-id", "name": "loader"}], entities)
        self.assertIn([{"type": "ip", "name": None}], entities)
        self.qtool("quota", "remove", "--client-id", "loader", "request_percentage")
        self.qtool("quota", "remove", "--client-id", "loader")
        self.qtool("quota", "remove", "--default-ip")
        self.qtool("quota", "remove", "--client-id", "loader", status=4)
        self.assertEqual(json.loads(self.qtool("quota", "list", "-o", "json")), {"quotas": []})

    def test_what_is_refused(self):
        self.qtool("quota", "set", "producer_byte_rate=1", status=2)
        self.qtool("quota", "set", "--user", "u", "producer_byte_rate=0", status=1)
        self.qtool("quota", "set", "--user", "u", "connection_creation_rate=1", status=1)
        self.qtool("quota", "set", "--ip", "no address", "connection_creation_rate=1", status=1)
        self.qtool("quota", "set", "--user", "u", "producer_byte_rate", status=2)
