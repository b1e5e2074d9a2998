#!/bin/sh
# Builds and runs every test: in the release build the unit, tree and end-to-end tests, then the unit
# tests again under AddressSanitizer with UBSan, with each fuzzer for a few seconds, and those with
# threads under ThreadSanitizer.
#   scripts/test.sh [JOBS]
# One run of ctest at the end covers all three builds, so that its closing lines count every test.
set -eu
jobs=${1:-$(nproc)}
top=$(pwd)

asan_tests="base_test;net_test;rpc_test;raft_test;raft_losses_test;wal_test;wal_crash_test;store_test"
asan_tests="$asan_tests;replica_test;peer_test;machine_test;auth_test;telemetry_test;service_test;standard_test;config_test;lincheck_test"
asan_tests="$asan_tests;snapshot_test;certificates_test;node_test;sim_test;serf_test;serf_agent_test"
tsan_tests="auth_test;net_test;rpc_test;peer_test;store_test;wal_test;telemetry_test;serf_agent_test;replica_test"
tsan_tests="$tsan_tests;service_test;standard_test;node_test;machine_test;e2e/cluster_kill"

build() { # NAME TARGETS CMAKE_OPTION...
  name=$1
  targets=$2
  shift 2
  begin=$(date +%s)
  cmake -S . -B "build/$name" -G Ninja "$@" >/dev/null
  # shellcheck disable=SC2086 # The list is meant to be split.
  cmake --build "build/$name" -j "$jobs" --target $targets
  echo "== build/$name: $(($(date +%s) - begin)) s"
}

build test all -DCMAKE_BUILD_TYPE=Release -DMOKV_BUILD_BENCH=ON
clang="-DCMAKE_CXX_COMPILER=clang++-19 -DCMAKE_C_COMPILER=clang-19 -DCMAKE_BUILD_TYPE=RelWithDebInfo"
# shellcheck disable=SC2086 # Both lists are meant to be split.
build asan "unit_tests fuzzers" $clang -DMOKV_FUZZ=ON -DMOKV_TESTS="$asan_tests" -DMOKV_TEST_PREFIX=asan/
# shellcheck disable=SC2086
build tsan unit_tests $clang -DMOKV_SANITIZE=thread -DMOKV_TESTS="$tsan_tests" -DMOKV_TEST_PREFIX=tsan/

mkdir -p build/all
for name in test asan tsan; do
  echo "subdirs(\"$top/build/$name\")"
done >build/all/CTestTestfile.cmake
# Seeds that nobody has simulated before; the same again with MOKV_SIM_SEED=N.
MOKV_SIM_SEED=${MOKV_SIM_SEED:-$(date +%s)000}
export MOKV_SIM_SEED
echo "== simulator: new seeds from MOKV_SIM_SEED=$MOKV_SIM_SEED"
# Its closing lines are the last that this prints; they say how long the tests took.
ctest --test-dir build/all --output-on-failure -j "$jobs"
