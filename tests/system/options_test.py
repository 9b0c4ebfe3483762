"""Options of qbroker: flags over --set over the file, errors that say what is wrong, addresses."""
import json
import os
import pathlib
import socket
import subprocess
import tempfile
import time
import unittest

from tests.harness import wire
from tests.harness.broker import BIN, Broker


class OptionsTest(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def config(self, text):
        path = self.work / "qbroker.conf"
        path.write_text(text)
        return str(path)

    def value(self, broker, name):
        _, answer = broker.http("GET", "/v1/config/broker")
        return {c["name"]: c for c in answer["configs"]}[name]["value"]

    def refused(self, *args, status=2):
        """stderr of a qbroker that does not start."""
        done = subprocess.run([str(BIN / "qbroker"), *args], capture_output=True, text=True,
                              timeout=20, cwd=self.work)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(done.stdout, "")
        return done.stderr

    def test_no_argument_at_all(self):
        """Data in ./qbroker-data, port 9092 on loopback. Where that port is taken, it says so."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", 9092))
                free = True
            except OSError:
                free = False
        if not free:
            self.assertIn("9092", self.refused(status=1))
            return
        with subprocess.Popen([str(BIN / "qbroker")], cwd=self.work, stderr=subprocess.PIPE,
                              text=True) as process:
            try:
                for line in process.stderr:
                    if "serving" in line:
                        break
                self.assertIn("127.0.0.1:9092", line)
                with wire.Connection(9092) as connection:
                    self.assertTrue(connection.ask(wire.api_versions()))
                self.assertTrue((self.work / "qbroker-data").is_dir())
            finally:
                process.terminate()
            self.assertEqual(process.wait(20), 0)

    def test_flag_over_set_over_file(self):
        path = self.config("# a comment\n! another\n\nnum.partitions = 7\nlog.retention.hours=24\n"
                           "broker.rack=file\nnode.id=5\n")
        with Broker("--config", path, "--set", "num.partitions=9", "--set", "broker.rack=set",
                    "--rack", "flag") as broker:
            self.assertEqual(self.value(broker, "log.retention.hours"), "24")
            self.assertEqual(self.value(broker, "num.partitions"), "9")
            self.assertEqual(self.value(broker, "broker.rack"), "flag")
            self.assertEqual(broker.http("GET", "/v1/cluster")[1]["broker_id"], 5)
            # They are not only shown: a topic gets what they say.
            status, _ = broker.http("POST", "/v1/topics", {"name": "default"})
            self.assertEqual(status, 201)
            topic = broker.describe("default")
            self.assertEqual(len(topic["partitions"]), 9)
            configs = {c["name"]: c["value"] for c in topic["configs"]}
            self.assertEqual(configs["retention.ms"], str(24 * 3600 * 1000))

    def test_errors_name_the_option_and_the_place(self):
        for args, words in (
                (["--set", "num.partition=3"], ["num.partition", "num.partitions"]),  # did you mean
                (["--set", "no.such.thing=3"], ["no.such.thing"]),
                (["--set", "num.partitions=many"], ["num.partitions", "many"]),
                (["--set", "num.partitions=0"], ["num.partitions"]),
                (["--set", "novalue"], ["novalue"]),
                (["--set", "log.cleanup.policy=shred"], ["shred"]),
                (["--set", "log.preallocate=true"], ["log.preallocate", "reserve"]),
                (["--no-such-flag"], ["no-such-flag"]),
                (["--node-id", "minus"], ["node"]),
                (["--config", str(self.work / "absent")], ["absent"]),
                (["--config", self.config("num.partitions=3\nretention=1\n")],
                 ["line 2", "retention"]),
                (["--listen", "nonsense:port"], ["nonsense:port"]),
                (["--listen", "127.0.0.1:99999"], ["99999"]),
                (["--data-dir", ""], []),
        ):
            with self.subTest(args):
                text = self.refused(*args)
                for word in words:
                    self.assertIn(word, text)
                self.assertFalse((self.work / "qbroker-data").exists(), "refused, yet it began")

    def test_beyond_loopback_only_when_told_so(self):
        for listen in (":0", "0.0.0.0:0", "[::]:0"):
            text = self.refused("--data-dir", str(self.work / "data"), "--listen", listen)
            self.assertIn("--insecure-allow-remote", text)
        broker = Broker("--insecure-allow-remote", "--advertise", "127.0.0.1:0")
        try:
            broker.start(listen="0.0.0.0:0")
            with wire.Connection(broker.port) as connection:
                self.assertTrue(connection.ask(wire.api_versions()))
            self.assertEqual(broker.stop(), 0)
        finally:
            broker.__exit__(None)

    def test_port_0_and_the_ready_file(self):
        with Broker() as one, Broker() as two:
            self.assertNotEqual(one.port, two.port)
            self.assertGreater(one.port, 1023)
            ready = one.work / "ready"
            self.assertEqual(ready.read_text(), f"127.0.0.1:{one.port}\n")
            self.assertEqual(one.stop(), 0)
            self.assertFalse(ready.exists())

    def test_a_port_that_is_taken(self):
        with Broker() as broker:
            text = self.refused("--data-dir", str(self.work / "data"), "--listen", broker.address,
                                status=1)
            self.assertIn(broker.address, text)

    def test_a_door_of_its_own_for_http(self):
        with Broker("--set", "admin.listeners=127.0.0.1:0") as broker:
            kafka, admin = (broker.work / "ready").read_text().splitlines()
            with wire.Connection(int(kafka.rsplit(":", 1)[1])) as connection:
                connection.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                self.assertTrue(connection.is_closed_by_peer())
            with wire.Connection(int(kafka.rsplit(":", 1)[1])) as connection:
                self.assertTrue(connection.ask(wire.api_versions()))
            with wire.Connection(int(admin.rsplit(":", 1)[1])) as connection:
                connection.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                self.assertIn(b" 200 ", connection.receive(20))
            with wire.Connection(int(admin.rsplit(":", 1)[1])) as connection:
                connection.send(wire.api_versions())
                self.assertTrue(connection.is_closed_by_peer())

    def test_log_lines_as_json(self):
        with Broker("--set", "log.format=json", "--set", "log.level=debug") as broker:
            broker.create_topic("logged")
            self.assertEqual(broker.stop(), 0)
            lines = [json.loads(line) for line in broker.log_path.read_text().splitlines()]
        self.assertTrue(all({"time", "level", "event"} <= set(line) for line in lines), lines)
        events = [line["event"] for line in lines]
        self.assertEqual((events[0], events[-1]), ("starting", "stopped"))

    def test_advertised_address(self):
        with Broker("--advertise", "broker.example:1234") as broker:
            (info,) = broker.http("GET", "/v1/cluster")[1]["brokers"]
            self.assertEqual((info["host"], info["port"]), ("broker.example", 1234))

    def test_limits_are_honoured(self):
        with Broker("--set", "socket.request.max.bytes=5000", "--set", "max.connections=3",
                    "--set", "auto.create.topics.enable=false",
                    "--set", "delete.topic.enable=false") as broker:
            broker.create_topic("here")
            self.assertGreaterEqual(broker.http("DELETE", "/v1/topics/here")[0], 400)
            with wire.Connection(broker.port) as connection:
                connection.send(wire.int32(5001) + b"\0" * 100)
                self.assertTrue(connection.is_closed_by_peer())
            three = [self.served_connection(broker) for _ in range(3)]
            with wire.Connection(broker.port) as fourth:
                self.assertTrue(fourth.is_closed_by_peer())
            metadata = three[0].ask(wire.request(wire.METADATA, 4, wire.int32(1) +
                                                 wire.string("nowhere") + b"\1"))
            self.assertIn(wire.int16(3) + wire.string("nowhere"), metadata)

    def served_connection(self, broker):
        """The broker may not have seen yet that earlier connections ended, and count them."""
        deadline = time.monotonic() + 10
        while True:
            connection = self.enterContext(wire.Connection(broker.port))
            try:
                connection.ask(wire.api_versions())
                return connection
            except (EOFError, ConnectionError):
                self.assertLess(time.monotonic(), deadline, "no room for a third connection")
                time.sleep(0.01)

    def test_help_and_version(self):
        for args, words in ((["--help"], ["--data-dir", "--listen", "--set", "--config"]),
                            (["--version"], ["qbroker"]),
                            (["--help-options"], ["log.retention.ms", "write.caching"])):
            done = subprocess.run([str(BIN / "qbroker"), *args], capture_output=True, text=True,
                                  timeout=20, cwd=self.work)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            for word in words:
                self.assertIn(word, done.stdout)
            self.assertEqual(os.listdir(self.work), [])


if __name__ == "__main__":
    unittest.main()
