"""qtool while its broker dies, comes back, or is not there yet."""
import socket
import subprocess
import threading
import time

from tests.cli.cli_case import QTOOL, CliCase

LINE_COUNT = 200_000
# Long enough for several restarts, short backoffs so that the tests do not wait.
PATIENT = ("-X", "reconnect.backoff.max.ms=200", "-X", "retry.backoff.max.ms=200")


def numbered(count, width=100):
    return b"".join(b"%08d " % i + b"x" * (width - 10) + b"\n" for i in range(count))


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RestartTest(CliCase):
    def setUp(self):
        if not self.broker.is_running():
            self.broker.restart()

    @staticmethod
    def feed(process, data, start, end):
        process.stdin.write(data[start:end])
        process.stdin.flush()

    def feed_counted(self, process, data, fed):
        for start in range(0, len(data), 1 << 16):
            self.feed(process, data, start, start + (1 << 16))
            fed[0] = start
        process.stdin.close()

    def test_each_line_arrives_once_and_in_order_though_the_broker_is_killed(self):
        topic = self.topic()
        data = numbered(LINE_COUNT)
        # Many small batches and little memory: the lines come no faster than the broker takes
        # them, so that each kill hits batches that are in flight.
        process = self.start("produce", "-t", topic, "-X", "batch.size=16384",
                             "-X", "buffer.memory=1048576", *PATIENT)
        fed = [0]
        feeder = threading.Thread(target=self.feed_counted, args=(process, data, fed))
        feeder.start()
        for part in (1, 2, 3):
            self.wait_for(lambda: fed[0] >= part * len(data) // 4)
            self.assertTrue(feeder.is_alive(), "all was written before the broker was killed")
            self.broker.kill()
            self.broker.restart()
        feeder.join(60)
        self.assertEqual(process.wait(60), 0, process.stderr.read().decode()[-2000:])
        self.assertEqual(self.end_offset(topic), LINE_COUNT)
        self.assertEqual(self.consume(topic, timeout=120), data)

    def test_a_stop_in_the_middle_is_survived_too(self):
        topic = self.topic()
        data = numbered(20_000)
        process = self.start("produce", "-t", topic, *PATIENT)
        self.feed(process, data, 0, len(data) // 2)
        self.assertEqual(self.broker.stop(), 0)
        self.broker.restart()
        self.feed(process, data, len(data) // 2, len(data))
        process.stdin.close()
        self.assertEqual(process.wait(60), 0, process.stderr.read().decode()[-2000:])
        self.assertEqual(self.consume(topic), data)

    def test_a_broker_that_stays_away_fails_the_lines_within_the_delivery_timeout(self):
        topic = self.topic()
        process = self.start("produce", "-t", topic, "-X", "delivery.timeout.ms=1500",
                             "-X", "request.timeout.ms=1000", *PATIENT)
        self.feed(process, b"first\n", 0, 6)
        self.wait_for(lambda: self.end_offset(topic) == 1)
        self.broker.kill()
        self.feed(process, b"second\n", 0, 7)
        began = time.monotonic()
        process.stdin.close()
        status = process.wait(20)
        self.assertLess(time.monotonic() - began, 6)
        self.assertNotEqual(status, 0)
        self.assertIn(b"line 2", process.stderr.read())
        self.broker.restart()
        self.assertEqual(self.consume(topic), b"first\n")

    def test_input_larger_than_the_memory_waits_for_the_broker(self):
        topic = self.topic()
        data = numbered(20_000)
        process = self.start("produce", "-t", topic, "-X", "buffer.memory=262144",
                             "-X", "batch.size=16384", *PATIENT)
        self.feed(process, data, 0, 1000)
        self.wait_for(lambda: self.end_offset(topic) > 0)
        self.broker.kill()
        # The pipe and the memory fill, then writing blocks: so it is done from another thread.
        feeder = threading.Thread(target=self.feed, args=(process, data, 1000, len(data)))
        feeder.start()
        feeder.join(1)
        self.assertTrue(feeder.is_alive(), "2 MB went into a memory of 256 KiB")
        self.assertIsNone(process.poll())
        self.broker.restart()
        feeder.join(30)
        process.stdin.close()
        self.assertEqual(process.wait(60), 0, process.stderr.read().decode()[-2000:])
        self.assertEqual(self.consume(topic), data)

    def test_a_following_consumer_goes_on_after_a_restart(self):
        topic = self.topic()
        self.produce(topic, b"one\n")
        process = self.start("consume", "-t", topic, *PATIENT)
        self.assertEqual(self.read_some(process.stdout), b"one\n")
        self.broker.kill()
        self.broker.restart()
        self.produce(topic, b"two\n")
        self.assertEqual(self.read_some(process.stdout), b"two\n")
        self.assertIsNone(process.poll())


class LateBrokerTest(CliCase):
    def test_a_producer_that_may_wait_finds_a_broker_that_comes_late(self):
        topic = self.topic()
        self.broker.kill()
        process = self.start("--timeout", "30", "produce", "-t", topic, *PATIENT)
        self.feed_and_close(process, b"early\n")
        time.sleep(0.5)
        self.assertIsNone(process.poll())
        self.broker.restart()
        self.assertEqual(process.wait(30), 0, process.stderr.read().decode()[-2000:])
        self.assertEqual(self.consume(topic), b"early\n")

    def feed_and_close(self, process, data):
        process.stdin.write(data)
        process.stdin.close()

    def test_without_a_broker_the_timeout_ends_it_and_names_the_reason(self):
        done = subprocess.run([QTOOL, "-b", f"127.0.0.1:{closed_port()}", "--timeout", "1",
                               "produce", "-t", "any"], input=b"x\n", capture_output=True,
                              timeout=20)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn(b"127.0.0.1", done.stderr)
