"""Disks that are full, damaged or somebody else's."""
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import time
import unittest

from confluent_kafka import Consumer, KafkaError, TopicPartition

from tests.harness import wire
from tests.harness.broker import BIN, Broker

OK, STORAGE_ERROR = 0, 56
UNAVAILABLE = (5, 6, STORAGE_ERROR)  # what clients take as: try again later
DISK_MIB = 24


class Disk:
    """A small tmpfs in a mount namespace of its own, gone with the process that keeps it open.

    Root needs no more than that; anybody else gets a user namespace around it. Brokers enter it by
    `prefix`, the test reaches the files under `path`.
    """

    MOUNT = "/mnt"

    def __init__(self):
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        self.keeper = subprocess.Popen(
            ["unshare", "--mount", *user, "sh", "-c",
             f"mount -t tmpfs -o size={DISK_MIB}m qbroker-test {self.MOUNT} && echo ready && cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if self.keeper.stdout.readline() != b"ready\n":
            raise AssertionError("a small tmpfs can be mounted neither as root nor in a user "
                                 f"namespace: {self.keeper.communicate()[1].decode()}")
        enter_user = ["--user", "--preserve-credentials"] if user else []
        self.prefix = ["nsenter", "--target", str(self.keeper.pid), "--mount", *enter_user, "--"]
        self.path = pathlib.Path(f"/proc/{self.keeper.pid}/root{self.MOUNT}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.keeper.communicate()

    def free_bytes(self):
        info = os.statvfs(self.path)
        return info.f_bavail * info.f_frsize

    def fill(self, leave_bytes=0):
        with open(self.path / "filler", "ab", buffering=0) as file:
            try:
                while self.free_bytes() > leave_bytes:
                    file.write(b"\0" * min(65536, self.free_bytes() - leave_bytes))
            except OSError:
                pass

    def release(self):
        (self.path / "filler").unlink()


def produce(broker, topic, partition, value, connection=None):
    """Error code of one record, acks=all."""
    batch = wire.batch([wire.record(value)], timestamp=int(time.time() * 1000))
    if connection is not None:
        return wire.produce_error(connection.ask(wire.produce(topic, partition, batch)))[0]
    with wire.Connection(broker.port) as own:
        return wire.produce_error(own.ask(wire.produce(topic, partition, batch)))[0]


def read(broker, topic, partition, timeout_s=10):
    """({offset: value} up to the high watermark, error or None), checksums verified."""
    with wire.Connection(broker.port) as connection:
        code = wire.fetch_error(connection.ask(wire.fetch(topic, partition, 0)))
    if code != OK:  # librdkafka would try again until the time is over
        return {}, code
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "unused",
                         "check.crcs": True, "enable.auto.commit": False, "log_level": 0,
                         "enable.partition.eof": True, "auto.offset.reset": "error"})
    consumer.assign([TopicPartition(topic, partition, 0)])
    records, error = {}, None
    deadline = time.monotonic() + timeout_s
    try:
        while error is None and time.monotonic() < deadline:
            message = consumer.poll(0.1)
            if message is None:
                continue
            if message.error() is None:
                records[message.offset()] = message.value()
            elif message.error().code() == KafkaError._PARTITION_EOF:
                return records, None
            else:
                error = message.error()
        return records, error or "no end within the time"
    finally:
        consumer.close()


def flip(path, position, bit=0):
    with open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1 << bit]))


def segment(broker, topic, partition):
    return broker.data_dir / f"{topic}-{partition}" / f"{0:020}.log"


