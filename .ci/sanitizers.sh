#!/usr/bin/env bash
# A fast subset of nox -s sanitizers: C++ tests of Monte Carlo, molecular dynamics, exchanges and threads with the kernels of Lennard-Jones in
# two dimensions, under the address and undefined-behaviour sanitizers and, those of threads, under the thread sanitizer. Needs doctest,
# CMake, Ninja and GCC or Clang.
#
#     .ci/sanitizers.sh BUILDFOLDER
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1

check() {
  local preset=$1 files=$2
  cmake --preset "$preset" -B "$build/$preset" -DGLASSNF_INSTRUCTION_SETS=none -DGLASSNF_FEW_KERNELS=ON -DGLASSNF_TEST_FILES="$files" >/dev/null
  cmake --build "$build/$preset" --parallel 2 >"$build/$preset.log" || { tail -n 60 "$build/$preset.log"; exit 1; }
  "$build/$preset/tests/cpp/glassnf_tests_baseline"
}

build=$1
mkdir -p "$build"
check address "test_threads.cpp;test_backend.cpp;test_group_sampler.cpp;test_group_dynamics.cpp;test_exchange.cpp;test_resampling.cpp"
check thread "test_threads.cpp;test_backend.cpp"
