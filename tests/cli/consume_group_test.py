"""`qtool consume -g`: members share a topic, and whatever ends one, the group reads every record."""
import json
import os
import signal
import subprocess

from confluent_kafka import Consumer, Producer

from tests.cli.cli_case import QTOOL, CliCase


def lines(first, end):
    return b"".join(b"%d\n" % i for i in range(first, end))


class ConsumeGroupTest(CliCase):
    # Members that die without a word are noticed soon, all members ask often.
    BROKER_OPTIONS = (*CliCase.BROKER_OPTIONS,
                      "--set", "group.consumer.min.session.timeout.ms=2000",
                      "--set", "group.consumer.session.timeout.ms=2000",
                      "--set", "group.consumer.min.heartbeat.interval.ms=300",
                      "--set", "group.consumer.heartbeat.interval.ms=300")

    def member(self, group, topic, *args):
        return self.start("consume", "-t", topic, "-g", group, *args)

    def committed(self, group):
        """{(topic, partition): offset}"""
        rows = map(json.loads, self.qtool("group", "export", group).splitlines())
        return {(row["topic"], row["partition"]): row["offset"] for row in rows}

    def members(self, group):
        return json.loads(self.qtool("group", "describe", group, "-o", "json"))["members"]

    def read_group(self, group, topic, *args):
        return self.qtool("consume", "-t", topic, "-g", group, "--exit-at-end", *args)

    def read_until(self, process, count):
        """So many lines, one after the other as they come."""
        text = b""
        while text.count(b"\n") < count:
            text += self.read_some(process.stdout)
        return text.splitlines()

    def interrupt(self, process):
        process.send_signal(signal.SIGINT)
        os.set_blocking(process.stdout.fileno(), True)
        rest = process.stdout.read()
        self.assertEqual(process.wait(20), 0, process.stderr.read())
        return rest.splitlines()

    def test_goes_on_where_the_group_was(self):
        topic = self.topic()
        self.produce(topic, lines(0, 10))
        self.assertEqual(self.read_group("again", topic), lines(0, 10))
        self.assertEqual(self.committed("again"), {(topic, 0): 10})
        self.assertEqual(self.members("again"), [])
        self.produce(topic, lines(10, 15))
        self.assertEqual(self.read_group("again", topic), lines(10, 15))
        self.assertEqual(self.read_group("again", topic), b"")
        self.assertEqual(self.read_group("other", topic), lines(0, 15))

    def test_from_counts_where_nothing_is_committed(self):
        topic = self.topic()
        self.produce(topic, lines(0, 10))
        self.assertEqual(self.read_group("from", topic, "--from=-3"), lines(7, 10))
        self.assertEqual(self.read_group("from", topic, "--from=beginning"), b"")
        self.assertEqual(self.read_group("late", topic, "--from=end"), b"")
        self.produce(topic, lines(10, 12))
        self.assertEqual(self.read_group("late", topic), lines(10, 12))

    def test_a_committed_offset_that_is_gone(self):
        topic = self.topic()
        self.produce(topic, lines(0, 4))
        row = json.dumps({"topic": topic, "partition": 0, "offset": 99}).encode()
        self.qtool("group", "import", "ahead", "--execute", stdin=row + b"\n")
        done = self.qtool_done("consume", "-t", topic, "-g", "ahead", "-e")
        self.assertEqual((done.returncode, done.stdout), (0, lines(0, 4)))
        self.assertIn(b"committed offset 99", done.stderr)

    def test_committed_beyond_what_is_stable(self):
        """A group that read an open transaction has not lost its place for who reads committed."""
        topic = self.topic()
        self.produce(topic, lines(0, 2))
        producer = Producer({"bootstrap.servers": self.broker.address, "transactional.id": topic})
        producer.init_transactions(30)
        producer.begin_transaction()
        producer.produce(topic, b"open")
        producer.flush(30)
        self.assertEqual(self.read_group("eager", topic), lines(0, 2) + b"open\n")
        done = self.qtool_done("consume", "-t", topic, "-g", "eager", "-e", "--isolation",
                               "read_committed")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))
        producer.abort_transaction(30)
        self.assertEqual(self.committed("eager"), {(topic, 0): 3})

    def test_count_commits_exactly_that_many(self):
        topic = self.topic()
        self.produce(topic, lines(0, 10))
        for first in (0, 3, 6):
            self.assertEqual(self.qtool("consume", "-t", topic, "-g", "three", "-n", "3"),
                             lines(first, first + 3))
        self.assertEqual(self.committed("three"), {(topic, 0): 9})

    def test_several_topics(self):
        first, second = self.topic(), self.topic(2)
        self.produce(first, b"a\n")
        self.produce(second, b"b\n", "-p", "1")
        got = self.read_group("both", f"{first},{second}", "-f", "%t %p %s\n").splitlines()
        self.assertEqual(sorted(got), sorted([f"{first} 0 a".encode(), f"{second} 1 b".encode()]))
        self.assertEqual(self.committed("both"), {(first, 0): 1, (second, 0): 0, (second, 1): 1})

    def test_two_members_share_a_topic(self):
        """The second gets partitions of the first; nothing is read twice, nothing is left out."""
        topic = self.topic(4)
        got = ([], [])
        first = self.member("pair", topic, "-f", "%p %s\n")
        for partition in range(4):
            self.produce(topic, lines(0, 5), "-p", str(partition))
        got[0].extend(self.read_until(first, 20))
        second = self.member("pair", topic, "-f", "%p %s\n")
        for process in (first, second):
            os.set_blocking(process.stdout.fileno(), False)
        count = 5

        def both_read():
            nonlocal count
            for partition in range(4):
                self.produce(topic, b"%d\n" % count, "-p", str(partition))
            count += 1
            self.take(first, got[0])
            return self.take(second, got[1])

        def all_read():
            self.take(first, got[0])
            self.take(second, got[1])
            return len(got[0]) + len(got[1]) >= 4 * count

        self.wait_for(both_read, 30)
        self.wait_for(all_read)
        self.assertEqual(sorted(got[0] + got[1]),
                         sorted(b"%d %d" % (p, n) for p in range(4) for n in range(count)))
        for process in (first, second):
            self.assertEqual(self.interrupt(process), [])
        self.assertEqual(self.committed("pair"), {(topic, p): count for p in range(4)})

    def take(self, process, got):
        """What is in the pipe, in whole lines: one record, one write."""
        if chunk := process.stdout.read():
            self.assertTrue(chunk.endswith(b"\n"))
            got.extend(chunk.splitlines())
        return got

    def test_a_topic_that_grows(self):
        topic = self.topic()
        process = self.member("growing", topic)
        self.produce(topic, b"a\n")
        self.assertEqual(self.read_until(process, 1), [b"a"])
        self.qtool("topic", "alter", topic, "-p", "2")
        self.produce(topic, b"b\n", "-p", "1")
        self.assertEqual(self.read_until(process, 1), [b"b"])
        self.interrupt(process)
        self.assertEqual(self.committed("growing"), {(topic, 0): 1, (topic, 1): 1})

    def test_sigint_commits_and_leaves(self):
        topic = self.topic()
        self.produce(topic, lines(0, 10))
        process = self.member("polite", topic)
        self.assertEqual(len(self.read_until(process, 10)), 10)
        self.interrupt(process)
        self.assertEqual(self.committed("polite"), {(topic, 0): 10})
        self.assertEqual(self.members("polite"), [])

    def test_commits_while_it_runs(self):
        topic = self.topic()
        self.produce(topic, lines(0, 10))
        process = self.member("steady", topic)
        self.read_until(process, 10)
        self.wait_for(lambda: self.committed("steady") == {(topic, 0): 10})
        self.assertIsNone(process.poll())

    def test_kill_9_loses_nothing(self):
        topic = self.topic()
        self.produce(topic, lines(0, 1000))
        process = self.member("murdered", topic)
        self.read_until(process, 1000)
        process.kill()
        process.wait()
        self.produce(topic, lines(1000, 1010))
        got = self.read_group("murdered", topic).splitlines()
        first = int(got[0])
        self.assertLessEqual(first, 1000)
        self.assertEqual(got, lines(first, 1010).splitlines())

    def test_a_member_that_was_stopped_joins_again(self):
        """Its session ends while it stands still; then it is fenced, says so, and goes on."""
        topic = self.topic()
        self.produce(topic, lines(0, 3))
        process = self.member("sleepy", topic)
        self.read_until(process, 3)
        process.send_signal(signal.SIGSTOP)
        self.wait_for(lambda: not self.members("sleepy"))
        process.send_signal(signal.SIGCONT)
        self.produce(topic, lines(3, 4))
        got = []
        while b"3" not in got:
            got += self.read_until(process, 1)
        self.interrupt(process)
        self.assertEqual(self.committed("sleepy"), {(topic, 0): 4})

    def test_a_broker_that_comes_back(self):
        topic = self.topic()
        self.produce(topic, lines(0, 3))
        process = self.member("patient", topic)
        self.read_until(process, 3)
        self.broker.kill()
        self.broker.restart()
        self.produce(topic, lines(3, 5))
        got = []
        while b"4" not in got:
            got += self.read_until(process, 1)
        self.interrupt(process)
        self.assertEqual(self.committed("patient"), {(topic, 0): 5})

    def test_a_reader_that_leaves_loses_nothing(self):
        """head takes three lines of the ten in the pipe: none of the others counts as read."""
        topic = self.topic()
        self.produce(topic, lines(0, 10))
        for end in ("", "--exit-at-end"):
            with self.subTest(end):
                group = f"headed{end}"
                done = subprocess.run(
                    ["bash", "-o", "pipefail", "-c",
                     f'"{QTOOL}" -b {self.broker.address} consume -t {topic} -g {group} {end} | '
                     "head -n 3"], capture_output=True, timeout=60)
                self.assertEqual((done.returncode, done.stdout, done.stderr),
                                 (0, lines(0, 3), b""))
                got = self.read_group(group, topic)
                self.assertTrue(got.endswith(lines(3, 10)), got)

    def test_a_full_disk_commits_nothing(self):
        topic = self.topic()
        self.produce(topic, lines(0, 10))
        with open("/dev/full", "wb") as full:
            done = subprocess.run([QTOOL, "-b", self.broker.address, "consume", "-t", topic, "-g",
                                   "full", "-e"], stdout=full, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"storage_full", done.stderr)
        self.assertEqual(self.read_group("full", topic), lines(0, 10))

    def test_more_members_than_partitions(self):
        topic = self.topic()
        process = self.member("crowd", topic)
        self.produce(topic, b"x\n")
        self.read_until(process, 1)
        done = self.qtool_done("--timeout", "2", "consume", "-t", topic, "-g", "crowd", "-e")
        self.assertEqual(done.returncode, 3)
        self.assertIn(b"no partition was assigned", done.stderr)

    def test_a_classic_group_is_taken_over(self):
        """librdkafka's classic member and qtool in one group, as brokers migrate it (KIP-848)."""
        topic = self.topic()
        self.produce(topic, lines(0, 5))
        consumer = Consumer({"bootstrap.servers": self.broker.address, "group.id": "classic",
                             "auto.offset.reset": "earliest", "enable.auto.commit": False})
        consumer.subscribe([topic])
        for _ in range(5):
            self.assertIsNone(consumer.poll(30).error())
        consumer.commit(asynchronous=False)
        consumer.close()
        self.produce(topic, lines(5, 7))
        self.assertEqual(self.read_group("classic", topic), lines(5, 7))
        self.assertEqual(self.committed("classic"), {(topic, 0): 7})

    def test_wrong_command_lines(self):
        topic = self.topic()
        for words, says in ((("-p", "0"), b"-p exclude"), (("--to", "end"), b"--to exclude"),
                            (("--from", "yesterday"), b"--from")):
            with self.subTest(words):
                done = self.qtool_done("consume", "-t", topic, "-g", "g", *words)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(says, done.stderr)
        self.qtool("consume", "-t", topic, "-g", "", status=2)
        self.qtool("consume", "-t", "no-such-topic", "-g", "g", status=4)
        self.qtool("consume", "-t", f"{topic},no-such-topic", "-g", "g", status=4)


class ForeignGroupTest(CliCase):
    BROKER_OPTIONS = (*CliCase.BROKER_OPTIONS, "--set", "group.consumer.migration.policy=disabled",
                      "--set", "group.initial.rebalance.delay.ms=0")

    def test_a_group_of_another_kind_is_left_alone(self):
        topic = self.topic()
        self.produce(topic, b"x\n")
        consumer = Consumer({"bootstrap.servers": self.broker.address, "group.id": "foreign",
                             "auto.offset.reset": "earliest"})
        consumer.subscribe([topic])
        self.addCleanup(consumer.close)
        self.assertIsNone(consumer.poll(30).error())
        done = self.qtool_done("consume", "-t", topic, "-g", "foreign")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"group 'foreign' has members of another kind", done.stderr)
