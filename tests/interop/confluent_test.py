"""librdkafka by Debian's Python binding against qbroker: producer, consumer by assign(), admin."""
import threading
import time
import unittest

from confluent_kafka import (OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException,
                             Producer, TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME,
                             TopicPartition)
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic

from tests.harness.broker import Broker


class ConfluentTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = cls.enterClassContext(Broker())
        cls.admin = AdminClient({"bootstrap.servers": cls.broker.address, "log_level": 0})

    def create(self, topic, partitions=1, **configs):
        self.broker.create_topic(topic, partitions, **configs)
        return topic

    def producer(self, **options):
        return Producer({"bootstrap.servers": self.broker.address, "linger.ms": 2, "log_level": 0,
                         "message.timeout.ms": 30000,
                         **{key.replace("_", "."): value for key, value in options.items()}})

    def consumer(self, **options):
        consumer = Consumer({"bootstrap.servers": self.broker.address, "group.id": "unused",
                             "log_level": 0, "enable.auto.commit": False,
                             "enable.partition.eof": True, "check.crcs": True, "auto.offset.reset": "error",
                             **{key.replace("_", "."): value for key, value in options.items()}})
        self.addCleanup(consumer.close)
        return consumer

    def produce(self, producer, topic, values, **arguments):
        """Produces and waits; returns the messages as delivered, errors and all."""
        delivered = []
        for value in values:
            while True:
                try:
                    producer.produce(topic, value, on_delivery=lambda _, m: delivered.append(m),
                                     **arguments)
                    break
                except BufferError:
                    producer.poll(0.05)
        self.assertEqual(producer.flush(60), 0)
        return delivered

    def read(self, consumer, count, timeout_s=30):
        """Records until `count` of them came; an error fails, ends of partitions do not count."""
        records = []
        deadline = time.monotonic() + timeout_s
        while len(records) < count and time.monotonic() < deadline:
            for message in consumer.consume(count - len(records), 0.5):
                if message.error() is None:
                    records.append(message)
                elif message.error().code() != KafkaError._PARTITION_EOF:
                    self.fail(str(message.error()))
        self.assertEqual(len(records), count)
        return records

    def admin_error(self, futures):
        """The error code of the only future; None when it succeeded."""
        (future,) = futures.values()
        try:
            future.result(30)
            return None
        except KafkaException as error:
            return error.args[0].code()

    # ---- producing and consuming

    def test_idempotent_producer_with_every_codec(self):
        topic = self.create("codecs", 4)
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            producer = self.producer(enable_idempotence=True, compression_type=codec)
            for partition in range(4):
                done = self.produce(producer, topic, (f"{codec} {n} " + "z" * 60
                                                      for n in range(3000)), partition=partition)
                self.assertEqual([m.error() for m in done if m.error()], [])
        for partition in range(4):
            consumer = self.consumer()
            consumer.assign([TopicPartition(topic, partition, 0)])
            records = self.read(consumer, 15000)
            self.assertEqual([m.offset() for m in records], list(range(15000)))
            self.assertEqual([m.value().decode() for m in records],
                             [f"{codec} {n} " + "z" * 60
                              for codec in ("none", "gzip", "snappy", "lz4", "zstd")
                              for n in range(3000)])

    def test_keys_headers_times_and_empty_things(self):
        topic = self.create("things", 3)
        producer = self.producer()
        headers = [("a", b"1"), ("a", b"2"), ("empty", b""), ("null", None)]
        at_ms = int(time.time() * 1000) - 5000
        self.produce(producer, topic, ["value"], key=b"k\x00\xff", headers=headers,
                     timestamp=at_ms, partition=1)
        self.produce(producer, topic, [None], key="", partition=1)
        self.produce(producer, topic, [b""], partition=1)
        consumer = self.consumer()
        consumer.assign([TopicPartition(topic, 1, OFFSET_BEGINNING)])
        one, two, three = self.read(consumer, 3)
        self.assertEqual((one.key(), one.value(), one.headers()), (b"k\x00\xff", b"value", headers))
        self.assertEqual(one.timestamp(), (TIMESTAMP_CREATE_TIME, at_ms))
        self.assertEqual((two.key(), two.value(), two.headers()), (b"", None, None))
        self.assertEqual((three.key(), three.value()), (None, b""))

    def test_records_of_one_key_stay_in_order_in_one_partition(self):
        topic = self.create("keyed", 5)
        producer = self.producer(enable_idempotence=True)
        for n in range(2000):
            producer.produce(topic, str(n), key=f"key-{n % 17}")
        self.assertEqual(producer.flush(30), 0)
        consumer = self.consumer()
        consumer.assign([TopicPartition(topic, p, 0) for p in range(5)])
        partitions, last = {}, {}
        for message in self.read(consumer, 2000):
            key, number = message.key(), int(message.value())
            self.assertEqual(partitions.setdefault(key, message.partition()), message.partition())
            self.assertGreater(number, last.get(key, -1))
            last[key] = number
        self.assertEqual(len(partitions), 17)

    def test_assign_seek_pause_and_positions(self):
        topic = self.create("seek", 2)
        producer = self.producer()
        self.produce(producer, topic, map(str, range(100)), partition=0)
        self.produce(producer, topic, map(str, range(100)), partition=1)
        consumer = self.consumer()
        consumer.assign([TopicPartition(topic, 0, 40)])
        self.assertEqual(self.read(consumer, 1)[0].value(), b"40")
        consumer.seek(TopicPartition(topic, 0, 90))
        self.assertEqual([m.value() for m in self.read(consumer, 10)],
                         [str(n).encode() for n in range(90, 100)])
        self.assertEqual(consumer.position([TopicPartition(topic, 0)])[0].offset, 100)
        consumer.assign([TopicPartition(topic, 0, 0), TopicPartition(topic, 1, 50)])
        # librdkafka takes an assignment up in the background, and that lifts a pause: a first record
        # says that it is in force.
        records = self.read(consumer, 1)
        consumer.pause([TopicPartition(topic, 0)])
        early = sum(m.partition() == 0 for m in records)
        records += self.read(consumer, 50 + early - len(records))
        self.assertEqual([m.partition() for m in records[early:]], [1] * 50)
        consumer.resume([TopicPartition(topic, 0)])
        self.assertEqual({m.partition() for m in self.read(consumer, 100 - early)}, {0})
        self.assertEqual(consumer.get_watermark_offsets(TopicPartition(topic, 1), 10), (0, 100))

    def test_offsets_by_time(self):
        topic = self.create("times")
        start_ms = int(time.time() * 1000) - 100_000
        producer = self.producer()
        for n in range(100):
            producer.produce(topic, str(n), timestamp=start_ms + n * 1000)
        self.assertEqual(producer.flush(30), 0)
        consumer = self.consumer()
        for asked_ms, offset in ((0, 0), (start_ms + 42_000, 42), (start_ms + 42_001, 43),
                                 (start_ms + 99_001, OFFSET_END)):
            found = consumer.offsets_for_times([TopicPartition(topic, 0, asked_ms)], 10)
            self.assertEqual(found[0].offset, offset, asked_ms)

    def test_the_end_and_records_that_come_while_waiting(self):
        topic = self.create("tail")
        producer = self.producer()
        self.produce(producer, topic, ["old"])
        consumer = self.consumer()
        consumer.assign([TopicPartition(topic, 0, OFFSET_END)])
        message = consumer.poll(20)
        self.assertEqual((message.error().code(), message.offset()), (KafkaError._PARTITION_EOF, 1))
        timer = threading.Timer(0.3, lambda: self.produce(producer, topic, ["new"]))
        timer.start()
        self.addCleanup(timer.join)
        self.assertEqual(self.read(consumer, 1)[0].value(), b"new")

    def test_read_committed_sees_plain_records(self):
        topic = self.create("committed")
        self.produce(self.producer(), topic, map(str, range(10)))
        consumer = self.consumer(isolation_level="read_committed")
        consumer.assign([TopicPartition(topic, 0, 0)])
        self.assertEqual(len(self.read(consumer, 10)), 10)

    def test_an_offset_out_of_range_is_an_error_or_resets(self):
        topic = self.create("range")
        self.produce(self.producer(), topic, map(str, range(10)))
        consumer = self.consumer()
        consumer.assign([TopicPartition(topic, 0, 11)])
        message = consumer.poll(20)
        self.assertEqual(message.error().code(), KafkaError._AUTO_OFFSET_RESET)
        consumer = self.consumer(auto_offset_reset="earliest")
        consumer.assign([TopicPartition(topic, 0, 11)])
        self.assertEqual(self.read(consumer, 1)[0].offset(), 0)

    def test_many_partitions_in_one_fetch(self):
        topic = self.create("wide", 60)
        producer = self.producer()
        for n in range(6000):
            producer.produce(topic, b"w" * 500, partition=n % 60)
        self.assertEqual(producer.flush(30), 0)
        consumer = self.consumer(fetch_max_bytes=100_000, message_max_bytes=100_000)
        consumer.assign([TopicPartition(topic, p, 0) for p in range(60)])
        seen = {}
        for message in self.read(consumer, 6000):
            seen.setdefault(message.partition(), []).append(message.offset())
        self.assertEqual(seen, {p: list(range(100)) for p in range(60)})

    def test_several_producers_and_consumers_at_once(self):
        topic = self.create("busy", 2)
        failures = []

        def produce(number):
            producer = self.producer(enable_idempotence=True)
            done = self.produce(producer, topic, (f"{number} {n}" for n in range(2000)),
                                partition=number % 2)
            failures.extend(str(m.error()) for m in done if m.error())

        threads = [threading.Thread(target=produce, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        consumers = [self.consumer() for _ in range(2)]
        for partition, consumer in enumerate(consumers):
            consumer.assign([TopicPartition(topic, partition, 0)])
            expected = {}
            for message in self.read(consumer, 6000):
                number, n = map(int, message.value().split())
                self.assertEqual(n, expected.get(number, 0), f"order of producer {number}")
                expected[number] = n + 1
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    # ---- what the broker refuses

    def test_records_that_are_too_large_or_of_a_wrong_time_fail_alone(self):
        topic = self.create("strict", max_message_bytes="2000")
        producer = self.producer(linger_ms=0)
        (small,) = self.produce(producer, topic, ["ok"])
        self.assertIsNone(small.error())
        (large,) = self.produce(producer, topic, ["x" * 3000])
        self.assertEqual(large.error().code(), KafkaError.MSG_SIZE_TOO_LARGE)
        (late,) = self.produce(producer, topic, ["later"],
                               timestamp=int(time.time() * 1000) + 7_200_000)
        self.assertEqual(late.error().code(), KafkaError.INVALID_TIMESTAMP)
        (after,) = self.produce(producer, topic, ["ok again"])
        self.assertEqual((after.error(), after.offset()), (None, 1))

    def test_log_append_time(self):
        topic = self.create("stamped", message_timestamp_type="LogAppendTime")
        before_ms = int(time.time() * 1000)
        self.produce(self.producer(), topic, ["a"], timestamp=1)
        consumer = self.consumer()
        consumer.assign([TopicPartition(topic, 0, 0)])
        kind, at_ms = self.read(consumer, 1)[0].timestamp()
        self.assertEqual(kind, TIMESTAMP_LOG_APPEND_TIME)
        self.assertGreaterEqual(at_ms, before_ms)

    def test_unknown_topics_and_partitions(self):
        consumer = self.consumer()
        with self.assertRaises(KafkaException) as caught:
            consumer.get_watermark_offsets(TopicPartition("nowhere", 0), 5)
        self.assertIn(caught.exception.args[0].code(),
                      (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION,
                       KafkaError._UNKNOWN_TOPIC))
        topic = self.create("one-partition")
        (message,) = self.produce(self.producer(message_timeout_ms=3000), topic, ["x"],
                                  partition=5)
        self.assertIsNotNone(message.error())

    # ---- administration

    def test_create_and_list_topics(self):
        topics = [NewTopic("made-a", 2, 1),
                  NewTopic("made-b", 7, 1, config={"retention.ms": "1000"})]
        for future in self.admin.create_topics(topics, operation_timeout=10).values():
            future.result(30)
        listed = self.admin.list_topics(timeout=10)
        self.assertEqual(len(listed.topics["made-a"].partitions), 2)
        self.assertEqual(sorted(listed.topics["made-b"].partitions), list(range(7)))
        partition = listed.topics["made-b"].partitions[3]
        self.assertEqual((partition.leader, partition.replicas, partition.isrs, partition.error),
                         (listed.controller_id, [listed.controller_id], [listed.controller_id],
                          None))
        self.assertEqual([(b.host, b.port) for b in listed.brokers.values()],
                         [("127.0.0.1", self.broker.port)])
        self.assertTrue(listed.cluster_id)

    def test_topics_that_cannot_be(self):
        self.create("exists")
        for topic, code in ((NewTopic("exists", 1, 1), KafkaError.TOPIC_ALREADY_EXISTS),
                            (NewTopic("bad name", 1, 1), KafkaError.TOPIC_EXCEPTION),
                            (NewTopic("..", 1, 1), KafkaError.TOPIC_EXCEPTION),
                            (NewTopic("x" * 250, 1, 1), KafkaError.TOPIC_EXCEPTION),
                            (NewTopic("no-broker", 1, 3), KafkaError.INVALID_REPLICATION_FACTOR),
                            (NewTopic("odd", 1, 1, config={"no.such": "1"}),
                             KafkaError.INVALID_CONFIG),
                            (NewTopic("odd", 1, 1, config={"retention.ms": "soon"}),
                             KafkaError.INVALID_CONFIG)):
            with self.subTest(topic.topic):
                self.assertEqual(self.admin_error(self.admin.create_topics([topic])), code)
        self.assertNotIn("odd", self.admin.list_topics(timeout=10).topics)

    def test_one_bad_topic_does_not_spoil_the_others(self):
        futures = self.admin.create_topics([NewTopic("good-1", 1, 1), NewTopic("bad/1", 1, 1),
                                            NewTopic("good-2", 1, 1)])
        futures["good-1"].result(30)
        futures["good-2"].result(30)
        with self.assertRaises(KafkaException):
            futures["bad/1"].result(30)

    def test_validate_only_changes_nothing(self):
        futures = self.admin.create_topics([NewTopic("only-checked", 1, 1)], validate_only=True)
        self.assertIsNone(self.admin_error(futures))
        self.assertNotIn("only-checked", self.admin.list_topics(timeout=10).topics)

    def test_more_partitions(self):
        topic = self.create("grows", 2)
        self.assertIsNone(self.admin_error(self.admin.create_partitions([NewPartitions(topic, 5)])))
        self.assertEqual(len(self.admin.list_topics(topic, 10).topics[topic].partitions), 5)
        (message,) = self.produce(self.producer(), topic, ["x"], partition=4)
        self.assertIsNone(message.error())
        for count in (5, 3):
            code = self.admin_error(self.admin.create_partitions([NewPartitions(topic, count)]))
            self.assertEqual(code, KafkaError.INVALID_PARTITIONS)
        code = self.admin_error(self.admin.create_partitions([NewPartitions("nowhere", 3)]))
        self.assertEqual(code, KafkaError.UNKNOWN_TOPIC_OR_PART)

    def test_delete_and_create_again(self):
        topic = self.create("again", 2)
        self.produce(self.producer(), topic, ["old"], partition=0)
        self.assertIsNone(self.admin_error(self.admin.delete_topics([topic])))
        self.assertNotIn(topic, self.admin.list_topics(timeout=10).topics)
        self.assertEqual(self.admin_error(self.admin.delete_topics([topic])),
                         KafkaError.UNKNOWN_TOPIC_OR_PART)
        self.create(topic, 1)
        (message,) = self.produce(self.producer(), topic, ["new"], partition=0)
        self.assertEqual((message.error(), message.offset()), (None, 0))
        consumer = self.consumer()
        consumer.assign([TopicPartition(topic, 0, 0)])
        self.assertEqual(self.read(consumer, 1)[0].value(), b"new")

    def describe(self, kind, name):
        (future,) = self.admin.describe_configs([ConfigResource(kind, name)]).values()
        return future.result(30)

    def test_topic_configs(self):
        topic = self.create("configured", 1, retention_ms="5000")
        configs = self.describe(ConfigResource.Type.TOPIC, topic)
        self.assertEqual((configs["retention.ms"].value, configs["retention.ms"].is_default),
                         ("5000", False))
        self.assertEqual((configs["segment.bytes"].value, configs["segment.bytes"].is_default),
                         ("1073741824", True))
        # AlterConfigs replaces the whole set.
        wanted = ConfigResource(ConfigResource.Type.TOPIC, topic,
                                set_config={"max.message.bytes": "12345"})
        self.assertIsNone(self.admin_error(self.admin.alter_configs([wanted])))
        configs = self.describe(ConfigResource.Type.TOPIC, topic)
        self.assertEqual(configs["max.message.bytes"].value, "12345")
        self.assertEqual(configs["retention.ms"].value, "604800000")
        for name, value in (("no.such", "1"), ("retention.ms", "soon")):
            wanted = ConfigResource(ConfigResource.Type.TOPIC, topic, set_config={name: value})
            self.assertEqual(self.admin_error(self.admin.alter_configs([wanted])),
                             KafkaError.INVALID_CONFIG)
        self.assertEqual(self.describe(ConfigResource.Type.TOPIC, topic)["max.message.bytes"].value,
                         "12345")

    def test_broker_configs(self):
        broker_id = self.admin.list_topics(timeout=10).controller_id
        configs = self.describe(ConfigResource.Type.BROKER, str(broker_id))
        self.assertEqual(configs["log.retention.hours"].value, "168")
        self.assertTrue(configs["node.id"].is_read_only)
        with self.assertRaises(KafkaException) as caught:
            self.describe(ConfigResource.Type.TOPIC, "nowhere")
        self.assertEqual(caught.exception.args[0].code(), KafkaError.UNKNOWN_TOPIC_OR_PART)


if __name__ == "__main__":
    unittest.main()
