#!/usr/bin/env bash
# A cluster on this machine: etcd and N brokers, each a process, data under one directory.
#   cluster.sh start [N] [-- OPTION ...]   start what does not run (default: 3 brokers), wait until all
#                                          are live; OPTIONs go to each broker
#   cluster.sh stop                        stop all, gracefully; the data stays
#   cluster.sh status                      what runs, and where; exit 1 unless all are live
#   cluster.sh --help
# The directory is $QBROKER_CLUSTER_DIR, else ./qbroker-cluster; ports are free ones, chosen at the
# first start and kept. Programs: $QBROKER_BIN (default: build/release/bin), etcd from the PATH.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

dir=${QBROKER_CLUSTER_DIR:-./qbroker-cluster}
bin=${QBROKER_BIN:-$root/build/release/bin}
wait_s=${QBROKER_CLUSTER_WAIT_S:-60}
cluster=qbroker # its name in etcd

die() {
  echo "cluster.sh: $*" >&2
  exit 1
}
usage() {
  echo "cluster.sh: $* (see --help)" >&2
  exit 2
}

# Ports that nobody listens on now; all are held while they are chosen, so none comes twice.
free_ports() {
  python3 -c '
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print("\n".join(str(s.getsockname()[1]) for s in held))' "$1"
}

