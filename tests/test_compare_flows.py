"""The algorithm nf of ``glassnf compare``: exact on two particles, charged for its base samples, refused without a flow.

Comparisons of means have a false-alarm rate of 6e-7 each (5 sigma); seeds are fixed.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import glassnf as gnf
from flows_for_tests import LeakyFlow, PairFlow
from glassnf.certify.pairs import TwoParticles
from glassnf.cli import run
from glassnf.compare import RunOptions, Settings, compare, comparison_to_dict, get_algorithm
from glassnf.compare.algorithms import Diagnosis, default_algorithms
from glassnf.compare.flows import FlowAlgorithm
from glassnf.flows import IdentityFlow
from tolerances import STATISTICAL

TWO = TwoParticles()
HOT, COLD = 0.8, 0.4
FLOW = PairFlow(TWO.system, HOT, COLD, 0.1, turn=1.1, steps=4)
LIQUID = gnf.systems.ka2d(43)


def made(runs: int = 24, **settings: Any) -> FlowAlgorithm:
    algorithm = FlowAlgorithm(TWO.system, COLD, RunOptions(threads=1, adaptation=1_000, flow=FLOW, settings=settings))
    algorithm.prepare(TWO.draw(runs, 1.0, seed=3))
    return algorithm


@pytest.mark.parametrize("settings", [{"explorer": "mc", "spacing": 100}, {"explorer": "md", "spacing": 250}])
@pytest.mark.parametrize("height", [0.0, 0.5, 1.0])
def test_two_particles(settings: dict[str, Any], height: float) -> None:
    """Runs from one configuration each: their averages scatter about the exact ones, from any base, height 0 being none.

    Dynamics may be off by its time step, less than 1e-3 in <U>/N.
    """
    algorithm = made(height=height, **settings)
    algorithm.advance(20_000)
    estimate = algorithm.advance(60_000)
    dynamics = settings["explorer"] == "md"
    for values, exact, bias in (
        (estimate.mean_energy, TWO.mean_energy(COLD) / 2, 1e-3),
        (estimate.specific_heat, TWO.specific_heat(COLD), 0.02),
    ):
        assert values.shape == (24,)
        assert abs(values.mean() - exact) < STATISTICAL * values.std(ddof=1) / math.sqrt(24) + bias * dynamics
        assert values.std() < 0.15
    report = algorithm.report()
    assert report["samples"] == 30_000 // settings["spacing"]
    assert report["base_temperature"] == pytest.approx(COLD * (HOT / COLD) ** height, rel=1e-12)
    assert 0.8 < report["ess"] <= 1.0
    assert report["integration_error"] < 0.01
    assert algorithm.diagnosis() == Diagnosis(remarks=(f"ESS {report['ess']:.3g} of {report['samples']} samples a run",))
    # N = 2: a time step looks at the other particle once, a sweep of two trials twice; flow and energies come on top.
    moves = 60_000 * (1 if settings["explorer"] == "md" else 2)
    carried = 30_000 // settings["spacing"]
    assert algorithm.cost().pair_evaluations > moves + carried * (4 * report["steps"] + 2)
    assert algorithm.trace() is None


def test_a_wrong_jacobian_shows() -> None:
    """What passes above fails by far with a flow whose divergence is a third too small."""
    flow = LeakyFlow(TWO.system, HOT, COLD, 0.5, turn=1.1, steps=4)
    algorithm = FlowAlgorithm(TWO.system, COLD, RunOptions(threads=1, flow=flow, settings={"height": 1.0, "spacing": 250}))
    algorithm.prepare(TWO.draw(24, 1.0, seed=3))
    values = algorithm.advance(60_000).mean_energy
    assert abs(values.mean() - TWO.mean_energy(COLD) / 2) > 2.0 * STATISTICAL * values.std(ddof=1) / math.sqrt(24)


def test_samples_are_carried_once() -> None:
    """Budgets go on where the last one ended: all configurations of the late part, and none twice."""
    algorithm = made(4, spacing=100, explorer="mc")
    algorithm.advance(3_200)
    assert algorithm.report()["samples"] == 16
    before = len(FLOW.calls)
    algorithm.advance(6_400)
    assert algorithm.report()["samples"] == 32
    fine = max(steps for _, _, _, steps in FLOW.calls[before:])
    assert sum(count for count, _, _, steps in FLOW.calls[before:] if steps < fine) >= 4 * 32
    with pytest.raises(ValueError, match="budget: expected more than the 6400 sweeps already done, got 6400"):
        algorithm.advance(6_400)


def test_a_budget_costs_what_going_straight_to_it_does() -> None:
    """Configurations that only smaller budgets have used are not charged; the averages are the same too."""
    slow, straight = made(4, spacing=100, explorer="mc"), made(4, spacing=100, explorer="mc")
    costs = []
    for budget in (3_200, 6_400, 12_800):
        estimate = slow.advance(budget)
        costs.append(slow.cost().pair_evaluations)
    np.testing.assert_allclose(straight.advance(12_800).mean_energy, estimate.mean_energy, rtol=1e-12)
    assert costs[-1] == straight.cost().pair_evaluations
    chain = 12_800 * 2  # N = 2: two trials a sweep, one distance each
    assert costs[-1] > chain + 64 * (4 * slow.report()["steps"] + 2)


def test_time_of_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that says a second for a sweep of the chains and 100 s for what is carried of a record."""
    now = [0.0]
    monkeypatch.setattr("glassnf.compare.flows.time", SimpleNamespace(perf_counter=lambda: now[0]))
    algorithm = made(4, spacing=100, explorer="mc")
    carry, run = algorithm._carry, algorithm._sampler.run

    def slow_carry(positions: Any, species: Any) -> Any:
        now[0] += 100.0 * len(positions)
        return carry(positions, species)

    def slow_run(ensemble: Any, sweeps: int, **options: Any) -> Any:
        now[0] += sweeps
        return run(ensemble, sweeps, **options)

    monkeypatch.setattr(algorithm, "_carry", slow_carry)
    monkeypatch.setattr(algorithm._sampler, "run", slow_run)
    adapted = 1_000  # without the clock
    for budget, records in ((3_200, 16), (6_400, 32), (9_600, 48)):  # the last uses 16 records of the one before
        algorithm.advance(budget)
        assert algorithm.cost().wall_time == pytest.approx((budget - adapted + 100.0 * records) / 4, rel=1e-12)
    assert algorithm.report()["flow_time"] == pytest.approx(4_800 / 4, rel=1e-12)


