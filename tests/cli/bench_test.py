"""qtool bench against a running broker: what it counts is what the topic holds, the JSON is complete,
an intended rate is not passed, and what goes wrong has its status. Speed is not asserted."""
import json
import signal
import subprocess
import unittest

from tests.cli.cli_case import CLOSED_PORT, QTOOL, CliCase

LATENCY = {"count", "min", "mean", "p50", "p90", "p95", "p99", "p99.9", "p99.99", "max"}


class BenchTest(CliCase):
    def bench(self, workload, topic, *args, status=0):
        report = json.loads(self.qtool("bench", workload, "-t", topic, "-o", "json", *args,
                                       status=status))
        self.assertEqual(report["workload"], workload)
        for flow in (report["produce"], report["consume"]):
            if flow is not None:
                latency = flow["latency_us"]
                self.assertEqual(set(latency), LATENCY)
                ordered = [latency[name] for name in
                           ("min", "p50", "p90", "p95", "p99", "p99.9", "p99.99", "max")]
                self.assertEqual(ordered, sorted(ordered))
        return report

    def test_produce_then_consume(self):
        topic = self.topic(3)
        made = self.bench("produce", topic, "-n", "1000", "-s", "50", "--key-count", "10",
                          "--producers", "3")
        produce = made["produce"]
        self.assertIsNone(made["consume"])
        self.assertFalse(made["partial"])
        self.assertEqual((produce["sent"], produce["records"], produce["failed"]), (1000, 1000, 0))
        self.assertEqual(produce["bytes"], 1000 * (50 + len("key-0")))
        self.assertEqual(produce["latency_us"]["count"], 1000)
        self.assertIsNone(produce["intended_records_per_s"])
        self.assertEqual(made["parameters"]["loop"], "closed")
        self.assertEqual(made["parameters"]["partitions"], 3)
        self.assertEqual(made["parameters"]["acks"], "all")
        records = self.consume_json(topic)
        self.assertEqual(len(records), 1000)
        self.assertEqual({len(record["value"]) for record in records}, {50})
        self.assertEqual(len({record["key"] for record in records}), 10)

        read = self.bench("consume", topic, "--consumers", "2")["consume"]
        self.assertEqual((read["records"], read["bytes"]), (1000, produce["bytes"]))
        self.assertGreater(read["records_per_s"], 0)
        some = self.bench("consume", topic, "--consumers", "3", "-n", "100")["consume"]
        self.assertEqual(some["records"], 100)
        self.assertEqual(self.bench("consume", self.topic())["consume"]["records"], 0)

    def test_one_in_flight(self):
        topic = self.topic()
        before = self.broker.metric("batches_appended_total")
        made = self.bench("produce", topic, "-n", "300", "--producers", "3", "--one-in-flight",
                          "-X", "linger.ms=1000")
        # Had linger.ms been waited for, it would take 100 s; had two been sent together, fewer batches.
        self.assertLess(made["produce"]["elapsed_s"], 60)
        self.assertEqual(made["parameters"]["one_in_flight"], "true")
        self.assertEqual(self.broker.metric("batches_appended_total") - before, 300)

    def test_a_rate_is_intended_and_not_passed(self):
        for workload in ("produce", "e2e"):
            report = self.bench(workload, self.topic(), "-n", "200", "-r", "400", "--producers", "2")
            produce = report["produce"]
            self.assertEqual(report["parameters"]["loop"], "open")
            self.assertEqual(report["parameters"]["rate"], 400)
            self.assertEqual(produce["intended_records_per_s"], 400)
            self.assertEqual(produce["records"], 200)
            self.assertLessEqual(produce["records_per_s"], 400.001)
            self.assertIn("due", produce["latency_from"])
            if workload == "e2e":
                self.assertLessEqual(report["consume"]["records_per_s"], 400.001)

    def test_acks_0_claims_no_acknowledgement(self):
        report = self.bench("e2e", self.topic(), "-n", "50", "-X", "acks=0")
        self.assertIn("acks=0", report["produce"]["latency_from"])
        self.assertEqual(report["consume"]["records"], 50)

    def test_consuming_at_a_rate(self):
        topic = self.topic()
        self.bench("produce", topic, "-n", "100", "-s", "10")
        read = self.bench("consume", topic, "-r", "500")["consume"]
        self.assertEqual(read["records"], 100)
        self.assertLessEqual(read["records_per_s"], 500.001)
        self.assertEqual(read["latency_us"]["count"], 100)

    def test_what_is_due_in_the_duration_is_sent_or_said_not_to_be(self):
        report = self.bench("produce", self.topic(), "-d", "0.5", "-r", "100", "--warmup", "0.2")
        produce = report["produce"]
        self.assertEqual(produce["sent"] + produce["not_sent"], 50)
        self.assertEqual(produce["records"], produce["sent"])

    def test_end_to_end_sees_every_record_of_its_own(self):
        topic = self.topic(4)
        self.produce(topic, b"older\n")
        report = self.bench("e2e", topic, "-n", "500", "-s", "64", "--producers", "2",
                            "--consumers", "2", "-X", "compression.type=lz4")
        self.assertEqual(report["produce"]["records"], 500)
        self.assertEqual(report["consume"]["records"], 500)
        self.assertEqual(report["consume"]["missing"], 0)
        self.assertEqual(report["consume"]["latency_us"]["count"], 500)
        self.assertEqual(report["parameters"]["compression.type"], "lz4")

    def test_mixed_reads_what_was_there(self):
        topic = self.topic()
        self.bench("produce", topic, "-n", "300")
        report = self.bench("mixed", topic, "-d", "0.5", "-r", "200")
        self.assertEqual(report["produce"]["records"] + report["produce"]["not_sent"], 100)
        self.assertGreaterEqual(report["consume"]["records"], 300)

    def test_create_and_delete(self):
        report = self.bench("produce", "made", "--create", "-p", "5", "--config",
                            "retention.ms=60000", "-n", "10")
        self.assertEqual(report["parameters"]["partitions"], 5)
        self.assertIn(b"60000", self.qtool("topic", "describe", "made"))
        self.qtool("bench", "produce", "-t", "made", "--create", "-n", "10", status=5)
        self.bench("produce", "made", "-n", "10", "--delete")
        self.qtool("topic", "describe", "made", status=4)

    def test_text_report_and_progress(self):
        done = self.qtool_done("bench", "e2e", self.topic(), "-d", "1.5", "-r", "50", "--progress")
        self.assertEqual(done.returncode, 0, done.stderr)
        text = done.stdout.decode()
        for words in ("qtool bench e2e", "produce: 75 records", "consume: 75 records", "p99.99",
                      "of 50.0 intended", "acks=all"):
            self.assertIn(words, text)
        self.assertNotIn("PARTIAL", text)
        self.assertRegex(done.stderr.decode(), r"1 s  produced \d+, .*consumed \d+")
        quiet = self.qtool_done("bench", "produce", self.topic(), "-n", "10")
        self.assertEqual(quiet.stderr, b"")

    def test_ctrl_c_ends_early_with_a_report(self):
        for workload in ("produce", "e2e", "mixed"):
            with self.subTest(workload):
                process = self.start("bench", workload, self.topic(), "-d", "600", "-r", "100",
                                     "-o", "json", "--progress")
                self.read_some(process.stderr)  # it runs
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=30)
                self.assertEqual(process.returncode, 1, err)
                report = json.loads(out)
                self.assertTrue(report["partial"])
                self.assertGreater(report["produce"]["records"], 0)
                self.assertEqual(report["produce"]["records"], report["produce"]["sent"])
                self.assertIn(b"partial", err)

    def test_usage(self):
        for words in (["bench"], ["bench", "produce"], ["bench", "nonsense", "t"],
                      ["bench", "produce", "t", "-r", "0"], ["bench", "produce", "t", "-n", "0"],
                      ["bench", "produce", "t", "-d", "x"], ["bench", "produce", "t", "-s", "-1"],
                      ["bench", "produce", "t", "--producers", "0"],
                      ["bench", "produce", "t", "--consumers", "1"],
                      ["bench", "produce", "t", "-p", "3"], ["bench", "consume", "t", "--create"],
                      ["bench", "produce", "t", "--create", "--config", "x"],
                      ["bench", "produce", "t", "-X", "no.such=1"],
                      ["bench", "e2e", "t", "-s", "15"]):
            with self.subTest(words):
                done = self.qtool_done(*words)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual(done.stdout, b"")
                self.assertIn(b"qtool: ", done.stderr)
        # Only the broker knows how many partitions there are.
        self.qtool("bench", "e2e", self.topic(), "--consumers", "2", "-n", "1", status=2)

    def test_a_record_above_the_limit_ends_it(self):
        done = self.qtool_done("bench", "produce", self.topic(), "-s", "2000000", "-n", "5")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"PARTIAL", done.stdout)
        self.assertIn(b"max.request.size", done.stderr)

    def test_statuses_of_what_is_not_there(self):
        for workload in ("produce", "consume", "e2e", "mixed"):
            with self.subTest(workload):
                self.qtool("bench", workload, "absent", "-n", "1", status=4)
                done = subprocess.run([QTOOL, "-b", CLOSED_PORT, "--timeout", "1", "bench", workload,
                                       "x"], capture_output=True, timeout=30)
                self.assertEqual((done.returncode, done.stdout), (3, b""))
        self.qtool("bench", "produce", "absent", "--delete", "-n", "1", status=4)


class BrokerDiesTest(CliCase):
    def test_a_broker_that_dies_leaves_a_report_of_what_arrived(self):
        process = self.start("bench", "produce", self.topic(), "-d", "600", "-r", "100", "-o", "json",
                             "--progress", "-X", "delivery.timeout.ms=1000", "-X",
                             "request.timeout.ms=500", "-X", "linger.ms=0")
        self.read_some(process.stderr)
        self.broker.kill()
        self.wait_for(lambda: b"produced" in self.read_some(process.stderr))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, err)
        produce = json.loads(out)["produce"]
        self.assertGreater(produce["records"], 0)
        self.assertEqual(produce["sent"],
                         produce["records"] + produce["failed"] + produce["undelivered"])


if __name__ == "__main__":
    unittest.main()
