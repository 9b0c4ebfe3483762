"""Coordinators, classic groups, offsets, groups of the consumer protocol."""
import struct
import time

from tests.parity.data_cases import create

SUBSCRIPTION = struct.pack(">hih", 1, 1, 5) + b"topic" + struct.pack(">ii", -1, 0)


def coordinator(s, key, type_=0):
    """Waits until the coordinator of the key serves."""
    s.needs("FindCoordinator")
    return s.ask_until(f"coordinator {type_} of {key}", "FindCoordinator", 4,
                       lambda a: a["coordinators"][0]["error_code"] == 0, key_type=type_, coordinator_keys=[key])


def case_find_coordinator(s):
    coordinator(s, "parity-find")
    for version in range(0, 7):
        body = {"coordinator_keys": ["parity-find"]} if version >= 4 else {"key": "parity-find"}
        s.ask_until(f"v{version}", "FindCoordinator", version, lambda a: True, **body)
    for label, type_, keys in (("odd type", 9, ["x"]), ("negative type", -1, ["x"]), ("no keys", 0, []),
                               ("empty key", 0, [""]), ("twice", 0, ["x", "x"]), ("share, bad key", 2, ["x"])):
        s.ask(label, "FindCoordinator", 6, key_type=type_, coordinator_keys=keys)
    s.ask("share below v6", "FindCoordinator", 4, key_type=2, coordinator_keys=["x"])


def join_body(group, member="", session=30000, rebalance=5000, type_="consumer", protocols=("range",), **more):
    return {"group_id": group, "member_id": member, "session_timeout_ms": session,
            "rebalance_timeout_ms": rebalance, "protocol_type": type_,
            "protocols": [{"name": p, "metadata": SUBSCRIPTION} for p in protocols], **more}


def settled(answer):
    """Not a passing state of the coordinator."""
    return answer.get("error_code") not in (14, 15, 16)


def join(s, label, group, version=9, **more):
    """Joins and waits for the generation; member ids asked for are taken."""
    answer = s.ask_until(label, "JoinGroup", version, settled, **join_body(group, **more))
    if answer is not None and answer["error_code"] == 79:
        more["member"] = answer["member_id"]
        answer = s.ask(label + ", again", "JoinGroup", version, **join_body(group, **more))
    return answer


def sync_body(group, joined, member=None, version=5, **more):
    member = member or joined["member_id"]
    body = {"group_id": group, "generation_id": joined["generation_id"], "member_id": member,
            "assignments": [{"member_id": member, "assignment": b"mine"}], **more}
    if version >= 5:
        body = {"protocol_type": "consumer", "protocol_name": "range", **body}
    return body


def case_join_group(s):
    coordinator(s, "parity-join")
    for version in range(0, 10):
        group = f"parity-join-{version}"
        body = join_body(group)
        if version == 0:
            body.pop("rebalance_timeout_ms")
        answer = s.ask_until(f"v{version}", "JoinGroup", version, settled, **body)
        if answer and answer["error_code"] == 79:
            body["member_id"] = answer["member_id"]
            s.ask(f"v{version}, again", "JoinGroup", version, **body)
    join(s, "empty group", "")
    for session in (0, 5999, 1800001, -1):
        join(s, f"session {session}", "parity-join-x", session=session)
    join(s, "unknown member, no group", "parity-join-none", member="nobody")
    join(s, "unknown member", "parity-join-9", member="nobody")
    join(s, "no protocols", "parity-join-y", protocols=())
    join(s, "no type", "parity-join-y", type_="")
    join(s, "other type", "parity-join-9", type_="connect")
    join(s, "no common protocol", "parity-join-9", protocols=("other",))
    join(s, "bad group name", "x" * 300)
    static = join(s, "static", "parity-join-static", group_instance_id="one")
    join(s, "static, wrong member", "parity-join-static", member="nobody", group_instance_id="one")
    s.ask("sync static", "SyncGroup", 5, **sync_body("parity-join-static", static, group_instance_id="one"))
    again = join(s, "static returns", "parity-join-static", group_instance_id="one")
    s.ask("old self", "Heartbeat", 4, group_id="parity-join-static", generation_id=1,
          member_id=static["member_id"], group_instance_id="one")
    s.ask("new self", "Heartbeat", 4, group_id="parity-join-static", generation_id=1,
          member_id=again["member_id"], group_instance_id="one")
    s.ask("static instance leaves", "LeaveGroup", 5, group_id="parity-join-static",
          members=[{"member_id": "", "group_instance_id": "one"}])


