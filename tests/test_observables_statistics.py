"""Errors of averages against series whose autocorrelation is known exactly.

Statistical tests run at fixed seeds. "false alarm p" is the probability that a correct implementation would fail at a random
seed.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from glassnf import observables as obs
from glassnf.observables.resampling import _chi_square_99, block_length, to_blocks
from glassnf.observables.statistics import _normal_scores


def ar1(rng: np.random.Generator, phi: float, records: int, replicas: int = 1) -> np.ndarray:
    """Stationary AR(1) of unit variance: rho(t) = phi^t, tau = (1 + phi) / (1 - phi) / 2."""
    x = np.empty((records, replicas))
    x[0] = rng.normal(size=replicas)
    noise = rng.normal(size=(records, replicas)) * math.sqrt(1.0 - phi * phi)
    for t in range(1, records):
        x[t] = phi * x[t - 1] + noise[t]
    return x


def ar1_tau(phi: float) -> float:
    return 0.5 * (1.0 + phi) / (1.0 - phi)


# ------------------------------------------------------------------------------------------------------- autocorrelation


def test_autocorrelation_is_the_direct_sum() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(37, 3))
    d = x - x.mean()
    direct = np.array([(d[: 37 - t] * d[t:]).sum() / (3 * (37 - t)) for t in range(37)])
    np.testing.assert_allclose(obs.autocorrelation(x), direct / direct[0], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(obs.autocorrelation(x, max_lag=5), (direct / direct[0])[:6], rtol=1e-12, atol=1e-13)
    assert obs.autocorrelation(x, max_lag=1000).shape == (37,)


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, 0.97])
def test_tau_of_ar1(phi: float) -> None:
    # The window at 5 tau cuts exp(-5) = 0.7% off; the rest is within 4 of its own standard deviations: false alarm
    # p = 6e-5 each.
    x = ar1(np.random.default_rng(11), phi, 20_000, 8)
    tau = obs.autocorrelation_time(x)
    assert abs(tau.value - ar1_tau(phi)) < 4.0 * tau.error + 0.01 * ar1_tau(phi)
    assert tau.error < 0.1 * tau.value
    assert tau.converged
    assert tau.window >= 5.0 * tau.value * 0.99
    assert tau.ess == pytest.approx(160_000 / (2.0 * tau.value))
    assert obs.effective_sample_size(x) == tau.ess
    assert float(tau) == tau.value


def test_error_of_tau_is_its_spread() -> None:
    # 200 estimates of tau: their spread is known to 5%; allowed 25%: false alarm p < 1e-5.
    x = ar1(np.random.default_rng(12), 0.8, 4000, 200)
    each = obs.autocorrelation_time_per_replica(x)
    values, errors = np.array([t.value for t in each]), np.array([t.error for t in each])
    assert values.mean() == pytest.approx(ar1_tau(0.8), rel=0.05)
    assert values.std(ddof=1) == pytest.approx(errors.mean(), rel=0.25)


def test_one_replica_alone_equals_the_pool_of_one() -> None:
    x = ar1(np.random.default_rng(13), 0.6, 500, 3)
    assert obs.autocorrelation_time_per_replica(x)[1] == obs.autocorrelation_time(x[:, 1])
    assert obs.estimate_mean_per_replica(x)[2] == obs.estimate_mean(x[:, 2])


def test_stuck_replicas_count_once_each() -> None:
    rng = np.random.default_rng(14)
    x = rng.normal(size=16) + 1e-3 * rng.normal(size=(400, 16))
    tau = obs.autocorrelation_time(x)
    assert not tau.converged
    assert tau.value == 200.0
    assert tau.ess == 16.0
    estimate = obs.estimate_mean(x)
    assert estimate.error == pytest.approx(obs.estimate_mean(x, method="replicas").error, rel=0.01)
    assert obs.estimate_mean(x, method="blocking").error == pytest.approx(estimate.error, rel=0.05)
    assert obs.split_rhat(x) > 100.0


def test_constant_series() -> None:
    x = np.full((100, 4), -2.5)
    tau = obs.autocorrelation_time(x)
    assert (tau.value, tau.ess, tau.converged) == (50.0, 4.0, False)
    for method in ("auto", "gamma", "blocking", "replicas"):
        estimate = obs.estimate_mean(x, method=method)
        assert (estimate.value, estimate.error, estimate.ess) == (-2.5, 0.0, 4.0)
    assert obs.split_rhat(x) == 1.0
    with pytest.raises(ValueError, match=r"series: expected one that varies, got the constant -2.5"):
        obs.autocorrelation(x)


def test_anticorrelated_series_gains_but_within_bounds() -> None:
    x = ar1(np.random.default_rng(15), -0.5, 10_000)
    tau = obs.autocorrelation_time(x)
    assert 0.5 / math.log10(10_000) <= tau.value < 0.4
    alternating = np.tile([1.0, -1.0], 500)
    assert obs.effective_sample_size(alternating) == pytest.approx(3 * 1000, rel=0.01)


# ---------------------------------------------------------------------------------------------------------- error of means


@pytest.mark.parametrize("method", ["gamma", "blocking", "replicas"])
@pytest.mark.parametrize("phi", [0.0, 0.9])
def test_error_of_the_mean_of_ar1(method: str, phi: float) -> None:
    # Exact variance of the mean of one replica; "replicas" knows its error to 1/sqrt(2*63) = 9%, the others better.
    # Allowed 4 of these: false alarm p = 6e-5 each.
    n, replicas = 4096, 64
    x = 3.0 + ar1(np.random.default_rng(21), phi, n, replicas)
    lags = np.arange(1, n)
    exact = math.sqrt((1.0 + 2.0 * np.sum((1.0 - lags / n) * phi**lags)) / (n * replicas))
    estimate = obs.estimate_mean(x, method=method)
    assert estimate.value == pytest.approx(x.mean(), rel=1e-14)
    assert estimate.method == method
    assert estimate.error == pytest.approx(exact, rel=0.36 if method == "replicas" else 0.15)
    assert abs(estimate.deviation(3.0)) < 4.0


def fast_and_slow(seed: int, replicas: int) -> np.ndarray:
    """White noise and a slow AR(1), tau = 1000, of a fiftieth of its variance: the window closes before the slow mode shows."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(10_000, replicas)) + math.sqrt(0.02) * ar1(rng, 0.999, 10_000, replicas)


