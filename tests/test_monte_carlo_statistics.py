"""Monte Carlo averages of the ternary liquid: against an independent program, between algorithms, and between observables.

Seeds are fixed. Comparisons of two averages fail beyond 5 combined standard deviations (tolerances.STATISTICAL), by chance in
6e-7 of all cases; errors come from glassnf.observables and account for autocorrelation.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glassnf as gnf
from glassnf.observables import estimate_mean, mean_energy, reweight, specific_heat, split_rhat
from tolerances import STATISTICAL

DATA = Path(__file__).parent / "data"
SYSTEM = gnf.systems.ka2d(43)
LONG = [pytest.param(0.3, 24_000, marks=pytest.mark.slow)]


def brute_force(temperature: float) -> dict[str, Any]:
    content = json.loads((DATA / "brute_force_ka2d_n43.json").read_text(encoding="utf-8"))
    return next(row for row in content["temperatures"] if row["temperature"] == temperature)


def sample(
    temperature: float,
    sweeps: int,
    seed: int,
    *,
    swap_probability: float = 0.2,
    equilibration: int = 1_000,
    replicas: int = 64,
    device: str = "cpu",
    **options: Any,
) -> gnf.MCRecord:
    ensemble = gnf.Ensemble.random(SYSTEM, replicas, temperature, seed, device=device)
    mc = gnf.MonteCarlo(SYSTEM, swap_probability=swap_probability, **options)
    mc.equilibrate(ensemble, equilibration)
    return mc.run(ensemble, sweeps, record_every=4)


@pytest.mark.parametrize(("temperature", "sweeps"), [(1.0, 2_000), (0.5, 5_000), *LONG])
def test_averages_agree_with_the_brute_force_program(temperature: float, sweeps: int, device: str) -> None:
    expected = brute_force(temperature)
    record = sample(temperature, sweeps, 501, equilibration=2_000 if temperature >= 0.5 else 6_000, device=device)
    assert split_rhat(record.energy) < 1.05
    mean = mean_energy(record.energy, 43)
    assert mean.error < 0.004
    error = math.hypot(mean.error, expected["energy_error"])
    assert abs(mean.value - expected["energy_per_particle"]) < STATISTICAL * error
    heat = specific_heat(record.energy, temperature, 43, 2)
    error = math.hypot(heat.error, expected["specific_heat_error"])
    assert abs(heat.value - expected["specific_heat"]) < STATISTICAL * error
    assert heat.error < 0.06


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_local_and_swap_monte_carlo_have_the_same_equilibrium(temperature: float) -> None:
    """Local moves leave the energy of equilibrated replicas as it is. Errors are from the replicas: local memory is long."""
    ensemble = gnf.Ensemble.random(SYSTEM, 96, temperature, seed=502)
    swap, local = gnf.MonteCarlo(SYSTEM), gnf.MonteCarlo(SYSTEM, swap_probability=0.0)
    swap.equilibrate(ensemble, 1_000)
    before = mean_energy(swap.run(ensemble, 2_000, record_every=4).energy, 43)
    after = mean_energy(local.run(ensemble, 2_000, record_every=4).energy[250:], 43, method="replicas")
    assert after.error < 0.012
    assert abs(after.deviation(before)) < STATISTICAL


def test_choice_of_swaps_does_not_change_averages() -> None:
    usual = mean_energy(sample(0.7, 1_500, 504).energy, 43)
    weights = [[0.0, 1.0, 4.0], [1.0, 0.0, 2.0], [4.0, 2.0, 0.0]]
    other = mean_energy(sample(0.7, 1_000, 505, swap_probability=0.7, swap_weights=weights).energy, 43)
    assert abs(usual.deviation(other)) < STATISTICAL


def test_local_monte_carlo_from_a_random_start_is_far_from_equilibrium_at_low_temperature() -> None:
    """At T = 0.25 local moves leave the energy high for far longer than this; swaps do not."""
    swap = sample(0.25, 4_000, 506, equilibration=4_000, replicas=32).energy / 43
    half = len(swap) // 2
    first, second = estimate_mean(swap[:half]), estimate_mean(swap[half:])
    assert abs(first.deviation(second)) < STATISTICAL
    local = sample(0.25, 2_000, 507, swap_probability=0.0, equilibration=2_000, replicas=32).energy / 43
    stuck = estimate_mean(local, method="replicas")
    assert stuck.deviation(estimate_mean(swap)) > STATISTICAL
    assert stuck.value > estimate_mean(swap).value + 0.01
    assert split_rhat(local) > 1.1


def test_specific_heat_is_the_slope_of_the_energy() -> None:
    """C_v from fluctuations at T = 1 against <U> at T +- 0.1 (runs) and T +- 0.01 (reweighting)."""
    record = sample(1.0, 2_000, 508)
    heat = specific_heat(record.energy, 1.0, 43, 2)
    hot, cold = (mean_energy(sample(t, 1_200, 509).energy, 43) for t in (1.1, 0.9))
    slope = (hot.value - cold.value) / 0.2
    error = math.hypot(hot.error, cold.error) / 0.2
    # Half the step squared times the third derivative of <U> is below 0.01 here.
    assert abs(slope - heat.value) < STATISTICAL * math.hypot(error, heat.error) + 0.01
    by_weights = [reweight(record.energy, 1.0, 1.0 / t).mean.value / 43 for t in (1.01, 0.99)]
    assert (by_weights[0] - by_weights[1]) / 0.02 == pytest.approx(heat.value, abs=3.0 * heat.error)  # the same data


@pytest.mark.slow
def test_specific_heat_is_the_slope_of_the_energy_when_supercooled() -> None:
    record = sample(0.4, 20_000, 510, equilibration=4_000)
    heat = specific_heat(record.energy, 0.4, 43, 2)
    hot, cold = (mean_energy(sample(t, 20_000, 511, equilibration=4_000).energy, 43) for t in (0.42, 0.38))
    error = math.hypot(hot.error, cold.error) / 0.04
    assert abs((hot.value - cold.value) / 0.04 - heat.value) < STATISTICAL * math.hypot(error, heat.error)


def test_reweighting_between_neighbouring_temperatures() -> None:
    hot = sample(0.8, 1_500, 512)
    cold = mean_energy(sample(0.75, 1_500, 513).energy, 43)
    moved = reweight(hot.energy, 1.0 / 0.8, 1.0 / 0.75)
    assert moved.ess_fraction > 0.3
    assert abs(moved.mean.scaled(1.0 / 43).deviation(cold)) < STATISTICAL


@pytest.mark.parametrize("temperature", [0.5, 1.5])
def test_configurational_temperature(temperature: float) -> None:
    """T = <|grad U|^2> / <lap U> (Rugh 1997): forces and Monte Carlo against each other, with errors from the replicas."""
    replicas = 64
    ensemble = gnf.Ensemble.random(SYSTEM, replicas, temperature, 514)
    mc = gnf.MonteCarlo(SYSTEM)
    mc.equilibrate(ensemble, 1_000)
    record = mc.run(ensemble, 400, record_every=100, record_positions=True)
    assert record.positions is not None
    assert record.species is not None
    positions, species = record.positions.reshape(-1, 43, 2), record.species.reshape(-1, 43)
    force = gnf.forces(SYSTEM, positions, species)
    h = 1e-5
    laplacian = np.zeros(len(positions))
    for particle in range(43):
        for axis in range(2):
            difference = 0.0
            for sign in (1.0, -1.0):
                moved = positions.copy()
                moved[:, particle, axis] += sign * h
                difference = difference - sign * gnf.forces(SYSTEM, moved, species)[:, particle, axis]
            laplacian += difference / (2.0 * h)
    squares = (force**2).sum(axis=(1, 2)).reshape(-1, replicas).mean(axis=0)
    curvature = laplacian.reshape(-1, replicas).mean(axis=0)
    measured = squares.mean() / curvature.mean()
    # The ratio of means, linearised; replicas are independent.
    error = np.std((squares - measured * curvature) / curvature.mean(), ddof=1) / math.sqrt(replicas)
    assert error < 0.05 * temperature
    assert abs(measured - temperature) < STATISTICAL * error


@pytest.mark.slow
def test_large_and_small_systems_have_the_same_energy_at_high_temperature() -> None:
    """N = 1290, through cells, against N = 43, all pairs: finite-size effects at T = 1 are below 0.01."""
    system = gnf.systems.ka2d(1290)
    ensemble = gnf.Ensemble.random(system, 4, 1.0, 515)
    mc = gnf.MonteCarlo(system)
    mc.equilibrate(ensemble, 1_000)
    large = mean_energy(mc.run(ensemble, 2_000, record_every=4).energy, 1290)
    small = mean_energy(sample(1.0, 4_000, 516).energy, 43)
    assert abs(large.value - small.value) < 0.01 + STATISTICAL * math.hypot(large.error, small.error)
