"""File descriptors that run out: nobody is hurt for longer than it lasts."""
import socket
import time
import unittest

from tests.harness import message, wire
from tests.harness.broker import Broker
from tests.system.disk_test import OK, STORAGE_ERROR, produce, read

LIMIT = 128
TOPIC_ALREADY_EXISTS = 36
COORDINATOR_RETRIABLE = {14, 15, 16}  # loading, not available, not this one


def ask(connection, api, version, **fields):
    body = message.encode(f"{api}Request", version, fields)
    answer = connection.ask(wire.request(message.API_KEYS[api], version, body))
    return message.decode(f"{api}Response", version, answer)


def create_topic(connection, name):
    answer = ask(connection, "CreateTopics", 4, timeout_ms=5000, topics=[
        {"name": name, "num_partitions": 1, "replication_factor": 1}])
    return answer["topics"][0]["error_code"]


def commit(connection, group, offset):
    """Error code; the coordinator is looked for first, which makes its topic."""
    found = ask(connection, "FindCoordinator", 2, key=group, key_type=0)
    if found["error_code"] != OK:
        return found["error_code"]
    answer = ask(connection, "OffsetCommit", 7, group_id=group, topics=[
        {"name": "t", "partitions": [{"partition_index": 0, "committed_offset": offset}]}])
    return answer["topics"][0]["partitions"][0]["error_code"]


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
                self.assertIn(create_topic(connection, "u"), (OK, STORAGE_ERROR))
                self.assertIn(commit(connection, "g", 7), COORDINATOR_RETRIABLE | {OK})
            finally:
                for one in crowd:
                    one.close()
            deadline = time.monotonic() + 20
            for partition in (1, 2, 3):
                while (code := produce(broker, "t", partition, b"after", connection)) != OK \
                        and time.monotonic() < deadline:
                    time.sleep(0.1)
                self.assertEqual(code, OK)
            while (code := commit(connection, "g", 8)) != OK and time.monotonic() < deadline:
                time.sleep(0.1)
            self.assertEqual(code, OK)
            self.assertIn(create_topic(connection, "u"), (OK, TOPIC_ALREADY_EXISTS))
            self.assertEqual(produce(broker, "u", 0, b"new", connection), OK)
            self.assertEqual(broker.metric("partitions_offline"), 0)
            self.assertEqual(read(broker, "t", 0), ({0: b"before", 1: b"during"}, None))
            self.assertEqual(read(broker, "t", 3), ({0: b"after"}, None))
            self.assertEqual(broker.stop(), 0)

    def test_a_stop_with_more_unsynced_partitions_than_descriptors(self):
        with Broker("--set", "cores=2", "--set", "write.caching=true",
                    prefix=["prlimit", f"--nofile={LIMIT}:{LIMIT}", "--"]) as broker:
            broker.create_topic("t", partitions=LIMIT)
            connection = self.enterContext(wire.Connection(broker.port))
            written = [partition for partition in range(LIMIT)
                       if produce(broker, "t", partition, b"x", connection) == OK]
            self.assertLess(len(written), LIMIT, "there were descriptors for all")
            self.assertEqual(broker.stop(), 0)
            broker.prefix = []
            broker.restart()
            for partition in written[::10]:
                self.assertEqual(read(broker, "t", partition), ({0: b"x"}, None))


if __name__ == "__main__":
    unittest.main()