def test_costs_ascend() -> None:
    """Also where budgets are so close that a window has fewer configurations than the one before."""
    algorithm = made(4, spacing=300, explorer="mc")
    costs = []
    for budget in (160, 320, 3_200, 3_220, 3_300, 4_000):
        algorithm.advance(budget)
        costs.append((algorithm.cost().wall_time, algorithm.cost().pair_evaluations))
    assert (np.diff(costs, axis=0) > 0.0).all()


def test_short_budgets_have_samples_too() -> None:
    algorithm = made(4, spacing=1_000)
    algorithm.advance(160)
    assert algorithm.report()["samples"] == 4
    assert algorithm.report()["spacing"] == 1_000


def test_diagnostics() -> None:
    algorithm = made(4, spacing=100)
    algorithm.advance(12_800)
    found = algorithm.report()["diagnostics"]
    assert found["samples"] == 64
    assert found["ess"].shape == found["pareto_k"].shape == (4,)
    assert found["log_weight_counts"].sum() == 4 * 64
    assert len(found["log_weight_edges"]) == len(found["log_weight_counts"]) + 1
    # Relative to the mean weight: some are above it, some below.
    assert found["log_weight_edges"][0] < 0.0 < found["log_weight_edges"][-1]


def test_training_is_reported() -> None:
    flow = gnf.flows.shipped(LIQUID)
    assert flow is not None
    training = FlowAlgorithm(LIQUID, 0.4, RunOptions(flow=flow)).training()
    assert training is not None
    assert training.wall_time == flow.report.sample_seconds + flow.report.fit_seconds
    assert training.wall_time > 10.0
    assert training.pair_evaluations == flow.report.pair_evaluations
    assert "flow from T = 0.6 to 0.2" in training.source
    assert made(4).training() is None


def test_pieces_of_a_budget_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def energies() -> Any:
        return made(4, spacing=100, explorer="mc").advance(6_400).mean_energy

    whole = energies()
    monkeypatch.setattr("glassnf.compare.flows._CHUNK", 20)
    np.testing.assert_allclose(energies(), whole, rtol=1e-12)


def test_dominated_weights_are_a_fault() -> None:
    identity = IdentityFlow(LIQUID, hot=2.0, cold=0.3)
    algorithm = FlowAlgorithm(LIQUID, 0.3, RunOptions(threads=1, flow=identity, settings={"height": 1.0, "spacing": 100}))
    algorithm.prepare(gnf.Ensemble.random(LIQUID, 2, 2.0, seed=1))
    algorithm.advance(12_000)
    (fault,) = algorithm.diagnosis().faults
    assert fault.startswith("in 2 runs one sample has more than a tenth of the weight (ESS ")