# The process of a pid file, when it is still that one.
pid_of() {
  local pid
  pid=$(cat "$1/pid" 2>/dev/null) || return 1
  { tr '\0' '\n' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qxF -- "$1/data" || return 1
  echo "$pid"
}
etcd_url() { echo "http://127.0.0.1:$(head -n 1 "$dir/etcd/ports")"; }
address() { echo "127.0.0.1:$(cat "$1/port")"; }
broker_dirs() { find "$dir" -maxdepth 1 -name 'broker-*' | sort -V; }

etcd_answers() {
  curl -fsS -m 2 "$(etcd_url)/health" 2>/dev/null | grep -q '"health":"true"'
}
# The keys live/<id> that etcd holds: what brokers and controller go by.
live_ids() {
  local key end
  key=$(printf '%s' "/qbroker/$cluster/meta/live/" | base64 -w 0)
  end=$(printf '%s' "/qbroker/$cluster/meta/live0" | base64 -w 0)
  curl -fsS -m 2 "$(etcd_url)/v3/kv/range" \
    -d "{\"key\":\"$key\",\"range_end\":\"$end\",\"keys_only\":true}" 2>/dev/null |
    python3 -c '
import base64, json, sys
for entry in json.load(sys.stdin).get("kvs", []):
    print(base64.b64decode(entry["key"]).decode().rsplit("/", 1)[1])' 2>/dev/null || true
}

start_etcd() {
  local home=$dir/etcd client peer
  mkdir -p "$home"
  [ -s "$home/ports" ] || free_ports 2 >"$home/ports"
  pid_of "$home" >/dev/null && return
  command -v etcd >/dev/null || die "etcd is not installed (scripts/install-deps.sh --tests)"
  client=http://127.0.0.1:$(sed -n 1p "$home/ports")
  peer=http://127.0.0.1:$(sed -n 2p "$home/ports")
  setsid etcd --name etcd --data-dir "$home/data" --listen-client-urls "$client" \
    --advertise-client-urls "$client" --listen-peer-urls "$peer" \
    --initial-advertise-peer-urls "$peer" --initial-cluster "etcd=$peer" \
    --auto-compaction-mode periodic --auto-compaction-retention 1h --logger zap --log-level warn >>"$home/log" 2>&1 </dev/null &
  echo $! >"$home/pid"
  for _ in $(seq $((wait_s * 10))); do
    etcd_answers && return
    pid_of "$home" >/dev/null || die "etcd ended: $(tail -n 3 "$home/log")"
    sleep 0.1
  done
  die "etcd does not answer: see $home/log"
}

start_broker() { # ID OPTION...
  local home=$dir/broker-$1 id=$1
  shift
  mkdir -p "$home"
  [ -s "$home/port" ] || free_ports 1 >"$home/port"
  pid_of "$home" >/dev/null && return
  rm -f "$home/ready"
  setsid "$bin/qbroker" --data-dir "$home/data" --node-id "$id" --cluster "$cluster" --etcd "$(etcd_url)" \
    --listen "$(address "$home")" --ready-file "$home/ready" "$@" \
    >>"$home/log" 2>&1 </dev/null &
  echo $! >"$home/pid"
}

wait_until_live() { # COUNT
  local home id waiting
  for _ in $(seq $((wait_s * 10))); do
    waiting=
    for id in $(seq "$1"); do
      home=$dir/broker-$id
      pid_of "$home" >/dev/null || die "broker $id ended: $(tail -n 3 "$home/log")"
      [ -s "$home/ready" ] && live_ids | grep -qx "$id" || waiting+=" $id"
    done
    [ -n "$waiting" ] || return 0
    sleep 0.1
  done
  die "brokers not live after $wait_s s:$waiting; see the logs in $dir"
}

start() {
  local count=3 id
  if [ $# -gt 0 ] && [ "$1" != -- ]; then
    count=$1
    shift
  fi
  [[ $count =~ ^[1-9][0-9]?$ ]] || usage "N must be a number of brokers from 1 to 99, not '$count'"
  if [ $# -gt 0 ]; then
    [ "$1" = -- ] || usage "unknown argument '$1'"
    shift
  fi
  [ -x "$bin/qbroker" ] || die "no $bin/qbroker: build it with scripts/build.sh"
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  start_etcd
  for id in $(seq "$count"); do
    start_broker "$id" "$@"
  done
  wait_until_live "$count"
  status || true # others of an earlier start may not run
}

stop_one() { # HOME SECONDS
  local pid
  pid=$(pid_of "$1") || return 0
  kill "$pid" 2>/dev/null || true
  for _ in $(seq $(($2 * 10))); do
    pid_of "$1" >/dev/null || return 0
    sleep 0.1
  done
  echo "cluster.sh: ${1##*/} did not stop in $2 s: killed" >&2
  kill -9 "$pid" 2>/dev/null || true
}

stop() {
  local home
  [ -d "$dir" ] || die "no cluster in $dir"
  dir=$(cd "$dir" && pwd)
  for home in $(broker_dirs); do
    stop_one "$home" 30 &
  done
  wait
  stop_one "$dir/etcd" 10
  echo "stopped; the data is in $dir"
}

status() {
  local home pid state live all_live=0 brokers=
  [ -d "$dir/etcd" ] || die "no cluster in $dir"
  dir=$(cd "$dir" && pwd)
  live=$(live_ids)
  if pid=$(pid_of "$dir/etcd") && etcd_answers; then
    echo "etcd      $(etcd_url)  pid $pid"
  else
    echo "etcd      $(etcd_url)  does not answer"
    all_live=1
  fi
  for home in $(broker_dirs); do
    state="not running"
    if pid=$(pid_of "$home"); then
      state="pid $pid"
      grep -qx "${home##*-}" <<<"$live" || state+="  not live"
    fi
    [[ $state =~ ^pid\ [0-9]+$ ]] || all_live=1
    printf '%-9s %s  %s\n' "${home##*/}" "$(address "$home")" "$state"
    brokers+=${brokers:+,}$(address "$home")
  done
  echo "export QTOOL_BROKERS=$brokers"
  return "$all_live"
}

case "${1:-}" in
start)
  shift
  start "$@"
  ;;
stop)
  [ $# -eq 1 ] || usage "stop takes no argument"
  stop
  ;;
status)
  [ $# -eq 1 ] || usage "status takes no argument"
  status
  ;;
-h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0" ;;
*) usage "unknown argument '${1:-}'" ;;
esac
