"""Three brokers and etcd as real processes, each in a network namespace of its own, with disks of their own.

Needs root. `enter()` starts the program again in namespaces of its own (mounts, network, processes), which the kernel
takes down with everything in them when it ends, however it ends: nothing is left to clean up but the work folder.

The hosts hang on one bridge. Each has a fixed hardware address that the others know, so a link is cut, one way and in
silence, by telling one side a wrong address of the other: no firewall is needed, and nobody gets an answer to go by.
"""
import contextlib
import ctypes
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

from tests.harness.broker import BIN

SHIM_SOURCE = pathlib.Path(__file__).resolve().parent / "slow_disk.c"
CLIENT = "client"  # the host of this program: the bridge itself
BRIDGE = "qtbridge"
NOBODY = "02:00:00:00:ff:ff"
DISK_MIB = 512
PR_SET_PDEATHSIG = 1


def enter():
    """Returns only in namespaces of our own."""
    if os.environ.get("QT_IN_NAMESPACES") == "1":
        return
    if os.geteuid() != 0:
        sys.exit("network namespaces and mounts need root")
    os.environ["QT_IN_NAMESPACES"] = "1"
    os.execvp("unshare", ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
                          sys.executable, "-m", sys.modules["__main__"].__spec__.name, *sys.argv[1:]])


def run(*command, check=True):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


