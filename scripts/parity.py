#!/usr/bin/env python3
"""Asks qbroker and a real Apache Kafka the same requests and compares what they answer.

  parity.py [--case NAME ...] [--verbose] [--list]

Starts both (the jars come by Maven, see tests/interop/pom.xml), runs the cases of tests/parity on each,
and prints every difference in error codes and visible results. Differences that are meant stand with
their reason in tests/parity/known.txt. The last line is "N answers alike, N known differences, N unexpected";
the status is 1 when one is unexpected, or when a known one no longer shows in a full run.
QT_BUILD names another build folder than build/release. About two minutes.
"""
import argparse
import fnmatch
import os
import pathlib
import sys
import threading
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.harness.broker import Broker  # noqa: E402
from tests.interop.apache_kafka import ApacheKafka  # noqa: E402
from tests.parity import data_cases, group_cases, topic_cases, txn_cases  # noqa: E402
from tests.parity.side import Side, Unserved  # noqa: E402

KNOWN = ROOT / "tests/parity/known.txt"
# Of no interest to the comparison, only to the time it takes.
CONFIGS = {"group.initial.rebalance.delay.ms": 0, "offsets.topic.num.partitions": 5,
           "transaction.state.log.num.partitions": 5}


class Known:
    """A line of known.txt: "case/label | path | reason", the first two with * and ?."""

    def __init__(self, line):
        self.where, self.path, self.reason = (part.strip() for part in line.split("|", 2))
        self.hits = 0

    def covers(self, where, path):
        if fnmatch.fnmatchcase(where, self.where) and fnmatch.fnmatchcase(path, self.path):
            self.hits += 1
            return True
        return False


def all_cases():
    return {name.removeprefix("case_"): function for module in (data_cases, topic_cases, group_cases, txn_cases)
            for name, function in vars(module).items() if name.startswith("case_")}


def run_cases(side, cases, unserved, broken, verbose):
    for name, function in cases.items():
        side.begin(name)
        start = time.monotonic()
        try:
            function(side)
        except Unserved as error:
            unserved.setdefault(name, set()).add((side.name, str(error)))
        except Exception:  # a case that cannot go on fails, and the others run
            broken.append((side.name, name, traceback.format_exc()))
        if verbose:
            print(f"{side.name}: {name}: {time.monotonic() - start:.1f} s", flush=True)


def differences(ours, theirs, path=""):
    """(path, ours, theirs) of every leaf that differs; lists of other lengths are shown whole."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(set(ours) | set(theirs)):
            yield from differences(ours.get(key, "absent"), theirs.get(key, "absent"), f"{path}.{key}".lstrip("."))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for n, (a, b) in enumerate(zip(ours, theirs)):
            yield from differences(a, b, f"{path}.{n}".lstrip("."))
    elif ours != theirs:
        yield path, ours, theirs


def compare(ours, theirs, known, options, broken):
    alike = expected = 0
    unexpected = []
    stopped = {name for _, name, _ in broken}
    for where in sorted(set(ours.seen) | set(theirs.seen)):
        name = "/".join(where)
        if where not in ours.seen or where not in theirs.seen:
            if where[0] in stopped:
                continue  # it is told of once, with the reason why the case ended
            found = [("", ours.seen.get(where, "absent"), theirs.seen.get(where, "absent"))]
        else:
            found = list(differences(ours.seen[where], theirs.seen[where]))
        for path, a, b in found:
            entry = next((k for k in known if k.covers(name, path)), None)
            if entry is None:
                unexpected.append((name, path, a, b))
            else:
                expected += 1
                if options.verbose:
                    print(f"known: {name}: {path}: qbroker {a!r}, Kafka {b!r} ({entry.reason})")
        alike += not found
    return alike, expected, unexpected


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", help="only this case; may be repeated")
    parser.add_argument("--verbose", action="store_true", help="print known differences too")
    parser.add_argument("--list", action="store_true", help="print the names of the cases and end")
    options = parser.parse_args()
    cases = all_cases()
    if options.list:
        print("\n".join(cases))
        return 0
    unknown = set(options.case or []) - set(cases)
    if unknown:
        parser.error(f"no case {', '.join(sorted(unknown))}")
    cases = {name: f for name, f in cases.items() if not options.case or name in options.case}
    known = [Known(line) for line in KNOWN.read_text().splitlines() if line.strip() and not line.startswith("#")]

    # QT_PEER=apache compares Kafka with itself: what differs then is a fault of the comparison.
    first = ApacheKafka(CONFIGS) if os.environ.get("QT_PEER") == "apache" else Broker(
        *(part for k, v in {"node.id": 1, **CONFIGS}.items() for part in ("--set", f"{k}={v}")))
    with first as broker, ApacheKafka(CONFIGS) as kafka:
        ours, theirs = Side("qbroker", broker.port), Side("Apache Kafka", kafka.port)
        unserved, broken = {}, []
        threads = [threading.Thread(target=run_cases, args=(
            side, cases, unserved, broken, options.verbose)) for side in (ours, theirs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if not broker.is_running():
            broken.append(("qbroker", "process", broker.log()))
    for case in unserved:  # what only one side has been asked says nothing
        for side in (ours, theirs):
            side.seen = {where: seen for where, seen in side.seen.items() if where[0] != case}
    alike, expected, unexpected = compare(ours, theirs, known, options, broken)
    for case, who in sorted(unserved.items()):
        print(f"not compared: {case}: " + ", ".join(f"{side} has no {api}" for side, api in sorted(who)))
    for name, path, a, b in unexpected:
        print(f"DIFFERS: {name}: {path or 'answer'}: qbroker {a!r}, Kafka {b!r}")
    for side, name, trace in broken:
        print(f"STOPPED: {name} on {side}:\n{trace}")
    # A case that ran whole and shows none of it: the line has had its day.
    stale = [] if options.case or broken else [
        k for k in known if k.hits == 0 and k.where.split("/")[0] not in unserved]
    for entry in stale:
        print(f"NO LONGER SO: {entry.where} | {entry.path} | {entry.reason}")
    print(f"{alike} answers alike, {expected} known differences, {len(unexpected) + len(broken)} unexpected")
    return 1 if unexpected or broken or stale else 0


if __name__ == "__main__":
    sys.exit(main())
