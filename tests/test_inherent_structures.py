"""Inherent structures: minima of the potential energy, the same for any company, threads and search."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import cases
import glassnf as gnf
from glassnf import _core
from glassnf.samplers import MonteCarlo


def liquid(replicas: int = 3, n: int = 43, temperature: float = 0.6) -> gnf.Ensemble:
    ensemble = cases.small(replicas, temperature, n)
    MonteCarlo(ensemble.system, threads=1).equilibrate(ensemble, sweeps=60)
    return ensemble


@pytest.mark.parametrize("n", [43, 172])
def test_minima(n: int) -> None:
    start = liquid(10 if n == 43 else 3, n)
    before = start.copy()
    found = gnf.inherent_structures(start, force_tolerance=1e-7, threads=2)
    cases.assert_identical(start, before)
    assert found.converged.all()
    assert (found.largest_force <= 1e-7).all()
    energy, forces = gnf.energy_and_forces(start.system, found.ensemble.positions, found.ensemble.species)
    assert np.abs(forces).max() < 1.5e-7
    np.testing.assert_allclose(found.energy, energy, rtol=0.0, atol=1e-9)
    assert (found.energy < start.energy).all()
    assert found.ensemble.velocities is None
    # Any small displacement costs energy.
    rng = np.random.default_rng(1)
    for size in (1e-3, 1e-2):
        displaced = found.ensemble.positions + rng.uniform(-size, size, start.positions.shape)
        assert (gnf.energy(start.system, displaced, start.species) > found.energy).all()


def test_a_minimum_is_its_own() -> None:
    found = gnf.inherent_structures(liquid(), force_tolerance=1e-6)
    again = gnf.inherent_structures(found.ensemble, force_tolerance=1e-6)
    np.testing.assert_array_equal(again.iterations, 0)
    np.testing.assert_array_equal(again.ensemble.positions, found.ensemble.positions)


def test_basins_survive_small_displacements() -> None:
    found = gnf.inherent_structures(liquid(8), force_tolerance=1e-6)
    rng = np.random.default_rng(2)
    moved = found.ensemble.copy()
    moved.positions += rng.uniform(-0.01, 0.01, moved.positions.shape)
    moved.wrap()
    back = gnf.inherent_structures(moved, force_tolerance=1e-6)
    np.testing.assert_allclose(back.energy, found.energy, rtol=0.0, atol=1e-7)


@pytest.mark.parametrize("n", [43, 172])
def test_company_threads_and_searches_do_not_matter(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    start = liquid(5, n)
    found = gnf.inherent_structures(start, threads=1)
    cases.assert_identical(gnf.inherent_structures(start, threads=2).ensemble, found.ensemble)
    part = gnf.inherent_structures(start[[3, 1, 2]], threads=1)
    cases.assert_identical(part.ensemble, found.ensemble[[3, 1, 2]])
    original = _core.minimise
    for search in (1, 2):
        with monkeypatch.context() as patch:
            patch.setattr(_core, "minimise", lambda *a, search=search, **k: original(*a, **k, search=search))
            other = gnf.inherent_structures(start, threads=1)
            cases.assert_identical(other.ensemble, found.ensemble)
            np.testing.assert_array_equal(other.iterations, found.iterations)


def test_particles_in_one_place_do_not_count_as_a_minimum() -> None:
    start = liquid()
    start.positions[1, 3] = start.positions[1, 4]
    found = gnf.inherent_structures(start)
    np.testing.assert_array_equal(found.converged, [True, False, True])
    assert found.largest_force[1] == math.inf


def test_iterations_count_the_force_evaluations() -> None:
    start = liquid(1)
    needed = int(gnf.inherent_structures(start).iterations[0])
    assert gnf.inherent_structures(start, max_iterations=needed).converged.all()
    assert not gnf.inherent_structures(start, max_iterations=needed - 1).converged.any()


def test_progress() -> None:
    seen: list[tuple[int, int, dict[str, Any]]] = []
    gnf.inherent_structures(liquid(10), threads=1, progress=lambda *a: seen.append(a))
    assert seen == [(8, 10, {"converged": 8}), (10, 10, {"converged": 10})]


def test_iterations_run_out() -> None:
    found = gnf.inherent_structures(liquid(), max_iterations=5)
    assert not found.converged.any()
    assert (found.largest_force > 1e-6).all()
    assert np.isfinite(found.energy).all()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"force_tolerance": 0.0}, "force_tolerance: expected a positive finite number"),
        ({"force_tolerance": math.nan}, "force_tolerance: expected a positive finite number"),
        ({"force_tolerance": 1e-12}, "force_tolerance: expected at least 1.5e-09"),
        ({"max_iterations": 0}, "max_iterations: expected an integer from 1"),
        ({"threads": 0}, "threads: expected an integer from 1"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        gnf.inherent_structures(liquid(), **arguments)


def test_bad_ensemble() -> None:
    with pytest.raises(TypeError, match="ensemble: expected an Ensemble"):
        gnf.inherent_structures(np.zeros((1, 43, 2)))  # type: ignore[arg-type]
