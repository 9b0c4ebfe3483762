"""Topics, partitions, configs, metadata, cluster, quotas, log dirs."""
import time

from tests.harness import message
from tests.parity.data_cases import create, produce_body, values

TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3


def creation(name, partitions=1, replicas=1, assignments=(), **configs):
    return {"name": name, "num_partitions": partitions, "replication_factor": replicas,
            "assignments": [{"partition_index": p, "broker_ids": b} for p, b in assignments],
            "configs": [{"name": k.replace("_", "."), "value": v} for k, v in configs.items()]}


def case_create_topics(s):
    def ask(label, *topics, version=7, validate_only=False):
        answer = s.call("CreateTopics", version, {"timeout_ms": 10000, "validate_only": validate_only,
                                                  "topics": list(topics)})
        for topic in answer["topics"] if isinstance(answer, dict) else ():
            topic["configs"] = sorted(
                f"{c['name']}={c['value']} read only {c['read_only']} source {c['config_source']}"
                for c in topic.get("configs") or [] if c["config_source"] == 1)
        s.keep_answer(label, answer)
    for version in range(2, 8):
        ask(f"v{version}", creation(f"parity-c{version}", 2, retention_ms="1000"), version=version)
    ask("defaults", creation("parity-default", -1, -1))
    ask("again", creation("parity-default"))
    for name in ("", ".", "..", "a b", "x" * 250, "ünder", "a/b", "__consumer_offsets_not"):
        ask(f"name '{name[:10]}'", creation(name))
    ask("249 characters", creation("y" * 249))
    ask("dots", creation("parity.dot"))
    ask("collides", creation("parity_dot"))
    for partitions in (0, -2, 10001):
        ask(f"{partitions} partitions", creation("parity-count", partitions))
    for replicas in (0, -2, 2, 100):
        ask(f"{replicas} replicas", creation("parity-count", 1, replicas))
    ask("unknown config", creation("parity-config", no_such_config="1"))
    ask("bad config", creation("parity-config", retention_ms="soon"))
    ask("null config", creation("parity-config", retention_ms=None))
    ask("out of bounds", creation("parity-config", min_insync_replicas="0"))
    ask("bad policy", creation("parity-config", cleanup_policy="shred"))
    ask("config twice", {**creation("parity-config"), "configs": [
        {"name": "retention.ms", "value": "1"}, {"name": "retention.ms", "value": "2"}]})
    ask("twice in request", creation("parity-twice"), creation("parity-twice"))
    ask("validate only", creation("parity-unmade"), validate_only=True)
    ask("validate only, exists", creation("parity-default"), validate_only=True)
    ask("manual", creation("parity-manual", -1, -1, [(0, [1]), (1, [1])]))
    ask("manual with count", creation("parity-manual2", 1, -1, [(0, [1])]))
    ask("manual with replication", creation("parity-manual2", -1, 1, [(0, [1])]))
    ask("manual with a hole", creation("parity-manual2", -1, -1, [(0, [1]), (2, [1])]))
    ask("manual, broker twice", creation("parity-manual2", -1, -1, [(0, [1, 1])]))
    ask("manual, unknown broker", creation("parity-manual2", -1, -1, [(0, [77])]))
    ask("manual, no replicas", creation("parity-manual2", -1, -1, [(0, [])]))
    ask("manual, uneven", creation("parity-manual2", -1, -1, [(0, [1]), (1, [])]))
    ask("one good, one bad", creation("parity-good"), creation("a b"))
    ask("no topics")


