"""qtool as part of a pipe: readers that leave or are slow, signals, closed descriptors, memory."""
import os
import pty
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from tests.cli.cli_case import QTOOL, CliCase, status_field_mib


class StreamsTest(CliCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.big_bytes = 48 << 20
        cls.broker.qtool("topic", "create", "big")
        line = b"y" * 1023 + b"\n"
        cls.broker.qtool("produce", "-t", "big", stdin=line * (cls.big_bytes // len(line)))

    def shell(self, script, status=0):
        done = subprocess.run(["bash", "-o", "pipefail", "-c", script], capture_output=True,
                              timeout=60, env={**os.environ, "QTOOL_BROKERS": self.broker.address,
                                               "Q": QTOOL})
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(done.stderr, b"")
        return done.stdout

    def test_a_reader_that_leaves_is_no_failure(self):
        self.assertEqual(len(self.shell('"$Q" consume -t big | head -n 1')), 1024)

    def test_a_reader_that_leaves_ends_an_idle_follower(self):
        name = self.topic()
        self.produce(name, b"a\n")
        self.assertEqual(self.shell(f'timeout 20 "$Q" consume -t {name} | head -n 1'), b"a\n")

    def test_a_follower_prints_records_as_they_come(self):
        name = self.topic()
        process = self.start("consume", "-t", name)
        for text in (b"one\n", b"two\n"):
            self.produce(name, text)
            self.assertEqual(self.read_some(process.stdout), text)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(10), 0)
        self.assertEqual(process.stderr.read(), b"")

    def test_a_signal_before_all_was_read_is_a_failure(self):
        name = self.topic()
        process = self.start("consume", "-t", name, "-n", "5")
        self.produce(name, b"one\n")
        self.assertEqual(self.read_some(process.stdout), b"one\n")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), 1)

    def test_ctrl_c_delivers_what_was_read(self):
        """From a pipe: complete lines arrive, the cut one does not."""
        name = self.topic()
        process = self.start("produce", "-t", name, "-X", "linger.ms=60000", "-X",
                             "delivery.timeout.ms=120000")
        process.stdin.write(b"one\ntwo\ncut")
        process.stdin.flush()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(10), 1)
        self.assertIn(b"stopped after line 2, 2 record(s) delivered", process.stderr.read())
        self.assertEqual(self.consume(name), b"one\ntwo\n")

    def test_ctrl_c_while_reading_a_file_keeps_whole_lines(self):
        name = self.topic()
        with tempfile.NamedTemporaryFile() as file:
            for i in range(400_000):
                file.write(b"%07d %s\n" % (i, b"z" * 100))
            file.flush()
            process = self.start("produce", "-t", name, "-i", file.name, "-X", "linger.ms=0")
            self.wait_for(lambda: self.end_offset(name) > 0)
            process.send_signal(signal.SIGINT)
            status = process.wait(20)
        lines = self.consume(name).splitlines()
        self.assertEqual(lines, [b"%07d %s" % (i, b"z" * 100) for i in range(len(lines))])
        if len(lines) < 400_000:
            self.assertEqual(status, 1)
            self.assertIn(f"stopped after line {len(lines)},".encode(), process.stderr.read())

    def test_ctrl_c_at_a_terminal_is_how_typing_ends(self):
        name = self.topic()
        controller, terminal = pty.openpty()
        process = self.start("produce", "-t", name, stdin=terminal)
        os.close(terminal)
        os.write(controller, b"typed\n")
        self.wait_for(lambda: self.end_offset(name) == 1)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(10), 0)
        os.close(controller)

    def test_a_terminal_gets_nothing_that_steers_it(self):
        name = self.topic()
        self.produce(name, b"\x1b[2J\xff\n")
        controller, terminal = pty.openpty()
        process = self.start("consume", "-t", name, "-e", stdout=terminal)
        self.assertEqual(process.wait(10), 0)
        os.close(terminal)
        self.assertEqual(os.read(controller, 4096), b"\\x1b[2J\\xff\r\n")
        os.close(controller)

    def test_closed_descriptors(self):
        name = self.topic()
        self.shell(f'"$Q" produce -t {name} <&-')
        self.assertEqual(self.consume(name), b"")
        self.produce(name, b"a\n")
        done = subprocess.run(["bash", "-c", f'"{QTOOL}" -b {self.broker.address} consume -e -t {name} >&-'],
                              stderr=subprocess.PIPE, timeout=30)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"qtool: ", done.stderr)

    def test_a_full_disk_is_a_failure(self):
        done = subprocess.run([QTOOL, "-b", self.broker.address, "consume", "-t", "big", "-e"],
                              stdout=open("/dev/full", "wb"), stderr=subprocess.PIPE, timeout=30)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"storage_full", done.stderr)

    def test_a_slow_reader_bounds_memory(self):
        """Nobody reads for a while: fetching stops too, and later everything comes."""
        process = self.start("consume", "-t", "big", "-e", "-X", "fetch.max.bytes=4194304")
        time.sleep(2)
        peak_mib = status_field_mib(process, "VmHWM")
        received = 0
        while chunk := process.stdout.read(1 << 16):
            received += len(chunk)
            if process.poll() is None:
                peak_mib = max(peak_mib, status_field_mib(process, "VmHWM"))
        self.assertEqual(received, self.big_bytes)
        self.assertEqual(process.wait(10), 0)
        self.assertLess(peak_mib, 40)

    def test_a_fast_writer_waits_for_a_slow_broker(self):
        """The broker stands still: the pipe fills up, memory does not."""
        name = self.topic()
        process = self.start("produce", "-t", name, "-X", "buffer.memory=4194304")
        process.stdin.write(b"first\n")
        process.stdin.flush()
        self.wait_for(lambda: self.end_offset(name) == 1)
        self.broker.process.send_signal(signal.SIGSTOP)
        written = 0

        def write():
            nonlocal written
            line = b"w" * 1023 + b"\n"
            for _ in range(32 << 10):
                process.stdin.write(line)
                written += len(line)
            process.stdin.close()

        writer = threading.Thread(target=write)
        try:
            writer.start()
            time.sleep(2)
            stalled, peak_mib = written, status_field_mib(process, "VmHWM")
        finally:
            self.broker.process.send_signal(signal.SIGCONT)
        writer.join(60)
        self.assertEqual(process.wait(60), 0, process.stderr)
        self.assertLess(stalled, 12 << 20)
        self.assertLess(peak_mib, 40)
        self.assertEqual(self.end_offset(name), 1 + (32 << 10))

    def test_progress_on_a_terminal_only(self):
        name = self.topic()
        controller, terminal = pty.openpty()
        process = self.start("produce", "-t", name, "-r", "10", stderr=terminal)
        process.stdin.write(b"x\n" * 8)
        process.stdin.close()
        self.assertEqual(process.wait(20), 0)
        os.close(terminal)
        self.assertIn(b"8 delivered", os.read(controller, 65536))
        os.close(controller)
        self.assertEqual(self.qtool_done("produce", "-t", name, stdin=b"x\n").stderr, b"")


if __name__ == "__main__":
    unittest.main()
