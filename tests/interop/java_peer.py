"""The Java client and Kafka's own command-line tools, from Maven Central, run as processes.

The jars are copied once into build/interop by the pom beside this file. A machine that cannot get
them fails the tests with Maven's own words; nothing is skipped.
"""
import atexit
import fcntl
import hashlib
import pathlib
import shutil
import struct
import subprocess
import threading

from tests.harness.broker import ROOT

POM = pathlib.Path(__file__).resolve().parent / "pom.xml"
TOOL_SHELL = POM.parent / "ToolShell.java"
FOLDER = ROOT / "build/interop"
# Small and quick to start: most of a tool's 1.5 s is the JVM's.
JVM = ["java", "-Xmx256m", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
       "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]


def jars():
    """The folder of jars; asks Maven when the pom changed since. Test files that run side by side
    wait for the one that asks."""
    folder = FOLDER / "jars"
    stamp = FOLDER / "jars.pom"  # written last: tells a complete copy from an interrupted one
    wanted = hashlib.sha256(POM.read_bytes()).hexdigest()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / "jars.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            copy_jars(folder)
            stamp.write_text(wanted)
    return folder


def copy_jars(folder):
    shutil.rmtree(folder, ignore_errors=True)
    done = subprocess.run(
        ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies",
         "-DincludeScope=runtime", f"-DoutputDirectory={folder}"],
        capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        raise RuntimeError("Maven cannot get Kafka's jars, which these tests need:\n"
                           + (done.stdout + done.stderr)[-3000:])


# Writes its last lines when the JVM ends, and not before.
OWN_JVM = {"org.apache.kafka.tools.VerifiableProducer"}


class _Shell:
    """A JVM that runs one tool after another (ToolShell.java)."""

    def __init__(self):
        self.process = None
        self.lock = threading.Lock()

    def run(self, words, stdin, timeout):
        """A CompletedProcess; as subprocess.run, it raises TimeoutExpired."""
        if self.process is None:
            self.process = subprocess.Popen([*JVM, "-cp", f"{jars()}/*", str(TOOL_SHELL)], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE)
        watch = threading.Timer(timeout, self.process.kill)
        watch.start()
        try:
            texts = [text.encode() for text in (*words, stdin or "")]
            self.process.stdin.write(struct.pack(">i", len(words)) + b"".join(
                struct.pack(">i", len(text)) + text for text in texts))
            self.process.stdin.flush()
            (status,) = struct.unpack(">i", self.read(4))
            out, err = (self.read(struct.unpack(">i", self.read(4))[0]).decode() for _ in range(2))
            return subprocess.CompletedProcess(words, status, out, err)
        except (OSError, EOFError):
            self.end()
            raise subprocess.TimeoutExpired(words, timeout) from None
        finally:
            watch.cancel()

    def read(self, size):
        found = self.process.stdout.read(size)
        if len(found) < size:
            raise EOFError
        return found

    def end(self):
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


_SHELL = _Shell()
atexit.register(_SHELL.end)


def run(tool, *args, stdin=None, check=True, timeout=120):
    """Runs the main method of class `tool`; returns its stdout (with check=False the process)."""
    if tool not in OWN_JVM and not tool.endswith(".java") and _SHELL.lock.acquire(blocking=False):
        try:
            done = _SHELL.run([tool, *args], stdin, timeout)
        finally:
            _SHELL.lock.release()
    else: # a program of ours, or another thread's tool runs in the shell
        done = subprocess.run([*JVM, "-cp", f"{jars()}/*", tool, *args], input=stdin,
                              capture_output=True, text=True, timeout=timeout)
    if not check:
        return done
    if done.returncode != 0:
        raise AssertionError(f"{tool} {' '.join(args)}: status {done.returncode}\n"
                             f"{done.stdout}\n{done.stderr}")
    return done.stdout


def start(tool, *args, class_path="", log=None, stdin=False):
    """Starts the main method of class `tool`; its stdout is a text pipe, stderr goes to `log`."""
    return subprocess.Popen([*JVM, "-cp", f"{jars()}/*:{class_path}", tool, *args], text=True,
                            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=log or subprocess.DEVNULL)


def end(process, timeout=30):
    """SIGTERM and wait; a process that ended is let be. Returns its status."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    process.stdout.close()
    return process.returncode
