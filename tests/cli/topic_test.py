"""Administration: topics, offsets, cluster; as text and as JSON."""
import json
import unittest

from tests.cli.cli_case import CliCase


class TopicTest(CliCase):
    def test_life_of_a_topic(self):
        self.qtool("topic", "create", "life", "-p", "3", "--config", "retention.ms=60000")
        listed = self.qtool("topic", "list").decode().splitlines()
        self.assertEqual(listed[0].split(), ["NAME", "PARTITIONS", "REPLICAS"])
        self.assertIn(["life", "3", "1"], [line.split() for line in listed])
        text = self.qtool("topic", "describe", "life").decode()
        self.assertIn("retention.ms", text)
        self.assertNotIn("max.message.bytes", text)
        self.assertIn("max.message.bytes", self.qtool("topic", "describe", "life", "-a").decode())
        self.qtool("topic", "alter", "life", "--config", "max.message.bytes=4096", "--unset",
                   "retention.ms", "-p", "5")
        described = json.loads(self.qtool("topic", "describe", "life", "-o", "json"))
        self.assertEqual(len(described["partitions"]), 5)
        set_here = {c["name"]: c["value"] for c in described["configs"] if c["source"] == "topic"}
        self.assertEqual(set_here, {"max.message.bytes": "4096"})
        self.qtool("topic", "delete", "life")
        self.qtool("topic", "describe", "life", status=4)

    def test_json_of_each(self):
        created = json.loads(self.qtool("topic", "create", "js", "-p", "2", "-o", "json"))
        self.assertEqual((created["name"], created["partition_count"],
                          created["replication_factor"], created["internal"]),
                         ("js", 2, 1, False))
        self.assertEqual(len(created["id"]), 22)
        topics = json.loads(self.qtool("topic", "list", "-o", "json"))["topics"]
        self.assertIn(created, topics)
        self.produce("js", b"1\n2\n3\n", "-p", "1")
        partition = json.loads(self.qtool("topic", "describe", "js", "-o", "json"))["partitions"][1]
        self.assertEqual((partition["partition"], partition["log_start_offset"],
                          partition["log_end_offset"], partition["high_watermark"],
                          partition["leader"] in partition["isr"]), (1, 0, 3, 3, True))
        altered = json.loads(self.qtool("topic", "alter", "js", "-p", "3", "-o", "json"))
        self.assertEqual(altered["partition_count"], 3)
        self.assertEqual(json.loads(self.qtool("topic", "delete", "js", "-o", "json")),
                         {"deleted": "js"})

    def test_dry_run_changes_nothing(self):
        self.qtool("topic", "create", "dry", "--dry-run")
        self.qtool("topic", "describe", "dry", status=4)
        for flag in ("-r", "--replication", "--replication-factor"): # the last is Kafka's
            self.qtool("topic", "create", "dry", "--partitions", "2", flag, "1", "--dry-run")
        name = self.topic()
        self.qtool("topic", "alter", name, "-p", "4", "--dry-run")
        described = json.loads(self.qtool("topic", "describe", name, "-o", "json"))
        self.assertEqual(len(described["partitions"]), 1)

    def test_several_names(self):
        self.qtool("topic", "create", "m1", "m2")
        out = self.qtool("topic", "describe", "m1", "m2", "-o", "json")
        self.assertEqual([json.loads(line)["name"] for line in out.splitlines()], ["m1", "m2"])
        self.qtool("topic", "delete", "m1", "m2", "m3", status=1)
        self.qtool("topic", "describe", "m1", "m2", status=4)

    def test_a_refused_change_says_why(self):
        name = self.topic(3)
        for args in (["-p", "2"], ["--config", "no.such=1"], ["--config", "retention.ms=x"]):
            done = self.qtool_done("topic", "alter", name, *args)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertEqual(done.stdout, b"")
            self.assertIn(name.encode(), done.stderr)


class OffsetsTest(CliCase):
    def test_text(self):
        name = self.topic(2)
        self.produce(name, b"a\nb\n", "-p", "1")
        rows = [line.split() for line in self.qtool("offsets", "-t", name).decode().splitlines()]
        self.assertEqual(rows, [["PARTITION", "EARLIEST", "LATEST"], ["0", "0", "0"],
                                ["1", "0", "2"]])

    def test_by_time(self):
        name = self.topic(2)
        self.produce(name, b"".join(b'{"timestamp":%d,"value":""}\n' % t for t in (1000, 2000, 3000)),
                     "--json", "-p", "1")
        report = json.loads(self.qtool("offsets", name, "--time", "@1500", "-o", "json"))
        self.assertEqual(report, {"topic": name, "partitions": [
            {"partition": 0, "earliest": 0, "latest": 0, "offset": -1, "timestamp": -1},
            {"partition": 1, "earliest": 0, "latest": 3, "offset": 1, "timestamp": 2000}]})
        rows = self.qtool("offsets", name, "--time", "1970-01-01T00:00:03Z", "-p", "1").decode()
        self.assertEqual(rows.splitlines()[1].split(), ["1", "0", "3", "2", "3000"])
        report = json.loads(self.qtool("offsets", name, "--time", "max", "-p", "1", "-o", "json"))
        self.assertEqual(report["partitions"][0]["offset"], 2)


class ClusterTest(CliCase):
    def test_status(self):
        text = self.qtool("cluster", "status").decode()
        self.assertIn("healthy", text)
        self.assertNotIn("NOT HEALTHY", text)
        self.assertEqual(self.qtool("cluster", "health"), b"healthy\n")
        self.assertEqual(json.loads(self.qtool("cluster", "health", "-o", "json")),
                         {"healthy": True, "problems": []})
        self.assertIn("controller", self.qtool("cluster", "brokers").decode())
        brokers = json.loads(self.qtool("cluster", "brokers", "-o", "json"))["brokers"]
        self.assertTrue(brokers[0]["live"])
        self.assertEqual(brokers[0]["replica_count"], brokers[0]["leader_count"])
        cluster = json.loads(self.qtool("cluster", "status", "-o", "json"))
        self.assertEqual(cluster["offline_partition_count"], 0)
        self.assertEqual([b["id"] for b in cluster["brokers"]], [cluster["broker_id"]])
        self.assertEqual(f"{cluster['brokers'][0]['host']}:{cluster['brokers'][0]['port']}",
                         self.broker.address)

    def test_disks(self):
        text = self.qtool("cluster", "disks").decode()
        self.assertEqual(text.split("\n")[0].split()[:3], ["BROKER", "DIRECTORY", "STATE"])
        self.assertIn(str(self.broker.data_dir), text)
        report = json.loads(self.qtool("cluster", "disks", "-o", "json"))
        self.assertEqual([d["path"] for d in report["log_dirs"]], [str(self.broker.data_dir)])
        disk = report["log_dirs"][0]
        self.assertEqual(disk["error"], "")
        self.assertLessEqual(disk["free_bytes"], disk["total_bytes"])
        self.assertGreater(disk["total_bytes"], 0)


if __name__ == "__main__":
    unittest.main()
