#!/usr/bin/env bash
# A fast subset of nox -s sanitizers: the C++ tests that need no kernels of molecular dynamics and flows, once under the address and
# undefined-behaviour sanitizers and once, those of threads, under the thread sanitizer. Needs doctest, CMake, Ninja and GCC or Clang.
#
#     .ci/sanitizers.sh BUILDFOLDER
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=$1
options=(-DGLASSNF_INSTRUCTION_SETS=none -DGLASSNF_LENNARD_JONES_ONLY=ON)

cmake --preset address -B "$build/address" "${options[@]}" >/dev/null
cmake --build "$build/address" --parallel 2 >/dev/null
ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 "$build/address/tests/cpp/glassnf_tests_baseline"
cmake --preset thread -B "$build/thread" "${options[@]}" -DGLASSNF_TEST_FILES="test_threads.cpp;test_backend.cpp" >/dev/null
cmake --build "$build/thread" --parallel 2 >/dev/null
TSAN_OPTIONS=halt_on_error=1 "$build/thread/tests/cpp/glassnf_tests_baseline"
