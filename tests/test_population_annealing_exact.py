"""Population annealing against exact answers: species on a frozen lattice, enumerated.

Chi-square tests have a false-alarm rate of 1e-5 (tolerances.FALSE_ALARM), comparisons of means one of 6e-7 each (5 sigma);
seeds are fixed.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import glassnf as gnf
from glassnf.certify.frozen import Frozen
from glassnf.certify.statistics import chi_square_p
from glassnf.samplers import PAResult
from tolerances import FALSE_ALARM, STATISTICAL

pytest.importorskip("scipy.stats")

Array = npt.NDArray[Any]

HOT = 2.0
SCHEDULE = [HOT, 0.6, 0.35, 0.22]


class Exact:
    """Six particles of three species that do not move; its partition function by enumeration."""

    def __init__(self) -> None:
        self.frozen = Frozen((2, 2, 2), temperature=HOT)
        self.mc = gnf.MonteCarlo(self.frozen.system, swap_probability=1.0, threads=1)

    def log_z(self, temperature: float) -> float:
        energy = self.frozen.energy
        lowest = float(energy.min())
        return math.log(float(np.exp(-(energy - lowest) / temperature).mean())) - lowest / temperature

    def probabilities(self, temperature: float) -> Array:
        weights = np.exp(-(self.frozen.energy - self.frozen.energy.min()) / temperature)
        return np.asarray(weights / weights.sum())

    def run(self, replicas: int, seed: int, sweeps: int, device: str = "cpu", **options: Any) -> PAResult:
        """Anneal from exact samples at the start temperature."""
        settings: dict[str, Any] = {"temperatures": SCHEDULE, "equilibration_sweeps": 0, "adapt_move_size": False}
        pa = gnf.PopulationAnnealing(
            self.frozen.system, explorer=self.mc, sweeps_per_step=sweeps, **(settings | options), record_energy=False
        )
        start = self.frozen.ensemble(self.frozen.draw(replicas, seed=seed), seed=seed + 10_000)
        return pa.run(start, device=device)


@pytest.fixture(scope="module")
def exact() -> Exact:
    return Exact()


ADAPTIVE = {"temperatures": None, "start": HOT, "target": SCHEDULE[-1], "culling_fraction": 0.15}


@pytest.mark.parametrize("options", [{}, ADAPTIVE], ids=["fixed", "adaptive"])
def test_distribution_and_averages(exact: Exact, options: dict[str, Any], device: str) -> None:
    """With sweeps enough to part the copies, the population is a sample of independent states at the target."""
    replicas = 20_000
    result = exact.run(replicas, 1, 30, device, **options)
    population = result.ensemble.to("cpu")
    np.testing.assert_array_equal(population.positions, np.tile(exact.frozen.positions, (replicas, 1, 1)))
    state = exact.frozen.state_of(population.species)
    np.testing.assert_allclose(population.energy, exact.frozen.energy[state], rtol=1e-9)
    counts = np.bincount(state, minlength=exact.frozen.energy.size)
    assert chi_square_p(counts, replicas * exact.probabilities(result.temperatures[-1])) > FALSE_ALARM
    assert chi_square_p(counts, replicas * exact.probabilities(1.1 * result.temperatures[-1])) < FALSE_ALARM  # it has power
    n = exact.frozen.system.n
    for k, temperature in enumerate(result.temperatures):
        p, energy = exact.probabilities(temperature), exact.frozen.energy
        mean = float((p * energy).sum())
        heat = float((p * (energy - mean) ** 2).sum()) / (n * temperature**2)
        assert abs(result.mean_energy[k] - mean) < STATISTICAL * result.mean_energy_error[k]
        assert abs(result.specific_heat[k] - heat) < STATISTICAL * result.specific_heat_error[k]
        miss = result.log_z[k] - (exact.log_z(temperature) - exact.log_z(HOT))
        assert abs(miss) <= STATISTICAL * result.log_z_error[k]
        assert result.mean_energy_error[k] < 0.02
        assert result.log_z_error[k] < 0.02


@pytest.fixture(scope="module")
def many_small_runs(exact: Exact) -> list[PAResult]:
    """1000 populations of 8, with one sweep a step."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gnf.samplers.PopulationCollapseWarning)
        return [exact.run(8, k, 1) for k in range(1000)]


def test_z_has_no_bias_at_any_population(exact: Exact, many_small_runs: list[PAResult]) -> None:
    """Z, and Z times the distribution, are exact on average over small populations; log Z is not."""
    runs = len(many_small_runs)
    target = exact.log_z(SCHEDULE[-1]) - exact.log_z(HOT)
    log_z = np.array([result.log_z[-1] for result in many_small_runs]) - target
    z = np.exp(log_z)
    state = np.stack([exact.frozen.state_of(result.ensemble.species) for result in many_small_runs])
    joint = z[:, None] * (state[:, :, None] == np.arange(exact.frozen.energy.size)).mean(axis=1)
    assert abs(z.mean() - 1.0) < STATISTICAL * z.std() / math.sqrt(runs)
    assert log_z.mean() < -3.0 * log_z.std() / math.sqrt(runs)  # the test sees a bias where there is one
    assert 0.2 < z.std() < 0.8
    expected = exact.probabilities(SCHEDULE[-1])
    for k in np.argsort(-expected)[:10]:
        assert abs(joint[:, k].mean() - expected[k]) < STATISTICAL * joint[:, k].std() / math.sqrt(runs)


@pytest.mark.parametrize("sweeps", [1, 8])
def test_errors_are_those_of_independent_runs(exact: Exact, sweeps: int) -> None:
    """The jackknife over families says what runs differ by, where copies part within a step and where they do not.

    Over 300 runs a standard deviation is known to 4 %; allowed are 20 % for that, and for the first order of the jackknife.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gnf.samplers.PopulationCollapseWarning)
        results = [exact.run(100, 20_000 + k, sweeps) for k in range(300)]
    for name in ("log_z", "mean_energy", "specific_heat"):
        values = np.array([getattr(result, name)[-1] for result in results])
        errors = np.array([getattr(result, f"{name}_error")[-1] for result in results])
        assert math.sqrt((errors**2).mean()) == pytest.approx(values.std(ddof=1), rel=0.2), name
    average = gnf.weighted_average(results)
    assert np.mean([result.rho_f[-1] for result in results]) == pytest.approx(average.rho_f, rel=0.35)
    assert all(result.rho_f[-1] < result.rho_t[-1] for result in results)


def test_weighted_average_over_runs(exact: Exact, many_small_runs: list[PAResult]) -> None:
    """Populations of 8 give biased averages; weighted by Z they are exact."""
    results = many_small_runs
    average = gnf.weighted_average(results)
    p, energy, temperature = exact.probabilities(SCHEDULE[-1]), exact.frozen.energy, SCHEDULE[-1]
    mean = float((p * energy).sum())
    heat = float((p * (energy - mean) ** 2).sum()) / (exact.frozen.system.n * temperature**2)
    assert abs(average.mean_energy - mean) < STATISTICAL * average.mean_energy_error
    assert abs(average.log_z - (exact.log_z(temperature) - exact.log_z(HOT))) < STATISTICAL * average.log_z_error
    assert abs(average.specific_heat - heat) < STATISTICAL * average.specific_heat_error
    plain = np.array([result.mean_energy[-1] for result in results])
    assert plain.mean() - mean > 3.0 * plain.std() / math.sqrt(plain.size)  # what the weights are for
    assert average.weights.sum() == pytest.approx(1.0)
    assert 500 < average.ess < 1000
    assert average.runs == 1000
