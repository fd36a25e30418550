"""What a sampler says of itself counts for nothing: liars about temperature, energy, weights and Jacobian fail the verdict.

The verdict calls a correct sampler wrong with a probability of 6e-5 for each of two averages (4 sigma), below 1e-3 for R-hat
and drift; seeds are fixed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glassnf as gnf
import own_samplers
from glassnf.compare import (
    RunOptions,
    Samples,
    Settings,
    compare,
    comparison_to_dict,
    find_sampler,
    register_algorithm,
    spec_of,
)
from glassnf.compare.own import SamplerAlgorithm
from glassnf.compare.verdict import SIGMA_LIMIT, judge
from own_samplers import COLD, HOT, TWO

HMC_FILE = Path(__file__).resolve().parent.parent / "examples" / "hmc_torch.py"
HONEST = (own_samplers.Draws, own_samplers.Reweighted, own_samplers.Carried)
LIARS = (own_samplers.HotDraws, own_samplers.Softened, own_samplers.NoJacobian, own_samplers.Unweighted)


def verdict(kind: type) -> Any:
    """Return the verdict on a sampler of two particles, against their exact averages."""
    exact = ((TWO.mean_energy(COLD) / 2, 1e-4), (TWO.specific_heat(COLD), 1e-3))
    budget = 10_000
    algorithm = SamplerAlgorithm(kind, kind.__name__, TWO.system, COLD, RunOptions(threads=1))
    algorithm.prepare(TWO.draw(24, HOT, seed=3))
    estimate = algorithm.advance(budget)
    trace, heats = algorithm.trace(), estimate.specific_heat
    late = None if trace is None else trace.energy[trace.sweeps > budget // 2]
    heat = float(heats.mean()), float(heats.std(ddof=1)) / len(heats) ** 0.5
    return judge(estimate.mean_energy, heat, exact, late, algorithm.diagnosis())


@pytest.mark.parametrize("kind", HONEST)
def test_honest_samplers_pass(kind: type) -> None:
    found = verdict(kind)
    assert found.equilibrated, found.sentence


@pytest.mark.parametrize("kind", LIARS)
def test_liars_are_flagged(kind: type) -> None:
    """By their averages: they may well be in equilibrium with what they sample."""
    found = verdict(kind)
    assert not found.equilibrated
    assert max(abs(found.energy_sigmas), abs(found.specific_heat_sigmas)) > SIGMA_LIMIT, found.sentence
    assert "the reference" in found.sentence


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that registers a sampler for one test."""
    from glassnf.compare import algorithms

    monkeypatch.setattr(algorithms, "_register", dict(algorithms._register))

    def add(kind: type) -> str:
        spec = spec_of(kind)
        register_algorithm(spec)
        return spec.name

    return add


def test_in_a_comparison(register: Any) -> None:
    """The whole way: a comparison with a reference of its own marks the liars, and only them."""
    kinds = (own_samplers.Draws, own_samplers.Reweighted, own_samplers.HotDraws, own_samplers.Unweighted)
    names = tuple(register(kind) for kind in kinds)
    settings = Settings(
        TWO.system,
        (COLD,),
        names,
        runs=16,
        seed=4,
        threads=1,
        seconds=None,
        sweeps=6_400,
        reference_sweeps=12_800,
        cache=False,
        start_temperature=HOT,
    )
    comparison = compare(settings)
    results = comparison.results[0].algorithms
    assert [one.verdict.equilibrated for one in results] == [True, True, False, False], [r.verdict.sentence for r in results]
    for one in results:
        np.testing.assert_array_equal(one.costs["pair_evaluations"], one.sweeps)  # one pair
        assert (np.diff(one.costs["wall_time"]) > 0.0).all()
    data = comparison_to_dict(comparison, None)
    assert [entry["name"] for entry in data["temperatures"][0]["algorithms"]] == list(names)


@pytest.mark.slow
def test_hmc_of_a_liquid(register: Any) -> None:
    """The liquid that the comparison is about: HMC passes, and fails with a tenth more temperature or a tenth less energy."""
    hmc: Any = find_sampler(f"{HMC_FILE}:HMC")

    class Warmer(hmc):  # type: ignore[misc]
        def __init__(self, problem: Any, **settings: Any) -> None:
            problem.temperature *= 1.1
            super().__init__(problem, **settings)

    class Weaker(hmc):  # type: ignore[misc]
        def __init__(self, problem: Any, **settings: Any) -> None:
            exact = problem.energy_and_forces
            problem.energy_and_forces = lambda *arguments: tuple(0.9 * part for part in exact(*arguments))
            super().__init__(problem, **settings)

    class Lighter(hmc):  # type: ignore[misc]
        """Samples at a higher temperature, with weights that are too even."""

        def __init__(self, problem: Any, **settings: Any) -> None:
            super().__init__(problem, **settings)
            problem.temperature = 1.1

        def run(self, budget: int) -> Iterator[Samples]:
            for piece in super().run(budget):
                if self.problem.evaluations > 400:
                    yield Samples(piece.positions, piece.species, 0.5 * (1.0 / 1.1 - self.problem.beta) * self.energy)

    names = tuple(register(kind) for kind in (hmc, Warmer, Weaker, Lighter))
    settings = Settings(
        gnf.systems.ka2d(43),
        (1.0,),
        names,
        runs=16,
        seed=5,
        threads=1,
        seconds=None,
        sweeps=12_800,
        reference_sweeps=6_400,
        cache=False,
    )
    results = compare(settings).results[0].algorithms
    sentences = [one.verdict.sentence for one in results]
    assert [one.verdict.equilibrated for one in results] == [True, False, False, False], sentences
    assert all("the reference" in sentence for sentence in sentences)
