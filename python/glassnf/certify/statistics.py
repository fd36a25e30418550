"""p-values of agreement between samples and exact answers, and how many of them are combined. Needs NumPy only."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "chi_square_p",
    "chi_square_tail",
    "combine",
    "gamma_tail",
    "holm",
    "normal_p",
    "slope_between_temperatures",
    "student_p",
    "symmetry_p",
    "uniform_p",
]

Array = npt.NDArray[Any]

_SMALLEST_EXPECTED = 8.0
_TINY = 1e-300
_ITERATIONS = 10_000


def gamma_tail(shape: float, x: float) -> float:
    """Return Q(a, x), the probability that a gamma variable of shape a and scale 1 exceeds x.

    By the series of P below a + 1 and by the continued fraction of Q above (Press et al., Numerical Recipes, section 6.2); the
    relative error is below 1e-12.
    """
    if x <= 0.0:
        return 1.0
    front = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1.0:
        term = total = 1.0 / shape
        for k in range(1, _ITERATIONS):
            term *= x / (shape + k)
            total += term
            if term < 1e-16 * total:
                break
        return max(0.0, 1.0 - front * total)
    b = x + 1.0 - shape
    c, d = 1.0 / _TINY, 1.0 / b
    h = d
    for k in range(1, _ITERATIONS):
        a = k * (shape - k)
        b += 2.0
        d = 1.0 / (a * d + b)
        c = b + a / c
        h *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return front * h


def chi_square_tail(value: float, degrees: int) -> float:
    """Return the probability that a chi-square variable exceeds a value."""
    return gamma_tail(0.5 * degrees, 0.5 * value)


def normal_p(deviation: float) -> float:
    """Return the two-sided p-value of a deviation in standard errors; 0 where it is not finite."""
    return math.erfc(abs(deviation) / math.sqrt(2.0)) if math.isfinite(deviation) else 0.0


def student_p(deviation: float, degrees: float) -> float:
    """Return the two-sided p-value of a deviation in estimated standard errors, by Student's t distribution.

    It is the regularised incomplete beta function I_x(n/2, 1/2) at x = n / (n + t^2), by its continued fraction (Press et al.,
    Numerical Recipes, section 6.4).
    """
    if not math.isfinite(deviation):
        return 0.0
    a, b, x = 0.5 * degrees, 0.5, degrees / (degrees + deviation * deviation)
    if x >= 1.0:
        return 1.0
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x < (a + 1.0) / (a + b + 2.0):
        return math.exp(log_front) * _beta_fraction(a, b, x) / a
    return 1.0 - math.exp(log_front) * _beta_fraction(b, a, 1.0 - x) / b


def _beta_fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1.0))
    h = d
    for m in range(1, _ITERATIONS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0)),
        ):
            d = 1.0 / (1.0 + term * d)
            c = 1.0 + term / c
            h *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return h


def chi_square_p(observed: Array, expected: Array) -> float:
    """Return the p-value of Pearson's chi-square of counts against expected counts of the same total.

    Bins that expect fewer than 8 counts are joined with each other first.

    Raises
    ------
    ValueError
        If the two do not fit each other, or all counts are in one bin. A count where none is expected gives 0.
    """
    observed, expected = np.ravel(observed).astype(np.float64), np.ravel(expected).astype(np.float64)
    if observed.shape != expected.shape or not abs(observed.sum() - expected.sum()) < 1e-6 * observed.sum():
        raise ValueError("expected: expected as many counts as were observed, of the same total")
    if observed[expected == 0.0].any():
        return 0.0
    order = np.argsort(expected)
    observed, expected = observed[order], expected[order]
    small = int(np.searchsorted(np.cumsum(expected), _SMALLEST_EXPECTED)) + 1
    while small < expected.size and expected[small] < _SMALLEST_EXPECTED:
        small += 1
    observed = np.append(observed[small:], observed[:small].sum())
    expected = np.append(expected[small:], expected[:small].sum())
    if expected.size < 2:
        raise ValueError("expected: expected counts in at least two bins, got one")
    return chi_square_tail(float(np.sum((observed - expected) ** 2 / expected)), expected.size - 1)


def symmetry_p(counts: Array) -> float:
    """Return the p-value of detailed balance: counts[i, j] of transitions i to j in equilibrium against counts[j, i].

    Raises
    ------
    ValueError
        If no pair of states has been left and entered often enough.
    """
    upper = np.triu_indices(counts.shape[0], k=1)
    forward, backward = counts[upper].astype(np.float64), counts.T[upper].astype(np.float64)
    total = forward + backward
    enough = total >= 2 * _SMALLEST_EXPECTED
    if not enough.any():
        raise ValueError("counts: expected at least 16 transitions between some pair of states")
    return chi_square_tail(float(np.sum((forward - backward)[enough] ** 2 / total[enough])), int(enough.sum()))


def uniform_p(values: Array, bins: int = 20) -> float:
    """Return the p-value of values in [0, 1] being independent and uniform, by a chi-square in equal bins."""
    counts = np.bincount(np.minimum((np.asarray(values) * bins).astype(int), bins - 1), minlength=bins)
    return chi_square_p(counts, np.full(bins, counts.sum() / bins))


def combine(p_values: Array) -> float:
    """Return one p-value for several, independent or not (Bonferroni): the smallest times their number, at most 1.

    One that is not a number counts as 0.
    """
    values = _numbers(p_values)
    return min(1.0, float(values.min()) * values.size)


def _numbers(p_values: Array) -> Array:
    values = np.asarray(p_values, dtype=np.float64)
    return np.where(np.isnan(values), 0.0, values)


def holm(p_values: Array, level: float) -> npt.NDArray[np.bool_]:
    """Return which hypotheses are rejected at a family-wise error rate (Holm, Scand. J. Stat. 6, 65, 1979).

    Some are rejected exactly if the smallest p-value is below level / number, as with Bonferroni; more of them than with
    Bonferroni then. Nothing is assumed of how the p-values depend on each other. One that is not a number counts as 0.
    """
    values = _numbers(p_values)
    order = np.argsort(values)
    limits = level / (values.size - np.arange(values.size))
    passing = np.flatnonzero(values[order] > limits)
    rejected = np.zeros(values.size, dtype=np.bool_)
    rejected[order[: passing[0] if passing.size else values.size]] = True
    return rejected


def slope_between_temperatures(first: Array, second: Array) -> tuple[float, float]:
    """Return s and its error, where log p_2(U) / p_1(U) = s U + const, from independent energies of two temperatures.

    In equilibrium s is beta_1 - beta_2, whatever the density of states (Shirts, J. Chem. Theory Comput. 9, 909, 2013): which
    temperature an energy is from, is a logistic regression, solved by Newton's method for the largest likelihood.
    """
    u = np.concatenate([first, second])
    scale, centre = float(u.std()), float(u.mean())
    x = np.stack([np.ones(u.size), (u - centre) / scale], axis=1)
    y = np.concatenate([np.zeros(len(first)), np.ones(len(second))])
    beta = np.array([math.log(len(second) / len(first)), 0.0])
    for _ in range(60):
        p = 1.0 / (1.0 + np.exp(-(x @ beta)))
        hessian = (x * (p * (1.0 - p))[:, None]).T @ x
        change = np.linalg.solve(hessian, x.T @ (y - p))
        beta += change
        if np.abs(change).max() < 1e-10:
            break
    return float(beta[1]) / scale, math.sqrt(float(np.linalg.inv(hessian)[1, 1])) / scale
