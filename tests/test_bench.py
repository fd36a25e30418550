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


@pytest.mark.slow
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


def test_paired_time_steps(tmp_path: Path) -> None:
    """Shifts of <U>/N at T = 0.4 within five errors and a few hundredths, and a table of them."""
    path = tmp_path / "time_step_paired.json"
    document = result("time_step.py", path, "--paired", "--temperature", 0.4, "--replicas", 16, "--time", 4)
    assert {shift["timestep"] for shift in document["shifts"]} == {0.004, 0.01, 0.015, 0.02, 0.03}
    for shift in document["shifts"]:
        assert abs(shift["mean_energy"]) < 5.0 * shift["mean_energy_error"] + 0.03
        assert 0.0 < shift["mean_energy_error"] < 0.05
    assert "langevin, dt = 0.03" in run("report.py", path)


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


def test_make_reference(tmp_path: Path) -> None:
    """Runs are kept, and not made again; those of other options are refused."""
    path = tmp_path / "reference.json"
    folder = tmp_path / "parts"
    options = ("-o", path, "--parts", folder, "--temperatures", 0.8, 1, "--replicas", 8, "--seeds", 2, "--check-seeds", 2)
    ladder = ("--ladder", 0.8, 0.9, "--exchange-seeds", 2, "--exchange-relaxation", 200, "--exchange-sweeps", 400)
    lengths = ("--pilot-sweeps", 200, "--least-sweeps", 400, "--start-sweeps", 100, "--energy-error", 0.05, "--heat-error", 0.5)
    printed = run("make_reference.py", *options, *ladder, *lengths)
    assert [line.split(" | ")[0] for line in printed.splitlines()] == ["| T", "| ---", "| 1", "| 0.8"]
    document = json.loads(path.read_text(encoding="utf-8"))
    assert [entry["temperature"] for entry in document["temperatures"]] == [1.0, 0.8]
    assert [entry["method"] for entry in document["temperatures"]] == ["swap MC", "swap MC with exchanges"]
    assert document["temperatures"][1]["swap_alone"]["method"] == "swap MC"
    for entry in document["temperatures"]:
        assert [one["start"] for one in entry["runs"]] == ["hot", "cold"]
        assert entry["runs"][0]["energy_of_start"] > entry["runs"][1]["energy_of_start"]
        assert abs(entry["specific_heat"] - 0.95) < 0.3
        assert entry["mean_energy_error"] < 0.03
    kept = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert len(kept) == 8
    for name in ("run_1_2.json", "exchanges_1.json"):
        (folder / name).unlink()
    run("make_reference.py", *options, *ladder, *lengths)
    again = json.loads(path.read_text(encoding="utf-8"))
    for values in (document, again):
        for entry in values["temperatures"]:
            for one in entry["runs"] + entry.get("swap_alone", {"runs": []})["runs"]:
                del one["wall_time"]
    assert again["temperatures"] == document["temperatures"]
    now = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert {name for name in kept if now[name] != kept[name]} == {"run_1_2.json", "exchanges_1.json"}
    command = [sys.executable, str(BENCH / "make_reference.py"), *map(str, (*options, *ladder)), "--pilot-sweeps", "300"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert refused.returncode != 0
    assert "was made with other options" in refused.stderr


@pytest.mark.slow
def test_train_shipped_flow(tmp_path: Path) -> None:
    path, flow = tmp_path / "shipped_flow.json", tmp_path / "flow.safetensors"
    small = ("--samples", 128, "--relaxation", 100, "--spacing", 10, "--bases", 0.6, 0.5, "--targets", 0.5, 0.45)
    training = ("--training-samples", 256, "--replicas", 32, "--equilibration", 100, "--cold", 0.45, "--layers", 1)
    document = result("train_shipped_flow.py", path, *training, *small, "--save", flow)
    assert [(way["base"], way["target"]) for way in document["flows"][0]["ways"]] == [(0.6, 0.5), (0.6, 0.45), (0.5, 0.45)]
    again = result("train_shipped_flow.py", path, "--flow", flow, *small)
    for old, new in zip(document["flows"][0]["ways"], again["flows"][0]["ways"], strict=True):
        assert old["ess"] == new["ess"]
    assert all(0.0 < way["ess"] <= 1.0 for way in again["plain"])
    assert "| 0.5 to 0.45 |" in run("report.py", path)


def test_comparison_consistency(tmp_path: Path) -> None:
    path = tmp_path / "comparison_consistency.json"
    options = ("--temperature", 0.6, "--algorithms", "mc", "swap", "--runs", 4, 8, "--sweeps", 640, "--tuning", 0)
    document = result("comparison_consistency.py", path, *options, "--energy-error", 0.1, "--heat-error", 0.4)
    assert [(one["runs"], one["seed"]) for one in document["comparisons"]] == [(4, 1), (4, 2), (8, 1), (8, 2)]
    for of_cost in document["agreement"].values():
        assert sum(of_cost["pair_evaluations"][what] for what in ("pairs", "unknown")) == 4
    assert document["shrinkage"]["wall_time"]["expected"] == pytest.approx(0.5**0.5)
    assert "| swap, mean_energy, 0.1 |" in run("report.py", path)


def test_equilibration(tmp_path: Path) -> None:
    path = tmp_path / "equilibration.json"
    sizes = ("--temperatures", 0.5, "--replicas", 8, "--groups", 1, 4, "--records", 40, "--preparation", 80)
    document = result("equilibration.py", path, *sizes, "--population", 30, "--anneals", 2, "--slow", 1)
    rows = document["rows"]
    assert {row["case"] for row in rows if row["replicas"] == 4} == {
        *(f"{name}, from {side}" for name in ("swap", "local") for side in ("above", "below", "both sides", "equilibrium"))
    }
    assert all(sum(row["verdicts"].values()) == (8 if row["replicas"] == 1 else 2) for row in rows if "both" not in row["case"])
    known = document["rates"]["4 replicas"]
    assert sum(known["equilibrium"].values()) == sum(
        sum(row["verdicts"].values()) for row in rows if (row["replicas"], row["truth"]) == (4, "equilibrium")
    )
    assert "| 4 replicas | in equilibrium |" in run("report.py", path)


def test_the_rates_of_verdicts_in_the_documentation() -> None:
    """They are those of the result that comes with them, and no worse than the text says."""
    path = BENCH / "results" / "equilibration.json"
    assert run("report.py", path).strip() in (BENCH.parent / "docs" / "equilibration.md").read_text(encoding="utf-8")
    rates = json.loads(path.read_text(encoding="utf-8"))["rates"]
    for name, by_truth in rates.items():
        for known, counts in by_truth.items():
            wrong = counts["not equilibrated" if known == "equilibrium" else "equilibrated"]
            assert wrong <= 0.01 * sum(counts.values()) + 1, (name, known)


def test_consistency_of_speed_ups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two intervals of a factor 1.5 each way are consistent up to a ratio of exp(sqrt(2) log 1.5) = 1.77."""
    monkeypatch.syspath_prepend(str(BENCH))
    import comparison_consistency as script

    def speed_up(value: float, factor: float, bound: str = "=") -> dict[str, Any]:
        ratio = {"bound": bound, "value": value, "low": value / factor, "high": None if bound == ">" else value * factor}
        return {"algorithm": "swap", "observable": "mean_energy", "at_end_of_baseline": False, "cost": "x", "ratio": ratio}

    for value, expected in ((17.6, True), (17.8, False), (10 / 1.76, True), (10 / 1.78, False)):
        assert script.consistent(speed_up(10.0, 1.5), speed_up(value, 1.5)) is expected
        assert script.consistent(speed_up(value, 1.5), speed_up(10.0, 1.5)) is expected
    assert script.consistent(speed_up(10.0, 1.5), speed_up(14.0, 1.5, ">")) is True
    assert script.consistent(speed_up(10.0, 1.5), speed_up(40.0, 1.5, ">")) is False
    assert script.consistent(speed_up(10.0, 1.5), speed_up(40.0, 1.5, "?")) is None
    made = [
        {"runs": runs, "seed": seed, "speed_ups": [speed_up(10.0 * seed, factor)]}
        for runs, factor in ((4, 1.6), (8, 1.6**0.6))
        for seed in (1, 2)
    ]
    assert script.agreement(made, 4, "x") == {
        "pairs": 1,
        "consistent": 0,
        "unknown": 0,
        "apart": [[0, 1, *script.key(made[0]["speed_ups"][0])]],
    }
    found = script.shrinkage(made, 4, 8, "x")
    assert (found["count"], found["narrower"]) == (2, 2)
    assert found["median"] == pytest.approx(0.6)


def test_long_run(tmp_path: Path) -> None:
    path = tmp_path / "long_run.json"
    small = ("--trials", 2e4, "--records", 4, "--equilibration", 100, "--every", 0.2)
    document = result("long_run.py", path, "--case", "pairs", "cells", *small)
    assert set(document["cases"]) == {"pairs", "cells"}
    document = result("long_run.py", path, "--case", "local", *small)
    assert list(document["cases"]) == ["pairs", "local", "cells"]
    for case in document["cases"].values():
        assert case["largest_relative_drift"] < 1e-11
        assert case["same_bits_as_a_fresh_kernel"]
        assert case["trials"] >= 2e4
    assert document["cases"]["local"]["first_step"] == 2**32 - 10**6
    assert "| ka2d, N = 43: all pairs, kept | 20" in run("report.py", path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not limit the address space")
def test_large_system(tmp_path: Path) -> None:
    path = tmp_path / "large_system.json"
    document = result("large_system.py", path, "--particles", 400, "--operations", "load", "swap, 5 sweeps")
    assert set(document["two_dimensions"]) == {"glassnf sample", "load", "swap, 5 sweeps"}
    assert set(document["three_dimensions"]) == {"lattice start", "load", "swap, 5 sweeps"}
    assert 1e7 < document["largest_memory_bytes"] < 4e9
    assert "| glassnf sample, d = 2 |" in run("report.py", path)
