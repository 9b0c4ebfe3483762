"""Frames, produce, fetch, offsets, deleting records, idempotence."""
import time

from tests.harness import message, wire
from tests.parity.side import TIME


def create(s, name, partitions=1, **configs):
    answer = s.call("CreateTopics", 7, {"timeout_ms": 10000, "topics": [{
        "name": name, "num_partitions": partitions, "replication_factor": 1,
        "configs": [{"name": k.replace("_", "."), "value": v} for k, v in configs.items()]}]})
    if answer["topics"][0]["error_code"] != 0:
        raise ValueError(f"{name} was not created: {answer}")
    for partition in range(partitions):  # its leader serves a moment later
        for _ in range(100):
            found = s.call("ListOffsets", 8, {"replica_id": -1, "topics": [{"name": name, "partitions": [
                {"partition_index": partition, "timestamp": -2}]}]})
            if found["topics"][0]["partitions"][0]["error_code"] == 0:
                break
            time.sleep(0.05)
    return answer["topics"][0]["topic_id"]


def produce_body(topic, records, partition=0, acks=-1, transactional_id=None):
    return {"acks": acks, "timeout_ms": 5000, "transactional_id": transactional_id, "topic_data": [
        {"name": topic, "partition_data": [{"index": partition, "records": records}]}]}


def produce(s, label, topic, records, partition=0, acks=-1, version=9, **more):
    return s.ask(label, "Produce", version, **produce_body(topic, records, partition, acks, **more))


def batch(records, **options):
    return wire.batch(records, **{"timestamp": TIME, **options})


def values(*texts, **options):
    return batch([wire.record(t.encode(), n) for n, t in enumerate(texts)], **options)


def fetch_body(topic, offset, partition=0, version=12, **more):
    fields = {"partition": partition, "fetch_offset": offset, "partition_max_bytes": more.pop("part_bytes", 1 << 20)}
    if "epoch" in more:
        fields["current_leader_epoch"] = more.pop("epoch")
    if "last_epoch" in more:
        fields["last_fetched_epoch"] = more.pop("last_epoch")
    where = {"topic_id": topic} if version >= 13 else {"topic": topic}
    return {"max_wait_ms": 0, "min_bytes": 0, "max_bytes": 1 << 20,
            "topics": [{**where, "partitions": [fields]}], **more}


def fetch(s, label, topic, offset, partition=0, version=12, **more):
    return s.ask(label, "Fetch", version, **fetch_body(topic, offset, partition, version, **more))


def case_frames(s):
    s.raw("unknown api", wire.request(999, 0, b""))
    s.raw("unknown version", wire.request(3, 99, b""))
    s.raw("version too low", wire.request(1, 0, b""))
    s.raw("negative size", b"\xff\xff\xff\xff")
    s.raw("huge size", b"\x7f\xff\xff\xff")
    s.raw("size zero", b"\0\0\0\0")
    s.raw("cut body", wire.request(3, 1, b"\0\0\0\5"))
    s.raw("null where none may be", wire.request(19, 2, wire.int32(1) + wire.string(None)))
    s.raw("count beyond the frame", wire.request(3, 1, b"\x7f\xff\xff\xff"))
    s.raw("api versions of tomorrow", wire.request(18, 99, b""))
    s.raw("null client id", wire.request(18, 0, b"", client=None))
    s.raw("bytes too many", wire.request(18, 0, b"extra"))


def case_api_versions(s):
    body = {"client_software_name": "parity", "client_software_version": "1.0"}
    answer = s.call("ApiVersions", 4, body)
    names = {key: name for name, key in message.API_KEYS.items()}
    for row in answer["api_keys"]:
        key = row["api_key"]
        s.keep(f"api {names.get(key, key)}", f"{row['min_version']}-{row['max_version']}")
    for row in answer["finalized_features"]:
        s.keep(f"feature {row['name']}", f"{row['min_version_level']}-{row['max_version_level']}")
    s.keep("v4", {"error_code": answer["error_code"]})
    for label, name in (("empty name", ""), ("odd name", "a b"), ("dash at the end", "a-")):
        s.ask(label, "ApiVersions", 3, only=["error_code"], client_software_name=name, client_software_version="1")
    s.ask("empty version", "ApiVersions", 3, only=["error_code"], client_software_name="a", client_software_version="")


