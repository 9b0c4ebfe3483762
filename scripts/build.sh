#!/usr/bin/env bash
# Builds qbroker and qtool.
#   build.sh [PRESET] [TARGET ...]   PRESET: release (default), debug, asan, tsan, fuzz
#   build.sh --help
# The programs are then build/PRESET/bin/qbroker and build/PRESET/bin/qtool.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
-h | --help) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;;
-*) echo "build.sh: unknown argument '$1' (see --help)" >&2; exit 2 ;;
esac
preset=${1:-release}
shift || true
python3 scripts/check_includes.py
# Again when it was configured without doctest: that may have come since, and brings the tests.
if [ ! -f "build/$preset/build.ninja" ] ||
  grep -q '^doctest_DIR:PATH=.*-NOTFOUND' "build/$preset/CMakeCache.txt"; then
  cmake --preset "$preset" >/dev/null
fi
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(qbroker qtool)
cmake --build "build/$preset" --target "${targets[@]}"
