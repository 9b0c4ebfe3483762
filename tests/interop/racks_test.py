"""Members of a KIP-848 group (the Java client) in three racks, with a broker in each: who joins gets the
partitions whose replica stands beside it, though all had an owner before."""
import json
import pathlib
import tempfile
import threading
import unittest

from tests.harness.cluster import Cluster, wait_for
from tests.interop import java_peer

VERIFIABLE_CONSUMER = "org.apache.kafka.tools.VerifiableConsumer"
RACKS = ("red", "green", "blue")


class Member:
    """A consumer of group g that says where it is."""

    def __init__(self, cluster, folder, topic, rack):
        config = pathlib.Path(folder) / f"{rack}.properties"
        config.write_text(f"client.rack={rack}\n")
        self.held = set()
        self.process = java_peer.start(
            VERIFIABLE_CONSUMER, "--bootstrap-server", cluster.addresses, "--topic", topic, "--group-id", "g",
            "--group-protocol", "consumer", "--group-remote-assignor", "uniform", "--reset-policy", "earliest",
            "--command-config", str(config))
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            parts = {one["partition"] for one in event.get("partitions", []) if "topic" in one}
            if event["name"] == "partitions_assigned":
                self.held |= parts
            elif event["name"] == "partitions_revoked":
                self.held -= parts

    def close(self):
        java_peer.end(self.process)
        self.reader.join()


class RacksTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(Cluster(3, "--set", "offsets.topic.replication.factor=3",
                                                    "--set", "auto.leader.rebalance.enable=false",
                                                    racks=RACKS))
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory())

    def rack_of_each(self, topic):
        """Partition -> the rack of its only replica."""
        _, found = self.cluster.broker(1).http("GET", f"/v1/topics/{topic}")
        return {row["partition"]: RACKS[row["replicas"][0] - 1] for row in found["partitions"]}

    def test_members_get_what_is_beside_them(self):
        self.cluster.create_topic("near", 6, 1)
        racks = self.rack_of_each("near")
        self.assertEqual({rack: list(racks.values()).count(rack) for rack in RACKS}, dict.fromkeys(RACKS, 2))
        members = {}
        for rack in RACKS:
            members[rack] = Member(self.cluster, self.folder, "near", rack)
            self.addCleanup(members[rack].close)
        wait_for(lambda: all(members[rack].held == {p for p, at in racks.items() if at == rack} for rack in RACKS),
                 f"each member has the partitions of its rack; racks: {racks}")


if __name__ == "__main__":
    unittest.main()
