"""qtool bench on a real Apache Kafka: it speaks Kafka's protocol alone, also to make and delete its topic.
That it does so on qbroker is tests/cli/bench_test.py."""
import json
import subprocess
import unittest

from tests.harness.broker import BIN
from tests.interop.apache_kafka import ApacheKafka


class BenchTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.kafka = ApacheKafka()
        cls.addClassCleanup(cls.kafka.__exit__, None, None, None)
        cls.kafka.start()

    def bench(self, workload, *args, status=0):
        done = subprocess.run([str(BIN / "qtool"), "-b", self.kafka.address, "--timeout", "60", "-o",
                               "json", "bench", workload, *args], capture_output=True, timeout=120)
        self.assertEqual(done.returncode, status, done.stderr.decode())
        return json.loads(done.stdout) if status == 0 else done.stderr.decode()

    def test_all_workloads(self):
        made = self.bench("produce", "load", "--create", "-p", "3", "--config", "retention.ms=600000",
                          "-n", "500", "-X", "compression.type=zstd")
        self.assertEqual(made["produce"]["records"], 500)
        self.assertEqual(made["parameters"]["partitions"], 3)
        self.assertEqual(self.bench("consume", "load", "--consumers", "3")["consume"]["records"], 500)
        both = self.bench("e2e", "load", "-n", "200", "-r", "400", "--producers", "2")
        self.assertEqual((both["produce"]["records"], both["consume"]["records"]), (200, 200))
        mixed = self.bench("mixed", "load", "-n", "100", "-r", "200", "--delete")
        self.assertEqual(mixed["produce"]["records"], 100)
        self.assertGreater(mixed["consume"]["records"], 0)

    def test_what_the_broker_refuses_has_its_status(self):
        self.bench("produce", "twice", "--create", "-n", "1")
        self.assertIn("twice", self.bench("produce", "twice", "--create", "-n", "1", status=5))
        refused = self.bench("produce", "wrong", "--create", "--config", "no.such.option=1", "-n", "1",
                             status=1)
        self.assertIn("INVALID_CONFIG", refused)


if __name__ == "__main__":
    unittest.main()
