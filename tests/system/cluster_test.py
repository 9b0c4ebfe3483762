"""Three brokers on etcd: what one asks of another. Groups, transactions and topics are the same
whichever broker is asked; markers reach partitions led elsewhere; health says what is wrong."""
import json
import shutil
import unittest

from confluent_kafka import Consumer, Producer, TopicPartition

from tests.harness.cluster import Cluster, wait_for

PARTITIONS = 6
RECORDS = 300


@unittest.skipIf(shutil.which("etcd") is None, "etcd is not installed")
class ClusterTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(3, "--set", "auto.create.topics.enable=false",
                              "--set", "offsets.topic.replication.factor=3",
                              "--set", "transaction.state.log.replication.factor=3")
        cls.addClassCleanup(cls.cluster.__exit__, None)
        cls.cluster.__enter__()

    def client(self, **options):
        return {"bootstrap.servers": self.cluster.addresses, "log_level": 0,
                **{key.replace("_", "."): value for key, value in options.items()}}

    def produce(self, topic, count, **options):
        failed = []
        producer = Producer(self.client(message_timeout_ms=60000, **options))
        for i in range(count):
            producer.produce(topic, str(i).encode(), partition=i % PARTITIONS,
                             on_delivery=lambda error, _: error and failed.append(str(error)))
        self.assertEqual(producer.flush(60), 0)
        self.assertEqual(failed, [])

    def read(self, topic, count, **options):
        consumer = Consumer(self.client(group_id="reader-of-" + topic, enable_auto_commit=False,
                                        **options))
        try:
            consumer.assign([TopicPartition(topic, i, 0) for i in range(PARTITIONS)])
            values = []
            wait_for(lambda: values.extend(message.value() for message in consumer.consume(500, 0.5)
                                           if message.error() is None) or len(values) >= count,
                     f"{count} records")
            return values
        finally:
            consumer.close()

    def test_groups_are_the_same_whoever_is_asked(self):
        topic = "grouped"
        self.cluster.create_topic(topic, PARTITIONS, 1) # so that most are led elsewhere
        self.produce(topic, RECORDS)
        names = [f"group-{i}" for i in range(12)]
        for name in names:
            consumer = Consumer(self.client(group_id=name))
            wait_for(lambda at=consumer: self.commits(at, topic), "a commit", 90)
            consumer.close()
        for broker in self.cluster.brokers:
            listed = json.loads(broker.qtool("group", "list", "-o", "json").stdout)["groups"]
            self.assertEqual([row["group"] for row in listed
                              if row["group"].startswith("group-")], sorted(names))
            for name in names[:4]:
                status, group = broker.http("GET", f"/v1/groups/{name}")
                self.assertEqual(status, 200, group)
                self.assertEqual(len(group["offsets"]), PARTITIONS)
                for offset in group["offsets"]:
                    self.assertEqual(offset["high_watermark"], RECORDS // PARTITIONS)
                    self.assertEqual(offset["lag"], RECORDS // PARTITIONS - 10)
        for broker, name in zip(self.cluster.brokers * 4, names):
            self.assertEqual(broker.http("DELETE", f"/v1/groups/{name}")[0], 204)
        _, left = self.cluster.brokers[0].http("GET", "/v1/groups")
        self.assertFalse({row["group"] for row in left["groups"]} & set(names))

    @staticmethod
    def commits(consumer, topic):
        try:
            consumer.commit(offsets=[TopicPartition(topic, i, 10) for i in range(PARTITIONS)],
                            asynchronous=False)
            return True
        except Exception: # the internal topic is being made, or its coordinator loads
            return False

    def test_transactions_end_in_partitions_of_all_brokers(self):
        topic = "transacted"
        self.cluster.create_topic(topic, PARTITIONS, 1)
        producers = [Producer(self.client(transactional_id=f"txn-{i}")) for i in range(4)]
        for i, producer in enumerate(producers):
            producer.init_transactions(60)
            producer.begin_transaction()
            for k in range(PARTITIONS * 5):
                producer.produce(topic, f"{i}-{k}".encode(), partition=k % PARTITIONS)
            if i % 2 == 0:
                producer.commit_transaction(60)
            else:
                producer.flush(60)
                producer.abort_transaction(60)
        values = self.read(topic, 2 * PARTITIONS * 5, isolation_level="read_committed")
        self.assertEqual(sorted(values), sorted(f"{i}-{k}".encode() for i in (0, 2)
                                                for k in range(PARTITIONS * 5)))
        for broker in self.cluster.brokers:
            def states(at=broker):
                rows = json.loads(at.qtool("txn", "list", "-o", "json").stdout)["transactions"]
                return {row["transactional_id"]: row["state"] for row in rows
                        if row["transactional_id"].startswith("txn-")}
            wait_for(lambda: states() == {"txn-0": "CompleteCommit", "txn-1": "CompleteAbort",
                                          "txn-2": "CompleteCommit", "txn-3": "CompleteAbort"},
                     "all markers are in")
            broker.qtool("txn", "describe", "txn-1")

    def test_offsets_go_with_a_transaction_of_another_coordinator(self):
        topic = "offset-source"
        self.cluster.create_topic(topic, PARTITIONS, 1)
        self.produce(topic, RECORDS)
        # Enough pairs of a group and a transactional id that most have two brokers.
        for i in range(6):
            consumer = Consumer(self.client(group_id=f"moved-{i}"))
            wait_for(lambda at=consumer: self.commits(at, topic), "a commit", 90)
            producer = Producer(self.client(transactional_id=f"mover-{i}"))
            producer.init_transactions(60)
            for offset, ends in ((20, producer.commit_transaction),
                                 (30, producer.abort_transaction)):
                producer.begin_transaction()
                producer.send_offsets_to_transaction(
                    [TopicPartition(topic, p, offset) for p in range(PARTITIONS)],
                    consumer.consumer_group_metadata(), 60)
                ends(60)
            consumer.close()
        for broker in self.cluster.brokers:
            for i in range(6):
                def offsets(at=broker, name=f"moved-{i}"):
                    _, group = at.http("GET", f"/v1/groups/{name}")
                    return [one["offset"] for one in group["offsets"]]
                wait_for(lambda: offsets() == [20] * PARTITIONS, "the committed ones count")

    def test_a_topic_shows_each_replica(self):
        topic = "replicated"
        self.cluster.create_topic(topic, PARTITIONS, 3)
        self.produce(topic, RECORDS, acks="all")
        for broker in self.cluster.brokers:
            def described(at=broker):
                _, found = at.http("GET", f"/v1/topics/{topic}")
                return found["partitions"] if all(
                    replica["lag"] == 0 and replica["in_sync"] and replica["live"]
                    for partition in found["partitions"]
                    for replica in partition["replica_states"]) else None
            partitions = wait_for(described, "no replica lacks a record")
            for partition in partitions:
                self.assertEqual(len(partition["replica_states"]), 3)
                self.assertEqual(partition["log_start_offset"], 0)
                self.assertEqual(partition["log_end_offset"], RECORDS // PARTITIONS)
                self.assertEqual(partition["high_watermark"], RECORDS // PARTITIONS)
                for replica in partition["replica_states"]:
                    self.assertGreater(replica["size_bytes"], 0)
        text = self.cluster.brokers[0].qtool("topic", "describe", topic).stdout.decode()
        self.assertIn("in sync", text)

    def test_health_says_what_is_wrong(self):
        self.cluster.create_topic("watched", PARTITIONS, 3)
        first, _, third = self.cluster.brokers
        wait_for(lambda: first.qtool("cluster", "health", check=False).returncode == 0, "healthy")
        self.assertEqual(first.qtool("cluster", "health").stdout, b"healthy\n")
        third.kill()
        wait_for(lambda: b"broker 3 (" in first.qtool("cluster", "health", check=False).stdout,
                 "broker 3 is missed")
        self.assertEqual(first.qtool("cluster", "health", check=False).returncode, 8)
        self.assertEqual(first.qtool("cluster", "status", check=False).returncode, 8)
        self.assertIn(b"dead", first.qtool("cluster", "brokers").stdout)
        third.restart()
        wait_for(lambda: first.qtool("cluster", "health", check=False).returncode == 0,
                 "healthy again", 90)


if __name__ == "__main__":
    unittest.main()