def case_group_life(s):
    group = "parity-life"
    coordinator(s, group)
    joined = join(s, "join", group)
    member = joined["member_id"]

    def beat(label, generation=1, member_=member, group_=group, version=4, **more):
        s.ask(label, "Heartbeat", version, group_id=group_, generation_id=generation, member_id=member_, **more)
    beat("beat before sync")
    beat("beat wrong generation", 9)
    s.ask("commit before sync", "OffsetCommit", 8, **commit_body(group, "parity-life", joined))
    s.ask("sync, wrong generation", "SyncGroup", 5, **{**sync_body(group, joined), "generation_id": 7})
    s.ask("sync, wrong member", "SyncGroup", 5, **sync_body(group, joined, "nobody"))
    s.ask("sync, wrong protocol", "SyncGroup", 5, **{**sync_body(group, joined), "protocol_name": "other"})
    s.ask("sync, no protocol", "SyncGroup", 5, **{**sync_body(group, joined), "protocol_name": None})
    s.ask("sync, unknown group", "SyncGroup", 5, **sync_body("parity-life-none", joined))
    s.ask("sync, empty group", "SyncGroup", 5, **sync_body("", joined))
    s.ask("sync", "SyncGroup", 5, **sync_body(group, joined))
    for version in range(0, 5):
        s.ask(f"sync again v{version}", "SyncGroup", version, **sync_body(group, joined, version=version))
    for version in range(0, 5):
        beat(f"beat v{version}", version=version)
    beat("beat old generation", 0)
    beat("beat unknown member", 1, "nobody")
    beat("beat unknown group", 1, member, "parity-life-none")
    beat("beat empty group", 1, member, "")
    beat("beat unknown instance", 1, member, group_instance_id="nobody")
    for version in range(0, 7):
        s.ask(f"describe v{version}", "DescribeGroups", version, groups=[group, "parity-life-none"])
    s.ask("describe operations", "DescribeGroups", 6, groups=[group], include_authorized_operations=True)
    s.ask("describe nothing", "DescribeGroups", 6, groups=[])
    s.ask("describe empty", "DescribeGroups", 6, groups=[""])
    join(s, "rejoin unchanged as leader", group, member=member)
    s.ask("sync 2", "SyncGroup", 5, **{**sync_body(group, joined), "generation_id": 2})
    s.ask("delete while in use", "DeleteGroups", 2, groups_names=[group])
    s.ask("leave, wrong member", "LeaveGroup", 5, group_id=group, members=[{"member_id": "nobody"}])
    s.ask("leave, no members", "LeaveGroup", 5, group_id=group, members=[])
    s.ask("leave, unknown group", "LeaveGroup", 5, group_id="parity-life-none", members=[{"member_id": member}])
    s.ask("leave, empty group", "LeaveGroup", 5, group_id="", members=[{"member_id": member}])
    s.ask("leave v0, wrong member", "LeaveGroup", 0, group_id=group, member_id="nobody")
    s.ask("leave v2", "LeaveGroup", 2, group_id=group, member_id=member)
    s.ask("leave again", "LeaveGroup", 5, group_id=group, members=[{"member_id": member}])
    s.ask("describe empty group", "DescribeGroups", 6, groups=[group])
    for version in (0, 1, 2):
        s.ask(f"delete v{version}", "DeleteGroups", version, groups_names=[group, "parity-life-none", ""])
    s.ask("describe deleted", "DescribeGroups", 5, groups=[group])


def case_list_groups(s):
    coordinator(s, "parity-list")
    joined = join(s, "join", "parity-list-a")
    s.call("SyncGroup", 5, sync_body("parity-list-a", joined))
    create(s, "parity-list")
    s.call("OffsetCommit", 8, commit_body("parity-list-b", "parity-list"))

    def ask(label, version, **more):
        answer = s.call("ListGroups", version, more)
        if isinstance(answer, dict):
            answer["groups"] = [g for g in answer["groups"] if g["group_id"].startswith("parity-list")]
        s.keep_answer(label, answer)
    for version in range(0, 6):
        ask(f"v{version}", version)
    for states in (["Stable"], ["stable"], ["Empty"], ["Odd"], ["Stable", "Empty"], [""]):
        ask(f"states {states}", 5, states_filter=states)
    for types in (["classic"], ["CLASSIC"], ["consumer"], ["odd"]):
        ask(f"types {types}", 5, types_filter=types)
    ask("both", 5, states_filter=["Stable"], types_filter=["classic"])


