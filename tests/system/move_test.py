"""AlterReplicaLogDirs: a partition goes from one log directory to another while it is written to and
through kill -9; every acknowledged record is there afterwards, in one directory only.
"""
import pathlib
import random
import struct
import tempfile
import threading
import time
import unittest

from tests.harness import wire
from tests.harness.broker import Broker

ALTER_REPLICA_LOG_DIRS = 34
NONE, UNKNOWN_TOPIC, LOG_DIR_NOT_FOUND = 0, 3, 57


def move(path, topic, partition):
    body = wire.int32(1) + wire.string(path) + wire.int32(1) + wire.string(topic)
    body += wire.int32(1) + wire.int32(partition)
    return wire.request(ALTER_REPLICA_LOG_DIRS, 1, body)


def move_error(answer):
    return struct.unpack(">h", answer[-2:])[0]


class MoveTest(unittest.TestCase):
    def setUp(self):
        work = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.dirs = [work / "a", work / "b"]
        self.broker = self.enterContext(Broker(
            "--set", "log.dir.reserve.bytes=0", data_dir=f"{self.dirs[0]},{self.dirs[1]}"))
        self.broker.create_topic("t", segment_bytes="1048576")
        self.acknowledged = 0

    def connect(self):
        return self.enterContext(wire.Connection(self.broker.port))

    def produce(self, connection, count):
        for _ in range(count):
            batch = wire.batch([wire.record(b"%d" % self.acknowledged + b"." * 50_000)],
                               timestamp=int(time.time() * 1000))
            self.assertEqual(wire.produce_error(connection.ask(wire.produce("t", 0, batch)))[0], 0)
            self.acknowledged += 1

    def places(self):
        return [i for i, path in enumerate(self.dirs) if (path / "t-0").is_dir()]

    def other(self):
        return str(self.dirs[1 - self.places()[0]])

    def wait_until_in(self, path):
        deadline = time.monotonic() + 60
        while [str(self.dirs[i]) for i in self.places()] != [path]:
            self.assertLess(time.monotonic(), deadline, "the move does not end")
            time.sleep(0.02)

    def check_records(self, connection):
        """Offset 0 up to the end are there and whole."""
        end = wire.list_offsets_answer(connection.ask(wire.list_offsets("t", 0)))[1]
        self.assertGreaterEqual(end, self.acknowledged)
        done = self.broker.qtool("consume", "-t", "t", "-e", "-f", "%o\n")
        self.assertEqual(done.stdout.split(), [b"%d" % i for i in range(end)])
        self.acknowledged = end

    def test_errors(self):
        connection = self.connect()
        self.produce(connection, 1)
        there = str(self.dirs[self.places()[0]])
        for path, topic, error in ((there, "t", NONE), ("/elsewhere", "t", LOG_DIR_NOT_FOUND),
                                   (there, "no-topic", UNKNOWN_TOPIC)):
            self.assertEqual(move_error(connection.ask(move(path, topic, 0))), error, path)

    def test_moves_while_it_is_written(self):
        connection = self.connect()
        self.produce(connection, 100)
        for _ in range(4):
            path = self.other()
            self.assertEqual(move_error(connection.ask(move(path, "t", 0))), NONE)
            self.produce(connection, 40)
            self.wait_until_in(path)
            self.produce(connection, 5)
        self.check_records(connection)
        self.broker.stop()
        self.broker.start()
        self.check_records(self.connect())

    def test_killed_while_it_moves(self):
        self.broker.qtool("config", "set", "broker", "default",
                          "replica.alter.log.dirs.io.max.bytes.per.second=20000000")
        connection = self.connect()
        self.produce(connection, 60)
        for cycle in range(8):
            path = self.other()
            self.assertEqual(move_error(connection.ask(move(path, "t", 0))), NONE)
            self.produce(connection, 3 * cycle)
            self.broker.kill()
            self.broker.start()
            connection = self.connect()
            self.wait_until_in(path)  # it goes on after the start
            self.check_records(connection)

    def test_the_topic_goes_meanwhile(self):
        self.broker.qtool("config", "set", "broker", "default",
                          "replica.alter.log.dirs.io.max.bytes.per.second=1000")
        connection = self.connect()
        self.produce(connection, 20)
        self.assertEqual(move_error(connection.ask(move(self.other(), "t", 0))), NONE)
        time.sleep(0.3)
        self.assertTrue([n for d in self.dirs for n in d.iterdir() if n.name.endswith("-future")])
        self.assertEqual(self.broker.http("DELETE", "/v1/topics/t")[0], 204)
        deadline = time.monotonic() + 30
        while [n for d in self.dirs for n in d.iterdir() if n.name.startswith("t-0")]:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)


