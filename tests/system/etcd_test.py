"""A broker on etcd: it starts, it moves there from SQLite with everything it has, it says what is
wrong with an etcd it cannot use, it serves on while etcd is away; cluster.sh runs a cluster."""
import contextlib
import os
import pathlib
import subprocess
import tempfile
import time
import unittest

from tests.harness.broker import BIN, ROOT, Broker
from tests.harness.etcd import Etcd, free_ports

QTOOL = BIN / "qtool"


def qtool(broker, *args, stdin=None):
    done = subprocess.run([QTOOL, "-b", broker.address, *args], input=stdin, capture_output=True,
                          text=True, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(f"qtool {args}: {done.stderr}\n{broker.log()}")
    return done.stdout


def records_of(addresses, topic):
    done = subprocess.run([QTOOL, "-b", addresses, "consume", "-t", topic, "--from", "beginning",
                           "--exit-at-end"], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()


def records(broker, topic):
    return qtool(broker, "consume", "-t", topic, "--from", "beginning", "--exit-at-end")


class EtcdTest(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def run_qbroker(self, *args, timeout=60):
        return subprocess.run([BIN / "qbroker", *args], capture_output=True, text=True,
                              timeout=timeout, cwd=self.work)

    def test_restart_keeps_what_was(self):
        with Etcd() as etcd:
            data = self.work / "data"
            with Broker("--etcd", etcd.urls, data_dir=data) as broker:
                qtool(broker, "topic", "create", "t", "-p", "300")  # more than one transaction
                qtool(broker, "produce", "-t", "t", stdin="one\ntwo\n")
                cluster = broker.http("GET", "/v1/cluster")[1]["cluster_id"]
                self.assertFalse((data / "metadata.db").exists())
                self.assertEqual(broker.stop(), 0)
                broker.restart()
                self.assertEqual(broker.http("GET", "/v1/cluster")[1]["cluster_id"], cluster)
                self.assertEqual(records(broker, "t"), "one\ntwo\n")
                # A login that etcd does not ask for does no harm; the names share an etcd.
                password = self.work / "password"
                password.write_text("secret\n")
                with Broker("--etcd", etcd.urls, "--cluster", "other", "--set", "etcd.user=me",
                            "--set", f"etcd.password.file={password}") as other:
                    self.assertNotIn("t ", qtool(other, "topic", "list"))
                    self.assertNotEqual(other.http("GET", "/v1/cluster")[1]["cluster_id"], cluster)

    def test_one_broker_moves_to_etcd(self):
        data = self.work / "data"
        with Etcd() as etcd, Broker(data_dir=data) as broker:
            qtool(broker, "topic", "create", "t", "-p", "250", "--config", "retention.ms=1234567")
            qtool(broker, "topic", "create", "gone")
            qtool(broker, "topic", "delete", "gone", "--yes")
            qtool(broker, "produce", "-t", "t", stdin="".join(f"{i}\n" for i in range(1000)))
            before = (broker.http("GET", "/v1/cluster")[1]["cluster_id"],
                      broker.http("GET", "/v1/topics/t")[1], sorted(records(broker, "t").split()))
            move = ("--data-dir", str(data), "--etcd", etcd.urls, "--cluster", "moved",
                    "--migrate-to-etcd")
            done = self.run_qbroker(*move)
            self.assertEqual(done.returncode, 1)
            self.assertIn("storage_locked", done.stderr)  # the broker still runs
            self.assertEqual(broker.stop(), 0)

            done = self.run_qbroker("--data-dir", str(data), "--etcd", etcd.urls)
            self.assertEqual(done.returncode, 1)
            self.assertIn("--migrate-to-etcd", done.stderr)
            done = self.run_qbroker(*move)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertRegex(done.stdout, r"moved: \d+ keys")
            self.assertTrue((data / "metadata.db.moved-to-etcd").exists())
            self.assertFalse((data / "metadata.db").exists())

            broker.options = ["--etcd", etcd.urls, "--cluster", "moved"]
            broker.restart()
            after = (broker.http("GET", "/v1/cluster")[1]["cluster_id"],
                     broker.http("GET", "/v1/topics/t")[1], sorted(records(broker, "t").split()))
            self.assertEqual(after[0], before[0])
            self.assertEqual(after[2], before[2])
            self.assertEqual(after[1]["id"], before[1]["id"])
            self.assertIn("1234567", qtool(broker, "config", "describe", "topic", "t"))
            qtool(broker, "topic", "create", "gone")

            done = self.run_qbroker(*move)
            self.assertEqual(done.returncode, 1)
            self.assertIn("moved before", done.stderr)
            # Another broker's metadata is not mixed in.
            with Broker() as second:
                self.assertEqual(second.stop(), 0)
                done = self.run_qbroker("--data-dir", str(second.data_dir), "--etcd", etcd.urls,
                                        "--cluster", "moved", "--migrate-to-etcd")
                self.assertEqual(done.returncode, 1)
                self.assertIn("another cluster", done.stderr)
                self.assertTrue((second.data_dir / "metadata.db").exists())

    def test_etcd_goes_away_and_comes_back(self):
        with Etcd() as etcd:
            options = ("--etcd", etcd.urls, "--set", "broker.session.timeout.ms=3000")
            with Broker(*options) as broker:
                qtool(broker, "topic", "create", "t")
                qtool(broker, "produce", "-t", "t", stdin="before\n")
                etcd.kill()
                self.assertEqual(records(broker, "t"), "before\n")  # reads go on
                time.sleep(4)  # the session is over
                self.assertEqual(records(broker, "t"), "before\n")
                self.assertTrue(broker.is_running())
                etcd.start()
                deadline = time.monotonic() + 30
                while True:  # a new session, then it leads again
                    try:
                        qtool(broker, "produce", "-t", "t", stdin="after\n")
                        break
                    except RuntimeError:
                        if time.monotonic() > deadline:
                            raise
                self.assertEqual(records(broker, "t").splitlines()[0], "before")
                self.assertIn("after\n", records(broker, "t"))

    def test_etcd_members_come_and_go_under_a_cluster(self):
        """Three members of etcd under three brokers: one is killed, one is paused, two are; what is
        produced meanwhile goes through, and no broker loses its session but in the last case."""
        with Etcd(members=3) as etcd:
            with contextlib.ExitStack() as stack:
                brokers = [stack.enter_context(Broker("--etcd", etcd.urls, "--node-id", str(i)))
                           for i in (1, 2, 3)]
                all_brokers = ",".join(broker.address for broker in brokers)

                def run(*args, stdin=None):
                    return subprocess.run([QTOOL, "-b", all_brokers, *args], input=stdin, text=True,
                                          capture_output=True, timeout=60)
                run("topic", "create", "t", "-p", "6", "-r", "3").check_returncode()
                sent = []

                def write(seconds):
                    """Records and topics, one after the other."""
                    end = time.monotonic() + seconds
                    while time.monotonic() < end:
                        line = f"{len(sent)}"
                        run("produce", "-t", "t", stdin=line + "\n").check_returncode()
                        sent.append(line)
                        if len(sent) % 5 == 0:
                            run("topic", "create", f"t{len(sent)}").check_returncode()

                def live():
                    return [b["live"] for b in brokers[0].http("GET", "/v1/cluster")[1]["brokers"]]
                write(1)
                etcd.kill(0)  # the first is the one in use
                write(5)
                etcd.start(0)
                # A leader that was paused may revoke leases that the next one renewed (etcd-io/etcd#15247).
                paused = 2 if etcd.is_leader(1) else 1
                etcd.pause(paused)
                write(12)  # longer than a session
                etcd.resume(paused)
                write(1)
                self.assertEqual(live(), [True] * 3)
                lost = [line for broker in brokers for line in broker.log().splitlines()
                        if "session_lost" in line]
                self.assertEqual(lost, [])
                etcd.kill(1)
                etcd.kill(2)
                time.sleep(3)  # no quorum, but the sessions live
                self.assertEqual(sorted(records_of(all_brokers, "t")), sorted(sent))
                run("produce", "-t", "t", stdin="still\n").check_returncode()
                sent.append("still")
                time.sleep(8)  # now they do not
                etcd.start(1)
                etcd.start(2)
                deadline = time.monotonic() + 60
                while run("topic", "create", f"again{time.monotonic()}").returncode != 0:
                    self.assertLess(time.monotonic(), deadline)
                write(2)
                self.assertEqual(sorted(records_of(all_brokers, "t")), sorted(sent))
                self.assertEqual(live(), [True] * 3)

    def test_errors_that_say_what_is_wrong(self):
        start = ("--data-dir", str(self.work / "data"), "--listen", "127.0.0.1:0")
        for options, says in (
                (("--cluster", "x"), "--etcd"),
                (("--etcd", "127.0.0.1:2379"), "http://HOST:2379"),
                (("--etcd", "http://h:1", "--set", "etcd.user=me"), "etcd.password.file"),
                (("--etcd", "http://h:1", "--set", "etcd.tls.cert.file=x"), "etcd.tls.key.file"),
                (("--etcd", "http://h:1", "--set", "etcd.tls.ca.file=/no"), "/no")):
            with self.subTest(options):
                done = self.run_qbroker(*start, *options)
                self.assertEqual(done.returncode, 2)
                self.assertIn(says, done.stderr)
        # Not an etcd, but something that speaks HTTP: another broker.
        with Broker() as other:
            done = self.run_qbroker(*start, "--etcd", f"http://{other.address}")
            self.assertEqual(done.returncode, 1)
            self.assertIn(other.address, done.stderr)
        port = free_ports(1)[0]
        done = self.run_qbroker(*start, "--etcd", f"http://127.0.0.1:{port}")
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"http://127.0.0.1:{port}", done.stderr)
        with Etcd() as etcd:
            for name in ("root", "stranger"):
                etcd.post("/v3/auth/user/add", {"name": name, "password": "secret"})
            etcd.post("/v3/auth/user/grant", {"user": "root", "role": "root"})
            etcd.post("/v3/auth/enable", {})
            password = self.work / "password"
            password.write_text("wrong\n")
            login = ("--etcd", etcd.urls, "--set", "etcd.user=stranger", "--set",
                     f"etcd.password.file={password}")
            done = self.run_qbroker(*start, *login)
            self.assertEqual(done.returncode, 1)
            self.assertIn("authentication failed", done.stderr)
            password.write_text("secret\n")
            done = self.run_qbroker(*start, *login)
            self.assertEqual(done.returncode, 1)
            self.assertIn("permission denied", done.stderr)

    def test_mutual_tls(self):
        def openssl(*args):
            subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=self.work)
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out",
                "ca.pem", "-days", "2", "-subj", "/CN=test ca")
        (self.work / "ext").write_text("subjectAltName=IP:127.0.0.1\n"
                                       "extendedKeyUsage=serverAuth,clientAuth\n")
        for name in ("etcd", "broker"):
            openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out",
                    f"{name}.csr", "-subj", f"/CN={name}")
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                    "-CAcreateserial", "-days", "2", "-extfile", "ext", "-out", f"{name}.pem")
        with Etcd(scheme="https", options=["--cert-file", self.work / "etcd.pem", "--key-file",
                                           self.work / "etcd.key", "--client-cert-auth",
                                           "--trusted-ca-file", self.work / "ca.pem"]) as etcd:
            ca = ("--etcd", etcd.urls, "--set", f"etcd.tls.ca.file={self.work}/ca.pem")
            mine = ("--set", f"etcd.tls.cert.file={self.work}/broker.pem", "--set",
                    f"etcd.tls.key.file={self.work}/broker.key")
            with Broker(*ca, *mine) as broker:
                qtool(broker, "topic", "create", "t")
                qtool(broker, "produce", "-t", "t", stdin="one\n")
                self.assertEqual(records(broker, "t"), "one\n")
            start = ("--data-dir", str(self.work / "data"), "--listen", "127.0.0.1:0")
            for options in (ca, ("--etcd", etcd.urls, *mine)):  # no certificate; not trusted
                done = self.run_qbroker(*start, *options)
                self.assertEqual(done.returncode, 1)
                self.assertIn(etcd.urls, done.stderr)

    def test_cluster_script(self):
        environment = dict(os.environ, QBROKER_CLUSTER_DIR=str(self.work / "cluster"),
                           QBROKER_BIN=str(BIN))

        def script(*args, status=0):
            done = subprocess.run([ROOT / "scripts/cluster.sh", *args], capture_output=True,
                                  text=True, timeout=120, env=environment, cwd=self.work)
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)
            return done.stdout
        try:
            started = script("start", "2", "--", "--set", "broker.session.timeout.ms=4000")
            self.assertEqual(started.count(" pid "), 3)
            brokers = started.split("QTOOL_BROKERS=")[1].strip()
            self.assertEqual(script("start", "2"), started)  # nothing to do
            for command, stdin in ((("topic", "create", "t", "-r", "2"), None),
                                   (("produce", "-t", "t"), "one\n")):
                subprocess.run([QTOOL, "-b", brokers, *command], input=stdin, text=True, check=True,
                               timeout=60, capture_output=True)
            script("stop")
            self.assertIn("not running", script("status", status=1))
            self.assertEqual(script("start", "2").split("export")[1], started.split("export")[1])
            read = subprocess.run([QTOOL, "-b", brokers, "consume", "-t", "t", "--from",
                                   "beginning", "--exit-at-end"], capture_output=True, text=True,
                                  timeout=60)
            self.assertEqual(read.stdout, "one\n", read.stderr)
            script("nonsense", status=2)
            self.assertIn("start [N]", script("--help"))
        finally:
            script("stop")


if __name__ == "__main__":
    unittest.main()