def commit_body(group, topic, joined=None, partition=0, offset=3, metadata="note", version=8, **more):
    where = {"topic_id": topic} if version >= 10 else {"name": topic}
    entry = {"partition_index": partition, "committed_offset": offset, "committed_metadata": metadata}
    if version >= 6:
        entry["committed_leader_epoch"] = more.pop("leader_epoch", -1)
    body = {"group_id": group, "topics": [{**where, "partitions": [entry]}]}
    if version >= 1:
        body.update(generation_id_or_member_epoch=joined["generation_id"] if joined else -1,
                    member_id=joined["member_id"] if joined else "")
    if 2 <= version <= 4:
        body["retention_time_ms"] = -1
    return {**body, **more}


def case_offset_commit(s):
    topic = "parity-commit"
    topic_id = create(s, topic, 2)
    group = "parity-commit"
    coordinator(s, group)

    def commit(label, *args, version=8, group_=group, **more):
        s.ask(label, "OffsetCommit", version, **commit_body(group_, *args, version=version, **more))
    for version in range(2, 10):
        commit(f"v{version}", topic, version=version)
    commit("v10", topic_id, version=10)
    commit("v10, unknown id", "9a" * 16, version=10)
    commit("unknown topic", "parity-none")
    commit("unknown partition", topic, partition=9)
    commit("negative partition", topic, partition=-1)
    commit("negative offset", topic, offset=-1)
    commit("very negative offset", topic, offset=-5)
    commit("metadata at the limit", topic, metadata="m" * 4096)
    commit("metadata over it", topic, metadata="m" * 4097)
    commit("null metadata", topic, metadata=None)
    commit("leader epoch", topic, leader_epoch=3)
    commit("empty group", topic, group_="")
    stranger = {"generation_id": 5, "member_id": "nobody"}
    commit("unknown group with generation v8", topic, stranger, group_="parity-commit-none")
    commit("unknown group with generation v9", topic, stranger, group_="parity-commit-none", version=9)
    commit("stranger", topic, stranger)
    commit("member without generation", topic, {"generation_id": -1, "member_id": "nobody"})
    commit("generation without member", topic, {"generation_id": 1, "member_id": ""})
    joined = join(s, "join", "parity-commit-m")
    commit("before sync", topic, joined, group_="parity-commit-m")
    s.call("SyncGroup", 5, sync_body("parity-commit-m", joined))
    commit("member", topic, joined, group_="parity-commit-m")
    commit("old generation", topic, {**joined, "generation_id": 0}, group_="parity-commit-m")
    commit("future generation", topic, {**joined, "generation_id": 2}, group_="parity-commit-m")
    commit("other member", topic, {**joined, "member_id": "nobody"}, group_="parity-commit-m")
    commit("no member while in use", topic, group_="parity-commit-m")
    commit("unknown instance", topic, joined, group_="parity-commit-m", group_instance_id="nobody")
    s.ask("no topics", "OffsetCommit", 8, group_id=group, generation_id_or_member_epoch=-1, topics=[])
    s.ask("topic twice", "OffsetCommit", 8, **{**commit_body(group, topic), "topics":
          commit_body(group, topic)["topics"] + commit_body(group, topic, offset=9)["topics"]})