class FullDiskTest(unittest.TestCase):
    def test_full_disk_refuses_writes_serves_the_rest_and_returns_by_itself(self):
        with Disk() as disk:
            broker = Broker("--set", "log.segment.delete.delay.ms=0",
                            "--set", "log.dir.reserve.bytes=0", prefix=disk.prefix,
                            data_dir=f"{disk.MOUNT}/data")
            with broker:
                broker.create_topic("a")
                broker.create_topic("b")
                connection = self.enterContext(wire.Connection(broker.port))
                acked = []

                def write(value):
                    code = produce(broker, "a", 0, value, connection)
                    if code == OK:
                        acked.append(value)
                    return code

                for n in range(10):
                    self.assertEqual(write(b"before %d" % n), OK)
                # Full by our own writing, up to the last byte.
                disk.fill(leave_bytes=2_000_000)
                n, code = 0, OK
                while code == OK:
                    code = write(b"%08d" % n + b"x" * 50_000)
                    n += 1
                    self.assertLess(n, 1000, "the disk does not get full")
                self.assertEqual(code, STORAGE_ERROR)
                disk.fill()
                for n in range(20):
                    self.assertIn(write(b"full %d" % n), (STORAGE_ERROR, OK))
                self.assertGreater(broker.metric("storage_full_total"), 0)
                # Reading and describing go on.
                self.assertEqual(read(broker, "a", 0), (dict(enumerate(acked)), None))
                self.assertEqual(broker.describe("a")["partitions"][0]["log_end_offset"],
                                 len(acked))
                self.assertEqual(broker.http("GET", "/healthz")[0], 200)
                # Space comes back: so does service, on the same connection, without a restart.
                disk.release()
                deadline = time.monotonic() + 20
                while (code := write(b"after")) != OK and time.monotonic() < deadline:
                    time.sleep(0.05)
                self.assertEqual(code, OK)
                self.assertEqual(produce(broker, "b", 0, b"first"), OK)
                expected = dict(enumerate(acked))
                self.assertEqual(read(broker, "a", 0), (expected, None))
                # Full again, killed, and started on the full disk.
                disk.fill()
                write(b"y" * 100_000)
                expected = dict(enumerate(acked))
                broker.kill()
                try:
                    broker.restart()
                    self.assertEqual(read(broker, "a", 0), (expected, None))
                    disk.release()
                except RuntimeError as error:  # refusing to start is fine if it says why
                    self.assertRegex(str(error), "(?i)no space|full")
                    disk.release()
                    broker.restart()
                self.assertEqual(read(broker, "a", 0), (expected, None))
                self.assertEqual(produce(broker, "a", 0, b"last"), OK)
                self.assertEqual(broker.stop(), 0)
                broker.restart()
                expected[len(expected)] = b"last"
                self.assertEqual(read(broker, "a", 0), (expected, None))

    def test_deleting_a_topic_makes_room(self):
        with Disk() as disk:
            with Broker("--set", "log.segment.delete.delay.ms=0", prefix=disk.prefix,
                        data_dir=f"{disk.MOUNT}/data") as broker:
                broker.create_topic("large")
                broker.create_topic("small")
                self.assertEqual(produce(broker, "small", 0, b"one"), OK)
                connection = self.enterContext(wire.Connection(broker.port))
                count = 0
                while produce(broker, "large", 0, b"x" * 500_000, connection) == OK:
                    count += 1
                self.assertGreater(count, 5)
                # The metadata store may need a page of its own to say so: a little is left to it.
                status, answer = broker.http("DELETE", "/v1/topics/large")
                self.assertEqual(status, 204, answer)
                deadline = time.monotonic() + 30
                while (code := produce(broker, "small", 0, b"x" * 500_000)) != OK \
                        and time.monotonic() < deadline:
                    time.sleep(0.05)
                self.assertEqual(code, OK)
                self.assertEqual(len(read(broker, "small", 0)[0]), 2)