def case_delete_topics(s):
    for version in range(1, 6):
        create(s, f"parity-d{version}")
        s.ask(f"v{version}", "DeleteTopics", version, timeout_ms=5000, topic_names=[f"parity-d{version}", "parity-none"])
    first, second = create(s, "parity-d6"), create(s, "parity-d7")
    s.ask("name and id", "DeleteTopics", 6, timeout_ms=5000, topics=[{"name": "parity-d6", "topic_id": first}])
    s.ask("neither", "DeleteTopics", 6, timeout_ms=5000, topics=[{"name": None}])
    s.ask("by id", "DeleteTopics", 6, timeout_ms=5000, topics=[{"name": None, "topic_id": first}])
    s.ask("unknown id", "DeleteTopics", 6, timeout_ms=5000, topics=[{"name": None, "topic_id": "56" * 16}])
    s.ask("twice", "DeleteTopics", 6, timeout_ms=5000, topics=[{"name": "parity-d7"}, {"name": "parity-d7"}])
    s.ask("name and its id apart", "DeleteTopics", 6, timeout_ms=5000, topics=[
        {"name": "parity-d7"}, {"name": None, "topic_id": second}])
    s.ask("none", "DeleteTopics", 6, timeout_ms=5000, topics=[])


def case_create_partitions(s):
    create(s, "parity-more", 2)

    def ask(label, count, name="parity-more", assignments=None, version=3, validate_only=False, topics=None):
        s.ask(label, "CreatePartitions", version, timeout_ms=5000, validate_only=validate_only, topics=topics or [
            {"name": name, "count": count, "assignments": assignments}])
    ask("same", 2)
    ask("fewer", 1)
    ask("zero", 0)
    ask("negative", -1)
    ask("validate only", 4, validate_only=True)
    for version in (0, 1, 2, 3):
        ask(f"v{version}", 3 + version, version=version)
    ask("unknown", 4, "parity-none")
    ask("assigned", 7, assignments=[{"broker_ids": [1]}])
    ask("too few assigned", 9, assignments=[{"broker_ids": [1]}])
    ask("unknown broker", 8, assignments=[{"broker_ids": [9]}])
    ask("two replicas", 8, assignments=[{"broker_ids": [1, 1]}])
    ask("twice", 0, topics=[{"name": "parity-more", "count": 9, "assignments": None}] * 2)


def changes(type_, name, *entries):
    return {"resource_type": type_, "resource_name": name, "configs": [
        {"name": n, "config_operation": op, "value": v} for n, op, v in entries]}


def barrier(s):
    """A function that returns once the broker answers from all that was changed before: Kafka answers a
    change when it is decided, and describes from an image that follows."""
    topic, count = f"parity-barrier-{s.case}", 0
    create(s, topic)

    def wait():
        nonlocal count
        count += 1
        s.call("IncrementalAlterConfigs", 1, {"resources": [changes(TOPIC, topic, ("segment.ms", SET, str(10**8 + count)))]})
        for _ in range(200):
            answer = s.call("DescribeConfigs", 4, {"resources": [{
                "resource_type": TOPIC, "resource_name": topic, "configuration_keys": ["segment.ms"]}]})
            if answer["results"][0]["configs"][0]["value"] == str(10**8 + count):
                return
            time.sleep(0.02)
    return wait