def case_offset_fetch(s):
    topic, group = "parity-committed", "parity-committed"
    topic_id = create(s, topic, 3)
    coordinator(s, group)
    s.ask_until("commit", "OffsetCommit", 8, lambda a: a["topics"][0]["partitions"][0]["error_code"] == 0,
                **commit_body(group, topic, offset=7, leader_epoch=0))
    s.call("OffsetCommit", 8, commit_body(group, topic, partition=1, offset=0, metadata=""))
    for version in range(1, 8):
        s.ask(f"v{version}", "OffsetFetch", version, group_id=group, topics=[
            {"name": topic, "partition_indexes": [0, 1, 2, 9]}, {"name": "parity-none", "partition_indexes": [0]}])
        if version >= 2:
            s.ask(f"all v{version}", "OffsetFetch", version, group_id=group, topics=None)
            s.ask(f"none v{version}", "OffsetFetch", version, group_id=group, topics=[])
            s.ask(f"unknown group v{version}", "OffsetFetch", version, group_id="parity-nobody", topics=None)
    for version in (8, 9, 10):
        where = {"topic_id": topic_id} if version == 10 else {"name": topic}
        none = {"topic_id": "bc" * 16} if version == 10 else {"name": "parity-none"}
        for stable in (False, True):
            s.ask(f"v{version} stable {stable}", "OffsetFetch", version, require_stable=stable, groups=[
                {"group_id": group, "topics": [{**where, "partition_indexes": [0, 1, 2, 9]},
                                               {**none, "partition_indexes": [0]}]},
                {"group_id": "parity-nobody", "topics": [{**where, "partition_indexes": [0]}]}])
        s.ask(f"all v{version}", "OffsetFetch", version, groups=[{"group_id": group, "topics": None}])
        s.ask(f"empty group v{version}", "OffsetFetch", version, groups=[{"group_id": "", "topics": None}])
        s.ask(f"no groups v{version}", "OffsetFetch", version, groups=[])
        if version >= 9:
            for label, member, epoch in (("member", "nobody", -1), ("member and epoch", "nobody", 3), ("epoch", None, 3)):
                s.ask(f"stranger: {label} v{version}", "OffsetFetch", version, groups=[
                    {"group_id": group, "topics": None, "member_id": member, "member_epoch": epoch}])
    s.ask("group twice", "OffsetFetch", 8, groups=[{"group_id": group, "topics": None}] * 2)


def case_offset_delete(s):
    topic, group = "parity-offdel", "parity-offdel"
    create(s, topic, 2)
    coordinator(s, group)
    for partition in (0, 1):
        s.ask_until(f"commit {partition}", "OffsetCommit", 8, lambda a: a["topics"][0]["partitions"][0]["error_code"] == 0,
                    **commit_body(group, topic, partition=partition))

    def delete(label, group_, topic_, *partitions):
        s.ask(label, "OffsetDelete", 0, group_id=group_, topics=[
            {"name": topic_, "partitions": [{"partition_index": p} for p in partitions]}])
    delete("unknown group", "parity-nobody", topic, 0)
    delete("empty group", "", topic, 0)
    delete("unknown topic", group, "parity-none", 0)
    delete("one, and an unknown", group, topic, 0, 9)
    delete("again", group, topic, 0)
    s.ask("left", "OffsetFetch", 7, group_id=group, topics=None)
    joined = join(s, "join", "parity-offdel-m")
    s.call("SyncGroup", 5, sync_body("parity-offdel-m", joined))
    delete("in use, not subscribed", "parity-offdel-m", topic, 0)
    joined = join(s, "join other", "parity-offdel-c", type_="connect")
    s.call("SyncGroup", 5, sync_body("parity-offdel-c", joined, protocol_type="connect"))
    delete("in use, other type", "parity-offdel-c", topic, 0)
    s.ask("delete with offsets", "DeleteGroups", 2, groups_names=[group])
    s.ask("gone", "OffsetFetch", 7, group_id=group, topics=None)


def beat_body(group, member, epoch, topic=None, **more):
    body = {"group_id": group, "member_id": member, "member_epoch": epoch}
    if topic is not None:
        body.update(subscribed_topic_names=[topic], rebalance_timeout_ms=60000, topic_partitions=[])
    return {**body, **more}


def wait_until_assigned(s, topic):
    """Until members are given partitions of a new topic: Kafka's coordinator hears of it on its own."""
    group = "parity-wait"
    coordinator(s, group)
    for round_ in range(100):
        member = f"member-{round_}"
        answer = s.call("ConsumerGroupHeartbeat", 1, beat_body(group, member, 0, topic))
        given = answer.get("assignment") or {}
        s.call("ConsumerGroupHeartbeat", 1, beat_body(group, member, -1))
        if given.get("topic_partitions"):
            break
        time.sleep(0.1)
    s.call("DeleteGroups", 2, {"groups_names": [group]})


