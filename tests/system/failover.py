"""A cluster of three with many partitions: made, written, one broker killed with -9, all it led led by others,
and back again. Prints times, memory and the size of etcd; run by hand, on a machine that has nothing else to do.

  python3 -m tests.system.failover [--partitions 10000] [--records 20]

The time of a fail-over counts from the kill until a living broker's metadata names a living leader for every
partition, and until a record was acknowledged (acks=all) by some that had lost theirs.
"""
import argparse
import json
import time
import urllib.request

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from tests.harness.cluster import REPLICATED, Cluster, wait_for

TOPIC = "many"
WAIT_S = 120
PROBES = 20  # partitions written after the kill


def etcd_mib(cluster):
    """Size of the data in use, of the file."""
    request = urllib.request.Request(cluster.etcd.url + "/v3/maintenance/status", b"{}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        status = json.load(answer)
    return int(status["dbSizeInUse"]) / 2**20, int(status["dbSize"]) / 2**20


def leaders(admin):
    """{partition: leader}, -1 where there is none."""
    topic = admin.list_topics(TOPIC, timeout=30).topics[TOPIC]
    return {number: partition.leader for number, partition in topic.partitions.items()}


def write(addresses, partitions, count):
    """Until `count` records of each are acknowledged."""
    failures = []
    producer = Producer({"bootstrap.servers": addresses, "acks": "all", "linger.ms": 5,
                         "queue.buffering.max.messages": 1000000, "message.timeout.ms": WAIT_S * 1000,
                         "log_level": 0})
    for number in range(count):
        for partition in partitions:
            producer.produce(TOPIC, b"x" * 100, partition=partition,
                             on_delivery=lambda error, _: failures.append(error) if error else None)
        producer.poll(0)
    left = producer.flush(WAIT_S)
    if left or failures:
        raise AssertionError(f"{left} records have no answer, {len(failures)} failed: {failures[:3]}")


def describe(cluster, when):
    used, file = etcd_mib(cluster)
    memory = ", ".join(f"{broker.rss_mib():.0f}" for broker in cluster.brokers if broker.is_running())
    print(f"{when}: etcd {used:.1f} MiB in use, file {file:.1f}; memory of the brokers {memory} MiB", flush=True)


def run(partitions, records):
    with Cluster(3, *REPLICATED) as cluster:
        describe(cluster, "empty")
        began = time.monotonic()
        cluster.create_topic(TOPIC, partitions, 3)
        print(f"{partitions} partitions of 3 replicas created in {time.monotonic() - began:.2f} s", flush=True)
        admin = AdminClient({"bootstrap.servers": cluster.broker(2).address})
        before = wait_for(lambda: (found := leaders(admin)) and min(found.values()) > 0 and found, "all are led")
        describe(cluster, "created")
        if records:
            began = time.monotonic()
            write(cluster.addresses, list(before), records)
            print(f"{records} records written to each in {time.monotonic() - began:.2f} s", flush=True)
            describe(cluster, "written")

        lost = [number for number, leader in before.items() if leader == 1]
        began = time.monotonic()
        cluster.broker(1).kill()
        wait_for(lambda: all(leader in (2, 3) for leader in leaders(admin).values()), "others lead", WAIT_S)
        print(f"broker 1 killed: its {len(lost)} leaderships have moved after {time.monotonic() - began:.2f} s",
              flush=True)
        write(",".join(cluster.broker(node).address for node in (2, 3)), lost[::max(1, len(lost) // PROBES)], 1)
        print(f"... and {PROBES} of them have taken a record after {time.monotonic() - began:.2f} s", flush=True)
        describe(cluster, "failed over")

        began = time.monotonic()
        cluster.broker(1).restart()
        wait_for(lambda: cluster.broker(2).qtool("cluster", "health", check=False).returncode == 0, "healthy", WAIT_S)
        print(f"started again: all in sync after {time.monotonic() - began:.2f} s", flush=True)
        describe(cluster, "back")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=10000)
    parser.add_argument("--records", type=int, default=1, help="written to each partition before the kill; 0: none")
    arguments = parser.parse_args()
    run(arguments.partitions, arguments.records)


if __name__ == "__main__":
    main()
