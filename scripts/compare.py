#!/usr/bin/env python3
"""Measures qbroker and a real Apache Kafka on this machine, with 'qtool bench' as the client of both.

Each round starts each broker anew on an empty folder, one at a time, for each group of rows, and the
rounds alternate in who goes first, so that a drift of the machine falls on both. The table has the medians
of the rounds and their ratio, above 1.00 where qbroker is better, and where there are such the floor of the
machine (what it takes when nobody does anything with the bytes, measured in the same rounds) and the figure to
reach. Written as well, after each group: results.json with every report of qtool, table.md, and compare.svg,
the ratios with their spread over the rounds. What fails is named at the end and loses only its own rows.

How acknowledged records reach the disk is part of each comparison:
  cached   neither waits for the disk: qbroker with write.caching=true, Kafka as it comes
  synced   both do: qbroker as it comes, Kafka with log.flush.interval.messages=1
  default  both as they come: qbroker waits for the disk, Kafka does not

The data lies in $TMPDIR (else /tmp). Nothing else should run meanwhile.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.comparison import floor  # noqa: E402
from scripts.comparison.groups import GROUPS, PARTITIONS, RECORD_BYTES, Lengths, is_measured  # noqa: E402
from scripts.comparison.report import draw, format_markdown, format_table, table_rows  # noqa: E402
from scripts.comparison.systems import FSYNC, KAFKA_JVM, SYSTEMS, open_side  # noqa: E402
from tests.harness.broker import BIN  # noqa: E402  (after the path is set)
from tests.interop import java_peer  # noqa: E402


BUDDY_ORDER_MAX = 10  # no free block of the kernel is larger: MAX_PAGE_ORDER


def output_of(*command):
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return (done.stdout + done.stderr).strip() if done.returncode == 0 else "unknown"


def gives_memory_back():
    """Whether this is a virtual machine that reports free pages to its host, as far as the kernel tells."""
    order = pathlib.Path("/sys/module/page_reporting/parameters/page_reporting_order")
    return order.exists() and 0 <= int(order.read_text()) <= BUDDY_ORDER_MAX


def congestion_control():
    """What sockets have that do not choose: Kafka's. One that paces (bbr) costs CPU time and rate."""
    chosen = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control")
    return chosen.read_text().strip() if chosen.exists() else "unknown"


def describe_machine():
    """What the figures hang on, as (name, value) pairs."""
    model = re.search(r"^model name\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    memory = re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text())
    kafka = re.search(r"<kafka.version>(.*)</kafka.version>", java_peer.POM.read_text())
    return [
        ("date", datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")),
        ("cpu", f"{model.group(1) if model else platform.machine()}, "
                f"{len(os.sched_getaffinity(0))} core(s) usable"),
        ("memory", f"{int(memory.group(1)) / 2**20:.1f} GiB"),
        ("system", f"{platform.system()} {platform.release()}"),
        ("tcp", f"{congestion_control()}; qbroker and qtool send unpaced within a machine"),
        ("free memory", "goes back to the host: the first use of a page costs as much as copying it"
         if gives_memory_back() else "is kept"),
        ("data on", output_of("stat", "-f", "-c", "%T", tempfile.gettempdir())),
        ("load before", " ".join(f"{load:.2f}" for load in os.getloadavg())),
        ("qbroker", f"{output_of(str(BIN / 'qbroker'), '--version')}, commit "
                    f"{output_of('git', 'rev-parse', '--short', 'HEAD')}"),
        ("kafka", f"Apache Kafka {kafka.group(1)}, JVM {' '.join(KAFKA_JVM)}"),
        ("java", output_of("java", "-version").splitlines()[0]),
    ]


def nothing_told():
    """What is known of a group, a mode and a system (or the floor) before anything was measured."""
    return {"values": {}, "reports": {}, "errors": []}


def guarded(errors, where, name, action):
    """An error of a broker or of a tool goes to `errors`: the other rows still count."""
    try:
        action()
    except Exception as error:
        errors.append(f"{name}: {error}")
        print(f"compare.sh: {where}, {name}: {error}", file=sys.stderr)
        if not isinstance(error, (RuntimeError, OSError, subprocess.SubprocessError, EOFError)):
            traceback.print_exc()


def run_group(group, mode, system, lengths):
    """{values, reports: by row; errors}. Never raises but at Ctrl-C."""
    told = nothing_told()
    where = f"{system}, {mode}"

    def put(key, value, report=None):
        told["values"][key] = value
        if report is not None:
            told["reports"][key] = report

    def steps():
        with open_side(system, mode, group.settings.get(system)) as side:
            for step in group.steps:
                if is_measured(step, mode):
                    guarded(told["errors"], where, step.run.__qualname__.split(".")[0],
                            lambda: step.run(side, lengths, put))  # noqa: B023  (called at once)
    guarded(told["errors"], where, "the broker", steps)
    return told


def run_floor(group, modes, lengths):
    """{mode: what run_group() would say}, from one run of the program."""
    told = {mode: nothing_told() for mode in modes}

    def measure():
        found = floor.measure_floor(lengths.short)
        for mode in modes:
            told[mode]["values"] = floor.floor_values(group, mode, found)
    guarded(told[modes[0]]["errors"], "floor", "the program", measure)
    return told


class Results:
    """All rounds so far, and the files they are written to."""

    def __init__(self, out, head, facts, subtitle, modes):
        self.out = out
        self.head = head
        self.facts = facts
        self.subtitle = subtitle
        self.modes = modes
        self.rounds = {}  # {group: {mode: {system: [what run_group() told]}}}

    def add(self, group, mode, system, told):
        self.rounds.setdefault(group, {}).setdefault(mode, {}).setdefault(system, []).append(told)

    def rows(self):
        return table_rows(self.rounds, self.modes)

    def errors(self):
        return [f"{group}, fsync {mode}, {system}: {error}" for group, modes in self.rounds.items()
                for mode, systems in modes.items() for system, rounds in systems.items()
                for told in rounds for error in told["errors"]]

    def write(self):
        rows = self.rows()
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "results.json").write_text(json.dumps(
            {"facts": dict(self.facts), **self.head, "rows": rows, "errors": self.errors(),
             "rounds_by_group": self.rounds}, indent=1))
        (self.out / "compare.svg").write_text(draw(rows, self.facts, self.subtitle))
        (self.out / "table.md").write_text(format_markdown(rows))


def parse_options():
    names = [*GROUPS, "all"]
    about = "\n".join(f"  {name:10} {group.about} ({', '.join(m for m in group.modes if m != 'default')})"
                      for name, group in GROUPS.items())
    parser = argparse.ArgumentParser(prog="compare.sh", description=f"{__doc__}\nRows:\n{about}",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=names, default=["basic"], metavar="GROUP",
                        help="groups of rows, or all (default: basic)")
    parser.add_argument("--quick", action="store_true",
                        help="one short round, to see that all works; its figures mean nothing")
    parser.add_argument("--rounds", type=int, default=None, help="rounds of each mode (default: 3)")
    parser.add_argument("--seconds", type=float, default=None,
                        help="length of each basic workload, without warm-up; the others take 0.4 of it "
                             "(default: 20)")
    parser.add_argument("--fsync", nargs="+", choices=list(FSYNC), default=["cached", "synced"],
                        help="see above (default: cached synced)")
    parser.add_argument("--only", choices=SYSTEMS, default=None, help="measure one of the two alone")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/compare",
                        help="folder of results.json, table.md and compare.svg (default: build/compare)")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (2 if options.quick else 20)
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("--rounds and --seconds must be above 0")
    options.modes = list(dict.fromkeys(options.fsync))
    options.groups = list(GROUPS) if "all" in options.rows else list(dict.fromkeys(options.rows))
    for name in options.groups:
        if not set(options.modes) & set(GROUPS[name].modes):
            parser.error(f"--rows {name} is measured with --fsync {' '.join(GROUPS[name].modes)}")
    return options