class Load:
    """Writes to each partition of a topic, on and on, through kills; knows what was acknowledged."""

    def __init__(self, broker, topic, partitions):
        self.broker, self.topic = broker, topic
        self.acknowledged = [set() for _ in range(partitions)]
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(index,)) for index in range(partitions)]
        for thread in self.threads:
            thread.start()

    def run(self, index):
        number = 0
        while not self.stopping.is_set():
            try:
                with wire.Connection(self.broker.port) as connection:
                    while not self.stopping.is_set():
                        number += 1
                        batch = wire.batch([wire.record(b"%d" % number + b"." * random.randrange(20_000))],
                                           timestamp=int(time.time() * 1000))
                        answer = connection.ask(wire.produce(self.topic, index, batch))
                        if wire.produce_error(answer)[0] == 0:
                            self.acknowledged[index].add(number)
                        else:
                            time.sleep(0.02)
            except (OSError, EOFError, struct.error, IndexError, AssertionError):
                time.sleep(0.02)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


class MoveUnderLoadTest(unittest.TestCase):
    PARTITIONS = 4
    KILLS = 12

    def test_kill_9_in_a_loop(self):
        random.seed(1)
        work = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        dirs = [work / name for name in "abc"]
        broker = self.enterContext(Broker("--set", "log.dir.reserve.bytes=0",
                                          data_dir=",".join(map(str, dirs))))
        broker.create_topic("t", partitions=self.PARTITIONS, segment_bytes="1048576")
        load = Load(broker, "t", self.PARTITIONS)
        try:
            for kill in range(self.KILLS):
                until = time.monotonic() + random.uniform(0.1, 1.0)
                with wire.Connection(broker.port) as connection:
                    while time.monotonic() < until:
                        path = str(random.choice(dirs))
                        error = move_error(connection.ask(move(path, "t", random.randrange(self.PARTITIONS))))
                        self.assertEqual(error, NONE)
                        time.sleep(random.uniform(0, 0.2))
                if kill % 4 == 3:
                    broker.stop()
                else:
                    broker.kill()
                broker.restart()
            with wire.Connection(broker.port) as connection:
                for partition in range(self.PARTITIONS):
                    self.assertEqual(move_error(connection.ask(move(str(dirs[2]), "t", partition))), NONE)
            deadline = time.monotonic() + 120
            while any(n.name.startswith("t-") for d in dirs[:2] for n in d.iterdir()):
                self.assertLess(time.monotonic(), deadline, "the moves do not end")
                time.sleep(0.05)
        finally:
            load.stop()
        for partition in range(self.PARTITIONS):
            done = broker.qtool("consume", "-t", "t", "-p", str(partition), "-e", "-f", "%o %s\n")
            lines = [line.split() for line in done.stdout.splitlines()]
            self.assertEqual([int(offset) for offset, _ in lines], list(range(len(lines))))
            read = {int(value.rstrip(b".")) for _, value in lines}
            self.assertGreater(len(load.acknowledged[partition]), 20)
            self.assertLessEqual(load.acknowledged[partition], read)
        self.assertEqual({n.name for n in dirs[2].iterdir() if n.name.startswith("t.")}, set())


if __name__ == "__main__":
    unittest.main()
