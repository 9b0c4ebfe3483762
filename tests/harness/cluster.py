"""Several qbrokers and the etcd between them, on this machine, for tests."""
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request

from tests.harness.broker import Broker

REPLICATED = ("--set", "default.replication.factor=3",
              "--set", "offsets.topic.replication.factor=3",
              "--set", "transaction.state.log.replication.factor=3",
              "--set", "min.insync.replicas=2")


def free_ports(count):
    """Ports that nobody listens on; held together while they are chosen, so none comes twice."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def wait_for(condition, what, timeout=60):
    """Until condition() is true; returns what it gave."""
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not after {timeout} s: {what}")
        time.sleep(0.05)


class Etcd:
    def __init__(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="etcd-test-"))
        client, peer = (f"http://127.0.0.1:{port}" for port in free_ports(2))
        self.url = client
        with open(self.work / "log", "w") as log:
            self.process = subprocess.Popen(
                ["etcd", "--name", "etcd", "--data-dir", str(self.work / "data"),
                 "--listen-client-urls", client, "--advertise-client-urls", client,
                 "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                 "--initial-cluster", f"etcd={peer}", "--logger", "zap", "--log-level", "warn"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self.answers, "etcd answers")

    def answers(self):
        try:
            with urllib.request.urlopen(self.url + "/health", timeout=2) as answer:
                return b'"true"' in answer.read()
        except OSError:
            return False

    def close(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.work, ignore_errors=True)


class Cluster:
    """with Cluster(3) as cluster: cluster.brokers[0] has node id 1; all are live."""

    def __init__(self, count=3, *options, racks=None, **arguments_of):
        """`node_1={...}`: what Broker() gets beside the options, for that one; `racks`: one for each."""
        self.options = options
        self.racks = racks
        self.arguments_of = arguments_of
        self.count = count
        self.etcd = None
        self.brokers = []

    def __enter__(self):
        try:
            self.etcd = Etcd()
            for node in range(1, self.count + 1):
                rack = ("--rack", self.racks[node - 1]) if self.racks else ()
                self.brokers.append(Broker("--node-id", str(node), "--etcd", self.etcd.url, *rack, *self.options,
                                           **self.arguments_of.get(f"node_{node}", {})))
                self.brokers[-1].start()
            wait_for(lambda: all(self.live(broker) == self.count for broker in self.brokers),
                     "all brokers see each other")
            return self
        except BaseException:
            self.__exit__(True)
            raise

    def __exit__(self, kind, *_):
        for broker in self.brokers:
            broker.__exit__(kind)
        if self.etcd is not None:
            self.etcd.close()

    @staticmethod
    def live(broker):
        """How many brokers this one takes for live."""
        status, cluster = broker.http("GET", "/v1/cluster")
        return sum(one["live"] for one in cluster["brokers"]) if status == 200 else 0

    @property
    def addresses(self):
        return ",".join(broker.address for broker in self.brokers)

    def broker(self, node):
        return self.brokers[node - 1]

    def create_topic(self, name, partitions, replicas, **configs):
        """Config names with _ for the dots. Known to all brokers when it returns."""
        status, answer = self.brokers[0].http("POST", "/v1/topics", {
            "name": name, "partitions": partitions, "replication_factor": replicas,
            "configs": {key.replace("_", "."): value for key, value in configs.items()}})
        if status != 201:
            raise AssertionError(f"topic {name} was not created: {status} {answer}")
        for broker in self.brokers:
            wait_for(lambda at=broker: at.http("GET", f"/v1/topics/{name}")[0] == 200,
                     f"{broker.address} knows the topic")


class ClusterBroker(Broker):
    """A broker that has two others beside it; for tests that know of one (QT_CLUSTER=3)."""

    def __init__(self, *options, **arguments):
        super().__init__("--node-id", "1", *REPLICATED, *options, **arguments)
        self.etcd = None
        self.others = []

    def start(self, listen="127.0.0.1:0", wait=True):
        if self.etcd is None:
            self.etcd = Etcd()
            self.options += ["--etcd", self.etcd.url]
            for node in range(2, int(os.environ["QT_CLUSTER"]) + 1):
                self.others.append(Broker("--node-id", str(node), "--etcd", self.etcd.url,
                                          *self.options[2:-2]))
                self.others[-1].start()
        super().start(listen, wait)
        if wait:
            wait_for(lambda: Cluster.live(self) == 1 + len(self.others), "all brokers are live")
        return self

    def __exit__(self, kind, *arguments):
        super().__exit__(kind, *arguments)
        for broker in self.others:
            broker.__exit__(kind)
        if self.etcd is not None:
            self.etcd.close()
