"""Options set while the broker runs have their effect, without a restart: of one consumer group from
its next heartbeat on, of the broker in its coordinators, compaction, retention and listeners.
"""
import socket
import struct
import time
import unittest

from tests.harness import wire
from tests.harness.broker import Broker
from tests.system.consumer_group_scale_test import Member, Reader

FIND_COORDINATOR = 10
FOREVER_MS = 86_400_000


def heartbeat_interval(answer):
    reader = Reader(answer)
    reader.take(1)
    reader.number(">i")
    reader.number(">h")
    reader.text()
    reader.text()
    reader.number(">i")
    return reader.number(">i")


class DynamicOptionsTest(unittest.TestCase):
    def wait_for(self, condition, what, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.05)

    def connect(self, broker):
        return self.enterContext(wire.Connection(int(broker.address.rsplit(":", 1)[1])))

    def join(self, connection):
        def is_found():
            found = connection.ask(wire.request(FIND_COORDINATOR, 0, wire.string("g")))
            return struct.unpack(">h", found[:2])[0] == 0
        self.wait_for(is_found, "no coordinator")
        member = Member(1)

        def has_joined():
            member.hear(connection.ask(member.heartbeat()))
            return member.error == 0
        self.wait_for(has_joined, "the coordinator does not load")
        return member

    def beat(self, connection, member):
        answer = connection.ask(member.heartbeat())
        member.hear(answer)
        return 0 if member.error != 0 else heartbeat_interval(answer)

    def test_options_of_a_group(self):
        with Broker("--set", "offsets.topic.replication.factor=1",
                    "--set", "group.consumer.min.heartbeat.interval.ms=100",
                    "--set", "group.consumer.min.session.timeout.ms=500") as broker:
            broker.create_topic("t")
            connection = self.connect(broker)
            member = self.join(connection)
            self.assertEqual(self.beat(connection, member), 5000)
            broker.qtool("config", "set", "group", "g", "consumer.heartbeat.interval.ms=200")
            self.assertEqual(self.beat(connection, member), 200)
            refused = broker.qtool("config", "set", "group", "g",
                                   "consumer.heartbeat.interval.ms=50", check=False)
            self.assertNotEqual(refused.returncode, 0)
            # The session that this heartbeat begins is short; nothing follows it.
            broker.qtool("config", "set", "group", "g", "consumer.session.timeout.ms=500")
            self.assertEqual(self.beat(connection, member), 200)
            time.sleep(2)
            self.assertEqual(self.beat(connection, member), 0)
            self.assertEqual(member.error, 25)  # UNKNOWN_MEMBER_ID: it is gone
            broker.qtool("config", "unset", "group", "g", "consumer.session.timeout.ms")
            broker.qtool("config", "unset", "group", "g", "consumer.heartbeat.interval.ms")
            member = self.join(connection)
            self.assertEqual(self.beat(connection, member), 5000)

    def test_options_of_the_broker(self):
        with Broker("--set", f"log.cleaner.backoff.ms={FOREVER_MS}",
                    "--set", "log.retention.check.interval.ms=100") as broker:
            broker.create_topic("compacted", **{"cleanup.policy": "compact",
                                                "segment.bytes": "1048576",
                                                "min.cleanable.dirty.ratio": "0"})
            broker.create_topic("short")
            connection = self.connect(broker)
            record = wire.batch([wire.record(b"v" * 200_000, key=b"k")],
                                timestamp=int(time.time() * 1000))
            for _ in range(12):
                answer = connection.ask(wire.produce("compacted", 0, record))
                self.assertEqual(wire.produce_error(answer)[0], 0)
            time.sleep(0.5)
            self.assertEqual(broker.metric("compactions_total"), 0)
            broker.qtool("config", "set", "broker", "1", "log.cleaner.backoff.ms=50")
            self.wait_for(lambda: broker.metric("compactions_total") > 0, "no compaction")

            broker.qtool("config", "set", "broker", "default", "log.retention.ms=1",
                         "log.roll.ms=1")

            def start_offset():
                # The active segment stays until another one begins.
                connection.ask(wire.produce("short", 0, record))
                answer = connection.ask(wire.list_offsets("short", 0, -2))
                return wire.list_offsets_answer(answer)[1]
            self.wait_for(lambda: start_offset() > 0, "retention does not know")

            for name in ("num.partitions=3", "cores=2", "log.cleaner.threads=2"):
                refused = broker.qtool("config", "set", "broker", "1", name, check=False)
                self.assertNotEqual(refused.returncode, 0, name)

            broker.qtool("config", "set", "broker", "1", "max.connections=1")
            host, port = broker.address.rsplit(":", 1)
            with socket.create_connection((host, int(port)), timeout=10) as second:
                self.assertEqual(second.recv(1), b"")


if __name__ == "__main__":
    unittest.main()
