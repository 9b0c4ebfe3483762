#!/usr/bin/env bash
# Measures qbroker and Apache Kafka on this machine with 'qtool bench'; prints a table, draws a plot.
#   compare.sh [--rows GROUP ...|all] [--quick] [--rounds N] [--seconds S]
#              [--fsync cached|synced|default ...] [--only qbroker|kafka] [--out FOLDER]
#   compare.sh --help
# Needs build/release/bin, Java and Maven (which fetches Kafka once). Takes about 20 minutes; --quick 2.
set -euo pipefail
cd "$(dirname "$0")/.."
exec /usr/bin/python3 scripts/compare.py "$@"
