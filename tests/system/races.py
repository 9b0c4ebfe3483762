"""Everything at once, for brokers built with ThreadSanitizer: one of several cores with two log directories, then
three on etcd. Looks at no record: a worker may fail while its broker is away, but each must have worked once. Run by
`scripts/tsan.sh`, which says what the sanitizer saw.

  QT_BUILD=build/tsan python3 -m tests.system.races [--seconds 30] [--cores 3] [--only one|three]
"""
import argparse
import collections
import itertools
import json
import random
import subprocess
import sys
import threading
import time
import urllib.request

from confluent_kafka import Consumer, KafkaException, Producer

from tests.harness.broker import BIN, Broker
from tests.harness.cluster import REPLICATED, Cluster

PARTITIONS = 6
STEP_S_MAX = 60  # of one command: the sanitizer makes everything ten times slower
STOP_S_MAX = 120
QUICK = ("--set", "log.cleaner.backoff.ms=50", "--set", "log.retention.check.interval.ms=200",
         "--set", "group.initial.rebalance.delay.ms=0", "--set", "log.dir.reserve.bytes=0")
TOPICS = {"load": {"segment.bytes": "1048576", "retention.bytes": "2097152"},
          "ends": {}, "keyed": {"cleanup.policy": "compact", "segment.bytes": "1048576",
                                "min.cleanable.dirty.ratio": "0.01"},
          "sold": {}}


class Load:
    """Threads that repeat one step each until stop()."""

    def __init__(self, addresses, replicas):
        self.addresses, self.replicas = addresses, replicas
        self.stopping = threading.Event()
        self.steps_done = collections.Counter()
        self.last_failure = {}
        self.threads = []

    def start(self, *steps):
        for step in steps:
            self.threads.append(threading.Thread(target=self.repeat, args=(step,), daemon=True))
            self.threads[-1].start()

    def repeat(self, step):
        for number in itertools.count():
            if self.stopping.is_set():
                return
            try:
                step(number)
                self.steps_done[step.__name__] += 1
            except (OSError, ValueError, subprocess.SubprocessError, KafkaException, BufferError) as error:
                self.last_failure[step.__name__] = error
                time.sleep(0.1)

    def stop(self):
        """Returns the steps that never worked, with why."""
        self.stopping.set()
        for thread in self.threads:
            thread.join(2 * STEP_S_MAX)
        print("  " + ", ".join(f"{name} {count}" for name, count in sorted(self.steps_done.items())), flush=True)
        return {name: error for name, error in self.last_failure.items() if not self.steps_done[name]}

    def qtool(self, *args, stdin=b""):
        done = subprocess.run([str(BIN / "qtool"), "-b", ",".join(self.addresses), "--timeout", "30", *args],
                              input=stdin, capture_output=True, timeout=STEP_S_MAX, check=False)
        if done.returncode:
            raise OSError(f"qtool {args}: {done.returncode}: {done.stderr.decode()[-500:]}")
        return done.stdout

    def get(self, path):
        with urllib.request.urlopen(f"http://{random.choice(self.addresses)}{path}", timeout=30) as answer:
            return answer.read()

    def client(self, **options):
        return {"bootstrap.servers": ",".join(self.addresses), "log_level": 0,
                **{key.replace("_", "."): value for key, value in options.items()}}

    def create_topics(self):
        for name, configs in TOPICS.items():
            options = itertools.chain(*(("--config", f"{key}={value}") for key, value in configs.items()))
            self.qtool("topic", "create", name, "-p", str(PARTITIONS), "-r", str(self.replicas), *options)

    # ---- steps ----------------------------------------------------------------------------------

    def watch(self, _):
        for path in ("/metrics", "/v1/cluster", "/v1/topics", "/v1/topics/load", "/v1/groups", "/v1/transactions",
                     "/healthz"):
            self.get(path)

    def bench(self, number):
        codec = ("none", "lz4", "zstd", "gzip", "snappy")[number % 5]
        self.qtool("bench", "mixed", "-t", "load", "--producers", "3", "--consumers", "2", "-d", "2",
                   "-X", f"acks={('all', '1', '0')[number % 3]}", "-X", f"compression.type={codec}", "--progress")

    def end_to_end(self, _):
        self.qtool("bench", "e2e", "-t", "ends", "--producers", "2", "--consumers", "2", "-d", "1", "-r", "300")

    def keys(self, _):
        self.qtool("bench", "produce", "-t", "keyed", "--producers", "2", "--key-count", "50", "-d", "2",
                   "-X", "linger.ms=1")

    def kcat(self, _):
        address = ("-b", ",".join(self.addresses))
        subprocess.run(["kcat", *address, "-P", "-t", "ends", "-X", "message.timeout.ms=20000"],
                       input=b"line\n" * 500, capture_output=True, timeout=STEP_S_MAX, check=True)
        subprocess.run(["kcat", *address, "-C", "-q", "-e", "-c", "500", "-t", "ends", "-o", "beginning"],
                       capture_output=True, timeout=STEP_S_MAX, check=True)

    def transact(self, number):
        producer = Producer(self.client(transactional_id=f"seller-{number % 3}", transaction_timeout_ms=20000))
        producer.init_transactions(20)
        reader = Consumer(self.client(group_id="buyers", auto_offset_reset="earliest"))
        try:
            reader.subscribe(["ends"])
            for turn in range(3):
                producer.begin_transaction()
                for partition in range(PARTITIONS):
                    producer.produce("sold", b"x" * 100, partition=partition)
                reader.consume(100, 1)
                producer.send_offsets_to_transaction(reader.position(reader.assignment()),
                                                     reader.consumer_group_metadata(), 20)
                if turn == 1:
                    producer.abort_transaction(20)
                else:
                    producer.commit_transaction(20)
        finally:
            reader.close()

    def read_in_group(self, _):
        reader = Consumer(self.client(group_id="readers", auto_offset_reset="earliest", session_timeout_ms=10000,
                                      isolation_level="read_committed", enable_auto_commit=False))
        try:
            reader.subscribe(["load", "sold"])
            for _ in range(5):
                if reader.consume(200, 1):
                    reader.commit(asynchronous=True)
        finally:
            reader.close()

    def qtool_group(self, _):
        self.qtool("consume", "-t", "ends", "-g", "tool", "-n", "50", "-e")
        self.qtool("group", "list")
        self.qtool("group", "describe", "readers")

    def churn(self, number):
        name = f"churn-{number % 4}"
        self.qtool("topic", "delete", name, "--if-exists", "-y")
        self.qtool("topic", "create", name, "-p", "8", "-r", str(self.replicas))
        self.qtool("produce", "-t", name, "-X", "linger.ms=0", stdin=b"a\nb\nc\n" * 100)
        self.qtool("topic", "alter", name, "-p", "9")

    def settings(self, number):
        level = ("debug", "info")[number % 2]
        self.qtool("config", "set", "broker", "default", f"log.retention.ms={3600000 + number}", f"log.level={level}")
        self.qtool("topic", "alter", "load", "--config", f"segment.bytes={1048576 + 1024 * (number % 64)}")
        self.qtool("quota", "set", "--default-client-id", f"producer_byte_rate={10**7 + number}",
                   f"consumer_byte_rate={10**8}", "request_percentage=1000")
        self.qtool("config", "describe", "broker", "default", "-a")
        self.qtool("quota", "list")
        self.qtool("quota", "remove", "--default-client-id")