def case_incremental_alter_configs(s):
    create(s, "parity-alter")
    settle = barrier(s)

    def ask(label, *resources, version=1, validate_only=False):
        s.ask(label, "IncrementalAlterConfigs", version, validate_only=validate_only, resources=list(resources))
        settle()
        answer = s.call("DescribeConfigs", 4, {"resources": [{
            "resource_type": TOPIC, "resource_name": "parity-alter", "configuration_keys": None}]})
        s.keep(label + ", then", sorted(f"{c['name']}={c['value']}" for c in answer["results"][0]["configs"]
                                        if c["config_source"] == 1))

    def topic(*entries, name="parity-alter"):
        return changes(TOPIC, name, *entries)
    ask("set v0", topic(("retention.ms", SET, "1000")), version=0)
    ask("set", topic(("retention.ms", SET, "2000"), ("max.message.bytes", SET, "5000")))
    ask("set bad", topic(("retention.ms", SET, "soon")))
    ask("set unknown", topic(("no.such", SET, "1")))
    ask("set null", topic(("retention.ms", SET, None)))
    ask("good and bad", topic(("retention.ms", SET, "3000"), ("segment.bytes", SET, "x")))
    ask("append to list", topic(("cleanup.policy", APPEND, "compact")))
    ask("append again", topic(("cleanup.policy", APPEND, "compact")))
    ask("subtract", topic(("cleanup.policy", SUBTRACT, "delete")))
    ask("append bad", topic(("cleanup.policy", APPEND, "shred")))
    ask("append to number", topic(("retention.ms", APPEND, "5")))
    ask("delete", topic(("retention.ms", DELETE, None)))
    ask("delete with value", topic(("max.message.bytes", DELETE, "7")))
    ask("delete absent", topic(("flush.ms", DELETE, None)))
    ask("delete unknown", topic(("no.such", DELETE, None)))
    ask("odd operation", topic(("retention.ms", 9, "5")))
    ask("key twice", topic(("retention.ms", SET, "1"), ("retention.ms", SET, "2")))
    ask("resource twice", topic(("retention.ms", SET, "1")), topic(("segment.ms", SET, "9999999")))
    ask("validate only", topic(("retention.ms", SET, "77")), validate_only=True)
    ask("validate only bad", topic(("retention.ms", SET, "x")), validate_only=True)
    ask("unknown topic", topic(("retention.ms", SET, "1"), name="parity-none"))
    ask("bad topic name", topic(("retention.ms", SET, "1"), name="a b"))
    ask("no entries", topic())
    ask("no resources")
    ask("odd type", changes(77, "x", ("a", SET, "1")))
    ask("type zero", changes(0, "x", ("a", SET, "1")))
    ask("broker, read only", changes(BROKER, "1", ("node.id", SET, "5")))
    ask("broker, unknown id", changes(BROKER, "99", ("log.cleaner.threads", SET, "2")))
    ask("broker, no number", changes(BROKER, "one", ("log.cleaner.threads", SET, "2")))
    ask("broker", changes(BROKER, "1", ("log.cleaner.threads", SET, "2")))
    ask("broker, bad", changes(BROKER, "1", ("log.cleaner.threads", SET, "many")))
    ask("broker, back", changes(BROKER, "1", ("log.cleaner.threads", DELETE, None)))
    ask("all brokers", changes(BROKER, "", ("log.retention.ms", SET, "86400000")))
    ask("all brokers, one broker's", changes(BROKER, "", ("listeners", SET, "PLAINTEXT://:1")))
    ask("all brokers, back", changes(BROKER, "", ("log.retention.ms", DELETE, None)))
    ask("group", changes(GROUP, "parity-group", ("consumer.session.timeout.ms", SET, "50000")))
    ask("group, out of bounds", changes(GROUP, "parity-group", ("consumer.session.timeout.ms", SET, "1")))
    ask("group, unknown", changes(GROUP, "parity-group", ("no.such", SET, "1")))
    ask("group, empty name", changes(GROUP, "", ("consumer.session.timeout.ms", SET, "50000")))
    ask("broker 5000 characters", topic(("follower.replication.throttled.replicas", SET, "1:1," * 9000)))


def case_alter_configs(s):
    create(s, "parity-replace", retention_ms="1000")
    settle = barrier(s)

    def ask(label, entries, name="parity-replace", type_=TOPIC, version=2, **more):
        s.ask(label, "AlterConfigs", version, resources=[{"resource_type": type_, "resource_name": name,
              "configs": [{"name": n, "value": v} for n, v in entries]}], **more)
        settle()
        answer = s.call("DescribeConfigs", 4, {"resources": [{
            "resource_type": TOPIC, "resource_name": "parity-replace", "configuration_keys": None}]})
        s.keep(label + ", then", sorted(f"{c['name']}={c['value']}" for c in answer["results"][0]["configs"]
                                        if c["config_source"] == 1))
    ask("replace", [("segment.ms", "100000")])
    ask("v0", [("segment.ms", "200000"), ("retention.ms", "5")], version=0)
    ask("bad", [("segment.ms", "x")])
    ask("null", [("segment.ms", None)])
    ask("key twice", [("segment.ms", "1000000"), ("segment.ms", "2000000")])
    ask("bad topic name", [("segment.ms", "5")], name="a b")
    ask("validate only", [("segment.ms", "5")], validate_only=True)
    ask("unknown", [("segment.ms", "5")], name="parity-none")
    ask("empty", [])
    ask("odd type", [("a", "b")], type_=99)