class ReserveTest(unittest.TestCase):
    """A part of the disk is kept from producers, so that everything else goes on."""

    RESERVE = 6 << 20

    def test_produce_is_refused_before_the_disk_is_full(self):
        with Disk() as disk:
            with Broker("--set", "log.segment.delete.delay.ms=0",
                        "--set", f"log.dir.reserve.bytes={self.RESERVE}", prefix=disk.prefix,
                        data_dir=f"{disk.MOUNT}/data") as broker:
                broker.create_topic("large")
                broker.create_topic("small")
                self.assertEqual(produce(broker, "small", 0, b"one"), OK)
                self.assertEqual(broker.metric("log_dir_low_space"), 0)
                self.assertEqual(self.qtool(broker, "status")[0], 0)
                connection = self.enterContext(wire.Connection(broker.port))
                count = 0
                while (code := produce(broker, "large", 0, b"x" * 500_000, connection)) == OK:
                    count += 1
                self.assertEqual(code, STORAGE_ERROR)
                self.assertGreater(count, 5)
                # Looked at once in 4 MiB at least, so not much of the reserve is gone.
                self.assertGreater(disk.free_bytes(), self.RESERVE - (5 << 20))
                self.assertEqual(produce(broker, "small", 0, b"refused"), STORAGE_ERROR)
                self.assertEqual(broker.metric("log_dir_low_space"), 1)
                self.assertEqual(broker.http("GET", "/healthz")[0], 200)
                status, text = self.qtool(broker, "status")
                self.assertEqual(status, 8, text)
                self.assertIn("low on space", text)
                status, text = self.qtool(broker, "disks")
                self.assertEqual(status, 8, text)
                self.assertRegex(text, r"\blow\b")
                # Reads and administration go on, and make room.
                self.assertEqual(read(broker, "small", 0), ({0: b"one"}, None))
                broker.create_topic("another")
                self.assertEqual(broker.http("DELETE", "/v1/topics/large")[0], 204)
                deadline = time.monotonic() + 20
                while (code := produce(broker, "small", 0, b"two")) != OK \
                        and time.monotonic() < deadline:
                    time.sleep(0.1)
                self.assertEqual(code, OK)
                self.assertEqual(broker.metric("log_dir_low_space"), 0)
                self.assertEqual(self.qtool(broker, "status")[0], 0)

    def qtool(self, broker, command):
        done = subprocess.run([str(BIN / "qtool"), "-b", broker.address, "cluster", command],
                              capture_output=True, text=True, timeout=30)
        return done.returncode, done.stdout


