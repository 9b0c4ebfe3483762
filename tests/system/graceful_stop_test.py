"""SIGTERM: what is under way ends, all is flushed, exit 0, and the next start opens nothing."""
import signal
import socket
import subprocess
import threading
import time
import unittest

from confluent_kafka import Consumer, TopicPartition

from tests.harness import wire
from tests.harness.broker import BIN, Broker
from tests.system.kill_test import PARTITIONS, Load, check_all

CHECKPOINT = "clean-shutdown"


class GracefulStopTest(unittest.TestCase):
    def setUp(self):
        self.broker = self.enterContext(Broker())

    def assert_clean(self, status):
        self.assertEqual(status, 0, self.broker.log())
        self.assertTrue((self.broker.data_dir / CHECKPOINT).exists())
        self.assertFalse((self.broker.work / "ready").exists(), "it still says: serving")
        self.assertIn("result=clean", self.broker.log())

    def assert_knew_of_clean_stop(self):
        self.assertIn("last_stop=clean", self.broker.log().rsplit("starting", 1)[1])
        self.assertFalse((self.broker.data_dir / CHECKPOINT).exists(), "taken, so gone")

    def test_idle(self):
        for by in (signal.SIGTERM, signal.SIGINT):
            self.broker.process.send_signal(by)
            self.assert_clean(self.broker.process.wait(20))
            self.broker.start()
            self.assert_knew_of_clean_stop()

    def test_under_load_nothing_is_lost_or_doubled(self):
        self.broker.create_topic("load", PARTITIONS)
        load = Load(self.broker.address, "load")
        load.thread.start()
        for _ in range(10):
            time.sleep(0.2)
            self.assert_clean(self.broker.stop())
            self.broker.restart()
            self.assert_knew_of_clean_stop()
        self.assertEqual(load.finish(), 0)
        print(f"10 stops: {check_all(self, self.broker, load)} records acknowledged and read back")

    def test_waiting_and_unfinished_requests_do_not_hold_it_up(self):
        self.broker.create_topic("wait")
        consumer = Consumer({"bootstrap.servers": self.broker.address, "group.id": "unused",
                             "enable.auto.commit": False, "fetch.wait.max.ms": 60000,
                             "socket.timeout.ms": 100000, "log_level": 0})
        self.addCleanup(consumer.close)
        consumer.assign([TopicPartition("wait", 0, 0)])
        polling = threading.Thread(target=consumer.poll, args=(5,))
        polling.start()
        self.addCleanup(polling.join)
        open_ones = [self.enterContext(wire.Connection(self.broker.port)) for _ in range(4)]
        open_ones[0].send(wire.int32(1000) + b"\0\0")
        open_ones[1].send(b"POST /v1/topics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n")
        # One who asks and never reads: the answers fill its socket.
        open_ones[2].socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        open_ones[2].socket.setblocking(False)
        try:
            for _ in range(20000):
                open_ones[2].socket.send(wire.api_versions())
        except BlockingIOError:
            pass
        time.sleep(0.3)
        began = time.monotonic()
        self.assert_clean(self.broker.stop(timeout=60))
        print(f"stop with busy connections took {time.monotonic() - began:.2f} s")

    def test_what_was_configured_and_written_is_there_again(self):
        self.broker.create_topic("kept", 4, retention_ms="12345678")
        with wire.Connection(self.broker.port) as connection:
            for partition in range(4):
                batch = wire.batch([wire.record(b"x")], timestamp=int(time.time() * 1000))
                connection.ask(wire.produce("kept", partition, batch))
        before = self.broker.describe("kept")
        cluster = self.broker.http("GET", "/v1/cluster")[1]["cluster_id"]
        self.assert_clean(self.broker.stop())
        self.broker.start()
        self.assertEqual(self.broker.describe("kept"), before)
        self.assertEqual(self.broker.http("GET", "/v1/cluster")[1]["cluster_id"], cluster)

    def test_a_second_signal_ends_it_at_once_and_loses_nothing(self):
        self.broker.create_topic("twice", PARTITIONS)
        load = Load(self.broker.address, "twice")
        load.thread.start()
        time.sleep(0.3)
        self.broker.process.send_signal(signal.SIGTERM)
        self.broker.process.send_signal(signal.SIGTERM)
        self.assertIn(self.broker.process.wait(20), (0, 1))  # 0: it was done before the second
        self.broker.restart()
        self.assertEqual(load.finish(), 0)
        check_all(self, self.broker, load)

    def test_kill_9_leaves_no_checkpoint(self):
        self.broker.stop()
        self.broker.start()
        self.broker.kill()
        self.assertFalse((self.broker.data_dir / CHECKPOINT).exists())
        self.broker.start()
        self.assertNotIn("last_stop=clean", self.broker.log().rsplit("starting", 1)[1])

    def test_programs_that_stop_by_themselves_print_nothing_odd(self):
        done = subprocess.run([str(BIN / "qbroker"), "--version"], capture_output=True, text=True,
                              timeout=20)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
