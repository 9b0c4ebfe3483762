#!/usr/bin/env bash
# Installs what building qbroker and qtool needs from Debian 12's own packages. Safe to run again.
#   install-deps.sh            to build and run
#   install-deps.sh --cluster  also etcd, which several brokers need
#   install-deps.sh --tests    also what the tests use: etcd, kcat, librdkafka, Java, clang, valgrind
#   install-deps.sh --bench    what tests/bench uses: valgrind, strace, Google benchmark
#   install-deps.sh --help
set -euo pipefail

build=(build-essential cmake ninja-build pkg-config python3 libuv1-dev libcli11-dev
  nlohmann-json3-dev libfmt-dev libexpected-dev libisal-dev zlib1g-dev liblz4-dev libzstd-dev
  libsnappy-dev libsqlite3-dev libboost-dev libre2-dev
  libcurl4-openssl-dev)
cluster=(etcd-server etcd-client curl)
tests=("${cluster[@]}" doctest-dev clang-14 clang-format-14 clang-tidy-14 libclang-rt-14-dev
  kcat librdkafka-dev python3-confluent-kafka openjdk-17-jdk-headless maven jq procps valgrind)
bench=(valgrind strace libbenchmark-dev)

case "${1:-}" in
"") packages=("${build[@]}") ;;
--cluster) packages=("${build[@]}" "${cluster[@]}") ;;
--tests) packages=("${build[@]}" "${tests[@]}") ;;
--bench) packages=("${build[@]}" "${bench[@]}") ;;
-h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
*) echo "install-deps.sh: unknown argument '$1' (see --help)" >&2; exit 2 ;;
esac

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
    missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "all packages are installed"
  exit 0
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "install-deps.sh: needs root to install: ${missing[*]}" >&2
    exit 1
  }
  as_root=(sudo)
fi
echo "installing: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
