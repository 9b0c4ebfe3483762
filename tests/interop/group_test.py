"""Consumer groups of librdkafka (Debian's Python binding and kcat) against qbroker: members share
the partitions, go on where the group was, and keep their offsets when the broker dies.
"""
import subprocess
import threading
import time
import unittest

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from tests.harness.broker import Broker


class Member:
    """A consumer on a thread of its own; .values is what it read, .held its partitions."""

    def __init__(self, address, group, topic, **options):
        self.values = []
        self.held = set()
        self.rebalances = 0
        self.errors = []
        self.stopping = False
        self.consumer = Consumer({
            "bootstrap.servers": address, "group.id": group, "auto.offset.reset": "earliest",
            "session.timeout.ms": 6000, "heartbeat.interval.ms": 500, "log_level": 0,
            "auto.commit.interval.ms": 200, "reconnect.backoff.max.ms": 500,
            **{key.replace("_", "."): value for key, value in options.items()}})
        self.consumer.subscribe([topic], on_assign=self.on_assign, on_revoke=self.on_revoke)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def on_assign(self, _, partitions):
        self.rebalances += 1
        self.held = {p.partition for p in partitions}

    def on_revoke(self, *_):
        self.held = set()

    def run(self):
        while not self.stopping:
            message = self.consumer.poll(0.1)
            if message is None:
                continue
            if message.error() is None:
                self.values.append(message.value().decode())
            elif not message.error().retriable():
                self.errors.append(str(message.error()))

    def close(self, leave=True):
        self.stopping = True
        self.thread.join()
        if leave:
            self.consumer.close()


