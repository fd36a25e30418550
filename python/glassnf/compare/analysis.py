"""Error against cost, and how many times cheaper one algorithm is than another at equal error.

The error of an algorithm after a budget is the root mean square, over its K independent runs, of the deviation of one run's
estimate from the reference. Its interval comes from resampling the runs; each resample also moves the reference within the
reference's own error, for all algorithms alike, because they have it in common. One set of resampled runs serves all budgets,
because a run's errors at different budgets belong together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "ErrorCurve",
    "Ratio",
    "Reach",
    "amortised_speed_up",
    "break_even_runs",
    "cost_to_reach",
    "error_curve",
    "speed_up",
]

FloatArray = npt.NDArray[np.float64]
Bound = Literal["=", "<", ">", "?"]

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 2000


@dataclass(frozen=True)
class ErrorCurve:
    """Root-mean-square error against cost of one algorithm, for one observable.

    Algorithms that begin anew for every budget may spend less on a larger one. Nobody would choose the smaller one then, so it
    is no point of the curve.

    Attributes
    ----------
    cost
        (P,) cost of one run after each budget that cost less than all larger ones; strictly ascending.
    error
        (P,) root-mean-square error over the runs, in the unit of the observable.
    low, high
        (P,) 95% interval of `error`.
    resampled
        (resamples, P) errors of resampled sets of runs.
    of_budgets
        (3, B) error, low and high after every budget, those that are no points of the curve too.
    """

    cost: FloatArray
    error: FloatArray
    low: FloatArray
    high: FloatArray
    resampled: FloatArray
    of_budgets: FloatArray


@dataclass(frozen=True)
class Reach:
    """The cost at which an error is reached, once and for all.

    Attributes
    ----------
    cost
        The cost, or its bound.
    bound
        ``"="``: reached at this cost; ``">"``: not reached at this cost, the largest spent; ``"<"``: already reached at this
        cost, the smallest spent.
    """

    cost: float
    bound: Bound


@dataclass(frozen=True)
class Ratio:
    """Cost of the baseline over the cost of an algorithm, at equal error.

    Attributes
    ----------
    value
        The ratio or its bound; NaN where neither algorithm reaches the error, or both do within their smallest budgets.
    bound
        ``"="``, or ``">"`` and ``"<"`` for a bound, or ``"?"`` where nothing can be said.
    low, high
        95% interval over resampled runs; `high` is infinite, or `low` zero, where the resamples leave that side open.
    """

    value: float
    bound: Bound
    low: float
    high: float


def error_curve(
    cost: FloatArray,
    estimates: FloatArray,
    reference: float,
    reference_error: float,
    *,
    seed: int,
    reference_seed: int,
    resamples: int = RESAMPLES,
) -> ErrorCurve:
    """Compute the error of K runs after each of B budgets, with an interval.

    Parameters
    ----------
    cost
        (B,) cost of one run after each budget, in the order of the budgets.
    estimates
        (B, K) estimate of each run after each budget.
    reference, reference_error
        True value and its standard error.
    seed
        Seed of the resampling of the runs, another one for each algorithm.
    reference_seed
        Seed of the errors of the reference, the same for all algorithms that are compared: in resample i the true value lies at
        the same place for all of them.
    resamples
        Number of resampled sets of runs (percentile bootstrap; Efron and Tibshirani, An Introduction to the Bootstrap, 1993).

    Raises
    ------
    ValueError
        If the shapes do not agree.
    """
    if estimates.ndim != 2 or cost.shape != (estimates.shape[0],):
        raise ValueError(f"estimates: expected shape (budgets, runs) with budgets = {cost.shape}, got {estimates.shape}")
    budgets, runs = estimates.shape
    picks = np.random.default_rng(seed).integers(0, runs, size=(resamples, runs))
    shifts = reference_error * np.random.default_rng(reference_seed).standard_normal(resamples)
    deviations = estimates - reference
    resampled = np.empty((resamples, budgets))
    for b in range(budgets):
        resampled[:, b] = np.sqrt(np.mean((deviations[b][picks] - shifts[:, None]) ** 2, axis=1))
    tail = 0.5 * (1.0 - CONFIDENCE)
    low, high = np.quantile(resampled, [tail, 1.0 - tail], axis=0)
    error = np.sqrt(np.mean(deviations**2, axis=1))
    of_budgets = np.array([error, np.minimum(low, error), np.maximum(high, error)])
    kept = np.append(cost[:-1] < np.minimum.accumulate(cost[::-1])[-2::-1], True)
    on_curve = of_budgets[:, kept]
    return ErrorCurve(cost[kept], on_curve[0], on_curve[1], on_curve[2], resampled[:, kept], of_budgets)


def cost_to_reach(cost: FloatArray, error: FloatArray, target: float) -> Reach:
    """Return the cost from which on the error stays at or below `target`.

    Between two budgets the curve is a straight line in the logarithms. An early, passing dip below the target does not count:
    an algorithm out of equilibrium can drift through the right value.

    Parameters
    ----------
    cost, error
        (B,) the curve, cost strictly ascending.
    target
        The error to reach, not negative; one that is equal to it has reached it.
    """
    above = np.flatnonzero(error > target)
    if above.size == 0:
        return Reach(float(cost[0]), "<")
    last = int(above[-1])
    if last == len(cost) - 1:
        return Reach(float(cost[-1]), ">")
    if error[last + 1] in (0.0, target):
        return Reach(float(cost[last + 1]), "=")
    step = math.log(error[last] / target) / math.log(error[last] / error[last + 1])
    return Reach(float(cost[last] * (cost[last + 1] / cost[last]) ** step), "=")


def _reach_of_resamples(cost: FloatArray, error: FloatArray, target: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Do `cost_to_reach` for (S, B) errors and (S,) targets; bounds are 0, 1 and -1 for ``"="``, ``">"`` and ``"<"``."""
    rows, budgets = np.arange(len(error)), error.shape[1]
    above = error > target[:, None]
    last = np.where(above.any(axis=1), budgets - 1 - np.argmax(above[:, ::-1], axis=1), -1)
    kind = np.where(last < 0, -1, np.where(last == budgets - 1, 1, 0))
    left = np.clip(last, 0, budgets - 1)
    right = np.minimum(left + 1, budgets - 1)
    before, after = error[rows, left], error[rows, right]
    with np.errstate(all="ignore"):  # rows that are a bound are computed in vain
        step = np.log(before / target) / np.log(before / after)
        between = cost[left] * (cost[right] / cost[left]) ** step
    between = np.where((after == 0.0) | (after == target), cost[right], between)
    return np.where(kind == 0, between, np.where(kind < 0, cost[0], cost[-1])), kind