@pytest.mark.parametrize("replicas", [8, pytest.param(64, marks=pytest.mark.slow)])
def test_default_error_sees_a_slow_mode(replicas: int) -> None:
    # Mean 0, variance of the mean of one replica (1 + 0.02 * 2000 * (1 - 1000 / 10_000)) / n. The pulls follow Student's t,
    # with a width of 1.18 at 8 replicas, which 60 of them know to 13%; the mean error is low by 4% and known to 4% there. False
    # alarm p < 1e-4. The gamma method alone gives pulls of width 5 and 0.18 of the error.
    estimates = [obs.estimate_mean(fast_and_slow(seed, replicas)) for seed in range(100, 160)]
    pulls = np.array([estimate.deviation(0.0) for estimate in estimates])
    assert 0.6 < math.sqrt(np.mean(pulls**2)) < 1.9
    exact = math.sqrt((1.0 + 0.02 * 2000 * 0.9) / (10_000 * replicas))
    assert np.mean([estimate.error for estimate in estimates]) == pytest.approx(exact, rel=0.2)
    assert {estimate.method for estimate in estimates} == {"replicas"}


def test_default_error_is_the_larger_one() -> None:
    seen = set()
    for seed in range(30):
        x = ar1(np.random.default_rng(seed), 0.5, 300, 9)
        gamma, spread = (obs.estimate_mean(x, method=method) for method in ("gamma", "replicas"))
        assert obs.estimate_mean(x) == obs.estimate_mean(x, method="auto") == max(gamma, spread, key=lambda e: e.error)
        assert obs.estimate_mean(x[:, :7]) == obs.estimate_mean(x[:, :7], method="gamma")
        seen.add(obs.estimate_mean(x).method)
    assert seen == {"gamma", "replicas"}


@pytest.mark.parametrize("method", ["gamma", "blocking"])
def test_coverage_of_one_sigma(method: str) -> None:
    # 400 replicas, tau = 9.5, 4000 records: pulls must have unit width, known to 3.5%; allowed 20%: false alarm p < 1e-7.
    x = ar1(np.random.default_rng(22), 0.9, 4000, 400)
    each = obs.estimate_mean_per_replica(x, method=method)
    pulls = np.array([e.value / e.error for e in each])
    assert pulls.std() == pytest.approx(1.0, abs=0.2)


