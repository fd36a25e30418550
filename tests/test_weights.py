"""Observables of log weights against exact answers: log-normal weights, Pareto tails, pymbar, brute force.

Comparisons of means have a false-alarm rate of 6e-7 each (5 sigma); seeds are fixed.
"""

from __future__ import annotations

import logging
import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from glassnf import observables
from glassnf.observables import (
    bennett_log_z,
    forward_ess,
    log_mean_exp,
    log_z_of_weights,
    pareto_k,
    pareto_k_limit,
    weight_summary,
    weighted_energy,
    weighted_mean,
)
from tolerances import FP64_REDUCTION, STATISTICAL

Array = npt.NDArray[Any]

SPREAD, LOG_Z = 0.8, -4.2


def log_normal(count: int, seed: int, *, cold: bool = False) -> Array:
    """Return log w of samples of q, or of p, where log w is normal: log mean w = LOG_Z, E_q[(p/q)^2] = exp(SPREAD^2)."""
    mean = LOG_Z + (0.5 if cold else -0.5) * SPREAD**2
    return mean + SPREAD * np.random.default_rng(seed).standard_normal(count)


def test_effective_sample_sizes_and_free_energies_of_log_normal_weights() -> None:
    hot, cold = log_normal(40_000, 1), log_normal(30_000, 2, cold=True)
    exact = math.exp(-(SPREAD**2))
    assert weight_summary(hot).ess == pytest.approx(exact, rel=0.05)
    assert forward_ess(cold) == pytest.approx(exact, rel=0.05)
    for value, error in (
        log_z_of_weights(hot),
        (-log_z_of_weights(-cold)[0], log_z_of_weights(-cold)[1]),
        bennett_log_z(hot, cold),
    ):
        assert abs(value - LOG_Z) < STATISTICAL * error
        assert 0.001 < error < 0.02
    assert bennett_log_z(hot, cold)[1] < min(log_z_of_weights(hot)[1], log_z_of_weights(-cold)[1])


def test_bennett_is_that_of_pymbar() -> None:
    pytest.importorskip("pymbar")
    hot, cold = log_normal(3000, 3), log_normal(2000, 4, cold=True)
    logging.getLogger("pymbar").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pymbar.other_estimators import bar

        theirs = bar(-hot, cold)
    value, error = bennett_log_z(hot, cold)
    assert value == pytest.approx(-theirs["Delta_f"], abs=1e-9)
    assert error == pytest.approx(theirs["dDelta_f"], rel=0.05)


@pytest.mark.parametrize("statistic", ["log z", "bar", "mean", "heat"])
def test_errors_by_group_are_those_of_independent_sets(statistic: str) -> None:
    """Groups of ten equal samples: 300 sets scatter as the errors say, to 12 % (three standard deviations)."""
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(60), 10)
    values, errors = [], []
    for _ in range(300):
        normal = np.repeat(rng.standard_normal(60), 10)
        energy = np.repeat(rng.standard_normal(60), 10) + normal
        log_w = 0.4 * normal
        if statistic == "log z":
            value, error = log_z_of_weights(log_w, groups)
        elif statistic == "bar":
            other = 0.16 + np.repeat(0.4 * rng.standard_normal(60), 10)
            value, error = bennett_log_z(log_w, other, groups, groups)
        else:
            found = weighted_energy(energy, log_w, 1.0, 1, groups)
            value, error = (
                (found.mean, found.mean_error) if statistic == "mean" else (found.specific_heat, found.specific_heat_error)
            )
        values.append(value)
        errors.append(error)
    assert np.std(values) / math.sqrt(float(np.mean(np.square(errors)))) == pytest.approx(1.0, abs=0.13)


@pytest.mark.parametrize("k", [0.2, 0.5, 0.8, 1.1])
def test_pareto_k_of_pareto_tails(k: float) -> None:
    """The shape of exact Pareto tails, 3 sqrt(n) = 600 values: known to (1 + k) / sqrt(600), drawn to 1/2 by the prior."""
    rng = np.random.default_rng(6)
    found = np.array([pareto_k(-k * np.log1p(-rng.random(40_000))) for _ in range(20)])
    sigma = (1.0 + k) / math.sqrt(600)
    wanted = (600 * k + 10 * 0.5) / 610
    assert abs(found.mean() - wanted) < STATISTICAL * sigma / math.sqrt(20) + 0.01
    assert found.std() < 2.0 * sigma


def test_pareto_k_of_a_light_tail_and_of_none() -> None:
    assert pareto_k(log_normal(20_000, 7) * 0.1) < 0.3
    assert pareto_k(np.zeros(100)) == 0.0
    assert pareto_k(np.zeros(20)) == math.inf
    assert pareto_k(np.full(10_000, 700.0)) == 0.0


def test_limit_of_pareto_k() -> None:
    assert pareto_k_limit(10_000) == 0.7
    assert pareto_k_limit(100) == pytest.approx(0.5)
    assert pareto_k_limit(2_154) <= 0.7
    assert pareto_k_limit(1) == 0.0


def test_plain_samples_are_a_special_case() -> None:
    """Equal weights: the mean, the specific heat and its correction are those of `observables.specific_heat`."""
    u = np.random.default_rng(8).normal(-50.0, 3.0, 500)
    found = weighted_energy(u, np.full(500, 3.0), 2.0, 43)
    plain = observables.specific_heat(u[None, :], 0.5, 43, 2)
    assert found.mean == pytest.approx(u.mean(), rel=FP64_REDUCTION)
    assert found.specific_heat == pytest.approx(plain.value, rel=1e-4)
    assert found.specific_heat_error == pytest.approx(plain.error, rel=0.1)
    assert found.mean_error == pytest.approx(u.std(ddof=1) / math.sqrt(500), rel=1e-6)


