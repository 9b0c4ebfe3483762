"""A real qbroker process for tests: free port, own data directory, killed at the end."""
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# QT_BUILD: another build folder, e.g. build/asan; relative to the root of the repository.
BIN = pathlib.Path(os.environ.get("QT_BIN")
                   or ROOT / os.environ.get("QT_BUILD", "build/release") / "bin").absolute()
START_S_MAX = 60


class Broker:
    """with Broker() as broker: broker.address is 127.0.0.1:PORT once it serves."""

    def __init__(self, *options, data_dir=None, prefix=()):
        self.options = list(options)
        self.prefix = list(prefix)  # e.g. a limiter the broker runs under
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="qbroker-test-"))
        self.data_dir = pathlib.Path(data_dir) if data_dir else self.work / "data"
        self.log_path = self.work / "log"
        self.process = None
        self.address = None

    def command(self, listen):
        return [*self.prefix, str(BIN / "qbroker"), "--data-dir", str(self.data_dir),
                "--listen", listen, "--ready-file", str(self.work / "ready"), *self.options]

    def start(self, listen="127.0.0.1:0", wait=True):
        ready = self.work / "ready"
        ready.unlink(missing_ok=True)
        with open(self.log_path, "a") as log:
            self.process = subprocess.Popen(self.command(listen), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        if not wait:
            return self
        deadline = time.monotonic() + START_S_MAX
        while True:
            try:
                text = ready.read_text()
            except FileNotFoundError:
                text = ""
            if text.endswith("\n"):
                break
            if self.process.poll() is not None:
                raise RuntimeError(f"qbroker ended with {self.process.returncode}: {self.log()}")
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"qbroker is not ready after {START_S_MAX} s: {self.log()}")
            time.sleep(0.002)
        self.address = text.splitlines()[0]
        return self

    def restart(self):
        """Again on the address it had, so that clients find it."""
        return self.start(listen=self.address)

    def log(self):
        return self.log_path.read_text(errors="replace")[-4000:]

    @property
    def port(self):
        return int(self.address.rsplit(":", 1)[1])

    def kill(self):
        """kill -9: nothing is flushed."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, timeout=30):
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def rss_mib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        for line in status.splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("no VmRSS")

    def cpu_seconds(self):
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = stat.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

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
            print(f"--- log of qbroker ---\n{self.log()}")
        shutil.rmtree(self.work, ignore_errors=True)

    def http(self, method, path, body=None, timeout=60):
        """One request to the JSON door; returns (status, JSON or text or None)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            headers = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            kind = answer.getheader("Content-Type", "")
            return answer.status, json.loads(text) if "json" in kind and text else text or None
        finally:
            connection.close()

    def create_topic(self, name, partitions=1, **configs):
        """Config names with _ for the dots."""
        status, answer = self.http("POST", "/v1/topics", {
            "name": name, "partitions": partitions,
            "configs": {key.replace("_", "."): value for key, value in configs.items()}})
        if status != 201:
            raise AssertionError(f"topic {name} was not created: {status} {answer}")

    def describe(self, topic):
        status, answer = self.http("GET", f"/v1/topics/{topic}")
        if status != 200:
            raise AssertionError(f"topic {topic} is not described: {status} {answer}")
        return answer

    def metric(self, name):
        """Sum of qbroker_<name> over cores and labels."""
        _, text = self.http("GET", "/metrics")
        lines = [line for line in text.splitlines()
                 if line.split("{")[0].split(" ")[0] == f"qbroker_{name}"]
        if not lines:
            raise AssertionError(f"/metrics has no qbroker_{name}")
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def qtool(self, *args, stdin=None, check=True, timeout=60):
        """Runs qtool against this broker; returns the CompletedProcess (bytes)."""
        done = subprocess.run([str(BIN / "qtool"), "-b", self.address, *args], input=stdin,
                              capture_output=True, timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError(f"qtool {args}: status {done.returncode}: {done.stderr.decode()}")
        return done


if "QT_CLUSTER" in os.environ:
    # The same tests against a cluster: what they start as their broker is one of several.
    from tests.harness.cluster import ClusterBroker as Broker  # noqa: E402,F811
