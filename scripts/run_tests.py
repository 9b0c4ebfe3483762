#!/usr/bin/env python3
"""Builds and runs the tests, level by level; scripts/test.sh calls it after installing what they need.

  run_tests.py [--only LEVEL,...] [--list]

The last line is "N passed, N failed"; the status is 0 when nothing failed. A level that cannot be
built, or that ends without saying how many cases it ran, counts as one failure: silence never passes.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RELEASE = ROOT / "build/release"
ASAN = ROOT / "build/asan"
FUZZ = ROOT / "build/fuzz"

SIM_SEEDS = 3000
SIM_TRACE_SEEDS = 300  # run twice: the same seed must give the same run
SIM_ASAN_SEEDS = 40
SIM_CLUSTER_SEEDS = 3000
SIM_CLUSTER_TRACE_SEEDS = 60
FUZZ_SECONDS = 15  # for each target
# Groups and transactions again where coordinators, leaders and followers are different brokers.
INTEROP_IN_CLUSTER = ["group_test", "transactions_test", "transactions_java_test",
                      "groups_test.GroupsTest.test_members_of_the_consumer_protocol",
                      "groups_test.GroupsTest.test_group_command"]
TIDY_FILES_MAX = 24  # some ten seconds each on one core


class Counts:
    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.failures = []

    def ok(self, count=1):
        self.passed += count

    def bad(self, what, count=1):
        self.failed += count
        self.failures.append(what)


def run(counts, command, parse=None, env=None, what=None):
    """Runs a command, shows what it prints, and counts: what `parse` finds in its output, else one
    case by its status."""
    what = what or " ".join(str(part) for part in command)
    print(f"--- {what}", flush=True)
    start = time.monotonic()
    process = start_process(command, env)
    lines = []
    for raw in process.stdout:
        line = raw.decode(errors="replace")
        lines.append(line)
        sys.stdout.write(line)
        sys.stdout.flush()
    status = process.wait()
    return count(counts, what, status, "".join(lines), parse, time.monotonic() - start)


def run_all(counts, commands, parse=None):
    """As run for each, as many at a time as there are cores; what one prints stays together."""
    def one(command):
        start = time.monotonic()
        process = start_process(command)
        output = process.stdout.read().decode(errors="replace")
        return command, process.wait(), output, time.monotonic() - start

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for command, status, output, took_s in pool.map(one, commands):
            what = " ".join(str(part) for part in command)
            print(f"--- {what}\n{output}", flush=True)
            count(counts, what, status, output, parse, took_s)


def start_process(command, env=None):
    return subprocess.Popen([str(part) for part in command], cwd=ROOT, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})


def count(counts, what, status, output, parse, took_s):
    print(f"--- took {took_s:.0f} s", flush=True)
    if parse is None:
        counts.ok() if status == 0 else counts.bad(what)
        return status == 0
    found = parse(output)
    if found is None:
        counts.bad(f"{what}: ended with {status} and named no cases")
        return False
    passed, failed = found
    counts.ok(passed)
    if failed > 0 or status != 0:
        counts.bad(what, max(failed, 1))
        counts.failures += failed_cases(output)
    return failed == 0 and status == 0


def parse_doctest(output):
    found = re.findall(r"test cases:\s*(\d+)\s*\|\s*(\d+) passed\s*\|\s*(\d+) failed", output)
    if not found:
        return None
    return sum(int(f[1]) for f in found), sum(int(f[2]) for f in found)


def parse_unittest(output):
    ran = re.findall(r"^Ran (\d+) tests? in", output, re.M)
    if not ran:
        return None
    bad = 0
    for kind in ("failures", "errors", "unexpected successes", "skipped"):
        # A skipped case did not show what it is there to show: everything it needs is installed.
        bad += sum(int(n) for n in re.findall(rf"[(, ](?<!expected ){kind}=(\d+)", output))
    total = sum(int(n) for n in ran)
    return max(total - bad, 0), bad


def failed_cases(output):
    """The cases unittest and doctest say failed, with what they say first about each: the end of a
    long log is what people see."""
    cases = [found.strip() for found in
             re.findall(r"^(?:FAIL|ERROR|UNEXPECTED SUCCESS): .*", output, re.M)]
    case = ""
    for line in output.splitlines():
        if line.startswith("TEST CASE:"):
            case = line
        elif re.search(r": (?:FATAL )?ERROR: ", line):
            cases.append(f"{case} {line}")
    return ["    " + case for case in cases]


def build(counts, preset, *targets):
    return run(counts, ["scripts/build.sh", preset, *targets])


def python_tests(counts, folder):
    """Each file in a process of its own, the largest first: most of them wait most of the time."""
    files = sorted((ROOT / folder).glob("*_test.py"), key=lambda path: -path.stat().st_size)
    run_all(counts, [[sys.executable, "-m", "unittest", "-v",
                      f"{folder.replace('/', '.')}.{path.stem}"] for path in files], parse_unittest)


# ---- levels -------------------------------------------------------------------------------------

def sources():
    listed = subprocess.run(["git", "ls-files", "*.cc", "*.h"], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout.split()
    return [name for name in listed if (ROOT / name).exists()]


def changed_sources():
    """Sources the current branch changes against where it came from, else those of the last commit."""
    for base in ("origin/main", "HEAD~1"):
        diff = subprocess.run(["git", "diff", "--name-only", "--diff-filter=d", f"{base}...HEAD"],
                              cwd=ROOT, capture_output=True, text=True)
        if diff.returncode == 0 and diff.stdout.strip():
            return [name for name in diff.stdout.split() if name.endswith(".cc")]
    return [name for name in sources() if name.endswith(".cc")]


def level_static(counts):
    run(counts, [sys.executable, "scripts/check_includes.py"])
    run(counts, ["clang-format-14", "--dry-run", "-Werror", *sources()],
        what="clang-format-14 on all sources")
    scripts = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "scripts").glob("*.sh"))
    run(counts, ["bash", "-n", *scripts])
    if build(counts, "release"):
        names = [n for n in changed_sources() if not n.startswith("tests/")]
        if len(names) > TIDY_FILES_MAX:
            print(f"clang-tidy: {len(names)} files changed, looking at the first {TIDY_FILES_MAX}")
        run_all(counts, [["clang-tidy-14", "-p", RELEASE, "--quiet", name]
                         for name in names[:TIDY_FILES_MAX]])


def doctest_binaries(folder, prefix):
    """The largest first: they take the longest."""
    found = [path for path in (folder / "bin").glob(prefix + "*") if os.access(path, os.X_OK)]
    return sorted(found, key=lambda path: (-path.stat().st_size, path))


def level_unit(counts):
    if build(counts, "asan", "unit_tests"):
        run_all(counts, [[binary] for binary in doctest_binaries(ASAN, "unit_")], parse_doctest)
    run(counts, [sys.executable, "-m", "unittest", "discover", "-v", "-s", "tests/unit/scripts",
                 "-p", "*_test.py"], parse_unittest)


def parse_kernels(output):
    found = re.findall(r"^(\d+) kernels as in the baseline, (\d+) not", output, re.M)
    return (int(found[-1][0]), int(found[-1][1])) if found else None


def level_bench(counts):
    if build(counts, "release", "allocation_tests", "instruction_count"):
        run(counts, [RELEASE / "bin/allocation_tests"], parse_doctest)
        run(counts, ["scripts/instructions.sh"], parse_kernels)


def level_port(counts):
    if build(counts, "asan", "port_tests"):
        run(counts, [ASAN / "bin/port_tests"], parse_doctest)


def level_wire(counts):
    if build(counts, "asan", "wire_tests"):
        run(counts, [ASAN / "bin/wire_tests"], parse_doctest)


def parse_sim(output):
    found = re.findall(r"^(\d+) seeds passed, (\d+) failed", output, re.M)
    return (int(found[-1][0]), int(found[-1][1])) if found else None


def level_sim(counts):
    if build(counts, "release", "qsim"):
        run(counts, ["scripts/sim.sh", "--seeds", str(SIM_TRACE_SEEDS), "--verify-trace"],
            parse_sim)
        run(counts, ["scripts/sim.sh", "--seeds", str(SIM_SEEDS)], parse_sim)
        run(counts, ["scripts/sim.sh", "--planted"], parse_sim)
        run(counts, ["scripts/sim.sh", "--cluster", "--seeds", str(SIM_CLUSTER_TRACE_SEEDS),
                     "--verify-trace"], parse_sim)
        run(counts, ["scripts/sim.sh", "--cluster", "--seeds", str(SIM_CLUSTER_SEEDS)], parse_sim)
    if build(counts, "asan", "qsim"):
        run(counts, ["scripts/sim.sh", "--preset", "asan", "--seeds", str(SIM_ASAN_SEEDS)],
            parse_sim)


def level_fuzz(counts):
    if not build(counts, "fuzz", "fuzzers"):
        return
    commands = []
    for binary in sorted((FUZZ / "bin").glob("fuzz_*")):
        corpus = FUZZ / "corpus" / binary.name
        corpus.mkdir(parents=True, exist_ok=True)
        commands.append([binary, f"-max_total_time={FUZZ_SECONDS}", "-rss_limit_mb=2048",
                         "-print_final_stats=1", f"-artifact_prefix={FUZZ}/", corpus])
    run_all(counts, commands)


def level_cli(counts):
    if build(counts, "release"):
        python_tests(counts, "tests/cli")


def parse_parity(output):
    found = re.findall(r"^(\d+) answers alike, \d+ known differences, (\d+) unexpected", output, re.M)
    return (int(found[-1][0]), int(found[-1][1])) if found else None


def level_interop(counts):
    if build(counts, "release"):
        python_tests(counts, "tests/interop")
        run(counts, [sys.executable, "-m", "unittest", "-v",
                     *(f"tests.interop.{name}" for name in INTEROP_IN_CLUSTER)],
            parse_unittest, env={"QT_CLUSTER": "3"}, what="tests/interop in a cluster of three")
        run(counts, ["scripts/parity.sh"], parse_parity)


def level_system(counts):
    if build(counts, "release"):
        python_tests(counts, "tests/system")


LEVELS = {name[len("level_"):]: function for name, function in list(globals().items())
          if name.startswith("level_")}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="levels to run, comma separated: " + ",".join(LEVELS))
    parser.add_argument("--list", action="store_true", help="print the levels and end")
    args = parser.parse_args()
    if args.list:
        print("\n".join(LEVELS))
        return 0
    wanted = args.only.split(",") if args.only else list(LEVELS)
    unknown = [name for name in wanted if name not in LEVELS]
    if unknown:
        parser.error(f"unknown level {', '.join(unknown)}; there are {', '.join(LEVELS)}")

    counts = Counts()
    for name in wanted:
        start = time.monotonic()
        print(f"=== {name}", flush=True)
        LEVELS[name](counts)
        print(f"=== {name}: {time.monotonic() - start:.0f} s", flush=True)
    for failure in counts.failures:
        print(failure if failure.startswith(" ") else f"FAILED: {failure}")
    print(f"{counts.passed} passed, {counts.failed} failed")
    return 1 if counts.failed else 0


if __name__ == "__main__":
    sys.exit(main())