class SeveralDirectoriesTest(unittest.TestCase):
    """One directory in an ordinary place, one on a small disk of its own."""

    TOPICS = ("a", "b", "c", "d")

    def setUp(self):
        self.work = self.enterContext(tempfile.TemporaryDirectory(prefix="qbroker-dirs-"))
        self.disk = self.enterContext(Disk())
        self.first = pathlib.Path(self.work, "first")
        self.broker = self.enterContext(Broker(
            "--set", "log.dir.reserve.bytes=1048576", prefix=self.disk.prefix,
            data_dir=f"{self.first},{self.disk.MOUNT}/second"))
        self.second = self.disk.path / "second"
        for topic in self.TOPICS:
            self.broker.create_topic(topic)
            self.assertEqual(produce(self.broker, topic, 0, topic.encode()), OK)
        self.in_first = {t for t in self.TOPICS if (self.first / f"{t}-0").is_dir()}
        self.in_second = {t for t in self.TOPICS if (self.second / f"{t}-0").is_dir()}

    def code(self, topic):
        with wire.Connection(self.broker.port) as connection:
            return wire.fetch_error(connection.ask(wire.fetch(topic, 0, 0)))

    def check_all(self):
        for topic in self.TOPICS:
            self.assertEqual(read(self.broker, topic, 0), ({0: topic.encode()}, None), topic)

    def test_partitions_are_spread_and_found_again(self):
        self.assertEqual(len(self.in_first), 2)
        self.assertEqual(len(self.in_second), 2)
        self.check_all()
        self.broker.kill()
        self.broker.restart()
        self.check_all()
        self.assertEqual(self.broker.stop(), 0)
        self.assertTrue((self.first / "clean-shutdown").exists())
        self.assertTrue((self.second / "clean-shutdown").exists())
        self.broker.restart()
        self.check_all()

    def test_one_full_disk_stops_its_own_partitions_only(self):
        self.disk.fill(leave_bytes=1000)
        time.sleep(1.1)  # its space is looked at once a second
        for topic in self.TOPICS:
            wanted = STORAGE_ERROR if topic in self.in_second else OK
            self.assertEqual(produce(self.broker, topic, 0, b"x"), wanted, topic)
        self.disk.release()
        deadline = time.monotonic() + 20
        for topic in self.in_second:
            while (code := produce(self.broker, topic, 0, b"y")) != OK \
                    and time.monotonic() < deadline:
                time.sleep(0.1)
            self.assertEqual(code, OK)

    def test_a_disk_that_is_not_mounted_is_offline_and_the_rest_is_served(self):
        self.assertEqual(self.broker.stop(), 0)
        self.second.rename(self.disk.path / "away")
        self.second.mkdir()
        self.broker.restart()
        self.assertIn("log_dir_offline", self.broker.log())
        self.assertEqual(self.broker.metric("log_dir_offline"), 1)
        for topic in self.TOPICS:
            wanted = STORAGE_ERROR if topic in self.in_second else OK
            self.assertEqual(produce(self.broker, topic, 0, b"x"), wanted, topic)
            self.assertEqual(self.code(topic), wanted, topic)
        self.broker.create_topic("new")
        self.assertEqual(produce(self.broker, "new", 0, b"1"), OK)
        self.assertEqual(list(self.second.iterdir()), [])
        self.assertEqual(self.broker.stop(), 1)  # not all was closed
        self.assertTrue((self.first / "clean-shutdown").exists())
        self.second.rmdir()
        (self.disk.path / "away").rename(self.second)
        self.broker.restart()
        self.assertEqual(self.broker.metric("log_dir_offline"), 0)
        for topic in self.in_second:
            self.assertEqual(read(self.broker, topic, 0), ({0: topic.encode()}, None))
        self.assertEqual(read(self.broker, "new", 0), ({0: b"1"}, None))