def case_describe_configs(s):
    create(s, "parity-shown", retention_ms="1000", cleanup_policy="compact,delete")

    def ask(label, type_, name, keys, version=4, **more):
        s.ask(label, "DescribeConfigs", version, resources=[
            {"resource_type": type_, "resource_name": name, "configuration_keys": keys}], **more)
    two = ["retention.ms", "cleanup.policy", "segment.bytes"]
    for version in (1, 2, 3, 4):
        ask(f"v{version}", TOPIC, "parity-shown", two, version)
    ask("synonyms", TOPIC, "parity-shown", two, include_synonyms=True)
    answer = s.call("DescribeConfigs", 4, {"resources": [{
        "resource_type": TOPIC, "resource_name": "parity-shown", "configuration_keys": None}], "include_synonyms": True})
    for entry in answer["results"][0]["configs"]:
        # The file of this broker may set what stands behind a topic's config: what counts is the topic's own row.
        s.keep(f"topic config {entry['name']}", {k: entry[k] for k in (
            "value", "read_only", "config_source", "is_sensitive", "config_type")})
    ask("unknown key", TOPIC, "parity-shown", ["no.such"])
    ask("no keys", TOPIC, "parity-none", [])
    ask("unknown topic", TOPIC, "parity-none", two)
    ask("bad name", TOPIC, "a b", two)
    ask("odd type", 99, "x", two)
    ask("type zero", 0, "x", None)
    ask("broker, some", BROKER, "1", ["log.retention.hours", "num.partitions", "message.max.bytes", "node.id"])
    ask("other broker", BROKER, "99", ["num.partitions"])
    ask("all brokers", BROKER, "", ["num.partitions"])
    ask("no number", BROKER, "x", ["num.partitions"])
    answer = s.call("DescribeConfigs", 4, {"resources": [{
        "resource_type": GROUP, "resource_name": "parity-group-shown", "configuration_keys": None}]})
    for entry in answer["results"][0]["configs"]:
        s.keep(f"group config {entry['name']}", s.comparable(entry))
    ask("group, empty", GROUP, "", None)
    ask("unknown metrics", METRICS, "parity-metrics", None)
    s.ask("nothing", "DescribeConfigs", 4, resources=[])


def case_list_config_resources(s):
    s.needs("ListConfigResources")
    settle = barrier(s)
    s.call("IncrementalAlterConfigs", 1, {"resources": [changes(GROUP, "parity-listed", (
        "consumer.heartbeat.interval.ms", SET, "6000"))]})
    settle()
    s.ask("v0", "ListConfigResources", 0)
    for label, types in (("brokers", [BROKER]), ("loggers", [LOGGER]), ("metrics", [METRICS]),
                         ("odd", [99]), ("twice", [BROKER, BROKER])):
        s.ask(label, "ListConfigResources", 1, resource_types=types)
    answer = s.call("ListConfigResources", 1, {"resource_types": [GROUP]})
    s.keep("group", [r for r in answer["config_resources"] if r["resource_name"] == "parity-listed"])


