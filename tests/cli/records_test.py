"""Records through stdin and stdout: what goes in comes out, in every form."""
import base64
import json
import os
import random
import subprocess
import tempfile
import unittest

from tests.cli.cli_case import QTOOL, CliCase


class RoundTripTest(CliCase):
    def test_lines(self):
        topic = self.topic()
        data = b"one\ntwo\n\n\xff\x00binary\nlast\n"
        self.produce(topic, data)
        self.assertEqual(self.consume(topic), data)

    def test_a_last_line_without_newline_is_a_record(self):
        topic = self.topic()
        self.produce(topic, b"a\nb")
        self.assertEqual(self.consume(topic), b"a\nb\n")

    def test_no_input_is_no_record(self):
        topic = self.topic()
        self.produce(topic, b"")
        self.assertEqual(self.consume(topic), b"")

    def test_other_delimiters(self):
        topic = self.topic()
        self.produce(topic, b"a\nb\0c\0", "-D", "\\0")
        self.assertEqual(self.consume(topic, "-f", "[%s]"), b"[a\nb][c]")
        whole = self.topic()
        self.produce(whole, b"a\nb\n", "-D", "")
        self.assertEqual(self.consume(whole, "-f", "[%s]"), b"[a\nb\n]")

    def test_keys(self):
        topic = self.topic()
        data = b"k1:v1\nk2:v:2\n:empty\nk3:\n"
        self.produce(topic, data, "-k", ":")
        self.assertEqual(self.consume(topic, "-f", "%k:%s\n"), data)

    def test_nulls_headers_and_a_fixed_key(self):
        topic = self.topic()
        self.produce(topic, b"a|NULL\nno key\nNULL|x\n", "-k", "|", "-N", "NULL", "-H", "h=1",
                     "-H", "i=")
        records = self.consume_json(topic)
        self.assertEqual([(r["key"], r["value"]) for r in records],
                         [("a", None), (None, "no key"), (None, "x")])
        self.assertEqual(records[0]["headers"], [["h", "1"], ["i", ""]])
        self.produce(topic, b"z\n", "--key", "fixed")
        self.assertEqual(self.consume(topic, "--from", "-1", "-f", "%k=%s"), b"fixed=z")

    def test_json_is_exact(self):
        """Everything a record can hold: null and empty, text and bytes, in key, value and headers."""
        random_bytes = random.Random(5).randbytes
        parts = [None, "", "text", "\u00e9\u4e2d\U0001f600", "quote\" back\\ tab\t nl\n nul\0",
                 b"\xff\xfe", random_bytes(300)]

        def field(name, part):
            if isinstance(part, bytes):
                return {name + "_base64": base64.b64encode(part).decode()}
            return {name: part}

        def in_header(part):
            if isinstance(part, bytes):
                return {"base64": base64.b64encode(part).decode()}
            return part

        lines = []
        for i, (key, value) in enumerate((k, v) for k in parts for v in parts):
            headers = [[in_header(n), in_header(v)] for n in parts[1:] for v in (value, None)]
            lines.append({"timestamp": 1_700_000_000_000 + i, **field("key", key),
                          **field("value", value), "headers": headers if i % 2 else []})
        topic, copy = self.topic(), self.topic()
        data = "".join(json.dumps(line) + "\n" for line in lines).encode()
        self.produce(topic, data, "--json")
        first = self.consume(topic, "-o", "json")
        got = [json.loads(line) for line in first.splitlines()]
        self.assertEqual(len(got), len(lines))
        for wanted, record in zip(lines, got):
            self.assertEqual({k: record.get(k, "absent") for k in wanted}, wanted)
            self.assertEqual(record["timestamp_type"], "create")
        self.produce(copy, first, "--json")
        second = self.consume(copy, "-o", "json")
        self.assertEqual(second.replace(f'"{copy}"'.encode(), f'"{topic}"'.encode(), len(lines)), first)

    def test_json_keeps_partitions_when_asked(self):
        topic = self.topic(3)
        data = b"".join(b'{"partition":%d,"value":"v%d"}\n' % (i % 3, i) for i in range(9))
        self.produce(topic, data, "--json", "--keep-partition")
        self.assertEqual(sorted(self.consume(topic, "-p", "2").split()), [b"v2", b"v5", b"v8"])

    def test_partition_compression_acks(self):
        topic = self.topic(2)
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            self.produce(topic, b"x" * 5000 + b"\n", "-p", "1", "-z", codec)
        self.produce(topic, b"leader\n", "-p", "1", "-a", "1")
        self.produce(topic, b"nobody\n", "-p", "1", "-a", "0")
        self.wait_for(lambda: self.end_offset(topic, 1) == 7)
        self.assertEqual(self.consume(topic, "-p", "1"),
                         (b"x" * 5000 + b"\n") * 5 + b"leader\nnobody\n")
        self.assertEqual(self.consume(topic, "-p", "0"), b"")

    def test_a_key_goes_to_the_partition_of_kafkas_clients(self):
        topic = self.topic(10)
        self.produce(topic, b"21:a\n", "-k", ":")
        # murmur2("21") = -973932308 as Kafka's own test says; positive, modulo 10.
        (record,) = self.consume_json(topic)
        self.assertEqual(record["partition"], (-973932308 & 0x7FFFFFFF) % 10)

    def test_large_input_from_a_file(self):
        topic = self.topic()
        numbers = random.Random(1)
        data = b"".join(b"%d %s\n" % (i, b"x" * numbers.randrange(200)) for i in range(200_000))
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            summary = json.loads(self.qtool("produce", "-t", topic, "-i", file.name, "-o", "json"))
        self.assertEqual(summary, {"delivered": 200_000, "failed": 0})
        self.assertEqual(self.consume(topic), data)

    def test_rate(self):
        topic = self.topic()
        process = self.start("produce", "-t", topic, "-r", "20")
        process.stdin.write(b"x\n" * 1000)
        process.stdin.flush()
        self.wait_for(lambda: self.end_offset(topic) >= 10)
        self.assertLess(self.end_offset(topic), 500)

    def test_a_single_line_is_sent_while_stdin_stays_open(self):
        topic = self.topic()
        process = self.start("produce", "-t", topic)
        process.stdin.write(b"now\n")
        process.stdin.flush()
        self.wait_for(lambda: self.end_offset(topic) == 1)
        process.stdin.close()
        self.assertEqual(process.wait(20), 0)


