"""All five algorithms agree on the energy and the specific heat of one liquid, in the library and in ``glassnf compare``.

Comparisons at 3 sigma, of which one in 370 fails by chance: 20 between the algorithms and 10 with the reference, so that
another choice of seeds fails with a probability of some 8%.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import glassnf as gnf
from glassnf.cli import run
from glassnf.observables import mean_energy, specific_heat

N, TEMPERATURE, SIGMAS = 43, 0.5, 3.0
SYSTEM = gnf.systems.ka2d(N)
Pair = tuple[float, float]


def _of(energy: np.ndarray) -> tuple[Pair, Pair]:
    first, second = mean_energy(energy, N), specific_heat(energy, TEMPERATURE, N, 2)
    return (first.value, first.error), (second.value, second.error)


def _start(seed: int, replicas: int = 64, temperature: float = TEMPERATURE) -> gnf.Ensemble:
    """Return replicas in equilibrium, from where local moves and dynamics, which forget slowly, go on."""
    ensemble = gnf.Ensemble.random(SYSTEM, replicas=replicas, temperature=temperature, seed=seed)
    gnf.MonteCarlo(SYSTEM).equilibrate(ensemble, sweeps=400 if temperature > TEMPERATURE else 2_000)
    return ensemble


def _molecular_dynamics() -> tuple[Pair, Pair]:
    sampler, ensemble = gnf.MolecularDynamics(SYSTEM, timestep=0.0025, friction=0.2), _start(1)
    sampler.equilibrate(ensemble, 10_000)
    return _of(sampler.run(ensemble, 120_000, record_every=100).energy)


def _monte_carlo(swap_probability: float, sweeps: int, seed: int) -> tuple[Pair, Pair]:
    sampler, ensemble = gnf.MonteCarlo(SYSTEM, swap_probability=swap_probability), _start(seed)
    sampler.equilibrate(ensemble, sweeps=sweeps // 4 // 20 * 20)
    return _of(sampler.run(ensemble, sweeps=sweeps, record_every=20).energy)


def _local() -> tuple[Pair, Pair]:
    return _monte_carlo(0.0, 40_000, 2)


def _swap() -> tuple[Pair, Pair]:
    return _monte_carlo(0.2, 12_000, 3)


def _parallel_tempering() -> tuple[Pair, Pair]:
    sampler = gnf.ParallelTempering(
        SYSTEM, gnf.geometric_ladder(TEMPERATURE, 1.0, 6), gnf.MonteCarlo(SYSTEM, swap_probability=0.0), ladders=16
    )
    ensemble = sampler.random(seed=4)
    gnf.MonteCarlo(SYSTEM).equilibrate(ensemble, sweeps=2_000)
    sampler.equilibrate(ensemble, 4_000)
    record = sampler.run(ensemble, 16_000, record_every=20)
    assert record.total_round_trips > 100
    return _of(record.energy_at(TEMPERATURE))


def _population_annealing() -> tuple[Pair, Pair]:
    explorer = gnf.MonteCarlo(SYSTEM, swap_probability=0.0)
    sampler = gnf.PopulationAnnealing(SYSTEM, 1.0, TEMPERATURE, explorer, sweeps_per_step=60, equilibration_sweeps=600)
    result = sampler.run(_start(5, 2_000, temperature=1.0))
    assert not result.collapsed
    energy = float(result.mean_energy[-1]) / N, float(result.mean_energy_error[-1]) / N
    return energy, (float(result.specific_heat[-1]), float(result.specific_heat_error[-1]))


ALGORITHMS: dict[str, Callable[[], tuple[Pair, Pair]]] = {
    "md": _molecular_dynamics,
    "mc": _local,
    "swap": _swap,
    "pt": _parallel_tempering,
    "pa": _population_annealing,
}


@pytest.mark.slow
def test_all_algorithms_agree(tmp_path: Path) -> None:
    found = {name: algorithm() for name, algorithm in ALGORITHMS.items()}
    for (a, of_a), (b, of_b) in itertools.combinations(found.items(), 2):
        for (x, x_error), (y, y_error), most in zip(of_a, of_b, (0.006, 0.06), strict=True):
            assert max(x_error, y_error) < most, f"{a}, {b}: too few samples to say anything"
            assert abs(x - y) < SIGMAS * np.hypot(x_error, y_error), f"{a} and {b}: {x}({x_error}), {y}({y_error})"
    budgets = "md=192000,mc=204800,swap=25600,pt=409600,pa=409600"
    arguments = ["compare", "-T", str(TEMPERATURE), "--sweeps", budgets, "--reference-sweeps", "25600", "--no-cache"]
    assert run([*arguments, "--quiet", "-o", str(tmp_path)]) == 0
    (entry,) = json.loads((tmp_path / "compare.json").read_text(encoding="utf-8"))["temperatures"]
    assert entry["reference"]["sound"]
    assert [algorithm["name"] for algorithm in entry["algorithms"]] == list(ALGORITHMS)
    for algorithm in entry["algorithms"]:
        verdict = algorithm["verdict"]
        assert abs(verdict["energy_sigmas"]) < SIGMAS, f"{algorithm['name']}: {verdict['sentence']}"
        assert abs(verdict["specific_heat_sigmas"]) < SIGMAS, f"{algorithm['name']}: {verdict['sentence']}"
