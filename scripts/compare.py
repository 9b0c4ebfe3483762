#!/usr/bin/env python3
"""Measures qbroker and a real Apache Kafka on this machine, with 'qtool bench' as the client of both.

Each round starts each broker anew on an empty folder, one at a time, and the rounds alternate in who
goes first, so that a drift of the machine falls on both. The table has the medians of the rounds and
their ratio, above 1.00 where qbroker is better. Written as well: results.json with every report of
qtool, and compare.svg, the ratios with their spread over the rounds.

How acknowledged records reach the disk is part of each comparison:
  cached   neither waits for the disk: qbroker with write.caching=true, Kafka as it comes
  synced   both do: qbroker as it comes, Kafka with flush.messages=1
  default  both as they come: qbroker waits for the disk, Kafka does not

The data lies in $TMPDIR (else /tmp). Nothing else should run meanwhile.
"""
import argparse
import datetime
import json
import math
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from xml.sax.saxutils import escape

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.harness.broker import BIN, Broker  # noqa: E402  (after the path is set)
from tests.interop import java_peer  # noqa: E402
from tests.interop.apache_kafka import ApacheKafka  # noqa: E402

# What Kafka's own start script gives the JVM when nobody says otherwise.
KAFKA_JVM = ("-server", "-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
             "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent")
FSYNC = {  # mode: options of qbroker, configs of Kafka
    "cached": (("--set", "write.caching=true"), {}),
    "synced": ((), {"flush.messages": "1"}),
    "default": ((), {}),
}
SYSTEMS = ("qbroker", "kafka")
PARTITIONS = 6
RECORD_BYTES = 1000
RATE = 1000  # records a second: far below what either can, so that latency is not that of a queue
WIDE_BATCHES = ("-X", "batch.size=200000", "-X", "linger.ms=5")