def end_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Network:
    """Hosts by name: CLIENT and those that were added."""

    def __init__(self):
        run("mount", "--make-rprivate", "/")
        os.makedirs("/run/netns", exist_ok=True)
        run("mount", "-t", "tmpfs", "netns", "/run/netns")
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", BRIDGE, "address", self.hardware(100), "type", "bridge")
        run("ip", "addr", "add", f"{self.address(100)}/24", "dev", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")
        self.numbers = {CLIENT: 100}
        self.cuts = set()

    @staticmethod
    def address(number):
        return f"10.99.0.{number}"

    @staticmethod
    def hardware(number):
        return f"02:00:00:00:00:{number:02x}"

    def ip(self, host):
        return self.address(self.numbers[host])

    def add(self, host, number):
        run("ip", "netns", "add", host)
        run("ip", "link", "add", f"v-{host}", "type", "veth", "peer", "name", "eth0", "netns", host)
        run("ip", "link", "set", f"v-{host}", "master", BRIDGE, "up")
        run("ip", "-n", host, "link", "set", "eth0", "address", self.hardware(number), "up")
        run("ip", "-n", host, "link", "set", "lo", "up")
        run("ip", "-n", host, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
        for other in list(self.numbers):
            self.numbers[host] = number
            self.point(host, other, self.hardware(self.numbers[other]))
            self.point(other, host, self.hardware(number))

    def point(self, source, target, hardware):
        """What `source` sends to `target` goes to that hardware address from now on."""
        where = ["-n", source] if source != CLIENT else []
        run("ip", *where, "neigh", "replace", self.ip(target), "lladdr", hardware, "nud", "permanent",
            "dev", "eth0" if source != CLIENT else BRIDGE)

    def cut(self, source, target):
        self.cuts.add((source, target))
        self.point(source, target, NOBODY)

    def heal(self):
        for source, target in self.cuts:
            self.point(source, target, self.hardware(self.numbers[target]))
        self.cuts.clear()


class Process:
    """A program on a host; what it prints goes to `log`, across restarts."""

    def __init__(self, host, log, command, environment=()):
        self.host = host
        self.log_path = log
        self.command = ["ip", "netns", "exec", host, "env", *environment, *map(str, command)]
        self.process = None

    def start(self):
        with open(self.log_path, "a") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=end_with_parent)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.is_running():
            self.process.kill()
            self.process.wait()

    def stop(self, timeout=60):
        self.process.terminate()
        return self.process.wait(timeout)

    def tail(self, characters=3000):
        return pathlib.Path(self.log_path).read_text(errors="replace")[-characters:]


class Disk:
    """A file system of its own in a file, so that it can be full, behind a shim that makes it slow or fail."""

    def __init__(self, work, name, shim):
        self.image = work / f"{name}.img"
        self.path = work / name
        self.control = work / f"{name}.control"
        self.path.mkdir()
        with open(self.image, "wb") as file:
            file.truncate(DISK_MIB << 20)
        run("mkfs.ext4", "-q", "-m", "0", self.image)
        run("mount", "-o", "loop", self.image, self.path)
        self.environment = [f"LD_PRELOAD={shim}", f"QT_DISK_CONTROL={self.control}"]

    def free_bytes(self):
        info = os.statvfs(self.path)
        return info.f_bavail * info.f_frsize

    def fill(self, leave_bytes=0):
        with open(self.path / "ballast", "wb") as file:
            size = self.free_bytes() - leave_bytes
            while size > 4096:
                try:
                    os.posix_fallocate(file.fileno(), 0, size)
                    return
                except OSError:  # what the file system keeps for itself
                    size -= 1 << 20

    def empty(self):
        (self.path / "ballast").unlink(missing_ok=True)

    def order(self, text):
        """What the shim does from now on; see slow_disk.c."""
        self.control.write_text(text)

    def close(self):
        run("umount", "-l", self.path, check=False)
        self.image.unlink(missing_ok=True)


class NetnsBroker(Process):
    def __init__(self, work, network, node, endpoints, shim, options=()):
        self.node = node
        self.ip = network.ip(f"b{node}")
        self.address = f"{self.ip}:9092"
        self.disk = Disk(work, f"b{node}", shim)
        super().__init__(f"b{node}", work / f"b{node}.log", [
            BIN / "qbroker", "--data-dir", self.disk.path / "data", "--node-id", node, "--cluster", "netns",
            "--etcd", endpoints, "--listen", self.address, "--insecure-allow-remote", *options],
            self.disk.environment)

    def http(self, method, path, body=None, timeout=5):
        """(status, JSON or text) or (0, None) when there is no answer in time."""
        connection = http.client.HTTPConnection(self.ip, 9092, timeout=timeout)
        try:
            headers = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, json.loads(text) if "json" in answer.getheader("Content-Type", "") else text
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()

    def problems(self):
        """What the broker says is wrong with the cluster; a list of one line when it says nothing."""
        status, cluster = self.http("GET", "/v1/cluster")
        if status != 200:
            return [f"broker {self.node} does not answer ({status})"]
        live = sum(one["live"] for one in cluster["brokers"])
        return cluster["problems"] + ([] if live == len(cluster["brokers"]) else [f"{live} are live"])


class NetnsCluster:
    """`members` of etcd on hosts e1.., `count` brokers on b1..; not started."""

    def __init__(self, work, members=3, count=3, options=()):
        self.network = Network()
        shim = work / "slow_disk.so"
        run("gcc", "-shared", "-fPIC", "-O2", "-o", shim, SHIM_SOURCE, "-ldl")
        for i in range(1, count + 1):
            self.network.add(f"b{i}", i)
        for i in range(1, members + 1):
            self.network.add(f"e{i}", 10 + i)
        peers = ",".join(f"e{i}=http://{self.network.ip(f'e{i}')}:2380" for i in range(1, members + 1))
        # etcd is not what is tried here: a disk that others keep busy would be the end of every session.
        self.memory = memory = work / "etcd"
        memory.mkdir()
        run("mount", "-t", "tmpfs", "-o", "size=1g", "etcd", memory)
        self.etcd = []
        for i in range(1, members + 1):
            client, peer = (f"http://{self.network.ip(f'e{i}')}:{port}" for port in (2379, 2380))
            self.etcd.append(Process(f"e{i}", work / f"e{i}.log", [
                "etcd", "--name", f"e{i}", "--data-dir", memory / f"e{i}", "--listen-client-urls", client,
                "--advertise-client-urls", client, "--listen-peer-urls", peer,
                "--initial-advertise-peer-urls", peer, "--initial-cluster", peers, "--logger", "zap",
                "--log-level", "error"]))
        endpoints = ",".join(f"http://{self.network.ip(one.host)}:2379" for one in self.etcd)
        self.brokers = [NetnsBroker(work, self.network, i, endpoints, shim, options)
                        for i in range(1, count + 1)]

    def start(self):
        for one in [*self.etcd, *self.brokers]:
            one.start()
        self.wait_healthy()

    @property
    def addresses(self):
        return ",".join(broker.address for broker in self.brokers)

    def problems(self):
        ended = [f"{one.host} ended with {one.process.returncode}" for one in [*self.etcd, *self.brokers]
                 if not one.is_running()]
        return ended or [problem for broker in self.brokers for problem in broker.problems()]

    def wait_healthy(self, timeout=90):
        """Until every broker says that nothing is wrong; returns the seconds it took."""
        begun = time.monotonic()
        while problems := self.problems():
            if time.monotonic() - begun > timeout:
                raise AssertionError(f"not healthy after {timeout} s: {problems}")
            time.sleep(0.1)
        return time.monotonic() - begun

    def close(self):
        for one in [*self.brokers, *self.etcd]:
            with contextlib.suppress(OSError):
                one.kill()
        for broker in self.brokers:
            broker.disk.close()
        run("umount", "-l", self.memory, check=False)
