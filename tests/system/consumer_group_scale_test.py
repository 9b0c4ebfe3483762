"""A consumer group of many members (KIP-848): all join, share the partitions, and one that leaves is
made up for. What is right is asserted; the times are printed, with bounds for any machine.
"""
import struct
import time
import unittest

from confluent_kafka.admin import AdminClient, NewTopic

from tests.harness import wire
from tests.harness.broker import Broker

MEMBERS, PARTITIONS = 1000, 1000
HEARTBEAT = 68
FIND_COORDINATOR = 10
JOIN_S_MAX, LEAVE_S_MAX = 60, 30


def uvarint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def compact(text):
    return b"\0" if text is None else uvarint(len(text) + 1) + text.encode()


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def uvarint(self):
        shift = value = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def text(self):
        size = self.uvarint()
        return None if size == 0 else self.take(size - 1).decode()


class Member:
    """The client's side of a member: what it was told, what it owns, what it has to say."""

    def __init__(self, number):
        self.id = f"member-{number:05d}"
        self.epoch = 0
        self.assigned = self.owned = frozenset()
        self.is_news = True
        self.error = 0

    def heartbeat(self, epoch=None):
        is_join = self.epoch == 0 and epoch is None
        body = compact("g") + compact(self.id) + wire.int32(self.epoch if epoch is None else epoch)
        body += b"\0\0" + wire.int32(60_000 if is_join else -1)
        body += uvarint(2) + compact("t") if is_join else b"\0"
        body += b"\0\0"  # no expression, the default assignor
        if self.is_news and epoch is None:
            topics = {}
            for topic, partition in sorted(self.owned):
                topics.setdefault(topic, []).append(partition)
            body += uvarint(len(topics) + 1)
            for topic, partitions in topics.items():
                body += topic + uvarint(len(partitions) + 1)
                body += b"".join(wire.int32(p) for p in partitions) + b"\0"
        else:
            body += b"\0"
        payload = wire.int16(HEARTBEAT) + wire.int16(1) + wire.int32(1) + wire.string("c") + b"\0"
        payload += body + b"\0"
        return wire.int32(len(payload)) + payload

    def hear(self, answer):
        """Takes the answer up at once, as a client without work does."""
        reader = Reader(answer)
        reader.take(1)  # tagged fields of the header
        reader.number(">i")
        self.error = reader.number(">h")
        reader.text()
        if self.error != 0:
            return
        reader.text()
        self.epoch = reader.number(">i")
        reader.number(">i")
        self.is_news = False
        if reader.number(">b") >= 0:
            assigned = set()
            for _ in range(reader.uvarint() - 1):
                topic = reader.take(16)
                for _ in range(reader.uvarint() - 1):
                    assigned.add((topic, reader.number(">i")))
                reader.uvarint()
            self.assigned = frozenset(assigned)
            self.is_news = self.assigned != self.owned
            self.owned = self.assigned


class ConsumerGroupScaleTest(unittest.TestCase):
    def beat_all(self, connection, members):
        """Heartbeats of all, a window of them under way at a time."""
        window = 50
        for first in range(0, len(members), window):
            part = members[first:first + window]
            connection.send(b"".join(member.heartbeat() for member in part))
            for member in part:
                member.hear(connection.answer()[1])
                self.assertEqual(member.error, 0, member.id)

    def settle(self, connection, members, counts, seconds_max):
        """Until every partition has an owner, and the members own so many each (ascending)."""
        began = time.monotonic()
        rounds = 0
        while True:
            self.beat_all(connection, members)
            rounds += 1
            owned = [p for member in members for p in member.owned]
            self.assertEqual(len(owned), len(set(owned)), "a partition with two owners")
            if sorted(len(member.owned) for member in members) == counts:
                return time.monotonic() - began, rounds
            self.assertLess(time.monotonic() - began, seconds_max, f"{len(owned)} owned")

    def test_thousand_members(self):
        with Broker("--set", "offsets.topic.replication.factor=1") as broker:
            admin = AdminClient({"bootstrap.servers": broker.address})
            admin.create_topics([NewTopic("t", PARTITIONS, 1)])["t"].result(60)
            port = int(broker.address.rsplit(":", 1)[1])
            with wire.Connection(port, timeout=60) as connection:
                deadline = time.monotonic() + 30
                while True:  # the first request makes the topic of the coordinators
                    found = connection.ask(wire.request(FIND_COORDINATOR, 0, wire.string("g")))
                    if struct.unpack(">h", found[:2])[0] == 0:
                        break
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.05)
                members = [Member(n) for n in range(MEMBERS)]
                deadline = time.monotonic() + 30
                while True:  # loading
                    members[0].hear(connection.ask(members[0].heartbeat()))
                    if members[0].error == 0:
                        break
                    self.assertIn(members[0].error, (14, 15, 16))
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.05)
                joined_s, rounds = self.settle(connection, members, [1] * MEMBERS, JOIN_S_MAX)
                print(f"{MEMBERS} members joined and settled in {joined_s:.2f} s, {rounds} rounds")
                leaver = members.pop()
                leaver.hear(connection.ask(leaver.heartbeat(epoch=-1)))
                self.assertEqual(leaver.error, 0)
                left_s, rounds = self.settle(connection, members, [1] * (MEMBERS - 2) + [2],
                                             LEAVE_S_MAX)
                print(f"a leave settled in {left_s:.2f} s, {rounds} rounds")


if __name__ == "__main__":
    unittest.main()
