"""Many partitions and an idle broker. What is right is asserted; time and memory are printed."""
import time
import unittest

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.harness.broker import Broker

TOPICS, PARTITIONS_EACH = 50, 100
WRITTEN_EACH = 5  # of the partitions of a topic
CREATE_S_MAX = 60  # "seconds", on any machine; not a benchmark


class ScaleTest(unittest.TestCase):
    def test_idle_broker(self):
        began = time.monotonic()
        with Broker() as broker:
            started_ms = (time.monotonic() - began) * 1000
            rss_mib, cpu_s = broker.rss_mib(), broker.cpu_seconds()
            time.sleep(2)
            idle = (broker.cpu_seconds() - cpu_s) / 2 * 100
            self.assertEqual(broker.http("GET", "/healthz")[0], 200)
            print(f"empty broker: ready in {started_ms:.0f} ms, {rss_mib:.1f} MiB, "
                  f"{idle:.2f} % of a core when idle")

    def check(self, broker):
        listed = AdminClient({"bootstrap.servers": broker.address}).list_topics(timeout=30)
        # A consumer with a group makes __consumer_offsets, here as with Kafka.
        topics = [topic for name, topic in listed.topics.items() if name != "__consumer_offsets"]
        self.assertEqual(len(topics), TOPICS)
        for topic in topics:
            self.assertEqual(sorted(topic.partitions), list(range(PARTITIONS_EACH)))
            for partition in topic.partitions.values():
                self.assertEqual((partition.leader, partition.error), (1, None))
        consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "unused",
                             "enable.auto.commit": False, "auto.offset.reset": "error"})
        try:
            consumer.assign([TopicPartition(f"t{t}", p, 0)
                             for t in range(TOPICS) for p in range(WRITTEN_EACH)])
            seen = set()
            deadline = time.monotonic() + 60
            while len(seen) < TOPICS * WRITTEN_EACH and time.monotonic() < deadline:
                for message in consumer.consume(TOPICS * WRITTEN_EACH - len(seen), 0.5):
                    self.assertIsNone(message.error())
                    self.assertEqual(message.value(),
                                     f"{message.topic()}-{message.partition()}".encode())
                    seen.add((message.topic(), message.partition(), message.offset()))
        finally:
            consumer.close()
        self.assertEqual(seen, {(f"t{t}", p, 0) for t in range(TOPICS)
                                for p in range(WRITTEN_EACH)})

    def test_5000_partitions(self):
        with Broker() as broker:
            admin = AdminClient({"bootstrap.servers": broker.address})
            began = time.monotonic()
            for future in admin.create_topics([NewTopic(f"t{n}", PARTITIONS_EACH, 1)
                                               for n in range(TOPICS)],
                                              operation_timeout=60, request_timeout=60).values():
                future.result(60)
            created_s = time.monotonic() - began
            self.assertLess(created_s, CREATE_S_MAX)
            print(f"{TOPICS * PARTITIONS_EACH} partitions: created in {created_s:.2f} s, "
                  f"{broker.rss_mib():.1f} MiB")
            producer = Producer({"bootstrap.servers": broker.address})
            failures = []
            for t in range(TOPICS):
                for p in range(WRITTEN_EACH):
                    producer.produce(f"t{t}", f"t{t}-{p}", partition=p,
                                     on_delivery=lambda e, _: e and failures.append(e))
            self.assertEqual((producer.flush(60), failures), (0, []))
            self.check(broker)
            print(f"  {TOPICS * WRITTEN_EACH} of them written and read: {broker.rss_mib():.1f} MiB")
            for how in ("stop", "kill"):
                began = time.monotonic()
                if how == "stop":
                    self.assertEqual(broker.stop(60), 0)
                else:
                    broker.kill()
                ended_s = time.monotonic() - began
                began = time.monotonic()
                broker.restart()
                started_s = time.monotonic() - began
                print(f"  {how} {ended_s:.2f} s, start after it {started_s * 1000:.0f} ms, "
                      f"{broker.rss_mib():.1f} MiB")
                self.check(broker)
            began = time.monotonic()
            for future in admin.delete_topics([f"t{n}" for n in range(TOPICS)],
                                              operation_timeout=60, request_timeout=60).values():
                future.result(60)
            print(f"  deleted in {time.monotonic() - began:.2f} s")
            left = broker.http("GET", "/v1/topics")[1]["topics"]
            self.assertEqual([topic["name"] for topic in left], ["__consumer_offsets"])


if __name__ == "__main__":
    unittest.main()
