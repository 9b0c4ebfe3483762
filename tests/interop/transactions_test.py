"""Transactions of librdkafka against qbroker: what readers of committed and of all data see, while
a transaction is open, after commit and abort, and after the broker was killed in between."""
import time
import unittest

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from tests.harness.broker import Broker


class TransactionsTest(unittest.TestCase):
    def setUp(self):
        self.broker = self.enterContext(Broker())

    def producer(self, transactional_id, **options):
        producer = Producer({"bootstrap.servers": self.broker.address, "log_level": 0,
                             "transactional.id": transactional_id, **options})
        producer.init_transactions(30)
        return producer

    def read(self, topic, isolation, partition=0):
        """Values of the partition from its start to the end this isolation level sees."""
        consumer = Consumer({"bootstrap.servers": self.broker.address, "group.id": "unused",
                             "log_level": 0, "enable.auto.commit": False, "check.crcs": True,
                             "enable.partition.eof": True, "isolation.level": isolation})
        values = []
        try:
            consumer.assign([TopicPartition(topic, partition, 0)])
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                message = consumer.poll(1)
                if message is None:
                    continue
                if message.error() is None:
                    values.append(message.value().decode())
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    return values
                else:
                    self.fail(str(message.error()))
            self.fail(f"no end of {topic}-{partition}")
        finally:
            consumer.close()

    def committed(self, topic, partition=0):
        return self.read(topic, "read_committed", partition)

    def everything(self, topic, partition=0):
        return self.read(topic, "read_uncommitted", partition)

    def test_commit_abort_and_open(self):
        self.broker.create_topic("t", 2)
        producer = self.producer("one")
        producer.begin_transaction()
        for partition in (0, 1):
            producer.produce("t", "a", partition=partition)
        producer.flush(30)
        self.assertEqual(self.committed("t"), [])
        self.assertEqual(self.everything("t"), ["a"])
        producer.commit_transaction(30)
        for partition in (0, 1):
            self.assertEqual(self.committed("t", partition), ["a"])
        producer.begin_transaction()
        producer.produce("t", "b", partition=0)
        producer.flush(30)
        producer.abort_transaction(30)
        producer.begin_transaction()
        producer.produce("t", "c", partition=0)
        producer.commit_transaction(30)
        self.assertEqual(self.committed("t"), ["a", "c"])
        self.assertEqual(self.everything("t"), ["a", "b", "c"])

    def test_interleaved_with_others(self):
        self.broker.create_topic("t", 1)
        first, second = self.producer("first"), self.producer("second")
        plain = Producer({"bootstrap.servers": self.broker.address, "log_level": 0})
        first.begin_transaction()
        second.begin_transaction()
        for step in range(3):
            for producer, name in ((first, "first"), (second, "second"), (plain, "plain")):
                producer.produce("t", f"{name}{step}")
                producer.flush(30)
        second.abort_transaction(30)
        self.assertEqual(self.committed("t"), [])
        first.commit_transaction(30)
        self.assertEqual(self.committed("t"),
                         [f"{name}{step}" for step in range(3) for name in ("first", "plain")])

    def test_fenced(self):
        self.broker.create_topic("t", 1)
        old = self.producer("id")
        old.begin_transaction()
        old.produce("t", "lost")
        old.flush(30)
        new = self.producer("id")  # aborts the transaction of the old one
        new.begin_transaction()
        new.produce("t", "kept")
        new.commit_transaction(30)
        with self.assertRaises(KafkaException) as raised:
            old.commit_transaction(30)
        self.assertTrue(raised.exception.args[0].fatal(), str(raised.exception))
        self.assertEqual(self.committed("t"), ["kept"])
        self.assertEqual(self.everything("t"), ["lost", "kept"])

    def test_kills(self):
        self.broker.create_topic("t", 1)
        producer = self.producer("id")
        for step in range(4):
            producer.begin_transaction()
            producer.produce("t", f"in{step}")
            producer.flush(60)
            self.broker.kill()
            self.broker.restart()
            (producer.commit_transaction if step % 2 == 0 else producer.abort_transaction)(60)
            self.broker.kill()
            self.broker.restart()
            self.assertEqual(self.committed("t"), [f"in{n}" for n in range(0, step + 1, 2)])
        self.assertEqual(self.everything("t"), [f"in{n}" for n in range(4)])


if __name__ == "__main__":
    unittest.main()
