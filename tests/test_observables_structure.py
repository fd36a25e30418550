"""Pair correlations, structure factors and bond order of configurations whose answer is known exactly.

Statistical tests run at fixed seeds; "false alarm p" is the probability that a correct implementation would fail at a random
seed.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from glassnf import observables as obs


def lattice(box: np.ndarray, cells: list[int], basis: list[list[float]]) -> np.ndarray:
    """Particles at `basis` (fractions of a cell) in every one of `cells` cells of the box."""
    grid = np.stack(np.meshgrid(*[np.arange(c) for c in cells], indexing="ij"), axis=-1).reshape(-1, 1, len(cells))
    fractions = ((grid + np.array(basis)) / np.array(cells)).reshape(-1, len(cells))
    return np.asarray(fractions * box)


def square(m: int = 6) -> tuple[np.ndarray, np.ndarray]:
    box = np.array([float(m), float(m)])
    return lattice(box, [m, m], [[0.25, 0.25]]), box


def triangular(m: int = 6) -> tuple[np.ndarray, np.ndarray]:
    box = np.array([m * 1.0, m * math.sqrt(3.0)])
    return lattice(box, [m, m], [[0.25, 0.25], [0.75, 0.75]]), box


def fcc(m: int = 4) -> tuple[np.ndarray, np.ndarray]:
    box = np.full(3, m * math.sqrt(2.0))
    basis = [[0.1, 0.1, 0.1], [0.6, 0.6, 0.1], [0.6, 0.1, 0.6], [0.1, 0.6, 0.6]]
    return lattice(box, [m, m, m], basis), box


# ----------------------------------------------------------------------------------------------------- pair correlations


def brute_force_pairs(x: np.ndarray, y: np.ndarray, box: np.ndarray, edges: np.ndarray) -> np.ndarray:
    d = x[:, None] - y[None]
    d -= box * np.round(d / box)
    return np.histogram(np.linalg.norm(d, axis=-1), edges)[0]


@pytest.mark.parametrize("box", [[6.0, 7.0], [5.0, 6.0, 5.5]])
def test_partials_against_brute_force(box: list[float]) -> None:
    rng = np.random.default_rng(1)
    sides = np.array(box)
    x = rng.uniform(-1.0, 2.0, size=(3, 24, sides.size)) * sides  # not wrapped
    species = rng.permuted(np.tile(np.repeat([0, 1, 3], [10, 9, 5]), (3, 1)), axis=1)  # species 2 is absent
    g = obs.radial_distribution(x, sides, species, bins=10, r_max=2.4)
    assert g.partials.shape == (4, 4, 10)
    assert g.n_frames == 3
    ball = math.pi * g.edges**2 if sides.size == 2 else 4 / 3 * math.pi * g.edges**3
    ideal = np.diff(ball) / sides.prod() * 3
    for a, b, pairs in [(0, 0, 90), (0, 1, 90), (1, 3, 45), (3, 3, 20)]:
        counts = np.zeros(10)
        for f in range(3):
            counts += brute_force_pairs(x[f, species[f] == a], x[f, species[f] == b], sides, g.edges)
        if a == b:
            counts[0] -= 3 * np.count_nonzero(species[0] == a)  # each particle with itself
        np.testing.assert_allclose(g.partials[a, b], counts / (pairs * ideal), rtol=1e-12)
        np.testing.assert_array_equal(g.partials[a, b], g.partials[b, a])
    assert np.isnan(g.partials[2]).all()
    counts = sum(brute_force_pairs(f, f, sides, g.edges) for f in x) - 3 * 24 * (np.arange(10) == 0)
    np.testing.assert_allclose(g.total, counts / (24 * 23 * ideal), rtol=1e-12)


@pytest.mark.parametrize("box", [[6.0, 6.0], [4.0, 4.0, 4.0]])
def test_ideal_gas_has_g_of_one_at_any_n(box: list[float]) -> None:
    # 6 particles in 4000 frames: with N^2 for N (N - 1), g_aa of 2 particles would be 1/2. Every bin within 5 Poisson standard
    # deviations, 3 x 10 bins: false alarm p = 2e-5.
    sides = np.array(box)
    x = np.random.default_rng(2).uniform(size=(4000, 6, sides.size)) * sides
    g = obs.radial_distribution(x, sides, [0, 0, 1, 1, 1, 1], bins=10)
    assert g.edges[-1] == pytest.approx(0.5 * sides.min(), rel=1e-5)
    ball = math.pi * g.edges**2 if sides.size == 2 else 4 / 3 * math.pi * g.edges**3
    expected = np.diff(ball) / sides.prod() * 4000
    for value, pairs in [(g.partials[0, 0], 2), (g.partials[0, 1], 8), (g.total, 30)]:
        sigma = np.sqrt(2.0 / (pairs * expected))  # at most: pairs that count twice double the variance
        assert (np.abs(value - 1.0) < 5.0 * sigma).all()


def test_one_particle_of_a_species_has_no_pairs() -> None:
    g = obs.radial_distribution(np.random.default_rng(3).uniform(size=(4, 2)) * 5.0, [5.0, 5.0], [0, 1, 1, 1], bins=4)
    assert np.isnan(g.partials[0, 0]).all()
    assert np.isfinite(g.partials[0, 1]).all()
    assert np.isnan(obs.radial_distribution([[1.0, 1.0]], [5.0, 5.0], bins=4).total).all()


def test_square_lattice_shells() -> None:
    x, box = square(10)
    g = obs.radial_distribution(x, box, bins=40, r_max=4.0)  # bins of 0.1: shells at 1, 1.41, 2, 2.24, 2.83, 3, ...
    shell = math.pi * np.diff(g.edges**2) / 100.0
    neighbours = g.total * shell * 99
    occupied = np.flatnonzero(neighbours > 0.5)
    assert neighbours[[14, 22, 28]] == pytest.approx([4.0, 8.0, 4.0])
    assert neighbours[9:11].sum() == pytest.approx(4.0)
    assert occupied[0] in (9, 10)


def test_lead_axes_and_order_of_particles_do_not_matter() -> None:
    rng = np.random.default_rng(4)
    x = rng.uniform(size=(4, 10, 2)) * 6.0
    s = np.repeat([0, 1], 5)
    g = obs.radial_distribution(x, [6.0, 6.0], s, bins=8)
    order = rng.permutation(10)
    h = obs.radial_distribution(x.reshape(2, 2, 10, 2)[:, :, order], [6.0, 6.0], s[order], bins=8)
    np.testing.assert_array_equal(g.partials, h.partials)


# ------------------------------------------------------------------------------------------------------ structure factors


@pytest.mark.parametrize("box", [[6.0, 7.5], [5.0, 6.0, 5.5]])
def test_structure_factor_against_brute_force(box: list[float]) -> None:
    rng = np.random.default_rng(5)
    sides = np.array(box)
    x = rng.uniform(-1.0, 2.0, size=(3, 20, sides.size)) * sides
    species = rng.permuted(np.tile(np.repeat([0, 1], [12, 8]), (3, 1)), axis=1)
    s = obs.structure_factor(x, sides, species, k_max=5.0, k_min=1.0, bins=9)
    most = np.floor(5.0 * sides / (2 * math.pi)).astype(int)
    n = np.stack(np.meshgrid(*[np.arange(-m, m + 1) for m in most], indexing="ij"), axis=-1).reshape(-1, sides.size)
    k = 2 * math.pi * n / sides
    modulus = np.linalg.norm(k, axis=1)
    k, modulus = k[(modulus >= 1.0) & (modulus <= 5.0)], modulus[(modulus >= 1.0) & (modulus <= 5.0)]
    rho = np.array([[np.exp(-1j * x[f, species[f] == a] @ k.T).sum(axis=0) for f in range(3)] for a in (0, 1)])
    which = np.clip(((modulus - 1.0) / 4.0 * 9).astype(int), 0, 8)
    filled = np.unique(which)
    for a, b, norm in [(0, 0, 12.0), (0, 1, math.sqrt(96.0)), (1, 1, 8.0)]:
        product = (rho[a] * rho[b].conj()).real.mean(axis=0) / norm
        mean = [product[which == i].mean() for i in filled]
        np.testing.assert_allclose(s.partials[a, b], mean, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(s.partials[b, a], mean, rtol=1e-11, atol=1e-13)
    total = (np.abs(rho.sum(axis=0)) ** 2).mean(axis=0) / 20.0
    np.testing.assert_allclose(s.total, [total[which == i].mean() for i in filled], rtol=1e-11)
    np.testing.assert_allclose(s.k, [modulus[which == i].mean() for i in filled], rtol=1e-13)
    assert (2 * s.n_vectors).tolist() == np.bincount(which)[filled].tolist()  # k and -k
    x_a = np.array([0.6, 0.4])
    np.testing.assert_allclose(np.einsum("ab,abk->k", np.sqrt(np.outer(x_a, x_a)), s.partials), s.total, rtol=1e-12)
    np.testing.assert_allclose(obs.structure_factor_at(x, sides, k), total, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("d", [2, 3])
def test_structure_factor_of_an_ideal_gas_is_one(d: int) -> None:
    # |rho|^2 / N is exponential with unit variance (less 1/N): the mean over frames and vectors, 5 standard deviations in each
    # of at most 20 bins and 3 functions: false alarm p = 4e-5.
    box = np.full(d, 6.0)
    x = np.random.default_rng(6).uniform(size=(500, 30, d)) * box
    s = obs.structure_factor(x, box, np.repeat([0, 1], [20, 10]), k_max=6.0, bins=20)
    sigma = 1.0 / np.sqrt(500 * s.n_vectors)
    for value, limit in [(s.total, 1.0), (s.partials[0, 0], 1.0), (s.partials[0, 1], 0.0), (s.partials[1, 1], 1.0)]:
        assert (np.abs(value - limit) < 5.0 * sigma).all()


def test_bragg_peaks_of_the_square_lattice() -> None:
    x, box = square(8)
    s = obs.structure_factor(x, box, k_max=2 * math.pi * 1.5, bins=None)
    peaks = np.isclose(s.k, 2 * math.pi) | np.isclose(s.k, 2 * math.pi * math.sqrt(2.0))
    assert np.count_nonzero(peaks) == 2
    np.testing.assert_allclose(s.total[~peaks], 0.0, atol=1e-20)
    np.testing.assert_allclose(s.total[peaks], 64.0, rtol=1e-12)
    at = obs.structure_factor_at(x, box, [[2 * math.pi, 0.0], [2 * math.pi, 2 * math.pi], [math.pi, 0.0]])
    np.testing.assert_allclose(at, [64.0, 64.0, 0.0], atol=1e-20)


def test_bragg_peaks_of_fcc() -> None:
    # Only reflections with all-odd or all-even indices: (111), (200), (220), each S = N.
    x, box = fcc(3)
    unit = 2 * math.pi / math.sqrt(2.0)
    n = np.array([[1, 1, 1], [2, 0, 0], [2, 2, 0], [1, 0, 0], [1, 1, 0], [2, 1, 0]])
    np.testing.assert_allclose(obs.structure_factor_at(x, box, unit * n), [108.0] * 3 + [0.0] * 3, atol=1e-18)
    s = obs.structure_factor(x, box, k_max=unit * 1.8, bins=None)
    assert s.k[s.total > 1.0] == pytest.approx([unit * math.sqrt(3.0)])


def test_structure_factor_in_chunks_of_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(7).uniform(size=(5, 12, 3)) * 5.0
    whole = obs.structure_factor(x, [5.0] * 3, k_max=4.0, bins=7)
    monkeypatch.setattr("glassnf.observables.structure._CHUNK", 1)
    np.testing.assert_allclose(obs.structure_factor(x, [5.0] * 3, k_max=4.0, bins=7).total, whole.total, rtol=1e-13)


def test_species_without_particles() -> None:
    s = obs.structure_factor(
        np.random.default_rng(8).uniform(size=(9, 2)) * 5.0, [5.0, 5.0], np.repeat([0, 2], [4, 5]), k_max=3.0
    )
    assert np.isnan(s.partials[1]).all()
    assert np.isfinite(s.partials[0, 2]).all()
    assert np.isfinite(s.total).all()


# ----------------------------------------------------------------------------------------------------------- wave vectors


def test_wave_vectors_fit_the_box_and_represent_each_pair_once() -> None:
    box = np.array([6.0, 7.0, 8.0])
    k = obs.wave_vectors(box, 5.0)
    n = k * box / (2 * math.pi)
    np.testing.assert_allclose(n, np.round(n), atol=1e-12)
    off = np.abs(np.linalg.norm(k, axis=1) - 5.0)
    assert (off <= math.pi / 8.0).all()
    assert (np.diff(off) >= -1e-12).all()
    rounded = {tuple(v) for v in np.round(n).astype(int).tolist()}
    assert len(rounded) == len(k)
    assert not any(tuple(-c for c in v) in rounded for v in rounded)
    everything = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = np.abs(np.linalg.norm(2 * math.pi * everything / box, axis=1) - 5.0) <= math.pi / 8.0
    assert 2 * len(k) == np.count_nonzero(inside)


def test_wave_vectors_keep_equal_moduli_together() -> None:
    unit = 2 * math.pi / 5.0
    assert len(obs.wave_vectors([5.0, 5.0], 5.0 * unit, max_vectors=1)) == 6  # (5,0) (0,5) (3,4) (4,3) (3,-4) (4,-3)
    assert len(obs.wave_vectors([5.0, 5.0], 5.0 * unit, max_vectors=7)) == 6
    assert len(obs.wave_vectors([5.0, 5.0], 5.0 * unit, max_vectors=10)) == 10  # and |n|^2 = 26: (5,1) (5,-1) (1,5) (1,-5)
    first = obs.wave_vectors([5.0, 5.0], unit)
    np.testing.assert_allclose(first[:2], [[0.0, unit], [unit, 0.0]], atol=1e-14)


def test_wave_vectors_name_the_nearest_modulus() -> None:
    with pytest.raises(ValueError, match=r"k: expected an allowed modulus within 0.01 \(nearest: 1.25664\), got 1.4"):
        obs.wave_vectors([5.0, 5.0], 1.4, width=0.01)
    with pytest.raises(ValueError, match=r"k: expected an allowed modulus within .* got 0.1"):
        obs.wave_vectors([5.0, 5.0], 0.1)


# -------------------------------------------------------------------------------------------------------------- bond order


def test_bond_order_of_lattices() -> None:
    x, box = triangular()
    np.testing.assert_allclose(np.abs(obs.bond_order(x, box, 6)), 1.0, atol=1e-5)
    np.testing.assert_allclose(obs.bond_order(x, box, 6).mean(), 1.0, atol=1e-5)  # bonds along x: phase 0
    np.testing.assert_allclose(np.abs(obs.bond_order(x, box, 6, neighbours="voronoi")), 1.0, atol=1e-5)
    np.testing.assert_allclose(np.abs(obs.bond_order(x, box, 6, neighbours="cutoff", cutoff=1.2)), 1.0, atol=1e-5)
    np.testing.assert_allclose(np.abs(obs.bond_order(x, box, 4, neighbours="cutoff", cutoff=1.2)), 0.0, atol=1e-5)
    x, box = square()
    np.testing.assert_allclose(obs.bond_order(x, box, 4), 1.0, atol=1e-5)
    turned = obs.bond_order(x[:, ::-1] * [1.0, -1.0], box, 4)
    np.testing.assert_allclose(turned, 1.0, atol=1e-5)
    np.testing.assert_allclose(np.abs(obs.bond_order(x, box, 4, neighbours="voronoi", weighted=True)), 1.0, atol=1e-4)


def test_bond_order_of_many_frames_and_by_hand() -> None:
    rng = np.random.default_rng(9)
    x = rng.uniform(-1.0, 2.0, size=(2, 3, 20, 2)) * 6.0
    psi = obs.bond_order(x, [6.0, 6.0], 5, neighbours="cutoff", cutoff=2.0)
    assert psi.shape == (2, 3, 20)
    assert psi.dtype == np.complex128
    d = x[1, 2][None] - x[1, 2][:, None]
    d -= 6.0 * np.round(d / 6.0)
    near = (np.linalg.norm(d, axis=-1) < 2.0) & ~np.eye(20, dtype=bool)
    bonds = np.exp(5j * np.arctan2(d[..., 1], d[..., 0])) * near
    np.testing.assert_allclose(psi[1, 2], bonds.sum(axis=1) / np.maximum(near.sum(axis=1), 1), atol=2e-5)


def test_bond_order_without_neighbours_is_zero() -> None:
    psi = obs.bond_order([[1.0, 1.0], [4.0, 4.0]], [8.0, 8.0], 6, neighbours="cutoff", cutoff=0.5)
    assert psi.tolist() == [0.0, 0.0]


def test_steinhardt_of_fcc() -> None:
    x, box = fcc()
    np.testing.assert_allclose(obs.steinhardt(x, box, 6), 0.57452, atol=1e-4)
    np.testing.assert_allclose(obs.steinhardt(x, box, 4), 0.19094, atol=1e-4)
    np.testing.assert_allclose(obs.steinhardt(x, box, 6, average=True), 0.57452, atol=1e-4)
    np.testing.assert_allclose(obs.steinhardt(x, box, 6, neighbours="cutoff", cutoff=1.2), 0.57452, atol=1e-4)
    weighted = obs.steinhardt(np.stack([x, x]), box, 6, neighbours="voronoi", weighted=True)
    assert weighted.shape == (2, 256)
    np.testing.assert_allclose(weighted, 0.57452, atol=1e-3)
    lone = obs.steinhardt([[1.0, 1.0, 1.0], [4.0, 4.0, 4.0]], [8.0] * 3, neighbours="cutoff", cutoff=0.5)
    assert np.isnan(lone).all()


# -------------------------------------------------------------------------------------------------------------- bad input

X2, B2 = np.random.default_rng(10).uniform(size=(8, 2)) * 5.0, [5.0, 5.0]
X3, B3 = np.random.default_rng(11).uniform(size=(16, 3)) * 5.0, [5.0, 5.0, 5.0]


@pytest.mark.parametrize(
    "function",
    [
        obs.radial_distribution,
        lambda x, b, s=None: obs.structure_factor(x, b, s, k_max=3.0),
        lambda x, b, s=None: obs.bond_order(x, b) if s is None else obs.radial_distribution(x, b, s),
    ],
)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.full((4, 2), np.nan), B2), r"positions: expected finite numbers, got nan at index \(0, 0\)"),
        ((X2, [5.0, -5.0]), "box: expected positive sides"),
        ((X2, [5.0, math.inf]), "box: expected finite numbers, got inf"),
        ((X2, [5.0] * 4), "box: expected 2 or 3 box sides, got 4"),
        ((X2, 5.0), r"box: expected shape \(any,\)"),
        ((X2, B3), r"positions: expected a non-empty array of shape \(..., N, 3\), got shape \(8, 2\)"),
        ((X2[0], B2), r"positions: expected a non-empty array of shape"),
        ((np.zeros((0, 2)), B2), r"positions: expected a non-empty array of shape"),
        ((X2, B2, [0] * 7), r"species: expected shape \(8,\) or \(8,\), got shape \(7,\)"),
        ((X2, B2, [-1] * 8), "species: expected integers from 0 .*, got -1"),
        ((np.stack([X2, X2]), B2, [[0] * 8, [0] * 7 + [1]]), "species: expected the same composition in every frame"),
    ],
)
def test_bad_configurations(function: Callable[..., object], arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{message}"):
        function(*arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: obs.radial_distribution(X2, B2, r_max=2.6),
            r"r_max: expected at most half the shortest side \(2.5\), got 2.6",
        ),
        (lambda: obs.radial_distribution(X2, B2, r_max=-1.0), "r_max: expected a positive finite number"),
        (lambda: obs.radial_distribution(X2, B2, bins=0), "bins: expected an integer from 1 to 1048576, got 0"),
        (lambda: obs.structure_factor(X2, B2, k_max=math.nan), "k_max: expected a positive finite number"),
        (lambda: obs.structure_factor(X2, B2, k_max=1.0), "k_max: expected a range that holds a wave vector"),
        (lambda: obs.structure_factor(X2, B2, k_max=2.0, k_min=2.0), r"k_min: expected less than k_max \(2\), got 2"),
        (lambda: obs.structure_factor_at(X2, B2, [[1.0, 0.0]]), "vectors: expected multiples of 2 pi / box"),
        (lambda: obs.structure_factor_at(X2, B2, [1.0, 0.0]), r"vectors: expected shape \(any, 2\)"),
        (lambda: obs.wave_vectors(B2, -1.0), "k: expected a positive finite number, got -1.0"),
        (lambda: obs.wave_vectors(B2, 3.0, max_vectors=0), "max_vectors: expected a positive integer"),
        (lambda: obs.bond_order(X3, B3), "positions: expected 2 dimensions"),
        (lambda: obs.steinhardt(X2, B2), "positions: expected 3 dimensions"),
        (lambda: obs.bond_order(X2, B2, 0), "k: expected an integer from 1 to 1000, got 0"),
        (lambda: obs.bond_order(X2, B2, 8), "number: expected fewer neighbours than the 8 particles, got 8"),
        (lambda: obs.bond_order(X2, B2, neighbours="voronoy"), "neighbours: expected one of .*did you mean 'voronoi'"),
        (lambda: obs.bond_order(X2, B2, neighbours="cutoff"), "cutoff: expected a distance"),
        (lambda: obs.bond_order(X2, B2, cutoff=1.0), "cutoff: expected a distance"),
        (lambda: obs.bond_order(X2, B2, neighbours="cutoff", cutoff=3.0), "cutoff: expected at most half the shortest"),
        (lambda: obs.bond_order(X2, B2, weighted=True), "weighted: expected False unless"),
        (lambda: obs.steinhardt(X3, B3, 0), "degree: expected an integer from 1 to 100, got 0"),
    ],
)
def test_bad_arguments(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{message}"):
        call()


def test_without_freud_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "freud", None)
    with pytest.raises(ImportError, match=r"freud is needed for pair correlation functions: .*glassnf\[analysis\]"):
        obs.radial_distribution(X2, B2)
    with pytest.raises(ImportError, match=r"freud is needed for bond-orientational order"):
        obs.bond_order(X2, B2)


@given(
    arrays(
        np.float64, st.tuples(st.integers(1, 3), st.integers(2, 12), st.sampled_from([2, 3])), elements=st.floats(-1e3, 1e3)
    ),
    st.floats(1.0, 20.0),
)
@settings(deadline=None, max_examples=60)
def test_any_configuration_has_an_answer(x: np.ndarray, side: float) -> None:
    box = np.full(x.shape[2], side)
    g = obs.radial_distribution(x, box, bins=5)
    assert (g.total >= 0.0).all()
    s = obs.structure_factor(x, box, k_max=2.5 * 2 * math.pi / side, bins=5)
    assert (s.total >= -1e-9).all()
    assert (s.total <= x.shape[1] * (1.0 + 1e-9)).all()