def case_produce(s):
    topic_id = create(s, "parity-produce", 2)
    for version in range(3, 13):
        produce(s, f"v{version}", "parity-produce", values("a", "b"), version=version)
    s.ask("v13", "Produce", 13, acks=1, timeout_ms=1000, topic_data=[
        {"topic_id": topic_id, "partition_data": [{"index": 0, "records": values("x")}]}])
    s.ask("v13 unknown id", "Produce", 13, acks=1, timeout_ms=1000, topic_data=[
        {"topic_id": "12" * 16, "partition_data": [{"index": 0, "records": values("x")}]}])
    for acks in (1, 2, -2):
        produce(s, f"acks {acks}", "parity-produce", values("a"), acks=acks)
    s.silence("acks 0", message.request_frame("Produce", 9, produce_body("parity-produce", values("a"), acks=0)))
    s.silence("acks 0 fails", message.request_frame("Produce", 9, produce_body("no-such", values("a"), acks=0)))
    produce(s, "unknown topic", "parity-none", values("a"))
    produce(s, "unknown partition", "parity-produce", values("a"), partition=9)
    produce(s, "negative partition", "parity-produce", values("a"), partition=-1)
    produce(s, "empty name", "", values("a"))
    produce(s, "null records", "parity-produce", None)
    produce(s, "empty records", "parity-produce", b"")
    produce(s, "two batches", "parity-produce", values("a") + values("b"))
    produce(s, "bad crc", "parity-produce", values("a", crc=1))
    produce(s, "magic 1", "parity-produce", values("a", magic=1))
    produce(s, "magic 3", "parity-produce", values("a", magic=3))
    produce(s, "cut batch", "parity-produce", values("a")[:-1])
    produce(s, "count too high", "parity-produce", values("a", count=2))
    produce(s, "count zero", "parity-produce", batch(b"", count=0, last_offset_delta=-1))
    produce(s, "wrong last delta", "parity-produce", values("a", "b", last_offset_delta=5))
    produce(s, "base offset set", "parity-produce", values("a", base_offset=5))
    produce(s, "control batch", "parity-produce", values("a", attributes=0x20))
    produce(s, "transactional without id", "parity-produce", values("a", attributes=0x10, producer=(5, 0, 0)))
    produce(s, "log append time bit", "parity-produce", values("a", attributes=8), partition=1)
    produce(s, "unknown codec", "parity-produce", values("a", attributes=5))
    produce(s, "gzip of nonsense", "parity-produce", batch(b"nonsense", count=1, last_offset_delta=0, attributes=1))
    produce(s, "zstd below v7", "parity-produce",
            batch(b"nonsense", count=1, last_offset_delta=0, attributes=4), version=6)
    produce(s, "wrong offset delta in record", "parity-produce", batch([wire.record(b"a", 4)]), partition=1)
    produce(s, "no time", "parity-produce", values("a", timestamp=-1))
    produce(s, "far future", "parity-produce", values("a", timestamp=4_000_000_000_000))
    s.ask("one good, one bad", "Produce", 9, acks=-1, timeout_ms=5000, topic_data=[
        {"name": "parity-produce", "partition_data": [{"index": 0, "records": values("a")},
                                                      {"index": 7, "records": values("a")}]},
        {"name": "parity-none", "partition_data": [{"index": 0, "records": values("a")}]}])
    s.ask("no topics", "Produce", 9, acks=-1, timeout_ms=5000, topic_data=[])
    produce(s, "transactional id on plain batch", "parity-produce", values("a"), transactional_id="parity-t")


def case_produce_configs(s):
    create(s, "parity-small", max_message_bytes="200")
    produce(s, "too large", "parity-small", values("x" * 300))
    produce(s, "small enough", "parity-small", values("x"))
    create(s, "parity-compact", cleanup_policy="compact")
    produce(s, "compacted, null key", "parity-compact", values("a"))
    produce(s, "compacted, key", "parity-compact", batch([wire.record(b"v", 0, b"k")]))
    produce(s, "compacted, null key and late", "parity-compact",
            batch([wire.record(b"v", 0, None), wire.record(b"v", 1, b"k")], timestamp=4_000_000_000_000))
    produce(s, "compacted, all null keys and late", "parity-compact", values("a", timestamp=4_000_000_000_000))
    produce(s, "compacted, tombstone", "parity-compact", batch([wire.record(None, 0, b"k")]))
    create(s, "parity-append-time", message_timestamp_type="LogAppendTime")
    produce(s, "append time", "parity-append-time", values("a"))
    fetch(s, "append time read", "parity-append-time", 0)
    create(s, "parity-old", message_timestamp_before_max_ms="1000")
    produce(s, "too old", "parity-old", values("a"))
    create(s, "parity-isr", min_insync_replicas="2")
    produce(s, "more in sync than replicas", "parity-isr", values("a"))


