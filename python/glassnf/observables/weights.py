"""What log weights of samples tell: averages and their errors, effective sample sizes, tails, free energies. Needs NumPy only.

A sample x of a density q, weighted for a density p that is known up to a constant, has log w = log(p / q) up to a constant.
Samples of one group (the descendants of one replica, the records of one chain) may depend on each other, different groups do
not: all errors are jackknife errors over groups, that of the acceptance ratio to first order.

References
----------
Kish 1965, Survey Sampling, section 11.7 (effective sample size).
Zhang, Stephens 2009, Technometrics 51, 316 (fit of a generalised Pareto distribution).
Vehtari, Simpson, Gelman, Yao, Gabry 2024, J. Mach. Learn. Res. 25, 72 (Pareto k-hat of importance weights).
Bennett 1976, J. Comput. Phys. 22, 245; Shirts, Bair, Hooker, Pande 2003, Phys. Rev. Lett. 91, 140601 (acceptance ratio).
Wirnsberger et al. 2020, J. Chem. Phys. 153, 144112 (targeted free energy perturbation, forward and reverse).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from glassnf import _check
from glassnf.observables._inputs import FloatArray, IntArray

__all__ = [
    "WeightSummary",
    "WeightedEnergy",
    "bennett_log_z",
    "forward_ess",
    "log_mean_exp",
    "log_z_of_weights",
    "normalised_weights",
    "pareto_k",
    "pareto_k_limit",
    "weight_summary",
    "weighted_energy",
    "weighted_mean",
]

_FLATTEST = 1e-100
_LEAST_TAIL = 5
_PRIOR_STRENGTH = 10.0  # samples' worth of the prior k = 1/2
_BISECTIONS = 200


@dataclass(frozen=True)
class WeightSummary:
    """How evenly weights are spread.

    Attributes
    ----------
    samples : int
    ess : float
        Kish's effective sample size, (sum w)^2 / (n sum w^2), as a fraction; of samples of q (the reverse one).
    largest : float
        Largest weight, as a share of all.
    pareto_k : float
        Shape of the tail, see `pareto_k`.
    pareto_k_limit : float
        Above it averages cannot be trusted, see `pareto_k_limit`.
    """

    samples: int
    ess: float
    largest: float
    pareto_k: float
    pareto_k_limit: float


@dataclass(frozen=True)
class WeightedEnergy:
    """Averages of the energy over weighted samples; `specific_heat` is per particle, without the ideal part.

    Attributes
    ----------
    mean, mean_error : float, epsilon
        Of whole systems.
    specific_heat, specific_heat_error : float
    """

    mean: float
    mean_error: float
    specific_heat: float
    specific_heat_error: float


# ------------------------------------------------------------------------------------------------------------------ inputs


def _log_weights(name: str, value: object) -> FloatArray:
    array = _check.float_array(name, value, (None,))
    if array.size == 0:
        raise ValueError(f"{name}: expected at least 1 value, got none")
    return array


def _groups(name: str, value: object, size: int) -> tuple[IntArray, int]:
    """Return group numbers 0 ... G - 1 (n,) and G; by default every sample is a group of its own."""
    if value is None:
        return np.arange(size, dtype=np.int64), size
    array = _check.int_array(name, value, (size,))
    labels, numbers = np.unique(array, return_inverse=True)
    return numbers.astype(np.int64), int(labels.size)


def _sums(values: FloatArray, groups: IntArray, count: int) -> FloatArray:
    return np.bincount(groups, weights=values, minlength=count).astype(np.float64)


def _leave_one_out(left_out: FloatArray) -> float:
    """Return the jackknife error from the statistics (G,) with one group left out; NaN for a single group."""
    count = left_out.size
    if count < 2:
        return math.nan
    if not np.isfinite(left_out).all():
        return math.inf
    return math.sqrt((count - 1) / count * float(np.sum((left_out - left_out.mean()) ** 2)))


# ----------------------------------------------------------------------------------------------------------------- weights


def normalised_weights(log_weights: FloatArray) -> tuple[FloatArray, float]:
    """Return weights of sum 1, and the log of the mean of exp(log_weights), of a finite array of any shape."""
    top = float(log_weights.max())
    relative = np.exp(log_weights - top)
    return np.asarray(relative / relative.sum()), top + math.log(float(relative.mean()))


def log_mean_exp(values: object) -> float:
    """Return the log of the mean of exp(values), without overflow.

    Parameters
    ----------
    values : (n,) finite numbers
    """
    return normalised_weights(_log_weights("values", values))[1]


def pareto_k_limit(samples: int) -> float:
    """Return min(1 - 1 / log10 n, 0.7): with a larger k-hat, n samples are too few (Vehtari et al. 2024, section 3.2)."""
    count = _check.positive_int("samples", samples)
    return 0.7 if count >= 2155 else max(0.0, 1.0 - 1.0 / math.log10(count)) if count > 1 else 0.0


def pareto_k(log_weights: object) -> float:
    """Return k-hat, the shape of a generalised Pareto distribution fitted to the largest weights.

    Weights have 1/k finite moments: k below 1/2 means a finite variance. The tail are the largest min(0.2 n, 3 sqrt n) weights;
    the fit is that of Zhang and Stephens, drawn towards 1/2 by a prior worth 10 samples, as in Vehtari et al. 2024.

    Parameters
    ----------
    log_weights : (n,) finite numbers
        Up to a constant.

    Returns
    -------
    float
        Infinite with fewer than 5 weights in the tail (n < 21), which tell nothing, and where three quarters of the tail are
        smaller than the largest weight by a factor of 1e100; 0 where the tail is flat.
    """
    log_w = np.sort(_log_weights("log_weights", log_weights))
    tail = math.ceil(min(0.2 * log_w.size, 3.0 * math.sqrt(log_w.size)))
    if tail < _LEAST_TAIL:
        return math.inf
    w = np.exp(log_w[-tail - 1 :] - log_w[-1])
    excess = w[1:] - w[0]
    positive = excess[excess > 0.0]
    if positive.size < _LEAST_TAIL or not positive[-1] > 1e-12:
        return 0.0
    return _fit_pareto(positive)


def _fit_pareto(x: FloatArray) -> float:
    """Return the shape of a generalised Pareto distribution of sorted positive x (Zhang and Stephens 2009), with a prior."""
    n = x.size
    guesses = 30 + int(math.sqrt(n))
    quartile = x[int(n / 4.0 + 0.5) - 1]
    if not quartile > _FLATTEST * x[-1]:  # one weight next to nothing: no power of a float could tell the shape
        return math.inf
    theta = 1.0 / x[-1] + (1.0 - np.sqrt(guesses / (np.arange(1, guesses + 1) - 0.5))) / (3.0 * quartile)
    shapes = -np.log1p(-theta[:, None] * x).mean(axis=1)
    likelihood = n * (np.log(theta / shapes) + shapes - 1.0)
    posterior = np.exp(likelihood - likelihood.max())
    mean_theta = float((theta * posterior).sum() / posterior.sum())
    k = float(np.log1p(-mean_theta * x).mean())
    return (k * n + 0.5 * _PRIOR_STRENGTH) / (n + _PRIOR_STRENGTH)


def weight_summary(log_weights: object) -> WeightSummary:
    """Return how evenly weights are spread.

    Parameters
    ----------
    log_weights : (n,) finite numbers
        Up to a constant.

    Raises
    ------
    TypeError, ValueError
        If they are not.
    """
    log_w = _log_weights("log_weights", log_weights)
    weights, _ = normalised_weights(log_w)
    ess = 1.0 / (log_w.size * float((weights**2).sum()))
    return WeightSummary(log_w.size, min(ess, 1.0), float(weights.max()), pareto_k(log_w), pareto_k_limit(log_w.size))


def forward_ess(log_weights: object) -> float:
    """Return the effective sample size of q for p from samples of p, 1 / (mean w mean 1/w), as a fraction.

    With samples of p it sees regions that q misses, where the reverse one is blind; both estimate 1 / E_q[(p/q)^2].

    Parameters
    ----------
    log_weights : (n,) finite numbers
        log w of samples of p, up to a constant.
    """
    log_w = _log_weights("log_weights", log_weights)
    return min(1.0, math.exp(-normalised_weights(log_w)[1] - normalised_weights(-log_w)[1]))


# ---------------------------------------------------------------------------------------------------------------- averages


def weighted_energy(energy: object, log_weights: object, beta: float, n: int, groups: object = None) -> WeightedEnergy:
    """Return <U> and the specific heat of weighted samples, with jackknife errors over groups.

    The specific heat, (<U^2> - <U>^2) / (n T^2), is corrected for the bias of a variance: the squared error of <U> is added to
    the fluctuation, as in `specific_heat`.

    Parameters
    ----------
    energy : (S,) floats, epsilon
        Of whole systems.
    log_weights : (S,) floats
    beta : float, 1/epsilon
        That the weights are for.
    n : int
        Particles of a system.
    groups : (S,) integers, optional
        Samples with equal numbers depend on each other. Default: none do.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.
    """
    log_w = _log_weights("log_weights", log_weights)
    u = _check.float_array("energy", energy, (log_w.size,))
    number, count = _groups("groups", groups, log_w.size)
    scale = _check.magnitude("beta", beta) ** 2 / _check.positive_int("n", n)
    mean, variance, (first, second) = _moments(u, normalised_weights(log_w)[0], number, count)
    mean_error = _leave_one_out(first)
    variance += mean_error**2 if math.isfinite(mean_error) else 0.0
    return WeightedEnergy(mean, mean_error, scale * variance, scale * _leave_one_out(second))


def weighted_mean(values: object, log_weights: object, groups: object = None) -> tuple[float, float]:
    """Return the weighted mean of any observable of the samples, with its jackknife error over groups.

    Parameters
    ----------
    values, log_weights : (S,) floats
    groups : (S,) integers, optional
        As in `weighted_energy`.
    """
    log_w = _log_weights("log_weights", log_weights)
    number, count = _groups("groups", groups, log_w.size)
    values = _check.float_array("values", values, (log_w.size,))
    mean, _, left_out = _moments(values, normalised_weights(log_w)[0], number, count)
    return mean, _leave_one_out(left_out[0])


def _moments(
    values: FloatArray, weights: FloatArray, groups: IntArray, count: int
) -> tuple[float, float, tuple[FloatArray, FloatArray]]:
    """Return mean and variance, and both (G,) with one group left out, infinite where nothing is left."""
    mean = float(np.sum(weights * values))
    total = np.array([_sums(weights * (values - mean) ** k, groups, count) for k in range(3)])
    rest = total.sum(axis=1, keepdims=True) - total
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.where(rest[0] > 1e-12, rest[1] / rest[0], np.inf)
        second = np.where(rest[0] > 1e-12, rest[2] / rest[0] - first**2, np.inf)
    return mean, float(total[2].sum()), (first, second)


def log_z_of_weights(log_weights: object, groups: object = None) -> tuple[float, float]:
    """Return log mean w, with its jackknife error over groups.

    For samples of p_h carried to log weights for p_c it is log(Z_c / Z_h). With log w of samples of p_c, carried back, minus
    the result of ``log_z_of_weights(-log_w)`` is the same.

    Parameters
    ----------
    log_weights : (S,) floats
    groups : (S,) integers, optional
        As in `weighted_energy`.
    """
    log_w = _log_weights("log_weights", log_weights)
    number, count = _groups("groups", groups, log_w.size)
    weights, log_mean = normalised_weights(log_w)
    sums, sizes = _sums(weights, number, count), np.bincount(number, minlength=count)
    rest = sums.sum() - sums
    if count < 2 or rest.min() <= 1e-12:
        return log_mean, math.nan if count < 2 else math.inf
    return log_mean, _leave_one_out(np.log(rest / (log_w.size - sizes)))


def bennett_log_z(
    log_weights: object,
    target_log_weights: object,
    groups: object = None,
    target_groups: object = None,
) -> tuple[float, float]:
    """Return log(Z_c / Z_h) from samples of both sides by the acceptance ratio (BAR), with its error from the spread of groups.

    It is the c that solves sum_h 1 / (1 + (n_h/n_c) exp(c - log w)) = sum_c 1 / (1 + (n_c/n_h) exp(log w - c)), the estimate of
    least variance that work in both directions allows, where samples are independent.

    Parameters
    ----------
    log_weights : (n_h,) floats
        log w of samples of p_h, carried to the target.
    target_log_weights : (n_c,) floats
        log w of samples of the target p_c, from the same map backward.
    groups, target_groups : (n_h,) and (n_c,) integers, optional
        As in `weighted_energy`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.
    """
    hot = _log_weights("log_weights", log_weights)
    cold = _log_weights("target_log_weights", target_log_weights)
    hot_number, hot_count = _groups("groups", groups, hot.size)
    cold_number, cold_count = _groups("target_groups", target_groups, cold.size)
    value = _bennett(hot, cold)
    shift = math.log(hot.size / cold.size)
    from_hot, from_cold = _logistic(value - hot + shift), _logistic(cold - value - shift)
    slope = float((from_hot * (1.0 - from_hot)).sum() + (from_cold * (1.0 - from_cold)).sum())
    spread = _spread_of_sum(from_hot, hot_number, hot_count) + _spread_of_sum(from_cold, cold_number, cold_count)
    return value, math.sqrt(spread) / slope if slope > 0.0 else math.inf


def _logistic(x: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(x)), without overflow."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x > 0.0, small, 1.0) / (1.0 + small))


def _spread_of_sum(values: FloatArray, groups: IntArray, count: int) -> float:
    """Return the variance of the sum of values, from those of the groups; NaN for a single one."""
    if count < 2:
        return math.nan
    return count / (count - 1) * float((_sums(values - values.mean(), groups, count) ** 2).sum())


def _log_sum(values: FloatArray) -> float:
    top = float(values.max())
    return top + math.log(float(np.exp(values - top).sum()))


def _bennett(hot: FloatArray, cold: FloatArray) -> float:
    """Return the root of Bennett's equation: its left side falls with c, its right side rises, both strictly."""
    shift = math.log(hot.size / cold.size)

    def excess(c: float) -> float:
        """Return the difference of the logarithms, which keep their digits where the two sides hardly overlap."""
        return _log_sum(-np.logaddexp(0.0, c - hot + shift)) - _log_sum(-np.logaddexp(0.0, cold - c - shift))

    low = min(float(hot.min()), float(cold.min())) - abs(shift) - 1.0
    high = max(float(hot.max()), float(cold.max())) + abs(shift) + 1.0
    while excess(low) < 0.0:
        low -= 2.0 * (high - low)
    while excess(high) > 0.0:
        high += 2.0 * (high - low)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if middle in (low, high) or high - low < 1e-13 * max(1.0, abs(middle)):
            break
        if excess(middle) > 0.0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)
