"""Hostile bytes on the socket: an error on that request or connection, a counter, nothing else
disturbed.

One broker serves all cases. A witness connection stays open through each of them, and after each
the witness topic still holds what was acknowledged before it, and takes and gives one more record.
"""
import gzip
import os
import random
import socket
import struct
import time
import unittest

from confluent_kafka import Consumer, TopicPartition

from tests.harness import wire
from tests.harness.broker import Broker

OK, CORRUPT, UNKNOWN_TOPIC, TOO_LARGE, INVALID_TOPIC, INVALID_ACKS = 0, 2, 3, 10, 17, 21
TRANSACTIONAL_ID_REFUSED = 53
ATTRIBUTES_LOW = 22  # the low byte of the attributes in a batch
INVALID_TIMESTAMP, INVALID_CONFIG, UNSUPPORTED_COMPRESSION, INVALID_RECORD = 32, 40, 76, 87
RSS_GROWTH_MIB_MAX = 150  # far above noise, far below what any of the lies below asks for


class BadInputTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = cls.enterClassContext(Broker())
        cls.broker.create_topic("witness")
        cls.broker.create_topic("target")
        cls.written = 0

    def setUp(self):
        self.witness = self.enterContext(wire.Connection(self.broker.port))
        self.write_witness()
        self.rss_mib = self.broker.rss_mib()
        self.target_end = self.end_of("target")

    def tearDown(self):
        self.assertTrue(self.broker.is_running(), self.broker.log())
        self.write_witness()  # on a connection from before
        consumer = Consumer({"bootstrap.servers": self.broker.address, "group.id": "unused",
                             "enable.auto.commit": False, "check.crcs": True})
        consumer.assign([TopicPartition("witness", 0, 0)])
        values = []
        deadline = time.monotonic() + 20
        while len(values) < self.written and time.monotonic() < deadline:
            values += [int(m.value()) for m in consumer.consume(self.written - len(values), 1.0)
                       if m.error() is None]
        consumer.close()
        self.assertEqual(values, list(range(self.written)))
        self.assertLess(self.broker.rss_mib() - self.rss_mib, RSS_GROWTH_MIB_MAX)

    def write_witness(self):
        cls = type(self)
        batch = wire.batch([wire.record(b"%d" % cls.written)], timestamp=now_ms())
        self.assertEqual(wire.produce_error(self.witness.ask(wire.produce("witness", 0, batch))),
                         (OK, ""))
        cls.written += 1

    def end_of(self, topic):
        return self.broker.describe(topic)["partitions"][0]["log_end_offset"]

    def connection(self):
        return self.enterContext(wire.Connection(self.broker.port))

    def assert_closes(self, data, counter=None):
        """Sending `data` ends the connection, without an answer; `counter` rises."""
        before = self.broker.metric(counter) if counter else 0
        connection = self.connection()
        try:
            connection.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # closed before all was sent: fine
        self.assertTrue(connection.is_closed_by_peer(), "the connection stays open")
        if counter:
            self.assertGreater(self.broker.metric(counter), before, counter)

    def assert_refused(self, records, code, **options):
        """A Produce of these bytes is answered with `code`, writes nothing, and the connection
        goes on."""
        connection = self.connection()
        answered, text = wire.produce_error(
            connection.ask(wire.produce("target", 0, records, **options)))
        if isinstance(code, int):
            code = (code,)
        self.assertIn(answered, code, text)
        self.assertEqual(self.end_of("target"), self.target_end, "something was written")
        self.assertTrue(connection.ask(wire.api_versions()))
        return text

    # ---- bytes that are no request

    def test_bytes_of_no_protocol(self):
        for first in (0x07, 0x16, 0x40, 0x7F, 0x80, 0xFF):
            with self.subTest(hex(first)):
                self.assert_closes(bytes([first]) + b"garbage" * 10, "protocol_unknown_total")

    def test_random_garbage(self):
        rng = random.Random(20)
        for _ in range(200):
            with wire.Connection(self.broker.port, timeout=5) as connection:
                try:
                    connection.send(rng.randbytes(rng.randrange(1, 3000)))
                    connection.socket.shutdown(socket.SHUT_WR)
                    while connection.socket.recv(65536):
                        pass
                except (BrokenPipeError, ConnectionResetError):
                    pass

    def test_random_bodies_behind_good_headers(self):
        rng = random.Random(21)
        for _ in range(1000):
            key = rng.randrange(0, 93)  # groups and transactions too
            body = rng.randbytes(rng.randrange(0, 200))
            if rng.random() < 0.5:  # mostly zeros parse further
                body = bytes(b if rng.random() < 0.1 else 0 for b in body)
            frame = wire.request(key, rng.randrange(0, 19), body)
            with wire.Connection(self.broker.port, timeout=5) as connection:
                try:
                    connection.send(frame)
                    connection.socket.shutdown(socket.SHUT_WR)
                    while connection.socket.recv(65536):
                        pass
                except (BrokenPipeError, ConnectionResetError):
                    pass

    def test_cut_requests(self):
        """Each prefix of a good request, then the end: no answer, nothing written, no leak."""
        frame = wire.produce("target", 0, wire.batch([wire.record(b"v")], timestamp=now_ms()))
        for size in range(1, len(frame)):
            with wire.Connection(self.broker.port) as connection:
                connection.send(frame[:size])
                connection.socket.shutdown(socket.SHUT_WR)
                self.assertEqual(connection.socket.recv(100), b"", size)
        self.assertEqual(self.end_of("target"), self.target_end)

    def test_requests_in_single_bytes(self):
        connection = self.connection()
        for byte in wire.api_versions(correlation=77):
            connection.send(bytes([byte]))
        self.assertEqual(connection.answer()[0], 77)

    def test_frames_too_large_or_negative(self):
        for size in (104857601, 0x06FFFFFF):
            with self.subTest(size):
                self.assert_closes(wire.int32(size) + b"x" * 100, "frames_oversized_total")
        self.assert_closes(wire.int32(-1), "protocol_unknown_total")
        # As a later frame, where the first byte tells no protocol any more.
        for size in (-1, 0x7FFFFFFF):
            connection = self.connection()
            connection.ask(wire.api_versions())
            before = self.broker.metric("frames_oversized_total")
            connection.send(wire.int32(size) + b"x" * 50)
            self.assertTrue(connection.is_closed_by_peer())
            self.assertGreater(self.broker.metric("frames_oversized_total"), before)

    def test_large_frames_announced_and_never_sent_cost_nothing(self):
        connections = [self.connection() for _ in range(50)]
        for connection in connections:
            connection.send(wire.int32(100_000_000) + wire.int16(0) + wire.int16(8))
        self.write_witness()
        self.assertLess(self.broker.rss_mib() - self.rss_mib, RSS_GROWTH_MIB_MAX)

    def test_frames_shorter_than_a_header(self):
        for size in (0, 1, 2, 3, 7):
            with self.subTest(size):
                self.assert_closes(wire.int32(size) + b"\0" * size, "frames_malformed_total")

    # ---- requests that are not served or do not parse

    def test_unknown_keys_and_versions_close_the_connection(self):
        for key, version in ((-1, 0), (999, 0), (32767, 0), (95, 0), (0, 2), (0, 99), (1, 99),
                             (3, -1), (3, 99), (19, 99)):
            with self.subTest(key=key, version=version):
                self.assert_closes(wire.request(key, version, b"\0"), "requests_unsupported_total")

    def test_api_versions_of_the_future_is_answered(self):
        answer = self.connection().ask(wire.request(wire.API_VERSIONS, 99, b"\0" * 20,
                                                    correlation=7))
        self.assertEqual(answer[:2], wire.int16(35))
        key, low, high = struct.unpack(">hhh", answer[6:12])
        self.assertEqual((key, low), (18, 0))
        self.assertGreaterEqual(high, 3)

    def test_lying_counts_and_lengths(self):
        huge = wire.int32(0x7FFFFFFF)
        for name, frame in (
                ("metadata count", wire.request(wire.METADATA, 1, huge)),
                ("metadata negative count", wire.request(wire.METADATA, 1, wire.int32(-2))),
                ("metadata count just too large",
                 wire.request(wire.METADATA, 1, wire.int32(2) + wire.string("a"))),
                ("string length",
                 wire.request(wire.METADATA, 1, wire.int32(1) + wire.int16(30000))),
                ("null where none is allowed",
                 wire.request(wire.METADATA, 1, wire.int32(1) + wire.string(None))),
                ("topics of a produce",
                 wire.request(wire.PRODUCE, 8, wire.string(None) + wire.int16(-1) + huge + huge)),
                ("records of a produce",
                 wire.request(wire.PRODUCE, 8, wire.string(None) + wire.int16(-1) + wire.int32(1) +
                              wire.int32(1) + wire.string("target") + wire.int32(1) +
                              wire.int32(0) + huge)),
                ("create topics", wire.request(wire.CREATE_TOPICS, 2, huge)),
                ("fetch", wire.request(wire.FETCH, 4, wire.int32(-1) + wire.int32(0) +
                                       wire.int32(1) + wire.int32(100) + b"\0" + huge)),
                ("client id", wire.int32(20) + wire.int16(18) + wire.int16(0) + wire.int32(1) +
                 wire.int16(32000) + b"x" * 10),
                ("compact array",  # Metadata 12: header 2, then a varint of 2^31
                 wire.request(wire.METADATA, 12, b"\0" + b"\xff\xff\xff\xff\x0f")),
                ("varint that does not end",
                 wire.request(wire.METADATA, 12, b"\0" + b"\xff" * 30)),
        ):
            with self.subTest(name):
                self.assert_closes(frame, "frames_malformed_total")

    def test_bytes_behind_a_request_do_not_count_as_the_next_one(self):
        connection = self.connection()
        connection.send(wire.request(wire.METADATA, 1, wire.int32(0) + b"extra"))
        try:
            connection.answer()  # refusing it is fine, and so is to ignore what follows
            connection.ask(wire.api_versions())
        except (EOFError, ConnectionResetError):
            pass

    # ---- produce: batches that lie

    def test_wrong_checksum(self):
        before = self.broker.metric("append_errors_total")
        good = wire.batch([wire.record(b"v")], timestamp=now_ms())
        self.assert_refused(wire.batch([wire.record(b"v")], timestamp=now_ms(), crc=1), CORRUPT)
        for position in range(21, len(good)):
            broken = good[:position] + bytes([good[position] ^ 0x10]) + good[position + 1:]
            # This bit says "transactional", which is judged before the checksum, as in Kafka.
            is_transactional = position == ATTRIBUTES_LOW
            self.assert_refused(broken, TRANSACTIONAL_ID_REFUSED if is_transactional else CORRUPT)
        self.assertGreater(self.broker.metric("append_errors_total"), before)

    def test_batches_that_contradict_themselves(self):
        one, t = wire.record(b"v"), now_ms()
        two = [wire.record(b"v"), wire.record(b"v", 1)]
        cases = {
            "more records than there are": wire.batch([one], count=5, timestamp=t),
            "fewer records than there are": wire.batch(two, count=1, last_offset_delta=0,
                                                       timestamp=t),
            "a huge count": wire.batch([one], count=0x7FFFFFFF, timestamp=t),
            "a negative count": wire.batch([one], count=-1, timestamp=t),
            "no records": wire.batch([], timestamp=t),
            "last offset delta too large": wire.batch([one], last_offset_delta=100, timestamp=t),
            "last offset delta negative": wire.batch([one], last_offset_delta=-7, timestamp=t),
            "offset deltas that do not count": wire.batch([wire.record(b"v", 1)], timestamp=t),
            "a base offset": wire.batch([one], base_offset=7, timestamp=t),
            "a control batch": wire.batch([one], attributes=0x20, timestamp=t),
            "a producer without sequence": wire.batch([one], producer=(5, 0, -1), timestamp=t),
            "a record longer than the batch": wire.batch([b"\x7f" + one], timestamp=t),
            "two batches": wire.batch([one], timestamp=t) + wire.batch([one], timestamp=t),
            "magic 0": wire.batch([one], magic=0, timestamp=t),
            "magic 1": wire.batch([one], magic=1, timestamp=t),
            "magic 3": wire.batch([one], magic=3, timestamp=t),
            "a length beyond the bytes": wire.batch([one], length=1_000_000, timestamp=t),
            "a length below a header": wire.batch([one], length=10, timestamp=t),
            "a negative length": wire.batch([one], length=-5, timestamp=t),
            "a cut batch": wire.batch([one], timestamp=t)[:-3],
            "less than a header": wire.batch([one], timestamp=t)[:30],
            "unknown codec": wire.batch([one], attributes=7, timestamp=t),
        }
        for name, records in cases.items():
            with self.subTest(name):
                self.assert_refused(records, (CORRUPT, INVALID_RECORD, UNSUPPORTED_COMPRESSION))

    def test_compressed_records_that_lie(self):
        t = now_ms()
        area = b"".join(wire.record(b"v" * 50, n) for n in range(10))
        packed = gzip.compress(area)
        cases = {
            "garbage as gzip": wire.batch(b"garbage", attributes=1, count=1, timestamp=t),
            "garbage as snappy": wire.batch(b"\xff" * 40, attributes=2, count=1, timestamp=t),
            "garbage as lz4": wire.batch(b"garbage", attributes=3, count=1, timestamp=t),
            "garbage as zstd": wire.batch(b"garbage", attributes=4, count=1, timestamp=t),
            "cut gzip": wire.batch(packed[:-10], attributes=1, count=10, timestamp=t),
            "gzip of fewer records": wire.batch(packed, attributes=1, count=11, timestamp=t),
            "gzip of more records": wire.batch(packed, attributes=1, count=9, timestamp=t),
            "snappy that declares 4 GiB": wire.batch(b"\xff\xff\xff\xff\x0f" + b"x" * 20,
                                                     attributes=2, count=1, timestamp=t),
        }
        for name, records in cases.items():
            with self.subTest(name):
                self.assert_refused(records, (CORRUPT, INVALID_RECORD))

    def test_decompression_bombs(self):
        """300 kB that would be 300 MB cost neither the memory nor the time of it."""
        t = now_ms()
        bomb = gzip.compress(b"\0" * 300_000_000, 6)
        self.assertLess(len(bomb), 1_000_000)
        # Records whose length says they go on for all of it.
        head = wire.varint(300_000_000)
        honest = gzip.compress(head + b"\0" * 300_000_000, 6)
        for name, area in (("zeros", bomb), ("one record of 300 MB", honest)):
            with self.subTest(name):
                connection = self.connection()
                records = wire.batch(area, attributes=1, count=1, timestamp=t)
                began = time.monotonic()
                connection.send(wire.produce("target", 0, records))
                peak = 0.0
                connection.socket.settimeout(0.01)
                while True:  # watch the memory while it works
                    peak = max(peak, self.broker.rss_mib())
                    try:
                        size = connection.socket.recv(4)
                        break
                    except TimeoutError:
                        self.assertLess(time.monotonic() - began, 30, "no answer")
                connection.socket.settimeout(20)
                answer = connection.receive(struct.unpack(">i", size)[0])
                self.assertIn(wire.produce_error(answer[4:])[0],
                              (CORRUPT, TOO_LARGE, INVALID_RECORD))
                self.assertLess(peak - self.rss_mib, RSS_GROWTH_MIB_MAX)
        self.assertEqual(self.end_of("target"), self.target_end)

    def test_other_refusals_of_produce(self):
        good = wire.batch([wire.record(b"v")], timestamp=now_ms())
        self.assert_refused(good, INVALID_ACKS, acks=5)
        self.assert_refused(wire.batch([wire.record(b"v")], timestamp=now_ms() + 10**9),
                            INVALID_TIMESTAMP)
        self.assert_refused(wire.batch([wire.record(b"v" * 1_100_000)], timestamp=now_ms()),
                            TOO_LARGE)
        self.assert_refused(b"", (CORRUPT, INVALID_RECORD))
        connection = self.connection()
        for topic, partition in (("nowhere", 0), ("target", 1), ("target", -1), ("../target", 0),
                                 ("", 0)):
            code, _ = wire.produce_error(connection.ask(wire.produce(topic, partition, good)))
            self.assertIn(code, (UNKNOWN_TOPIC, INVALID_TOPIC), (topic, partition))

    def test_acks_0_with_an_error_closes_and_is_not_answered(self):
        connection = self.connection()
        connection.send(wire.produce("target", 0, wire.batch([wire.record(b"v")], crc=9), acks=0))
        self.assertTrue(connection.is_closed_by_peer())

    def test_a_good_partition_beside_a_bad_one_is_written(self):
        self.broker.create_topic("pair", 2)
        good = wire.batch([wire.record(b"v")], timestamp=now_ms())
        bad = wire.batch([wire.record(b"v")], timestamp=now_ms(), crc=1)
        body = wire.string(None) + wire.int16(-1) + wire.int32(10000) + wire.int32(1)
        body += wire.string("pair") + wire.int32(2) + wire.int32(0) + wire.blob(bad)
        body += wire.int32(1) + wire.blob(good)
        self.connection().ask(wire.request(wire.PRODUCE, 8, body))
        ends = [p["log_end_offset"] for p in self.broker.describe("pair")["partitions"]]
        self.assertEqual(ends, [0, 1])

    # ---- names and configs

    def create_topics(self, name, configs=()):
        """Error code of CreateTopics v2 for one topic."""
        body = wire.int32(1) + wire.string(name) + wire.int32(1) + wire.int16(1) + wire.int32(0)
        body += wire.int32(len(configs))
        body += b"".join(wire.string(k) + wire.string(v) for k, v in configs)
        answer = self.connection().ask(wire.request(wire.CREATE_TOPICS, 2,
                                                    body + wire.int32(5000) + b"\0"))
        at = 8 + 2 + struct.unpack(">h", answer[8:10])[0]  # behind throttle time, count, name
        return struct.unpack(">h", answer[at:at + 2])[0]

    def test_topic_names_that_are_none(self):
        topics = len(self.broker.http("GET", "/v1/topics")[1]["topics"])
        directories = sorted(os.listdir(self.broker.data_dir))
        for name in ("", ".", "..", "../up", "a/b", "a b", "a\0b", "ü", "x" * 250, "a\nb",
                     "\x1b[2J"):
            with self.subTest(name):
                self.assertEqual(self.create_topics(name), INVALID_TOPIC)
                status, answer = self.broker.http("POST", "/v1/topics", {"name": name})
                self.assertEqual(status, 400, answer)
                self.assertTrue(answer["error"]["code"])
        self.assertEqual(len(self.broker.http("GET", "/v1/topics")[1]["topics"]), topics)
        self.assertEqual(sorted(os.listdir(self.broker.data_dir)), directories)

    def test_configs_that_are_none(self):
        for name, value in (("no.such.config", "1"), ("retention.ms", "soon"), ("retention.ms", ""),
                            ("retention.ms", None), ("segment.bytes", "0"), ("segment.bytes", "-1"),
                            ("max.message.bytes", "99999999999999"), ("retention.ms", "9" * 40),
                            ("cleanup.policy", "burn"), ("", "1"), ("retention.ms", "x" * 32000)):
            with self.subTest(name=name, value=str(value)[:50]):
                self.assertEqual(self.create_topics("odd", [(name, value)]), INVALID_CONFIG)
        self.assertEqual(self.broker.http("GET", "/v1/topics/odd")[0], 404)

    # ---- HTTP

    def http_raw(self, data, timeout=20):
        """Status of the answer to raw bytes; None when the connection just ends."""
        with wire.Connection(self.broker.port, timeout) as connection:
            try:
                connection.send(data)
                connection.socket.shutdown(socket.SHUT_WR)
                answer = b""
                while b"\r\n" not in answer:
                    more = connection.socket.recv(65536)
                    if not more:
                        return None
                    answer += more
                return int(answer.split(b" ", 2)[1])
            except (BrokenPipeError, ConnectionResetError):
                return None

    def test_http_that_is_malformed(self):
        host = b"Host: 127.0.0.1\r\n"
        post = b"POST /v1/topics HTTP/1.1\r\n" + host + b"Content-Type: application/json\r\n"

        def body(text):
            return post + b"Content-Length: %d\r\n\r\n" % len(text) + text

        cases = {
            "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
            "two hosts": (b"GET /healthz HTTP/1.1\r\n" + host + host + b"\r\n", 400),
            "no version": (b"GET /healthz\r\n\r\n", 400),
            "version 3": (b"GET /healthz HTTP/3.0\r\n" + host + b"\r\n", (400, 505)),
            "garbage": (b"GARBAGE\r\n\r\n", 400),
            "large headers": (b"GET /healthz HTTP/1.1\r\n" + host + b"X: " + b"x" * 40000 +
                              b"\r\n\r\n", 431),
            "large body": (post + b"Content-Length: 2000000\r\n\r\n" + b"x" * 2000000, 413),
            "a length that is none": (post + b"Content-Length: x\r\n\r\n", 400),
            "two lengths": (post + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
            "length and chunks": (post + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  b"2\r\n{}\r\n0\r\n\r\n", 400),
            "unknown encoding": (post + b"Transfer-Encoding: gzip\r\n\r\n", (400, 501)),
            "no JSON": (body(b"not json"), 400),
            "half JSON": (body(b'{"name": "x"'), 400),
            "wrong types": (body(b'{"name": 7}'), 400),
            "unknown field": (body(b'{"name": "odd", "partitionz": 3}'), 400),
            "negative partitions": (body(b'{"name": "odd", "partitions": -3}'), 400),
            "huge number": (body(b'{"name": "odd", "partitions": 99999999999999999999}'), 400),
            "deep JSON": (body(b"[" * 100_000), 400),
            "invalid UTF-8": (body(b'{"name": "\xff\xfe"}'), 400),
            "no such path": (b"GET /v1/nothing HTTP/1.1\r\n" + host + b"\r\n", 404),
            "path out of the tree": (b"GET /../../etc/passwd HTTP/1.1\r\n" + host + b"\r\n",
                                     (400, 404)),
            "bad escapes": (b"GET /v1/topics/%zz HTTP/1.1\r\n" + host + b"\r\n", (400, 404)),
            "no such method there": (b"DELETE /v1/cluster HTTP/1.1\r\n" + host + b"\r\n", 405),
            "a foreign page": (post + b"Origin: http://evil.example\r\nContent-Length: 14\r\n\r\n"
                               b'{"name":"odd"}', 403),
        }
        for name, (data, status) in cases.items():
            with self.subTest(name):
                before = self.broker.metric("http_errors_total")
                allowed = status if isinstance(status, tuple) else (status,)
                self.assertIn(self.http_raw(data), allowed)
                self.assertGreater(self.broker.metric("http_errors_total"), before)
        self.assertEqual(self.broker.http("GET", "/v1/topics/odd")[0], 404)

    def test_http_cut_anywhere(self):
        request = (b"POST /v1/topics HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
                   b"\r\nContent-Length: 14\r\n\r\n{\"name\":\"odd\"}")
        for size in range(1, len(request), 3):
            self.http_raw(request[:size])
        self.assertEqual(self.broker.http("GET", "/v1/topics/odd")[0], 404)

    def test_many_silent_connections_do_not_disturb(self):
        connections = [self.connection() for _ in range(300)]
        for connection in connections[:150]:
            connection.send(b"\0")
        for connection in connections[150:]:
            connection.send(b"GET /")
        self.write_witness()
        self.assertLess(self.broker.rss_mib() - self.rss_mib, RSS_GROWTH_MIB_MAX)


def now_ms():
    return int(time.time() * 1000)


if __name__ == "__main__":
    unittest.main()