def bench(address, workload, topic, *args):
    """The report of one 'qtool bench'."""
    command = [str(BIN / "qtool"), "-b", address, "--timeout", "60", "-o", "json", "bench", workload,
               "-t", topic, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\nended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def measure(address, seconds, warmup):
    """All workloads on one fresh broker: {workload: report}."""
    create = ("--create", "-p", PARTITIONS, "--replication", 1)
    size = ("-s", RECORD_BYTES)
    length = ("-d", seconds, "--warmup", warmup)
    reports = {"produce": bench(address, "produce", "full", *create, *size, *length, *WIDE_BATCHES)}
    reports["consume"] = bench(address, "consume", "full", "--delete")
    rate = ("-r", RATE, "-X", "linger.ms=0")
    reports["e2e"] = bench(address, "e2e", "paced", *create, *size, *length, *rate, "--delete")
    bench(address, "produce", "backlog", *create, *size, "-d", seconds, *WIDE_BATCHES)
    reports["mixed"] = bench(address, "mixed", "backlog", *size, *length, *rate, "--delete")
    return reports


def latency(workload, flow, name):
    return lambda reports: reports[workload][flow]["latency_us"][name] / 1e3


def megabytes(workload, flow):
    return lambda reports: reports[workload][flow]["bytes_per_s"] / 1e6


# name, unit, value of the reports of one round, whether more is better, whose rate must have been kept
ROWS = [
    ("produce as fast as possible", "MB/s", megabytes("produce", "produce"), True, None),
    ("consume from the beginning", "MB/s", megabytes("consume", "consume"), True, None),
    *[(f"end to end at {RATE}/s, {name}", "ms", latency("e2e", "consume", name), False, "e2e")
      for name in ("p50", "p99", "p99.9")],
    *[(f"ack at {RATE}/s, {name}", "ms", latency("e2e", "produce", name), False, "e2e")
      for name in ("p50", "p99", "p99.9")],
    (f"ack at {RATE}/s beside a backlog, p99", "ms", latency("mixed", "produce", "p99"), False, "mixed"),
]


def run_round(mode, system, seconds, warmup):
    options, configs = FSYNC[mode]
    with (Broker(*options) if system == "qbroker" else
          ApacheKafka(configs, jvm=KAFKA_JVM)) as broker:
        return measure(broker.address, seconds, warmup)


def table_rows(results, modes):
    """One dict a row of the table; `results`: {mode: {system: [reports of a round]}}."""
    rows = []
    for mode in modes:
        for name, unit, value, more_is_better, paced in ROWS:
            values = {system: [value(reports) for reports in results[mode][system]]
                      for system in SYSTEMS}
            ours, theirs = (statistics.median(values[system]) for system in SYSTEMS)

            def ratio(a, b):
                good, bad = (a, b) if more_is_better else (b, a)
                return good / bad if bad > 0 else float("inf")
            short = [system for system in SYSTEMS if paced and any(
                reports[paced]["produce"]["not_sent"] > 0 for reports in results[mode][system])]
            rounds = [ratio(a, b) for a, b in zip(*(values[system] for system in SYSTEMS))]
            rows.append({"fsync": mode, "row": name, "unit": unit, "qbroker": ours, "kafka": theirs,
                         "ratio": ratio(ours, theirs), "ratio_min": min(rounds),
                         "ratio_max": max(rounds), "rate_not_kept_by": short})
    return rows


def format_table(rows):
    lines = [("FSYNC", "WORKLOAD", "QBROKER", "KAFKA", "", "RATIO", "ROUNDS")]
    for row in rows:
        mark = {system: "*" if system in row["rate_not_kept_by"] else "" for system in SYSTEMS}
        lines.append((row["fsync"], row["row"], f"{row['qbroker']:.2f}{mark['qbroker']}",
                      f"{row['kafka']:.2f}{mark['kafka']}", row["unit"], f"{row['ratio']:.2f}",
                      f"{row['ratio_min']:.2f}..{row['ratio_max']:.2f}"))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = "\n".join("  ".join(cell.rjust(width) if i in (2, 3, 5) else cell.ljust(width) for
                               i, (cell, width) in enumerate(zip(line, widths))).rstrip()
                     for line in lines)
    if any(row["rate_not_kept_by"] for row in rows):
        text += "\n* the rate was not kept: the latency of records not sent is not in it"
    return text


def output_of(*command):
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return (done.stdout + done.stderr).strip() if done.returncode == 0 else "unknown"


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
        ("data on", output_of("stat", "-f", "-c", "%T", tempfile.gettempdir())),
        ("load before", " ".join(f"{load:.2f}" for load in os.getloadavg())),
        ("qbroker", f"{output_of(str(BIN / 'qbroker'), '--version')}, commit "
                    f"{output_of('git', 'rev-parse', '--short', 'HEAD')}"),
        ("kafka", f"Apache Kafka {kafka.group(1)}, JVM {' '.join(KAFKA_JVM)}"),
        ("java", output_of("java", "-version").splitlines()[0]),
    ]


def draw(rows, facts, subtitle):
    """The ratios as an SVG: a bar from 1 to each median on a logarithmic axis, a line over the rounds."""
    left, width, height, top = 330, 480, 24, 70
    low = min(0.5, *(row["ratio_min"] for row in rows))
    high = max(2.0, *(row["ratio_max"] for row in rows if row["ratio_max"] != float("inf")), 2.0)
    powers = [p for p in range(-10, 20) if low / 2 < 2.0 ** p < high * 2]
    first, last = powers[0], powers[-1]

    def x(ratio):
        place = (math.log2(max(min(ratio, 2.0 ** last), 2.0 ** first)) - first) / (last - first)
        return left + place * width
    bottom = top + height * len(rows)
    total = bottom + 40 + 15 * len(facts)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 90}" height="{total}" '
             f'font-family="sans-serif" font-size="12">',
             f'<rect width="{left + width + 90}" height="{total}" fill="white"/>',
             '<text x="10" y="22" font-size="16">qbroker against Apache Kafka</text>',
             f'<text x="10" y="40">{escape(subtitle)}</text>']
    for power in powers:
        parts.append(f'<line x1="{x(2.0 ** power):.1f}" x2="{x(2.0 ** power):.1f}" y1="{top - 6}" '
                     f'y2="{bottom}" stroke="{"black" if power == 0 else "#ccc"}"/>'
                     f'<text x="{x(2.0 ** power):.1f}" y="{top - 10}" text-anchor="middle">'
                     f'{2.0 ** power:g}</text>')
    for number, row in enumerate(rows):
        y = top + height * number
        middle = y + height / 2
        start, end = sorted((x(1), x(row["ratio"])))
        mark = "*" if row["rate_not_kept_by"] else ""
        color = "#2a7f4f" if row["ratio"] >= 1 else "#b5452c"
        parts.append(
            f'<text x="{left - 8}" y="{middle + 4}" text-anchor="end">'
            f'{escape(row["fsync"] + ": " + row["row"] + mark)}</text>'
            f'<rect x="{start:.1f}" y="{y + 4}" width="{max(end - start, 1):.1f}" '
            f'height="{height - 8}" fill="{color}"/>'
            f'<line x1="{x(row["ratio_min"]):.1f}" x2="{x(row["ratio_max"]):.1f}" y1="{middle}" '
            f'y2="{middle}" stroke="black"/>'
            f'<text x="{left + width + 8}" y="{middle + 4}">{row["ratio"]:.2f}{mark}</text>')
    for number, (name, value) in enumerate(facts):
        parts.append(f'<text x="10" y="{bottom + 30 + 15 * number}" font-size="11">'
                     f'{escape(f"{name}: {value}")}</text>')
    return "\n".join(parts) + "\n</svg>\n"


