"""`qtool txn`: transactions are shown, and one that hangs is ended."""
import json

from confluent_kafka import KafkaException, Producer

from tests.cli.cli_case import CliCase


class TxnTest(CliCase):
    def producer(self, transactional_id):
        producer = Producer({"bootstrap.servers": self.broker.address, "log_level": 0,
                             "transactional.id": transactional_id})
        producer.init_transactions(30)
        return producer

    def open_transaction(self, transactional_id, topic):
        producer = self.producer(transactional_id)
        producer.begin_transaction()
        producer.produce(topic, b"pending")
        producer.flush(30)
        return producer

    def states(self):
        listed = json.loads(self.qtool("txn", "list", "-o", "json"))["transactions"]
        return {row["transactional_id"]: row["state"] for row in listed}

    def test_list_and_describe(self):
        topic = self.topic()
        producer = self.open_transaction("shown", topic)
        self.assertEqual(self.states()["shown"], "Ongoing")
        text = self.qtool("txn", "describe", "shown").decode()
        self.assertIn(topic, text)
        self.assertIn("Ongoing", text)
        producer.commit_transaction(30)
        self.wait_for(lambda: self.states()["shown"] == "CompleteCommit")
        self.qtool("txn", "describe", "unknown", status=4)

    def test_abort_fences_the_producer(self):
        topic = self.topic()
        producer = self.open_transaction("stuck", topic)
        self.qtool("txn", "abort", "stuck")
        self.wait_for(lambda: self.states()["stuck"] == "CompleteAbort")
        with self.assertRaises(KafkaException):
            producer.commit_transaction(30)
        # Nothing holds back readers any more, and what was aborted is not shown.
        self.qtool("produce", "-t", topic, stdin=b"after\n")
        read = self.qtool("consume", "-t", topic, "-n", "1", "--isolation", "read_committed")
        self.assertEqual(read, b"after\n")
        self.qtool("txn", "abort", "unknown", status=4)
