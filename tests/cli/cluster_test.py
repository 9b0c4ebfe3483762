"""Brokers and moves from the command line, against one broker: what changes, and what is refused."""
import json
import socket
import subprocess
import unittest

from tests.cli.cli_case import CLOSED_PORT, QTOOL, CliCase


class ClusterTest(CliCase):
    def test_cordon(self):
        self.qtool("cluster", "cordon", "1")
        status = json.loads(self.qtool("cluster", "status", "-o", "json"))
        self.assertTrue(status["brokers"][0]["cordoned"])
        self.assertTrue(status["brokers"][0]["live"])
        done = self.qtool_done("topic", "create", "nowhere")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"cordoned", done.stderr)
        self.qtool("cluster", "uncordon", "1")
        status = json.loads(self.qtool("cluster", "status", "-o", "json"))
        self.assertFalse(status["brokers"][0]["cordoned"])
        self.qtool("topic", "create", "somewhere")
        self.qtool("cluster", "cordon", "9", status=4)

    def test_forget(self):
        self.qtool("cluster", "forget", "9", status=4)
        done = self.qtool_done("cluster", "forget", "1")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"broker 1 is live", done.stderr)

    def test_a_silent_broker_is_passed_over_by_what_only_reads(self):
        # The kernel takes connections for a broker that is paused; nobody answers.
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"127.0.0.1:{silent.getsockname()[1]}"

            def ask(brokers, *args):
                return subprocess.run([QTOOL, "-b", brokers, "--timeout", "2", *args], capture_output=True)
            done = ask(f"{address},{self.broker.address}", "cluster", "health")
            self.assertEqual((done.returncode, done.stdout), (0, b"healthy\n"), done.stderr)
            for brokers in (address, f"{address},{CLOSED_PORT}"):
                done = ask(brokers, "cluster", "health")
                self.assertEqual(done.returncode, 3)
                self.assertIn(address.encode() + b": no answer in time", done.stderr)
            done = ask(f"{address},{self.broker.address}", "topic", "create", "asked-once")
            self.assertEqual(done.returncode, 3, "nobody knows whether it was created")
            self.qtool("topic", "describe", "asked-once", status=4)

    def test_plans(self):
        self.qtool("topic", "create", "planned", "--partitions", "2")
        self.assertEqual(self.qtool("cluster", "rebalance"), b"")
        plan = json.loads(self.qtool("cluster", "decommission", "1", "--dry-run", "-o", "json"))
        self.assertEqual(plan["moves"], [])
        self.assertIn("planned-1", plan["stuck"])
        self.assertIn(b"planned-0 cannot move",
                      self.qtool("cluster", "decommission", "1", "--dry-run"))
        self.qtool("cluster", "decommission", "9", "--dry-run", status=4)

    def test_partition_move(self):
        self.qtool("topic", "create", "moved")
        self.qtool("partition", "move", "moved", "0", "--to", "1")
        self.qtool("partition", "move", "moved", "0", "--cancel", status=4)
        self.qtool("partition", "move", "moved", "1", "--to", "1", status=4)
        self.qtool("partition", "move", "nothing", "0", "--to", "1", status=4)
        done = self.qtool_done("partition", "move", "moved", "0", "--to", "1,7", "--no-wait")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"broker 7 is not known", done.stderr)
        self.qtool("partition", "move", "moved", "0", status=2)
        self.qtool("partition", "move", "moved", "0", "--to", "1", "--cancel", status=2)


if __name__ == "__main__":
    unittest.main()
