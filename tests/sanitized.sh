#!/usr/bin/env bash
# Python tests with an extension under the address and undefined-behaviour sanitizers of GCC.
#
#     tests/sanitized.sh BUILDFOLDER TEST [...]
#
# Builds the extension for the baseline instruction set, whose loops the sanitizers see through, lays it over a copy of the package, and
# runs pytest with the sanitizers' libraries loaded first. Leaks are not looked for: Python itself leaks at exit; tests/test_memory.py
# measures them instead. Environment: PYTHON, CMAKE_ARGS.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=$1
shift
python=${PYTHON:-python3}
pybind=$("$python" -m pybind11 --cmakedir)

# shellcheck disable=SC2086
cmake --preset address -B "$build" -DGLASSNF_PYTHON=ON -DGLASSNF_TESTS=OFF -DGLASSNF_INSTRUCTION_SETS=none \
  -DPython_EXECUTABLE="$(command -v "$python")" -Dpybind11_DIR="$pybind" ${CMAKE_ARGS:-} >/dev/null
cmake --build "$build" --target _core

site=$build/site
rm -rf "$site"
mkdir -p "$site"
cp -R python/glassnf "$site/"
rm -f "$site"/glassnf/_core*.so
cp "$build"/_core*.so "$site/glassnf/"
libraries="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
site=$(cd "$site" && pwd)
# Python's own allocator would hide what the extension does beyond the end of an object.
exec env PYTHONPATH="$site:$PWD/tests" PYTHONMALLOC=malloc OMP_NUM_THREADS=1 LD_PRELOAD="$libraries" \
  ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1 \
  "$python" -X faulthandler -m pytest -n 0 -p no:cacheprovider "$@"
