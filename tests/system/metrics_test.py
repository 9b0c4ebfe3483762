"""/metrics of a running broker: that every metric is well formed and documented, that the Grafana
dashboard names only what is served, and, with known traffic, that the values are right.
"""
import json
import re
import time
import unittest
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from tests.harness import wire
from tests.harness.broker import Broker

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = re.compile(r'^([a-z_:][a-z0-9_:]*)(?:\{(.*)\})? (-?[0-9.]+(?:e[+-]?\d+)?)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"(?:,|$)')
SUFFIXES = ("_bucket", "_sum", "_count")


class Metrics:
    """The text of one scrape: types, helps, and samples as {name: {labels: value}}."""

    def __init__(self, text):
        self.types, self.helps, self.samples = {}, {}, {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name not in self.types, f"{name} comes twice"
                self.types[name] = kind
            elif line.startswith("# HELP "):
                _, _, name, text_ = line.split(" ", 3)
                self.helps[name] = text_
            else:
                name, labels, value = SAMPLE.match(line).groups()
                key = frozenset(LABEL.findall(labels or ""))
                rows = self.samples.setdefault(name, {})
                assert key not in rows, f"{line} comes twice"
                rows[key] = float(value)

    def base(self, name):
        for suffix in SUFFIXES:
            if name.endswith(suffix) and self.types.get(name[:-len(suffix)]) == "histogram":
                return name[:-len(suffix)]
        return name

    def sum(self, name, **labels):
        wanted = set(labels.items())
        return sum(value for key, value in self.samples.get(f"qbroker_{name}", {}).items()
                   if wanted <= key)


def scrape(broker):
    return Metrics(broker.http("GET", "/metrics")[1])


class MetricsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker("--set", "cores=2")
        cls.addClassCleanup(cls.broker.__exit__, None, None, None)
        cls.broker.__enter__()

    def produce(self, topic, records, partition=0):
        producer = Producer({"bootstrap.servers": self.broker.address, "linger.ms": 0})
        for i in range(records):
            producer.produce(topic, b"value %d" % i, partition=partition)
        self.assertEqual(producer.flush(30), 0)

    def commit(self, group, topic, offset, partition=0):
        consumer = Consumer({"bootstrap.servers": self.broker.address, "group.id": group})
        deadline = time.monotonic() + 30
        while True:
            try:
                consumer.commit(offsets=[TopicPartition(topic, partition, offset)],
                                asynchronous=False)
                break
            except KafkaException:  # the coordinator is being made
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        consumer.close()

    def test_format_and_documentation(self):
        self.broker.create_topic("format")
        self.produce("format", 1)
        self.commit('quote " \\ group', "format", 0)
        metrics = scrape(self.broker)
        documented = set(re.findall(r"^\| `([a-z_]+)` \|",
                                    (ROOT / "server/metrics/README.md").read_text(), re.M))
        self.assertEqual(set(metrics.types), {f"qbroker_{name}" for name in documented})
        self.assertEqual(set(metrics.types), set(metrics.helps))
        for name, rows in metrics.samples.items():
            base = metrics.base(name)
            self.assertIn(base, metrics.types)
            kind = metrics.types[base]
            if kind == "counter":
                self.assertTrue(name.endswith("_total"), name)
            elif kind == "gauge":
                self.assertFalse(name.endswith("_total"), name)
            for labels, value in rows.items():
                self.assertGreaterEqual(value, 0, (name, labels))
        for base in (name for name, kind in metrics.types.items() if kind == "histogram"):
            for labels, count in metrics.samples[f"{base}_count"].items():
                buckets = [value for key, value in metrics.samples[f"{base}_bucket"].items()
                           if labels <= key]
                self.assertEqual(max(buckets), count, base)
                self.assertEqual(buckets, sorted(buckets), base)
        self.assertIn(r'group="quote \" \\ group"', self.broker.http("GET", "/metrics")[1])

    def test_dashboard_names_what_is_served_and_all_of_it(self):
        dashboard = json.loads((ROOT / "scripts/grafana/qbroker.json").read_text())
        expressions = [target["expr"] for panel in dashboard["panels"]
                       for target in panel.get("targets", [])]
        expressions += [variable["query"]["query"] for variable in dashboard["templating"]["list"]
                        if variable["type"] == "query"]
        named = {name for text in expressions for name in re.findall(r"qbroker_[a-z_]+", text)}
        metrics = scrape(self.broker)
        self.assertEqual({metrics.base(name) for name in named} - set(metrics.types), set())
        self.assertEqual(set(metrics.types) - {metrics.base(name) for name in named}, set())
        ids = [panel["id"] for panel in dashboard["panels"]]
        self.assertEqual(len(ids), len(set(ids)))

    def test_traffic_is_counted(self):
        self.broker.create_topic("traffic")
        before = scrape(self.broker)
        with wire.Connection(self.broker.port) as connection:
            for _ in range(5):
                connection.ask(wire.produce("traffic", 0, wire.batch([wire.record(b"a"), wire.record(b"b", 1)])))
            for _ in range(3):
                connection.ask(wire.produce("nowhere", 0, wire.batch([wire.record(b"a")])))
            connection.ask(wire.fetch("traffic", 0, 0))
            connection.ask(wire.fetch("traffic", 0, 999))
        after = scrape(self.broker)

        def grown(name, **labels):
            return after.sum(name, **labels) - before.sum(name, **labels)

        self.assertEqual(grown("requests_total", api="Produce"), 8)
        self.assertEqual(grown("request_errors_total", api="Produce"), 3)
        self.assertEqual(grown("error_codes_total", api="Produce",
                               error="UNKNOWN_TOPIC_OR_PARTITION"), 3)
        self.assertEqual(grown("requests_total", api="Fetch"), 2)
        self.assertEqual(grown("error_codes_total", api="Fetch", error="OFFSET_OUT_OF_RANGE"), 1)
        self.assertEqual(grown("request_seconds_count", api="Produce"), 8)
        self.assertEqual(grown("request_seconds_count", api="Fetch"), 2)
        self.assertEqual(grown("batches_appended_total"), 5)
        self.assertEqual(grown("records_appended_total"), 10)
        self.assertEqual(grown("stage_seconds_count", stage="flush_wait"), 5)
        self.assertEqual(grown("stage_seconds_count", stage="handler"), 10)
        self.assertGreaterEqual(grown("stage_seconds_count", stage="partition"), 7)
        self.assertEqual(grown("flush_seconds_count"), grown("flushes_total"))
        self.assertEqual(grown("flush_batches_total"), 5)
        self.assertGreater(grown("stage_seconds_sum", stage="flush_wait"), 0)
        self.assertGreater(grown("log_size_bytes"), 0)
        self.assertGreater(grown("received_bytes_total"), 0)

    def test_connections_move_to_the_core_they_ask(self):
        self.broker.create_topic("moved")
        before = scrape(self.broker)
        asks = 40
        offsets = []
        # Dealt in turn: one is where the partition is, the other one is not.
        with wire.Connection(self.broker.port) as one, wire.Connection(self.broker.port) as other:
            for i in range(asks):
                for connection in (one, other):
                    request = wire.produce("moved", 0, wire.batch([wire.record(b"%d" % i)]),
                                           correlation=i)
                    cut = i * len(request) // asks  # requests that come in two parts move, too
                    connection.send(request[:cut])
                    time.sleep(0.002)
                    connection.send(request[cut:])
                    correlation, answer = connection.answer()
                    self.assertEqual(correlation, i)
                    self.assertEqual(wire.produce_error(answer)[0], 0)
                    offsets.append(wire.produce_offset(answer))
            during = scrape(self.broker)
        self.assertEqual(offsets, list(range(2 * asks)))
        self.assertEqual(during.sum("connections_moved_total") - before.sum("connections_moved_total"), 1)

    def test_lag_in_records_and_seconds(self):
        self.broker.create_topic("lagging", partitions=2)
        before = time.time()
        self.produce("lagging", 10)
        after = time.time()
        time.sleep(1.1)  # so that the age of what comes is not that of what was
        self.produce("lagging", 5)
        self.produce("lagging", 4, partition=1)
        self.commit("behind", "lagging", 3)
        self.commit("behind", "lagging", 4, partition=1)
        asked = time.time()
        metrics = scrape(self.broker)
        answered = time.time()

        def lag(unit, partition, group="behind"):
            return metrics.sum(f"group_lag_{unit}", group=group, topic="lagging",
                               partition=str(partition))

        self.assertEqual(lag("records", 0), 12)
        self.assertGreaterEqual(lag("seconds", 0), asked - after - 0.01)
        self.assertLessEqual(lag("seconds", 0), answered - before + 0.01)
        self.assertEqual(lag("records", 1), 0)
        self.assertEqual(lag("seconds", 1), 0)
        self.assertEqual(metrics.sum("group_lag_left_out"), 0)
        self.assertGreaterEqual(metrics.sum("group_committed_offsets"), 2)
        self.assertGreaterEqual(metrics.sum("group_offset_commits_total"), 2)
        self.assertGreaterEqual(metrics.sum("groups", type="classic", state="Empty"), 1)
        self.assertEqual(metrics.sum("coordinator_shards", state="failed"), 0)
        self.assertGreaterEqual(metrics.sum("coordinator_shards", state="loaded"), 1)
        self.assertGreaterEqual(metrics.sum("coordinator_load_seconds_count"), 1)

        self.commit("behind", "lagging", 12)  # of the second lot
        newer = scrape(self.broker).sum("group_lag_seconds", group="behind", partition="0")
        self.assertLess(newer, lag("seconds", 0))
        described = json.loads(self.broker.qtool("group", "describe", "behind", "-o",
                                                 "json").stdout)
        (zero, one) = described["offsets"]
        self.assertEqual((zero["lag"], one["lag"], one["lag_ms"]), (3, 0, 0))
        self.assertGreater(zero["lag_ms"], 0)
        self.assertIn("BEHIND", self.broker.qtool("group", "describe", "behind").stdout.decode())

    def test_transactions_are_counted(self):
        self.broker.create_topic("paid")
        producer = Producer({"bootstrap.servers": self.broker.address, "transactional.id": "t-1"})
        producer.init_transactions(30)
        before = scrape(self.broker)
        producer.begin_transaction()
        producer.produce("paid", b"x", partition=0)
        producer.flush(30)
        self.assertEqual(scrape(self.broker).sum("transactions", state="Ongoing"), 1)
        producer.commit_transaction(30)
        deadline = time.monotonic() + 10
        while scrape(self.broker).sum("transactions", state="CompleteCommit") != 1:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        after = scrape(self.broker)
        written = "transaction_markers_written_total"
        self.assertEqual(after.sum(written) - before.sum(written), 1)
        self.assertEqual(after.sum("transaction_markers_pending"), 0)


if __name__ == "__main__":
    unittest.main()
