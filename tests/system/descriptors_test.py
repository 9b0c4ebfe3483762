"""File descriptors that run out: nobody is hurt for longer than it lasts."""
import socket
import time
import unittest

from tests.harness import wire
from tests.harness.broker import Broker
from tests.system.disk_test import OK, STORAGE_ERROR, produce, read

LIMIT = 128


class DescriptorsTest(unittest.TestCase):
    def test_partitions_stay_online_and_connections_return(self):
        with Broker("--set", "cores=2",
                    prefix=["prlimit", f"--nofile={LIMIT}:{LIMIT}", "--"]) as broker:
            broker.create_topic("t", partitions=4)
            connection = self.enterContext(wire.Connection(broker.port))
            self.assertEqual(produce(broker, "t", 0, b"before", connection), OK)
            crowd = [socket.create_connection(("127.0.0.1", broker.port)) for _ in range(LIMIT)]
            try:
                time.sleep(0.5)
                used = broker.cpu_seconds()
                time.sleep(1)
                self.assertLess(broker.cpu_seconds() - used, 0.5, "it spins")
                # What is open goes on; what needs one more file is told to try again.
                self.assertEqual(produce(broker, "t", 0, b"during", connection), OK)
                for partition in (1, 2, 3):
                    self.assertEqual(produce(broker, "t", partition, b"x", connection),
                                     STORAGE_ERROR)
            finally:
                for one in crowd:
                    one.close()
            deadline = time.monotonic() + 20
            for partition in (1, 2, 3):
                while (code := produce(broker, "t", partition, b"after", connection)) != OK \
                        and time.monotonic() < deadline:
                    time.sleep(0.1)
                self.assertEqual(code, OK)
            self.assertEqual(broker.metric("partitions_offline"), 0)
            self.assertEqual(read(broker, "t", 0), ({0: b"before", 1: b"during"}, None))
            self.assertEqual(read(broker, "t", 3), ({0: b"after"}, None))
            self.assertEqual(broker.stop(), 0)


if __name__ == "__main__":
    unittest.main()
