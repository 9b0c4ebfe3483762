"""One of the two brokers that are compared: sends requests, keeps what it saw in a comparable form.

Comparable: what each broker makes up (ids of topics, members and producers, times of now, addresses)
is replaced by a name in order of appearance; messages for people, worded freely, are left out.
"""
import re
import struct
import time

from tests.harness import message, wire

ANSWER_S_MAX = 6  # no request of the cases may wait longer
# What the requests carry lies an hour back: recent enough for retention and for one segment. Later than
# half an hour ago is a time of the run.
TIME = int(time.time()) // 60 * 60_000 - 3_600_000
NOW_MS = TIME + 1_800_000
IGNORED = {"throttle_time_ms", "host", "port", "rack", "cluster_id", "client_host", "documentation",
           "controller_id", "session_lifetime_ms", "finalized_features_epoch", "log_dir",
           "error_message", "batch_index_error_message"}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
MEMBER_FIELDS = {"member_id", "leader"}
# Of consumer groups; the first one of a new group is the broker's choice (1 here, 2 in Kafka).
EPOCH_FIELDS = {"member_epoch", "group_epoch", "assignment_epoch"}


class Unserved(Exception):
    """The broker does not advertise the API that a case needs."""


class Side:
    def __init__(self, name, port):
        self.name, self.port = name, port
        self.connection = None
        self.seen = {}  # (case, label) -> observation
        self.case = None
        self.apis = self._api_versions()

    def _api_versions(self):
        self.open()
        self.connection.send(message.request_frame("ApiVersions", 3, {
            "client_software_name": "parity", "client_software_version": "1"}))
        _, answer = message.response_of("ApiVersions", 3, self._frame())
        return {row["api_key"]: (row["min_version"], row["max_version"]) for row in answer["api_keys"]}

    def _frame(self):
        return self.connection.receive(struct.unpack(">i", self.connection.receive(4))[0])

    def open(self):
        if self.connection is not None:
            self.connection.socket.close()
        self.connection = wire.Connection(self.port, ANSWER_S_MAX)

    def begin(self, case):
        self.case, self.names, self.first_epoch = case, {}, None
        self.open()

    def needs(self, *apis):
        for api in apis:
            if message.API_KEYS[api] not in self.apis:
                raise Unserved(api)

    def keep(self, label, observation):
        if (self.case, label) in self.seen:
            raise ValueError(f"{self.case}: '{label}' twice")
        self.seen[self.case, label] = observation

    def call(self, api, version, values, connection=None):
        """The decoded answer; None when the broker closes the connection instead, "silence" for neither."""
        self.needs(api)
        connection = connection or self.connection
        try:
            connection.send(message.request_frame(api, version, values))
            size = struct.unpack(">i", connection.receive(4))[0]
            return message.response_of(api, version, connection.receive(size))[1]
        except TimeoutError:
            if connection is self.connection:
                self.open()
            return "silence"
        except (EOFError, ConnectionError):
            if connection is self.connection:
                self.open()
            return None

    def ask(self, label, api, version, connection=None, only=None, **values):
        """Sends, and keeps the answer for the comparison; `only` picks top-level fields of it."""
        answer = self.call(api, version, values, connection)
        self.keep_answer(label, answer, only)
        return answer

    def keep_answer(self, label, answer, only=None):
        if isinstance(answer, dict) and only is not None:
            answer = {key: answer[key] for key in only}
        self.keep(label, "closed" if answer is None else self.comparable(answer))

    def ask_until(self, label, api, version, settled, only=None, rounds=150, pause_s=0.1, **values):
        """Repeats what may still be under way; keeps the answer that `settled` takes, or the last."""
        answer = None
        for _ in range(rounds):
            answer = self.call(api, version, values)
            if not isinstance(answer, dict) or settled(answer):
                break
            time.sleep(pause_s)
        self.keep_answer(label, answer, only)
        return answer

    def raw(self, label, data):
        """Bytes as they are; keeps whether an answer came, and its first bytes, or the close."""
        self.open()
        try:
            self.connection.send(data)
            frame = self._frame()
            self.keep(label, "answered " + frame[:6].hex())
        except (EOFError, ConnectionError):
            self.keep(label, "closed")
        self.open()

    def silence(self, label, data):
        """Bytes that want no answer: what comes back for the request after them."""
        self.open()
        try:
            self.connection.send(data)
            self.connection.send(message.request_frame("ApiVersions", 0, {}, correlation=77))
            frame = self._frame()
            self.keep(label, "next answered" if struct.unpack(">i", frame[:4])[0] == 77 else "answered")
        except (EOFError, ConnectionError):
            self.keep(label, "closed")
        self.open()

    def alias(self, kind, value):
        """A name for what this broker made up, in order of appearance in the case."""
        return self.names.setdefault((kind, value), f"<{kind} {sum(k == kind for k, _ in self.names) + 1}>")

    def comparable(self, value, key=""):
        if isinstance(value, dict):
            return {k: self.comparable(v, k) for k, v in value.items() if k not in IGNORED}
        if isinstance(value, list):
            items = [self.comparable(item, key) for item in value]
            return sorted(items, key=repr)
        if isinstance(value, bytes):
            return batches(value, self) if key == "records" else value.hex()
        if isinstance(value, str):
            if len(value) == 32 and re.fullmatch("[0-9a-f]{32}", value):
                return value if value == "0" * 32 else "<id>"
            if key in MEMBER_FIELDS and value and (UUID.search(value) or len(value) == 22):
                return self.alias("member", value)
            return value
        if isinstance(value, bool) or not isinstance(value, int):
            return value
        if value > NOW_MS and value < 2 * NOW_MS:
            return "<now>"
        if key in EPOCH_FIELDS and value > 0:
            self.first_epoch = self.first_epoch or value
            return value - self.first_epoch + 1
        if key == "producer_id" and value >= 0:
            return self.alias("producer", value)
        if key == "session_id" and value > 0:
            return self.alias("session", value)
        return value


def batches(data, side):
    """What the batches of a records field say; a cut tail, which clients ignore, is left out."""
    found, at = [], 0
    while at + 61 <= len(data):
        base, size, epoch = struct.unpack_from(">qii", data, at)
        if at + 12 + size > len(data):
            break
        attributes, delta, first, last, producer, producer_epoch, sequence, count = struct.unpack_from(
            ">hiqqqhii", data, at + 21)
        found.append({"base_offset": base, "leader_epoch": epoch, "attributes": attributes, "delta": delta,
                      "base_timestamp": side.comparable(first), "max_timestamp": side.comparable(last),
                      "producer_id": side.comparable(producer, "producer_id"), "producer_epoch": producer_epoch,
                      "sequence": sequence, "count": count})
        at += 12 + size
    return found
