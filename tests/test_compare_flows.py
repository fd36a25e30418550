"""The algorithm nf of ``glassnf compare``: exact on two particles, charged for its base samples, refused without a flow.

Comparisons of means have a false-alarm rate of 6e-7 each (5 sigma); seeds are fixed.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glassnf as gnf
from flows_for_tests import PairFlow
from glassnf.cli import run
from glassnf.compare import RunOptions, Settings, compare, comparison_to_dict, get_algorithm
from glassnf.compare.algorithms import Diagnosis, default_algorithms
from glassnf.compare.flows import SPACING, FlowAlgorithm, shape_of
from glassnf.flows import IdentityFlow
from tolerances import STATISTICAL
from two_particles import TwoParticles

TWO = TwoParticles()
HOT, COLD = 0.8, 0.4
FLOW = PairFlow(TWO.system, HOT, COLD, 0.1, turn=1.1, steps=4)
LIQUID = gnf.systems.ka2d(43)


@pytest.mark.parametrize("budget", [3_200, 10_000, 50_000, 10**6, 10**8])
def test_a_budget_is_spent(budget: int) -> None:
    replicas, equilibration, records, spacing = shape_of(budget)
    assert replicas * (equilibration + records * spacing) == pytest.approx(budget, rel=0.01)
    assert spacing <= 1.5 * SPACING
    assert replicas >= 16


def test_two_particles() -> None:
    """Runs from one configuration each: their averages scatter about the exact ones."""
    algorithm = FlowAlgorithm(TWO.system, COLD, RunOptions(threads=1, flow=FLOW))
    algorithm.prepare(TWO.draw(24, 1.0, seed=3))
    estimate = algorithm.advance(40_000)
    for values, exact in (
        (estimate.mean_energy, TWO.mean_energy(COLD) / 2),
        (estimate.specific_heat, TWO.specific_heat(COLD)),
    ):
        assert values.shape == (24,)
        assert abs(values.mean() - exact) < STATISTICAL * values.std(ddof=1) / math.sqrt(24)
        assert values.std() < 0.1
    report, (replicas, equilibration, records, _) = algorithm.report(), shape_of(40_000)
    assert report["samples"] == replicas * records
    assert (report["replicas"], report["equilibration_sweeps"]) == (replicas, equilibration)
    assert 0.8 < report["ess"] < 1.0
    assert 0.0 < report["integration_error"] < 0.01
    assert algorithm.diagnosis() == Diagnosis(remarks=(f"ESS {report['ess']:.3g} of {report['samples']} samples a run",))
    # N = 2: a sweep of two trials looks at the other particle twice at least; flow and energies come on top.
    assert algorithm.cost().pair_evaluations > 2 * 40_000 + report["samples"] * 4 * report["steps"]
    assert algorithm.trace() is None


def test_pieces_of_a_budget_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def energies() -> Any:
        algorithm = FlowAlgorithm(TWO.system, COLD, RunOptions(threads=1, flow=FLOW))
        algorithm.prepare(TWO.draw(4, 1.0, seed=3))
        return algorithm.advance(6_400).mean_energy

    whole = energies()
    monkeypatch.setattr("glassnf.compare.flows._CHUNK", 100)
    np.testing.assert_allclose(energies(), whole, rtol=1e-12)


def test_dominated_weights_are_a_fault() -> None:
    identity = IdentityFlow(LIQUID, hot=2.0, cold=0.3)
    algorithm = FlowAlgorithm(LIQUID, 0.3, RunOptions(threads=1, flow=identity))
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
        ({"flow": None}, ValueError, "flow: expected a trained flow for the algorithm nf, got None"),
        ({"flow": "file"}, TypeError, "flow: expected a flow such as glassnf.flows.IdentityFlow, got str"),
        ({"flow": IdentityFlow(TWO.system)}, ValueError, "flow: expected one of <System 'ka2d'"),
        (
            {"flow": IdentityFlow(LIQUID, 0.8, 0.6)},
            ValueError,
            "temperatures: expected a temperature from 0.6 to 0.8, the range",
        ),
        (
            {"flow": IdentityFlow(LIQUID, 0.5, 0.3)},
            ValueError,
            "temperatures: expected numbers below the hot end of the flow, 0.5",
        ),
        ({"flow": IdentityFlow(LIQUID)}, ValueError, "temperatures: expected numbers below the hot end of the flow, inf"),
    ],
)
def test_bad_settings(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Settings(LIQUID, (0.5,), ("swap", "nf"), **options)


def test_it_needs_a_flow_and_a_start() -> None:
    with pytest.raises(ValueError, match="flow: expected a flow for the algorithm nf, got None"):
        FlowAlgorithm(TWO.system, COLD, RunOptions())
    with pytest.raises(RuntimeError, match="prepare: expected to be called"):
        FlowAlgorithm(TWO.system, COLD, RunOptions(flow=FLOW)).advance(3_200)


def test_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[tuple[str, Any]] = []

    def load(path: str, system: Any) -> Any:
        asked.append((path, system))
        return IdentityFlow(system, hot=0.8, cold=0.7)

    tiny = ["--sweeps", "640", "--reference-sweeps", "400", "--reference-replicas", "8", "--runs", "4", "--no-cache", "--quiet"]
    arguments = ["compare", "-T", "0.75", "--algorithms", "swap,nf", *tiny, "-o", str(tmp_path / "report")]
    assert run(arguments) == 2
    assert "flow: expected a trained flow for the algorithm nf, got None" in capsys.readouterr().err
    assert run([*arguments, "--flow", str(tmp_path / "none.safetensors")]) == 2
    assert "none.safetensors" in capsys.readouterr().err
    monkeypatch.setattr("glassnf.flows.load", load)
    assert run([*arguments, "--flow", "my.safetensors"]) == 0
    assert asked == [("my.safetensors", LIQUID)]
    data = json.loads((tmp_path / "report" / "compare.json").read_text())
    assert [entry["name"] for entry in data["temperatures"][0]["algorithms"]] == ["swap", "nf"]
