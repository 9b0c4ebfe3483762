#!/usr/bin/env bash
# Counts what qbroker pays for each workload: instructions and system calls a request, by thread.
#   profile.sh [WORKLOAD ...] [--tool callgrind|strace|plain ...] [--cores N] [--top N]
#   profile.sh --list | --help
# Needs build/release/bin, valgrind and strace (install-deps.sh --bench). Takes some ten minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
exec /usr/bin/python3 tests/bench/profile.py "$@"
