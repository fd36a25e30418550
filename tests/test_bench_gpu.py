"""The scripts that measure and check the GPU work where there is none: they say why, or run on the CPU in its place."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "bench"

PTXAS = """
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_ZN7glassnf4cuda5sweepILi2EEEvPd' for 'sm_80'
ptxas info    : Function properties for _ZN7glassnf4cuda5sweepILi2EEEvPd
    32 bytes stack frame, 8 bytes spill stores, 16 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 32 bytes cumulative stack size, 512 bytes smem, 364 bytes cmem[0]
ptxas info    : Function properties for _ZN7glassnf4cuda6helperEPd
    96 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Compiling entry function '_ZN7glassnf4cuda5sweepILi2EEEvPd' for 'sm_90'
ptxas info    : Function properties for _ZN7glassnf4cuda5sweepILi2EEEvPd
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 38 registers, used 1 barriers, 512 bytes smem
"""

CUOBJDUMP = """
Fatbin elf code:
================
arch = sm_80

Resource usage:
 Common:
  GLOBAL:0
 Function _ZN7glassnf4cuda5sweepILi2EEEvPd:
  REG:40 STACK:32 SHARED:512 LOCAL:0 CONSTANT[0]:364 TEXTURE:0 SURFACE:0 SAMPLER:0

Fatbin elf code:
================
arch = sm_90

Resource usage:
 Common:
  GLOBAL:0
 Function _ZN7glassnf4cuda5sweepILi2EEEvPd:
  REG:38 STACK:0 SHARED:1536 LOCAL:0 CONSTANT[0]:540 TEXTURE:0 SURFACE:0 SAMPLER:0
"""


def run(script: str, *arguments: object, status: int = 0, **environment: str) -> str:
    """Run a script and return what it printed, errors included."""
    command = [sys.executable, str(BENCH / script), *(str(argument) for argument in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **environment}, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def resources() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kernel_resources", BENCH / "kernel_resources.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("script", ["cuda_backend.py", "sanitizer_case.py"])
def test_without_a_device_the_script_says_why(script: str) -> None:
    assert len(run(script, status=2, CUDA_VISIBLE_DEVICES="-1").split(":", 1)[1]) > 20


def test_benchmark_on_the_cpu_in_place_of_the_gpu(tmp_path: Path) -> None:
    path = tmp_path / "cuda.json"
    sizes = ("--replicas", 4, 8, "--medium-replicas", 1, "--largest", 0, "--equilibration", 10)
    run("cuda_backend.py", "--device", "cpu", *sizes, "--seconds", 0.01, "--repetitions", 2, "-o", path)
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["errors"] == {}
    assert document["agreement"]["first sweeps of N=43"] == {"replicas": 4, "sweeps": 20, "same_bits": True}
    assert document["agreement"]["first time steps of N=43"] == {"replicas": 4, "steps": 20, "same_bits": True}
    assert {"N=43 x 4, nve", "N=43 x 4, langevin", "N=1290 x 1, nve"} <= set(document["steps_per_s"])
    assert {"N=43 x 8", "N=43 x 8, 20 % swaps", "N=1290 x 1", "one core, N=43"} <= set(document["moves_per_s"])
    assert {"N=43 x 8, pair field", "N=43 x 8, trajectory, 2 layers of messages"} <= set(document["evaluations_per_s"])
    assert all(ratio["median"] > 0 for ratio in document["ratios"].values())
    assert document["state"]["N=43 x 8"]["pairs_per_move"] == pytest.approx(42.0)
    report = run("report.py", path)
    assert "| N=43 x 8 |" in report
    assert "| N=43 x 8, nve |" in report
    assert "| torch operator and gradient |" in report


def test_report_of_cpp_benchmarks(tmp_path: Path) -> None:
    path = tmp_path / "cuda_microbenchmarks.json"
    one = {
        "name": "forces/float64/N=43/manual_time",
        "real_time": 0.5,
        "time_unit": "ms",
        "configurations/s": 1e8,
        "pairs/s": 9e10,
    }
    failed = {"name": "energy/mixed/N=43/manual_time", "error_occurred": True, "error_message": "out of memory"}
    context = {"date": "2026-01-01T00:00:00+00:00", "executable": "build/glassnf_cuda_benchmarks"}
    path.write_text(json.dumps({"context": context, "benchmarks": [one, failed]}), encoding="utf-8")
    report = run("report.py", path)
    assert "| forces/float64/N=43 | 0.5 ms | 100 M configurations/s | 90 G pairs/s |" in report
    assert "| energy/mixed/N=43 | out of memory |  |  |" in report


def test_kernel_resources_of_both_sources_agree(resources: ModuleType) -> None:
    log = resources.readable(resources.from_log(PTXAS))
    dump = resources.readable(resources.from_cuobjdump(CUOBJDUMP))
    assert resources.differences(log, dump) == []
    assert set(log) == set(dump)
    (name, architecture), *_ = log
    assert architecture == "sm_80"
    assert log[name, "sm_80"] == resources.Resources(40, 512, 32, 8, 16, 364)
    assert dump[name, "sm_90"] == resources.Resources(38, 512, 0, None, None, 540)


@pytest.mark.skipif(shutil.which("c++filt") is None, reason="no c++filt to demangle with")
def test_kernel_names_are_short(resources: ModuleType) -> None:
    assert resources.demangled(["_ZN7glassnf4cuda5sweepILi2EEEvPd"]) == {"_ZN7glassnf4cuda5sweepILi2EEEvPd": "sweep<2>"}
    full = "void glassnf::cuda::(anonymous namespace)::mc<2, glassnf::generic::LennardJones, true, (int)8>(double*, int)"
    assert resources.short(full) == "mc<2, LennardJones, true, 8>"


def test_kernel_table_is_read_as_it_was_written(resources: ModuleType, tmp_path: Path) -> None:
    table = resources.readable(resources.from_log(PTXAS))
    assert resources.parsed(resources.markdown(table)) == table
    log, document = tmp_path / "build.log", tmp_path / "kernels.md"
    log.write_text(PTXAS, encoding="utf-8")
    run("kernel_resources.py", "--log", log, "-o", document)
    assert "2 kernels as in" in run("kernel_resources.py", "--log", log, "--check", "-o", document)
    log.write_text(PTXAS.replace("Used 38", "Used 64"), encoding="utf-8")
    assert "registers 64, in the document 38" in run("kernel_resources.py", "--log", log, "--check", "-o", document, status=1)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_gpu_check_wants_a_folder(tmp_path: Path) -> None:
    script = str(BENCH / "gpu_check.sh")
    usage = subprocess.run(["bash", script], capture_output=True, text=True, check=False)
    assert usage.returncode == 2
    assert "OUTDIR" in usage.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_gpu_check_records_a_step_that_fails(tmp_path: Path) -> None:
    """Without a build the benchmark cannot run; the summary is written all the same, and the status says so."""
    environment = {**os.environ, "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": "-1"}
    command = ["bash", str(BENCH / "gpu_check.sh"), str(tmp_path), "benchmarks"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 1, done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["passed"] is False
    assert summary["steps"]["benchmarks"]["rc"] == 2
    assert "no CUDA benchmark" in summary["steps"]["benchmarks"]["note"]
