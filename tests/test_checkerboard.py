"""Checkerboard Monte Carlo: another order of the same trials, and the same Boltzmann distribution."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import glassnf as gnf
import glassnf.samplers.monte_carlo as sampler
from glassnf.certify.statistics import chi_square_p
from glassnf.systems import PairPotential, System, custom
from tolerances import CACHED_ENERGY

Array = npt.NDArray[Any]

FALSE_ALARM = 1e-3
"""Probability that a statistical test of this file fails by chance, were its seed not fixed."""

EMULATED_LANES = 1  # value of `search` of the native function


def run(system: System, *, replicas: int, sweeps: int, threads: int = 1, seed: int = 3) -> tuple[gnf.Ensemble, gnf.MCRecord]:
    ensemble = gnf.Ensemble.random(system, replicas, temperature=1.0, seed=seed)
    record = gnf.MonteCarlo(system, checkerboard=True, threads=threads).run(
        ensemble, sweeps, record_every=5, record_positions=True
    )
    return ensemble, record


def assert_same(a: tuple[gnf.Ensemble, gnf.MCRecord], b: tuple[gnf.Ensemble, gnf.MCRecord]) -> None:
    assert a[0].identical_to(b[0])
    for name in (
        "energy",
        "positions",
        "species",
        "displacement_attempts",
        "displacement_accepts",
        "swap_attempts",
        "swap_accepts",
    ):
        np.testing.assert_array_equal(getattr(a[1], name), getattr(b[1], name), err_msg=name)
    assert a[1].pair_evaluations == b[1].pair_evaluations


@pytest.mark.parametrize("system", [gnf.systems.ka2d(200), gnf.systems.ka2d(700)], ids=["ka2d-200", "ka2d-700"])
def test_threads_and_lanes_do_not_count(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run(system, replicas=2, sweeps=30)
    assert_same(run(system, replicas=2, sweeps=30, threads=2), expected)
    emulated = functools.partial(sampler._core.monte_carlo, search=EMULATED_LANES)
    monkeypatch.setattr(sampler._core, "monte_carlo", emulated)
    assert_same(run(system, replicas=2, sweeps=30), expected)


def test_three_dimensions(monkeypatch: pytest.MonkeyPatch) -> None:
    potential = PairPotential(kind="wca", sigma=[[1.0, 0.9], [0.9, 0.8]], epsilon=[[1.0, 1.2], [1.2, 0.8]])
    system = custom("discs", potential=potential, composition=(60, 60), box=[4.9, 5.1, 5.3])
    expected = run(system, replicas=1, sweeps=30)
    assert expected[1].swap_accepts.sum() > 0
    emulated = functools.partial(sampler._core.monte_carlo, search=EMULATED_LANES)
    monkeypatch.setattr(sampler._core, "monte_carlo", emulated)
    assert_same(run(system, replicas=1, sweeps=30), expected)
    energy = gnf.energy(system, expected[0].positions, expected[0].species)
    np.testing.assert_allclose(expected[0].energy, energy, rtol=0.0, atol=CACHED_ENERGY)


def test_calls_and_batches_do_not_count() -> None:
    system = gnf.systems.ka2d(200)
    whole, _ = run(system, replicas=3, sweeps=20)
    parts = gnf.Ensemble.random(system, 3, temperature=1.0, seed=3)
    mc = gnf.MonteCarlo(system, checkerboard=True, threads=1)
    mc.run(parts, 7)
    pieces = [parts[k] for k in range(3)]
    for piece in pieces:
        mc.run(piece, 13)
    assert gnf.Ensemble.concatenate(pieces).identical_to(whole)


def test_cached_energy_and_counts() -> None:
    system = gnf.systems.ka2d(700)
    ensemble, record = run(system, replicas=2, sweeps=200)
    np.testing.assert_allclose(
        ensemble.energy, gnf.energy(system, ensemble.positions, ensemble.species), rtol=0.0, atol=CACHED_ENERGY
    )
    trials = record.displacement_attempts + record.swap_attempts.sum(axis=(1, 2)) // 2
    # N trials a sweep on average; active cells hold N / 4 particles with a spread far below N.
    assert np.all(np.abs(trials / (200 * 700) - 1.0) < 0.02)
    counts = np.stack([np.bincount(s, minlength=3) for s in ensemble.species])
    assert (counts == system.composition).all()


def test_pair_distance_of_two_particles() -> None:
    """Two soft discs in a box of 4 x 4 cutoffs: the distribution of their distance is known.

    4000 replicas start at a fixed distance; after 200 sweeps the exact distribution of r^2 must have been reached. Then
    20 more sweeps must leave it alone. Chi-square of 12 bins of equal probability, each with false-alarm rate 1e-3.
    """
    side, beta, replicas = 4.2, 4.0, 4000
    system = custom(
        "discs", potential=PairPotential(kind="harmonic", sigma=[[1.0]], epsilon=[[2.0]]), composition=(2,), box=[side, side]
    )
    start = np.tile(np.array([[1.0, 1.0], [2.1, 1.0]]), (replicas, 1, 1))
    ensemble = gnf.Ensemble.from_arrays(system, start, temperature=1.0 / beta, seed=5, move_size=0.8)
    mc = gnf.MonteCarlo(system, swap_probability=0.0, checkerboard=True)
    # exact weights of minimum-image distances on a fine grid of one quarter of the box
    axis = (np.arange(1500) + 0.5) * (side / 2) / 1500
    r = np.hypot(axis[:, None], axis[None, :]).ravel()
    weight = np.exp(-beta * np.where(r < 1.0, (1.0 - r) ** 2, 0.0))
    order = np.argsort(r)
    cumulative = np.cumsum(weight[order]) / weight.sum()
    edges = r[order][np.searchsorted(cumulative, np.arange(1, 12) / 12)]
    for sweeps in (200, 20):
        mc.run(ensemble, sweeps)
        delta = np.abs(ensemble.positions[:, 0] - ensemble.positions[:, 1])
        distance = np.linalg.norm(np.minimum(delta, side - delta), axis=1)
        counts = np.bincount(np.searchsorted(edges, distance), minlength=12)
        assert chi_square_p(counts, np.full(12, replicas / 12)) > FALSE_ALARM


@pytest.mark.slow
def test_same_averages_as_sequential() -> None:
    """Mean energies of a liquid with swaps, both ways: within four standard errors (false-alarm rate 1e-4)."""
    system = gnf.systems.ka2d(200)
    means, errors = [], []
    for checkerboard in (False, True):
        ensemble = gnf.Ensemble.random(system, 16, temperature=1.0, seed=11 + checkerboard)
        mc = gnf.MonteCarlo(system, checkerboard=checkerboard)
        mc.run(ensemble, 600)
        energy = mc.run(ensemble, 800, record_every=10).energy.mean(axis=0) / system.n
        means.append(energy.mean())
        errors.append(energy.std(ddof=1) / np.sqrt(energy.size))
    assert errors[0] < 0.005
    assert errors[1] < 0.005
    assert abs(means[0] - means[1]) < 4.0 * np.hypot(*errors)


def test_a_box_too_small_is_refused() -> None:
    system = gnf.systems.ka2d(43)
    ensemble = gnf.Ensemble.random(system, 1, temperature=1.0, seed=1)
    before = ensemble.copy()
    with pytest.raises(ValueError, match="checkerboard: expected a box of at least four cutoffs"):
        gnf.MonteCarlo(system, checkerboard=True).run(ensemble, 3)
    assert ensemble.identical_to(before)
