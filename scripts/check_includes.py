#!/usr/bin/env python3
"""Checks the include graph: no folder includes one above it, and headers and calls that break the
simulator (clocks, threads, randomness, uv.h) stand only where the graph file allows them.

usage: check_includes.py [--help]     exit status 0: clean, 1: violations (one line each)
The graph: scripts/include_graph.txt.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def read_graph(path):
    allowed, bans = {}, []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        if line.startswith("ban "):
            pattern, places = line[4:].rsplit(":", 1)
            bans.append((re.compile(pattern), places.split(), pattern))
            continue
        folder, _, rest = line.partition(":")
        if folder in allowed:
            sys.exit(f"{path}:{number}: {folder} twice")
        allowed[folder] = set(rest.split())
    return allowed, bans


def folder_of(path, folders):
    """The longest folder of the graph that holds the path."""
    best = None
    for folder in folders:
        if path.startswith(folder + "/") and (best is None or len(folder) > len(best)):
            best = folder
    return best


def check_acyclic(allowed):
    state = {}

    def visit(folder, trail):
        if state.get(folder) == "done":
            return
        if state.get(folder) == "open":
            sys.exit("the include graph has a cycle: " + " -> ".join(trail + [folder]))
        state[folder] = "open"
        for lower in sorted(allowed.get(folder, ())):
            if not (folder == "cli/commands" and lower == "cli"):  # context and exit codes
                visit(lower, trail + [folder])
        state[folder] = "done"

    for folder in allowed:
        visit(folder, [])


def main():
    if len(sys.argv) > 1:
        print(__doc__)
        return 0 if sys.argv[1] in ("-h", "--help") else 2
    allowed, bans = read_graph(ROOT / "scripts/include_graph.txt")
    check_acyclic(allowed)
    bad = 0
    for top in ("lib", "cli", "server", "tests"):
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix not in (".h", ".cc"):
                continue
            name = path.relative_to(ROOT).as_posix()
            folder = folder_of(name, allowed)
            if top != "tests" and folder is None:
                print(f"{name}: its folder is not in scripts/include_graph.txt")
                bad += 1
                continue
            for number, line in enumerate(path.read_text().splitlines(), 1):
                code = line.split("//")[0]
                for pattern, places, text in bans:
                    if pattern.search(code) and not any(name.startswith(p) for p in places):
                        print(f"{name}:{number}: '{text}' may stand only in {' '.join(places)}")
                        bad += 1
                match = INCLUDE.match(line)
                if not match or top == "tests":
                    continue
                target = folder_of(match.group(1), allowed)
                if target is None:
                    print(f"{name}:{number}: \"{match.group(1)}\" is not a path from the root")
                    bad += 1
                elif target != folder and target not in allowed[folder]:
                    print(f"{name}:{number}: {folder} may not include {target}")
                    bad += 1
    if bad:
        print(f"{bad} violations of scripts/include_graph.txt", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