def test_blocking_levels() -> None:
    x = ar1(np.random.default_rng(23), 0.95, 2**15)
    result = obs.blocking(x)
    assert result.converged
    assert result.sizes.tolist() == [2**i for i in range(15)]
    assert result.errors[0] == pytest.approx(x.std() / math.sqrt(x.size - 1), rel=1e-12)
    # level 1 by hand: means of neighbouring pairs
    pairs = x[:, 0].reshape(-1, 2).mean(axis=1)
    assert result.errors[1] == pytest.approx(pairs.std() / math.sqrt(pairs.size - 1), rel=1e-12)
    assert result.estimate.error == result.errors[result.level]
    assert result.errors[result.level] > 4.0 * result.errors[0]
    # tau = 19.5; the error at the chosen level is known to about 10%, allowed 40%: false alarm p < 1e-4.
    assert result.estimate.tau == pytest.approx(ar1_tau(0.95), rel=0.4)


def test_blocking_of_white_noise_stays_at_the_first_level() -> None:
    # The test for independence is wrong once in 100; of 200 series at most 9 may fail it: false alarm p = 1e-4.
    rng = np.random.default_rng(24)
    levels = [obs.blocking(rng.normal(size=2000)).level for _ in range(200)]
    assert np.count_nonzero(levels) <= 9


def test_blocking_of_lengths_that_are_no_power_of_two() -> None:
    x = np.array([5.0, 1.0, 2.0, 3.0, 4.0])
    result = obs.blocking(x)
    assert result.sizes.tolist() == [1, 2]
    assert result.errors[1] == pytest.approx(abs(1.5 - 3.5) / 2.0)
    assert result.estimate.value == 3.0


def test_chi_square_quantiles() -> None:
    for dof, exact in [(1, 6.6349), (2, 9.2103), (5, 15.0863), (20, 37.5662)]:
        assert _chi_square_99(dof) == pytest.approx(exact, rel=0.01)


# ------------------------------------------------------------------------------------------------------------- resampling


def test_jackknife_of_the_mean_is_exact() -> None:
    x = np.random.default_rng(31).normal(size=60)
    estimate = obs.jackknife(x, np.mean, block_size=1)
    assert estimate.value == pytest.approx(x.mean(), rel=1e-12)
    assert estimate.error == pytest.approx(x.std(ddof=1) / math.sqrt(60), rel=1e-12)


def test_jackknife_removes_the_bias_of_the_variance() -> None:
    x = np.random.default_rng(32).normal(size=50)
    assert obs.jackknife(x, np.var, block_size=1).value == pytest.approx(x.var(ddof=1), rel=1e-12)


def test_jackknife_over_replicas_and_several_observables() -> None:
    x = np.random.default_rng(33).normal(size=(40, 12)) + 2.0
    y = x**2
    both = np.stack([x, y], axis=2)
    ratio = obs.jackknife(both, lambda s: float(s[:, 1].mean() / s[:, 0].mean()), block_size="replica")
    deleted = np.array([np.delete(y, r, 1).mean() / np.delete(x, r, 1).mean() for r in range(12)])
    assert ratio.error == pytest.approx(math.sqrt(11 / 12 * np.sum((deleted - deleted.mean()) ** 2)), rel=1e-10)
    assert ratio.value == pytest.approx(12 * y.mean() / x.mean() - 11 * deleted.mean(), rel=1e-12)


def test_jackknife_and_bootstrap_account_for_autocorrelation() -> None:
    # Errors from about 100 to 250 blocks are known to 7%, biased low by tau / block < 3%; allowed 30%: false alarm p < 1e-4.
    x = ar1(np.random.default_rng(34), 0.9, 8000, 4)
    exact = math.sqrt(2.0 * ar1_tau(0.9) / 32_000)
    assert obs.jackknife(x, np.mean).error == pytest.approx(exact, rel=0.3)
    result = obs.bootstrap(x, np.mean, seed=5, resamples=400)
    assert result.estimate.error == pytest.approx(exact, rel=0.3)
    assert result.low < result.estimate.value < result.high
    assert result.high - result.low == pytest.approx(2 * 1.96 * exact, rel=0.35)
    again = obs.bootstrap(x, np.mean, seed=5, resamples=400)
    np.testing.assert_array_equal(again.replicates, result.replicates)


def test_blocks_keep_replicas_apart_and_drop_the_start() -> None:
    x = np.arange(14.0).reshape(7, 2)  # replica 0: even numbers, replica 1: odd numbers
    blocks = to_blocks(x, 3)
    assert blocks.tolist() == [[2, 4, 6], [3, 5, 7], [8, 10, 12], [9, 11, 13]]


@given(st.floats(0.5, 1e5), st.integers(1, 100_000), st.integers(1, 4000))
@settings(deadline=None, max_examples=200)
def test_block_length_is_usable(tau: float, records: int, replicas: int) -> None:
    length = block_length(tau, records, replicas)
    assert 1 <= length <= records
    blocks = records // length * replicas
    assert blocks >= min(16, records * replicas)
    assert blocks <= max(2 * 256, replicas) or length == records // math.ceil(16 / replicas)