def test_jackknife_by_brute_force() -> None:
    rng = np.random.default_rng(9)
    log_w, u, groups = rng.normal(0.0, 1.0, 40), rng.normal(0.0, 1.0, 40), rng.integers(0, 7, 40)
    labels = np.unique(groups)

    def error(statistic: Any) -> float:
        left = np.array([statistic(groups != label) for label in labels])
        return math.sqrt((labels.size - 1) / labels.size * float(((left - left.mean()) ** 2).sum()))

    def mean(keep: Array) -> float:
        return float(np.average(u[keep], weights=np.exp(log_w[keep])))

    def variance(keep: Array) -> float:
        return float(np.average((u[keep] - mean(keep)) ** 2, weights=np.exp(log_w[keep])))

    found = weighted_energy(u, log_w, 2.0, 5, groups)
    assert found.mean_error == pytest.approx(error(mean), rel=1e-9)
    assert found.specific_heat_error == pytest.approx(4.0 / 5 * error(variance), rel=1e-9)
    assert weighted_mean(u, log_w, groups) == pytest.approx((found.mean, found.mean_error), rel=1e-12)
    value, spread = log_z_of_weights(log_w, groups)
    assert value == pytest.approx(math.log(np.exp(log_w).mean()), rel=1e-12)
    assert spread == pytest.approx(error(lambda keep: math.log(np.exp(log_w[keep]).mean())), rel=1e-9)


def test_one_group_and_one_weight() -> None:
    """A single group has no error, and a group with all the weight an infinite one."""
    u = np.arange(4.0)
    assert math.isnan(weighted_energy(u, np.zeros(4), 1.0, 1, np.zeros(4, int)).mean_error)
    assert math.isnan(log_z_of_weights(np.zeros(4), np.zeros(4, int))[1])
    assert weighted_energy(u, [0.0, 0.0, 0.0, 800.0], 1.0, 1).mean_error == math.inf
    assert log_z_of_weights([0.0, 0.0, 0.0, 800.0])[1] == math.inf
    assert weight_summary([0.0, 0.0, 0.0, 800.0]).largest == 1.0


finite = st.floats(-700.0, 700.0, allow_subnormal=False)


@settings(max_examples=80, deadline=None)
@given(arrays(np.float64, st.integers(2, 80), elements=finite), st.floats(-1e4, 1e4))
def test_nothing_depends_on_the_constant_in_the_weights(log_w: Array, shift: float) -> None:
    summary, moved = weight_summary(log_w), weight_summary(log_w + shift)
    assert 1.0 / log_w.size <= summary.ess * (1.0 + 1e-9) <= 1.0 + 1e-8
    assert 1.0 / log_w.size <= summary.largest * (1.0 + 1e-9) <= 1.0 + 1e-8
    assert moved.ess == pytest.approx(summary.ess, rel=1e-6)
    assert log_mean_exp(log_w + shift) == pytest.approx(log_mean_exp(log_w) + shift, rel=1e-9, abs=1e-6)
    assert log_w.max() - math.log(log_w.size) - 1e-9 <= log_mean_exp(log_w) <= log_w.max() + 1e-9
    assert 0.0 <= forward_ess(log_w) <= 1.0


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, st.integers(1, 30), elements=finite), arrays(np.float64, st.integers(1, 30), elements=finite))
def test_bennett_solves_its_equation(hot: Array, cold: Array) -> None:
    shift = math.log(hot.size / cold.size)
    for value in (bennett_log_z(hot, cold)[0], -bennett_log_z(-cold, -hot)[0]):
        left = np.logaddexp.reduce(-np.logaddexp(0.0, value - hot + shift))
        right = np.logaddexp.reduce(-np.logaddexp(0.0, cold - value - shift))
        assert left == pytest.approx(right, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: weight_summary([]), ValueError, "log_weights: expected at least 1 value, got none"),
        (lambda: weight_summary([[0.0]]), ValueError, r"log_weights: expected shape \(any,\), got shape \(1, 1\)"),
        (lambda: pareto_k([0.0, math.nan]), ValueError, "log_weights: expected finite numbers, got nan at index "),
        (lambda: forward_ess("w"), TypeError, "log_weights: expected an array of real numbers, got 'w'"),
        (lambda: weighted_energy([0.0], [0.0, 1.0], 1.0, 1), ValueError, r"energy: expected shape \(2,\), got shape \(1,\)"),
        (lambda: weighted_energy([0.0], [0.0], -1.0, 1), ValueError, "beta: expected a positive finite number, got -1.0"),
        (lambda: weighted_mean([0.0], [0.0], [0.5]), TypeError, "groups: expected an array of integers, got type float64"),
        (lambda: log_z_of_weights([0.0, 1.0], [1]), ValueError, r"groups: expected shape \(2,\), got shape \(1,\)"),
        (lambda: bennett_log_z([0.0], []), ValueError, "target_log_weights: expected at least 1 value, got none"),
        (lambda: pareto_k_limit(0), ValueError, "samples: expected a positive integer, got 0"),
    ],
)
def test_bad_arguments(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
