"""What the machine takes when nobody does anything with the bytes (tests/bench/floor.cc), as a third column."""
import json
import subprocess
import tempfile

from scripts.comparison.groups import is_measured
from scripts.comparison.systems import settle
from tests.harness.broker import BIN

PROGRAM = BIN / "floor"  # scripts/build.sh release floor
FLOOR_S_MAX = 240


def has_floor(group):
    return any(row.floor for row in group.rows)


def measure_floor(seconds):
    """{name: {figure: value}}; `seconds`: of each rate."""
    settle()
    done = subprocess.run([PROGRAM, "--json", "--seconds", str(max(1, round(seconds))), tempfile.gettempdir()],
                          capture_output=True, text=True, timeout=FLOOR_S_MAX)
    if done.returncode != 0:
        raise RuntimeError(f"{PROGRAM} ended with {done.returncode}: {done.stderr[-500:]}")
    return json.loads(done.stdout)


def floor_values(group, mode, found):
    """{row: value} of the rows that have a floor in this mode."""
    return {row.key: found[name][figure] for row in group.rows
            if mode in (row.floor or {}) and is_measured(row, mode)
            for name, figure in [row.floor[mode]]}
