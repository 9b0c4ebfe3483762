#!/usr/bin/env bash
# From a fresh Debian 12 to events in and out of a topic, in one command: installs what is needed,
# builds, starts a broker, pipes a real file through a topic, kills the broker with -9, starts it
# again, and shows that what was acknowledged is still there.
#   run.sh [FILE]   FILE: lines to produce (default: this project's README.md)
#   run.sh --help
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
-h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
-*) echo "run.sh: unknown argument '$1' (see --help)" >&2; exit 2 ;;
esac
input=${1:-README.md}
[ -r "$input" ] || { echo "run.sh: cannot read '$input'" >&2; exit 1; }

scripts/install-deps.sh
scripts/build.sh release
bin=build/release/bin
work=$(mktemp -d)
broker=
stop() {
  [ -z "$broker" ] || kill "$broker" 2>/dev/null || true
  [ -z "$broker" ] || wait "$broker" 2>/dev/null || true
  rm -rf "$work"
}
trap stop EXIT
start() {
  rm -f "$work/ready"
  "$bin/qbroker" --data-dir "$work/data" --listen 127.0.0.1:0 --ready-file "$work/ready" \
    2>>"$work/log" &
  broker=$!
  for _ in $(seq 500); do
    [ -s "$work/ready" ] && break
    kill -0 "$broker" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
    sleep 0.01
  done
  QTOOL_BROKERS=$(head -n 1 "$work/ready")
  export QTOOL_BROKERS
}

start
echo "== a broker on $QTOOL_BROKERS; create a topic"
"$bin/qtool" topic create demo
echo "== pipe $(wc -l <"$input") lines of $input into it"
"$bin/qtool" produce -t demo <"$input"
echo "== kill the broker with -9 and start it again"
kill -9 "$broker"
wait "$broker" 2>/dev/null || true
start
echo "== read it back: the last 5 lines"
"$bin/qtool" consume -t demo --from beginning --exit-at-end >"$work/out"
tail -n 5 "$work/out"
cmp "$input" "$work/out"
echo "== all $(wc -l <"$work/out") lines came back, byte for byte"