def speed_up(baseline: ErrorCurve, other: ErrorCurve, target: float | None, extra: float = 0.0) -> Ratio:
    """Return how many times cheaper `other` is than `baseline` at equal error, with a bootstrap interval.

    The cost of either algorithm is that from which on its error stays at or below the target (`cost_to_reach`). The runs of the
    two are independent and are resampled independently; the error of the reference, which they share, is that of resample i in
    both. A resample in which an error is not reached enters the interval as the bound that it gives, so that an interval may be
    open on one side but never holds invented numbers.

    Parameters
    ----------
    baseline, other
        Curves of the same observable, against the same kind of cost, with the same `reference_seed`.
    target
        The error to reach; None for the error that the baseline ends with, in each resample its own. The baseline has not
        reached it at its end only, where its error stood still: a baseline that is stuck is not charged for being so. Where its
        errors were never larger than the last, its cost is at most that of its smallest budget.
    extra
        Added to the cost of a run of `other`, whatever the error.
    """
    value, bound = _ratio(baseline, other, baseline.error, other.error, target, extra)
    resamples = min(len(baseline.resampled), len(other.resampled))
    ours, theirs = other.resampled[:resamples], baseline.resampled[:resamples]
    targets = theirs[:, -1] if target is None else np.full(resamples, target)
    numerator, of_numerator = _reach_of_resamples(baseline.cost, theirs, targets)
    denominator, of_denominator = _reach_of_resamples(other.cost, ours, targets)
    ratio = numerator / (denominator + extra)
    lower = np.where((of_numerator < 0) | (of_denominator > 0), 0.0, ratio)
    upper = np.where((of_numerator > 0) | (of_denominator < 0), math.inf, ratio)
    tail = 0.5 * (1.0 - CONFIDENCE)
    low = float(np.quantile(lower, tail, method="lower"))
    high = float(np.quantile(upper, 1.0 - tail, method="higher"))
    return Ratio(value, bound, low, high)


def amortised_speed_up(baseline: ErrorCurve, other: ErrorCurve, target: float | None, training: float, runs: int) -> Ratio:
    """Return the speed-up that is left when an algorithm pays for its training, shared by its runs.

    Parameters
    ----------
    baseline, other, target
        As in `speed_up`.
    training
        What the training has cost, in the unit of the costs of the curves.
    runs
        Number of runs that share it.
    """
    return speed_up(baseline, other, target, training / runs)


def break_even_runs(baseline: ErrorCurve, other: ErrorCurve, target: float | None, training: float) -> float:
    """Return the number of runs after which training and runs together have cost less than the baseline's runs.

    Parameters
    ----------
    baseline, other, target, training
        As in `amortised_speed_up`.

    Returns
    -------
    float
        Not a whole number. An upper bound where the speed-up is a lower bound; infinite where a run of `other` is no cheaper;
        NaN where the runs do not tell. Costs are those of `speed_up`, with a `target` of None too.
    """
    theirs, ours = _reaches(baseline, other, baseline.error, other.error, target)
    if ours.bound == ">" or theirs.bound == "<":
        return math.nan
    saved = theirs.cost - ours.cost
    if saved > 0.0:
        return training / saved
    return math.inf if theirs.bound == ours.bound == "=" else math.nan


def _reaches(
    baseline: ErrorCurve, other: ErrorCurve, baseline_error: FloatArray, other_error: FloatArray, target: float | None
) -> tuple[Reach, Reach]:
    """Return where two curves, which may be resampled, reach an error."""
    if target is None:
        target = float(baseline_error[-1])
    return cost_to_reach(baseline.cost, baseline_error, target), cost_to_reach(other.cost, other_error, target)


def _ratio(
    baseline: ErrorCurve,
    other: ErrorCurve,
    baseline_error: FloatArray,
    other_error: FloatArray,
    target: float | None,
    extra: float,
) -> tuple[float, Bound]:
    """Divide the costs of two curves at an error."""
    theirs, ours = _reaches(baseline, other, baseline_error, other_error, target)
    return _divide(theirs, Reach(ours.cost + extra, ours.bound))


def _divide(numerator: Reach, denominator: Reach) -> tuple[float, Bound]:
    """Divide two costs of which each may be a bound."""
    flipped: dict[Bound, Bound] = {"=": "=", "<": ">", ">": "<", "?": "?"}
    bounds = {numerator.bound, flipped[denominator.bound]} - {"="}
    if len(bounds) > 1:
        return math.nan, "?"
    return numerator.cost / denominator.cost, bounds.pop() if bounds else "="
