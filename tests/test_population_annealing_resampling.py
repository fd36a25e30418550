"""Weights and systematic resampling of population annealing: exact properties, for any weights."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cases import small
from glassnf import _core
from glassnf._arrays import address
from glassnf.certify.statistics import chi_square_p
from glassnf.samplers._families import error_of_mean, sizes_of
from glassnf.samplers._population import copy_replicas, find_step, parents_of, reweight
from tolerances import FALSE_ALARM, FP64_REDUCTION, STATISTICAL

pytest.importorskip("scipy.stats")

Array = npt.NDArray[Any]


def parents(weights: Array, seed: int, step: int = 0) -> Array:
    weights = np.ascontiguousarray(weights, dtype=np.uint64)
    found = np.full(weights.size, -1, dtype=np.int64)
    _core.resample(replicas=weights.size, weights=address(weights), seed=seed, step=step, parents=address(found))
    return found


def offset(seed: int, step: int, total: int) -> int:
    """Return T of resampling.hpp, by the generator alone."""
    stream = int(_core.Stream.RESAMPLING)
    words = _core.philox([0, step & 0xFFFFFFFF, 0, stream << 24 | (step >> 32) << 8], seed)
    return ((words[0] << 32 | words[1]) * total) >> 64


@st.composite
def populations(draw: st.DrawFn) -> Array:
    """Integer weights up to 2^51 with at least one that is positive: even, spread over many orders, mostly zero."""
    exponents = draw(st.lists(st.integers(-1, 51), min_size=1, max_size=60).filter(lambda e: max(e) >= 0))
    return np.array([0 if e < 0 else draw(st.integers(2**e // 2, 2**e)) or 1 for e in exponents], dtype=np.uint64)


@settings(deadline=None, max_examples=300, derandomize=True)
@given(weights=populations(), seed=st.integers(0, 2**64 - 1), step=st.integers(0, 2**44 - 1))
def test_systematic_resampling(weights: Array, seed: int, step: int) -> None:
    """The children are those of the definition in exact arithmetic; survivors stay where they are."""
    count, total = weights.size, int(weights.sum(dtype=object))
    found = parents(weights, seed, step)
    children = np.bincount(found, minlength=count)
    assert children.sum() == count
    t = offset(seed, step, total)
    assert 0 <= t < total
    cumulative = 0
    for weight, copies in zip(weights.tolist(), children.tolist(), strict=True):
        expected = Fraction(weight * count, total)
        assert math.floor(expected) <= copies <= math.ceil(expected)
        points = [k for k in range(count) if cumulative * count <= k * total + t < (cumulative + weight) * count]
        assert copies == len(points)
        cumulative += weight
    slots = np.arange(count)
    np.testing.assert_array_equal(found[children > 0], slots[children > 0])
    filled = found[children == 0]
    assert (np.diff(filled) >= 0).all()
    np.testing.assert_array_equal(found[found], found)


def test_resampling_is_unbiased() -> None:
    """Over 20,000 seeds the mean number of children is tau; every replica within 5 sigma, false alarms 1e-5 for all 12."""
    rng = np.random.default_rng(1)
    weights = rng.integers(0, 2**51, 12, dtype=np.uint64)
    weights[3], weights[7] = 0, 1
    tau = weights.astype(float) * 12 / weights.astype(float).sum()
    seeds = 20_000
    children = np.stack([np.bincount(parents(weights, seed, step=7), minlength=12) for seed in range(seeds)])
    part = tau - np.floor(tau)
    error = np.sqrt(part * (1.0 - part) / seeds)
    miss = np.abs(children.mean(axis=0) - tau)
    assert (miss <= STATISTICAL * error + 1e-9).all()
    # floor or ceil: the number of ceilings is binomial
    ups = (children - np.floor(tau)).sum(axis=0)
    for up, p in zip(ups[part > 0.01], part[part > 0.01], strict=True):
        assert chi_square_p(np.array([up, seeds - up]), seeds * np.array([p, 1.0 - p])) > FALSE_ALARM


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    energies=st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=50),
    beta_step=st.floats(-3.0, 3.0).filter(lambda step: step == 0.0 or abs(step) > 1e-9),
)
def test_weights(energies: list[float], beta_step: float) -> None:
    energy = np.array(energies)
    found = reweight(energy, beta_step)
    exponent = -beta_step * energy
    relative = np.exp(exponent - exponent.max())
    np.testing.assert_allclose(found.weights / 2.0**51, relative, rtol=1e-11, atol=2.0**-51)
    assert found.weights.max() == 2**51
    assert found.total == int(found.weights.sum())
    assert found.log_mean == pytest.approx(exponent.max() + math.log(relative.mean()), rel=FP64_REDUCTION, abs=1e-11)
    tau = relative / relative.mean()
    np.testing.assert_allclose(found.tau(), tau, rtol=1e-9, atol=1e-13)
    assert found.culled == pytest.approx(np.maximum(0.0, 1.0 - tau).mean(), abs=1e-12)
    assert found.ess == pytest.approx(relative.sum() ** 2 / (relative**2).sum() / energy.size, rel=1e-6)
    assert 0.0 < found.ess <= 1.0


def test_weights_of_large_populations() -> None:
    """No sum overflows where all weights are as large as can be, and the shift of a common energy is exact."""
    for replicas in (2, 2047, 2048, 100_000, 2**20):
        found = reweight(np.full(replicas, -3.0), 0.5)
        assert found.total == replicas * int(found.weights[0])
        assert found.total < 2**62
        assert found.log_mean == 1.5
        assert found.ess == 1.0
        assert found.culled == 0.0
        np.testing.assert_array_equal(parents_of(found, 3, 5), np.arange(replicas))


def test_refused() -> None:
    weights, out = np.zeros(3, dtype=np.uint64), np.zeros(3, dtype=np.int64)
    common: dict[str, Any] = {"weights": address(weights), "seed": 1, "step": 0, "parents": address(out)}
    with pytest.raises(ValueError, match="weights: expected a positive sum"):
        _core.resample(replicas=3, **common)
    weights[1] = 2**51 + 1
    with pytest.raises(ValueError, match=r"weights: expected integers up to 2\^51"):
        _core.resample(replicas=3, **common)
    for count in (0, -1, 2**24 + 1):
        with pytest.raises(ValueError, match="replicas: expected"):
            _core.resample(replicas=count, **common)
    for wrong in ([1, 2, 2], [0, 1, 3], [0, -1, 2]):
        array = np.array(wrong, dtype=np.int64)
        with pytest.raises(ValueError, match="parents: expected"):
            _core.gather_replicas(replicas=3, parents=address(array), arrays=[(address(weights), 8)])


@settings(deadline=None, max_examples=50, derandomize=True)
@given(culling=st.floats(1e-3, 0.6), spread=st.floats(0.1, 50.0), seed=st.integers(0, 100))
def test_the_step_culls_the_fraction_asked_for(culling: float, spread: float, seed: int) -> None:
    energy = np.random.default_rng(seed).normal(-80.0, spread, 300)
    found = find_step(energy, 1e3, culling)
    assert found.culled == pytest.approx(culling, rel=3e-4)
    near = find_step(energy, found.beta_step * 0.5, culling)
    assert near.beta_step == found.beta_step * 0.5
    assert near.culled < culling


def test_equal_energies_go_straight_to_the_target() -> None:
    assert find_step(np.full(5, -80.0), 7.0, 0.1).beta_step == 7.0


@pytest.mark.parametrize("threads", ["1", "2", "5"])
def test_copies(threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSNF_THREADS", threads)
    population = small(replicas=700)
    population.velocities = np.random.default_rng(2).normal(size=population.positions.shape)
    population.images[:] = np.arange(700)[:, None, None]
    before = population.copy()
    found = parents(np.random.default_rng(3).integers(0, 2**40, 700), seed=4)
    assert 100 < (found != np.arange(700)).sum() < 600
    for _ in range(2):  # twice is once
        copy_replicas(population, found)
        for name in ("positions", "images", "species", "velocities", "energy"):
            np.testing.assert_array_equal(getattr(population, name), getattr(before, name)[found], err_msg=name)
        for name in ("ids", "beta", "move_size"):
            np.testing.assert_array_equal(getattr(population, name), getattr(before, name), err_msg=name)


def test_sizes_of_families() -> None:
    assert sizes_of(np.arange(8)) == (8, 1.0, pytest.approx(1.0))
    assert sizes_of(np.full(8, 3)) == (1, 8.0, pytest.approx(8.0))
    count, mean_square, entropic = sizes_of(np.array([0, 0, 0, 0, 5, 5, 7, 7]))
    assert (count, mean_square) == (3, 3.0)
    assert entropic == pytest.approx(8.0 * math.exp(0.5 * math.log(0.5) + 0.5 * math.log(0.25)))


def test_error_by_family() -> None:
    """Families of equal values: the error of as many independent numbers as there are families."""
    values = np.random.default_rng(5).normal(size=50)
    families = np.repeat(np.arange(50), 4)
    expected = values.std(ddof=1) / math.sqrt(50)
    assert error_of_mean(np.repeat(values, 4), families) == pytest.approx(expected)
    assert math.isnan(error_of_mean(np.ones(5), np.zeros(5, dtype=np.int64)))
