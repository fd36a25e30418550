#!/usr/bin/env bash
# Everything that needs a GPU, in one go, on a machine without network: build with CUDA, run the CUDA tests, compute-sanitizer on a small
# case, and all CUDA benchmarks. Within 8 minutes, whatever happens: every step has a time limit, and a step that fails does not stop the
# others.
#
#     bench/gpu_check.sh OUTDIR [STEP ...]
#
# STEP: build, device, tests, memcheck, racecheck, initcheck, synccheck, benchmarks, microbenchmarks, resources; all by default.
# Needs Python with NumPy, h5py, matplotlib, rich, typer, pytest, hypothesis, torch or CuPy, scikit-build-core, pybind11, CMake, Ninja and
# the CUDA toolkit; installs nothing but a copy of glassnf in a temporary folder.
#
# OUTDIR gets: summary.json, build.log, tests.log, sanitizers.log, benchmarks.log, cuda.json, cuda_microbenchmarks.json, cuda_kernels.md.
# Environment: PYTHON, CUDACXX, GPU_CHECK_SECONDS (limit of all together), GPU_CHECK_ARCHITECTURES (instead of those of CMakeLists.txt).
# Exit status: 0 if every step passed.
set -u -o pipefail

if [ $# -lt 1 ]; then
  echo "usage: $0 OUTDIR [STEP ...]" >&2
  exit 2
fi
mkdir -p "$1" || exit 2
out=$(cd "$1" && pwd) || exit 2
shift
steps=" ${*:-build device tests memcheck racecheck initcheck synccheck benchmarks microbenchmarks resources} "
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2

python=${PYTHON:-python3}
limit_of_all=${GPU_CHECK_SECONDS:-470}
time_of_benchmarks=190
until=$limit_of_all
work=$(mktemp -d) || exit 2
site=$work/site
build=$work/build
: >"$work/steps"

for folder in /usr/local/cuda/bin /usr/local/cuda/compute-sanitizer; do
  [ -d "$folder" ] && PATH=$PATH:$folder
done
export PATH MPLBACKEND=Agg PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
export HYPOTHESIS_STORAGE_DIRECTORY=$work/hypothesis CMAKE_BUILD_PARALLEL_LEVEL
CMAKE_BUILD_PARALLEL_LEVEL=$(nproc 2>/dev/null || echo 4)

# ---- summary -----------------------------------------------------------------------------------------------------------------------

summary() {
  "$python" - "$work/steps" "$work/device.json" "$out/summary.json" "$SECONDS" <<'PYTHON'
import datetime as dt
import importlib.metadata
import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

steps, device, target, seconds = sys.argv[1:]


def output(*command):
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


names = ("glassnf", "numpy", "torch", "cupy-cuda13x", "cupy-cuda12x", "pybind11", "scikit-build-core", "pytest")
rows = [line.rstrip("\n").split("\t") for line in Path(steps).read_text(errors="replace").split("\n") if line]
results = {name: {"rc": int(rc), "seconds": float(took), "note": note} for name, rc, took, note in rows}
query = output("nvidia-smi", "--query-gpu=name,driver_version,memory.total,compute_cap,clocks.max.sm", "--format=csv,noheader")
nvcc = output("nvcc", "--version") or ""
document = {
    "date": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
    "passed": bool(results) and all(result["rc"] == 0 for result in results.values()),
    "seconds": int(seconds),
    "gpu": query.splitlines() if query else None,
    "glassnf": json.loads(Path(device).read_text()) if Path(device).exists() else None,
    "versions": {"python": platform.python_version(), **{name: version(name) for name in names}},
    "nvcc": next((line.strip() for line in nvcc.splitlines() if "release" in line), None),
    "commit": output("git", "rev-parse", "HEAD"),
    "steps": results,
}
Path(target).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
for name, result in results.items():
    print(f"{name:16} {'passed' if result['rc'] == 0 else 'FAILED'} {result['seconds']:6.1f} s  {result['note']}")
sys.exit(0 if document["passed"] else 1)
PYTHON
}

finish() {
  trap - EXIT INT TERM
  jobs -p | xargs -r kill 2>/dev/null
  summary
  status=$?
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT
trap 'exit 1' INT TERM

# ---- steps -------------------------------------------------------------------------------------------------------------------------

wanted() { case $steps in *" $1 "*) return 0 ;; *) return 1 ;; esac; }

# note NAME: the line of a step's log that tells most.
note() {
  local line=""
  case $1 in
    tests) line=$(grep -E '^=* ?[0-9]+ [a-z]+.* in [0-9.]+s' "$2" | tail -n 1) ;;
    memcheck | racecheck | initcheck | synccheck) line=$(grep -E 'SUMMARY' "$2" | tail -n 1) ;;
  esac
  [ -n "$line" ] || line=$(grep -v '^$' "$2" | tail -n 1)
  printf '%s' "$line" | tr -d '=\r' | tr '\t' ' ' | cut -c 1-200 | tr -d '\n'
}