def case_metadata(s):
    topic_id = create(s, "parity-meta", 2)
    for version in range(0, 14):
        s.ask(f"v{version}", "Metadata", version, topics=[{"name": "parity-meta"}],
              **({"allow_auto_topic_creation": False} if version >= 4 else {}))
    no = {"allow_auto_topic_creation": False}
    s.ask("unknown", "Metadata", 12, topics=[{"name": "parity-none"}], **no)
    s.ask("bad name", "Metadata", 12, topics=[{"name": "a b"}], **no)
    s.ask("bad name, creating", "Metadata", 12, topics=[{"name": "a b"}], allow_auto_topic_creation=True)
    s.ask("empty name", "Metadata", 12, topics=[{"name": ""}], **no)
    s.ask("none", "Metadata", 12, topics=[], **no)
    s.ask("by id", "Metadata", 12, topics=[{"name": None, "topic_id": topic_id}], **no)
    s.ask("unknown id", "Metadata", 12, topics=[{"name": None, "topic_id": "78" * 16}], **no)
    s.ask("id and name", "Metadata", 12, topics=[{"name": "parity-meta", "topic_id": topic_id}], **no)
    s.ask("null name", "Metadata", 12, topics=[{"name": None}], **no)
    s.ask("null name v10", "Metadata", 10, topics=[{"name": None}], **no)
    s.ask("id v10", "Metadata", 10, topics=[{"name": None, "topic_id": topic_id}], **no)
    s.ask("twice", "Metadata", 12, topics=[{"name": "parity-meta"}] * 2, **no)
    s.ask("operations", "Metadata", 12, topics=[{"name": "parity-meta"}],
          include_topic_authorized_operations=True, **no)
    s.ask("cluster operations v8", "Metadata", 8, topics=[{"name": "parity-meta"}],
          include_cluster_authorized_operations=True, **no)
    s.ask_until("made on demand", "Metadata", 12, lambda a: a["topics"][0]["error_code"] == 0,
                topics=[{"name": "parity-auto"}], allow_auto_topic_creation=True)
    s.ask("describe partitions", "DescribeTopicPartitions", 0, topics=[{"name": "parity-meta"}, {"name": "parity-none"}])
    s.ask("describe, limited", "DescribeTopicPartitions", 0, topics=[{"name": "parity-meta"}], response_partition_limit=1)
    s.ask("describe, cursor", "DescribeTopicPartitions", 0, topics=[{"name": "parity-meta"}],
          cursor={"topic_name": "parity-meta", "partition_index": 1})
    s.ask("describe, bad cursor", "DescribeTopicPartitions", 0, topics=[{"name": "parity-meta"}],
          cursor={"topic_name": "parity-meta", "partition_index": -1})
    s.ask("describe, limit zero", "DescribeTopicPartitions", 0, topics=[{"name": "parity-meta"}], response_partition_limit=0)


def case_describe_cluster(s):
    for version in (0, 1, 2):
        s.ask(f"v{version}", "DescribeCluster", version)
    s.ask("operations", "DescribeCluster", 1, include_cluster_authorized_operations=True)
    for kind in (0, 2, 3):
        s.ask(f"endpoints {kind}", "DescribeCluster", 1, endpoint_type=kind)
    s.ask("fenced too", "DescribeCluster", 2, include_fenced_brokers=True)


