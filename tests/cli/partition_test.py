"""qtool partition move and what qtool cluster disks and qtool topic describe show of it."""
import json
import pathlib
import tempfile
import unittest

from tests.cli.cli_case import CliCase
from tests.harness.broker import Broker

RATE = "replica.alter.log.dirs.io.max.bytes.per.second"


class PartitionTest(CliCase):
    @classmethod
    def setUpClass(cls):
        work = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.dirs = [str(work / "a"), str(work / "b")]
        cls.broker = cls.enterClassContext(Broker(*cls.BROKER_OPTIONS, "--set", "log.dir.reserve.bytes=0",
                                                  data_dir=",".join(cls.dirs)))

    def describe(self, topic):
        return json.loads(self.qtool("topic", "describe", topic, "-o", "json"))["partitions"][0]

    def moves(self):
        return json.loads(self.qtool("cluster", "disks", "-o", "json"))["moves"]

    def test_move(self):
        topic = self.topic()
        self.produce(topic, b"".join(b"%0100d\n" % n for n in range(5000)))
        here = self.describe(topic)["log_dir"]
        other = next(d for d in self.dirs if d != here)
        self.assertIsNone(self.describe(topic)["future_log_dir"])
        self.qtool("config", "set", "broker", "default", f"{RATE}=1000")
        self.qtool("partition", "move", topic, "0", "--log-dir", other)
        (move,) = self.moves()
        self.assertEqual((move["topic"], move["partition"], move["log_dir"], move["future_log_dir"]),
                         (topic, 0, here, other))
        self.assertEqual(self.describe(topic)["future_log_dir"], other)
        self.assertIn(f"moves from {here} to {other}", self.qtool("topic", "describe", topic).decode())
        self.assertIn("RECORDS LEFT", self.qtool("cluster", "disks").decode())
        # It stays after all.
        self.qtool("partition", "move", topic, "0", "--log-dir", here)
        self.assertEqual(self.moves(), [])
        self.qtool("config", "unset", "broker", "default", RATE)
        answer = json.loads(self.qtool("partition", "move", topic, "0", "--log-dir", other, "-o", "json"))
        self.assertEqual(answer, {"topic": topic, "partition": 0, "log_dir": other})
        self.wait_for(lambda: self.describe(topic)["log_dir"] == other)
        self.assertEqual(len(self.consume(topic).splitlines()), 5000)
        self.assertNotIn("RECORDS LEFT", self.qtool("cluster", "disks").decode())

    def test_refused(self):
        topic = self.topic()
        for words in ((topic, "0", "--log-dir", "/no/such"), ("no-such", "0", "--log-dir", self.dirs[0]),
                      (topic, "7", "--log-dir", self.dirs[0])):
            done = self.qtool_done("partition", "move", *words)
            self.assertNotEqual(done.returncode, 0, words)
            self.assertEqual(done.stdout, b"")
        self.qtool("partition", "move", topic, "0", status=2)


if __name__ == "__main__":
    unittest.main()
