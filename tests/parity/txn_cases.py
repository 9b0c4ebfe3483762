"""Transactions: producers, partitions, offsets, ends, markers, what administrators see."""
from tests.parity.data_cases import create, fetch, produce_body, values
from tests.parity.group_cases import coordinator


def busy(answer):
    """Nothing of it still under way: CONCURRENT_TRANSACTIONS and coordinators that load pass."""
    return answer.get("error_code") in (14, 15, 16, 51)


def init(s, label, id_, version=4, timeout=60000, **more):
    return s.ask_until(label, "InitProducerId", version, lambda a: not busy(a), transactional_id=id_,
                       transaction_timeout_ms=timeout, **more)


def who(id_, producer, epoch=None):
    return {"transactional_id": id_, "producer_id": producer["producer_id"],
            "producer_epoch": producer["producer_epoch"] if epoch is None else epoch}


def add_body(id_, producer, topic, partitions=(0,), epoch=None):
    body = {f"v3_and_below_{key}": value for key, value in who(id_, producer, epoch).items()}
    return {**body, "v3_and_below_topics": [{"name": topic, "partitions": list(partitions)}]}


def add(s, label, *args, version=3, **more):
    def done(answer):
        codes = [p["partition_error_code"] for t in answer["results_by_topic_v3_and_below"]
                 for p in t["results_by_partition"]]
        return 51 not in codes
    return s.ask_until(label, "AddPartitionsToTxn", version, done, **add_body(*args, **more))


def write(s, label, id_, producer, topic, sequence, version=9, partition=0, epoch=None):
    records = values("t", attributes=0x10, producer=(
        producer["producer_id"], producer["producer_epoch"] if epoch is None else epoch, sequence))
    return s.ask(label, "Produce", version, **produce_body(topic, records, partition, transactional_id=id_))


def end(s, label, id_, producer, commit, version=4, epoch=None):
    return s.ask_until(label, "EndTxn", version, lambda a: not busy(a), committed=commit, **who(id_, producer, epoch))


def case_init_producer_id(s):
    s.needs("EndTxn", "AddPartitionsToTxn")
    coordinator(s, "parity-init", 1)
    for version in (0, 1, 2, 3, 4, 5):
        init(s, f"v{version}", f"parity-init-{version}", version)
        init(s, f"v{version} again", f"parity-init-{version}", version)
    for timeout in (0, -1, 900001, 900000):
        init(s, f"timeout {timeout}", "parity-init-t", timeout=timeout)
    init(s, "empty id", "")
    made = init(s, "made", "parity-init-k")
    same = {"producer_id": made["producer_id"], "producer_epoch": made["producer_epoch"]}
    init(s, "with pid and epoch", "parity-init-k", **same)
    init(s, "with the last epoch", "parity-init-k", **same)
    init(s, "with a high epoch", "parity-init-k", **{**same, "producer_epoch": 99})
    init(s, "with another pid", "parity-init-k", producer_id=made["producer_id"] + 777777, producer_epoch=0)
    init(s, "pid alone", "parity-init-k", producer_id=5)
    init(s, "epoch alone", "parity-init-k", producer_epoch=5)
    init(s, "new id with pid", "parity-init-new", producer_id=5, producer_epoch=5)
    init(s, "two phases v5", "parity-init-2", 5)


