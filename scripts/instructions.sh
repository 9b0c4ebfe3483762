#!/usr/bin/env bash
# Counts the instructions of the small pieces of produce and fetch; fails when they became dearer.
#   instructions.sh            compares with tests/bench/instructions.txt
#   instructions.sh --record   writes it anew
#   instructions.sh --help
# Needs valgrind (install-deps.sh --bench) and build/release. Takes some ten seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
-h | --help) ;;
*) scripts/build.sh release instruction_count >/dev/null ;;
esac
exec /usr/bin/python3 tests/bench/instructions.py "$@"
