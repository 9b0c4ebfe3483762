#!/usr/bin/env bash
# Installs what the tests need, builds, and runs all tests. The last line printed is
# "N passed, N failed" (", N skipped" may follow); the exit status is 0 when nothing failed.
#   test.sh [--only LEVEL,...]   LEVEL: static unit bench port wire sim fuzz cli interop system
#   test.sh --help
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
-h | --help) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
scripts/install-deps.sh --tests
# Debian's own Python: confluent_kafka is packaged for it, not for another one in PATH.
exec /usr/bin/python3 scripts/run_tests.py "$@"