def case_transaction(s):
    s.needs("EndTxn", "AddPartitionsToTxn")
    topic, id_ = "parity-txn", "parity-txn"
    create(s, topic, 2)
    coordinator(s, id_, 1)
    producer = init(s, "init", id_)
    end(s, "commit nothing", id_, producer, True)
    end(s, "abort nothing", id_, producer, False)
    write(s, "produce before adding", id_, producer, topic, 0)
    write(s, "produce before adding v11", id_, producer, topic, 0, version=11)
    add(s, "add", id_, producer, topic)
    add(s, "add again", id_, producer, topic)
    for version in (0, 1, 2):
        add(s, f"add v{version}", id_, producer, topic, version=version)
    add(s, "add old epoch", id_, producer, topic, epoch=-1)
    add(s, "add future epoch", id_, producer, topic, epoch=9)
    add(s, "add future epoch v1", id_, producer, topic, epoch=9, version=1)
    add(s, "add other pid", id_, {**producer, "producer_id": producer["producer_id"] + 9}, topic)
    add(s, "add unknown id", "parity-txn-none", producer, topic)
    add(s, "add empty id", "", producer, topic)
    add(s, "add unknown topic", id_, producer, "parity-none")
    add(s, "add unknown partition", id_, producer, topic, (1, 9))
    write(s, "produce", id_, producer, topic, 0)
    write(s, "produce more", id_, producer, topic, 1)
    write(s, "produce to one not added", id_, producer, topic, 0, partition=1)
    write(s, "produce, epoch too high", id_, producer, topic, 0, epoch=7)
    s.ask("plain batch in the transaction", "Produce", 9, **produce_body(
        topic, values("x", producer=(producer["producer_id"], producer["producer_epoch"], 2))))
    fetch(s, "read uncommitted", topic, 0)
    fetch(s, "read committed", topic, 0, isolation_level=1)
    s.ask("latest committed", "ListOffsets", 8, replica_id=-1, isolation_level=1, topics=[
        {"name": topic, "partitions": [{"partition_index": 0, "timestamp": -1}]}])
    s.ask("described", "DescribeTransactions", 0, transactional_ids=[id_, "parity-txn-none", ""])
    s.ask("producers", "DescribeProducers", 0, topics=[{"name": topic, "partition_indexes": [0, 1, 9]},
                                                       {"name": "parity-none", "partition_indexes": [0]}])
    end(s, "end, old epoch", id_, producer, True, epoch=-1)
    end(s, "end, future epoch", id_, producer, True, epoch=9)
    end(s, "end, future epoch v1", id_, producer, True, version=1, epoch=9)
    end(s, "end, other pid", id_, {**producer, "producer_id": 5}, True)
    end(s, "end, unknown id", "parity-txn-none", producer, True)
    end(s, "end, empty id", "", producer, True)
    end(s, "commit", id_, producer, True)
    end(s, "commit again", id_, producer, True)
    end(s, "abort after", id_, producer, False)
    s.ask_until("read after commit", "Fetch", 12, lambda a: len(
        a["responses"][0]["partitions"][0]["records"] or b"") > 200 and a["responses"][0]["partitions"][0][
            "last_stable_offset"] == 3, max_wait_ms=0, min_bytes=0, isolation_level=1, topics=[
        {"topic": topic, "partitions": [{"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1 << 20}]}])
    add(s, "second", id_, producer, topic)
    write(s, "second produce", id_, producer, topic, 2)
    end(s, "second abort", id_, producer, False)
    s.ask_until("read after abort", "Fetch", 12, lambda a: a["responses"][0]["partitions"][0]["last_stable_offset"] == 5,
                max_wait_ms=0, min_bytes=0, isolation_level=1, topics=[
        {"topic": topic, "partitions": [{"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1 << 20}]}])
    fetch(s, "aborted, uncommitted reader", topic, 3)
    add(s, "third", id_, producer, topic)
    write(s, "third produce", id_, producer, topic, 3)
    fenced = init(s, "fenced by a new one", id_)
    write(s, "fenced produce", id_, producer, topic, 4)
    end(s, "fenced end", id_, producer, True)
    add(s, "fenced add", id_, producer, topic)
    end(s, "new one ends nothing", id_, fenced, True)


def case_transaction_v2(s):
    """Transactions of the second version: EndTxn v5, Produce v12, TxnOffsetCommit v5."""
    s.needs("EndTxn", "TxnOffsetCommit")
    topic, id_ = "parity-two", "parity-two"
    create(s, topic, 2)
    coordinator(s, id_, 1)
    coordinator(s, "parity-two-group")
    producer = init(s, "init", id_, 5)
    end(s, "commit nothing", id_, producer, True, 5)
    bumped = end(s, "abort nothing", id_, producer, False, 5)
    producer = {"producer_id": bumped["producer_id"], "producer_epoch": bumped["producer_epoch"]}
    write(s, "first sequence not zero", id_, producer, topic, 5, 12)
    write(s, "produce", id_, producer, topic, 0, 12)
    write(s, "produce other partition", id_, producer, topic, 0, 12, partition=1)
    s.ask_until("offsets", "TxnOffsetCommit", 5, lambda a: a["topics"][0]["partitions"][0]["error_code"] not in (
        14, 15, 16, 51), **offsets_body(id_, producer, topic, "parity-two-group", 5))
    s.ask("described", "DescribeTransactions", 0, transactional_ids=[id_])
    after = end(s, "commit", id_, producer, True, 5)
    end(s, "commit again", id_, producer, True, 5)
    end(s, "abort again", id_, producer, False, 5)
    write(s, "old epoch", id_, producer, topic, 1, 12)
    following = {"producer_id": after["producer_id"], "producer_epoch": after["producer_epoch"]}
    write(s, "new epoch", id_, following, topic, 0, 12)
    end(s, "abort", id_, following, False, 5)
    s.ask_until("committed offset", "OffsetFetch", 7, lambda a: a["error_code"] == 0 and a["topics"] and
                a["topics"][0]["partitions"][0]["error_code"] == 0, group_id="parity-two-group", require_stable=True,
                topics=[{"name": topic, "partition_indexes": [0]}])


def offsets_body(id_, producer, topic, group, version=3, **more):
    entry = {"partition_index": 0, "committed_offset": 4, "committed_metadata": "t"}
    return {**who(id_, producer), "group_id": group,
            "topics": [{"name": topic, "partitions": [entry]}], **more}


def case_transactional_offsets(s):
    s.needs("EndTxn", "AddOffsetsToTxn", "TxnOffsetCommit")
    topic, id_, group = "parity-txnoff", "parity-txnoff", "parity-txnoff"
    create(s, topic)
    coordinator(s, id_, 1)
    coordinator(s, group)
    producer = init(s, "init", id_)

    def offsets(label, version=3, **more):
        s.ask_until(label, "TxnOffsetCommit", version, lambda a: a["topics"][0]["partitions"][0]["error_code"] not in (
            14, 15, 16, 51), **offsets_body(id_, producer, topic, group, version, **more))
    offsets("not added")
    for label, change in (("old epoch", {"producer_epoch": -1}), ("future epoch", {"producer_epoch": 9}),
                          ("other pid", {"producer_id": 5}), ("unknown id", {"transactional_id": "parity-nobody"}),
                          ("empty id", {"transactional_id": ""}), ("empty group", {"group_id": ""})):
        s.ask("add offsets, " + label, "AddOffsetsToTxn", 3, **{**who(id_, producer), "group_id": group, **change})
    s.ask_until("add offsets", "AddOffsetsToTxn", 3, lambda a: not busy(a), group_id=group, **who(id_, producer))
    for version in range(0, 4):
        offsets(f"v{version}", version)
    offsets("unknown member", member_id="nobody", generation_id=3)
    offsets("wrong generation", generation_id=3)
    offsets("other group", group_id="parity-txnoff-other")
    fetched = {"group_id": group, "topics": [{"name": topic, "partition_indexes": [0]}]}
    s.ask("pending", "OffsetFetch", 7, **fetched)
    s.ask("pending, stable", "OffsetFetch", 7, require_stable=True, **fetched)
    s.ask("delete group", "DeleteGroups", 2, groups_names=[group])
    end(s, "abort", id_, producer, False)

    def ended(answer):
        return answer["topics"][0]["partitions"][0]["error_code"] == 0
    s.ask_until("after abort", "OffsetFetch", 7, ended, require_stable=True, **fetched)
    s.ask_until("add offsets 2", "AddOffsetsToTxn", 3, lambda a: not busy(a), group_id=group, **who(id_, producer))
    offsets("commit 2")
    end(s, "commit", id_, producer, True)
    s.ask_until("after commit", "OffsetFetch", 7, ended, require_stable=True, **fetched)


def case_markers(s):
    s.needs("WriteTxnMarkers", "EndTxn", "AddPartitionsToTxn")
    topic, id_ = "parity-marker", "parity-marker"
    create(s, topic, 2)
    coordinator(s, id_, 1)
    producer = init(s, "init", id_)
    add(s, "add", id_, producer, topic)
    write(s, "produce", id_, producer, topic, 0)

    def mark(label, version=1, partitions=(0,), topic_=topic, epoch=0, coordinator_epoch=0, **more):
        s.ask(label, "WriteTxnMarkers", version, markers=[{
            "producer_id": producer["producer_id"], "producer_epoch": producer["producer_epoch"] + epoch,
            "transaction_result": False, "coordinator_epoch": coordinator_epoch,
            "topics": [{"name": topic_, "partition_indexes": list(partitions)}], **more}])
    mark("old epoch", epoch=-1)
    mark("unknown topic", topic_="parity-none")
    mark("unknown partition", partitions=(9,))
    mark("abort", coordinator_epoch=5)
    mark("abort again", coordinator_epoch=5)
    mark("old coordinator", coordinator_epoch=2)
    mark("partition without data", partitions=(1,), coordinator_epoch=5)
    mark("v2", 2, coordinator_epoch=5, transaction_version=1)
    s.ask("none", "WriteTxnMarkers", 1, markers=[])
    fetch(s, "read", topic, 0, isolation_level=1)
    s.ask("producers", "DescribeProducers", 0, topics=[{"name": topic, "partition_indexes": [0]}])


def case_add_partitions_for_brokers(s):
    s.needs("AddPartitionsToTxn", "EndTxn")
    topic, id_ = "parity-batch", "parity-batch"
    create(s, topic, 2)
    coordinator(s, id_, 1)
    producer = init(s, "init", id_)

    def ask(label, version, *entries):
        s.ask(label, "AddPartitionsToTxn", version, transactions=[
            {**who(name, producer), "verify_only": verify, "topics": [{"name": t, "partitions": list(p)}]}
            for name, verify, t, p in entries])
    ask("verify before", 4, (id_, True, topic, (0,)))
    ask("add", 4, (id_, False, topic, (0,)))
    ask("verify", 4, (id_, True, topic, (0, 1)))
    ask("verify v5", 5, (id_, True, topic, (0, 1)))
    ask("unknown", 5, ("parity-nobody", True, topic, (0,)), (id_, False, topic, (1,)))
    ask("unknown topic", 5, (id_, False, "parity-none", (0,)))
    ask("none", 5)


def case_list_transactions(s):
    s.needs("ListTransactions", "EndTxn", "AddPartitionsToTxn")
    create(s, "parity-listed-txn")
    coordinator(s, "parity-listed-txn", 1)
    idle = init(s, "idle", "parity-listed-idle")
    running = init(s, "running", "parity-listed-run")
    add(s, "add", "parity-listed-run", running, "parity-listed-txn")

    def ask(label, version=2, **more):
        answer = s.call("ListTransactions", version, more)
        if isinstance(answer, dict):
            answer["transaction_states"] = [t for t in answer["transaction_states"]
                                            if t["transactional_id"].startswith("parity-listed")]
        s.keep_answer(label, answer)
    for version in (0, 1, 2):
        ask(f"v{version}", version)
    for states in (["Ongoing"], ["ongoing"], ["Empty"], ["Odd"], ["Ongoing", "Odd"], ["Dead"]):
        ask(f"states {states}", state_filters=states)
    ask("producer", producer_id_filters=[running["producer_id"]])
    ask("other producer", producer_id_filters=[idle["producer_id"] + 5000000])
    ask("long ones", duration_filter=3600000)
    ask("short ones", duration_filter=0)
    ask("pattern", transactional_id_pattern="parity-listed-r.*")
    ask("pattern of nothing", transactional_id_pattern="r.*")
    ask("empty pattern", transactional_id_pattern="")
    ask("bad pattern", transactional_id_pattern="(")
    s.ask("describe bad", "DescribeTransactions", 0, transactional_ids=["", "parity-nobody"])
    s.ask("describe none", "DescribeTransactions", 0, transactional_ids=[])
