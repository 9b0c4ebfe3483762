"""The table of exit statuses, and that errors go to stderr alone."""
import os
import pathlib
import socket
import subprocess
import tempfile
import unittest

from tests.cli.cli_case import CLOSED_PORT, QTOOL, CliCase


class ExitStatusTest(CliCase):
    def check(self, status, *args, stdin=b"", **kwargs):
        done = subprocess.run([QTOOL, *args], input=stdin, capture_output=True, timeout=30, **kwargs)
        self.assertEqual(done.returncode, status, f"{args}: {done.stderr.decode()}")
        if status != 0:
            self.assertEqual(done.stdout, b"", args)
            self.assertIn(b"qtool: ", done.stderr, args)
        return done

    def served(self, status, *args, **kwargs):
        return self.check(status, "-b", self.broker.address, *args, **kwargs)

    def test_0_help_and_version(self):
        for words in ([], ["topic"], ["topic", "create"], ["topic", "list"], ["topic", "describe"],
                      ["topic", "alter"], ["topic", "delete"], ["produce"], ["consume"],
                      ["offsets"], ["cluster"], ["cluster", "status"],
                      ["cluster", "disks"], ["partition", "move"], ["bench"], ["bench", "produce"], ["bench", "consume"],
                      ["bench", "e2e"], ["bench", "mixed"], ["completion"]):
            done = self.check(0, *words, "--help")
            if words != ["cluster"]:
                self.assertIn(b"Examples:", done.stdout, words)
        self.assertRegex(self.check(0, "--version").stdout, rb"^qtool \d+\.\d+\.\d+\n$")

    def test_1_failed(self):
        name = self.topic(2)
        self.served(1, "topic", "alter", name, "--config", "no.such.option=1")
        self.served(1, "produce", name, "--json", stdin=b"nonsense\n")

    def test_2_usage(self):
        for words in ([], ["nonsense"], ["topic"], ["topic", "create"], ["--no-such", "topic", "list"],
                      ["topic", "list", "-o", "yaml"], ["topic", "list", "--timeout", "0"],
                      ["-b", "a:x", "topic", "list"], ["-c", "no-such-context", "topic", "list"],
                      ["topic", "create", "x", "-p", "0"], ["topic", "create", "x", "--config", "x"],
                      ["topic", "alter", "x"], ["consume"], ["produce"], ["offsets"],
                      ["consume", "t", "--from", "nonsense"], ["consume", "t", "--to", "nonsense"],
                      ["consume", "t", "--to", "2999-01-01"], ["consume", "t", "-n", "0"],
                      ["consume", "t", "-f", "%y"], ["consume", "t", "-f", "%s", "-o", "json"],
                      ["consume", "t", "-X", "no.such=1"], ["consume", "t", "-X", "linger.ms=x"],
                      ["consume", "t", "-g", "g", "-p", "0"], ["consume", "t", "-p", "-1"],
                      ["produce", "t", "-z", "brotli"], ["produce", "t", "-a", "2"],
                      ["produce", "t", "-H", "x"], ["produce", "t", "-D", "\\q"],
                      ["produce", "t", "--keep-partition"], ["produce", "t", "--json", "-k", ":"],
                      ["produce", "t", "-r", "0"], ["offsets", "t", "--time", "x"],
                      ["completion", "tcsh"]):
            with self.subTest(words):
                self.check(2, *words)

    def test_3_no_broker(self):
        for words in (["topic", "list"], ["topic", "create", "x"], ["cluster", "status"],
                      ["consume", "-t", "x", "-e"], ["consume", "-t", "x"], ["produce", "-t", "x"],
                      ["offsets", "-t", "x"]):
            with self.subTest(words):
                self.check(3, "-b", CLOSED_PORT, "--timeout", "1", *words, stdin=b"x\n")

    def test_3_a_broker_that_never_answers(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"127.0.0.1:{silent.getsockname()[1]}"
            for words in (["topic", "list"], ["consume", "x"], ["produce", "x"], ["offsets", "x"]):
                with self.subTest(words):
                    self.check(3, "-b", address, "--timeout", "0.5", *words)

    def test_4_does_not_exist(self):
        name = self.topic(2)
        for words in (["topic", "describe", "absent"], ["topic", "delete", "absent"],
                      ["topic", "alter", "absent", "-p", "2"], ["consume", "-t", "absent"],
                      ["offsets", "-t", "absent"], ["produce", "-t", "absent"],
                      ["consume", "-t", name, "-p", "2"], ["offsets", "-t", name, "-p", "0,7"],
                      ["produce", "-t", name, "-p", "2"]):
            with self.subTest(words):
                self.served(4, *words, stdin=b"x\n")
        self.served(0, "topic", "delete", "absent", "--if-exists")

    def test_5_exists_already(self):
        name = self.topic()
        self.served(5, "topic", "create", name)
        self.served(0, "topic", "create", name, "--if-not-exists")

    def test_brokers_come_from_flag_context_or_environment(self):
        with tempfile.TemporaryDirectory() as home:
            contexts = pathlib.Path(home, "qtool", "contexts")
            contexts.parent.mkdir()
            contexts.write_text(f"[here]\nbrokers = {self.broker.address}\n")
            env = {**os.environ, "XDG_CONFIG_HOME": home, "QTOOL_BROKERS": CLOSED_PORT}
            self.check(3, "topic", "list", env=env)
            self.check(0, "topic", "list", "-c", "here", env=env)
            self.check(0, "-b", self.broker.address, "topic", "list", env=env)
            self.check(3, "-b", CLOSED_PORT, "-c", "here", "topic", "list", env=env)
            env["QTOOL_BROKERS"] = self.broker.address
            self.check(0, "topic", "list", env=env)


class NotAllowedTest(CliCase):
    BROKER_OPTIONS = ("--set", "delete.topic.enable=false")

    def test_6_not_allowed(self):
        name = self.topic()
        self.qtool("topic", "delete", name, status=6)


class AutoCreateTest(CliCase):
    BROKER_OPTIONS = ("--set", "auto.create.topics.enable=true")

    def test_produce_makes_a_topic_where_the_broker_allows_it(self):
        self.produce("fresh", b"a\n")
        self.assertEqual(self.consume("fresh"), b"a\n")
        self.qtool("consume", "-t", "other", "-e", status=4)


if __name__ == "__main__":
    unittest.main()
