#!/usr/bin/env python3
"""What qbroker pays for each workload: instructions and system calls a request, by thread.

Counts, not times: they hardly change on a machine that others use, too. Each workload runs three
times on a fresh broker, by tool:

  callgrind  instructions in user space a request, of each thread; the functions that took most
  strace     system calls a request, of each thread
  plain      nothing attached: CPU time a request, user and system, of each thread

The broker is some 50 times slower under callgrind, so that more is waiting for each turn of a core;
where a workload has no rate, batches are as full as they can be. A request is one produce or fetch
that the broker counted meanwhile. The data lies in $TMPDIR (else /tmp).
"""
import argparse
import collections
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from tests.harness.broker import BIN, Broker  # noqa: E402  (after the path is set)

TOOLS = ("callgrind", "strace", "plain")
WIDE = ("-X", "batch.size=200000", "-X", "linger.ms=5")
LONE = ("-X", "batch.size=0", "-X", "linger.ms=0")
ONE_IN_FLIGHT = (*LONE, "-X", "max.in.flight.requests.per.connection=1")
CACHED = ("--set", "write.caching=true")
# Of a client of a broker under callgrind.
PATIENCE = ("-X", "request.timeout.ms=120000", "-X", "delivery.timeout.ms=300000")


class Workload:
    """`bench`: makes the arguments of qtool bench, of as many records as the tool can stand.
    `before`: the same of what must be there first, not counted."""

    def __init__(self, about, bench, options=(), before=None, partitions=6):
        self.about = about
        self.bench = bench
        self.options = options
        self.before = before
        self.partitions = partitions


def produce(count, *args):
    return lambda scale: ["produce", "-n", str(int(count * scale)), *args]


def for_seconds(workload, rate, *args):
    return lambda scale: [workload, "-r", str(rate), "-n", str(int(rate * 5 * scale)), *args]


WORKLOADS = {
    "produce-wide": Workload("1,000 byte records, many a batch, as fast as possible; not synced",
                             produce(400_000, *WIDE), CACHED),
    "produce-lone": Workload("one record a request, one request in flight; not synced",
                             produce(10_000, *ONE_IN_FLIGHT), CACHED, partitions=1),
    "produce-lone-synced": Workload("one record a request, one request in flight; synced",
                                    produce(5_000, *ONE_IN_FLIGHT), partitions=1),
    "produce-rate-synced": Workload("one record a request at 4,000/s, five in flight; synced",
                                    for_seconds("produce", 4000, *LONE)),
    "idempotent": Workload("200 byte records, idempotent, as fast as possible; not synced",
                           produce(400_000, "-s", "200", "-X", "enable.idempotence=true"), CACHED),
    "not-idempotent": Workload("the same without idempotence",
                               produce(400_000, "-s", "200", "-X", "enable.idempotence=false"),
                               CACHED),
    "keys-50": Workload("50 producers, records with keys, 12 partitions; not synced",
                        produce(200_000, "--producers", "50", "--key-count", "100000"), CACHED,
                        partitions=12),
    "consume": Workload("what lies in the page cache, from the beginning",
                        lambda scale: ["consume", "-n", str(int(400_000 * scale))], CACHED,
                        before=produce(420_000, *WIDE)),
    "tail": Workload("end to end at 2,000/s, one record a request; not synced",
                     for_seconds("e2e", 2000, *LONE), CACHED),
    "partitions-1000": Workload("records with keys over 1,000 partitions at 4,000/s; synced",
                                for_seconds("produce", 4000, "--key-count", "1000000",
                                            "-X", "linger.ms=20"), partitions=1000,
                                before=produce(20_000, "--key-count", "1000000")),
}
# Of the records; under callgrind less is enough.
SCALE = {"callgrind": 0.3, "strace": 0.3, "plain": 1}


