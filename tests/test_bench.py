"""The benchmark scripts run, check their physics, and write what the report reads; tiny sizes, so the numbers mean nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parent.parent / "bench"
COMPILER = os.environ.get("CC", "gcc")

needs_compiler = pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"no C compiler {COMPILER!r} to build the opponent")


def run(script: str, *arguments: object) -> str:
    command = [sys.executable, str(BENCH / script), *(str(argument) for argument in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def result(script: str, path: Path, *arguments: object) -> dict[str, Any]:
    run(script, "-o", path, *arguments)
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert document["benchmark"] == path.stem
    assert document["date"].startswith("20")
    assert document["machine"]["cpu"]
    return document


@needs_compiler
def test_monte_carlo(tmp_path: Path) -> None:
    path = tmp_path / "monte_carlo.json"
    document = result("monte_carlo.py", path, "--seconds", 0.05, "--repetitions", 2, "--equilibration", 1000, "--largest", 1290)
    assert set(document["moves_per_s"]) == {"brute force", "N=43", "N=1290", "brute force, swap", "N=43, swap"}
    assert all(len(rate["values"]) == 2 and rate["median"] > 0 for rate in document["moves_per_s"].values())
    assert all(ratio["median"] > 0 for ratio in document["ratios"].values())
    assert all(0 < limit["fraction_of_flops"] < 1 for limit in document["limits"].values())
    report = run("report.py", path)
    assert "displacements: glassnf / brute force | 4, aim 6 |" in report
    assert "### monte_carlo" in report


@needs_compiler
def test_energy(tmp_path: Path) -> None:
    path = tmp_path / "energy.json"
    document = result("energy.py", path, "--configurations", 8, "--seconds", 0.01, "--repetitions", 2, "--eager")
    assert len(document["configurations_per_s"]) == 6
    assert document["settings"]["compiled"] is False
    assert 0 < document["limits"]["fraction_of_flops"] < 1
    assert "energy and forces: glassnf / torch.compile" in run("report.py", path)


@needs_compiler
def test_flow_field(tmp_path: Path) -> None:
    path = tmp_path / "flow_field.json"
    document = result(
        "flow_field.py", path, "--seconds", 0.001, "--repetitions", 1, "--configurations", 8, "--equilibration", 5
    )
    names = {"pair field, N=43", "trajectory, 1 layer of messages, N=1290", "torch trajectory, 2 layers of messages, N=43"}
    assert names <= set(document["evaluations_per_s"])
    assert all(ratio["median"] > 0 for ratio in document["ratios"].values())
    assert 0 < document["limits"]["fraction_of_flops"] < 1
    assert "cost: pair field, N=43 / energies and forces | at most 2.5" in run("report.py", path)


@needs_compiler
def test_dynamics(tmp_path: Path) -> None:
    path = tmp_path / "dynamics.json"
    document = result("dynamics.py", path, "--seconds", 0.02, "--repetitions", 2)
    assert {"glassnf, N=43", "glassnf, N=1290, langevin"} <= set(document["steps_per_s"])
    assert all(0 < limit["fraction_of_flops"] < 1 for limit in document["limits"].values())
    assert "glassnf, N=43, rescaling" in run("report.py", path)


def test_time_step(tmp_path: Path) -> None:
    path = tmp_path / "time_step.json"
    document = result("time_step.py", path, "--replicas", 4, "--time", 2)
    assert abs(document["thermostats"]["langevin"]["limit"] - document["monte_carlo"]["energy_per_particle"]) < 0.5
    assert "rescaling, dt = 0.02" in run("report.py", path)


def test_relaxation_time(tmp_path: Path) -> None:
    path = tmp_path / "relaxation_time.json"
    document = result("relaxation_time.py", path, "-n", 172, "--temperature", 1, "--replicas", 3, "--time", 20, "--sweeps", 40)
    assert document["relaxation_times"]["F_s, all particles"]["value"] > 0
    assert "Published by the authors: 2200 tau" in run("report.py", path)


def test_kernels(tmp_path: Path) -> None:
    path = tmp_path / "kernels.json"
    document = result("kernels.py", path, "--seconds", 0.01, "--sizes", 43, "--equilibration", 10)
    assert "baseline" in document["kernels"]
    for kernels in document["kernels"].values():
        assert set(kernels["N=43"]) == {"energy", "forces", "displacements", "20 % swaps"}
    assert "baseline, N=43" in run("report.py", path)


def test_parallel_tempering(tmp_path: Path) -> None:
    path = tmp_path / "parallel_tempering.json"
    document = result("parallel_tempering.py", path, "--seconds", 0.02, "--repetitions", 2, "--equilibration", 100)
    assert set(document["results"]) == {"local moves", "20 % swaps"}
    for case in document["results"].values():
        assert set(case["overhead"]) == {"every 1", "every 5", "every 10"}
        assert all(rate["median"] > 0 for rate in case["replica_sweeps_per_s"].values())
    assert "local moves, exchanges every 1 sweeps" in run("report.py", path)


def test_population_annealing(tmp_path: Path) -> None:
    path = tmp_path / "population_annealing.json"
    document = result(
        "population_annealing.py",
        path,
        *("--population", 100, "--sweeps", 5, "--target", 0.9, "--equilibration", 20, "--repetitions", 2),
    )
    names = {"annealing / its own sweeps", "explorer, same calls / annealing", "explorer, long calls / annealing"}
    assert set(document["ratios"]) == names
    assert all(rate["median"] > 0 for rate in document["replica_sweeps_per_cpu_s"].values())
    assert "below 1.03" in run("report.py", path)


def test_flow_assisted(tmp_path: Path) -> None:
    from test_cli_flow_assisted import weak_flow

    files = [tmp_path / "hot.safetensors", tmp_path / "cold.safetensors"]
    weak_flow(0.002, hot=0.5, cold=0.4, layers=1).save(files[0])
    weak_flow(0.002, hot=0.4, cold=0.3, layers=1).save(files[1])
    path = tmp_path / "flow_assisted.json"
    document = result(
        "flow_assisted.py",
        path,
        *("--flow", *files, "--ladders", 4, "--rounds", 2, "--sweeps", 80, "--population", 32, "--sweeps-per-step", 2),
        *("--culling", 0.3, "--equilibration", 100, "--reference", 100),
    )
    assert set(document["results"]) == {"exchange", "tempering", "annealing"}
    for case in document["results"]["exchange"].values():
        assert 0.0 <= case["acceptance"] <= 1.0
    assert document["results"]["annealing"]["culled 0.3, flow"]["integration_error"] < 0.01
    report = run("report.py", path)
    assert "| culled 0.3, pair field |" in report
    assert "Swap Monte Carlo at T = 0.3" in report
