"""kcat against qbroker: produce, consume, list, query. Each case has a topic of its own."""
import json
import subprocess
import tempfile
import time
import unittest

from tests.harness import wire
from tests.harness.broker import Broker

CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


class KcatTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = cls.enterClassContext(Broker())

    def kcat(self, *args, stdin=None, check=True):
        done = subprocess.run(["kcat", "-b", self.broker.address, *args], input=stdin,
                              capture_output=True, timeout=60)
        if check and done.returncode != 0:
            self.fail(f"kcat {args}: status {done.returncode}: {done.stderr.decode()}")
        return done

    def produce(self, topic, lines, *args):
        self.kcat("-P", "-t", topic, *args, stdin="".join(f"{line}\n" for line in lines).encode())

    def consume(self, topic, offset, *args, form="%s\n"):
        """Values from `offset` to the end, as lines."""
        done = self.kcat("-C", "-q", "-e", "-t", topic, "-o", offset, "-f", form,
                         "-X", "check.crcs=true", *args)
        return done.stdout.decode().splitlines()

    def query(self, topic, partition, timestamp):
        done = self.kcat("-Q", "-t", f"{topic}:{partition}:{timestamp}")
        return int(done.stdout.decode().split("offset ")[1].split()[0])

    def test_keys_values_headers_and_offsets_come_back(self):
        self.broker.create_topic("full", 2)
        self.produce("full", ["k1:one", "k2:two"], "-p", "1", "-K:", "-H", "trace=abc", "-H", "x=")
        self.produce("full", ["k3:"], "-p", "1", "-K:", "-Z")  # an empty value becomes null
        before_ms = time.time() * 1000
        done = self.kcat("-C", "-q", "-e", "-J", "-t", "full", "-p", "1", "-o", "beginning")
        records = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([(r["offset"], r["partition"], r["key"], r["payload"]) for r in records],
                         [(0, 1, "k1", "one"), (1, 1, "k2", "two"), (2, 1, "k3", None)])
        self.assertEqual(records[0]["headers"], ["trace", "abc", "x", ""])
        self.assertNotIn("headers", [k for k, v in records[2].items() if v])
        for one in records:
            self.assertEqual(one["tstype"], "create")
            self.assertLess(abs(one["ts"] - before_ms), 60_000)

    def test_every_codec_is_stored_as_sent_and_read_back(self):
        lines = [f"{n} " + "compress me " * 20 for n in range(2000)]
        for codec, number in CODECS.items():
            with self.subTest(codec):
                topic = f"codec-{codec}"
                self.broker.create_topic(topic)
                self.produce(topic, lines, "-z", codec)
                self.assertEqual(self.consume(topic, "beginning"), lines)
                log = (self.broker.data_dir / f"{topic}-0/{0:020}.log").read_bytes()
                # A batch that does not shrink, e.g. of the first line alone, is sent plain.
                self.assertLessEqual(wire.codecs_in_log(log), {0, number})
                # librdkafka uses lz4 only with brokers that list FindCoordinator, which comes with
                # groups; without, it silently sends plain batches. java_test.py shows stored lz4.
                if codec != "lz4":
                    self.assertIn(number, wire.codecs_in_log(log))
                    self.assertLess(len(log), sum(map(len, lines)) / 2)

    def test_all_levels_of_acks_and_idempotence(self):
        for acks in ("0", "1", "all"):
            with self.subTest(acks=acks):
                topic = f"acks-{acks}"
                self.broker.create_topic(topic)
                self.produce(topic, ["a", "b", "c"], "-X", f"acks={acks}")
                # Nobody answers acks=0: the record may come a moment later than kcat ends.
                deadline = time.monotonic() + 10
                while self.query(topic, 0, -1) < 3 and time.monotonic() < deadline:
                    time.sleep(0.02)
                self.assertEqual(self.consume(topic, "beginning"), ["a", "b", "c"])
        self.broker.create_topic("idempotent")
        self.produce("idempotent", range(1000), "-X", "enable.idempotence=true")
        self.assertEqual(self.consume("idempotent", "beginning"), [str(n) for n in range(1000)])

    def test_starting_points(self):
        self.broker.create_topic("points")
        self.produce("points", range(5))
        time.sleep(0.02)
        self.produce("points", range(5, 10))
        everything = [str(n) for n in range(10)]
        self.assertEqual(self.consume("points", "beginning"), everything)
        self.assertEqual(self.consume("points", "7"), everything[7:])
        self.assertEqual(self.consume("points", "-3"), everything[7:])
        self.assertEqual(self.consume("points", "-100"), everything)
        self.assertEqual(self.consume("points", "end"), [])
        times = [int(t) for t in self.consume("points", "beginning", form="%T\n")]
        self.assertLess(times[4], times[5])
        self.assertEqual(self.consume("points", f"s@{times[5]}"), everything[5:])
        self.assertEqual(self.consume("points", f"s@{times[9] + 1000}"), [])
        self.assertEqual(self.consume("points", f"s@{times[0]}", "-o", f"e@{times[5]}"),
                         everything[:5])

    def test_query_offsets_by_time(self):
        self.broker.create_topic("query", 2)
        self.produce("query", range(3), "-p", "1")
        time.sleep(0.02)
        self.produce("query", range(3, 6), "-p", "1")
        times = [int(t) for t in self.consume("query", "beginning", "-p", "1", form="%T\n")]
        self.assertEqual(self.query("query", 1, -1), 6)
        self.assertEqual(self.query("query", 1, -2), 0)
        self.assertEqual(self.query("query", 1, times[3]), 3)
        self.assertEqual(self.query("query", 1, times[2] + 1), 3)
        self.assertEqual(self.query("query", 1, times[5] + 1000), -1)
        self.assertEqual(self.query("query", 0, -1), 0)

    def test_list_brokers_topics_partitions(self):
        self.broker.create_topic("listed", 3)
        everything = json.loads(self.kcat("-L", "-J").stdout)
        self.assertEqual([b["name"] for b in everything["brokers"]], [self.broker.address])
        one = json.loads(self.kcat("-L", "-J", "-t", "listed").stdout)
        self.assertEqual([t["topic"] for t in one["topics"]], ["listed"])
        broker_id = everything["brokers"][0]["id"]
        self.assertEqual(one["controllerid"], broker_id)
        self.assertEqual([(p["partition"], p["leader"], p["replicas"], p["isrs"])
                          for p in one["topics"][0]["partitions"]],
                         [(n, broker_id, [{"id": broker_id}], [{"id": broker_id}])
                          for n in range(3)])

    def test_a_topic_is_made_by_its_first_record(self):
        self.produce("by-itself", ["first"])
        self.assertEqual(self.consume("by-itself", "beginning"), ["first"])

    def test_a_waiting_consumer_gets_records_as_they_come(self):
        self.broker.create_topic("live")
        self.produce("live", ["old"])
        with subprocess.Popen(["kcat", "-b", self.broker.address, "-C", "-u", "-t", "live", "-o",
                               "end", "-c", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True) as consumer:
            self.assertIn("Reached end", consumer.stderr.readline())
            self.produce("live", ["new"])
            self.produce("live", ["newer"])
            out, _ = consumer.communicate(timeout=30)
        self.assertEqual(out, "new\nnewer\n")

    def test_large_records(self):
        self.broker.create_topic("large")
        large = "x" * 900_000
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(large)
            file.flush()
            self.kcat("-P", "-t", "large", file.name)
            self.assertEqual(self.consume("large", "beginning"), [large])
            file.write(large)
            file.flush()
            done = self.kcat("-P", "-t", "large", "-X", "message.max.bytes=4000000", file.name,
                             check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"Message size too large", done.stderr)
        self.assertEqual(self.query("large", 0, -1), 1)
        self.produce("large", ["y" * 100_000] * 100)  # more than one fetch
        self.assertEqual(len(self.consume("large", "1")), 100)

    def test_errors_are_told(self):
        self.broker.create_topic("short", 1)
        done = self.kcat("-C", "-e", "-t", "short", "-p", "7", "-o", "beginning", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"partition 7 does not exist", done.stderr)
        done = self.kcat("-P", "-t", "no/such name", stdin=b"x\n", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"Invalid topic", done.stderr)


if __name__ == "__main__":
    unittest.main()