def case_fetch(s):
    topic_id = create(s, "parity-fetch", 2)
    for _ in range(3):
        s.call("Produce", 9, produce_body("parity-fetch", values("a", "b")))
    for version in range(4, 13):
        fetch(s, f"v{version}", "parity-fetch", 0, version=version)
    for version in range(13, 19):
        fetch(s, f"v{version}", topic_id, 0, version=version)
    fetch(s, "inside a batch", "parity-fetch", 3)
    fetch(s, "at the end", "parity-fetch", 6)
    fetch(s, "beyond the end", "parity-fetch", 7)
    fetch(s, "negative", "parity-fetch", -1)
    fetch(s, "committed", "parity-fetch", 0, isolation_level=1)
    fetch(s, "odd isolation", "parity-fetch", 0, isolation_level=7)
    fetch(s, "unknown topic", "parity-none", 0)
    fetch(s, "unknown partition", "parity-fetch", 0, partition=9)
    fetch(s, "unknown id", "34" * 16, 0, version=13)
    fetch(s, "zero id", "00" * 16, 0, version=13)
    fetch(s, "old epoch", "parity-fetch", 0, epoch=-2)
    fetch(s, "current epoch", "parity-fetch", 0, epoch=0)
    fetch(s, "epoch of tomorrow", "parity-fetch", 0, epoch=5)
    fetch(s, "diverging", "parity-fetch", 6, last_epoch=5)
    fetch(s, "not diverging", "parity-fetch", 6, last_epoch=0)
    fetch(s, "one byte", "parity-fetch", 0, part_bytes=1)
    fetch(s, "no bytes", "parity-fetch", 0, part_bytes=0)
    fetch(s, "max bytes zero", "parity-fetch", 0, max_bytes=0)
    fetch(s, "one batch fits", "parity-fetch", 0, part_bytes=80)
    s.ask("no topics", "Fetch", 12, max_wait_ms=0, min_bytes=0, topics=[])
    fetch(s, "waits in vain", "parity-fetch", 6, max_wait_ms=100, min_bytes=1)
    opened = fetch(s, "open session", "parity-fetch", 0, session_epoch=0)
    session = opened["session_id"]
    incremental = {"max_wait_ms": 0, "min_bytes": 0, "session_id": session}
    s.ask("session: nothing new but data", "Fetch", 12, session_epoch=1, topics=[], **incremental)
    s.ask("session: moved", "Fetch", 12, session_epoch=2, **{
        **incremental, "topics": fetch_body("parity-fetch", 6)["topics"]})
    s.ask("session: quiet", "Fetch", 12, session_epoch=3, topics=[], **incremental)
    s.ask("session: wrong epoch", "Fetch", 12, session_epoch=9, topics=[], **incremental)
    s.ask("session: forget", "Fetch", 12, session_epoch=4, topics=[], **incremental,
          forgotten_topics_data=[{"topic": "parity-fetch", "partitions": [0]}])
    s.ask("session: after forgetting all", "Fetch", 12, session_epoch=1, topics=[], **incremental)
    s.ask("session: unknown", "Fetch", 12, session_epoch=1, topics=[], max_wait_ms=0, min_bytes=0,
          session_id=123456789)
    opened = s.call("Fetch", 12, fetch_body("parity-fetch", 0, session_epoch=0))
    s.ask("session: close", "Fetch", 12, session_epoch=-1, topics=[], max_wait_ms=0, min_bytes=0,
          session_id=opened["session_id"])
    opened = s.call("Fetch", 12, fetch_body("parity-fetch", 0, session_epoch=0))
    s.ask("session: names, then ids", "Fetch", 13, max_wait_ms=0, min_bytes=0, session_id=opened["session_id"],
          session_epoch=1, topics=fetch_body(topic_id, 0, version=13)["topics"])


