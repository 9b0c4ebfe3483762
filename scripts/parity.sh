#!/usr/bin/env bash
# Compares the answers of qbroker and of a real Apache Kafka; prints what differs.
#   parity.sh [--case NAME ...] [--verbose] [--list]
#   parity.sh --help
# Needs build/release/bin/qbroker, Java and Maven. Meant differences: tests/parity/known.txt.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
-h | --help) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
exec /usr/bin/python3 scripts/parity.py "$@"