def run_one(seconds, cores):
    """Moves between log directories, SIGTERM and kill -9 under load."""
    broker = Broker("--cores", str(cores), *QUICK)
    dirs = [str(broker.work / "a"), str(broker.work / "b")]
    broker.data_dir = ",".join(dirs)
    with broker:
        load = Load([broker.address], 1)
        load.create_topics()

        def move(number):
            load.qtool("partition", "move", ("load", "keyed")[number % 2], str(number % PARTITIONS),
                       "--log-dir", random.choice(dirs))
            load.qtool("cluster", "disks")
            time.sleep(0.3)

        load.start(load.watch, load.bench, load.end_to_end, load.keys, load.kcat, load.transact, load.read_in_group,
                   load.qtool_group, load.churn, load.settings, move)
        time.sleep(seconds * 0.6)
        statuses = [broker.stop(STOP_S_MAX)]
        broker.restart()
        time.sleep(seconds * 0.2)
        broker.kill()
        broker.restart()
        time.sleep(seconds * 0.2)
        idle = load.stop()
        statuses.append(broker.stop(STOP_S_MAX))
        return {f"one broker: {name}": error for name, error in idle.items()}, statuses


def run_three(seconds, cores):
    """Leaders killed and stopped under load, reassignments, all stopped at the same time."""
    with Cluster(3, "--cores", str(cores), *REPLICATED, *QUICK) as cluster:
        load = Load([broker.address for broker in cluster.brokers], 3)
        load.create_topics()

        def reassign(number):
            nodes = random.sample([1, 2, 3], 2)
            load.qtool("partition", "move", "load", str(number % PARTITIONS), "--to",
                       ",".join(map(str, nodes)), "--no-wait")
            time.sleep(1)
            load.qtool("partition", "move", "load", str(number % PARTITIONS), "--to", "1,2,3", "--no-wait")

        load.start(load.watch, load.watch, load.bench, load.end_to_end, load.keys, load.transact, load.read_in_group,
                   load.qtool_group, load.churn, load.settings, reassign)
        time.sleep(seconds * 0.4)
        topic = json.loads(load.get("/v1/topics/load"))
        leader = cluster.broker(next(one["leader"] for one in topic["partitions"] if one["leader"] > 0))
        leader.kill()
        time.sleep(seconds * 0.2)
        leader.restart()
        time.sleep(seconds * 0.2)
        next_one = cluster.brokers[cluster.brokers.index(leader) - 1]
        statuses = [next_one.stop(STOP_S_MAX)]
        next_one.restart()
        time.sleep(seconds * 0.2)
        idle = load.stop()
        stops = [threading.Thread(target=lambda at=broker: statuses.append(at.stop(STOP_S_MAX)))
                 for broker in cluster.brokers]
        for stop in stops:
            stop.start()
        for stop in stops:
            stop.join()
        return {f"three brokers: {name}": error for name, error in idle.items()}, statuses


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30, help="of load, for each of the two")
    parser.add_argument("--cores", type=int, default=3, help="data cores of each broker")
    parser.add_argument("--only", choices=("one", "three"))
    arguments = parser.parse_args()
    is_good = True
    for name, part in (("one", run_one), ("three", run_three)):
        if arguments.only in (None, name):
            print(f"{part.__name__}: {part.__doc__}", flush=True)
            idle, statuses = part(arguments.seconds, arguments.cores)
            for what, error in idle.items():
                print(f"  NEVER WORKED: {what}: {error}")
            print(f"  exit statuses of brokers that were stopped: {statuses}", flush=True)
            is_good = is_good and not idle and not any(statuses)
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