class LineFailureTest(CliCase):
    def test_bad_lines_are_named_and_the_others_arrive(self):
        topic = self.topic()
        data = b'{"value":"a"}\nnonsense\n{"value":"b"}\n{"value":7}\n{"valeu":"x"}\n'
        done = self.qtool_done("produce", "-t", topic, "--json", stdin=data)
        self.assertEqual(done.returncode, 1)
        for number in (2, 4, 5):
            self.assertIn(f"line {number}:".encode(), done.stderr)
        self.assertNotIn(b"line 1:", done.stderr)
        self.assertEqual(self.consume(topic), b"a\nb\n")

    def test_a_record_the_broker_refuses_names_its_line(self):
        topic = self.topic()
        self.qtool("topic", "alter", topic, "--config", "max.message.bytes=2000")
        data = b"small\n" + os.urandom(5000).hex().encode() + b"\nsmall\n"
        done = self.qtool_done("produce", "-t", topic, "-X", "batch.size=0", stdin=data)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(b"line 2:", done.stderr)
        self.assertEqual(self.consume(topic), b"small\nsmall\n")

    def test_a_line_too_long_for_any_record(self):
        topic = self.topic()
        done = self.qtool_done("produce", "-t", topic, stdin=b"ok\n" + b"x" * 3_000_000 + b"\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"line 2:", done.stderr)
        self.assertEqual(self.consume(topic), b"ok\n")


class RangeTest(CliCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        subprocess.run([QTOOL, "-b", cls.broker.address,
                        "topic", "create", "range", "-p", "2"], check=True, capture_output=True)
        lines = b"".join(b'{"timestamp":%d,"partition":%d,"value":"%d"}\n' %
                         (1_700_000_000_000 + 1000 * i, i % 2, i) for i in range(20))
        cls.broker.qtool("produce", "-t", "range", "--json", "--keep-partition", stdin=lines)

    def values(self, *args, end=("--exit-at-end",)):
        out = self.qtool("consume", "range", *end, *args)
        return sorted(int(word) for word in out.split())

    def test_from(self):
        self.assertEqual(self.values("--from", "beginning"), list(range(20)))
        self.assertEqual(self.values("--from", "end"), [])
        self.assertEqual(self.values("--from", "8"), [16, 17, 18, 19])
        self.assertEqual(self.values("--from", "-1"), [18, 19])
        self.assertEqual(self.values("--from", "-0"), [])
        self.assertEqual(self.values("--from", "-100"), list(range(20)))
        self.assertEqual(self.values("--from", "@1700000017000"), [17, 18, 19])
        self.assertEqual(self.values("--from", "@1700000016500"), [17, 18, 19])
        self.assertEqual(self.values("--from", "2023-11-14T22:13:37Z"), [17, 18, 19])
        self.assertEqual(self.values("--from", "2023-11-14T23:13:37+01:00"), [17, 18, 19])
        self.assertEqual(self.values("--from", "@1800000000000"), [])

    def test_to(self):
        self.assertEqual(self.values("--to", "2", end=()), [0, 1, 2, 3])
        self.assertEqual(self.values("--to", "-9", end=()), [0, 1])
        self.assertEqual(self.values("--to", "end", end=()), list(range(20)))
        self.assertEqual(self.values("--to", "@1700000003000", end=()), [0, 1, 2])
        self.assertEqual(self.values("--from", "3", "--to", "4", end=()), [6, 7])
        self.assertEqual(self.values("--from", "5", "--to", "3", end=()), [])

    def test_count_and_partitions(self):
        self.assertEqual(len(self.values("-n", "7", end=())), 7)
        self.assertEqual(self.values("-p", "1"), list(range(1, 20, 2)))
        self.assertEqual(self.values("-p", "0,1", "-p", "1"), list(range(20)))

    def test_formats(self):
        out = self.qtool("consume", "range", "-p", "1", "--from", "2", "-n", "1", "-f",
                         r"%t %p %o %T [%k] %s %K %S %h %% \x41\t|%R" + r"\n")
        self.assertEqual(out, b"range 1 2 1700000005000 [] 5 -1 1  % A\t|\0\0\0\1\n")

    def test_an_offset_out_of_range_is_a_failure(self):
        self.qtool("consume", "range", "--from", "1000", "-n", "1", status=1)


if __name__ == "__main__":
    unittest.main()
