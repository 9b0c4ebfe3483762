"""Three brokers in three network namespaces on real etcd, and everything that can happen to them, under load.

  python3 -m tests.system.chaos [--rounds N] [--seed S] [--etcd 1|3] [--only KIND,...]

Needs root, etcd, ip, mkfs.ext4, gcc, Java, Maven, and a Python whose confluent_kafka has librdkafka 2.3 or newer (in a
venv: pip install confluent-kafka). One round is one fault, its end, and the wait until the cluster
calls itself healthy; then all that was acknowledged is checked (chaos_load.py says what). Exit 1 at the first violation,
or when something did not heal; the logs of all processes are kept then. Times are printed and judged by nobody.
"""
import argparse
import pathlib
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time

import confluent_kafka

from tests.harness import netns
from tests.interop import java_peer
from tests.system.chaos_load import PARTITIONS, TOPIC, Load

KINDS = {"kill": 5, "all": 2, "pause": 3, "cut": 5, "full": 2, "slow": 2, "roll": 3, "etcd": 3}
WRITES_RETURN_S = 60  # after the cluster is healthy again; a bound that only a hang passes


class Chaos:
    def __init__(self, arguments):
        self.random = random.Random(arguments.seed)
        self.session_s = arguments.session_ms / 1000
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="chaos-"))
        self.cluster = netns.NetnsCluster(self.work, members=arguments.etcd, options=[
            "--cores", "2", "--set", f"broker.session.timeout.ms={arguments.session_ms}",
            "--set", "offsets.topic.replication.factor=3", "--set", "min.insync.replicas=2",
            "--set", "leader.imbalance.check.interval.seconds=3", "--set", "replica.lag.time.max.ms=4000"])
        self.kill_silences = []
        self.roll_errors = []
        self.load = None

    # One round of each kind. They return what they did, in words, when the fault is over.

    def kill(self):
        leaders = list(self.leaders().values())
        broker = self.cluster.brokers[self.random.choice([*leaders, 1, 2, 3]) - 1]
        led = [partition for partition, leader in self.leaders().items() if leader == broker.node]
        at = time.monotonic()
        broker.kill()
        time.sleep(self.random.uniform(2, self.session_s + 2))
        silences = self.load.story.silences(at, led)
        # A client without any answer since: it counts as silent until now.
        found = [silences.get((client, p), time.monotonic() - at) for client in ("c", "java") for p in led]
        self.kill_silences += found
        broker.start()
        return f"broker {broker.node}, which led {len(led)}; without writes " + (
            f"{statistics.median(found):.2f} s median, {max(found):.2f} s worst" if found else "0 s")

    def all(self):
        victims = list(self.cluster.brokers)
        if self.random.random() < 0.3:
            victims += self.cluster.etcd
        for one in victims:
            one.kill()
        time.sleep(self.random.uniform(0, 3))
        self.random.shuffle(victims)
        for one in victims:
            one.start()
            time.sleep(self.random.choice([0, 0, 1]))
        return "all brokers" + (" and etcd" if len(victims) > 3 else "")

    def pause(self):
        count = self.random.choice([1, 1, 2])
        victims = self.random.sample(self.cluster.brokers, count)
        for one in victims:
            one.signal(signal.SIGSTOP)
        length = self.session_s + self.random.uniform(1, 5)
        time.sleep(length)
        for one in victims:
            one.signal(signal.SIGCONT)
        return f"brokers {[one.node for one in victims]} for {length:.1f} s"

    def cut(self):
        victim = self.random.choice(self.cluster.brokers).host
        others = [one.host for one in self.cluster.brokers if one.host != victim]
        members = [one.host for one in self.cluster.etcd]
        name, targets = self.random.choice([
            ("one broker", [self.random.choice(others)]), ("the other brokers", others), ("etcd", members),
            ("brokers and etcd", others + members), ("everything", others + members + [netns.CLIENT])])
        way = self.random.choice(["both ways", "what it sends", "what it gets"])
        for target in targets:
            if way != "what it gets":
                self.cluster.network.cut(victim, target)
            if way != "what it sends":
                self.cluster.network.cut(target, victim)
        length = self.random.choice([self.random.uniform(0.5, 3), self.session_s + self.random.uniform(1, 6)])
        time.sleep(length)
        self.cluster.network.heal()
        return f"{victim} from {name}, {way}, for {length:.1f} s"

    def full(self):
        broker = self.random.choice(self.cluster.brokers)
        left = self.random.choice([0, 0, 1 << 20, 4 << 20])
        broker.disk.fill(left)
        time.sleep(self.random.uniform(2, 8))
        crashes = self.random.random() < 0.3
        if crashes:
            broker.kill()
        broker.disk.empty()
        if crashes:
            broker.start()
        return f"broker {broker.node}, {left >> 20} MiB left" + (", then killed" if crashes else "")

    def slow(self):
        broker = self.random.choice(self.cluster.brokers)
        delay_ms = self.random.choice([50, 300, 1000, 6000])
        broker.disk.order(f"delay {delay_ms}")
        time.sleep(self.random.uniform(4, 10))
        broker.disk.order("")
        return f"broker {broker.node}, {delay_ms} ms a flush"

    def roll(self):
        errors = len(self.load.story.errors)
        for broker in self.random.sample(self.cluster.brokers, 3):
            status = broker.stop()
            if status != 0:
                raise AssertionError(f"broker {broker.node} ended with {status} after SIGTERM")
            broker.start()
            self.cluster.wait_healthy()
        self.roll_errors += self.load.story.errors[errors:]
        return f"{len(self.load.story.errors) - errors} errors seen by clients"

    def etcd(self):
        member = self.random.choice(self.cluster.etcd)
        silent = self.random.random() < 0.3
        length = self.random.uniform(0.5, 2 * self.session_s)
        if silent:
            member.signal(signal.SIGSTOP)
        else:
            member.kill()
        time.sleep(length)
        if silent:
            member.signal(signal.SIGCONT)
        else:
            member.start()
        return f"member {member.host} {'paused' if silent else 'killed'} for {length:.1f} s"

    def leaders(self):
        """Partition -> id of its leader, all of which are there between rounds."""
        status, topic = self.cluster.brokers[0].http("GET", f"/v1/topics/{TOPIC}")
        if status != 200:
            raise AssertionError(f"{TOPIC} is not described: {status} {topic}")
        return {one["partition"]: one["leader"] for one in topic["partitions"]}

    def check_writes(self):
        """Both producers write to all partitions."""
        self.load.story.begin_round()
        deadline = time.monotonic() + WRITES_RETURN_S
        while len(self.load.story.answers) < 2 * PARTITIONS:
            if time.monotonic() > deadline:
                story = self.load.story
                raise AssertionError("\n".join([
                    f"the cluster is healthy, but only {sorted(story.answers)} get answers", *story.violations[:20],
                    *story.errors[-5:]]))
            time.sleep(0.05)

    def run(self, arguments):
        self.cluster.start()
        status, answer = self.cluster.brokers[0].http("POST", "/v1/topics", {
            "name": TOPIC, "partitions": PARTITIONS, "replication_factor": 3}, timeout=30)
        if status != 201:
            raise AssertionError(f"no topic: {status} {answer}")
        self.load = Load(self.cluster.addresses, arguments.rate, arguments.java_in_flight,
                         self.work / "java.log")
        self.check_writes()
        kinds = {kind: KINDS[kind] for kind in arguments.only.split(",")} if arguments.only else KINDS
        story = self.load.story
        for number in range(1, arguments.rounds + 1):
            story.begin_round()
            errors = len(story.errors)
            kind = self.random.choices(list(kinds), list(kinds.values()))[0]
            print(f"{number:4} {kind:5} ", end="", flush=True)
            print(getattr(self, kind)(), end="", flush=True)
            healed = self.cluster.wait_healthy()
            self.check_writes()
            self.load.check()
            seen = "".join(f"\n      client: {text}" for text in story.errors[errors:][:5])
            print(f"; healthy after {healed:.1f} s, {len(story.acknowledged)} acknowledged{seen}", flush=True)
            if story.violations:
                raise AssertionError("\n".join(story.violations[:20]))
        self.load.end()
        if story.violations:
            raise AssertionError("\n".join(story.violations[:20]))

    def keep_partitions(self):
        """What the brokers have on disk, which is unmounted with the cluster."""
        for broker in self.cluster.brokers:
            shutil.copytree(broker.disk.path / "data", self.work / f"partitions-{broker.node}")

    def report(self):
        story = self.load.story
        print(f"{len(story.acknowledged)} records acknowledged, {len(self.load.follower.read)} written, all there, once "
              f"and in order; committed offsets never went back: {sorted(story.floor.items())}")
        late = [value for _, value in story.somewhere if value.startswith("java:")]
        print(f"{len(late)} records of Java acknowledged without an offset: what a leader did not answer, and was old when it "
              "was sent again")
        if self.kill_silences:
            print(f"a leader killed: without writes {statistics.median(self.kill_silences):.2f} s median, "
                  f"{max(self.kill_silences):.2f} s worst of {len(self.kill_silences)} (partition, producer); "
                  f"session {self.session_s:g} s")
        print(f"errors seen by clients: {len(story.errors)}, in rolling restarts {len(self.roll_errors)} "
              f"{self.roll_errors[:5]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--etcd", type=int, default=3, choices=(1, 3), help="members of etcd")
    parser.add_argument("--session-ms", type=int, default=4000, help="broker.session.timeout.ms")
    parser.add_argument("--rate", type=int, default=300, help="records a second of each producer")
    parser.add_argument("--java-in-flight", type=int, default=5, help="requests on each connection of Java's producer")
    parser.add_argument("--only", default="", help=f"kinds of faults, of {','.join(KINDS)}")
    arguments = parser.parse_args()
    if confluent_kafka.libversion()[1] < 0x02030000:
        parser.error(f"librdkafka {confluent_kafka.libversion()[0]} is older than 2.3: see above")
    java_peer.jars()  # while there still is a network to get them from
    netns.enter()
    print(f"chaos: seed {arguments.seed}, {arguments.rounds} rounds, {arguments.etcd} of etcd, session "
          f"{arguments.session_ms} ms", flush=True)
    chaos = Chaos(arguments)
    try:
        chaos.run(arguments)
    except Exception as problem:  # told with what a reader needs: where the logs are
        print(f"\nFAILED (seed {arguments.seed}): {problem}\nlogs: {chaos.work}", flush=True)
        chaos.keep_partitions()
        if not isinstance(problem, AssertionError):
            raise
        sys.exit(1)
    finally:
        chaos.cluster.close()
    chaos.report()
    shutil.rmtree(chaos.work, ignore_errors=True)


if __name__ == "__main__":
    main()