def case_quotas(s):
    s.needs("AlterClientQuotas", "DescribeClientQuotas")
    settle = barrier(s)

    def entity(**parts):
        return [{"entity_type": k.replace("_", "-"), "entity_name": v} for k, v in parts.items()]

    def alter(label, entity_, *ops, version=1, **more):
        s.ask(label, "AlterClientQuotas", version, entries=[{"entity": entity_, "ops": [
            {"key": k, "value": v or 0.0, "remove": v is None} for k, v in ops]}], **more)

    def describe(label, *components, strict=False, version=1):
        s.ask(label, "DescribeClientQuotas", version, strict=strict, components=[
            {"entity_type": t, "match_type": m, "match": name} for t, m, name in components])
    alter("user", entity(user="parity"), ("producer_byte_rate", 1e6), ("consumer_byte_rate", 2e6))
    alter("client v0", entity(client_id="parity"), ("request_percentage", 55.5), version=0)
    alter("user and client", entity(user="parity", client_id="parity"), ("producer_byte_rate", 3e6))
    alter("default user", entity(user=None), ("producer_byte_rate", 4e6))
    alter("ip", entity(ip="127.0.0.9"), ("connection_creation_rate", 50.0))
    alter("ip and user", entity(ip="127.0.0.9", user="parity"), ("connection_creation_rate", 50.0))
    alter("ip of nowhere", entity(ip="not an address"), ("connection_creation_rate", 50.0))
    alter("ip, wrong key", entity(ip="127.0.0.9"), ("producer_byte_rate", 5.0))
    alter("user, wrong key", entity(user="parity"), ("connection_creation_rate", 5.0))
    alter("unknown key", entity(user="parity"), ("no_such", 5.0))
    alter("unknown entity", entity(planet="mars"), ("producer_byte_rate", 5.0))
    alter("no entity", [], ("producer_byte_rate", 5.0))
    alter("entity twice", entity(user="a") + entity(user="b"), ("producer_byte_rate", 5.0))
    alter("empty user", entity(user=""), ("producer_byte_rate", 5.0))
    alter("negative", entity(user="parity"), ("producer_byte_rate", -5.0))
    alter("fraction of bytes", entity(user="parity"), ("producer_byte_rate", 5.5))
    alter("zero", entity(user="parity"), ("producer_byte_rate", 0.0))
    alter("validate only", entity(user="parity-unmade"), ("producer_byte_rate", 5.0), validate_only=True)
    settle()
    describe("of user", ("user", 0, "parity"))
    describe("user strict", ("user", 0, "parity"), strict=True)
    describe("user v0", ("user", 0, "parity"), version=0)
    describe("of default user", ("user", 1, None))
    describe("any user", ("user", 2, None))
    describe("of user and client", ("user", 0, "parity"), ("client-id", 0, "parity"))
    describe("of ip", ("ip", 2, None))
    describe("of ip and user", ("ip", 2, None), ("user", 2, None))
    describe("unknown type", ("planet", 2, None))
    describe("type twice", ("user", 2, None), ("user", 2, None))
    describe("odd match", ("user", 9, None))
    describe("exact without name", ("user", 0, None))
    describe("empty type", ("", 0, "x"))
    alter("remove", entity(user="parity"), ("producer_byte_rate", None), ("consumer_byte_rate", None))
    alter("remove absent", entity(user="parity"), ("producer_byte_rate", None))
    settle()
    describe("after removal", ("user", 0, "parity"), strict=True)
    alter("clean up", entity(client_id="parity"), ("request_percentage", None))
    alter("clean up default", entity(user=None), ("producer_byte_rate", None))


def case_scram(s):
    s.needs("DescribeUserScramCredentials")
    for label, names in (("all", None), ("none", []), ("one", ["parity"]), ("empty name", [""]),
                         ("twice", ["parity", "other", "parity"])):
        s.ask(label, "DescribeUserScramCredentials", 0, users=None if names is None else [{"name": n} for n in names])


def case_log_dirs(s):
    s.needs("DescribeLogDirs")
    create(s, "parity-dirs", 2)
    s.call("Produce", 9, produce_body("parity-dirs", values("a")))
    for version in (1, 2, 3, 4, 5):
        if version > s.apis[message.API_KEYS["DescribeLogDirs"]][1]:
            continue
        answer = s.call("DescribeLogDirs", version, {"topics": [{"topic": "parity-dirs", "partitions": [0, 1, 9]},
                                                                {"topic": "parity-none", "partitions": [0]}]})
        seen = [(r["error_code"], [(t["name"], sorted((p["partition_index"], p["offset_lag"], p["is_future_key"])
                                                       for p in t["partitions"])) for t in r["topics"]],
                 sorted(r)) for r in answer["results"]]
        s.keep(f"v{version}", seen)
    answer = s.call("DescribeLogDirs", 4, {"topics": []})
    s.keep("no topics", [(r["error_code"], len(r["topics"])) for r in answer["results"]])


def case_alter_replica_log_dirs(s):
    s.needs("AlterReplicaLogDirs")
    create(s, "parity-moved", 2)
    here = s.call("DescribeLogDirs", 4, {"topics": []})["results"][0]["log_dir"]
    for label, path, topic, partition in (("unknown folder", "/no/such", "parity-moved", 0), ("where it is", here, "parity-moved", 0),
                                          ("unknown topic", here, "parity-none", 0), ("relative", "x", "parity-moved", 0)):
        s.ask(label, "AlterReplicaLogDirs", 2, dirs=[{"path": path, "topics": [{"name": topic, "partitions": [partition]}]}])
