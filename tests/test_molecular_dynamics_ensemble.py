"""Whether molecular dynamics samples what it should: exact distributions, physical_validation, averages against Monte Carlo.

Seeds are fixed. Chi-square and Kolmogorov-Smirnov tests have a false-alarm rate of 1e-5 (tolerances.FALSE_ALARM).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import glassnf as gnf
from glassnf.certify.pairs import distance_bins
from glassnf.certify.statistics import chi_square_p
from glassnf.samplers import MolecularDynamics, MonteCarlo
from glassnf.systems import PairPotential, custom
from tolerances import FALSE_ALARM, STATISTICAL

pytest.importorskip("scipy.stats")

Array = npt.NDArray[Any]


def liquid(replicas: int, temperature: float, *, n: int = 43, sweeps: int = 2_000, seed: int = 5) -> gnf.Ensemble:
    """Return replicas in equilibrium (by swap Monte Carlo), with velocities."""
    system = gnf.systems.ka2d(n)
    ensemble = gnf.Ensemble.random(system, replicas, temperature=temperature, seed=seed)
    MonteCarlo(system, threads=2).equilibrate(ensemble, sweeps=sweeps)
    ensemble.draw_velocities()
    return ensemble


# ----------------------------------------------------------------------------------------------- two particles, by quadrature


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("thermostat", ["langevin", "rescaling"])
def test_two_particles_in_a_box(dimension: int, thermostat: str) -> None:
    pair = PairPotential("harmonic", 1.0, 2.0)
    system = custom("two", potential=pair, species=[0, 0], box=[2.2] * dimension)
    rng = np.random.default_rng(7)
    replicas = 20_000
    positions = rng.uniform(0.0, 2.2, (replicas, 2, dimension))
    ensemble = gnf.Ensemble.from_arrays(system, positions, temperature=0.7, seed=11)
    md = MolecularDynamics(system, timestep=0.02, thermostat=thermostat, friction=2.0, relaxation_time=0.3, threads=2)
    md.run(ensemble, 1_000)
    delta = ensemble.positions[:, 0] - ensemble.positions[:, 1]
    delta -= 2.2 * np.rint(delta / 2.2)
    edges, probabilities = distance_bins(system, 1.0 / 0.7)
    counts = np.histogram(np.sqrt((delta**2).sum(axis=-1)), np.append(edges, np.inf))[0]
    assert chi_square_p(counts, replicas * probabilities) > FALSE_ALARM


# ---------------------------------------------------------------------------------------------------------- kinetic energies


@pytest.mark.parametrize("thermostat", ["langevin", "rescaling"])
def test_kinetic_energy_has_the_canonical_distribution(thermostat: str) -> None:
    """Starts far from equilibrium, at rest; ends with 800 independent kinetic energies, gamma-distributed."""
    from scipy.stats import gamma, kstest

    ensemble = liquid(800, 0.6, sweeps=40)
    ensemble.velocities *= 0.0
    if thermostat == "rescaling":
        ensemble.draw_velocities()
        ensemble.velocities *= 0.3
    md = MolecularDynamics(ensemble.system, timestep=0.004, thermostat=thermostat, friction=5.0, relaxation_time=0.1, threads=2)
    record = md.run(ensemble, 600, record_every=600)
    degrees = 86 if thermostat == "langevin" else 84
    assert kstest(record.kinetic_energy[-1], gamma(degrees / 2, scale=0.6).cdf).pvalue > FALSE_ALARM


def simulation_data(temperature: float, timestep: float, seed: int, thermostat: str) -> Any:
    """Return a run at one temperature as the physical_validation package wants it, thinned to nearly independent samples."""
    pv = pytest.importorskip("physical_validation")
    ensemble = liquid(32, temperature, seed=seed, sweeps=1_000)
    md = MolecularDynamics(
        ensemble.system, timestep=timestep, thermostat=thermostat, friction=1.0, relaxation_time=0.2, threads=2
    )
    md.run(ensemble, 2_000)
    record = md.run(ensemble, 40_000, record_every=400)
    n = ensemble.n
    units = pv.data.UnitData(
        kb=1.0,
        energy_conversion=1.0,
        length_conversion=1.0,
        volume_conversion=1.0,
        temperature_conversion=1.0,
        pressure_conversion=1.0,
        time_conversion=1.0,
    )
    lost = 0 if thermostat == "langevin" else 2  # the momentum of the whole
    return pv.data.SimulationData(
        units=units,
        dt=timestep,
        # In two dimensions: one degree of freedom less for each particle.
        system=pv.data.SystemData(natoms=n, nconstraints=n, ndof_reduction_tra=lost, ndof_reduction_rot=0),
        ensemble=pv.data.EnsembleData("NVT", natoms=n, volume=float(np.prod(ensemble.system.box)), temperature=temperature),
        observables=pv.data.ObservableData(
            kinetic_energy=record.kinetic_energy.T.ravel(),
            potential_energy=record.energy.T.ravel(),
            total_energy=record.total_energy.T.ravel(),
        ),
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("thermostat", ["langevin", "rescaling"])
def test_physical_validation(thermostat: str) -> None:
    """Kinetic energies, and potential energies at two temperatures, by the checks of Merz and Shirts, PLOS ONE 13, e0202764."""
    pv = pytest.importorskip("physical_validation")
    cold, hot = (simulation_data(t, 0.004, seed, thermostat) for t, seed in ((0.9, 21), (1.0, 22)))
    for data in (cold, hot):
        assert pv.kinetic_energy.distribution(data, strict=True, verbosity=0) > FALSE_ALARM
        mean, width = pv.kinetic_energy.distribution(data, strict=False, verbosity=0, bootstrap_seed=1)
        assert abs(mean) < STATISTICAL
        assert abs(width) < STATISTICAL
    # The slope of log P(U, T2) / P(U, T1) against U is beta1 - beta2: deviation in standard errors.
    deviations = pv.ensemble.check(cold, hot, data_is_uncorrelated=False, verbosity=0, bootstrap_seed=1)
    assert max(np.abs(deviations)) < STATISTICAL


# -------------------------------------------------------------------------------------------------------------------- averages


def means(ensemble: gnf.Ensemble, timestep: float, time: float, **settings: Any) -> tuple[float, float]:
    """Return <U>/N over a run and its standard error over replicas."""
    md = MolecularDynamics(ensemble.system, timestep=timestep, threads=2, **settings)
    md.run(ensemble, round(2.0 / timestep))
    energy = md.run(ensemble, round(time / timestep), record_every=round(0.1 / timestep)).energy.mean(axis=0) / ensemble.n
    return float(energy.mean()), float(energy.std(ddof=1) / math.sqrt(energy.size))


@pytest.mark.parametrize("settings", [{"thermostat": "rescaling"}, {"swap_every": 20}])
def test_energy_at_high_temperature_agrees_with_monte_carlo(settings: dict[str, Any]) -> None:
    ensemble = liquid(64, 1.0, sweeps=1_000)
    expected = MonteCarlo(ensemble.system, threads=2).run(ensemble.copy(), 4_000, record_every=10).energy.mean(axis=0) / 43
    found, error = means(ensemble, 0.002, 30.0, **settings)
    combined = math.hypot(error, float(expected.std(ddof=1)) / 8.0)
    assert abs(found - expected.mean()) < 4.0 * combined  # false alarm 6e-5, time-step error far below


@pytest.mark.slow
def test_energy_extrapolated_to_vanishing_time_step_agrees_with_monte_carlo() -> None:
    """T = 0.5: <U>/N at three time steps, weighted fit of a + b dt^2; a against swap Monte Carlo within 3 sigma (0.3 %)."""
    start = liquid(64, 0.5, sweeps=20_000)
    reference = MonteCarlo(start.system, threads=2).run(start.copy(), 40_000, record_every=10).energy.mean(axis=0) / 43
    timesteps = np.array([0.004, 0.008, 0.012])
    values, errors = zip(*(means(start.copy(), dt, 1_000.0, swap_every=round(0.2 / dt)) for dt in timesteps), strict=True)
    design = np.stack([np.ones(3), timesteps**2], axis=1) / np.array(errors)[:, None]
    covariance = np.linalg.inv(design.T @ design)
    intercept = float((covariance @ design.T @ (np.array(values) / np.array(errors)))[0])
    error = math.hypot(math.sqrt(covariance[0, 0]), float(reference.std(ddof=1)) / 8.0)
    print(f"dt -> 0: {intercept:.5f}, Monte Carlo {reference.mean():.5f}, error {error:.5f}; at each dt: {values}")
    assert abs(intercept - reference.mean()) < 3.0 * error
