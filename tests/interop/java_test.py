"""Kafka's own command-line tools, and with them the Java client, against qbroker.

A JVM takes more than a second to start, so the cases are few and each follows one story.
"""
import json
import pathlib
import re
import tempfile
import unittest

from tests.harness import wire
from tests.harness.broker import Broker
from tests.interop import java_peer

TOPIC_COMMAND = "org.apache.kafka.tools.TopicCommand"
CONSOLE_PRODUCER = "org.apache.kafka.tools.ConsoleProducer"
CONSOLE_CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"
GET_OFFSETS = "org.apache.kafka.tools.GetOffsetShell"
CONFIG_COMMAND = "kafka.admin.ConfigCommand"
DELETE_RECORDS = "org.apache.kafka.tools.DeleteRecordsCommand"
DUMP_LOG = "org.apache.kafka.tools.DumpLogSegments"
PERFORMANCE = "org.apache.kafka.tools.ProducerPerformance"


class JavaTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        java_peer.jars()
        cls.broker = cls.enterClassContext(Broker())

    def tool(self, tool, *args, **options):
        return java_peer.run(tool, "--bootstrap-server", self.broker.address, *args, **options)

    def consume(self, topic, partition, count, *args):
        text = self.tool(CONSOLE_CONSUMER, "--topic", topic, "--partition", str(partition),
                         "--max-messages", str(count), "--timeout-ms", "30000", *args)
        return text.splitlines()

    def test_topics_from_birth_to_end(self):
        out = self.tool(TOPIC_COMMAND, "--create", "--topic", "story", "--partitions", "3",
                        "--replication-factor", "1", "--config", "retention.ms=86400000")
        self.assertIn("Created topic story", out)
        again = self.tool(TOPIC_COMMAND, "--create", "--topic", "story", check=False)
        self.assertNotEqual(again.returncode, 0)
        self.assertIn("TopicExistsException", again.stdout + again.stderr)
        self.tool(TOPIC_COMMAND, "--alter", "--topic", "story", "--partitions", "5")
        out = self.tool(TOPIC_COMMAND, "--describe", "--topic", "story")
        self.assertRegex(out, r"PartitionCount: 5\s+ReplicationFactor: 1")
        self.assertIn("retention.ms=86400000", out)
        found = re.findall(
            r"Partition: (\d+)\s+Leader: (\d+)\s+Replicas: (\d+)\s+Isr: (\d+)", out)
        self.assertEqual(found, [(str(n), "1", "1", "1") for n in range(5)])
        self.tool(TOPIC_COMMAND, "--delete", "--topic", "story")
        self.assertNotIn("story", self.tool(TOPIC_COMMAND, "--list").split())

    def test_console_producer_and_consumer(self):
        self.broker.create_topic("console", 2)
        # Keys decide the partition; idempotence is on unless it is switched off.
        lines = [f"h:{n}\tkey-{n % 7}\tvalue {n}" for n in range(2000)]
        self.tool(CONSOLE_PRODUCER, "--topic", "console", "--compression-codec", "zstd",
                  "--reader-property", "parse.key=true", "--reader-property", "parse.headers=true",
                  stdin="\n".join(lines) + "\n")
        offsets = dict(line.split(":")[1:] for line in
                       self.tool(GET_OFFSETS, "--topic", "console").split())
        self.assertEqual(sum(map(int, offsets.values())), 2000)
        seen = {}
        for partition in range(2):
            count = int(offsets[str(partition)])
            self.assertGreater(count, 0)
            got = self.consume("console", partition, count, "--from-beginning",
                               "--formatter-property", "print.key=true",
                               "--formatter-property", "print.headers=true",
                               "--formatter-property", "print.offset=true")
            self.assertEqual(len(got), count)
            for position, line in enumerate(got):
                offset, headers, key, value = line.split("\t")
                self.assertEqual(offset, f"Offset:{position}")
                number = int(value.split()[1])
                self.assertEqual((headers, key), (f"h:{number}", f"key-{number % 7}"))
                previous = seen.setdefault(key, [])
                self.assertTrue(not previous or previous[-1][1] < number, "order within a key")
                previous.append((partition, number))
        self.assertEqual(sorted(n for entries in seen.values() for _, n in entries),
                         list(range(2000)))
        for entries in seen.values():
            self.assertEqual(len({partition for partition, _ in entries}), 1)

    def test_consumer_at_an_offset_and_performance_tool(self):
        self.broker.create_topic("measured")
        out = java_peer.run(PERFORMANCE, "--topic", "measured", "--num-records", "50000",
                            "--record-size", "100", "--throughput", "-1", "--command-property",
                            f"bootstrap.servers={self.broker.address}", "acks=all",
                            "compression.type=lz4")
        self.assertIn("50000 records sent", out)
        log = self.broker.data_dir / "measured-0/00000000000000000000.log"
        self.assertEqual(wire.codecs_in_log(log.read_bytes()), {3}, "lz4 as the producer sent it")
        got = self.consume("measured", 0, 3, "--offset", "49997", "--formatter-property",
                           "print.offset=true")
        self.assertEqual([line.split("\t")[0] for line in got],
                         ["Offset:49997", "Offset:49998", "Offset:49999"])

    def test_offsets_and_deleting_records(self):
        self.broker.create_topic("cut", 2)
        self.tool(CONSOLE_PRODUCER, "--topic", "cut", stdin="".join(f"{n}\n" for n in range(100)))
        end = {int(p): int(o) for p, o in
               (line.split(":")[1:] for line in self.tool(GET_OFFSETS, "--topic", "cut").split())}
        self.assertEqual(sum(end.values()), 100)
        largest = max(end, key=end.get)
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump({"version": 1, "partitions": [
                {"topic": "cut", "partition": largest, "offset": end[largest] - 2}]}, file)
            file.flush()
            out = self.tool(DELETE_RECORDS, "--offset-json-file", file.name)
        self.assertIn(f"partition: cut-{largest}\tlow_watermark: {end[largest] - 2}", out)
        out = self.tool(GET_OFFSETS, "--topic-partitions", f"cut:{largest}", "--time", "earliest")
        self.assertEqual(out.split(), [f"cut:{largest}:{end[largest] - 2}"])
        out = self.tool(GET_OFFSETS, "--topic-partitions", f"cut:{largest}", "--time",
                        "max-timestamp")
        self.assertRegex(out, rf"^cut:{largest}:\d+$")

    def test_configs(self):
        self.broker.create_topic("tuned")
        self.tool(CONFIG_COMMAND, "--alter", "--entity-type", "topics", "--entity-name", "tuned",
                  "--add-config", "retention.ms=12345,max.message.bytes=54321")
        self.tool(CONFIG_COMMAND, "--alter", "--entity-type", "topics", "--entity-name", "tuned",
                  "--delete-config", "max.message.bytes")
        out = self.tool(CONFIG_COMMAND, "--describe", "--entity-type", "topics", "--entity-name",
                        "tuned")
        self.assertIn("retention.ms=12345", out)
        self.assertNotIn("max.message.bytes", out)
        bad = self.tool(CONFIG_COMMAND, "--alter", "--entity-type", "topics", "--entity-name",
                        "tuned", "--add-config", "retention.ms=soon", check=False)
        self.assertIn("InvalidConfigurationException", bad.stdout + bad.stderr)
        out = self.tool(CONFIG_COMMAND, "--describe", "--all", "--entity-type", "brokers",
                        "--entity-name", "1")
        self.assertIn("log.retention.hours=168", out)

    def test_kafkas_dump_tool_reads_our_files(self):
        self.broker.create_topic("dumped")
        self.tool(CONSOLE_PRODUCER, "--topic", "dumped", "--compression-codec", "gzip",
                  "--reader-property", "parse.key=true", "--reader-property", "key.separator=:",
                  stdin="".join(f"k{n}:v{n}\n" for n in range(10)))
        log = pathlib.Path(self.broker.data_dir) / "dumped-0/00000000000000000000.log"
        out = java_peer.run(DUMP_LOG, "--deep-iteration", "--print-data-log", "--files", str(log))
        self.assertIn("Log starting offset: 0", out)
        self.assertRegex(out, r"baseOffset: 0 .*compresscodec: gzip .*isvalid: true")
        self.assertNotIn("isvalid: false", out)
        self.assertEqual(re.findall(r"offset: (\d+) .*key: (k\d+) payload: (v\d+)", out),
                         [(str(n), f"k{n}", f"v{n}") for n in range(10)])


if __name__ == "__main__":
    unittest.main()