class DataDirectoryTest(unittest.TestCase):
    def refused(self, path, *args):
        done = subprocess.run([str(BIN / "qbroker"), "--data-dir", str(path), "--listen",
                               "127.0.0.1:0", *args], capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(str(path), done.stderr)
        return done.stderr

    def test_in_use_by_another_broker(self):
        with Broker() as broker:
            broker.create_topic("mine")
            self.assertEqual(produce(broker, "mine", 0, b"1"), OK)
            text = self.refused(broker.data_dir)
            self.assertRegex(text, "(?i)lock|in use|another")
            self.assertEqual(produce(broker, "mine", 0, b"2"), OK)
            self.assertEqual(read(broker, "mine", 0), ({0: b"1", 1: b"2"}, None))
            broker.kill()  # a lock that outlived its owner would be as bad
            broker.restart()
            self.assertEqual(len(read(broker, "mine", 0)[0]), 2)

    def test_not_a_directory_or_not_ours(self):
        with tempfile.TemporaryDirectory() as work:
            file = pathlib.Path(work, "file")
            file.write_text("important")
            self.refused(file)
            self.assertEqual(file.read_text(), "important")
            self.refused(pathlib.Path(work, "absent/data"))

    def test_of_another_broker(self):
        with Broker("--node-id", "3") as broker:
            broker.stop()
            text = self.refused(broker.data_dir, "--node-id", "4")
            self.assertIn("3", text)

    def test_directories_of_unlisted_topics_are_kept_aside(self):
        with Broker() as broker:
            broker.create_topic("known")
            produce(broker, "known", 0, b"1")
            broker.stop()
            shutil.copytree(broker.data_dir / "known-0", broker.data_dir / "stranger-0")
            broker.restart()
            self.assertEqual(read(broker, "known", 0), ({0: b"1"}, None))
            found = list((broker.data_dir / ".quarantine").glob("stranger-0*/*.log"))
            self.assertEqual(len(found), 1, "its files were not kept")


class DamageTest(unittest.TestCase):
    """Two partitions with 300 batches each; one of them gets hurt while the broker is down."""

    def setUp(self):
        self.broker = self.enterContext(Broker())
        self.broker.create_topic("hurt", 2)
        self.values = [b"%04d" % n + b"v" * 200 for n in range(300)]
        with wire.Connection(self.broker.port) as connection:
            for partition in range(2):
                for value in self.values:
                    self.assertEqual(produce(self.broker, "hurt", partition, value, connection), OK)

    def whole(self):
        return dict(enumerate(self.values))

    def stop_then_crash(self):
        """After this the whole log is below the recovery point, and there is no checkpoint."""
        self.assertEqual(self.broker.stop(), 0)
        self.broker.restart()
        self.broker.kill()

    def assert_known_at_start(self):
        """Recovery found it, so nobody is told offsets of the damaged partition any more."""
        with wire.Connection(self.broker.port) as connection:
            codes = [wire.list_offsets_answer(connection.ask(wire.list_offsets("hurt", p)))[0]
                     for p in range(2)]
        self.assertIn(codes[0], UNAVAILABLE)
        self.assertEqual(codes[1], OK)

    def assert_one_offline_the_other_serves(self):
        self.assertEqual(read(self.broker, "hurt", 1), (self.whole(), None))
        self.assertEqual(produce(self.broker, "hurt", 1, b"more"), OK)
        records, error = read(self.broker, "hurt", 0, timeout_s=2)
        self.assertIsNotNone(error, "the damaged partition looks whole")
        for offset, value in records.items():
            self.assertEqual(value, self.values[offset])
        self.assertIn(produce(self.broker, "hurt", 0, b"more"), UNAVAILABLE)
        log = self.broker.log_path.read_text()
        self.assertIn("partition_offline", log)
        self.assertIn("hurt-0", log.rsplit("partition_offline", 1)[1])
        deadline = time.monotonic() + 10  # a gauge, counted now and then
        while self.broker.metric("partitions_offline") != 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(self.broker.metric("partitions_offline"), 1)
        self.assertEqual(self.broker.http("GET", "/healthz")[0], 200)

    def test_damage_below_the_recovery_point_takes_one_partition_offline(self):
        self.stop_then_crash()
        path = segment(self.broker, "hurt", 0)
        flip(path, path.stat().st_size // 2)
        before = path.read_bytes()
        self.broker.restart()
        self.assert_known_at_start()
        self.assert_one_offline_the_other_serves()
        self.assertEqual(path.read_bytes(), before, "a damaged file is evidence: it is not touched")
        # So it stays through another stop and start.
        self.broker.stop()
        self.broker.restart()
        self.assert_one_offline_the_other_serves_again(path, before)

    def assert_one_offline_the_other_serves_again(self, path, before):
        records, error = read(self.broker, "hurt", 1)
        self.assertEqual((len(records), error), (301, None))
        self.assertIsNotNone(read(self.broker, "hurt", 0, timeout_s=2)[1])
        self.assertIn(produce(self.broker, "hurt", 0, b"more"), UNAVAILABLE)
        self.assertEqual(path.read_bytes(), before)

    def test_a_cut_file_below_the_recovery_point(self):
        self.stop_then_crash()
        path = segment(self.broker, "hurt", 0)
        os.truncate(path, path.stat().st_size // 2)
        self.broker.restart()
        self.assert_known_at_start()
        self.assert_one_offline_the_other_serves()

    def test_a_lost_file(self):
        self.stop_then_crash()
        segment(self.broker, "hurt", 0).unlink()
        self.broker.restart()
        self.assert_known_at_start()
        self.assert_one_offline_the_other_serves()

    def test_a_lost_directory(self):
        self.stop_then_crash()
        shutil.rmtree(segment(self.broker, "hurt", 0).parent)
        self.broker.restart()
        self.assert_known_at_start()
        self.assert_one_offline_the_other_serves()

    def test_a_file_cut_after_a_clean_stop(self):
        self.broker.stop()
        path = segment(self.broker, "hurt", 0)
        os.truncate(path, path.stat().st_size - 5)
        self.broker.restart()
        self.assert_one_offline_the_other_serves()

    def test_a_torn_tail_of_what_was_never_acknowledged_is_cut(self):
        self.broker.kill()
        path = segment(self.broker, "hurt", 0)
        size = path.stat().st_size
        with open(path, "ab") as file:  # half a batch, as a crash leaves it
            file.write(path.read_bytes()[:100])
        self.broker.restart()
        self.assertEqual(read(self.broker, "hurt", 0), (self.whole(), None))
        self.assertEqual(path.stat().st_size, size)
        self.assertIn("torn_tail_cut", self.broker.log_path.read_text())
        self.assertEqual(produce(self.broker, "hurt", 0, b"next"), OK)
        self.assertEqual(read(self.broker, "hurt", 0)[0][300], b"next")

    def test_lost_indexes_and_snapshots_are_made_again(self):
        self.broker.stop()
        for path in self.broker.data_dir.glob("hurt-*/*"):
            if path.suffix in (".index", ".snapshot", ".timeindex"):
                path.unlink()
        self.broker.restart()
        for partition in range(2):
            self.assertEqual(read(self.broker, "hurt", partition), (self.whole(), None))

    def test_flipped_bits_anywhere_are_never_served_as_records(self):
        """Any file of the partitions or the checkpoint, any bit, after either kind of end: the
        broker serves what is whole, says what is not, and gives no reader a wrong record."""
        seed = int(os.environ.get("QT_FLIP_SEED", random.randrange(1 << 32)))
        rng = random.Random(seed)
        outcome = {"whole": 0, "refused": 0}
        for clean in (True, False):
            if clean:
                self.assertEqual(self.broker.stop(), 0)
            else:
                self.broker.restart()
                self.broker.kill()
            saved = self.broker.work / f"saved-{clean}"
            shutil.copytree(self.broker.data_dir, saved)
            files = [p.relative_to(saved) for p in saved.rglob("*")
                     if p.is_file() and p.stat().st_size > 0
                     and not p.name.startswith("metadata.db") and "hurt-1" not in str(p)]
            for round_ in range(15):
                path = rng.choice(files)
                position = rng.randrange((saved / path).stat().st_size)
                case = f"seed {seed} clean={clean} round {round_}: {path} at {position}"
                flip(self.broker.data_dir / path, position, rng.randrange(8))
                try:
                    self.broker.start()
                    records, error = read(self.broker, "hurt", 0, timeout_s=1.5)
                    wrong = {offset: value for offset, value in records.items()
                             if self.whole().get(offset) != value}
                    self.assertEqual(wrong, {}, case)
                    if error is None:
                        self.assertEqual(len(records), 300, f"{case}: fewer records, no error")
                    outcome["whole" if error is None else "refused"] += 1
                    if str(path).startswith("hurt-"):
                        self.assertEqual(read(self.broker, "hurt", 1), (self.whole(), None), case)
                    self.assertTrue(self.broker.is_running(), case)
                    self.broker.kill()
                except RuntimeError:  # it did not start: then it said why and did not crash
                    self.assertEqual(self.broker.process.returncode, 1,
                                     f"{case}: {self.broker.log()}")
                    outcome["refused"] += 1
                shutil.rmtree(self.broker.data_dir)
                shutil.copytree(saved, self.broker.data_dir)
        print(f"bit flips (seed {seed}): {outcome}")


if __name__ == "__main__":
    unittest.main()
