#!/usr/bin/env bash
# Runs the deterministic simulator (tests/sim/README.md); builds it first.
#   sim.sh --seed N [--trace]          one seed: a replay of what a run reported
#   sim.sh [--seeds COUNT] [--first N] many (default 1000); 200 and more must hit every kind of fault
#          [--verify-trace]            each twice: the same seed must give the same trace
#   sim.sh --cluster [...]             the same with one to seven brokers: --seed, --seeds, --first;
#          [--jobs N] [--hours H]      N at a time (default: CPUs); for H hours instead of --seeds
#          [--faults I,J]              with --seed: only these faults of its plan; none: -
#   sim.sh --planted [--cluster]       each planted bug must be caught within 300 seeds
#   sim.sh --plant NAME [--cluster] [--seed N]   one planted bug
#   --preset NAME                      of CMakePresets.json (default release)
#   sim.sh --help
set -euo pipefail
cd "$(dirname "$0")/.."

readonly port_plants=(sync_lies entries_lie reordered write_caching)
readonly cluster_port_plants=(lost_txn_answer)
readonly plant_seeds=300
preset=release
plant=
planted=false
has_seeds=false
cluster=false
has_jobs=false
arguments=()
while [ $# -gt 0 ]; do
    case "$1" in
    -h | --help)
        sed -n '2,12s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    --preset | --plant)
        [ $# -ge 2 ] || { echo "sim.sh: $1 needs a value" >&2; exit 2; }
        printf -v "${1#--}" %s "$2"
        shift 2
        ;;
    --planted) planted=true; shift ;;
    --cluster) cluster=true; arguments+=("$1"); shift ;;
    --hours)
        [ $# -ge 2 ] || { echo "sim.sh: $1 needs a value" >&2; exit 2; }
        has_seeds=true
        arguments+=(--minutes "$(awk -v hours="$2" 'BEGIN { printf "%d", hours * 60 + 0.999 }')")
        shift 2
        ;;
    --jobs | --faults)
        [ $# -ge 2 ] || { echo "sim.sh: $1 needs a value" >&2; exit 2; }
        [ "$1" = --faults ] || has_jobs=true
        arguments+=("$1" "$2")
        shift 2
        ;;
    --trace | --verify-trace) arguments+=("$1"); shift ;;
    --seed | --seeds | --first)
        [ $# -ge 2 ] || { echo "sim.sh: $1 needs a value" >&2; exit 2; }
        [ "$1" = --first ] || has_seeds=true
        arguments+=("$1" "$2")
        shift 2
        ;;
    *) echo "sim.sh: what is '$1'? See --help." >&2; exit 2 ;;
    esac
done

build() {
    [ -f "build/$preset/build.ninja" ] || cmake --preset "$preset" >/dev/null
    local output
    output=$(cmake --build "build/$preset" --target "$1" 2>&1) || {
        printf '%s\n' "$output" >&2
        exit 1
    }
}

is_port_plant() {
    case " ${port_plants[*]} ${cluster_port_plants[*]} " in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

# run_plant NAME ARGUMENTS...: success when it was caught. Those in production code are programs of
# their own.
run_plant() {
    local name=$1
    shift
    if is_port_plant "$name"; then
        "build/$preset/bin/qsim" --plant "$name" "$@"
    else
        "build/$preset/bin/qsim_$name" --plant "$name" "$@"
    fi
}

if $cluster && ! $has_jobs; then arguments+=(--jobs "$(nproc)"); fi
if $planted; then
    if $cluster; then
        build qsim_cluster_plants
        read -ra names <<<"$(python3 tests/sim/plants.py --list --cluster | cut -d' ' -f1 | tr '\n' ' ')"
        names=("${cluster_port_plants[@]}" "${names[@]}")
    else
        build qsim_plants
        read -ra names <<<"$(python3 tests/sim/plants.py --list | cut -d' ' -f1 | tr '\n' ' ')"
        names=("${port_plants[@]}" "${names[@]}")
    fi
    caught=0
    missed=0
    for name in "${names[@]}"; do
        if output=$(run_plant "$name" "${arguments[@]}" --seeds "$plant_seeds" 2>&1); then
            caught=$((caught + 1))
        else
            missed=$((missed + 1))
        fi
        printf '%-24s %s\n' "$name" "$(grep -m1 -E '^seed|NOT CAUGHT' <<<"$output" || true)"
    done
    echo "$caught seeds passed, $missed failed"
    [ "$missed" -eq 0 ]
    exit
fi
$has_seeds || arguments+=(--seeds 1000)
if [ -n "$plant" ]; then
    if is_port_plant "$plant"; then build qsim; else build "qsim_$plant"; fi
    run_plant "$plant" "${arguments[@]}"
    exit
fi
build qsim
exec "build/$preset/bin/qsim" "${arguments[@]}"
