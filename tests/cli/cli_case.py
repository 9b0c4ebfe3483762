"""What the tests of qtool share: one broker a test class, qtool as a process."""
import itertools
import json
import os
import pathlib
import select
import subprocess
import time
import unittest

if "QT_BUILD" in os.environ:
    os.environ.setdefault("QT_BIN", str(pathlib.Path(os.environ["QT_BUILD"]).resolve() / "bin"))

from tests.harness.broker import BIN, ROOT, Broker  # noqa: E402  (after the path is set)

QTOOL = str(BIN / "qtool")
CLOSED_PORT = "127.0.0.1:1"  # nobody listens on tcpmux


class CliCase(unittest.TestCase):
    """self.broker serves; self.topic() makes a topic of its own for each call."""

    BROKER_OPTIONS = ("--set", "auto.create.topics.enable=false")
    numbers = itertools.count()

    @classmethod
    def setUpClass(cls):
        cls.broker = Broker(*cls.BROKER_OPTIONS)
        cls.addClassCleanup(cls.broker.__exit__, None, None, None)
        cls.broker.start()

    def qtool(self, *args, stdin=b"", status=0, timeout=60):
        """Runs qtool, checks its status, returns stdout (bytes)."""
        done = self.qtool_done(*args, stdin=stdin, timeout=timeout)
        self.assertEqual(done.returncode, status, f"{args}: {done.stderr.decode()[-2000:]}")
        return done.stdout

    def qtool_done(self, *args, stdin=b"", timeout=60):
        return subprocess.run([QTOOL, "-b", self.broker.address, *args], input=stdin,
                              capture_output=True, timeout=timeout)

    def start(self, *args, **kwargs):
        """A running qtool with pipes; killed at the end of the test."""
        process = subprocess.Popen([QTOOL, "-b", self.broker.address, *args],
                                   **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE,
                                      "stderr": subprocess.PIPE, **kwargs})
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None and not pipe.closed:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass

    def topic(self, partitions=1):
        name = f"t{next(self.numbers)}"
        self.qtool("topic", "create", name, "-p", str(partitions))
        return name

    def produce(self, topic, data, *args, **kwargs):
        return self.qtool("produce", "-t", topic, *args, stdin=data, **kwargs)

    def consume(self, topic, *args, **kwargs):
        return self.qtool("consume", "-t", topic, "--exit-at-end", *args, **kwargs)

    def consume_json(self, topic, *args):
        return [json.loads(line) for line in self.consume(topic, "-o", "json", *args).splitlines()]

    def end_offset(self, topic, partition=0):
        report = json.loads(self.qtool("offsets", "-t", topic, "-o", "json"))
        return report["partitions"][partition]["latest"]

    def wait_for(self, condition, seconds=20):
        deadline = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), deadline, "what is waited for did not happen")
            time.sleep(0.02)

    def read_some(self, pipe, seconds=20):
        """At least one byte of the pipe."""
        ready, _, _ = select.select([pipe], [], [], seconds)
        self.assertTrue(ready, "nothing came")
        return os.read(pipe.fileno(), 1 << 20)


def status_field_mib(process, field):
    for line in open(f"/proc/{process.pid}/status"):
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {field}")
