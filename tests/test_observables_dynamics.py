"""Time correlation functions of motions whose answer is known exactly.

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
from glassnf.observables.dynamics import _dense_overlap, _tree_overlap

BOX = np.array([6.0, 6.0])


def brownian(seed: int, records: int, replicas: int, n: int, d: int, step: float) -> np.ndarray:
    """Free diffusion: each coordinate moves by a Gaussian of standard deviation `step` per record, so MSD(t) = d step^2 t."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0.0, 6.0, size=(1, replicas, n, d))
    moves = rng.normal(scale=step, size=(records - 1, replicas, n, d))
    return np.concatenate([start, start + np.cumsum(moves, axis=0)])


def direct(x: np.ndarray, w: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Average `function(displacements)` over all origins, weighted by w at the origin: (lags, R), by plain loops."""
    records = len(x)
    total = np.zeros((records, x.shape[1]))
    for lag in range(records):
        pairs = [(w[o] * function(x[o + lag] - x[o])).sum(axis=1) for o in range(records - lag)]
        total[lag] = np.sum(pairs, axis=0) / sum(w[o].sum(axis=1) for o in range(records - lag))
    return total


# ----------------------------------------------------------------------------------------------------------- displacements


@pytest.mark.parametrize("times", [np.arange(20) * 3, np.array([0, 1, 2, 4, 8, 16, 32])])
def test_uniform_translation(times: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    velocity = np.array([0.3, -0.4])
    x = rng.uniform(0, 6, size=(1, 3, 5, 2)) + times[:, None, None, None] * velocity
    msd = obs.mean_square_displacement(x, times)
    np.testing.assert_allclose(msd.value, (0.5 * times) ** 2, rtol=1e-9, atol=1e-11)
    np.testing.assert_array_equal(msd.time, times)
    np.testing.assert_allclose(msd.error, 0.0, atol=1e-8)
    assert msd.replicas.shape == (len(times), 3)
    linear = times[1] == 3
    assert msd.n_origins.tolist() == (list(range(20, 0, -1)) if linear else [1] * 7)
    still = obs.mean_square_displacement(x, times, subtract_drift=True)
    np.testing.assert_allclose(still.value, 0.0, atol=1e-12)


@pytest.mark.parametrize("d", [2, 3])
def test_fft_equals_all_pairs_of_records(d: int) -> None:
    x = brownian(2, 17, 3, 6, d, 0.4)
    rng = np.random.default_rng(3)
    species = rng.permuted(np.tile([0, 0, 1, 1, 1, 2], (17, 3, 1)), axis=2)
    box = np.full(d, 6.0)
    k = obs.wave_vectors(box, 4.0)

    def scattering(moved: np.ndarray) -> np.ndarray:
        return np.asarray(np.cos(moved @ k.T).mean(axis=-1))

    for labels, of, w in [(None, None, np.ones((17, 3, 6))), (species, 1, (species == 1).astype(float))]:
        msd = obs.mean_square_displacement(x, np.arange(17), species=labels, of=of)
        np.testing.assert_allclose(msd.replicas, direct(x, w, lambda m: (m**2).sum(axis=-1)), rtol=1e-9, atol=1e-12)
        fs = obs.self_intermediate_scattering(x, np.arange(17), box, 4.0, max_vectors=None, species=labels, of=of)
        np.testing.assert_allclose(fs.replicas, direct(x, w, scattering), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("species", [[0, 1, 1, 0], [[0, 1, 1, 0], [1, 1, 0, 0]]])
def test_species_fixed_in_time(species: list[int]) -> None:
    x = brownian(4, 9, 2, 4, 2, 0.3)
    w = np.broadcast_to(np.array(species) == 1, (9, 2, 4)).astype(float)
    msd = obs.mean_square_displacement(x, np.arange(9), species=species, of=1)
    np.testing.assert_allclose(msd.replicas, direct(x, w, lambda m: (m**2).sum(axis=-1)), rtol=1e-9, atol=1e-12)
    first = obs.mean_square_displacement(x, np.arange(9), species=species, of=1, origins=1)
    square = ((x - x[0]) ** 2).sum(axis=-1)
    np.testing.assert_allclose(first.replicas, (w * square).sum(axis=2) / 2.0, rtol=1e-12)


def test_free_diffusion() -> None:
    # MSD(1) from 200 x 8 x 50 x 2 independent squares: relative standard error 0.35%; allowed 2%: false alarm p < 1e-7.
    # Each later lag within 6 of its standard errors over 8 replicas, 40 lags (Student t with 7 degrees): p = 0.02.
    x = brownian(5, 201, 8, 50, 2, 0.1)
    msd = obs.mean_square_displacement(x, np.arange(201) * 5.0)
    assert msd.value[1] == pytest.approx(2 * 0.01, rel=0.02)
    lags = np.arange(1, 41)
    assert (np.abs(msd.value[lags] - 0.02 * lags) < 6.0 * msd.error[lags]).all()
    np.testing.assert_allclose(msd.error, msd.replicas.std(axis=1, ddof=1) / math.sqrt(8), rtol=1e-12)


def test_small_displacements_far_from_the_start_keep_their_digits() -> None:
    rng = np.random.default_rng(6)
    rattle = rng.normal(scale=1e-4, size=(300, 1, 4, 2))
    near = obs.mean_square_displacement(rattle, np.arange(300)).value
    far = obs.mean_square_displacement(1e3 + rattle, np.arange(300)).value
    np.testing.assert_allclose(far, near, rtol=1e-6)


def test_chosen_origins() -> None:
    x = brownian(7, 12, 2, 5, 2, 0.5)
    three = obs.mean_square_displacement(x, np.arange(12), origins=3)  # records 0, 4, 8
    square = [((x[o + 2] - x[o]) ** 2).sum(axis=-1).mean(axis=-1) for o in (0, 4, 8)]
    np.testing.assert_allclose(three.replicas[2], np.mean(square, axis=0), rtol=1e-12)
    assert three.n_origins.tolist() == [3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1]
    every = obs.mean_square_displacement(x, np.arange(12), origins=12)
    np.testing.assert_array_equal(every.value, obs.mean_square_displacement(x, np.arange(12)).value)


# --------------------------------------------------------------------------------------------- intermediate scattering


@pytest.mark.parametrize("times", [np.arange(25), np.array([0, 1, 2, 3, 5, 8, 12, 17, 24])])
def test_scattering_of_gaussian_displacements(times: np.ndarray) -> None:
    # F_s = exp(-k^2 MSD / 2d), averaged over the moduli in the shell. Each lag within 6 standard errors over 40 replicas (one
    # cosine each, 32 lags at most): false alarm p = 2e-5.
    x = brownian(8, 25, 40, 60, 2, 0.12)[times]
    fs = obs.self_intermediate_scattering(x, times, BOX, 6.0)
    modulus = np.linalg.norm(obs.wave_vectors(BOX, 6.0, max_vectors=32), axis=1)
    expected = np.exp(-0.5 * np.outer(times * 0.12**2, modulus**2)).mean(axis=1)
    assert fs.value[0] == pytest.approx(1.0, rel=1e-13)
    assert (np.abs(fs.value - expected)[1:] < 6.0 * fs.error[1:]).all()
    msd = obs.mean_square_displacement(x, times)
    np.testing.assert_allclose(fs.value, np.exp(-(6.0**2) * msd.value / 4.0), atol=0.03)


def test_relaxation_time_of_free_diffusion() -> None:
    # exp(-k^2 step^2 t / 2) = 1/e at t = 2 / (k step)^2; within 5 errors over 40 replicas plus 2% for the shell's width.
    x = brownian(9, 60, 40, 60, 2, 0.1)
    fs = obs.self_intermediate_scattering(x, np.arange(60) * 10.0, BOX, 4.0, max_vectors=4)
    modulus = np.linalg.norm(obs.wave_vectors(BOX, 4.0, max_vectors=4), axis=1)
    np.testing.assert_allclose(modulus, modulus[0])
    exact = 10.0 * 2.0 / (modulus[0] * 0.1) ** 2
    tau = obs.relaxation_time(fs)
    assert tau.value == pytest.approx(obs.crossing_time(fs.time, fs.value))
    assert abs(tau.value - exact) < 5.0 * tau.error + 0.02 * exact
    assert 0.0 < tau.error < 0.1 * tau.value


# -------------------------------------------------------------------------------------------------------------- overlaps


def test_self_overlap_by_hand() -> None:
    x = np.zeros((3, 1, 4, 2))
    x[1, 0, 0, 0] = 0.29
    x[1, 0, 1, 1] = 0.31
    x[2, 0, :, 0] = 6.0  # once around the box: it has moved
    q = obs.self_overlap(x, [0, 1, 5])
    assert q.value.tolist() == [1.0, 0.75, 0.0]
    assert np.isnan(q.error).all()
    assert obs.self_overlap(x, [0, 1, 5], species=[0, 1, 1, 1], of=0).value.tolist() == [1.0, 1.0, 0.0]
    assert obs.self_overlap(x, [0, 1, 5], a=0.3101).value.tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("d", [2, 3])
def test_collective_overlap_is_invariant_under_swaps_and_box_crossings(d: int) -> None:
    rng = np.random.default_rng(10)
    box = np.full(d, 6.0)
    x = brownian(11, 6, 3, 20, d, 0.1)
    q = obs.collective_overlap(x, np.arange(6), box)
    shuffled = np.stack([frame[:, rng.permutation(20)] for frame in x])
    crossed = shuffled + 6.0 * rng.integers(-3, 4, size=x.shape)
    again = obs.collective_overlap(crossed, np.arange(6), box)
    np.testing.assert_allclose(again.replicas, q.replicas, rtol=1e-12)
    assert obs.self_overlap(shuffled, np.arange(6)).value[1] < 0.5 < q.value[1]


def test_collective_overlap_by_hand() -> None:
    x = np.array([[[0.1, 0.1], [3.0, 3.0]], [[5.9, 5.9], [3.4, 3.0]], [[3.0, 3.1], [0.1, 5.9]]])[:, None]
    q = obs.collective_overlap(x, [0, 1, 10], BOX, a=0.3)
    assert q.value.tolist() == [1.0, 0.5, 1.0]  # sqrt(0.08) = 0.283 across the corner; then the two exchange places


@pytest.mark.parametrize("d", [2, 3])
def test_large_systems_use_trees_with_the_same_counts(d: int) -> None:
    rng = np.random.default_rng(12)
    box = np.array([5.0, 6.0, 7.0])[:d]
    x, y = rng.uniform(size=(2, 3, 300, d)) * box
    np.testing.assert_array_equal(_tree_overlap(x, y, box, 0.7), _dense_overlap(x, y, box, 0.7))
    both = np.stack([x, y])
    q = obs.collective_overlap(both, [0, 1], box, a=0.7, origins=1)
    np.testing.assert_allclose(q.replicas[1], _dense_overlap(y, x, box, 0.7) / 300, rtol=1e-14)


def test_large_systems_without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.spatial", None)
    with pytest.raises(ImportError, match=r"glassnf\[analysis\]"):
        obs.collective_overlap(np.zeros((2, 1, 300, 2)), [0, 1], BOX)


def test_overlap_of_independent_configurations() -> None:
    # 50 x 400 counts of mean 43 x 0.19 / 6^2...: the mean over 400 replicas within 5 standard errors: false alarm p = 1e-6.
    x = np.random.default_rng(13).uniform(size=(2, 400, 43, 2)) * 6.0
    q = obs.collective_overlap(x, [0, 1], BOX, a=0.3, origins=1)
    assert obs.random_overlap(43, BOX, 0.3) == pytest.approx(43 * math.pi * 0.09 / 36.0)
    assert abs(q.value[1] - obs.random_overlap(43, BOX, 0.3)) < 5.0 * q.error[1]
    assert obs.random_overlap(10, [2.0, 2.0, 2.0], 0.5) == pytest.approx(10 * math.pi / 6 / 8)


def test_overlaps_take_few_origins() -> None:
    x = brownian(14, 40, 1, 5, 2, 0.1)
    assert obs.self_overlap(x, np.arange(40)).n_origins[0] == 10
    assert obs.self_overlap(x, np.arange(40), origins=40).n_origins[0] == 40
    assert obs.collective_overlap(x, np.arange(40) ** 2, BOX).n_origins[0] == 1


# ------------------------------------------------------------------------------------------------------- relaxation times


def test_crossing_time() -> None:
    t = np.array([0.0, 1.0, 10.0, 100.0])
    assert obs.crossing_time(t, [1.0, 0.8, 0.4, 0.0], 0.6) == pytest.approx(math.sqrt(10.0))
    assert obs.crossing_time(t, [1.0, 0.8, 0.4, 0.0], 0.9) == pytest.approx(0.5)  # linear from 0 on
    assert obs.crossing_time(t, [1.0, 0.8, 0.4, 0.0], 0.4) == 10.0
    assert obs.crossing_time(t, [1.0, 0.8, 0.4, 0.4]) == math.inf
    assert obs.crossing_time(t, [0.1, 0.8, 0.4, 0.4]) == 0.0
    decay = np.exp(-np.geomspace(0.1, 100.0, 400) / 7.0)
    assert obs.crossing_time(np.geomspace(0.1, 100.0, 400), decay) == pytest.approx(7.0, rel=1e-3)


def test_relaxation_time_errors() -> None:
    time = np.array([0.0, 1.0, 2.0, 4.0])
    replicas = np.array([[1.0, 1.0], [0.7, 0.7], [0.45, 0.55], [0.1, 0.2]])
    n = np.ones(4, dtype=np.int64)
    two = obs.TimeCorrelation(time, replicas.mean(axis=1), np.zeros(4), replicas, n)
    a, b = (obs.crossing_time(time, replicas[:, r], 0.5) for r in (0, 1))
    tau = obs.relaxation_time(two, 0.5)
    assert tau.value == pytest.approx(2.0)
    assert tau.error == pytest.approx(2.0 * abs(math.log(a / b)) / 2.0)
    one = obs.TimeCorrelation(time, replicas[:, 0], np.zeros(4), replicas[:, :1], n)
    assert math.isnan(obs.relaxation_time(one, 0.5).error)
    assert obs.relaxation_time(two, 0.01).value == math.inf
    assert math.isnan(obs.relaxation_time(two, 0.01).error)
    assert obs.relaxation_time(two, 0.18).error == math.inf  # one of the two never gets there


# -------------------------------------------------------------------------------------------------------------- bad input

X = brownian(15, 5, 2, 6, 2, 0.1)
TIMES = np.arange(5)


@pytest.mark.parametrize(
    "function",
    [
        obs.mean_square_displacement,
        obs.self_overlap,
        lambda x, t, **kw: obs.self_intermediate_scattering(x, t, BOX, 4.0, **kw),
        lambda x, t, **kw: obs.collective_overlap(x, t, BOX, **kw),
    ],
)
@pytest.mark.parametrize(
    ("x", "times", "kwargs", "message"),
    [
        (X[:, 0], TIMES, {}, r"positions: expected shape \(any, any, any, any\), got shape \(5, 6, 2\)"),
        (np.where(X > 5.0, np.nan, X), TIMES, {}, "positions: expected finite numbers, got nan"),
        (X[..., :1], TIMES, {}, "positions: expected a non-empty shape"),
        (X[:0], TIMES[:0], {}, "positions: expected a non-empty shape"),
        (X, TIMES[:4], {}, r"times: expected shape \(5,\), got shape \(4,\)"),
        (X, [0, 1, 2, 2, 3], {}, "times: expected strictly increasing times, got 2 then 2"),
        (X, [0, 1, math.inf, 4, 5], {}, "times: expected finite numbers, got inf"),
        (X, TIMES, {"origins": 0}, "origins: expected a positive integer, got 0"),
        (X, TIMES, {"origins": 6}, r"origins: expected at most the number of records \(5\), got 6"),
        (X, [0, 1, 2, 4, 8], {"origins": 2}, "origins: expected None or 1, since the times are not evenly spaced, got 2"),
    ],
)
def test_bad_trajectories(
    function: Callable[..., object], x: np.ndarray, times: object, kwargs: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=rf"^{message}"):
        function(x, times, **kwargs)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: obs.mean_square_displacement(X, TIMES, of=1), "species: expected a value where of is given, got None"),
        (lambda: obs.mean_square_displacement(X, TIMES, species=[0] * 6), "of: expected a value where species is given"),
        (
            lambda: obs.mean_square_displacement(X, TIMES, species=[0] * 6, of=1),
            r"of: expected a species present .*\[0\]\), got 1",
        ),
        (lambda: obs.mean_square_displacement(X, TIMES, species=[0] * 5, of=0), r"species: expected shape \(6,\) or \(2, 6\)"),
        (lambda: obs.self_overlap(X, TIMES, a=0.0), "a: expected a positive finite number, got 0.0"),
        (lambda: obs.collective_overlap(X, TIMES, BOX, a=3.0), "a: expected less than half the shortest side"),
        (lambda: obs.collective_overlap(X, TIMES, [6.0] * 3), r"box: expected shape \(2,\)"),
        (lambda: obs.self_intermediate_scattering(X, TIMES, BOX, -4.0), "k: expected a positive finite number, got -4.0"),
        (lambda: obs.self_intermediate_scattering(X, TIMES, [6.0] * 3, 4.0), r"box: expected shape \(2,\)"),
        (lambda: obs.crossing_time([0.0, 1.0], [1.0]), r"time: expected shape \(1,\)"),
        (lambda: obs.crossing_time([1.0, 0.5], [1.0, 0.5]), "time: expected strictly increasing times"),
        (lambda: obs.crossing_time([0.0, 1.0], [1.0, math.nan]), "value: expected finite numbers"),
        (lambda: obs.crossing_time([], []), "value: expected at least one record"),
        (lambda: obs.random_overlap(0, BOX, 0.3), "n: expected a positive integer"),
    ],
)
def test_bad_arguments(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{message}"):
        call()


def test_relaxation_time_wants_a_correlation() -> None:
    with pytest.raises(TypeError, match=r"correlation: expected a TimeCorrelation, got list"):
        obs.relaxation_time([1.0, 0.5])  # type: ignore[arg-type]


@given(
    arrays(
        np.float64,
        st.tuples(st.integers(1, 8), st.integers(1, 3), st.integers(1, 5), st.sampled_from([2, 3])),
        elements=st.floats(-100.0, 100.0),
    ),
    st.booleans(),
)
@settings(deadline=None, max_examples=100)
def test_any_trajectory_has_bounded_answers(x: np.ndarray, linear: bool) -> None:
    times = np.arange(len(x)) if linear else 2 ** np.arange(len(x))
    box = np.full(x.shape[3], 6.0)
    msd = obs.mean_square_displacement(x, times)
    assert msd.value[0] == 0.0
    assert (msd.value >= 0.0).all()
    fs = obs.self_intermediate_scattering(x, times, box, 2.0, max_vectors=2)
    assert fs.value[0] == pytest.approx(1.0)
    assert (np.abs(fs.value) <= 1.0 + 1e-9).all()
    q = obs.self_overlap(x, times)
    assert ((q.value >= 0.0) & (q.value <= 1.0)).all()
    assert (obs.collective_overlap(x, times, box).value >= 0.0).all()
    assert np.isnan(msd.error).all() == (x.shape[1] == 1)