# ------------------------------------------------------------------------------------------------------------ convergence


def test_rhat() -> None:
    rng = np.random.default_rng(41)
    x = rng.normal(size=(1000, 4))
    halves = np.concatenate([x[:500], x[500:]], axis=1)
    within = halves.var(axis=0, ddof=1).mean()
    between = 500 * halves.mean(axis=0).var(ddof=1)
    exact = math.sqrt((499 / 500 * within + between / 500) / within)
    assert obs.split_rhat(x) == pytest.approx(exact, rel=1e-12)
    # R-hat - 1 of independent samples is about (chi-square of 7) / 7 / 1000 - 1/1000; 0.004 is p < 1e-4.
    assert obs.split_rhat(x) < 1.004
    assert obs.split_rhat(x, rank_normalised=True) < 1.01
    drift = np.linspace(0.0, 3.0, 1000)[:, None] + rng.normal(size=(1000, 1))
    assert obs.split_rhat(drift) > 1.2
    wide = x * np.array([1.0, 1.0, 1.0, 5.0])
    assert obs.split_rhat(wide) < 1.02
    assert obs.split_rhat(wide, rank_normalised=True) > 1.1
    assert obs.split_rhat([0.0, 0.0, 1.0, 1.0]) == math.inf
    heavy = rng.standard_cauchy(size=(999, 4))
    assert obs.split_rhat(heavy, rank_normalised=True) < 1.02


def test_normal_scores_give_ties_the_same_score() -> None:
    scores = _normal_scores(np.array([[3.0, 1.0], [3.0, 2.0]]))
    assert scores[0, 0] == scores[1, 0]
    assert scores[0, 1] < scores[1, 1] < scores[0, 0]
    assert _normal_scores(np.array([1.0, 2.0, 3.0]))[1] == pytest.approx(0.0, abs=1e-15)


def test_equilibration_start_finds_the_transient() -> None:
    x = ar1(np.random.default_rng(42), 0.5, 2000, 4)
    clean = obs.equilibration_start(x)
    assert clean.start <= 500  # nothing to drop, but the ESS is flat
    x += 10.0 * np.exp(-np.arange(2000) / 60.0)[:, None]
    found = obs.equilibration_start(x)
    assert 120 <= found.start <= 600
    assert found.ess > 2.0 * obs.effective_sample_size(x)
    assert found.tau == pytest.approx(ar1_tau(0.5), rel=0.3)


# --------------------------------------------------------------------------------------------------------------- Estimate


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (-2.36512, 0.00123, "-2.3651(12)"),
        (-2.3651, 0.00996, "-2.365(10)"),
        (1.0, 0.0999, "1.00(10)"),
        (12.34, 1.25, "12.3(1.2)"),
        (12.34, 9.96, "12(10)"),
        (1234.5, 12.3, "1234(12)"),
        (123456.0, 1234.0, "123500(1200)"),
        (0.0, 0.5, "0.00(50)"),
        (1.5, 0.0, "1.5(0)"),
        (1.5, math.nan, "1.5(nan)"),
        (math.inf, 1.0, "inf(1)"),
        (1.2345e-9, 3e-12, "1.2345(30)e-09"),
        (6.02e23, 1e21, "6.020(10)e+23"),
        (0.0001, 0.01, "0.000(10)"),
        (5e-320, 1e-310, "0.00000000000(10)e-300"),
    ],
)
def test_printing(value: float, error: float, text: str) -> None:
    assert obs.format_uncertainty(value, error) == text


@given(st.floats(-1e300, 1e300), st.floats(1e-300, 1e300))
@settings(deadline=None, max_examples=300)
def test_printing_never_fails(value: float, error: float) -> None:
    text = obs.format_uncertainty(value, error)
    assert "(" in text
    assert text.isprintable()


def test_estimate() -> None:
    e = obs.Estimate(-2.0, 0.3, 4.0, 25.0, 200, "gamma")
    assert str(e) == f"{e}" == "-2.00(30)"
    assert f"{e:>12}" == "   -2.00(30)"
    assert float(e) == -2.0
    assert e.deviation(-2.6) == pytest.approx(2.0)
    assert e.deviation(obs.Estimate(-1.0, 0.4, 0.5, 10.0, 10, "gamma")) == pytest.approx(-2.0)
    assert e.scaled(-0.5, 1.0) == obs.Estimate(2.0, 0.15, 4.0, 25.0, 200, "gamma")
    exact = obs.Estimate(1.0, 0.0, 0.5, 1.0, 1, "gamma")
    assert (exact.deviation(1.0), exact.deviation(2.0)) == (0.0, -math.inf)
    assert e.to_dict()["error"] == 0.3
    with pytest.raises(AttributeError):
        e.value = 1.0  # type: ignore[misc]