class GroupTest(unittest.TestCase):
    def setUp(self):
        # A test waits for a rebalance often; three seconds each would be most of its time.
        self.broker = self.enterContext(Broker("--set", "group.initial.rebalance.delay.ms=200"))

    def member(self, group, topic, **options):
        member = Member(self.broker.address, group, topic, **options)
        self.addCleanup(lambda: member.stopping or member.close())
        return member

    def produce(self, topic, values, partitions=4):
        producer = Producer({"bootstrap.servers": self.broker.address, "log_level": 0})
        for index, value in enumerate(values):
            producer.produce(topic, value, partition=index % partitions)
        self.assertEqual(producer.flush(30), 0)

    def wait_for(self, what, condition, timeout_s=30):
        deadline = time.monotonic() + timeout_s
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"no {what} in {timeout_s} s")
            time.sleep(0.05)

    def committed(self, group, topic, partitions=4):
        """Offsets by partition, asked by a consumer that is no member."""
        consumer = Consumer({"bootstrap.servers": self.broker.address, "group.id": group, "log_level": 0})
        try:
            asked = [TopicPartition(topic, p) for p in range(partitions)]
            return {p.partition: p.offset for p in consumer.committed(asked, timeout=20)}
        finally:
            consumer.close()

    def test_members_share_and_take_over(self):
        self.broker.create_topic("shared", 4)
        self.produce("shared", [str(n) for n in range(200)])
        first = self.member("g", "shared")
        self.wait_for("all records", lambda: len(first.values) == 200)
        self.assertEqual(first.held, {0, 1, 2, 3})
        second = self.member("g", "shared")
        self.wait_for("two and two", lambda: len(first.held) == 2 and len(second.held) == 2)
        self.assertEqual(first.held | second.held, {0, 1, 2, 3})
        self.produce("shared", [str(n) for n in range(200, 400)])
        self.wait_for("the new ones", lambda: len(first.values) + len(second.values) == 400)
        self.assertEqual(sorted(first.values + second.values, key=int), [str(n) for n in range(400)])
        second.close()
        self.wait_for("all four again", lambda: len(first.held) == 4)
        self.assertEqual(first.errors + second.errors, [])

    def test_a_silent_member_loses_its_partitions(self):
        self.broker.create_topic("silent", 2)
        first = self.member("g", "silent")
        silent = self.member("g", "silent", max_poll_interval_ms=6000)
        self.wait_for("one each", lambda: len(first.held) == 1 and len(silent.held) == 1)
        silent.close(leave=False)  # it heartbeats, but does not poll
        self.wait_for("both", lambda: len(first.held) == 2)
        silent.consumer.close()

    def test_offsets_outlive_the_broker(self):
        self.broker.create_topic("kept", 4)
        self.produce("kept", [str(n) for n in range(100)])
        member = self.member("g", "kept")
        self.wait_for("all records", lambda: len(member.values) == 100)
        member.close()
        self.assertEqual(self.committed("g", "kept"), {p: 25 for p in range(4)})
        address = self.broker.address
        for stop in (self.broker.stop, self.broker.kill):
            stop()
            self.broker.start(address)
            self.assertEqual(self.committed("g", "kept"), {p: 25 for p in range(4)})
        self.produce("kept", [str(n) for n in range(100, 140)])
        member = self.member("g", "kept")
        self.wait_for("the rest", lambda: len(member.values) == 40)
        self.assertEqual(sorted(member.values, key=int), [str(n) for n in range(100, 140)])

    def test_members_live_on_through_a_killed_broker(self):
        self.broker.create_topic("through", 4)
        members = [self.member("g", "through", session_timeout_ms=30000) for _ in range(2)]
        self.wait_for("two and two", lambda: all(len(m.held) == 2 for m in members))
        before = [m.rebalances for m in members]
        address = self.broker.address
        self.broker.kill()
        self.broker.start(address)
        self.produce("through", [str(n) for n in range(80)])
        self.wait_for("all records", lambda: sum(len(m.values) for m in members) >= 80)
        self.assertEqual(sorted(members[0].values + members[1].values, key=int),
                         [str(n) for n in range(80)])
        self.assertEqual([m.rebalances for m in members], before)  # the group was in the log
        for member in members:
            member.close()
        self.assertEqual(self.committed("g", "through"), {p: 20 for p in range(4)})

    def test_a_static_member_comes_back_without_a_rebalance(self):
        self.broker.create_topic("static", 4)
        options = {"session_timeout_ms": 30000}
        other = self.member("g", "static", group_instance_id="a", **options)
        back = self.member("g", "static", group_instance_id="b", **options)
        self.wait_for("two and two", lambda: len(other.held) == 2 and len(back.held) == 2)
        before, held = other.rebalances, back.held
        back.close()  # a static member does not leave
        again = self.member("g", "static", group_instance_id="b", **options)
        self.wait_for("its partitions", lambda: again.held == held)
        self.assertEqual(other.rebalances, before)

    def test_commits_that_are_refused(self):
        self.broker.create_topic("refused", 2)
        member = self.member("g", "refused")
        self.wait_for("a member", lambda: len(member.held) == 2)
        stranger = Consumer({"bootstrap.servers": self.broker.address, "group.id": "g", "log_level": 0})
        self.addCleanup(stranger.close)
        with self.assertRaises(KafkaException) as refused:
            stranger.commit(offsets=[TopicPartition("refused", 0, 5)], asynchronous=False)
        self.assertEqual(refused.exception.args[0].name(), "UNKNOWN_MEMBER_ID")
        tool = Consumer({"bootstrap.servers": self.broker.address, "group.id": "tool", "log_level": 0})
        self.addCleanup(tool.close)
        tool.commit(offsets=[TopicPartition("refused", 0, 5)], asynchronous=False)
        self.assertEqual(self.committed("tool", "refused", 2), {0: 5, 1: -1001})

    def test_offsets_go_with_their_topic(self):
        self.broker.create_topic("gone", 1)
        tool = Consumer({"bootstrap.servers": self.broker.address, "group.id": "g", "log_level": 0})
        self.addCleanup(tool.close)
        tool.commit(offsets=[TopicPartition("gone", 0, 5)], asynchronous=False)
        self.broker.http("DELETE", "/v1/topics/gone")
        self.broker.create_topic("gone", 1)
        self.assertEqual(self.committed("g", "gone", 1), {0: -1001})

    def test_offsets_in_a_transaction_count_with_it(self):
        self.broker.create_topic("in", 1)
        self.broker.create_topic("out", 1)
        self.produce("in", [str(n) for n in range(10)], 1)
        member = Consumer({"bootstrap.servers": self.broker.address, "group.id": "g", "log_level": 0,
                           "enable.auto.commit": False, "auto.offset.reset": "earliest",
                           "isolation.level": "read_committed"})
        self.addCleanup(member.close)
        member.subscribe(["in"])
        self.wait_for("an assignment", lambda: member.poll(0.1) is not None)
        producer = Producer({"bootstrap.servers": self.broker.address, "log_level": 0,
                             "transactional.id": "x"})
        producer.init_transactions(30)

        def transaction(offset, end):
            producer.begin_transaction()
            producer.produce("out", f"up to {offset}")
            producer.send_offsets_to_transaction([TopicPartition("in", 0, offset)],
                                                 member.consumer_group_metadata(), 30)
            end(30)

        transaction(4, producer.commit_transaction)
        self.assertEqual(self.committed("g", "in", 1), {0: 4})
        transaction(8, producer.abort_transaction)
        self.assertEqual(self.committed("g", "in", 1), {0: 4})
        address = self.broker.address
        self.broker.kill()
        self.broker.start(address)
        self.assertEqual(self.committed("g", "in", 1), {0: 4})
        transaction(9, producer.commit_transaction)
        self.assertEqual(self.committed("g", "in", 1), {0: 9})

    def test_kcat_reads_as_a_group(self):
        self.broker.create_topic("kcat", 2)
        self.produce("kcat", [str(n) for n in range(20)], 2)
        for count in (5, 15):
            done = subprocess.run(
                ["kcat", "-b", self.broker.address, "-G", "kcat", "-c", str(count), "-q",
                 "-X", "auto.offset.reset=earliest", "kcat"],
                capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(len(done.stdout.split()), count)


if __name__ == "__main__":
    unittest.main()