def case_consumer_group(s):
    s.needs("ConsumerGroupHeartbeat", "ConsumerGroupDescribe")
    topic, group = "parity-next", "parity-next"
    topic_id = create(s, topic, 2)
    wait_until_assigned(s, topic)
    coordinator(s, group)

    def beat(label, *args, version=1, **more):
        return s.ask_until(label, "ConsumerGroupHeartbeat", version, settled, **beat_body(*args, **more))
    first = beat("join", group, "member-a", 0, topic)
    epoch = first["member_epoch"]
    owned = [{"topic_id": topic_id, "partitions": [0, 1]}]
    beat("acknowledge", group, "member-a", epoch, topic_partitions=owned)
    beat("quiet", group, "member-a", epoch)
    beat("full", group, "member-a", epoch, topic, topic_partitions=owned)
    s.ask("describe", "ConsumerGroupDescribe", 1, group_ids=[group])
    s.ask("describe v0", "ConsumerGroupDescribe", 0, group_ids=[group, "parity-nobody", ""])
    s.ask("describe operations", "ConsumerGroupDescribe", 1, group_ids=[group], include_authorized_operations=True)
    s.ask("describe as classic", "DescribeGroups", 6, groups=[group])
    beat("epoch too high", group, "member-a", epoch + 5)
    beat("unknown member", group, "nobody", 1)
    beat("unknown group", "parity-nobody", "member-a", 1)
    beat("empty group", "", "member-a", 0, topic)
    beat("empty member v1", group, "", 0, topic)
    beat("no subscription", group, "member-x", 0, rebalance_timeout_ms=60000, topic_partitions=[])
    beat("no partitions", group, "member-x", 0, rebalance_timeout_ms=60000, subscribed_topic_names=[topic])
    beat("owned while joining", group, "member-x", 0, topic, topic_partitions=owned)
    beat("no timeout", group, "member-x", 0, topic, rebalance_timeout_ms=-1)
    beat("zero timeout", group, "member-x", 0, topic, rebalance_timeout_ms=0)
    beat("epoch -2 without instance", group, "member-a", -2)
    beat("epoch -3", group, "member-a", -3)
    beat("unknown assignor", group, "member-x", 0, topic, server_assignor="odd")
    beat("empty instance", group, "member-x", 0, topic, instance_id="")
    beat("empty rack", group, "member-x", 0, topic, rack_id="")
    beat("bad regex", group, "member-x", 0, topic, subscribed_topic_regex="(")
    beat("commit", group, "member-a", epoch)
    s.ask("commit, epoch", "OffsetCommit", 9, **commit_body(group, topic, {"generation_id": epoch, "member_id": "member-a"}, version=9))
    s.ask("commit below v9", "OffsetCommit", 8, **commit_body(group, topic, {"generation_id": epoch, "member_id": "member-a"}))
    s.ask("commit, newer epoch", "OffsetCommit", 9, **commit_body(group, topic, {"generation_id": epoch + 1, "member_id": "member-a"}, version=9))
    s.ask("commit, older epoch", "OffsetCommit", 9, **commit_body(group, topic, {"generation_id": 0, "member_id": "member-a"}, version=9))
    s.ask("commit, no member", "OffsetCommit", 9, **commit_body(group, topic, version=9))
    s.ask("fetch, member", "OffsetFetch", 9, groups=[{"group_id": group, "topics": None, "member_id": "member-a", "member_epoch": epoch}])
    s.ask("fetch, wrong epoch", "OffsetFetch", 9, groups=[{"group_id": group, "topics": None, "member_id": "member-a", "member_epoch": 99}])
    s.ask("fetch, unknown member", "OffsetFetch", 9, groups=[{"group_id": group, "topics": None, "member_id": "nobody", "member_epoch": 1}])
    beat("other topic", group, "member-a", epoch, subscribed_topic_names=["parity-none"], topic_partitions=owned,
         rebalance_timeout_ms=60000)
    join(s, "classic consumer of other type", group, type_="connect")
    s.ask("delete in use", "DeleteGroups", 2, groups_names=[group])
    beat("leave", group, "member-a", -1)
    beat("leave again", group, "member-a", -1)
    s.ask("describe empty", "ConsumerGroupDescribe", 1, group_ids=[group])
    static = beat("static join", "parity-next-s", "member-s", 0, topic, instance_id="one")
    beat("instance taken", "parity-next-s", "member-t", 0, topic, instance_id="one")
    beat("static leaves for a while", "parity-next-s", "member-s", -2, instance_id="one")
    beat("static returns", "parity-next-s", "member-u", 0, topic, instance_id="one")
    beat("its former self", "parity-next-s", "member-s", static["member_epoch"], instance_id="one")
    joined = join(s, "classic", "parity-next-c")
    s.call("SyncGroup", 5, sync_body("parity-next-c", joined))
    s.ask("describe a classic group", "ConsumerGroupDescribe", 1, group_ids=["parity-next-c"])
    s.ask("delete", "DeleteGroups", 2, groups_names=[group])
    s.ask("v0 picks an id", "ConsumerGroupHeartbeat", 0, only=["error_code", "member_epoch"],
          **beat_body("parity-next-0", "", 0, topic))


