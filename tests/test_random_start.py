"""Random starting configurations: no overlaps at any density, each replica its own, the same from the same seed."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import pytest

import cases
import glassnf as gnf
from glassnf._random_start import random_start
from glassnf.certify import reference
from glassnf.certify.statistics import chi_square_p
from glassnf.systems import PairPotential, System, custom
from tolerances import FALSE_ALARM, FP64_REDUCTION

BINARY = [[1.0, 1.2], [1.2, 1.4]]


def dense(kind: str, dimension: int, density: float, n: int = 150, exponent: int | None = None) -> System:
    pair = PairPotential(kind, sigma=BINARY, epsilon=[[1.0, 1.0], [1.0, 1.0]], exponent=exponent)
    return custom("dense", potential=pair, composition=(n // 2, n // 2), density=density, dimension=dimension)


SYSTEMS = {
    "ka2d-30": gnf.systems.ka2d(30),
    "ka2d-43": gnf.systems.ka2d(43),
    "ka2d-1290": gnf.systems.ka2d(1290),
    "ka-200": gnf.systems.ka(200),
    "ka-1300": gnf.systems.ka(1300),
    "dilute": cases.mixture(cases.potential("lj_smooth", 2), 20, np.array([30.0, 40.0])),
    "one": cases.mixture(cases.potential("lj_smooth", 1), 1, np.array([6.0, 6.0])),
    "two": cases.mixture(cases.potential("lj_shifted", 2), 2, np.array([6.0, 6.0, 6.0])),
    "many-species": cases.mixture(cases.potential("lj_smooth", 9, different_cutoffs=True), 90, np.array([9.0, 9.5])),
    "wca-2d": dense("wca", 2, 0.8),
    "wca-3d": dense("wca", 3, 0.75),
    "inverse-power-2d": dense("inverse_power", 2, 0.9),
    "inverse-power-3d": dense("inverse_power", 3, 1.0),
    "soft-power": dense("inverse_power", 3, 1.5, exponent=1),
    "steep-power": dense("inverse_power", 2, 0.7, exponent=64),
    "jammed-2d": dense("harmonic", 2, 0.8),
    "jammed-3d": dense("harmonic", 3, 0.9),
    "crystal": cases.mixture(PairPotential("harmonic", 1.0, 1.0), 30, np.array([4.0, 4.0])),
    "soft-crystal": cases.mixture(PairPotential("inverse_power", 1.0, 1.0, exponent=1), 30, np.array([4.0, 4.0])),
    "over-jammed": dense("harmonic", 3, 3.0),
    "slab": cases.mixture(cases.potential("lj_smooth", 2), 150, np.array([30.0, 5.6])),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_no_overlaps(name: str) -> None:
    """No particle is nearer to another than neighbours are everywhere: energies of a few kT at T = 2 or, if dense, alike."""
    system = SYSTEMS[name]
    replicas = 8 if system.n < 500 else 1
    ensemble = gnf.Ensemble.random(system, replicas, 1.0, seed=401)
    ensemble.validate()
    parameters = reference.parameters(system)
    local, forces, _ = reference._sums(ensemble.positions, ensemble.species, **parameters)
    np.testing.assert_allclose(ensemble.energy, 0.5 * local.sum(axis=1), rtol=FP64_REDUCTION * 10, atol=1e-10)
    top = np.array(system.potential.epsilon).max()
    if system.potential.kind == "inverse_power" and system.potential.exponent < 6:
        assert local.max() < 10.0 * local.mean()  # long-ranged and soft: many neighbours, none too near
    else:
        assert local.max() < max(60.0 * top, 8.0 * local.mean())
    assert np.abs(forces).max() < 1e3 * top / np.array(system.potential.sigma).min()
    counts = [np.bincount(row, minlength=system.n_species) for row in ensemble.species]
    np.testing.assert_array_equal(counts, np.tile(system.composition, (replicas, 1)))
    np.testing.assert_array_equal(ensemble.images, 0)


@pytest.mark.parametrize("temperature", [0.25, 0.5, 1.0])
def test_a_start_equilibrates_at_once(temperature: float) -> None:
    """A hundred sweeps of local Monte Carlo bring every start to energies of the liquid."""
    system = gnf.systems.ka2d(43)
    ensemble = gnf.Ensemble.random(system, 16, temperature, seed=402)
    gnf.MonteCarlo(system, swap_probability=0.0).equilibrate(ensemble, 100)
    assert (ensemble.energy / 43 < -0.8).all()


@pytest.mark.parametrize("name", ["ka2d-43", "ka-200", "jammed-2d", "one", "wca-3d", "over-jammed"])
def test_replicas_do_not_depend_on_their_batch(name: str) -> None:
    system = SYSTEMS[name]
    positions, species = random_start(system, np.arange(12), 403)
    for chosen in ([5], [3, 4], [11, 0, 7]):
        x, s = random_start(system, np.array(chosen), 403)
        np.testing.assert_array_equal(x, positions[chosen])
        np.testing.assert_array_equal(s, species[chosen])
    large = np.array([2**40 - 1, 2**32, 2**32 + 5])
    x, s = random_start(system, large, 403)
    again, _ = random_start(system, large[::-1].copy(), 403)
    np.testing.assert_array_equal(again[::-1], x)
    assert not np.array_equal(x[2], positions[5])


def test_replicas_do_not_depend_on_blocks_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    import glassnf._random_start as module

    system = gnf.systems.ka2d(43)
    wanted = gnf.Ensemble.random(system, 10, 1.0, seed=404)
    monkeypatch.setenv("GLASSNF_THREADS", "1")
    monkeypatch.setattr(module, "_BLOCK", 43 * 2 * 3)
    assert gnf.Ensemble.random(system, 10, 1.0, seed=404).identical_to(wanted)


def test_seeds() -> None:
    system = gnf.systems.ka2d(43)
    first = gnf.Ensemble.random(system, 4, 1.0, seed=405)
    assert gnf.Ensemble.random(system, 4, 1.0, seed=405).identical_to(first)
    assert gnf.Ensemble.random(system, 6, 1.0, seed=405)[:4].identical_to(first)
    other = gnf.Ensemble.random(system, 4, 1.0, seed=406)
    far = gnf.Ensemble.random(system, 4, 1.0, seed=2**64 - 1)
    for a in (other, far):
        assert (a.positions != first.positions).any(axis=(1, 2)).all()
        assert (a.species != first.species).any(axis=1).all()
    assert all((first.positions[a] != first.positions[b]).all() for a in range(4) for b in range(a))
    hot = gnf.Ensemble.random(system, 4, 9.0, seed=405)
    np.testing.assert_array_equal(hot.positions, first.positions)


def test_positions_and_species_are_random() -> None:
    """Over 4000 replicas particle 0 is anywhere in the box and of any species: chi-square, false alarm 1e-5 each."""
    pytest.importorskip("scipy.stats")
    system = cases.mixture(cases.potential("lj_smooth", 3), 6, np.array([6.0, 7.0]))
    ensemble = gnf.Ensemble.random(system, 4_000, 1.0, seed=407)
    cells = np.floor(ensemble.positions[:, 0] / system.box * 6).astype(int)
    counts = np.bincount(cells[:, 0] * 6 + cells[:, 1], minlength=36)
    assert chi_square_p(counts, np.full(36, 4_000 / 36)) > FALSE_ALARM
    assert chi_square_p(np.bincount(ensemble.species[:, 0], minlength=3), np.full(3, 4_000 / 3)) > FALSE_ALARM
    pairs = ensemble.species[:, 0] * 3 + ensemble.species[:, 5]
    expected = np.where(np.eye(3, dtype=bool), 2 * 1, 2 * 2).ravel() / 30.0 * 4_000
    assert chi_square_p(np.bincount(pairs, minlength=9), expected) > FALSE_ALARM


def seconds(system: System, replicas: int) -> tuple[float, npt.NDArray[np.float64]]:
    start = time.perf_counter()
    ensemble = gnf.Ensemble.random(system, replicas, 1.0, seed=408)
    return time.perf_counter() - start, ensemble.energy


def test_batches_start_in_reasonable_time() -> None:
    elapsed, energy = seconds(gnf.systems.ka2d(43), 256)
    assert np.isfinite(energy).all()
    assert elapsed < 20.0


@pytest.mark.parametrize("system", [gnf.systems.ka2d(20_000), gnf.systems.ka(20_000)], ids=["ka2d", "ka"])
def test_large_systems_start_in_reasonable_time(system: System) -> None:
    elapsed, energy = seconds(system, 1)
    assert (energy / system.n < 0.0).all()
    assert elapsed < 60.0
