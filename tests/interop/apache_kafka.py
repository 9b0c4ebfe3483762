"""A real Apache Kafka (one KRaft node) from the jars of pom.xml, with the face of harness.broker.Broker.

What a test or scripts/parity.py expects of qbroker is tried on it first: with QT_PEER=apache in the
environment, `peer()` gives one of these instead of a qbroker, and the same test must pass.
"""
import base64
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from tests.harness.broker import Broker
from tests.interop import java_peer

START_S_MAX = 120
# Small and quick to start, for tests. scripts/compare.py gives what Kafka's own start script gives.
TEST_JVM = ("-Xmx512m", "-Xshare:auto", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{advertised}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class ApacheKafka:
    """with ApacheKafka() as broker: broker.address is 127.0.0.1:PORT once it serves."""

    def __init__(self, configs=None, advertised_port=None, data_dirs=1, jvm=TEST_JVM):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="apache-kafka-test-"))
        self.data_dirs = [self.work / f"data{n}" for n in range(data_dirs)]
        self.configs = dict(configs or {})
        self.advertised_port = advertised_port
        self.jvm = list(jvm)
        self.log_path = self.work / "log"
        self.process = None
        self.address = None

    def _format(self):
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        text = PROPERTIES.format(port=port, controller=free_port(), data=",".join(map(str, self.data_dirs)),
                                 advertised=self.advertised_port or port)
        self.properties = self.work / "server.properties"
        self.properties.write_text(text + "".join(f"{k}={v}\n" for k, v in self.configs.items()))
        # Never with '-' in front, which the tool would take for an option.
        id_bytes = bytes([os.urandom(1)[0] & 0x7F]) + os.urandom(15)
        cluster = base64.urlsafe_b64encode(id_bytes).decode().rstrip("=")
        java_peer.run("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self.properties))

    def prepare(self):
        """Address and formatted folders, without starting it."""
        if self.address is None:
            self._format()

    def start(self, wait=True):
        self.prepare()
        command = ["java", *self.jvm, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp",
                   f"{java_peer.jars()}/*", "kafka.Kafka", str(self.properties)]
        with open(self.log_path, "a") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if not wait:
            return self
        deadline = time.monotonic() + START_S_MAX
        while True:
            try:
                # The port is open before the broker may serve; librdkafka asks until it does.
                AdminClient({"bootstrap.servers": self.address, "log_level": 0}).list_topics(timeout=1)
                return self
            except KafkaException:
                pass
            if self.process.poll() is not None:
                raise RuntimeError(f"Apache Kafka ended with {self.process.returncode}: {self.log()}")
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"Apache Kafka is not ready after {START_S_MAX} s: {self.log()}")
            time.sleep(0.1)

    def restart(self):
        return self.start()

    def log(self):
        return self.log_path.read_text(errors="replace")[-4000:]

    @property
    def port(self):
        return int(self.address.rsplit(":", 1)[1])

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, timeout=60):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def create_topic(self, name, partitions=1, **configs):
        """Config names with _ for the dots."""
        admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        admin.create_topics([NewTopic(name, partitions, 1, config={
            key.replace("_", "."): value for key, value in configs.items()})])[name].result(30)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            shutil.rmtree(self.work, ignore_errors=True)
            raise

    def __exit__(self, kind, *_):
        if self.is_running():
            self.kill()
        if kind is not None:
            print(f"--- log of Apache Kafka ---\n{self.log()}")
        shutil.rmtree(self.work, ignore_errors=True)


def peer():
    """The broker under test: qbroker, or what it is measured by."""
    return ApacheKafka() if os.environ.get("QT_PEER") == "apache" else Broker()