def main():
    parser = argparse.ArgumentParser(prog="compare.sh", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true",
                        help="one short round, to see that all works; its figures mean nothing")
    parser.add_argument("--rounds", type=int, default=None, help="rounds of each mode (default: 3)")
    parser.add_argument("--seconds", type=float, default=None,
                        help="length of each workload, without warm-up (default: 20)")
    parser.add_argument("--fsync", nargs="+", choices=list(FSYNC), default=["cached", "synced"],
                        help="see above (default: cached synced)")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/compare",
                        help="folder of results.json and compare.svg (default: build/compare)")
    options = parser.parse_args()
    rounds = options.rounds or (1 if options.quick else 3)
    seconds = options.seconds or (2 if options.quick else 20)
    warmup = 1 if options.quick else 5
    if rounds < 1 or seconds <= 0:
        parser.error("--rounds and --seconds must be above 0")
    for program in ("qbroker", "qtool"):
        if not (BIN / program).exists():
            sys.exit(f"compare.sh: {BIN / program} is missing (scripts/build.sh release)")
    modes = list(dict.fromkeys(options.fsync))
    java_peer.jars()
    facts = describe_machine()
    facts += [(f"fsync {mode}", f"qbroker {' '.join(FSYNC[mode][0]) or 'as it comes'}; Kafka "
               f"{' '.join(f'{k}={v}' for k, v in FSYNC[mode][1].items()) or 'as it comes'}")
              for mode in modes]
    if dict(facts)["data on"] == "tmpfs":
        print("compare.sh: the data lies in memory, fsync costs nothing; set TMPDIR", file=sys.stderr)

    results = {mode: {system: [] for system in SYSTEMS} for mode in modes}
    for number in range(rounds):
        for mode in modes:
            for system in SYSTEMS if number % 2 == 0 else SYSTEMS[::-1]:
                print(f"round {number + 1} of {rounds}, fsync {mode}: {system}", file=sys.stderr,
                      flush=True)
                results[mode][system].append(run_round(mode, system, seconds, warmup))
    rows = table_rows(results, modes)
    subtitle = (f"ratio of medians of {rounds} round(s) of {seconds:g} s; above 1 qbroker is better"
                + ("; QUICK: only shows that it works" if options.quick else ""))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.json").write_text(json.dumps(
        {"facts": dict(facts), "rounds": rounds, "seconds": seconds, "quick": options.quick,
         "rows": rows, "reports": results}, indent=1))
    (options.out / "compare.svg").write_text(draw(rows, facts, subtitle))
    for name, value in facts:
        print(f"{name}: {value}")
    print(f"{RECORD_BYTES} byte records, {PARTITIONS} partitions, acks=all, one producer, one consumer; "
          f"{subtitle}\n")
    print(format_table(rows))
    print(f"\n{options.out}/results.json, compare.svg")


if __name__ == "__main__":
    main()
