"""What 100 brokers with 200,000 partitions of three replicas are in a real etcd: run by hand, prints figures, judges none.

  python3 -m tests.system.etcd_scale [--partitions N] [--topics N]

Writes the keys and values of server/metadata/README.md, 100 to a transaction as brokers do; reads them all as a broker
that starts does, 2,000 to a page; then writes what a controller writes when one broker of the hundred dies, with 100
watches open, and counts the bytes that those are sent.
"""
import argparse
import base64
import http.client
import json
import threading
import time
import urllib.parse

from tests.harness.cluster import Etcd

BROKERS = 100
PAGE = 2000
BATCH = 100
PREFIX = "/qbroker/scale/meta/"


def text(data):
    return base64.b64encode(data.encode()).decode()


def partition(number, dead=0):
    replicas = [(number + i * (1 + number // BROKERS % 33)) % BROKERS + 1 for i in range(3)]
    isr = [one for one in replicas if one != dead]
    changed = int(len(isr) != len(replicas))
    return replicas, json.dumps({
        "version": 1, "replicas": replicas, "isr": isr, "leader": isr[0], "leader_epoch": changed * (replicas[0] == dead),
        "partition_epoch": changed}, separators=(",", ":"))


class Store:
    def __init__(self, url):
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=60)

    def post(self, path, body):
        """(answer, its bytes)"""
        self.connection.request("POST", path, json.dumps(body))
        data = self.connection.getresponse().read()
        return json.loads(data), len(data)

    def write(self, entries):
        """One transaction for each BATCH of them; returns the revisions it took."""
        for begin in range(0, len(entries), BATCH):
            self.post("/v3/kv/txn", {"success": [{"request_put": {"key": text(key), "value": text(value)}}
                                                 for key, value in entries[begin:begin + BATCH]]})
        return -(-len(entries) // BATCH)

    def size(self):
        return int(self.post("/v3/maintenance/status", {})[0]["dbSizeInUse"])


class WatchCount:
    """A watch of everything; `bytes` it was sent."""

    def __init__(self, url):
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=600)
        self.connection.request("POST", "/v3/watch", json.dumps({"create_request": {
            "key": text(PREFIX), "range_end": text(PREFIX[:-1] + chr(ord("/") + 1))}}))
        self.answer = self.connection.getresponse()
        self.answer.readline()  # it is created
        self.bytes = 0
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self):
        while line := self.answer.readline():
            self.bytes += len(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=200_000)
    parser.add_argument("--topics", type=int, default=2_000)
    arguments = parser.parse_args()
    etcd = Etcd()
    try:
        run(Store(etcd.url), etcd.url, arguments)
    finally:
        etcd.close()


def run(store, url, arguments):
    each = arguments.partitions // arguments.topics
    entries = []
    for topic in range(arguments.topics):
        name = f"{topic:022d}"
        entries += [(f"{PREFIX}partitions/{name}/{i}", partition(topic * each + i)[1]) for i in range(each)]
        entries.append((f"{PREFIX}topics/topic-{topic}",
                        json.dumps({"version": 1, "id": name, "partition_count": each}, separators=(",", ":"))))
    begun = time.monotonic()
    transactions = store.write(entries)
    print(f"{len(entries)} keys in {transactions} transactions: {time.monotonic() - begun:.1f} s, "
          f"{store.size() / 1e6:.1f} MB in etcd")

    begun = time.monotonic()
    key, read, pages, total = PREFIX, 0, 0, 0
    while True:
        answer, size = store.post("/v3/kv/range", {"key": text(key), "range_end": text(PREFIX[:-1] + "0"), "limit": PAGE})
        read, pages, total = read + len(answer["kvs"]), pages + 1, total + size
        if not answer.get("more"):
            break
        key = base64.b64decode(answer["kvs"][-1]["key"]).decode() + "\0"
    print(f"a broker loads {read} keys in {pages} pages, {total / 1e6:.1f} MB: {time.monotonic() - begun:.1f} s")

    watches = [WatchCount(url) for _ in range(BROKERS)]
    dead = 50
    changed = [(f"{PREFIX}partitions/{n // each:022d}/{n % each}", partition(n, dead)[1])
               for n in range(each * arguments.topics) if dead in partition(n)[0]]
    before = store.size()
    begun = time.monotonic()
    transactions = store.write(changed)
    written = time.monotonic()
    while True:
        seen = sum(watch.bytes for watch in watches)
        time.sleep(0.5)
        if seen and seen == sum(watch.bytes for watch in watches):
            break
    print(f"a broker dies: {len(changed)} keys in {transactions} transactions, one after another: {written - begun:.1f} s; "
          f"etcd grows by {(store.size() - before) / 1e6:.1f} MB; {BROKERS} watches are sent {seen / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
