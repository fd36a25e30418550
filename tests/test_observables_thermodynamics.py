"""Energies, specific heats and reweighting against Gaussian energies, for which every answer is known in closed form.

For a Gaussian density of energies of mean m and variance v at beta, reweighting by D = new_beta - beta gives mean m - D v, the
same variance, log Z ratio = -D m + D^2 v / 2, and a Kish ESS fraction exp(-D^2 v). Tests run at fixed seeds; "false alarm p" is
the probability that a correct implementation would fail at a random seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from glassnf import observables as obs

N, T, MEAN, SIGMA = 43, 0.5, -100.0, 4.0


def gaussian_energies(seed: int, phi: float, records: int, replicas: int) -> np.ndarray:
    """AR(1) energies with mean MEAN and standard deviation SIGMA; tau(U) = (1 + phi) / (1 - phi) / 2."""
    rng = np.random.default_rng(seed)
    x = np.empty((records, replicas))
    x[0] = rng.normal(size=replicas)
    noise = rng.normal(size=(records, replicas)) * math.sqrt(1.0 - phi * phi)
    for t in range(1, records):
        x[t] = phi * x[t - 1] + noise[t]
    return MEAN + SIGMA * x


def test_mean_energy_is_per_particle() -> None:
    u = gaussian_energies(1, 0.8, 2000, 8)
    e = obs.mean_energy(u, N)
    assert e.value == pytest.approx(u.mean() / N, rel=1e-13)
    assert e.error == pytest.approx(obs.estimate_mean(u).error / N, rel=1e-13)
    assert e.n_samples == 16_000
    assert abs(e.deviation(MEAN / N)) < 4.0  # false alarm p = 6e-5
    each = obs.mean_energy_per_replica(u, N)
    assert len(each) == 8
    assert each[3] == obs.mean_energy(u[:, 3], N)
    assert obs.mean_energy(u, N, method="blocking").method == "blocking"


@pytest.mark.parametrize("phi", [0.0, 0.9])
def test_specific_heat_of_gaussian_energies(phi: float) -> None:
    # (U - <U>)^2 of AR(1) has rho = phi^2t: var of the variance = 2 SIGMA^4 * 2 tau' / n, tau' = (1 + phi^2) / (1 - phi^2) / 2.
    # Value within 4 errors: false alarm p = 6e-5. The error, from over 60 blocks, is known to 10%; allowed 35%: p < 1e-3.
    records, replicas = 8000, 8
    u = gaussian_energies(2, phi, records, replicas)
    exact = SIGMA**2 / (N * T**2)
    tau = 0.5 * (1 + phi**2) / (1 - phi**2)
    error = exact * math.sqrt(2.0 * 2.0 * tau / (records * replicas))
    c = obs.specific_heat(u, T, N, 2)
    assert abs(c.deviation(exact)) < 4.0
    assert c.error == pytest.approx(error, rel=0.35)
    assert c.tau == pytest.approx(tau, rel=0.15)
    assert c.value == pytest.approx(u.var() / (N * T**2), rel=2e-3)
    total = obs.specific_heat(u, T, N, 2, kind="total")
    assert total.value == pytest.approx(c.value + 1.0, rel=1e-13)
    assert total.error == pytest.approx(c.error, rel=1e-13)
    assert obs.specific_heat(u, T, N, 3, kind="total").value == pytest.approx(c.value + 1.5, rel=1e-13)


def test_mean_energy_takes_the_larger_error() -> None:
    # Replicas apart by a tenth of SIGMA: within a window of a few records that is lost in the fluctuations.
    u = gaussian_energies(9, 0.5, 4000, 16) + 0.1 * SIGMA * np.random.default_rng(9).normal(size=16)
    e = obs.mean_energy(u, N)
    assert e == obs.mean_energy(u, N, method="replicas")
    assert e.error > 2.0 * obs.mean_energy(u, N, method="gamma").error
    few = u[:, :7]
    assert obs.mean_energy(few, N) == obs.mean_energy(few, N, method="gamma")


@pytest.mark.parametrize("replicas", [1, 3])
def test_specific_heat_is_that_of_all_records(replicas: int) -> None:
    # 10,007 records fill no number of blocks; the first ones, far off, are in none. The correction for bias is the squared
    # error of the mean, 1 / n of the variance for independent records, which ddof=1 is too; the tolerance is 1.5 of it.
    u = gaussian_energies(10, 0.0, 10_007, replicas)
    u[:3] += 40.0 * SIGMA
    c = obs.specific_heat(u, T, N, 2)
    assert c.value > u.var() / (N * T**2)
    assert c.value == pytest.approx(u.var(ddof=1) / (N * T**2), rel=1.5 / u.size)


def test_specific_heat_of_independent_records_has_no_bias() -> None:
    # Unbiased to order 1/n: the mean over 2000 short series of 20 has a relative error of sqrt(2/19/2000) = 0.7%; allowed 3%,
    # while the bias of the plain variance is 5%: false alarm p = 2e-5.
    u = np.random.default_rng(3).normal(size=(20, 2000)) * SIGMA
    each = obs.specific_heat_per_replica(u, T, N, 2)
    assert np.mean([c.value for c in each]) == pytest.approx(SIGMA**2 / (N * T**2), rel=0.03)


def test_specific_heat_coverage() -> None:
    # 300 series with tau = 4.5: pulls of unit width (known to 4%) and little shift; allowed 25%: false alarm p < 1e-8.
    u = gaussian_energies(4, 0.8, 3000, 300)
    exact = SIGMA**2 / (N * T**2)
    pulls = np.array([c.deviation(exact) for c in obs.specific_heat_per_replica(u, T, N, 2)])
    assert pulls.std() == pytest.approx(1.0, abs=0.25)
    assert abs(pulls.mean()) < 0.5


def test_specific_heat_per_replica_takes_a_ladder() -> None:
    u = gaussian_energies(5, 0.0, 500, 3)
    ladder = [0.5, 1.0, 2.0]
    each = obs.specific_heat_per_replica(u, ladder, N, 2, kind="total")
    for r, t in enumerate(ladder):
        assert each[r] == obs.specific_heat(u[:, r], t, N, 2, kind="total")


def test_large_offsets_do_not_cost_precision() -> None:
    u = gaussian_energies(6, 0.0, 1000, 4)
    near, far = obs.specific_heat(u, T, N, 2), obs.specific_heat(u + 1e9, T, N, 2)
    assert far.value == pytest.approx(near.value, rel=1e-6)


def test_reweighting_of_gaussian_energies() -> None:
    # Within 4 of its errors each: false alarm p = 2e-4. ESS fraction: relative standard error about 1%, allowed 5%.
    beta, step, v = 2.0, 0.1, SIGMA**2
    u = gaussian_energies(7, 0.5, 20_000, 8)
    r = obs.reweight(u, beta, beta + step)
    assert r.weights.shape == u.shape
    assert r.weights.sum() == pytest.approx(1.0, rel=1e-12)
    assert r.ess == pytest.approx(1.0 / np.sum(r.weights**2), rel=1e-12)
    assert r.ess_fraction == pytest.approx(math.exp(-(step**2) * v), rel=0.05)
    assert abs(r.mean.deviation(MEAN - step * v)) < 4.0
    assert abs(r.log_z_ratio.deviation(-step * MEAN + 0.5 * step**2 * v)) < 4.0
    assert r.log_z_ratio.error == pytest.approx(step * SIGMA * math.sqrt(2.0 * 1.5 / u.size), rel=0.4)
    square = obs.reweight(u, beta, beta + step, observable=(u - MEAN) ** 2)
    assert abs(square.mean.deviation(v + (step * v) ** 2)) < 4.0


def test_reweighting_to_the_same_temperature_changes_nothing() -> None:
    u = gaussian_energies(8, 0.6, 4000, 4)
    r = obs.reweight(u, 2.0, 2.0)
    plain = obs.estimate_mean(u)
    assert r.ess == pytest.approx(u.size)
    assert r.ess_fraction == pytest.approx(1.0)
    assert r.mean.value == pytest.approx(plain.value, rel=1e-13)
    assert r.mean.error == pytest.approx(plain.error, rel=0.3)
    assert r.log_z_ratio.value == 0.0
    assert r.log_z_ratio.error == 0.0


def test_reweighting_too_far_says_so() -> None:
    r = obs.reweight([0.0, -1e6, 1e6, 2e6], 1.0, 2.0)
    assert r.ess == pytest.approx(1.0)
    assert r.mean.value == pytest.approx(-1e6)
    assert r.mean.error == math.inf
    assert r.log_z_ratio.error == math.inf
    assert r.log_z_ratio.value == pytest.approx(1e6 - math.log(4.0))


def test_pressure_from_virial() -> None:
    # Two particles at r = (1, 2) with force (3, 4) between them: tr W = 3 + 8.
    w = np.outer([1.0, 2.0], [3.0, 4.0])
    assert obs.pressure_from_virial(w, 2, [5.0, 4.0], 0.5) == pytest.approx((2 * 0.5 + 11.0 / 2.0) / 20.0)
    batch = np.stack([w, np.zeros((2, 2))])
    np.testing.assert_allclose(obs.pressure_from_virial(batch, 2, [5.0, 4.0], [0.5, 1.0]), [6.5 / 20.0, 2.0 / 20.0], rtol=1e-14)
    ideal = obs.pressure_from_virial(np.zeros((7, 3, 3)), 10, [2.0, 2.0, 2.0], 1.5)
    np.testing.assert_allclose(ideal, np.full(7, 10 * 1.5 / 8.0), rtol=1e-14)


GOOD = [-1.0, -2.0, -3.0, -2.5]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: obs.mean_energy([1.0, math.nan], N), "energy: expected finite numbers, got nan"),
        (lambda: obs.mean_energy(np.zeros((2, 2, 2)), N), "energy: expected a non-empty array of shape"),
        (lambda: obs.mean_energy(GOOD, 0), "n: expected a positive integer, got 0"),
        (lambda: obs.specific_heat(GOOD, -1.0, N, 2), "temperature: expected a positive finite number, got -1.0"),
        (lambda: obs.specific_heat(GOOD, math.nan, N, 2), "temperature: expected a positive finite number, got nan"),
        (lambda: obs.specific_heat(GOOD, 1.0, -3, 2), "n: expected a positive integer, got -3"),
        (lambda: obs.specific_heat(GOOD, 1.0, N, 4), "dimension: expected 2 or 3, got 4"),
        (lambda: obs.specific_heat(GOOD, 1.0, N, 2, kind="totl"), "kind: expected one of .*did you mean 'total'"),
        (lambda: obs.specific_heat([1.0], 1.0, N, 2), "energy: expected at least 2 values, got 1"),
        (lambda: obs.specific_heat_per_replica(GOOD, [1.0, 2.0], N, 2), r"temperature: expected a number or shape \(1,\)"),
        (lambda: obs.reweight(GOOD, math.inf, 1.0), r"beta: expected a number from -1e\+70 to 1e\+70, got inf"),
        (lambda: obs.reweight(GOOD, 1.0, 2.0, observable=[1.0]), r"observable: expected shape \(4, 1\)"),
        (lambda: obs.reweight([1.0], 1.0, 2.0), "energy: expected at least 2 values, got 1"),
        (lambda: obs.pressure_from_virial(np.zeros(4), 1, [1.0, 1.0], 1.0), r"virial: expected shape \(..., 2, 2\)"),
        (lambda: obs.pressure_from_virial(np.zeros((2, 2)), 1, [1.0, -1.0], 1.0), "box: expected positive sides"),
        (lambda: obs.pressure_from_virial(np.zeros((2, 2)), 1, [1.0], 1.0), "box: expected 2 or 3 box sides, got 1"),
        (lambda: obs.pressure_from_virial(np.zeros((2, 2)), 1, [1.0, 1.0], -1.0), "temperature: expected positive"),
        (
            lambda: obs.pressure_from_virial(np.zeros((3, 2, 2)), 1, [1.0, 1.0], [1.0, 2.0]),
            "temperature: expected a shape that",
        ),
    ],
)
def test_bad_arguments(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{message}"):
        call()


@given(
    arrays(np.float64, st.tuples(st.integers(2, 30), st.integers(1, 4)), elements=st.floats(-1e4, 1e4)),
    st.floats(0.1, 10.0),
    st.floats(0.1, 10.0),
)
@settings(deadline=None, max_examples=150)
def test_any_finite_energies_have_answers(u: np.ndarray, beta: float, new_beta: float) -> None:
    c = obs.specific_heat(u, 1.0 / beta, 10, 2)
    assert math.isfinite(c.value)
    assert c.error >= 0.0
    r = obs.reweight(u, beta, new_beta)
    assert r.weights.sum() == pytest.approx(1.0)
    assert 1.0 - 1e-9 <= r.ess <= u.size * (1.0 + 1e-9)
    assert u.min() - 1e-6 <= r.mean.value <= u.max() + 1e-6
    assert r.mean.error >= 0.0
    assert not math.isnan(r.log_z_ratio.value)