def test_a_comparison_with_a_flow() -> None:
    flow = IdentityFlow(LIQUID, hot=0.8, cold=0.7)
    settings = Settings(
        LIQUID,
        (0.75,),
        ("swap", "nf"),
        runs=4,
        seed=5,
        threads=1,
        seconds=None,
        sweeps=640,
        reference_sweeps=400,
        reference_replicas=8,
        cache=False,
        flow=flow,
    )
    comparison = compare(settings)
    data = comparison_to_dict(comparison, None)
    assert data["settings"]["flow"] == {"flow": "identity", "training": None}
    result = comparison.results[0].algorithms[1]
    assert result.spec is get_algorithm("nf")
    assert "ESS" in result.verdict.sentence
    assert (result.costs["pair_evaluations"] > 0.0).all()
    assert (result.costs["wall_time"] > 0.0).all()
    again = compare(settings).results[0].algorithms[1]
    np.testing.assert_array_equal(again.estimates["mean_energy"], result.estimates["mean_energy"])


def test_defaults_have_it_where_there_is_a_flow() -> None:
    assert default_algorithms(LIQUID) == ("md", "mc", "swap", "pt", "pa")
    assert default_algorithms(LIQUID, IdentityFlow(LIQUID)) == ("md", "mc", "swap", "pt", "pa", "nf")
    assert Settings(LIQUID, (0.5,), flow=IdentityFlow(LIQUID, 0.6, 0.4)).algorithms[-1] == "nf"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"flow": "file"}, TypeError, "flow: expected a flow such as glassnf.flows.IdentityFlow, got str"),
        ({"flow": IdentityFlow(TWO.system)}, ValueError, "flow: expected one of <System 'ka2d'"),
        (
            {"flow": IdentityFlow(LIQUID, 0.8, 0.6)},
            ValueError,
            "temperatures: expected at least one that nf can reach, got none: the flow goes from T = 0.8 to 0.6",
        ),
        (
            {"flow": IdentityFlow(LIQUID, 0.5, 0.3)},
            ValueError,
            "temperatures: expected at least one that nf can reach, got none: the flow goes from T = 0.5 to 0.3",
        ),
        (
            {"flow": IdentityFlow(LIQUID)},
            ValueError,
            "flow: expected one with a finite hot end, got one that begins at infinite temperature",
        ),
    ],
)
def test_bad_settings(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Settings(LIQUID, (0.5,), ("swap", "nf"), **options)


def test_it_needs_a_flow_and_a_start() -> None:
    with pytest.raises(ValueError, match="flow: expected a trained flow for the algorithm nf, got None"):
        Settings(gnf.systems.ka2d(44), (0.5,), ("swap", "nf"))
    with pytest.raises(ValueError, match="flow: expected a flow for the algorithm nf, got None"):
        FlowAlgorithm(TWO.system, COLD, RunOptions())
    with pytest.raises(RuntimeError, match="prepare: expected to be called"):
        FlowAlgorithm(TWO.system, COLD, RunOptions(flow=FLOW)).advance(3_200)


@pytest.mark.usefixtures("undrawn")
def test_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[tuple[str, Any]] = []

    def load(path: str, system: Any) -> Any:
        asked.append((path, system))
        return IdentityFlow(system, hot=0.8, cold=0.7)

    tiny = ["--sweeps", "640", "--reference-sweeps", "400", "--reference-replicas", "8", "--runs", "4", "--no-cache", "--quiet"]
    arguments = ["compare", "-T", "0.75", "--algorithms", "swap,nf", *tiny, "-o", str(tmp_path / "report")]
    assert run([*arguments, "-n", "44"]) == 2  # no flow is shipped for it
    assert "flow: expected a trained flow for the algorithm nf, got None" in capsys.readouterr().err
    assert run([*arguments, "--flow", str(tmp_path / "none.safetensors")]) == 2
    assert "none.safetensors" in capsys.readouterr().err
    monkeypatch.setattr("glassnf.flows.load", load)
    assert run([*arguments, "--flow", "my.safetensors"]) == 0
    assert asked == [("my.safetensors", LIQUID)]
    data = json.loads((tmp_path / "report" / "compare.json").read_text())
    assert [entry["name"] for entry in data["temperatures"][0]["algorithms"]] == ["swap", "nf"]
