"""Real etcd processes for tests: free ports, own data directory, killed at the end."""
import json
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

START_S_MAX = 60


def free_ports(count):
    """Ports that nobody listens on now; held together, so that none comes twice."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in held]
    for sock in held:
        sock.close()
    return ports


class Etcd:
    """with Etcd() as etcd: etcd.urls is what --etcd takes. `options` go to every member."""

    def __init__(self, members=1, options=(), scheme="http", ca_file=None, client_cert=None):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="etcd-test-"))
        self.options = list(options)
        self.scheme = scheme
        ports = free_ports(2 * members)
        self.ports = ports[:members]
        self.peer_ports = ports[members:]
        self.processes = [None] * members
        self.tls = (ca_file, client_cert)

    def url(self, member=0):
        return f"{self.scheme}://127.0.0.1:{self.ports[member]}"

    @property
    def urls(self):
        return ",".join(self.url(member) for member in range(len(self.ports)))

    def start(self, member=0):
        peers = [f"http://127.0.0.1:{port}" for port in self.peer_ports]
        cluster = ",".join(f"m{i}={url}" for i, url in enumerate(peers))
        command = ["etcd", "--name", f"m{member}", "--data-dir", self.work / f"m{member}",
                   "--listen-client-urls", self.url(member),
                   "--advertise-client-urls", self.url(member),
                   "--listen-peer-urls", peers[member],
                   "--initial-advertise-peer-urls", peers[member], "--initial-cluster", cluster,
                   "--logger", "zap", "--log-level", "error", *self.options]
        with open(self.work / f"m{member}.log", "a") as log:
            self.processes[member] = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                                      stdout=log, stderr=log)

    def kill(self, member=0):
        self.processes[member].kill()
        self.processes[member].wait()

    def pause(self, member=0):
        self.processes[member].send_signal(signal.SIGSTOP)

    def resume(self, member=0):
        self.processes[member].send_signal(signal.SIGCONT)

    def post(self, path, body, member=0):
        request = urllib.request.Request(self.url(member) + path, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def is_leader(self, member=0):
        status = self.post("/v3/maintenance/status", {}, member)
        return status["leader"] == status["header"]["member_id"]

    def wait(self):
        """Until etcd answers; for http alone."""
        deadline = time.monotonic() + START_S_MAX
        while True:
            try:
                self.post("/v3/kv/range", {"key": "AA=="})
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def __enter__(self):
        for member in range(len(self.ports)):
            self.start(member)
        if self.scheme == "http":
            self.wait()
        return self

    def __exit__(self, *_):
        for process in self.processes:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        shutil.rmtree(self.work, ignore_errors=True)
