#!/usr/bin/env python3
"""Counts the instructions of the kernels of produce and fetch, and compares with a baseline.

Counts hardly depend on the machine and not on its load, so a change that makes a kernel dearer shows
on a busy one, too. They do depend on compiler and libraries: the baseline is of g++ 12 on Debian 12,
x86-64 with AVX2, release build. After a change that is meant, --record writes it anew: the commit
then shows what the change costs or saves.

The status is 1 when a kernel takes more than the tolerance above its baseline, or as much less: then
the baseline no longer guards it.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BASELINE = pathlib.Path(__file__).resolve().parent / "instructions.txt"
PROGRAM = ROOT / "build/release/bin/instruction_count"
TOLERANCE = 0.04
# Where the C library turns to "rep movsb" depends on the maker of the processor, and valgrind counts
# each byte of it.
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.cpu.x86_rep_movsb_threshold=1073741824:"
                                 "glibc.cpu.x86_rep_stosb_threshold=1073741824"}
ABOVE = 8  # instructions that never matter: a kernel of few would fail by one


def count():
    """{kernel: instructions of one run}"""
    with tempfile.TemporaryDirectory(prefix="qbroker-instructions-") as work:
        done = subprocess.run(["valgrind", "--tool=callgrind", "--instr-atstart=no",
                               f"--callgrind-out-file={work}/out", str(PROGRAM)],
                              capture_output=True, text=True, env={**os.environ, **ENVIRONMENT})
        if done.returncode != 0:
            sys.exit(f"instructions.sh: {PROGRAM} ended with {done.returncode}: {done.stderr[-2000:]}")
        runs = int(done.stdout)
        counts = {}
        for path in pathlib.Path(work).iterdir():
            text = path.read_text(errors="replace")
            named = re.search(r"^desc: Trigger: Client Request: (.*)$", text, re.M)
            total = re.search(r"^(?:summary|totals): (\d+)$", text, re.M)
            if named and total:
                counts[named.group(1)] = round(int(total.group(1)) / runs)
    return counts


def read_baseline():
    lines = [line for line in BASELINE.read_text().splitlines() if line and not line.startswith("#")]
    return {name: int(value) for value, name in (line.split(None, 1) for line in lines)}


def write_baseline(counts):
    lines = ["# Instructions of one run of each kernel; written by scripts/instructions.sh --record."]
    lines += [f"{value:8} {name}" for name, value in counts.items()]
    BASELINE.write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(prog="instructions.sh", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="write the baseline anew")
    options = parser.parse_args()
    if " avx2 " not in pathlib.Path("/proc/cpuinfo").read_text():
        sys.exit("instructions.sh: the baseline is of machines with AVX2, which this one lacks")
    if not PROGRAM.exists():
        sys.exit(f"instructions.sh: {PROGRAM} is missing (scripts/build.sh release instruction_count)")
    counts = dict(sorted(count().items()))
    if options.record:
        write_baseline(counts)
    baseline = read_baseline()
    off = 0
    for name in sorted(counts.keys() | baseline.keys()):
        now, was = counts.get(name), baseline.get(name)
        if now is None or was is None:
            off += 1
            print(f"{name:45} {'gone' if now is None else now:>10}  not in the baseline"
                  if was is None else f"{name:45} {'gone':>10}  baseline {was}")
            continue
        bad = abs(now - was) > max(ABOVE, TOLERANCE * was)
        off += bad
        print(f"{name:45} {now:10,}  {now / was - 1:+7.1%}{'  OFF' if bad else ''}")
    print(f"{len(counts) - off} kernels as in the baseline, {off} not")
    return 1 if off else 0


if __name__ == "__main__":
    sys.exit(main())