# step NAME LIMIT LOG COMMAND...: run with a time limit, append the output to LOG, and remember how it ended.
step() {
  local name=$1 limit=$2 log=$3 begin=$SECONDS left=$((until - SECONDS)) rc=0 own
  shift 3
  wanted "$name" || return 0
  [ "$left" -lt "$limit" ] && limit=$left
  own=$(mktemp "$work/$name.XXXXXX")
  if [ "$limit" -lt 3 ]; then
    echo "not started: no time left" >"$own"
    rc=124
  else
    timeout --kill-after=5 "$limit" "$@" >"$own" 2>&1 </dev/null || rc=$?
    [ "$rc" = 124 ] && echo "stopped: time limit of $limit s" >>"$own"
  fi
  { printf '==== %s: %s\n' "$name" "$*"; cat "$own"; printf '==== %s: status %s after %s s\n\n' "$name" "$rc" $((SECONDS - begin)); } >>"$log"
  printf '%s\t%s\t%s\t%s\n' "$name" "$rc" $((SECONDS - begin)) "$(note "$name" "$own")" >>"$work/steps"
  printf '[%3d s] %s: status %s\n' "$SECONDS" "$name" "$rc"
  return "$rc"
}

# Without warnings as errors where a compiler that nobody here has tried has something to say; the second try compiles what is left.
build() {
  local -a options=(--no-build-isolation --no-deps --no-index --no-cache-dir --upgrade --verbose --target "$site")
  options+=(-C "build-dir=$build" -C cmake.define.GLASSNF_CUDA=ON -C cmake.define.GLASSNF_BENCHMARKS=ON)
  if [ -n "${GPU_CHECK_ARCHITECTURES:-}" ]; then
    options+=(-C "cmake.define.CMAKE_CUDA_ARCHITECTURES=$GPU_CHECK_ARCHITECTURES")
  fi
  "$python" -m pip install "${options[@]}" . && return 0
  echo "---- again, warnings allowed"
  "$python" -m pip install "${options[@]}" -C cmake.define.GLASSNF_WERROR=OFF .
}

device() {
  "$python" - "$work/device.json" <<'PYTHON'
import json
import sys
from pathlib import Path

import glassnf as gnf
from glassnf import _core

gnf.cuda.require()
found = {"file": _core.__file__, "device": _core.cuda_device_name(0), "memory": _core.cuda_memory(0)}
Path(sys.argv[1]).write_text(json.dumps(found), encoding="utf-8")
print(found["device"])
PYTHON
}

# Test files that mention a device, but for those whose libraries are not installed here.
test_files() {
  "$python" - <<'PYTHON'
import ast
import importlib.util
import re
import sys
from pathlib import Path

sys.path.insert(0, "tests")
for path in sorted(Path("tests").glob("test_*.py")):
    text = path.read_text(encoding="utf-8")
    if not re.search(r"cuda|\bdevice\b|\bon_device\b", text):
        continue
    names = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.partition(".")[0])
    missing = sorted(name for name in names if importlib.util.find_spec(name) is None)
    if missing:
        print(f"left out: {path}, which needs {', '.join(missing)}", file=sys.stderr)
    else:
        print(path)
PYTHON
}

tests() {
  local -a files parallel=()
  mapfile -t files < <(test_files)
  "$python" -c 'import xdist' 2>/dev/null && parallel=(-n 4)
  # pytest-benchmark warns under xdist, and warnings are errors here; newer libraries than those pinned may deprecate something.
  GLASSNF_REQUIRE_GPU=1 "$python" -m pytest -p no:cacheprovider -p no:benchmark -W default::DeprecationWarning -k cuda \
    --continue-on-collection-errors --durations=10 "${parallel[@]}" "${files[@]}"
}

sanitizer() {
  local -a options=(--tool "$1" --error-exitcode 9 --print-limit 20)
  # Kernels of CUB write what ours read: initcheck has to see both.
  [ "$1" = initcheck ] || options+=(--kernel-name kns=glassnf)
  [ "$1" = memcheck ] && options+=(--padding 64 --report-api-errors no)
  compute-sanitizer "${options[@]}" "$python" bench/sanitizer_case.py
}

benchmarks() { "$python" bench/cuda_backend.py -o "$out/cuda.json"; }

microbenchmarks() {
  local program=$build/bench/cpp/glassnf_cuda_benchmarks
  if [ ! -x "$program" ]; then
    echo "skipped: Google Benchmark was not found when glassnf was built"
    return 0
  fi
  "$program" --benchmark_min_time=0.1 --benchmark_out="$out/cuda_microbenchmarks.json" --benchmark_out_format=json
}

resources() { "$python" bench/kernel_resources.py -o "$out/cuda_kernels.md"; }

# `timeout` runs programs, not functions: each step is a bash of its own that knows them.
export python out site build work
export -f build device test_files tests sanitizer benchmarks microbenchmarks resources

step build 200 "$out/build.log" bash -c build
step device 30 "$out/build.log" bash -c device

# What is right or wrong can run side by side, and leaves time for the benchmarks.
until=$((limit_of_all - time_of_benchmarks))
step tests 170 "$out/tests.log" bash -c tests &
(
  for tool in memcheck racecheck synccheck initcheck; do
    step "$tool" 60 "$out/sanitizers.log" bash -c "sanitizer $tool"
  done
) &
wait
until=$limit_of_all

# What is timed has the machine for itself.
step benchmarks 170 "$out/benchmarks.log" bash -c benchmarks
step microbenchmarks 40 "$out/benchmarks.log" bash -c microbenchmarks
step resources 20 "$out/benchmarks.log" bash -c resources
