"""Quotas and options set at run time, by Kafka's ConfigCommand and seen by real clients.

Times are asserted generously: a throttled client is slow for a reason it is told, and that it is
told is what the tests look for; how slow it is, is bounded from below alone.
"""
import subprocess
import time
import unittest

from tests.harness.broker import Broker
from tests.interop import java_peer

CONFIGS = "kafka.admin.ConfigCommand"
RATE = 100_000  # bytes a second


class QuotaTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Windows of two samples: one second's worth is free, what follows is throttled.
        cls.broker = cls.enterClassContext(Broker("--set", "quota.window.num=2"))

    def configs(self, *args, check=True):
        return java_peer.run(CONFIGS, "--bootstrap-server", self.broker.address, *args, check=check)

    def kcat(self, *args, stdin=None):
        return subprocess.run(["kcat", "-b", self.broker.address, *args], input=stdin, check=True,
                              capture_output=True, timeout=120)

    def produce(self, client_id, topic, size):
        """Seconds it took."""
        lines = b"".join(b"%07d " % n + b"x" * 992 + b"\n" for n in range(size // 1000))
        begin = time.monotonic()
        self.kcat("-P", "-t", topic, "-X", f"client.id={client_id}", "-X", "acks=1",
                  "-X", "batch.size=20000", "-X", "max.in.flight=1", stdin=lines)
        return time.monotonic() - begin

    def test_a_producer_and_a_consumer_are_held_to_their_rates(self):
        self.broker.create_topic("held")
        client = ("--entity-type", "clients", "--entity-name", "held-client")
        self.configs("--alter", *client, "--add-config",
                     f"producer_byte_rate={RATE},consumer_byte_rate={RATE}")
        self.assertIn(f"producer_byte_rate={RATE}", self.configs("--describe", *client))
        before = self.broker.metric("throttled_produce_total")
        took = self.produce("held-client", "held", 4 * RATE)
        self.assertGreater(took, 1.5)  # 4 s at the rate, less the burst and the last pause
        self.assertGreater(self.broker.metric("throttled_produce_total"), before)
        free = self.produce("free-client", "held", 4 * RATE)
        self.assertLess(free, took)
        begin = time.monotonic()
        done = self.kcat("-C", "-q", "-e", "-t", "held", "-o", "beginning",
                         "-X", "client.id=held-client", "-X", "fetch.max.bytes=50000",
                         "-X", "fetch.message.max.bytes=50000",
                         "-X", "message.max.bytes=50000")
        self.assertEqual(len(done.stdout.splitlines()), 8 * RATE // 1000)
        self.assertGreater(time.monotonic() - begin, 3)
        self.assertGreater(self.broker.metric("throttled_fetch_total"), 0)
        self.configs("--alter", *client, "--delete-config",
                     "producer_byte_rate,consumer_byte_rate")
        self.assertNotIn("byte_rate", self.configs("--describe", *client))

    def test_connections_of_an_address_are_limited(self):
        default = ("--entity-type", "ips", "--entity-default")
        self.configs("--alter", *default, "--add-config", "connection_creation_rate=10000")
        self.assertIn("connection_creation_rate=10000", self.configs("--describe", *default))
        self.configs("--alter", *default, "--delete-config", "connection_creation_rate")

    def test_broker_and_group_options_at_run_time(self):
        self.broker.create_topic("plain")
        everyone = ("--entity-type", "brokers", "--entity-default")
        own = ("--entity-type", "brokers", "--entity-name", "1")
        topic = ("--entity-type", "topics", "--entity-name", "plain")
        self.configs("--alter", *everyone, "--add-config", "log.retention.ms=7200000")
        self.assertIn("log.retention.ms=7200000", self.configs("--describe", *everyone))
        self.assertRegex(self.configs("--describe", *topic, "--all"),
                         r"retention\.ms=7200000 .*DYNAMIC_DEFAULT_BROKER_CONFIG")
        self.configs("--alter", *own, "--add-config", "log.retention.ms=3600000")
        self.assertRegex(self.configs("--describe", *own),
                         r"log\.retention\.ms=3600000 .*DYNAMIC_BROKER_CONFIG:log\.retention\.ms="
                         r"3600000, DYNAMIC_DEFAULT_BROKER_CONFIG:log\.retention\.ms=7200000")
        self.configs("--alter", *own, "--delete-config", "log.retention.ms")
        self.configs("--alter", *everyone, "--delete-config", "log.retention.ms")
        refused = self.configs("--alter", *own, "--add-config", "node.id=7", check=False)
        self.assertIn("InvalidRequestException", refused.stdout + refused.stderr)
        group = ("--entity-type", "groups", "--entity-name", "tuned")
        self.configs("--alter", *group, "--add-config", "consumer.heartbeat.interval.ms=6000")
        self.assertIn("consumer.heartbeat.interval.ms=6000", self.configs("--describe", *group))
        self.assertIn("root=INFO", self.configs("--describe", "--entity-type", "broker-loggers",
                                                "--entity-name", "1"))

    def test_what_was_set_survives_a_restart(self):
        with Broker() as broker:
            for path, body in (
                    ("/v1/quotas", {"entity": [{"type": "user", "name": None}],
                                    "set": {"request_percentage": 50}}),
                    ("/v1/configs/brokers/default",
                     {"configs": [{"op": "set", "name": "message.max.bytes", "value": "5000"}]})):
                self.assertEqual(broker.http("PATCH", path, body)[0], 200)
            broker.stop()
            broker.restart()
            quotas = broker.http("GET", "/v1/quotas")[1]["quotas"]
            self.assertEqual(quotas, [{"entity": [{"type": "user", "name": None}],
                                       "values": {"request_percentage": 50}}])
            broker.create_topic("small")
            configs = broker.http("GET", "/v1/configs/topics/small")[1]["configs"]
            values = {one["name"]: one["value"] for one in configs}
            self.assertEqual(values["max.message.bytes"], "5000")


if __name__ == "__main__":
    unittest.main()