def case_list_offsets(s):
    create(s, "parity-offsets", 2)
    for n in range(3):
        s.call("Produce", 9, produce_body("parity-offsets", values("a", "b", timestamp=TIME + 1000 * n)))

    def ask(label, timestamp, version=8, partition=0, topic="parity-offsets", **more):
        fields = {"partition_index": partition, "timestamp": timestamp}
        if "epoch" in more:
            fields["current_leader_epoch"] = more.pop("epoch")
        if version >= 10:
            more["timeout_ms"] = 1000
        s.ask(label, "ListOffsets", version, replica_id=-1, **more,
              topics=[{"name": topic, "partitions": [fields]}])
    for version in range(1, 12):
        ask(f"latest v{version}", -1, version)
        ask(f"earliest v{version}", -2, version)
    for label, timestamp in (("max timestamp", -3), ("local start", -4), ("tiered", -5), ("pending", -6),
                             ("odd negative", -7), ("exact time", TIME + 1000), ("between", TIME + 500),
                             ("after all", TIME + 99999), ("zero", 0)):
        for version in (6, 7, 8, 9, 11):
            ask(f"{label} v{version}", timestamp, version)
    ask("empty, latest", -1, partition=1)
    ask("empty, max timestamp", -3, partition=1)
    ask("empty, time", TIME, partition=1)
    ask("committed", -1, isolation_level=1)
    ask("unknown topic", -1, topic="parity-none")
    ask("unknown partition", -1, partition=9)
    ask("epoch of tomorrow", -1, epoch=7)
    ask("old epoch", -1, epoch=0)
    s.ask("partition twice", "ListOffsets", 8, replica_id=-1, topics=[{"name": "parity-offsets", "partitions": [
        {"partition_index": 0, "timestamp": -1}, {"partition_index": 0, "timestamp": -2}]}])


def case_leader_epochs(s):
    create(s, "parity-epochs")
    s.call("Produce", 9, produce_body("parity-epochs", values("a", "b")))
    for version in (2, 3, 4):
        for epoch in (-1, 0, 1, 5):
            s.ask(f"v{version} epoch {epoch}", "OffsetForLeaderEpoch", version, topics=[
                {"topic": "parity-epochs", "partitions": [{"partition": 0, "leader_epoch": epoch}]}])
    s.ask("fenced", "OffsetForLeaderEpoch", 4, topics=[
        {"topic": "parity-epochs", "partitions": [{"partition": 0, "current_leader_epoch": 3, "leader_epoch": 0}]}])
    s.ask("unknown", "OffsetForLeaderEpoch", 4, topics=[
        {"topic": "parity-epochs", "partitions": [{"partition": 4, "leader_epoch": 0}]},
        {"topic": "parity-none", "partitions": [{"partition": 0, "leader_epoch": 0}]}])


def case_delete_records(s):
    create(s, "parity-cut", 2)
    create(s, "parity-cut-compact", cleanup_policy="compact")
    for _ in range(2):
        s.call("Produce", 9, produce_body("parity-cut", values("a", "b", "c")))

    def ask(label, offset, partition=0, topic="parity-cut", version=2):
        s.ask(label, "DeleteRecords", version, timeout_ms=5000, topics=[
            {"name": topic, "partitions": [{"partition_index": partition, "offset": offset}]}])
    ask("inside a batch", 2)
    fetch(s, "read below", "parity-cut", 0)
    fetch(s, "read at start", "parity-cut", 2)
    ask("backwards", 1)
    ask("beyond", 7)
    ask("negative", -2)
    ask("all", -1)
    ask("all again v0", -1, version=0)
    ask("unknown partition", 0, 9)
    ask("unknown topic", 0, 0, "parity-none")
    ask("compacted", 0, 0, "parity-cut-compact")
    fetch(s, "read at the end", "parity-cut", 6)


def case_idempotence(s):
    create(s, "parity-idem")
    # Kafka's first answer comes before it has ids to give.
    made = s.ask_until("init", "InitProducerId", 4, lambda answer: answer["error_code"] == 0, transactional_id=None,
                       transaction_timeout_ms=60000)
    pid = made["producer_id"]

    def send(label, sequence, epoch=0, count=1, producer=pid):
        produce(s, label, "parity-idem", values(*["v"] * count, producer=(producer, epoch, sequence)))
    send("first", 0, count=2)
    send("duplicate", 0, count=2)
    send("overlap", 1)
    send("gap", 5)
    send("next", 2)
    for n in range(3, 9):
        send(f"sequence {n}", n)
    send("duplicate of the five", 5)
    send("old duplicate", 0, count=2)
    send("epoch bump, sequence 9", 9, epoch=1)
    send("epoch bump, sequence 0", 0, epoch=1)
    send("old epoch", 9, epoch=0)
    send("unknown producer, sequence 5", 5, producer=pid + 500000)
    send("negative sequence", -1)
    send("negative epoch", 0, epoch=-1)
    for version in (0, 1, 2, 3, 4, 5):
        s.ask(f"init v{version}", "InitProducerId", version, transactional_id=None, transaction_timeout_ms=60000)
    s.ask("no timeout", "InitProducerId", 4, transactional_id=None, transaction_timeout_ms=0)
    s.ask("pid without epoch", "InitProducerId", 4, transactional_id=None, transaction_timeout_ms=1000, producer_id=5)
    s.ask("epoch without pid", "InitProducerId", 4, transactional_id=None, transaction_timeout_ms=1000,
          producer_epoch=5)
