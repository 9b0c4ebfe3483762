#!/usr/bin/env bash
# Looks for data races: qbroker and qtool, built with ThreadSanitizer, under everything at once
# (tests/system/races.py): one broker of several cores, then three on etcd, half a minute each.
#   tsan.sh [--seconds N] [--cores N] [--only one|three]
#   tsan.sh --help
# The build takes some minutes the first time. Exit status 1: there is a report, kept in
# build/tsan/reports, or the load did not do its work. scripts/tsan.supp says what is not reported and why.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
-h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
scripts/build.sh tsan qbroker qtool
reports=build/tsan/reports
rm -rf "$reports"
mkdir -p "$reports"
status=0
# exitcode: a program with a report still ends as it would, so that the load goes on.
QT_BUILD=build/tsan TSAN_OPTIONS="log_path=$PWD/$reports/report suppressions=$PWD/scripts/tsan.supp \
halt_on_error=0 second_deadlock_stack=1 history_size=7 exitcode=0" \
  /usr/bin/python3 -m tests.system.races "$@" || status=1
count=$(cat "$reports"/report.* 2>/dev/null | grep -c '^WARNING: ThreadSanitizer' || true)
if [ "$count" -ne 0 ]; then
  grep -h '^SUMMARY: ThreadSanitizer' "$reports"/report.* | sort | uniq -c | sort -rn
  status=1
fi
echo "$count reports of ThreadSanitizer in $reports"
exit "$status"