# -------------------------------------------------------------------------------------------------------------- bad input

SERIES_FUNCTIONS = [
    obs.autocorrelation,
    obs.autocorrelation_time,
    obs.autocorrelation_time_per_replica,
    obs.effective_sample_size,
    obs.estimate_mean,
    obs.estimate_mean_per_replica,
    obs.blocking,
    obs.split_rhat,
    obs.equilibration_start,
]


@pytest.mark.parametrize("function", SERIES_FUNCTIONS)
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ([1.0, math.nan, 2.0, 3.0], ValueError),
        ([1.0, math.inf, 2.0, 3.0], ValueError),
        ([], ValueError),
        (np.zeros((0, 3)), ValueError),
        (np.zeros((3, 3, 3)), ValueError),
        (1.0, ValueError),
        (["a", "b"], TypeError),
        ([1j, 2.0], TypeError),
        ([True, False], TypeError),
        (None, TypeError),
        ([[1.0], [1.0, 2.0]], TypeError),
    ],
)
def test_bad_series(function: Callable[[object], object], bad: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^series: expected .*, got "):
        function(bad)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: obs.estimate_mean([1.0]), "series: expected at least 2 values, got 1"),
        (lambda: obs.estimate_mean([1.0, 2.0], method="gama"), "method: expected one of .*did you mean 'gamma'"),
        (lambda: obs.estimate_mean([1.0, 2.0], method="replicas"), "series: expected at least 2 replicas"),
        (lambda: obs.estimate_mean_per_replica([1.0, 2.0], method="replicas"), "method: expected one of"),
        (lambda: obs.autocorrelation_time([1.0, 2.0], c=-1.0), "c: expected a positive finite number, got -1.0"),
        (lambda: obs.autocorrelation([1.0, 2.0], max_lag=-1), "max_lag: expected a non-negative integer, got -1"),
        (lambda: obs.split_rhat([1.0, 2.0, 3.0]), "series: expected at least 4 records, got 3"),
        (lambda: obs.equilibration_start([1.0, 2.0]), "series: expected at least 4 records, got 2"),
        (lambda: obs.jackknife([1.0, 2.0], np.mean, block_size=2), "block_size: expected one that cuts 2 records x 1 replicas"),
        (lambda: obs.jackknife([1.0, 2.0], np.mean, block_size="replica"), "block_size: expected one that cuts"),
        (lambda: obs.jackknife([1.0, 2.0], np.mean, block_size="replicas"), "did you mean 'replica'"),
        (lambda: obs.jackknife([1.0, math.nan], np.mean), "samples: expected finite numbers, got nan"),
        (lambda: obs.jackknife(np.zeros((2, 2, 0)), np.mean), "samples: expected a non-empty array"),
        (lambda: obs.bootstrap([1.0, 2.0], np.mean, seed=-1), "seed: expected a non-negative integer, got -1"),
        (lambda: obs.bootstrap([1.0, 2.0], np.mean, seed=1, resamples=0), "resamples: expected a positive integer"),
        (lambda: obs.bootstrap([1.0, 2.0], np.mean, seed=1, confidence=1.0), "confidence: expected a number between"),
    ],
)
def test_bad_arguments(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@given(arrays(np.float64, st.tuples(st.integers(2, 40), st.integers(1, 4)), elements=st.floats(-1e6, 1e6)))
@settings(deadline=None, max_examples=150)
def test_any_finite_series_has_finite_answers(x: np.ndarray) -> None:
    tau = obs.autocorrelation_time(x)
    assert 0.0 < tau.value <= max(x.shape[0] / 2.0, 0.5)
    assert tau.ess >= x.shape[1] * (1.0 - 1e-12)
    for method in ("gamma", "blocking"):
        estimate = obs.estimate_mean(x, method=method)
        assert math.isfinite(estimate.value)
        assert math.isfinite(estimate.error)
        assert estimate.error >= 0.0
    if x.shape[0] >= 4:
        assert obs.split_rhat(x) >= 0.0
        assert 0 <= obs.equilibration_start(x).start < x.shape[0]


def test_statistics_import_neither_scipy_nor_freud() -> None:
    code = "import sys, glassnf.observables; print([m for m in ('scipy', 'freud', 'torch', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