def main():
    options = parse_options()
    for program in ("qbroker", "qtool"):
        if not (BIN / program).exists():
            sys.exit(f"compare.sh: {BIN / program} is missing (scripts/build.sh release)")
    has_floor = floor.PROGRAM.exists()
    if not has_floor:
        print("compare.sh: no floor of the machine beside the figures (scripts/build.sh release floor)",
              file=sys.stderr)
    if options.only != "qbroker":
        java_peer.jars()
    facts = describe_machine()
    facts += [(f"fsync {mode}", f"qbroker {' '.join(FSYNC[mode][0]) or 'as it comes'}; Kafka "
               f"{' '.join(f'{k}={v}' for k, v in FSYNC[mode][1].items()) or 'as it comes'}")
              for mode in options.modes]
    if dict(facts)["data on"] == "tmpfs":
        print("compare.sh: the data lies in memory, fsync costs nothing; set TMPDIR", file=sys.stderr)

    lengths = Lengths(options.seconds, 1 if options.quick else 5, options.quick)
    subtitle = (f"ratio of medians of {options.rounds} round(s) of {options.seconds:g} s; above 1 qbroker "
                "is better" + ("; QUICK: only shows that it works" if options.quick else ""))
    results = Results(options.out, {"rounds": options.rounds, "seconds": options.seconds,
                                    "quick": options.quick}, facts, subtitle, options.modes)
    for number in range(options.rounds):
        order = SYSTEMS if number % 2 == 0 else SYSTEMS[::-1]
        for name in options.groups:
            group = GROUPS[name]
            modes = [mode for mode in options.modes if mode in group.modes]
            if has_floor and floor.has_floor(group):
                for mode, told in run_floor(group, modes, lengths).items():
                    results.add(name, mode, "floor", told)
            for mode in modes:
                for system in order:
                    if system not in group.systems or options.only not in (None, system):
                        continue
                    begun = time.monotonic()
                    told = run_group(group, mode, system, lengths)
                    results.add(name, mode, system, told)
                    print(f"round {number + 1} of {options.rounds}, {name}, fsync {mode}: {system}, "
                          f"{time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
            results.write()
    for name, value in facts:
        print(f"{name}: {value}")
    print(f"{RECORD_BYTES} byte records, {PARTITIONS} partitions, acks=all, one producer, one consumer where "
          f"the row says nothing else; {subtitle}\n")
    print(format_table(results.rows()))
    for error in results.errors():
        print(f"FAILED {error}")
    print(f"\n{options.out}/results.json, table.md, compare.svg")
    if results.errors():
        sys.exit(1)


if __name__ == "__main__":
    main()
