"""`qtool group`: what it shows of groups, and that it rewrites offsets only when told to."""
import json

from confluent_kafka import Consumer

from tests.cli.cli_case import CliCase


class GroupTest(CliCase):
    def committed(self, group):
        """(topic, partition) to committed offset, as `group export` prints them."""
        lines = self.qtool("group", "export", group).decode().splitlines()
        return {(row["topic"], row["partition"]): row["offset"] for row in map(json.loads, lines)}

    def consumed(self, group, records=10, partitions=1):
        """A topic with records that the group has read to the end; the group has no members."""
        topic = self.topic(partitions)
        self.qtool("produce", "-t", topic, stdin=b"".join(b"%d\n" % i for i in range(records)))
        consumer = self.member(group, topic)
        for _ in range(records):
            self.assertIsNone(consumer.poll(30).error())
        consumer.commit(asynchronous=False)
        consumer.close()
        return topic

    def member(self, group, topic):
        consumer = Consumer({"bootstrap.servers": self.broker.address, "group.id": group,
                             "auto.offset.reset": "earliest", "enable.auto.commit": False})
        consumer.subscribe([topic])
        return consumer

    def test_list_and_describe(self):
        topic = self.consumed("readers")
        self.qtool("produce", "-t", topic, stdin=b"one more\n" * 3)
        listed = json.loads(self.qtool("group", "list", "-o", "json"))["groups"]
        mine = next(group for group in listed if group["group"] == "readers")
        self.assertEqual(mine["state"], "Empty")
        self.assertIn("readers", self.qtool("group", "list").decode())
        described = json.loads(self.qtool("group", "describe", "readers", "-o", "json"))
        self.assertEqual(described["members"], [])
        (offset,) = described["offsets"]
        self.assertEqual((offset["topic"], offset["partition"], offset["lag"]), (topic, 0, 3))
        self.assertIn(topic, self.qtool("group", "describe", "readers").decode())

    def test_names_that_a_path_escapes(self):
        for group in ("a/b", "/", "a b?c#d", "100%", "..", "ü/ß"):
            with self.subTest(group):
                topic = self.consumed(group)
                described = json.loads(self.qtool("group", "describe", group, "-o", "json"))
                self.assertEqual(described["group"], group)
                self.assertEqual(self.committed(group), {(topic, 0): 10})
                self.qtool("group", "reset-offsets", group, "-t", topic, "--to=3", "--execute")
                self.assertEqual(self.committed(group), {(topic, 0): 3})
                self.qtool("group", "delete", group)
                self.qtool("group", "describe", group, status=4)

    def test_reset_shows_first_and_does_when_told(self):
        topic = self.consumed("resetters", records=20)
        cases = {"beginning": 0, "end": 20, "7": 7, "-5": 15, "@0": 0, "2020-01-01T00:00:00Z": 0}
        for to, offset in cases.items():
            with self.subTest(to):
                before = self.committed("resetters")
                shown = self.qtool("group", "reset-offsets", "resetters", "-t", topic, f"--to={to}")
                self.assertIn(str(offset), shown.decode())
                self.assertEqual(self.committed("resetters"), before)
                self.qtool("group", "reset-offsets", "resetters", "-t", topic, f"--to={to}",
                           "--execute")
                self.assertEqual(self.committed("resetters"), {(topic, 0): offset})

    def test_reset_of_some_partitions(self):
        topic = self.consumed("some", partitions=3)
        before = self.committed("some")
        self.qtool("group", "reset-offsets", "some", "-t", topic, "-p", "1", "--to", "beginning",
                   "--execute")
        after = self.committed("some")
        self.assertEqual(after.pop((topic, 1)), 0)
        before.pop((topic, 1), None)
        self.assertEqual(after, before)

    def test_reset_is_refused(self):
        topic = self.consumed("refused")
        before = self.committed("refused")
        reset = ("group", "reset-offsets", "refused", "--execute")
        self.qtool(*reset, "-t", topic, "--to", "yesterday", status=2)
        self.qtool(*reset, "-t", topic, "-p", "5", "--to", "end", status=4)
        self.qtool(*reset, "-t", "no-such-topic", "--to", "end", status=4)
        self.qtool(*reset, "-t", topic, status=2)
        self.assertEqual(self.committed("refused"), before)

    def test_a_group_with_members_is_left_alone(self):
        topic = self.consumed("busy")
        member = self.member("busy", topic)
        self.addCleanup(member.close)
        self.wait_for(lambda: member.poll(0.1) or self.describe("busy")["members"])
        done = self.qtool_done("group", "reset-offsets", "busy", "-t", topic, "--to", "beginning",
                               "--execute")
        self.assertNotEqual(done.returncode, 0)
        self.assertNotEqual(self.qtool_done("group", "delete", "busy").returncode, 0)
        self.assertEqual(self.committed("busy"), {(topic, 0): 10})

    def describe(self, group):
        return json.loads(self.qtool("group", "describe", group, "-o", "json"))

    def test_export_and_import(self):
        topic = self.consumed("exporters", partitions=2)
        exported = self.qtool("group", "export", "exporters")
        self.qtool("group", "import", "importers", stdin=exported)  # shows only
        self.qtool("group", "describe", "importers", status=4)
        self.qtool("group", "import", "importers", "--execute", stdin=exported)
        self.assertEqual(self.committed("importers"), self.committed("exporters"))
        self.assertTrue(all(name == topic for name, _ in self.committed("importers")))

    def test_a_bad_line_imports_nothing(self):
        topic = self.consumed("careful")
        exported = self.qtool("group", "export", "careful")
        negative = json.dumps({"topic": topic, "partition": 0, "offset": -4}).encode()
        for bad in (b"not json\n", b'{"topic":"t"}\n', negative + b"\n"):
            done = self.qtool_done("group", "import", "fresh", "--execute", stdin=exported + bad)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(b"line", done.stderr)
            self.qtool("group", "describe", "fresh", status=4)

    def test_an_unknown_partition_imports_nothing(self):
        topic = self.consumed("mistaken")
        rows = [{"topic": topic, "partition": p, "offset": 1} for p in (0, 7)]
        lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        self.qtool("group", "import", "mistaken", "--execute", stdin=lines, status=4)
        self.assertEqual(self.committed("mistaken"), {(topic, 0): 10})

    def test_delete(self):
        self.consumed("gone")
        self.qtool("group", "delete", "gone")
        self.qtool("group", "describe", "gone", status=4)
        self.qtool("group", "delete", "gone", status=4)