def qtool_bench(address, args, create=None):
    command = [str(BIN / "qtool"), "-b", address, "--timeout", "300", "-o", "json", "bench",
               args[0], "-t", "load", *args[1:], *PATIENCE]
    if create:
        command += ["--create", "-p", str(create), "--replication", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\nended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def broker_counters(broker):
    """{counter with its labels: value}"""
    _, text = broker.http("GET", "/metrics")
    found = collections.Counter()
    for line in text.splitlines():
        if line.startswith("#") or " " not in line:
            continue
        name, value = line.rsplit(" ", 1)
        found[name] += float(value)
    return found


def requests_between(before, after):
    """{api: requests} of produce and fetch, and some more counters."""
    told = {}
    for name in after:
        if name.startswith("qbroker_requests_total{"):
            api = re.search(r'api="([^"]*)"', name).group(1).lower()
            if api in ("produce", "fetch") and after[name] > before[name]:
                told[api] = int(after[name] - before[name])
    for name, kind in (("batches", "qbroker_batches_appended_total"),
                       ("records", "qbroker_records_appended_total"),
                       ("bytes_in", "qbroker_appended_bytes_total"),
                       ("bytes_out", "qbroker_fetched_bytes_total"),
                       ("flushes", "qbroker_flushes_total"),
                       ("mails", "qbroker_mails_total")):
        for full in after:
            if full.split("{")[0] == kind:
                told[name] = told.get(name, 0) + int(after[full] - before[full])
    return told


def threads_of(pid):
    """In order of creation: main, the data cores, the metadata core, others."""
    return sorted(int(path.name) for path in pathlib.Path(f"/proc/{pid}/task").iterdir())


def name_thread(number, core_count):
    """`number`: 0 is the main thread, then in order of creation."""
    if number == 0:
        return "main"
    if number <= core_count:
        return f"core {number - 1}"
    return "metadata" if number == core_count + 1 else "io"


# ---- tools --------------------------------------------------------------------------------------


def run_callgrind(workload, cores, work, top):
    prefix = ["valgrind", "--tool=callgrind", "--separate-threads=yes", "--collect-systime=no",
              "--instr-atstart=no", "--fair-sched=yes", f"--callgrind-out-file={work}/out"]
    broker = Broker(*workload.options, "--cores", str(cores), prefix=prefix)
    with broker:
        pid = broker.process.pid
        scale = SCALE["callgrind"]
        if workload.before:
            qtool_bench(broker.address, workload.before(scale), workload.partitions)
        before = broker_counters(broker)
        subprocess.run(["callgrind_control", "-i", "on", str(pid)], check=True, capture_output=True)
        qtool_bench(broker.address, workload.bench(scale), None if workload.before else workload.partitions)
        subprocess.run(["callgrind_control", "-i", "off", str(pid)], check=True, capture_output=True)
        after = broker_counters(broker)
        subprocess.run(["callgrind_control", "-d", str(pid)], check=True, capture_output=True)
    told = requests_between(before, after)
    per_thread = collections.Counter()
    self_cost = collections.Counter()
    for path in pathlib.Path(work).iterdir():
        if found := re.match(r"out.*-(\d+)$", path.name):
            name = name_thread(int(found.group(1)) - 1, cores)
            per_thread[name] += add_self_cost(path, self_cost)
    return told, per_thread, self_cost.most_common(top)


def add_self_cost(path, self_cost):
    """Adds the lines of a callgrind file that are no calls, by function; returns their sum. The
    format is in valgrind's manual, "Callgrind Format Specification"."""
    total = 0
    names = {}
    function = None
    skip = False
    for line in path.open(errors="replace"):
        if skip:
            skip = False  # the line after calls= is the inclusive cost of the call
            continue
        head = line[:1]
        if head in "0123456789+-*":
            parts = line.split()
            if function is not None and len(parts) >= 2:
                self_cost[function] += int(parts[-1])
                total += int(parts[-1])
        elif line.startswith("fn="):
            function = resolve(line[3:].strip(), names)
        elif line.startswith("cfn="):
            resolve(line[4:].strip(), names)
        elif line.startswith("calls="):
            skip = True
    return total


def resolve(text, names):
    found = re.match(r"\((\d+)\)(?: (.*))?$", text)
    if found is None:
        return text
    if found.group(2):
        names[found.group(1)] = re.sub(r"'\d+$", "", found.group(2))
    return names.get(found.group(1), text)


def run_strace(workload, cores, work):
    with Broker(*workload.options, "--cores", str(cores)) as broker:
        pid = broker.process.pid
        scale = SCALE["strace"]
        if workload.before:
            qtool_bench(broker.address, workload.before(scale), workload.partitions)
        before = broker_counters(broker)
        tids = threads_of(pid)
        out = pathlib.Path(work) / "strace"
        tracer = subprocess.Popen(["strace", "-f", "-qq", "-s", "0", "-e", "signal=none", "-o",
                                   str(out), "-p", str(pid)], stderr=subprocess.DEVNULL)
        time.sleep(1)
        qtool_bench(broker.address, workload.bench(scale), None if workload.before else workload.partitions)
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        after = broker_counters(broker)
    calls = collections.defaultdict(collections.Counter)
    for line in out.open(errors="replace"):
        found = re.match(r"(\d+) +(\w+)\(", line)
        if found is None or " resumed>" in line[:40]:
            continue
        tid = int(found.group(1))
        number = tids.index(tid) if tid in tids else len(tids) + 1
        calls[name_thread(number, cores)][found.group(2)] += 1
    return requests_between(before, after), calls


def cpu_of_threads(pid):
    """{tid: (user ticks, system ticks, voluntary switches)}"""
    found = {}
    for path in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            fields = (path / "stat").read_text().rsplit(")", 1)[1].split()
            switches = re.search(r"^voluntary_ctxt_switches:\s*(\d+)", (path / "status").read_text(), re.M)
        except FileNotFoundError:
            continue
        found[int(path.name)] = (int(fields[11]), int(fields[12]), int(switches.group(1)))
    return found


def run_plain(workload, cores):
    with Broker(*workload.options, "--cores", str(cores)) as broker:
        pid = broker.process.pid
        if workload.before:
            qtool_bench(broker.address, workload.before(1), workload.partitions)
        before = broker_counters(broker)
        tids = threads_of(pid)
        cpu_before = cpu_of_threads(pid)
        qtool_bench(broker.address, workload.bench(1), None if workload.before else workload.partitions)
        cpu_after = cpu_of_threads(pid)
        after = broker_counters(broker)
    spent = collections.defaultdict(lambda: [0, 0, 0])
    for tid, values in cpu_after.items():
        number = tids.index(tid) if tid in tids else len(tids) + 1
        was = cpu_before.get(tid, (0, 0, 0))
        for i in range(3):
            spent[name_thread(number, cores)][i] += values[i] - was[i]
    return requests_between(before, after), spent


# ---- printing -----------------------------------------------------------------------------------


def describe(told):
    parts = [f"{told[key]:,} {key}" for key in ("produce", "fetch") if told.get(key)]
    parts += [f"{told[key]:,} {key}" for key in ("batches", "records", "flushes", "mails") if told.get(key)]
    moved = told.get("bytes_in", 0) + told.get("bytes_out", 0)
    parts.append(f"{moved / 1e6:,.1f} MB moved")
    return ", ".join(parts)


def show(name, workload, cores, tools, top):
    print(f"{name}: {workload.about}")
    for tool in tools:
        work = tempfile.mkdtemp(prefix="qbroker-profile-")
        try:
            if tool == "callgrind":
                show_callgrind(*run_callgrind(workload, cores, work, top))
            elif tool == "strace":
                show_strace(*run_strace(workload, cores, work))
            else:
                show_plain(*run_plain(workload, cores))
        finally:
            shutil.rmtree(work, ignore_errors=True)
        sys.stdout.flush()


def per_request(told):
    return max(told.get("produce", 0) + told.get("fetch", 0), 1)


def per_gb(told, value):
    moved = told.get("bytes_in", 0) + told.get("bytes_out", 0)
    return value / (moved / 1e9) if moved else 0


def show_callgrind(told, per_thread, functions):
    total = sum(per_thread.values())
    print(f"  callgrind: {total / per_request(told):,.0f} instructions a request, "
          f"{per_gb(told, total) / 1e6:,.0f} million a GB  ({describe(told)})")
    print("    " + ", ".join(f"{name} {cost / per_request(told):,.0f}"
                             for name, cost in sorted(per_thread.items()) if cost))
    for function, cost in functions:
        print(f"    {cost / max(total, 1):6.1%}  {cost / per_request(told):8,.0f}  {function[:110]}")


def show_strace(told, calls):
    total = sum(sum(counts.values()) for counts in calls.values())
    print(f"  strace: {total / per_request(told):.2f} system calls a request, "
          f"{per_gb(told, total):,.0f} a GB  ({describe(told)})")
    for name, counts in sorted(calls.items()):
        text = ", ".join(f"{call} {count / per_request(told):.2f}" for call, count in counts.most_common(7)
                         if count / per_request(told) >= 0.005)
        print(f"    {name}: {sum(counts.values()) / per_request(told):.2f}  ({text})")


def show_plain(told, spent):
    user, system, switches = (sum(values[i] for values in spent.values()) for i in range(3))
    print(f"  plain: {(user + system) * 1e4 / per_request(told):.1f} us of CPU a request (user "
          f"{user * 1e4 / per_request(told):.1f}, system {system * 1e4 / per_request(told):.1f}), "
          f"{per_gb(told, (user + system) / 100):.2f} s a GB, "
          f"{switches / per_request(told):.2f} sleeps a request  ({describe(told)})")
    print("    " + ", ".join(f"{name} {(values[0] + values[1]) * 1e4 / per_request(told):.1f} us"
                             for name, values in sorted(spent.items()) if values[0] + values[1]))


def main():
    parser = argparse.ArgumentParser(prog="profile.sh", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", nargs="*", help="which ones (default: all)")
    parser.add_argument("--list", action="store_true", help="name the workloads")
    parser.add_argument("--tool", nargs="+", choices=TOOLS, default=list(TOOLS), help="default: all")
    parser.add_argument("--cores", type=int, default=2, help="of the broker (default: 2)")
    parser.add_argument("--top", type=int, default=8, help="functions to name (default: 8)")
    options = parser.parse_args()
    if options.list:
        for name, workload in WORKLOADS.items():
            print(f"{name:20} {workload.about}")
        return
    unknown = [name for name in options.workload if name not in WORKLOADS]
    if unknown:
        parser.error(f"no workload {', '.join(unknown)} (see --list)")
    for name in options.workload or WORKLOADS:
        show(name, WORKLOADS[name], options.cores, options.tool, options.top)


if __name__ == "__main__":
    main()
